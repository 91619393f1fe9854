//! What a client is told when it asks for something that cannot be.

use crate::harness::TestNode;

/// Method and request, in JSON.
const BAD: &[(&str, &str)] = &[
    ("PutDocument", r#"{"docId":"d","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c\n","docId":"d","jsonData":"{}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{\"a\":1,}"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"[1,2]"}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":7}"#),
    ("PutDocument", r#"{"collection":"c","docId":"d","jsonData":"{}""#),
    ("GetDocument", r#"{"collection":"c"}"#),
    ("DeleteDocument", r#"{"docId":"d"}"#),
    ("ListDocuments", r#"{}"#),
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
    ("PutTrack", r#"{"track":{"id":"t","latitude":"NaN"}}"#),
    ("ConnectPeer", r#"{"endpointId":"abc","addresses":["10.0.0.7:7777"]}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)","addresses":["10.0.0.7"]}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)"}"#),
    ("ConnectPeer", r#"{"endpointId":"(id)","relayUrl":"https://relay.example"}"#),
    ("DisconnectPeer", r#"{"endpointId":"abc"}"#),
    ("NoSuchMethod", r#"{}"#),
];

const ID: &str = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6";

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_with_it() {
    let node = TestNode::start().await;
    let mut told = String::new();
    for (method, request) in BAD {
        let sent = request.replace("(id)", ID);
        let answer = node.post(method, "application/json", sent.as_bytes()).await;
        told.push_str(&format!("{method} {request}\n  {} {}\n", answer.status, answer.text().replace(ID, "(id)")));
    }
    insta::assert_snapshot!(told);
}

#[tokio::test]
async fn a_request_above_the_limit_is_told_the_limit() {
    let node = TestNode::start().await;
    let request = format!(r#"{{"collection":"c","docId":"d","jsonData":"{}"}}"#, " ".repeat(5 << 20));
    let answer = node.post("PutDocument", "application/json", request.as_bytes()).await;
    insta::assert_snapshot!(format!("{} {}", answer.status, answer.text()));
}
