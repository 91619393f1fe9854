//! Reading and watching beyond the basics: pages, many documents, versions to wait for, cursors, filters.

use std::time::Duration;

use peat_proto::client::*;
use tonic::Code;

use crate::harness::{Client, TestNode};
use crate::put;

async fn subscribe(client: &mut Client, request: SubscribeRequest) -> tonic::Streaming<DocumentChange> {
    client.subscribe(request).await.expect("subscribed").into_inner()
}

async fn next(stream: &mut tonic::Streaming<DocumentChange>) -> DocumentChange {
    stream.message().await.expect("open").expect("a change")
}

fn told(change: &DocumentChange) -> (ChangeType, &str) {
    (change.change_type(), &change.doc_id)
}

fn fuel_below(value_json: &str) -> Option<Filter> {
    let op = FilterOp::Less.into();
    Some(Filter { op, path: "status.fuel".into(), value_json: value_json.into(), ..Default::default() })
}

fn fuel(value: f64) -> String {
    format!(r#"{{"status":{{"fuel":{value}}}}}"#)
}

#[tokio::test]
async fn a_reader_that_lost_its_stream_goes_on_where_it_was() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    for id in ["a", "b", "c"] {
        client.put_document(put("c", id, r#"{"v":1}"#)).await.expect("put");
    }
    let mut stream = subscribe(&mut client, SubscribeRequest { markers: true, ..Default::default() }).await;
    let mut last = next(&mut stream).await;
    for _ in 0..3 {
        last = next(&mut stream).await;
    }
    assert_eq!(told(&last), (ChangeType::SnapshotEnd, ""));
    drop(stream);

    client.put_document(put("c", "b", r#"{"v":2}"#)).await.expect("put");
    client.put_document(put("c", "b", r#"{"v":3}"#)).await.expect("put");
    let delete = DeleteDocumentRequest { collection: "c".into(), doc_id: "a".into(), ..Default::default() };
    client.delete_document(delete).await.expect("delete");
    let resume = SubscribeRequest { markers: true, resume_cursor: last.cursor, ..Default::default() };
    let mut stream = subscribe(&mut client, resume).await;
    let changed = next(&mut stream).await;
    assert_eq!((told(&changed), changed.json_data.as_deref()), ((ChangeType::Upsert, "b"), Some(r#"{"v":3}"#)));
    let deleted = next(&mut stream).await;
    assert_eq!(told(&deleted), (ChangeType::Delete, "a"));
    assert_eq!(told(&next(&mut stream).await).0, ChangeType::SnapshotEnd);

    let other = SubscribeRequest { resume_cursor: deleted.cursor, doc_id_prefix: "c".into(), ..Default::default() };
    let mut stream = subscribe(&mut client, other).await;
    assert_eq!(told(&next(&mut stream).await), (ChangeType::Reset, ""), "the cursor is of another selection");
    assert_eq!(told(&next(&mut stream).await), (ChangeType::Upsert, "c"));
}

#[tokio::test]
async fn a_filter_tells_what_matches_and_what_no_longer_does() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    for (id, left) in [("low", 0.1), ("full", 0.9)] {
        client.put_document(put("c", id, &fuel(left))).await.expect("put");
    }
    let request = SubscribeRequest { markers: true, filter: fuel_below("0.2"), ..Default::default() };
    let mut stream = subscribe(&mut client, request).await;
    assert_eq!(told(&next(&mut stream).await), (ChangeType::Upsert, "low"));
    assert_eq!(told(&next(&mut stream).await).0, ChangeType::SnapshotEnd);
    client.put_document(put("c", "full", &fuel(0.5))).await.expect("put");
    client.put_document(put("c", "low", &fuel(1.0))).await.expect("put");
    let left = next(&mut stream).await;
    assert_eq!((told(&left), &left.json_data), ((ChangeType::Left, "low"), &None));
    client.put_document(put("c", "full", &fuel(0.0))).await.expect("put");
    assert_eq!(told(&next(&mut stream).await), (ChangeType::Upsert, "full"));

    let listed = ListDocumentsRequest { collection: "c".into(), filter: fuel_below("0.2"), ..Default::default() };
    assert_eq!(client.list_documents(listed).await.expect("list").into_inner().doc_ids, ["full"]);
}

#[tokio::test]
async fn a_collection_is_listed_page_by_page_while_it_is_written() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    for n in 0..25 {
        client.put_document(put("c", &format!("doc-{n:02}"), &format!(r#"{{"n":{n}}}"#))).await.expect("put");
    }
    client.put_document(put("c", "other", "{}")).await.expect("put");
    let mut request = ListDocumentsRequest {
        collection: "c".into(),
        page_size: 10,
        doc_id_prefix: "doc-".into(),
        include_content: true,
        ..Default::default()
    };
    let mut documents = vec![];
    loop {
        let page = client.list_documents(request.clone()).await.expect("list").into_inner();
        assert_eq!(page.doc_ids.len(), page.documents.len());
        documents.extend(page.documents);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        // What is written before the page goes unseen; what is written after it is seen; nothing is seen twice.
        client.put_document(put("c", "doc-00a", "{}")).await.expect("put");
        client.put_document(put("c", "doc-24", r#"{"n":"new"}"#)).await.expect("put");
    }
    let seen: Vec<_> = documents.iter().map(|document| document.doc_id.as_str()).collect();
    let expected: Vec<_> = (0..25).map(|n| format!("doc-{n:02}")).collect();
    assert_eq!(seen, expected);
    assert_eq!(documents[24].json_data.as_deref(), Some(r#"{"n":"new"}"#));

    request.doc_id_prefix = "other".into();
    let refused = client.list_documents(request).await.expect_err("the token is of another list");
    assert_eq!(refused.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn many_documents_are_read_at_once_and_what_does_not_fit_is_left_out() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let large = format!(r#"{{"text":"{}"}}"#, "x".repeat(1 << 20 >> 1));
    for id in 0..8 {
        client.put_document(put("c", &id.to_string(), &large)).await.expect("put");
    }
    let of = |id: &str| DocumentRef { collection: "c".into(), doc_id: id.into(), ..Default::default() };
    let request = |ids: &[&str]| GetDocumentsRequest { documents: ids.iter().map(|id| of(id)).collect(), wait_ms: 0 };
    let found = client.get_documents(request(&["1", "none", "0"])).await.expect("read").into_inner();
    let found: Vec<_> = found.documents.iter().map(|d| (d.doc_id.as_str(), d.json_data.is_some())).collect();
    assert_eq!(found, [("1", true), ("none", false), ("0", true)]);
    let all = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let found = client.get_documents(request(&all)).await.expect("read").into_inner();
    assert_eq!((found.documents.len(), found.left_out), (5, 3));
}

#[tokio::test]
async fn a_read_waits_for_the_version_that_it_is_given() {
    let (writer, reader) = (TestNode::start_as("writer", 1).await, TestNode::start_as("reader", 2).await);
    let (mut on_writer, mut on_reader) = (writer.client().await, reader.client().await);
    on_writer.put_document(put("c", "d", r#"{"v":1}"#)).await.expect("put");
    let of = DocumentRef { collection: "c".into(), doc_id: "d".into(), ..Default::default() };
    let request = GetDocumentsRequest { documents: vec![of], wait_ms: 0 };
    let there = on_writer.get_documents(request).await.expect("read").into_inner().documents.remove(0);

    let after = |wait_ms| GetDocumentRequest {
        collection: "c".into(),
        doc_id: "d".into(),
        min_version: there.version.clone(),
        wait_ms,
        ..Default::default()
    };
    let at_once = on_writer.get_document(after(0)).await.expect("it is there").into_inner();
    assert_eq!(at_once.json_data.as_deref(), Some(r#"{"v":1}"#));
    for wait_ms in [0, 20] {
        let refused = on_reader.get_document(after(wait_ms)).await.expect_err("nothing connects the two");
        assert_eq!(refused.code(), Code::DeadlineExceeded);
        assert!(refused.message().starts_with("c/d does not contain the version asked for"), "{}", refused.message());
    }

    let mut waiting_client = on_reader.clone();
    let patient = after(60_000);
    let waiting = tokio::spawn(async move { waiting_client.get_document(patient).await });
    reader.connect_to(&writer).await;
    let arrived = tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("in time").expect("ran");
    assert_eq!(arrived.expect("arrived").into_inner().json_data.as_deref(), Some(r#"{"v":1}"#));

    // An older version is contained in a newer one, and a list waits, too.
    on_reader.put_document(put("c", "d", r#"{"v":2}"#)).await.expect("put");
    let wanted = DocumentVersion { doc_id: "d".into(), version: there.version.clone() };
    let list = ListDocumentsRequest { collection: "c".into(), after: vec![wanted], ..Default::default() };
    assert_eq!(on_reader.list_documents(list).await.expect("list").into_inner().doc_ids, ["d"]);
}
