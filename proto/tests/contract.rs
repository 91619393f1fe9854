//! The contract may grow, but nothing that a published client uses may change. The table below is the
//! contract as clients know it, transcribed by hand; the definition must contain all of it.

use prost::Message as _;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto};

/// Methods as `name(fields of the request) -> fields of the response`, or `stream Message`.
const METHODS: &[(&str, &str, &str)] = &[
    (
        "GetStatus",
        "",
        "string node_id=1; string endpoint_addr=2; bool sync_active=3; uint32 connected_peers=4; NodePhase phase=5",
    ),
    ("ConnectPeer", "string endpoint_id=1; repeated string addresses=2; string relay_url=3", ""),
    ("DisconnectPeer", "string endpoint_id=1", ""),
    ("ListPeers", "", "repeated PeerInfo peers=1"),
    ("PutDocument", "string collection=1; string doc_id=2; string json_data=3", ""),
    ("GetDocument", "string collection=1; string doc_id=2", "optional string json_data=1"),
    ("DeleteDocument", "string collection=1; string doc_id=2", ""),
    ("ListDocuments", "string collection=1", "repeated string doc_ids=1"),
    ("PutPlatform", "Platform platform=1", ""),
    ("GetPlatforms", "", "repeated Platform platforms=1"),
    ("PutCell", "Cell cell=1", ""),
    ("GetCells", "", "repeated Cell cells=1"),
    ("PutTrack", "Track track=1", ""),
    ("GetTracks", "", "repeated Track tracks=1"),
    ("PutCommand", "Command command=1", ""),
    ("GetCommands", "", "repeated Command commands=1"),
    ("Subscribe", "repeated string collections=1", "stream DocumentChange"),
    ("StartSync", "", ""),
    ("StopSync", "", ""),
    ("GetSyncStats", "", "bool sync_active=1; uint32 connected_peers=2; uint64 bytes_sent=3; uint64 bytes_received=4"),
];

const MESSAGES: &[(&str, &str)] = &[
    ("PeerInfo", "string endpoint_id=1; repeated string addresses=2; bool connected=3"),
    ("DocumentChange", "string collection=1; string doc_id=2; ChangeType change_type=3; optional string json_data=4"),
    (
        "Platform",
        "string id=1; string platform_type=2; string name=3; PlatformStatus status=4; double latitude=5; \
         double longitude=6; double altitude_m=7; double readiness=8; repeated string capabilities=9; \
         optional string unit_id=10; optional string callsign=11",
    ),
    (
        "Cell",
        "string id=1; string name=2; CellStatus status=3; uint32 platform_count=4; double center_latitude=5; \
         double center_longitude=6; repeated string capabilities=7; optional string formation_id=8; \
         optional string leader_id=9",
    ),
    (
        "Track",
        "string id=1; string source_platform=2; optional string cell_id=3; optional string formation_id=4; \
         double latitude=5; double longitude=6; optional double altitude_m=7; optional double cep_m=8; \
         optional double heading_deg=9; optional double speed_mps=10; string classification=11; \
         double confidence=12; TrackCategory category=13",
    ),
    (
        "Command",
        "string id=1; string target_id=2; string command_type=3; CommandStatus status=4; int64 created_at=5; \
         int64 expires_at=6; string payload_json=7",
    ),
];

/// Enums as `prefix`, then the values from 0 on without their prefix.
const ENUMS: &[(&str, &str, &[&str])] = &[
    ("NodePhase", "NODE_PHASE", &["UNSPECIFIED", "INITIALIZING", "READY", "SYNCING", "SHUTTING_DOWN"]),
    ("ChangeType", "CHANGE_TYPE", &["UNSPECIFIED", "UPSERT", "DELETE"]),
    ("PlatformStatus", "PLATFORM_STATUS", &["UNSPECIFIED", "READY", "BUSY", "DEGRADED", "OFFLINE"]),
    ("CellStatus", "CELL_STATUS", &["UNSPECIFIED", "ACTIVE", "INACTIVE", "OFFLINE"]),
    ("TrackCategory", "TRACK_CATEGORY", &["UNSPECIFIED", "PERSON", "VEHICLE", "GROUND", "AIR", "UNKNOWN"]),
    ("CommandStatus", "COMMAND_STATUS", &["UNSPECIFIED", "PENDING", "EXECUTING", "COMPLETED", "FAILED", "CANCELLED"]),
];

fn contract() -> FileDescriptorProto {
    let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    set.file.into_iter().find(|f| f.package() == "peat.sidecar.v1").expect("the contract's package")
}

fn type_name(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::String => "string".into(),
        Type::Bool => "bool".into(),
        Type::Double => "double".into(),
        Type::Uint32 => "uint32".into(),
        Type::Uint64 => "uint64".into(),
        Type::Int64 => "int64".into(),
        Type::Message | Type::Enum => field.type_name().trim_start_matches(".peat.sidecar.v1.").into(),
        other => format!("{other:?}"),
    }
}

fn fields(message: &DescriptorProto) -> Vec<String> {
    let spell = |field: &FieldDescriptorProto| {
        let label = match (field.label(), field.proto3_optional()) {
            (Label::Repeated, _) => "repeated ",
            (_, true) => "optional ",
            _ => "",
        };
        format!("{label}{} {}={}", type_name(field), field.name(), field.number())
    };
    message.field.iter().map(spell).collect()
}

#[track_caller]
fn assert_has(file: &FileDescriptorProto, message: &str, wanted: &str) {
    let message = message.trim_start_matches(".peat.sidecar.v1.");
    let found = file.message_type.iter().find(|m| m.name() == message);
    let found = fields(found.unwrap_or_else(|| panic!("message {message} is missing")));
    for field in wanted.split("; ").filter(|f| !f.is_empty()) {
        assert!(found.iter().any(|f| f == field), "{message} lacks `{field}`; it has {found:?}");
    }
}

#[test]
fn every_method_that_clients_know_is_there() {
    let file = contract();
    let service = file.service.iter().find(|s| s.name() == "PeatSidecar").expect("the service");
    assert_eq!(peat_proto::SERVICE_NAME, "peat.sidecar.v1.PeatSidecar");
    for (name, request, response) in METHODS {
        let method = service.method.iter().find(|m| m.name() == *name);
        let method = method.unwrap_or_else(|| panic!("method {name} is missing"));
        assert!(!method.client_streaming(), "{name}: no method of the contract streams requests");
        assert_has(&file, method.input_type(), request);
        match response.strip_prefix("stream ") {
            Some(message) => {
                assert!(method.server_streaming(), "{name} must stream");
                assert_eq!(method.output_type(), format!(".peat.sidecar.v1.{message}"));
            }
            None => {
                assert!(!method.server_streaming(), "{name} must not stream");
                assert_has(&file, method.output_type(), response);
            }
        }
    }
}

#[test]
fn every_message_that_clients_know_is_there() {
    let file = contract();
    for (message, wanted) in MESSAGES {
        assert_has(&file, message, wanted);
    }
}

#[test]
fn every_enum_value_that_clients_know_is_there() {
    let file = contract();
    for (name, prefix, values) in ENUMS {
        let found: &EnumDescriptorProto =
            file.enum_type.iter().find(|e| e.name() == *name).unwrap_or_else(|| panic!("enum {name} is missing"));
        for (number, value) in values.iter().enumerate() {
            let value = format!("{prefix}_{value}");
            assert!(
                found.value.iter().any(|v| v.name() == value && v.number() as usize == number),
                "{name} lacks {value} = {number}"
            );
        }
    }
}

#[test]
fn numbers_and_names_are_each_used_once() {
    for message in &contract().message_type {
        let mut numbers: Vec<i32> = message.field.iter().map(FieldDescriptorProto::number).collect();
        numbers.sort_unstable();
        numbers.dedup();
        assert_eq!(numbers.len(), message.field.len(), "{} uses a number twice", message.name());
    }
}
