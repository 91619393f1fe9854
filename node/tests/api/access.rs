//! Who is let in, over real sockets: tokens, TLS, and what changes while the node runs.

#[path = "access/matrix.rs"]
mod matrix;
#[path = "access/pages.rs"]
mod pages;
#[path = "access/tls.rs"]
mod tls;

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use peat_node::api::access::file::Named;
use peat_node::api::access::tokens::TokenHash;
use peat_node::api::access::{AccessCounts, AccessSettings, Guard};
use peat_proto::client::*;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::binary::{Running, binary};
use super::harness::{Client, OpenAnswer, TestNode, envelope};

/// Within which a revocation takes effect, as `docs/access.md` says.
const STATED: Duration = Duration::from_secs(3);

/// A file of tokens whose texts are the names, made long enough.
struct Tokens {
    directory: tempfile::TempDir,
    now_ms: Arc<AtomicU64>,
}

fn token(name: &str) -> String {
    format!("{name}-{}", "x".repeat(16))
}

impl Tokens {
    fn new(lines: &[(&str, &str)]) -> Self {
        let tokens = Self { directory: tempfile::tempdir().expect("temporary directory"), now_ms: Arc::default() };
        tokens.write(lines);
        tokens
    }

    /// Each a name, and what follows name and hash.
    fn write(&self, lines: &[(&str, &str)]) {
        let line = |(name, rest): &(&str, &str)| {
            format!("{{\"name\":\"{name}\",\"sha256\":\"{}\",{rest}}}\n", TokenHash::of(&token(name)))
        };
        self.write_text(&lines.iter().map(line).collect::<String>());
    }

    /// As Kubernetes does: what is there is replaced as a whole.
    fn write_text(&self, text: &str) {
        let made = self.directory.path().join("made");
        std::fs::write(&made, text).expect("written");
        std::fs::rename(made, self.file()).expect("moved");
    }

    fn file(&self) -> PathBuf {
        self.directory.path().join("tokens")
    }

    async fn node(&self) -> (TestNode, Arc<AccessCounts>) {
        let tokens = Some(Named { flag: "--tokens", path: self.file() });
        let now_ms = self.now_ms.clone();
        let clock = Arc::new(move || now_ms.load(Ordering::Relaxed));
        let guard = Guard::open(&AccessSettings { tokens, ..AccessSettings::default() }, clock).expect("good tokens");
        let counts = guard.counts();
        (TestNode::start_behind(guard).await, counts)
    }
}

async fn channel(node: &TestNode) -> Channel {
    Endpoint::from_shared(format!("http://{}", node.tcp())).expect("an address").connect().await.expect("connected")
}

async fn client(node: &TestNode) -> Client {
    PeatSidecarClient::new(channel(node).await)
}

/// A request with a token.
fn with<T>(name: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let header = format!("Bearer {}", token(name)).parse().expect("a header");
    request.metadata_mut().insert("authorization", header);
    request
}

fn put(collection: &str, doc_id: &str) -> PutDocumentRequest {
    let (collection, doc_id) = (collection.into(), doc_id.into());
    PutDocumentRequest { collection, doc_id, json_data: "{}".into(), ..Default::default() }
}

fn subscribe() -> SubscribeRequest {
    SubscribeRequest { collections: vec!["tracks".into()], ..Default::default() }
}

/// The reason for which a stream ends, which must be within the stated time.
async fn cut<T>(stream: &mut tonic::Streaming<T>) -> tonic::Status {
    let ended = tokio::time::timeout(STATED, stream.message()).await.expect("cut within the stated time");
    ended.err().expect("an error: a clean end would say that nothing more happens")
}

#[tokio::test]
async fn a_revoked_token_loses_its_streams_and_nobody_else_does() {
    let both = [("writer", r#""scope":"write""#), ("reader", r#""scope":"read""#)];
    let tokens = Tokens::new(&both);
    let (node, _) = tokens.node().await;
    let mut client = client(&node).await;
    client.put_document(with("writer", put("tracks", "t"))).await.expect("put");
    let mut of_reader = client.subscribe(with("reader", subscribe())).await.expect("let in").into_inner();
    let mut of_writer = client.subscribe(with("writer", subscribe())).await.expect("let in").into_inner();
    for stream in [&mut of_reader, &mut of_writer] {
        assert_eq!(stream.message().await.expect("open").expect("a change").doc_id, "t");
    }

    tokens.write(&both[..1]);
    let refused = cut(&mut of_reader).await;
    assert_eq!(refused.code(), Code::Unauthenticated, "{refused}");
    let refused = client.get_status(with("reader", GetStatusRequest {})).await.expect_err("revoked");
    assert_eq!(refused.code(), Code::Unauthenticated);
    client.put_document(with("writer", put("tracks", "u"))).await.expect("still in");
    assert_eq!(of_writer.message().await.expect("open").expect("a change").doc_id, "u");
}

#[tokio::test]
async fn a_token_that_is_given_less_loses_what_it_has_too_much() {
    let tokens = Tokens::new(&[("a", r#""scope":"admin""#)]);
    let (node, counts) = tokens.node().await;
    let mut client = client(&node).await;
    client.put_document(with("a", put("tracks", "t"))).await.expect("put");
    let mut all = client.subscribe(with("a", SubscribeRequest::default())).await.expect("let in").into_inner();
    let mut tracks = client.subscribe(with("a", subscribe())).await.expect("let in").into_inner();
    for stream in [&mut all, &mut tracks] {
        stream.message().await.expect("open").expect("a change");
    }
    tokens.write(&[("a", r#""scope":"write","collections":["tracks"]"#)]);
    let refused = cut(&mut all).await;
    assert_eq!(refused.code(), Code::PermissionDenied, "{refused}");
    assert!(refused.message().contains("Subscribe concerns all collections"), "{refused}");
    assert_eq!(counts.figures().denied, 1);
    client.put_document(with("a", put("tracks", "u"))).await.expect("within its reach");
    assert_eq!(tracks.message().await.expect("open").expect("a change").doc_id, "u");
}

#[tokio::test]
async fn an_expired_token_is_refused_at_once_and_loses_its_streams() {
    let tokens = Tokens::new(&[("a", r#""scope":"write","expires":"1970-01-01T00:01:00Z""#)]);
    let (node, counts) = tokens.node().await;
    let mut client = client(&node).await;
    client.put_document(with("a", put("tracks", "t"))).await.expect("put");
    let mut stream = client.subscribe(with("a", subscribe())).await.expect("let in").into_inner();
    stream.message().await.expect("open").expect("a change");
    assert_eq!(counts.figures().tokens, 1);

    tokens.now_ms.store(60_000, Ordering::Relaxed);
    let refused = client.get_status(with("a", GetStatusRequest {})).await.expect_err("expired");
    assert_eq!(refused.code(), Code::Unauthenticated);
    assert!(!refused.message().contains("expired"), "that is for the log: {refused}");
    assert_eq!(cut(&mut stream).await.code(), Code::Unauthenticated);
    assert_eq!(counts.figures().tokens, 0);
}

#[tokio::test]
async fn a_connect_stream_is_cut_in_its_own_words() {
    let tokens = Tokens::new(&[("a", r#""scope":"write""#)]);
    let (node, _) = tokens.node().await;
    client(&node).await.put_document(with("a", put("tracks", "t"))).await.expect("put");
    let headers = format!("content-type: application/connect+json\r\nauthorization: bearer {}\r\n", token("a"));
    let io = Box::new(tokio::net::TcpStream::connect(node.tcp()).await.expect("connected"));
    let path = "/peat.sidecar.v1.PeatSidecar/Subscribe";
    let mut stream = OpenAnswer::request(io, path, &headers, &envelope(br#"{"collections":["tracks"]}"#)).await;
    assert_eq!(stream.frame().await.flags, 0);
    tokens.write(&[]);
    let end = tokio::time::timeout(STATED, stream.frame()).await.expect("cut within the stated time");
    let end: serde_json::Value = serde_json::from_slice(&end.payload).expect("the end of a stream is JSON");
    assert_eq!(end["error"]["code"], "unauthenticated", "{end}");
}

#[tokio::test]
async fn a_broken_file_keeps_the_tokens_that_are_in_force_and_says_so() {
    let tokens = Tokens::new(&[("a", r#""scope":"read""#)]);
    let (node, counts) = tokens.node().await;
    let mut client = client(&node).await;
    let unusable = async |wanted: u64| {
        super::discovery::process::eventually("the file is looked at", STATED, || async {
            (counts.figures().files_unusable == wanted).then_some(())
        })
        .await;
    };
    tokens.write_text("{\"name\":");
    unusable(1).await;
    client.get_status(with("a", GetStatusRequest {})).await.expect("as before");
    tokens.write(&[("b", r#""scope":"read""#)]);
    unusable(0).await;
    client.get_status(with("b", GetStatusRequest {})).await.expect("the file is good again");
    std::fs::remove_file(tokens.file()).expect("removed");
    unusable(1).await;
    client.get_status(with("b", GetStatusRequest {})).await.expect("as before");
    assert_eq!(
        client.get_status(with("a", GetStatusRequest {})).await.expect_err("gone").code(),
        Code::Unauthenticated
    );
}

/// Probes have no tokens; who describes the contract needs any.
#[tokio::test]
async fn health_is_open_and_reflection_asks_for_a_token() {
    let tokens = Tokens::new(&[("a", r#""scope":"read","collections":["tracks"]"#)]);
    let (node, _) = tokens.node().await;
    let ask = async |path: &str, name: Option<&str>| {
        let mut grpc = tonic::client::Grpc::new(channel(&node).await);
        grpc.ready().await.expect("ready");
        // An empty request is a good one of both.
        let codec: ProstCodec<(), ()> = ProstCodec::default();
        let message = futures::stream::iter([()]);
        let request = match name {
            Some(name) => with(name, message),
            None => Request::new(message),
        };
        let answer = grpc.streaming(request, path.parse().expect("a path"), codec).await;
        match answer {
            Ok(answer) => answer.into_inner().message().await.err().map_or(Code::Ok, |status| status.code()),
            Err(status) => status.code(),
        }
    };
    assert_eq!(ask("/grpc.health.v1.Health/Watch", None).await, Code::Ok);
    assert_eq!(ask("/grpc.health.v1.Health/Check", None).await, Code::Ok);
    for version in ["v1", "v1alpha"] {
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        assert_eq!(ask(&path, None).await, Code::Unauthenticated);
        assert_ne!(ask(&path, Some("a")).await, Code::Unauthenticated);
    }
    assert_eq!(
        ask("/other.Service/Method", None).await,
        Code::Unauthenticated,
        "what is there is not told to strangers"
    );
    assert_eq!(ask("/other.Service/Method", Some("a")).await, Code::Unimplemented);
}

/// The story: a client whose token had expired put a large document over HTTP/2, was refused in the middle of sending it, and told its
/// user of a broken stream.
#[tokio::test]
async fn whoever_sends_much_is_told_the_refusal_and_not_a_broken_stream() {
    let tokens = Tokens::new(&[]);
    let (node, _) = tokens.node().await;
    let stream = tokio::net::TcpStream::connect(node.tcp()).await.expect("connected");
    let (mut sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
    let _connection = tokio_util::task::AbortOnDropHandle::new(tokio::spawn(connection));
    let path = format!("http://node/{}/PutDocument", peat_proto::SERVICE_NAME);
    let request = http::Request::post(path).header("content-type", "application/json").body(()).expect("a request");
    let (answer, mut body) = sender.send_request(request, false).expect("sent");
    body.send_data(vec![b' '; 3 << 20].into(), true).expect("queued");
    let mut answer = answer.await.expect("an answer");
    assert_eq!(answer.status(), 401);
    let told = answer.body_mut().data().await.expect("a body").expect("whole");
    assert!(String::from_utf8_lossy(&told).contains("unauthenticated"));
}

/// Whoever only says that there will be a body is not waited for.
#[tokio::test]
async fn a_stranger_is_refused_without_its_body() {
    let tokens = Tokens::new(&[]);
    let (node, counts) = tokens.node().await;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut io = tokio::net::TcpStream::connect(node.tcp()).await.expect("connected");
    let head = "POST /peat.sidecar.v1.PeatSidecar/PutDocument HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\n\
                content-length: 4000000\r\n\r\n";
    io.write_all(head.as_bytes()).await.expect("sent");
    let mut answer = vec![0; 1024];
    let read = io.read(&mut answer).await.expect("an answer");
    let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
    assert!(
        answer.starts_with("http/1.1 401 ") && answer.contains("www-authenticate: bearer realm=\"peat\""),
        "{answer}"
    );
    assert_eq!(counts.figures().unauthenticated, 1);
}

#[test]
fn a_bad_file_of_tokens_ends_with_1_and_names_line_and_field() {
    let tokens = Tokens::new(&[("a", r#""scope":"read""#), ("b", r#""scope":"root""#)]);
    let ended = binary().arg("--tokens").arg(tokens.file()).arg("--data-dir").arg(tokens.directory.path()).output();
    let ended = ended.expect("ran");
    let told = String::from_utf8(ended.stderr).expect("text");
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(told.contains("--tokens ") && told.contains("line 2: scope: it is not one of"), "{told}");
}

#[test]
fn a_new_token_opens_a_node_whose_socket_only_the_owner_may_use() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().expect("temporary directory");
    let made = binary().args("token new --name ops --scope read".split(' ')).output().expect("ran");
    let told = String::from_utf8(made.stdout).expect("text");
    let (token, line) = told.trim_end().split_once('\n').expect("two lines");
    let (file, socket) = (directory.path().join("tokens"), directory.path().join("api.sock"));
    std::fs::write(&file, line).expect("written");
    let listen = format!("unix://{}", socket.display());
    let (node, log) = started(&["--listen", &listen, "--listen-mode", "0600", "--tokens", &file.display().to_string()]);
    assert!(!log.contains("other machines") && log.contains("tokens: 1;"), "{log}");
    assert_eq!(std::fs::metadata(&socket).expect("there").permissions().mode() & 0o777, 0o600);
    let ask = |token: &str| {
        let asked =
            binary().args(["status", "--api", &listen]).env("PEAT_NODE_API_TOKEN", token).output().expect("ran");
        (asked.status.code(), String::from_utf8(asked.stderr).expect("text"))
    };
    assert_eq!(ask(token), (Some(0), String::new()));
    let (code, told) = ask(&token[1..]);
    assert!(code == Some(3) && told.contains("this node asks for a token"), "{told}");
    drop(node);
}

#[test]
fn an_open_port_is_warned_of_at_start() {
    let (_node, log) = started(&["--listen", "tcp://0.0.0.0:0"]);
    assert!(log.contains("WARN the API at tcp://0.0.0.0:") && log.contains("close it with --tokens"), "{log}");
    let (_node, log) = started(&["--listen", "tcp://127.0.0.1:0"]);
    assert!(!log.contains("other machines"), "{log}");
}

/// A node, and what it logged until it served, the warnings after that included.
fn started(arguments: &[&str]) -> (Running, String) {
    let directory = tempfile::tempdir().expect("temporary directory");
    let mut command = binary();
    command.args(["--mesh-address", "127.0.0.1", "--data-dir"]).arg(directory.path()).args(arguments);
    let mut running = Running(command.spawn().expect("started"));
    let mut log = String::new();
    let mut lines = BufReader::new(running.0.stderr.take().expect("piped")).lines();
    // The last line of a start without a key.
    while !log.contains("no --shared-key") {
        let Some(line) = lines.next() else { panic!("it did not start: {log}") };
        log.push_str(&format!("{}\n", line.expect("text")));
    }
    // The rest is nobody's, but somebody must take it.
    std::thread::spawn(move || lines.for_each(drop));
    (running, log)
}
