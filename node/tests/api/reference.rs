//! The examples of `docs/api.md`: written from the contract and the table below, and each of them sent to a node.

use std::fmt::Write as _;
use std::path::Path;

use peat_proto::client::*;
use prost::Message as _;
use prost_types::field_descriptor_proto::Type;
use prost_types::{FileDescriptorProto, FileDescriptorSet, MethodDescriptorProto};
use serde_json::Value;

use crate::harness::{TestNode, envelope};

const PACKAGE: &str = ".peat.sidecar.v1.";
const BEGIN: &str =
    "<!-- Every method: written by `PEAT_WRITE_DOCS=1 cargo test -p peat-node --test api reference::`. -->\n";
const END: &str = "<!-- End of every method. -->\n";
/// In the examples; the test dials nobody there.
const PEER_ADDRESS: &str = "10.0.0.7:7777";
const PEER: &str = "3b6a27bcceb6a42d62a3a8d02a6f0d73653215771de243a63ac048a18b59da29";

/// A request for each method, in the order in which they can be sent to a new node. One field of each message is enough
/// for an example; `docs/api.md` has the stories.
const EXAMPLES: &[(&str, &str)] = &[
    ("GetStatus", r#"{}"#),
    ("ConnectPeer", r#"{"endpointId":"(peer)","addresses":["10.0.0.7:7777"]}"#),
    ("DisconnectPeer", r#"{"endpointId":"(peer)"}"#),
    ("ListPeers", r#"{}"#),
    ("PutDocument", r#"{"collection":"fleet","docId":"ship-7","jsonData":"{\"crew\":12}"}"#),
    (
        "PutDocuments",
        r#"{"documents":[{"collection":"fleet","docId":"ship-8","jsonData":"{}"},{"collection":"fleet","docId":"ship-9","jsonData":"{}","expectedVersion":""}]}"#,
    ),
    ("PatchDocument", r#"{"collection":"fleet","docId":"ship-7","jsonPatch":"{\"crew\":13,\"note\":null}"}"#),
    ("GetDocument", r#"{"collection":"fleet","docId":"ship-7","includeConflicts":true}"#),
    ("DeleteDocument", r#"{"collection":"fleet","docId":"ship-9","idempotencyKey":"6f1c9a52"}"#),
    ("GetLimits", r#"{}"#),
    (
        "ListDocuments",
        r#"{"collection":"fleet","docIdPrefix":"ship-","pageSize":100,"includeContent":true,"filter":{"op":"FILTER_OP_GREATER","path":"crew","valueJson":"10"}}"#,
    ),
    (
        "GetDocuments",
        r#"{"documents":[{"collection":"fleet","docId":"ship-7"},{"collection":"fleet","docId":"ship-8"}]}"#,
    ),
    (
        "PutPlatform",
        r#"{"platform":{"id":"uav-1","platformType":"uav","status":"PLATFORM_STATUS_READY","latitude":54.3}}"#,
    ),
    ("GetPlatforms", r#"{}"#),
    ("PutCell", r#"{"cell":{"id":"north","name":"North","status":"CELL_STATUS_ACTIVE","platformCount":3}}"#),
    ("GetCells", r#"{}"#),
    ("PutTrack", r#"{"track":{"id":"t-1","latitude":54.3,"longitude":10.1,"category":"TRACK_CATEGORY_VEHICLE"}}"#),
    ("GetTracks", r#"{}"#),
    (
        "PutCommand",
        r#"{"command":{"id":"c-1","targetId":"uav-1","commandType":"return","status":"COMMAND_STATUS_PENDING"}}"#,
    ),
    ("GetCommands", r#"{}"#),
    ("SetCollection", r#"{"collection":"tracks","history":"HISTORY_CLASS_LATEST"}"#),
    ("GetCollections", r#"{}"#),
    ("Subscribe", r#"{"collections":["fleet"],"markers":true}"#),
    ("StartSync", r#"{}"#),
    ("StopSync", r#"{}"#),
    ("GetSyncStats", r#"{}"#),
    ("Backup", r#"{}"#),
];

fn contract() -> FileDescriptorProto {
    let set = FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    set.file.into_iter().find(|file| file.package() == "peat.sidecar.v1").expect("the contract")
}

/// Methods with their comments, in the order of the contract.
fn methods(file: &FileDescriptorProto) -> Vec<(&MethodDescriptorProto, String)> {
    let service = file.service.iter().position(|service| service.name() == "PeatSidecar").expect("the service");
    let comment = |method: usize| {
        // Field 6 of a file: services; field 2 of a service: methods.
        let path = [6, service as i32, 2, method as i32];
        let locations = &file.source_code_info.as_ref().expect("comments are kept").location;
        let found = locations.iter().find(|location| location.path == path).expect("every method has a place");
        found.leading_comments().lines().map(str::trim).collect::<Vec<_>>().join(" ")
    };
    file.service[service].method.iter().enumerate().map(|(at, method)| (method, comment(at))).collect()
}

fn example(method: &str) -> String {
    let found = EXAMPLES.iter().find(|(name, _)| *name == method);
    found.unwrap_or_else(|| panic!("{method} has no example: add one to EXAMPLES")).1.replace("(peer)", PEER)
}

/// Every key of a request must be a field of its message. A decoder may let others pass.
fn check_fields(file: &FileDescriptorProto, message: &str, value: &Value, method: &str) {
    let name = message.trim_start_matches(PACKAGE);
    let message = file.message_type.iter().find(|message| message.name() == name).expect("a message of the contract");
    for (key, value) in value.as_object().expect("a message is an object") {
        let field = message.field.iter().find(|field| field.json_name() == key);
        let field = field.unwrap_or_else(|| panic!("{method}: {name} has no field {key}"));
        if field.r#type() == Type::Message {
            let all = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
            all.iter().for_each(|value| check_fields(file, field.type_name(), value, method));
        }
    }
}

fn reference(file: &FileDescriptorProto) -> String {
    let mut text = String::new();
    for (method, comment) in methods(file) {
        let (name, request) = (method.name(), example(method.name()));
        let script = script_literal(&request);
        write!(text, "### {name}\n\n{comment}\n\n```sh\n").expect("written");
        if method.server_streaming() {
            writeln!(text, "stream {name} '{request}'").expect("written");
        } else {
            writeln!(text, "curl -H 'content-type: application/json' $api/{name} \\\n  -d '{request}'")
                .expect("written");
        }
        let target = format!("127.0.0.1:50051 peat.sidecar.v1.PeatSidecar/{name}");
        writeln!(text, "grpcurl -plaintext -d '{request}' \\\n  {target}\n```\n\n```js").expect("written");
        if method.server_streaming() {
            writeln!(text, "for await (const message of stream(\"{name}\", {script})) show(message);")
                .expect("written");
        } else {
            writeln!(text, "show(await call(\"{name}\", {script}));").expect("written");
        }
        text.push_str("```\n\n");
    }
    text
}

/// The same request as JavaScript: documents are made by `JSON.stringify`, as nobody writes them by hand.
fn script_literal(request: &str) -> String {
    fn literal(value: &Value, key: &str) -> String {
        match value {
            Value::Object(fields) if fields.is_empty() => "{}".into(),
            Value::Object(fields) => {
                let fields: Vec<String> =
                    fields.iter().map(|(key, value)| format!("{key}: {}", literal(value, key))).collect();
                format!("{{ {} }}", fields.join(", "))
            }
            Value::Array(items) => {
                format!("[{}]", items.iter().map(|item| literal(item, key)).collect::<Vec<_>>().join(", "))
            }
            Value::String(text) if ["jsonData", "jsonPatch"].contains(&key) => {
                let content: Value = serde_json::from_str(text).expect("a document");
                format!("JSON.stringify({})", literal(&content, ""))
            }
            other => other.to_string(),
        }
    }
    literal(&serde_json::from_str(request).expect("JSON"), "")
}

#[test]
fn the_examples_of_every_method_are_those_of_the_contract() {
    let file = contract();
    for (method, _) in methods(&file) {
        let request = serde_json::from_str(&example(method.name())).expect("JSON");
        check_fields(&file, method.input_type(), &request, method.name());
    }
    for (name, _) in EXAMPLES {
        assert!(methods(&file).iter().any(|(method, _)| method.name() == *name), "{name} is no method");
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/api.md");
    let text = std::fs::read_to_string(&path).expect("docs/api.md");
    let (before, rest) = text.split_once(BEGIN).expect("docs/api.md has the line where the examples begin");
    let (found, after) = rest.split_once(END).expect("docs/api.md has the line where the examples end");
    let wanted = format!("\n{}", reference(&file));
    if found != wanted {
        if std::env::var_os("PEAT_WRITE_DOCS").is_some() {
            std::fs::write(&path, format!("{before}{BEGIN}{wanted}{END}{after}")).expect("written");
        } else {
            panic!("the examples in docs/api.md are not those of the contract: run this test with PEAT_WRITE_DOCS=1");
        }
    }
}

#[tokio::test]
async fn the_example_of_every_method_works() {
    let node = TestNode::start().await;
    for (name, _) in EXAMPLES {
        // Nobody is dialled beyond this machine.
        let request = example(name).replace(PEER_ADDRESS, "127.0.0.1:9");
        let is_stream =
            methods(&contract()).iter().any(|(method, _)| method.name() == *name && method.server_streaming());
        if is_stream {
            let mut stream = node.open(name, "application/connect+json", &envelope(request.as_bytes())).await;
            let first = stream.frame().await;
            assert_eq!(first.flags, 0, "{name}: {}", String::from_utf8_lossy(&first.payload));
        } else {
            let answer = node.post(name, "application/json", request.as_bytes()).await;
            assert_eq!(answer.status, 200, "{name}: {}", answer.text());
        }
    }
    let mut client = node.client().await;
    let request = GetDocumentRequest { collection: "fleet".into(), doc_id: "ship-7".into(), ..Default::default() };
    let read = client.get_document(request).await.expect("read").into_inner();
    assert_eq!(read.json_data.as_deref(), Some(r#"{"crew":13}"#));
}
