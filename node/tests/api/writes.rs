//! Writes beyond the plain put, and what reads tell of them.

use peat_node::config::ClientLimits;
use peat_proto::client::*;
use tonic::Code;

use crate::harness::{Client, TestNode};

fn put(doc_id: &str, json: &str) -> PutDocumentRequest {
    PutDocumentRequest { collection: "c".into(), doc_id: doc_id.into(), json_data: json.into(), ..Default::default() }
}

fn delete(doc_id: &str) -> DeleteDocumentRequest {
    DeleteDocumentRequest { collection: "c".into(), doc_id: doc_id.into(), ..Default::default() }
}

fn patch(doc_id: &str, json: &str) -> PatchDocumentRequest {
    PatchDocumentRequest {
        collection: "c".into(),
        doc_id: doc_id.into(),
        json_patch: json.into(),
        expected_version: None,
        idempotency_key: String::new(),
    }
}

fn one_of_many(doc_id: &str, json: &str) -> DocumentWrite {
    DocumentWrite { collection: "c".into(), doc_id: doc_id.into(), json_data: json.into(), expected_version: None }
}

#[allow(clippy::needless_update, reason = "requests grow")]
async fn read(client: &mut Client, doc_id: &str) -> GetDocumentResponse {
    let request = GetDocumentRequest {
        collection: "c".into(),
        doc_id: doc_id.into(),
        include_conflicts: true,
        ..Default::default()
    };
    client.get_document(request).await.expect("get").into_inner()
}

async fn text(client: &mut Client, doc_id: &str) -> Option<String> {
    read(client, doc_id).await.json_data
}

#[tokio::test]
async fn many_documents_are_written_in_one_transaction_or_none_is() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let documents: Vec<DocumentWrite> =
        (0..100).map(|n| one_of_many(&n.to_string(), &format!(r#"{{"n":{n}}}"#))).collect();
    let request = PutDocumentsRequest { documents, ..Default::default() };
    let versions = client.put_documents(request).await.expect("put").into_inner().versions;
    assert_eq!(versions.len(), 100);
    let read_back = read(&mut client, "77").await;
    assert_eq!((read_back.json_data.as_deref(), &read_back.version), (Some(r#"{"n":77}"#), &versions[77]));

    let mut documents = vec![one_of_many("0", r#"{"n":-1}"#), one_of_many("new", "{}"), one_of_many("1", "{}")];
    documents[2].expected_version = Some(versions[0].clone());
    let request = PutDocumentsRequest { documents, ..Default::default() };
    let refused = client.put_documents(request).await.expect_err("1 has another version");
    let message = format!(
        "documents[2]: c/1 has version {} now, not the expected_version: read it again and decide anew",
        versions[1]
    );
    assert_eq!((refused.code(), refused.message()), (Code::Aborted, message.as_str()));
    assert_eq!(text(&mut client, "0").await.as_deref(), Some(r#"{"n":0}"#));
    assert_eq!(text(&mut client, "new").await, None);
}

#[tokio::test]
async fn a_counter_that_two_clients_raise_on_condition_loses_nothing() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let first = PutDocumentRequest { expected_version: Some(String::new()), ..put("n", r#"{"n":0}"#) };
    client.put_document(first.clone()).await.expect("there is none");
    assert_eq!(client.put_document(first).await.expect_err("there is one").code(), Code::AlreadyExists);
    let raise = |mut client: Client| async move {
        for _ in 0..20 {
            loop {
                let seen = read(&mut client, "n").await;
                let n: serde_json::Value = serde_json::from_str(&seen.json_data.expect("there")).expect("JSON");
                let next = format!(r#"{{"n":{}}}"#, n["n"].as_u64().expect("a number") + 1);
                let request = PutDocumentRequest { expected_version: Some(seen.version), ..put("n", &next) };
                match client.put_document(request).await {
                    Ok(_) => break,
                    Err(status) => assert_eq!(status.code(), Code::Aborted, "{status}"),
                }
            }
        }
    };
    tokio::join!(raise(node.client().await), raise(node.client().await));
    assert_eq!(text(&mut client, "n").await.as_deref(), Some(r#"{"n":40}"#));
}

#[tokio::test]
async fn a_patch_changes_its_fields_only() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    client.patch_document(patch("d", r#"{"b":{"x":1,"y":2},"a":1,"gone":null}"#)).await.expect("creates it");
    assert_eq!(text(&mut client, "d").await.as_deref(), Some(r#"{"b":{"x":1,"y":2},"a":1}"#));
    client.patch_document(patch("d", r#"{"b":{"x":null,"z":[1]},"c":true}"#)).await.expect("patch");
    assert_eq!(text(&mut client, "d").await.as_deref(), Some(r#"{"b":{"y":2,"z":[1]},"a":1,"c":true}"#));
    let before = read(&mut client, "d").await.version;
    let same = client.patch_document(patch("d", r#"{"a":1,"never":null}"#)).await.expect("patch").into_inner();
    assert_eq!(same.version, before, "nothing was written");
}

#[tokio::test]
async fn a_repeated_request_is_carried_out_once_also_after_a_restart() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let request = PutDocumentRequest { idempotency_key: "order 7".into(), ..put("d", r#"{"v":1}"#) };
    let version = client.put_document(request.clone()).await.expect("put").into_inner().version;
    client.put_document(put("d", r#"{"v":2}"#)).await.expect("somebody else");
    assert_eq!(client.put_document(request.clone()).await.expect("answered").into_inner().version, version);
    let many = PutDocumentsRequest {
        documents: vec![one_of_many("x", "{}"), one_of_many("y", "{}")],
        idempotency_key: "order 8".into(),
    };
    let versions = client.put_documents(many.clone()).await.expect("put").into_inner().versions;
    client.delete_document(delete("x")).await.expect("somebody else");
    drop(client);

    let node = node.restart().await;
    let mut client = node.client().await;
    assert_eq!(client.put_document(request.clone()).await.expect("answered").into_inner().version, version);
    assert_eq!(client.put_documents(many).await.expect("answered").into_inner().versions, versions);
    assert_eq!(text(&mut client, "d").await.as_deref(), Some(r#"{"v":2}"#));
    assert_eq!(text(&mut client, "x").await, None);
    let other = PutDocumentRequest { json_data: "{}".into(), ..request };
    assert_eq!(client.put_document(other).await.expect_err("another request").code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_deleted_document_says_who_deleted_it_and_has_a_version() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    assert_eq!(read(&mut client, "d").await, GetDocumentResponse::default(), "nobody ever wrote it");
    let nothing = client.delete_document(delete("d")).await.expect("a success").into_inner();
    assert_eq!(nothing.version, "");
    client.put_document(put("d", r#"{"v":1}"#)).await.expect("put");
    let version = client.delete_document(delete("d")).await.expect("delete").into_inner().version;
    let deleted = read(&mut client, "d").await;
    assert_eq!((deleted.json_data, &deleted.version), (None, &version));
    assert_eq!(deleted.deleted, Some(DocumentDeletion { by: node.mesh.0[..10].into(), at_ms: 0 }));
    let again = PutDocumentRequest { expected_version: Some(version), ..put("d", r#"{"v":2}"#) };
    client.put_document(again).await.expect("nobody else created it");
    assert_eq!(read(&mut client, "d").await.deleted, None);
}

#[tokio::test]
async fn what_two_nodes_wrote_apart_is_told_on_both() {
    let (a, b) = (TestNode::start().await, TestNode::start().await);
    let (mut on_a, mut on_b) = (a.client().await, b.client().await);
    on_a.put_document(put("d", r#"{"speed":1,"same":1}"#)).await.expect("put");
    on_b.put_document(put("d", r#"{"speed":2,"same":1}"#)).await.expect("put");
    let mut changes = Vec::new();
    for client in [&mut on_a, &mut on_b] {
        let mut of_this = client.subscribe(SubscribeRequest::default()).await.expect("subscribe").into_inner();
        of_this.message().await.expect("open").expect("what it wrote itself");
        changes.push(of_this);
    }
    let (endpoint_id, address) = b.mesh.clone();
    let wanted = ConnectPeerRequest { endpoint_id, addresses: vec![address], relay_url: String::new() };
    on_a.connect_peer(wanted).await.expect("connect");
    for of_this in &mut changes {
        of_this.message().await.expect("open").expect("what the other wrote");
    }
    let (seen_on_a, seen_on_b) = (read(&mut on_a, "d").await, read(&mut on_b, "d").await);
    assert_eq!(seen_on_a, seen_on_b, "version, content and conflicts");
    let [conflict] = &seen_on_a.conflicts[..] else { panic!("{seen_on_a:?}") };
    assert_eq!(conflict.path, "/speed");
    let shown: serde_json::Value = serde_json::from_str(&seen_on_a.json_data.expect("there")).expect("JSON");
    assert_eq!(conflict.values[0].json_data, shown["speed"].to_string(), "the winner is first");
    for value in &conflict.values {
        let author = if value.json_data == "1" { &a } else { &b };
        assert_eq!(value.by, author.mesh.0[..10]);
    }
    // Whoever reads it and writes ends it.
    on_a.patch_document(patch("d", r#"{"speed":3}"#)).await.expect("patch");
    assert_eq!(read(&mut on_a, "d").await.conflicts, []);
}

#[tokio::test]
async fn numbers_survive_exactly() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let numbers = concat!(
        r#"{"least":-9223372036854775808,"most":18446744073709551615,"big":9007199254740993,"tenth":0.1,"tiny":5e-324,"#,
        r#""huge":1.7976931348623157e308,"zero":0,"double_zero":0.0,"negative_zero":-0.0,"one":1.0}"#
    );
    client.put_document(put("d", numbers)).await.expect("put");
    let shown = text(&mut client, "d").await.expect("there");
    assert_eq!(shown.replace("e+308", "e308"), numbers);
}

#[tokio::test]
async fn the_limits_are_told() {
    let node = TestNode::start().await;
    let answer = node.post("GetLimits", "application/json", b"{}").await;
    let limits: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    insta::assert_snapshot!(serde_json::to_string_pretty(&limits).expect("JSON"));
}

/// A node that refused what its peers accept would not come to hold the same as they.
#[tokio::test]
async fn a_smaller_limit_holds_for_clients_and_not_for_peers() {
    let limits = ClientLimits { document_bytes: 4096, document_depth: 3, request_bytes: 16_384, put_documents: 2 };
    let (a, b) = (TestNode::start().await, TestNode::start_with(limits).await);
    let (mut on_a, mut on_b) = (a.client().await, b.client().await);
    let told = on_b.get_limits(GetLimitsRequest {}).await.expect("limits").into_inner();
    assert_eq!((told.max_document_bytes, told.max_document_depth), (4096, 3));
    assert_eq!((told.max_request_bytes, told.max_put_documents), (16_384, 2));

    let large = format!(r#"{{"a":"{}","b":{{"c":{{"d":{{}}}}}}}}"#, "x".repeat(5000));
    let refused = on_b.put_document(put("large", &large)).await.expect_err("too large");
    assert!(refused.message().contains("the limit is 4096"), "{refused}");
    let refused = on_b.put_document(put("deep", r#"{"b":{"c":{"d":{}}}}"#)).await.expect_err("too deep");
    assert!(refused.message().contains("nested deeper than 3 levels"), "{refused}");
    let documents = ["1", "2", "3"].map(|id| one_of_many(id, "{}")).to_vec();
    let refused = on_b.put_documents(PutDocumentsRequest { documents, ..Default::default() }).await.expect_err("many");
    assert!(refused.message().contains("between 1 and 2"), "{refused}");
    let refused = on_b.put_document(put("larger", &large.repeat(4))).await.expect_err("a large request");
    assert_eq!(refused.code(), Code::ResourceExhausted, "{refused}");

    let mut changes = on_b.subscribe(SubscribeRequest::default()).await.expect("subscribe").into_inner();
    on_a.put_document(put("large", &large)).await.expect("A takes it");
    let (endpoint_id, address) = b.mesh.clone();
    let wanted = ConnectPeerRequest { endpoint_id, addresses: vec![address], relay_url: String::new() };
    on_a.connect_peer(wanted).await.expect("connect");
    changes.message().await.expect("open").expect("the document");
    assert_eq!(text(&mut on_b, "large").await.as_deref(), Some(large.as_str()));
    let refused = on_b.patch_document(patch("large", r#"{"z":1}"#)).await.expect_err("it would still be too deep");
    assert!(refused.message().contains("4 levels deep, the limit is 3"), "{refused}");
    on_b.patch_document(patch("large", r#"{"a":1,"b":null}"#)).await.expect("within the limits");
    assert_eq!(text(&mut on_b, "large").await.as_deref(), Some(r#"{"a":1}"#));
}
