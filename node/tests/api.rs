//! The API as clients meet it: a real node, served over TCP, a Unix socket or an in-memory stream, called
//! by the standard gRPC client and by requests that are written by hand.
#![expect(clippy::disallowed_methods, reason = "real sockets and a real runtime, no simulation")]

#[path = "api/access.rs"]
mod access;
#[path = "api/agent.rs"]
mod agent;
#[path = "api/binary.rs"]
mod binary;
#[path = "api/collections.rs"]
mod collections;
#[path = "api/discovery.rs"]
mod discovery;
#[path = "api/exposition.rs"]
mod exposition;
#[path = "api/harness.rs"]
mod harness;
#[path = "api/operator.rs"]
mod operator;
#[path = "api/reading.rs"]
mod reading;
#[path = "api/reference.rs"]
mod reference;
#[path = "api/refusals.rs"]
mod refusals;
#[path = "api/relay.rs"]
mod relay;
#[path = "api/writes.rs"]
mod writes;

use std::time::Duration;

use peat_proto::client::*;
use prost::Message as _;
use tonic::Code;

use harness::{TestNode, envelope, frames};

#[tokio::test]
async fn a_document_is_put_read_listed_and_deleted_over_grpc() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    client.put_document(put("c", "b", r#"{"origin":"a"}"#)).await.expect("put");
    client.put_document(put("c", "a", r#"{ "z": 1, "a": [true, null] }"#)).await.expect("put");

    assert_eq!(get(&mut client, "c", "b").await.as_deref(), Some(r#"{"origin":"a"}"#));
    assert_eq!(get(&mut client, "c", "a").await.as_deref(), Some(r#"{"z":1,"a":[true,null]}"#));
    assert_eq!(get(&mut client, "c", "unknown").await, None);
    assert_eq!(list(&mut client, "c").await, ["a", "b"]);

    let delete = DeleteDocumentRequest { collection: "c".into(), doc_id: "b".into(), ..Default::default() };
    client.delete_document(delete.clone()).await.expect("delete");
    client.delete_document(delete).await.expect("deleting what is not there is a success");
    assert_eq!(get(&mut client, "c", "b").await, None);
    assert_eq!(list(&mut client, "c").await, ["a"]);
}

#[tokio::test]
async fn a_subscription_shows_what_is_there_and_then_what_changes() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    client.put_document(put("c", "old", r#"{"v":1}"#)).await.expect("put");
    client.put_document(put("other", "x", r#"{"v":1}"#)).await.expect("put");

    let request = SubscribeRequest { collections: vec!["c".into()], ..Default::default() };
    let mut changes = client.subscribe(request).await.expect("subscribe").into_inner();
    let mut next = async || changes.message().await.expect("open").expect("a change");
    assert_eq!(told(next().await), upsert("c", "old", r#"{"v":1}"#));

    client.put_document(put("other", "y", r#"{"v":1}"#)).await.expect("put");
    client.put_document(put("c", "new", r#"{"v":2}"#)).await.expect("put");
    assert_eq!(told(next().await), upsert("c", "new", r#"{"v":2}"#));
    client
        .delete_document(DeleteDocumentRequest { collection: "c".into(), doc_id: "old".into(), ..Default::default() })
        .await
        .expect("delete");
    let deleted = next().await;
    assert_eq!(deleted.change_type(), ChangeType::Delete);
    assert_eq!((deleted.doc_id.as_str(), deleted.json_data), ("old", None));
}

#[tokio::test]
async fn a_typed_record_is_a_document_and_the_other_way_round() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let track = Track {
        id: "t1".into(),
        source_platform: "uav-1".into(),
        latitude: 54.5,
        longitude: -1.25,
        cep_m: Some(0.0),
        classification: "boat".into(),
        confidence: 0.75,
        category: TrackCategory::Vehicle.into(),
        ..Default::default()
    };
    client.put_track(PutTrackRequest { track: Some(track.clone()) }).await.expect("put");
    let text = get(&mut client, "tracks", "t1").await.expect("visible as a document");
    assert!(text.starts_with(r#"{"id":"t1","source_platform":"uav-1","latitude":54.5"#), "{text}");
    assert!(text.ends_with(r#""category":2}"#), "{text}");
    let tracks = client.get_tracks(GetTracksRequest {}).await.expect("get").into_inner().tracks;
    assert_eq!(tracks, [track]);

    let text = r#"{"id":"c1","target_id":"uav-1","status":3,"created_at":1700000000000,"note":"mine"}"#;
    client.put_document(put("commands", "c1", text)).await.expect("put");
    let mut command = client.get_commands(GetCommandsRequest {}).await.expect("get").into_inner().commands.remove(0);
    assert_eq!((command.status(), command.created_at), (CommandStatus::Completed, 1_700_000_000_000));
    command.set_status(CommandStatus::Failed);
    client.put_command(PutCommandRequest { command: Some(command) }).await.expect("put");
    let text = get(&mut client, "commands", "c1").await.expect("still there");
    assert!(text.contains(r#""note":"mine""#) && text.contains(r#""status":4"#), "{text}");
}

#[tokio::test]
async fn status_peers_and_sync_are_told_and_switched() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let status = client.get_status(GetStatusRequest {}).await.expect("status").into_inner();
    assert_eq!(status.node_id, "test-node");
    assert_eq!(status.endpoint_addr.len(), 64);
    assert_eq!((status.phase(), status.sync_active), (NodePhase::Ready, true));

    let stranger = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";
    let addresses = vec!["127.0.0.1:9".to_owned()];
    let wanted =
        ConnectPeerRequest { endpoint_id: stranger.into(), addresses: addresses.clone(), relay_url: String::new() };
    client.connect_peer(wanted).await.expect("nobody has to answer there");
    let peers = client.list_peers(ListPeersRequest {}).await.expect("list").into_inner().peers;
    assert_eq!(peers.len(), 1);
    let PeerInfo { endpoint_id, addresses: told, connected, wanted, .. } = &peers[0];
    assert_eq!((endpoint_id.as_str(), told, *connected, *wanted), (stranger, &addresses, false, true));
    client.disconnect_peer(DisconnectPeerRequest { endpoint_id: stranger.into() }).await.expect("disconnect");
    assert!(client.list_peers(ListPeersRequest {}).await.expect("list").into_inner().peers.is_empty());

    client.stop_sync(StopSyncRequest {}).await.expect("stop");
    assert!(!client.get_sync_stats(GetSyncStatsRequest {}).await.expect("stats").into_inner().sync_active);
    client.start_sync(StartSyncRequest {}).await.expect("start");
    assert!(client.get_sync_stats(GetSyncStatsRequest {}).await.expect("stats").into_inner().sync_active);
}

#[tokio::test]
async fn connect_json_works_with_nothing_but_http() {
    let node = TestNode::start().await;
    let put = r#"{"collection":"c","docId":"d","jsonData":"{\"origin\":\"a\"}"}"#;
    let answer = node.post("PutDocument", "application/json", put.as_bytes()).await;
    let written: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
    assert_eq!(answer.status, 200);
    let answer = node.post("GetDocument", "application/json", br#"{"collection":"c","docId":"d"}"#).await;
    let read = format!(r#"{{"jsonData":"{{\"origin\":\"a\"}}","version":{}}}"#, written["version"]);
    assert_eq!((answer.status, answer.text()), (200, read.as_str()));
    let answer = node.post("GetDocument", "application/json", br#"{"collection":"c","docId":"no"}"#).await;
    assert_eq!((answer.status, answer.text()), (200, "{}"));
    let request = ListDocumentsRequest { collection: "c".into(), ..Default::default() }.encode_to_vec();
    let answer = node.post("ListDocuments", "application/proto", &request).await;
    let listed = ListDocumentsResponse::decode(answer.body.as_slice()).expect("protobuf");
    assert_eq!(listed.doc_ids, ["d"]);
}

#[tokio::test]
async fn connect_streams_need_nothing_but_http_either() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    client.put_document(put("c", "d", r#"{"v":1}"#)).await.expect("put");
    let mut stream = node.open("Subscribe", "application/connect+json", &envelope(b"{}")).await;
    let first = stream.frame().await;
    let text = String::from_utf8(first.payload).expect("JSON");
    assert_eq!(first.flags, 0);
    let expected =
        r#"{"collection":"c","docId":"d","changeType":"CHANGE_TYPE_UPSERT","jsonData":"{\"v\":1}","version":""#;
    assert!(text.starts_with(expected) && text.contains(r#","cursor":""#), "{text}");
}

#[tokio::test]
async fn grpc_web_works_over_http_1() {
    let node = TestNode::start().await;
    let request = envelope(&put("c", "d", r#"{"v":1}"#).encode_to_vec());
    let answer = node.post("PutDocument", "application/grpc-web+proto", &request).await;
    let answer = frames(&answer.body);
    assert_eq!(answer[0].flags, 0);
    let written = PutDocumentResponse::decode(answer[0].payload.as_slice()).expect("protobuf");
    assert!(!written.version.is_empty(), "{written:?}");
    let trailers = String::from_utf8(answer[1].payload.clone()).expect("text");
    assert!(answer[1].flags == 0x80 && trailers.contains("grpc-status: 0"), "{trailers}");

    let request = envelope(&put("", "d", "{}").encode_to_vec());
    let answer = frames(&node.post("PutDocument", "application/grpc-web+proto", &request).await.body);
    let trailers = String::from_utf8(answer.last().expect("trailers").payload.clone()).expect("text");
    assert!(trailers.contains("grpc-status: 3"), "{trailers}");
}

#[tokio::test]
async fn a_unix_socket_serves_the_same() {
    let node = TestNode::start_on_unix_socket().await;
    let answer = node.post("GetStatus", "application/json", b"{}").await;
    assert_eq!(answer.status, 200);
    assert!(answer.text().contains(r#""nodeId":"test-node""#), "{}", answer.text());
}

#[tokio::test]
async fn a_stopping_server_ends_subscriptions_with_a_reason() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let mut changes = client.subscribe(SubscribeRequest::default()).await.expect("subscribe").into_inner();
    let began = std::time::Instant::now();
    node.stop().await;
    let ended = changes.message().await.expect_err("a clean end would say that nothing more happens");
    assert_eq!(ended.code(), Code::Unavailable);
    assert_eq!(ended.message(), "the node is shutting down; subscribe again after its restart");
    assert!(began.elapsed() < Duration::from_secs(2), "nothing had to wait for the grace to run out");
}

#[tokio::test]
async fn dropping_a_connection_ends_the_streams_on_it_as_a_crash_would() {
    let node = TestNode::start().await;
    let (mut client, connection) = node.client_and_connection().await;
    let mut changes = client.subscribe(SubscribeRequest::default()).await.expect("subscribe").into_inner();
    connection.abort();
    changes.message().await.expect_err("nobody is left to end the stream cleanly");
    client.get_status(GetStatusRequest {}).await.expect_err("nobody answers");
}

fn put(collection: &str, doc_id: &str, json: &str) -> PutDocumentRequest {
    PutDocumentRequest {
        collection: collection.into(),
        doc_id: doc_id.into(),
        json_data: json.into(),
        ..Default::default()
    }
}

fn upsert(collection: &str, doc_id: &str, json: &str) -> DocumentChange {
    DocumentChange {
        collection: collection.into(),
        doc_id: doc_id.into(),
        change_type: ChangeType::Upsert.into(),
        json_data: Some(json.into()),
        ..Default::default()
    }
}

/// What a client of the first version of the contract sees.
fn told(change: DocumentChange) -> DocumentChange {
    assert!(!change.version.is_empty() && !change.cursor.is_empty());
    DocumentChange { version: String::new(), cursor: String::new(), ..change }
}

async fn get(client: &mut harness::Client, collection: &str, doc_id: &str) -> Option<String> {
    let request = GetDocumentRequest { collection: collection.into(), doc_id: doc_id.into(), ..Default::default() };
    client.get_document(request).await.expect("get").into_inner().json_data
}

async fn list(client: &mut harness::Client, collection: &str) -> Vec<String> {
    let request = ListDocumentsRequest { collection: collection.into(), ..Default::default() };
    client.list_documents(request).await.expect("list").into_inner().doc_ids
}
