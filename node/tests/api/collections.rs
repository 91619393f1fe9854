//! Policies of collections, as clients set and meet them.

use peat_proto::client::*;
use tonic::Code;

use crate::harness::TestNode;
use crate::{get, put};

fn policy(collection: &str, history: HistoryClass, deletion: DeletionPolicy, retention: u64) -> SetCollectionRequest {
    SetCollectionRequest {
        collection: collection.into(),
        history: history.into(),
        deletion_policy: deletion.into(),
        retention_seconds: retention,
    }
}

#[tokio::test]
async fn policies_are_set_replaced_and_listed() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    assert_eq!(client.get_collections(GetCollectionsRequest {}).await.expect("listed").into_inner().collections, []);
    let (latest, full) = (HistoryClass::Latest, HistoryClass::Full);
    for request in [
        policy("tracks", latest, DeletionPolicy::Keep, 0),
        policy("orders", full, DeletionPolicy::Immutable, 0),
        policy("tracks", latest, DeletionPolicy::Tombstone, 3600),
    ] {
        client.set_collection(request).await.expect("a policy");
    }
    let collections = client.get_collections(GetCollectionsRequest {}).await.expect("listed").into_inner().collections;
    let shown: Vec<_> = collections
        .iter()
        .map(|c| (c.collection.as_str(), c.history(), c.deletion_policy(), c.retention_seconds, c.source()))
        .collect();
    assert_eq!(
        shown,
        [
            ("orders", full, DeletionPolicy::Immutable, 0, PolicySource::Formation),
            ("tracks", latest, DeletionPolicy::Tombstone, 3600, PolicySource::Formation),
        ]
    );
    // They are no documents of the application.
    let changes = client.subscribe(SubscribeRequest::default()).await.expect("subscribe");
    client.put_document(put("c", "first", "{}")).await.expect("put");
    let first = changes.into_inner().message().await.expect("open").expect("a change");
    assert_eq!(first.doc_id, "first");
}

#[tokio::test]
async fn an_immutable_document_is_created_once() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let request = policy("orders", HistoryClass::Latest, DeletionPolicy::Immutable, 0);
    client.set_collection(request).await.expect("a policy");
    client.put_document(put("orders", "1", r#"{"go":1}"#)).await.expect("created");
    client.put_document(put("orders", "1", r#"{"go":1}"#)).await.expect("the same content is no write");
    let refused = client.put_document(put("orders", "1", r#"{"go":2}"#)).await.expect_err("immutable");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(
        refused.message(),
        "orders/1 is there already and collection \"orders\" is immutable: write a document with another id, or change \
         the policy with SetCollection"
    );
    let delete = DeleteDocumentRequest { collection: "orders".into(), doc_id: "1".into(), ..Default::default() };
    let refused = client.delete_document(delete).await.expect_err("immutable");
    assert_eq!(refused.code(), Code::FailedPrecondition);
    assert_eq!(get(&mut client, "orders", "1").await.as_deref(), Some(r#"{"go":1}"#));
}

#[tokio::test]
async fn bad_policies_are_refused_with_a_reason() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let (full, keep, tombstone) = (HistoryClass::Full, DeletionPolicy::Keep, DeletionPolicy::Tombstone);
    for (request, reason) in [
        (policy("", full, keep, 0), "collection is empty; give it between 1 and 128 bytes"),
        (policy("c", full, tombstone, 0), "retention_seconds is 0; give it between 60 and"),
        (policy("c", full, keep, 60), "retention_seconds is 60, but deletion_policy is not DELETION_POLICY_TOMBSTONE"),
        (policy("peat.collections", full, keep, 0), "collection \"peat.collections\" holds the policies of all others"),
        (SetCollectionRequest { history: 9, ..policy("c", full, keep, 0) }, "history 9 is not known to this version"),
    ] {
        let refused = client.set_collection(request).await.expect_err(reason);
        assert_eq!(refused.code(), Code::InvalidArgument, "{refused:?}");
        assert!(refused.message().starts_with(reason), "{}", refused.message());
    }
    let refused = client.put_document(put("peat.collections", "c", "{}")).await.expect_err("reserved");
    assert_eq!(refused.code(), Code::InvalidArgument);
}
