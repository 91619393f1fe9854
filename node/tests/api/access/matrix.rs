//! Every method with every kind of token over every protocol, as one table.

use std::fmt::Write as _;

use prost::Message as _;
use tokio::net::TcpStream;

use super::{Tokens, channel, client, put, token, with};
use crate::harness::{OpenAnswer, TestNode, envelope};
use crate::refusals::{RawClient, name_of};

/// A name of a token, and its line. The first two are never in the file.
const TOKENS: &[(&str, &str)] = &[
    ("none", ""),
    ("unknown", ""),
    ("revoked", r#""scope":"admin","revoked":true"#),
    ("read", r#""scope":"read""#),
    ("write", r#""scope":"write""#),
    ("admin", r#""scope":"admin""#),
    ("read/tracks", r#""scope":"read","collections":["tracks"]"#),
    ("admin/tr*", r#""scope":"admin","collections":["tr*"]"#),
    ("admin/other", r#""scope":"admin","collections":["other","track"]"#),
];

/// What is sent: about the collection `tracks` where it names one. All of it can be answered at once and changes nothing that
/// matters to the next row; whether it is a good request is not the question.
fn request(method: &str) -> &'static str {
    match method {
        "PutDocument" => r#"{"collection":"tracks","docId":"t","jsonData":"{}"}"#,
        "PutDocuments" => r#"{"documents":[{"collection":"tracks","docId":"t","jsonData":"{}"}]}"#,
        "PatchDocument" => r#"{"collection":"tracks","docId":"t","jsonPatch":"{}"}"#,
        "GetDocument" | "ListDocuments" => r#"{"collection":"tracks","docId":"t"}"#,
        "GetDocuments" => r#"{"documents":[{"collection":"tracks","docId":"t"}]}"#,
        "DeleteDocument" => r#"{"collection":"tracks","docId":"none"}"#,
        "SetCollection" => r#"{"collection":"tracks","retentionSeconds":"7"}"#,
        "Subscribe" => r#"{"collections":["tracks"]}"#,
        _ => "{}",
    }
}

const STREAMS: [&str; 2] = ["Subscribe", "Backup"];

/// "in" if the method was reached, whatever it answered; else the code.
fn verdict(code: &str) -> String {
    match code {
        "unauthenticated" | "permission_denied" => code.into(),
        _ => "in".into(),
    }
}

#[tokio::test]
async fn every_method_is_for_whom_the_table_says_over_every_protocol() {
    let tokens = Tokens::new(&TOKENS[2..]);
    let (node, counts) = tokens.node().await;
    // A subscription begins with it.
    client(&node).await.put_document(with("admin", put("tracks", "t"))).await.expect("put");
    let mut grpc = RawClient::over(channel(&node).await);
    let set = prost_types::FileDescriptorSet::decode(peat_proto::FILE_DESCRIPTOR_SET).expect("a descriptor set");
    let services = set.file.iter().flat_map(|file| &file.service).filter(|service| service.name() == "PeatSidecar");
    let methods: Vec<&str> = services.flat_map(|service| &service.method).map(|method| method.name()).collect();

    let names: Vec<String> = TOKENS.iter().map(|(name, _)| format!("{name:16}")).collect();
    let mut told = format!("{:16}{}\n", "", names.concat().trim_end());
    let (mut asked, mut refused) = (0, 0);
    for method in methods.iter().copied().chain(["NoSuchMethod"]) {
        let mut row = format!("{method:16}");
        for (name, _) in TOKENS {
            let over_grpc = {
                let message = request(method).replace("(id)", "").into_bytes();
                let message = if *name == "none" { tonic::Request::new(message) } else { with(name, message) };
                let answer = grpc.call_with(method, message).await;
                verdict(answer.split(':').next().unwrap_or_default())
            };
            let answers =
                [over_connect(&node, method, name).await, over_grpc, over_grpc_web(&node, method, name).await];
            assert!(answers.iter().all(|answer| *answer == answers[0]), "{method} {name}: {answers:?}");
            asked += 3;
            refused += if answers[0] == "in" { 0 } else { 3 };
            let _ = write!(row, "{:16}", answers[0].replace("permission_denied", "denied"));
        }
        let _ = writeln!(told, "{}", row.trim_end());
    }
    let figures = counts.figures();
    assert_eq!(figures.unauthenticated + figures.denied, refused, "of {asked}");
    insta::assert_snapshot!(told);
}

async fn send(node: &TestNode, method: &str, name: &str, content_type: &str, body: &[u8]) -> OpenAnswer {
    let io = Box::new(TcpStream::connect(node.tcp()).await.expect("connected"));
    let mut headers = format!("content-type: {content_type}\r\n");
    if name != "none" {
        headers.push_str(&format!("authorization: Bearer {}\r\n", token(name)));
    }
    OpenAnswer::request(io, &format!("/peat.sidecar.v1.PeatSidecar/{method}"), &headers, body).await
}

async fn over_connect(node: &TestNode, method: &str, name: &str) -> String {
    let body = request(method).as_bytes();
    let error: serde_json::Value = if STREAMS.contains(&method) {
        let mut stream = send(node, method, name, "application/connect+json", &envelope(body)).await;
        assert_eq!(stream.status, 200, "of a stream");
        let first = stream.frame().await;
        if first.flags & 2 == 0 {
            return "in".into();
        }
        serde_json::from_slice::<serde_json::Value>(&first.payload).expect("JSON")["error"].clone()
    } else {
        let answer = send(node, method, name, "application/json", body).await.complete().await;
        let error: serde_json::Value = serde_json::from_slice(&answer.body).expect("JSON");
        let status = match error["code"].as_str() {
            Some("unauthenticated") => 401,
            Some("permission_denied") => 403,
            _ => answer.status,
        };
        assert_eq!(answer.status, status, "{error}");
        error
    };
    verdict(error["code"].as_str().unwrap_or("in"))
}

async fn over_grpc_web(node: &TestNode, method: &str, name: &str) -> String {
    let body = envelope(request(method).as_bytes());
    let mut answer = send(node, method, name, "application/grpc-web+json", &body).await;
    assert_eq!(answer.status, 200, "of gRPC-Web");
    let first = answer.frame().await;
    if first.flags & 0x80 == 0 {
        return "in".into();
    }
    let trailers = String::from_utf8(first.payload).expect("text");
    let code = trailers.lines().find_map(|line| line.strip_prefix("grpc-status:")).expect("a status").trim();
    verdict(&name_of(tonic::Code::from_i32(code.parse().expect("a number"))))
}
