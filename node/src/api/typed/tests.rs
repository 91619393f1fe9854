use peat_proto::server::{CommandStatus, PlatformStatus, TrackCategory};
use prost::Message as _;

use super::*;
use crate::node::testing::lone_node;
use crate::node::{Node, WriteError};
use crate::store::{CommitMode, Store};

fn platform() -> Platform {
    Platform {
        id: "uav-1".into(),
        platform_type: "uav".into(),
        status: PlatformStatus::Busy.into(),
        latitude: 54.5,
        capabilities: vec!["eo".into(), "ir".into()],
        callsign: Some("HAWK".into()),
        ..Default::default()
    }
}

#[test]
fn a_typed_put_writes_zero_fields_and_leaves_absent_ones_out() {
    let text = to_document(&platform(), None).expect("valid");
    assert_eq!(
        text,
        r#"{"id":"uav-1","platform_type":"uav","name":"","status":2,"latitude":54.5,"longitude":0.0,"altitude_m":0.0,"readiness":0.0,"capabilities":["eo","ir"],"callsign":"HAWK"}"#
    );
    assert_eq!(from_document::<Platform>("uav-1".into(), &text), platform());
}

#[test]
fn a_typed_put_keeps_keys_of_the_application_and_withdraws_optional_fields() {
    let current = r#"{"colour":"grey","name":"old","unit_id":"U1","id":"uav-1"}"#;
    let text = to_document(&platform(), Some(current)).expect("valid");
    assert!(text.starts_with(r#"{"colour":"grey","name":"","id":"uav-1","platform_type":"uav""#), "{text}");
    assert!(!text.contains("unit_id"), "{text}");
}

#[test]
fn a_typed_get_skips_what_it_cannot_read() {
    let text = r#"{"id":"other","name":7,"status":"busy","latitude":"north","longitude":3,
        "capabilities":["eo",5],"callsign":null,"unit_id":"U1","colour":"grey"}"#;
    let wanted = Platform {
        id: "uav-1".into(),
        longitude: 3.0,
        capabilities: vec!["eo".into()],
        unit_id: Some("U1".into()),
        ..Default::default()
    };
    assert_eq!(from_document::<Platform>("uav-1".into(), text), wanted);
    assert_eq!(from_document::<Cell>("c".into(), "[1]"), Cell { id: "c".into(), ..Default::default() });
}

#[test]
fn integers_keep_all_64_bits_and_unknown_enum_numbers_survive() {
    let command = Command {
        id: "c1".into(),
        status: EnumValue::Unknown(42),
        created_at: i64::MAX,
        expires_at: i64::MIN,
        payload_json: r#"{"speed": 1}"#.into(),
        ..Default::default()
    };
    let text = to_document(&command, None).expect("valid");
    assert!(text.contains(r#""created_at":9223372036854775807,"expires_at":-9223372036854775808"#), "{text}");
    assert!(text.contains(r#""payload_json":"{\"speed\": 1}""#), "{text}");
    assert_eq!(from_document::<Command>("c1".into(), &text), command);

    let read = from_document::<Command>("c1".into(), r#"{"status":3.0,"created_at":1.5e3,"expires_at":0.5}"#);
    assert_eq!(read.status, CommandStatus::Completed);
    assert_eq!((read.created_at, read.expires_at), (1500, 0));
    let cell = from_document::<Cell>("c".into(), r#"{"platform_count":-1}"#);
    assert_eq!(cell.platform_count, 0);
}

#[test]
fn optional_zero_is_not_absent() {
    let track = Track {
        id: "t".into(),
        heading_deg: Some(0.0),
        cell_id: Some(String::new()),
        category: TrackCategory::Air.into(),
        ..Default::default()
    };
    let text = to_document(&track, None).expect("valid");
    assert!(text.contains(r#""cell_id":"""#) && text.contains(r#""heading_deg":0.0"#), "{text}");
    assert!(!text.contains("speed_mps"), "{text}");
    assert_eq!(from_document::<Track>("t".into(), &text), track);
}

#[test]
fn refusals_name_the_field() {
    let nan = Platform { longitude: f64::NAN, ..platform() };
    let endless = Track { id: "t".into(), cep_m: Some(f64::INFINITY), ..Default::default() };
    let messages = [
        to_document(&nan, None).expect_err("NaN"),
        to_document(&endless, None).expect_err("infinity"),
        check(&Cell::default()).expect_err("no id"),
        check(&Command { id: "a\u{7}".into(), ..Default::default() }).expect_err("a bell"),
        RecordError::Missing { record: "cell" },
    ];
    insta::assert_snapshot!(messages.map(|m| m.to_string()).join("\n"), @r"
    platform.longitude is NaN, which JSON cannot express; send a finite number
    track.cep_m is inf, which JSON cannot express; send a finite number
    cell.id is empty; give it the id that the document is to have
    command.id is no document id: doc_id has a control character (U+0007) at byte 1; remove it
    cell is missing; send the record to write
    ");
}

#[test]
fn every_field_of_the_contract_is_kept() {
    let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let fields = |message: &str| -> Vec<String> {
        let found = set.file.iter().flat_map(|f| &f.message_type).find(|m| m.name() == message);
        found.expect("a message of the contract").field.iter().map(|f| f.name().to_owned()).collect()
    };
    assert_eq!(fields("Platform"), Platform::FIELDS);
    assert_eq!(fields("Cell"), Cell::FIELDS);
    assert_eq!(fields("Track"), Track::FIELDS);
    assert_eq!(fields("Command"), Command::FIELDS);
}

/// Typed puts read the document and write over it. When these were two steps, a key that somebody else
/// added between them was lost, and so was the fleet's trust in keeping keys of its own there.
#[tokio::test]
async fn a_typed_put_loses_nothing_that_is_written_at_the_same_time() {
    use crate::api::service::Sidecar;
    let node = node().await;
    let sidecar = Sidecar::new(node.handle().clone(), Default::default());
    const WRITERS: u32 = 30;
    let typed = (0..WRITERS).map(|i| {
        let record = Platform { latitude: f64::from(i), ..platform() };
        let sidecar = &sidecar;
        async move { sidecar.put_record(Some(&record)).await.expect("put") }
    });
    let own_keys = (0..WRITERS).map(|i| {
        let add = move |current: Option<String>| -> Result<String, WriteError> {
            let mut fields = current.as_deref().map(parse).unwrap_or_default();
            fields.insert(format!("key{i}"), Value::from(i));
            Ok(Value::Object(fields).to_string())
        };
        let handle = node.handle();
        async move { handle.modify("platforms", "uav-1", add).await.expect("modified") }
    });
    // Polled in turn, so that each is between any two steps of the others.
    futures::join!(futures::future::join_all(typed), futures::future::join_all(own_keys));

    let text = node.handle().get("platforms", "uav-1").await.expect("readable").expect("there");
    let fields = parse(&text);
    let lost: Vec<u32> = (0..WRITERS).filter(|i| fields.get(&format!("key{i}")) != Some(&Value::from(*i))).collect();
    assert!(lost.is_empty(), "{lost:?} lost: {text}");
    assert_eq!(from_document::<Platform>("uav-1".into(), &text).callsign.as_deref(), Some("HAWK"));
}

#[tokio::test]
async fn a_modification_that_is_refused_changes_nothing() {
    let node = node().await;
    let (handle, sidecar) =
        (node.handle(), crate::api::service::Sidecar::new(node.handle().clone(), Default::default()));
    handle.put("platforms", "uav-1", r#"{"colour":"grey"}"#).await.expect("put");
    let nan = Platform { longitude: f64::NAN, ..platform() };
    let status = sidecar.put_record(Some(&nan)).await.expect_err("NaN");
    assert_eq!(status.code, connectrpc::ErrorCode::InvalidArgument);
    let error = handle.modify("platforms", "uav-1", |_| Ok::<_, WriteError>("[]".into())).await.expect_err("no object");
    assert!(matches!(error, WriteError::Json(_)), "{error}");
    let text = handle.get("platforms", "uav-1").await.expect("readable");
    assert_eq!(text.as_deref(), Some(r#"{"colour":"grey"}"#));
    // A delete is seen: nothing of the old document comes back.
    handle.delete("platforms", "uav-1").await.expect("delete");
    sidecar.put_record(Some(&platform())).await.expect("put");
    let text = handle.get("platforms", "uav-1").await.expect("readable").expect("there");
    assert!(!text.contains("colour"), "{text}");
}

async fn node() -> Node {
    let disk = redb::backends::InMemoryBackend::new();
    let store = Store::open_backend(disk, CommitMode::Thread, iroh::SecretKey::from_bytes(&[7; 32]), [9; 16]);
    lone_node(store.expect("store")).await
}
