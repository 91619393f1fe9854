//! What a client is told when it asks for something that cannot be: the same over all three protocols.

use std::fmt::Write as _;

use peat_proto::client::{GetDocumentRequest, PutDocumentRequest};
use prost::Message as _;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::{BoxFuture, Service};
use tonic::transport::Channel;
use tonic::{Request, Status};

use crate::harness::{TestNode, envelope, frames};

/// Method and request, in JSON. `(id)`, `(version)` and `(x*n)` stand for an endpoint id, the version of `c/there`, and a
/// text of that many x.
const BAD: &[(&str, &str)] = &[
    ("PutDocument", r#"{"docId":"d","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c\n","docId":"d","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d\u0085","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"(x*129)","docId":"d","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"(x*513)","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":1,}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":\n tru}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"[1,2]"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"null"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{} {}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":1,\"b\":{\"k\":1,\"k\":2}}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":NaN}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":-Infinity}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":1e999}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":18446744073709551616}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":-9223372036854775809}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":01}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":\"\\q\"}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":\"\\ud800\"}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":\"\t\"}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":(deep)}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":\"(x*1048569)\"}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"(x*4194304)"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":7}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}""#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","expectedVersion":"7!"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","expectedVersion":"AQ"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","expectedVersion":"(x*1000)"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","expectedVersion":"(version)"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"there","jsonData":"{}","expectedVersion":""}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","idempotencyKey":"(x*129)"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","idempotencyKey":"a\u0000"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}","idempotencyKey":"used"}"#),
    ("PutDocuments", r#"{}"#),
    ("PutDocuments", r#"{"documents":{}}"#),
    ("PutDocuments", r#"{"documents":[(1001 documents)]}"#),
    ("PutDocuments", r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{}"},{"docId":"d","jsonData":"{}"}]}"#),
    ("PutDocuments", r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{"}]}"#),
    (
        "PutDocuments",
        r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{}"},{"collection":"c","docId":"d","jsonData":"{}"}]}"#,
    ),
    (
        "PutDocuments",
        r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{}"},{"collection":"c","docId":"there","jsonData":"{}","expectedVersion":""}]}"#,
    ),
    ("PutDocuments", r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{}","expectedVersion":"(version)"}]}"#),
    ("PutDocuments", r#"{"documents":[{"collection":"c","docId":"d","jsonData":"{}"}],"idempotencyKey":"used"}"#),
    ("PatchDocument", r#"{"collection":"c","jsonPatch":"{}"}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"there"}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"there","jsonPatch":"null"}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"there","jsonPatch":"{\"a\":1,\"a\":null}"}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"there","jsonPatch":"{}","expectedVersion":""}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"large","jsonPatch":"{\"b\":\"(x*100)\"}"}"#),
    ("PatchDocument", r#"{"collection":"c","docId":"there","jsonPatch":"{}","idempotencyKey":"used"}"#),
    ("GetDocument", r#"{"collection":"c"}"#),
    ("GetDocument", r#"{"docId":"d"}"#),
    ("GetDocument", r#"{"collection":"c","docId":"d","includeConflicts":"yes"}"#),
    ("DeleteDocument", r#"{"docId":"d"}"#),
    ("DeleteDocument", r#"{"collection":"c","docId":"there","expectedVersion":""}"#),
    ("DeleteDocument", r#"{"collection":"c","docId":"large","expectedVersion":"(version)"}"#),
    ("DeleteDocument", r#"{"collection":"c","docId":"there","idempotencyKey":"used"}"#),
    ("GetLimits", r#"7"#),
    ("ListDocuments", r#"{}"#),
    ("ListDocuments", r#"{"collection":"(x*129)"}"#),
    ("SetCollection", r#"{}"#),
    ("SetCollection", r#"{"collection":"c","history":"HISTORY_CLASS_WINDOW"}"#),
    ("SetCollection", r#"{"collection":"c","history":"HISTORY_CLASS_WINDOW","windowChanges":"1000001"}"#),
    ("SetCollection", r#"{"collection":"c","history":"HISTORY_CLASS_WINDOW","windowSeconds":"59"}"#),
    ("SetCollection", r#"{"collection":"c","history":"HISTORY_CLASS_WINDOW","windowChanges":-1}"#),
    ("SetCollection", r#"{"collection":"c","history":"HISTORY_CLASS_LATEST","windowChanges":"5"}"#),
    ("SetCollection", r#"{"collection":"c","windowSeconds":"3600"}"#),
    ("GetCollections", r#"7"#),
    ("ListDocuments", r#"{"collection":"c","pageSize":10001}"#),
    ("ListDocuments", r#"{"collection":"c","pageToken":"?"}"#),
    ("ListDocuments", r#"{"collection":"c","pageToken":"AAAAAGE"}"#),
    ("ListDocuments", r#"{"collection":"c","waitMs":60001}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":77}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":"FILTER_OP_LIKE"}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":"FILTER_OP_NOT"}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":"FILTER_OP_AND"}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":"FILTER_OP_LESS","path":"a","valueJson":"[1]"}}"#),
    ("ListDocuments", r#"{"collection":"c","filter":{"op":"FILTER_OP_EXISTS"}}"#),
    ("GetDocument", r#"{"collection":"c","docId":"d","minVersion":"no version"}"#),
    ("GetDocument", r#"{"collection":"c","docId":"d","minVersion":"AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEB"}"#),
    ("GetDocuments", r#"{"documents":[{"collection":"c"}]}"#),
    ("PutPlatform", r#"{}"#),
    ("PutPlatform", r#"{"platform":{"name":"no id"}}"#),
    ("PutPlatform", r#"{"platform":{"id":"p","status":"PLATFORM_STATUS_ASLEEP"}}"#),
    ("PutCell", r#"{}"#),
    ("PutCell", r#"{"cell":{"id":"(x*513)"}}"#),
    ("PutCell", r#"{"cell":{"id":"c","centerLatitude":"Infinity"}}"#),
    ("PutCell", r#"{"cell":{"id":"c","platformCount":-1}}"#),
    ("PutTrack", r#"{"track":{}}"#),
    ("PutTrack", r#"{"track":{"id":"t","latitude":"NaN"}}"#),
    ("PutTrack", r#"{"track":{"id":"t","cepM":"-Infinity"}}"#),
    ("PutCommand", r#"{"command":{"id":"c\u0007"}}"#),
    ("PutCommand", r#"{"command":{"id":"c","createdAt":"9223372036854775808"}}"#),
    ("GetPlatforms", r#"7"#),
    ("GetCells", r#"{"#),
    ("GetTracks", r#""""#),
    ("GetCommands", r#"nothing"#),
    ("ConnectPeer", r#"{"endpointId":"abc","addresses":["10.0.0.7:7777"]}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)","addresses":["10.0.0.7"]}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)"}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)","relayUrl":"https://relay.example"}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)","relayUrl":"relay.example:443"}"#),
    ("DisconnectPeer", r#"{"endpointId":"abc"}"#),
    ("ListPeers", r#"[{}]"#),
    ("GetStatus", r#"x"#),
    ("StartSync", r#"}"#),
    ("StopSync", r#"[1]"#),
    ("GetSyncStats", r#"{"a""#),
    ("Backup", r#"7"#),
    ("Subscribe", r#"{"collections":[""]}"#),
    ("Subscribe", r#"{"collections":[(257 names)]}"#),
    ("Subscribe", r#"{"collections":"c"}"#),
    ("NoSuchMethod", r#"{}"#),
];

const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_with_it() {
    let node = TestNode::start().await;
    let mut client = node.client().await;
    let put = |doc_id: &str, json_data: String, idempotency_key: &str| PutDocumentRequest {
        collection: "c".into(),
        doc_id: doc_id.into(),
        json_data,
        idempotency_key: idempotency_key.into(),
        ..Default::default()
    };
    let answer = client.put_document(put("there", r#"{"v":1}"#.into(), "used")).await.expect("put");
    let version = answer.into_inner().version;
    let large = client.put_document(put("large", format!(r#"{{"a":"{}"}}"#, "x".repeat((1 << 20) - 50)), "")).await;
    let version_of_large = large.expect("put").into_inner().version;
    let mut raw = RawClient::of(&node).await;

    let mut told = format!("{} requests\n", BAD.len());
    for (method, shown) in BAD {
        let request = spell_out(shown, &version);
        let answers = [
            connect(&node, method, &request).await,
            raw.call(method, &request).await,
            grpc_web(&node, method, &request).await,
        ];
        let refused = |answer: &String| !answer.starts_with("not refused") && !answer.starts_with("ok:");
        assert!(answers.iter().all(refused), "{method} {shown}: {answers:?}");
        let _ = writeln!(told, "{method} {shown}");
        let names = ["connect", "grpc", "grpc-web"];
        if answers.iter().all(|answer| answer == &answers[0]) {
            let _ = writeln!(told, "  all: {}", answers[0]);
        } else {
            names.iter().zip(&answers).for_each(|(name, answer)| {
                let _ = writeln!(told, "  {name}: {answer}");
            });
        }
    }
    let told = told.replace(ID, "(id)").replace(&version, "(version)").replace(&version_of_large, "(its version)");
    insta::assert_snapshot!(told);

    // None of them did anything.
    for (doc_id, there) in [("there", true), ("large", true), ("d", false)] {
        let request = GetDocumentRequest { collection: "c".into(), doc_id: doc_id.into(), ..Default::default() };
        let answer = client.get_document(request).await.expect("get").into_inner();
        assert_eq!(answer.json_data.is_some(), there, "{doc_id}");
    }
}

fn spell_out(shown: &str, version: &str) -> String {
    let mut request = shown.replace("(id)", ID).replace("(version)", version);
    request = request.replace("(deep)", &format!("{}{}", "[".repeat(64), "]".repeat(64)));
    let documents = |n| format!(r#"{{"collection":"c","docId":"{n}","jsonData":"{{}}"}}"#);
    request = request.replace("(1001 documents)", &(0..1001).map(documents).collect::<Vec<_>>().join(","));
    request = request.replace("(257 names)", &(0..257).map(|n| format!(r#""{n}""#)).collect::<Vec<_>>().join(","));
    while let Some((before, rest)) = request.split_once("(x*") {
        let (count, after) = rest.split_once(')').expect("closed");
        request = format!("{before}{}{after}", "x".repeat(count.parse().expect("a number")));
    }
    request
}

/// Code and message, over Connect.
async fn connect(node: &TestNode, method: &str, request: &str) -> String {
    let answer = match method {
        "Subscribe" | "Backup" => {
            let answer = node.post(method, "application/connect+json", &envelope(request.as_bytes())).await;
            let end = frames(&answer.body).pop().expect("an end of the stream");
            let end: serde_json::Value = serde_json::from_slice(&end.payload).expect("JSON");
            end["error"].clone()
        }
        _ => {
            let answer = node.post(method, "application/json", request.as_bytes()).await;
            serde_json::from_slice(&answer.body).unwrap_or_else(|_| answer.text().into())
        }
    };
    match (answer["code"].as_str(), answer["message"].as_str()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        _ => format!("not refused: {answer}"),
    }
}

/// The same over gRPC-Web, with the name of the code instead of its number.
async fn grpc_web(node: &TestNode, method: &str, request: &str) -> String {
    let answer = node.post(method, "application/grpc-web+json", &envelope(request.as_bytes())).await;
    let trailers = frames(&answer.body).pop().map(|frame| String::from_utf8(frame.payload).expect("text"));
    let trailers = trailers.unwrap_or_default();
    let field = |name: &str| trailers.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("?").trim().to_owned();
    let code = field("grpc-status:").parse().map_or(tonic::Code::Unknown, tonic::Code::from_i32);
    format!("{}: {}", name_of(code), percent_decoded(&field("grpc-message:")))
}

/// As Connect spells it.
pub fn name_of(code: tonic::Code) -> String {
    let mut name = String::new();
    for letter in format!("{code:?}").chars() {
        if letter.is_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.extend(letter.to_lowercase());
    }
    name
}

fn percent_decoded(text: &str) -> String {
    let mut parts = text.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at(2);
        bytes.push(u8::from_str_radix(code, 16).expect("two hex digits"));
        bytes.extend_from_slice(rest.as_bytes());
    }
    String::from_utf8(bytes).expect("UTF-8")
}

/// A gRPC client that sends what it is told to, as JSON.
pub struct RawClient(tonic::client::Grpc<AsJson>);

impl RawClient {
    async fn of(node: &TestNode) -> Self {
        Self::over(node.channel().await)
    }

    pub fn over(channel: Channel) -> Self {
        Self(tonic::client::Grpc::new(AsJson(channel)))
    }

    async fn call(&mut self, method: &str, request: &str) -> String {
        self.call_with(method, Request::new(request.as_bytes().to_vec())).await
    }

    pub async fn call_with(&mut self, method: &str, request: Request<Vec<u8>>) -> String {
        self.0.ready().await.expect("ready");
        let path = format!("/peat.sidecar.v1.PeatSidecar/{method}").parse().expect("a path");
        let refused = match method {
            "Subscribe" | "Backup" => match self.0.server_streaming(request, path, RawCodec).await {
                Ok(answer) => answer.into_inner().message().await.err(),
                Err(status) => Some(status),
            },
            _ => self.0.unary(request, path, RawCodec).await.err(),
        };
        refused.map_or("not refused".into(), |status| format!("{}: {}", name_of(status.code()), status.message()))
    }
}

/// Says that messages are JSON, as only the content type can.
pub struct AsJson(Channel);

impl Service<http::Request<tonic::body::Body>> for AsJson {
    type Response = http::Response<tonic::body::Body>;
    type Error = tonic::transport::Error;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, context: &mut std::task::Context<'_>) -> std::task::Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.0, context)
    }

    fn call(&mut self, mut request: http::Request<tonic::body::Body>) -> Self::Future {
        let json = http::HeaderValue::from_static("application/grpc+json");
        request.headers_mut().insert(http::header::CONTENT_TYPE, json);
        Box::pin(Service::call(&mut self.0, request))
    }
}

struct RawCodec;

impl Codec for RawCodec {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        prost::bytes::BufMut::put_slice(to, &item);
        Ok(())
    }
}

impl Decoder for RawCodec {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; prost::bytes::Buf::remaining(from)];
        prost::bytes::Buf::copy_to_slice(from, &mut item);
        Ok(Some(item))
    }
}

#[test]
fn every_method_is_asked_for_something_that_cannot_be() {
    let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let services = set.file.iter().flat_map(|file| &file.service).filter(|service| service.name() == "PeatSidecar");
    for method in services.flat_map(|service| &service.method) {
        assert!(BAD.iter().any(|(bad, _)| *bad == method.name()), "{} is missing in the table", method.name());
    }
}

#[tokio::test]
async fn a_request_above_the_limit_is_told_the_limit() {
    let node = TestNode::start().await;
    let request = format!(r#"{{"collection":"c","docId":"d","jsonData":"{}"}}"#, " ".repeat(5 << 20));
    let answer = node.post("PutDocument", "application/json", request.as_bytes()).await;
    insta::assert_snapshot!(format!("{} {}", answer.status, answer.text()));
}
