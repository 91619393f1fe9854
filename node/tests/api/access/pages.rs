//! Web pages of other origins: what a browser asks before it calls, and what it is told.

use std::sync::Arc;

use peat_node::api::access::file::Named;
use peat_node::api::access::{AccessSettings, Guard};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Tokens, token};
use crate::harness::TestNode;

const OURS: &str = "https://console.fleet.example";
const BODY: &str = r#"{"collection":"c","docId":"d","jsonData":"{}"}"#;

/// The status and the headers of CORS, sorted.
async fn told(node: &TestNode, method: &str, origin: &str, more: &str) -> String {
    let body = if method == "POST" { BODY } else { "" };
    let request = format!(
        "{method} /peat.sidecar.v1.PeatSidecar/PutDocument HTTP/1.1\r\nhost: node\r\nconnection: close\r\n\
         origin: {origin}\r\ncontent-type: application/json\r\ncontent-length: {}\r\n{more}\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(node.tcp()).await.expect("connected");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = vec![];
    stream.read_to_end(&mut answer).await.expect("closed in order");
    let answer = String::from_utf8(answer).expect("text");
    let head = answer.split("\r\n\r\n").next().expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status");
    let mut headers: Vec<&str> = lines.filter(|line| line.starts_with("access-control-")).collect();
    headers.sort_unstable();
    format!("{status} {}", headers.join("; "))
}

async fn asked(node: &TestNode, origin: &str) -> String {
    let question =
        "access-control-request-method: POST\r\naccess-control-request-headers: authorization,content-type\r\n";
    told(node, "OPTIONS", origin, question).await
}

#[tokio::test]
async fn a_browser_is_told_which_pages_may_call() {
    let tokens = Tokens::new(&[("ui", r#""scope":"write""#)]);
    let settings = AccessSettings {
        tokens: Some(Named { flag: "--tokens", path: tokens.file() }),
        origins: Some(format!("{OURS},http://localhost:3000").parse().expect("origins")),
        ..AccessSettings::default()
    };
    let node = TestNode::start_behind(Guard::open(&settings, Arc::new(|| 0)).expect("good files")).await;
    let bearer = format!("authorization: Bearer {}\r\n", token("ui"));
    let strange = "https://evil.example";
    let answers = [
        ("ours asks, without a token", asked(&node, OURS).await),
        ("another asks", asked(&node, strange).await),
        ("ours calls", told(&node, "POST", OURS, &bearer).await),
        ("ours calls without a token", told(&node, "POST", OURS, "").await),
        ("another calls, as no browser does", told(&node, "POST", strange, &bearer).await),
    ];
    let answers: Vec<String> = answers.iter().map(|(what, told)| format!("{what}\n  {told}\n")).collect();
    insta::assert_snapshot!(answers.concat());
}

#[tokio::test]
async fn unless_an_origin_is_named_no_page_of_another_may_call() {
    let node = TestNode::start().await;
    assert_eq!(asked(&node, OURS).await, "405 ");
    assert_eq!(told(&node, "POST", OURS, "").await, "200 ");
}
