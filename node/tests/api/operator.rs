//! What an operator sees of the real binary: its answers, its metrics, its probes, and the gRPC services beside its
//! own, asked by the standard gRPC client.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::time::{Duration, Instant};

use futures::stream;
use peat_proto::client::*;
use prost::Message;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use super::binary::{Running, binary};
use super::exposition::Exposition;
use super::harness::Client;

/// A node in a process of its own.
pub struct Process {
    running: Running,
    api: String,
    metrics: String,
    /// As another node's `--peer` takes it.
    peer: String,
    _directory: tempfile::TempDir,
}

impl Process {
    /// Starts one and waits until it serves.
    pub fn start(name: &str, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("temporary directory");
        let mut command = binary();
        command.args(["--node-id", name, "--app-id", "ops", "--listen", "tcp://127.0.0.1:0"]);
        command
            .args(["--mesh-address", "127.0.0.1", "--metrics-listen", "tcp://127.0.0.1:0", "--data-dir"])
            .arg(directory.path())
            .args(arguments);
        let mut running = Running(command.stdout(Stdio::null()).spawn().expect("started"));
        let log = BufReader::new(running.0.stderr.take().expect("piped"));
        let (mut api, mut metrics, mut peer) = (None, None, None);
        let mut lines = log.lines();
        while peer.is_none() {
            let line = lines.next().expect("it says how to reach it").expect("text");
            let word_after = |mark: &str| line.split(mark).nth(1).and_then(|rest| rest.split([' ', ',']).next());
            let address = |mark: &str| word_after(mark).map(|word| word.trim_end_matches(':').to_owned());
            api = api.or_else(|| address("serves tcp://"));
            metrics = metrics.or_else(|| address("metrics and probes at tcp://"));
            peer = address("--peer ").map(|peer| {
                let (id, address) = peer.split_once('@').expect("endpoint_id@host:port");
                let port = address.rsplit(':').next().expect("a port");
                format!("{id}@127.0.0.1:{port}")
            });
        }
        // The rest of the log is nobody's, but a full pipe would stop the node.
        std::thread::spawn(move || lines.for_each(drop));
        let (api, metrics) = (api.expect("told"), metrics.expect("told"));
        Self { running, api, metrics, peer: peer.expect("told"), _directory: directory }
    }

    fn signal(&self, name: &str) {
        let pid = self.running.0.id().to_string();
        std::process::Command::new("kill").args(["-s", name, &pid]).status().expect("kill is there");
    }

    async fn channel(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.api)).expect("an address");
        endpoint.connect().await.expect("connected")
    }

    async fn client(&self) -> Client {
        PeatSidecarClient::new(self.channel().await)
    }

    /// Status and body of a page of the metrics listener.
    pub async fn page(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.metrics).await.expect("connected");
        stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: node\r\n\r\n").as_bytes()).await.expect("sent");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("text");
        let (head, body) = answer.split_once("\r\n\r\n").expect("a head and a body");
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).expect("a status");
        (status, body.to_owned())
    }

    /// Asks it by the binary. Exit code, stdout, stderr.
    pub fn ask(&self, words: &str) -> (i32, String, String) {
        ask(&format!("{words} --api tcp://{}", self.api))
    }

    pub fn ask_json(&self, words: &str) -> serde_json::Value {
        let (_, told, complaint) = self.ask(&format!("{words} --json"));
        serde_json::from_str(&told).unwrap_or_else(|error| panic!("{error} in {told:?} {complaint:?}"))
    }

    /// Asks until the answer is good. Every question is a process, so this is no spin.
    pub fn ask_until<T>(&self, words: &str, good: impl Fn(&(i32, String, String)) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            let answer = self.ask(words);
            match good(&answer) {
                Some(found) => return found,
                None => assert!(Instant::now() < deadline, "{words}: {answer:?}"),
            }
        }
    }
}

fn ask(words: &str) -> (i32, String, String) {
    let ended = binary().args(words.split(' ')).output().expect("ran");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (ended.status.code().expect("ended by itself"), text(ended.stdout), text(ended.stderr))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_tell_what_flows_between_them() {
    let a = Process::start("alpha", &[]);
    let b = Process::start("bravo", &["--peer", &a.peer]);
    let put = |id: &str| PutDocumentRequest {
        collection: "c".into(),
        doc_id: id.into(),
        json_data: r#"{"v":1}"#.into(),
        ..Default::default()
    };
    let (mut on_a, mut on_b) = (a.client().await, b.client().await);
    let mut changes = on_b.subscribe(SubscribeRequest::default()).await.expect("subscribe").into_inner();
    for id in ["1", "2", "3"] {
        on_a.put_document(put(id)).await.expect("put");
    }
    for _ in 0..3 {
        changes.message().await.expect("open").expect("a change");
    }
    on_a.delete_document(DeleteDocumentRequest { collection: "c".into(), doc_id: "3".into(), ..Default::default() })
        .await
        .expect("delete");

    // Everything is acknowledged after the delay of the lazy frames.
    a.ask_until("lag --max-changes 0", |(code, ..)| (*code == 0).then_some(()));
    let peers = a.ask_json("peers");
    let peer = &peers["peers"][0];
    let id_of_b = b.peer.split('@').next().expect("an id");
    assert_eq!((&peers["away"], &peer["endpoint_id"]), (&0.into(), &id_of_b.into()));
    assert_eq!((&peer["state"], &peer["path"]), (&"in_sync".into(), &"direct".into()));
    assert_eq!((&peer["wanted"], &peer["lag_changes"]), (&false.into(), &0.into()), "B dialled A");
    assert!(peer["path_address"].as_str().is_some_and(|address| address.starts_with("127.0.0.1:")), "{peer}");
    assert!(peer["round_trip_seconds"].as_f64().is_some_and(|time| time > 0.0 && time < 1.0), "{peer}");
    assert!(peer["bytes_sent"].as_u64() > Some(1000) && peer["connected_seconds"].as_f64() > Some(0.0), "{peer}");

    let (code, status, _) = b.ask("status");
    assert_eq!(code, 0);
    assert!(status.starts_with("bravo is ready\n") && status.contains("2 documents, 1 tombstone"), "{status}");
    assert!(status.contains("1 in sync"), "{status}");
    let status = a.ask_json("status");
    assert_eq!(
        (&status["node_id"], &status["ready"], &status["app_id"]),
        (&"alpha".into(), &true.into(), &"ops".into())
    );
    assert!(status["store"]["file_bytes"].as_u64() > Some(4096), "{status}");

    let page = Exposition::parse(&a.page("/metrics").await.1);
    assert_eq!(page.value("peat_ready", &[]), 1.0);
    assert_eq!(page.value("peat_sessions", &[]), 1.0);
    assert_eq!(page.value("peat_session_paths", &[("path", "direct")]), 1.0);
    assert_eq!(page.value("peat_sessions_started_total", &[("how", "reconciled")]), 1.0);
    assert_eq!(page.value("peat_peer_connected", &[("peer", id_of_b)]), 1.0);
    assert_eq!(page.value("peat_peer_lag_changes", &[("peer", id_of_b)]), 0.0);
    assert!(page.value("peat_peer_round_trip_seconds", &[("peer", id_of_b)]) > 0.0);
    assert!(page.value("peat_frames_sent_bytes_total", &[("class", "state")]) > 100.0);
    assert!(page.value("peat_frames_sent_bytes_total", &[("class", "control")]) > 10.0);
    assert_eq!(page.value("peat_store_documents", &[]), 2.0);
    assert_eq!(page.value("peat_store_tombstones", &[]), 1.0);
    assert_eq!(page.value("peat_store_changes_total", &[]), 4.0);

    // B goes; A remembers what it had, and that it is not there.
    drop(b);
    on_a.put_document(put("4")).await.expect("put");
    let lag = a.ask_until("lag --max-changes 0 --json", |(code, told, _)| (*code == 1).then(|| told.clone()));
    assert!(lag.contains(r#""lag_changes": 1"#), "{lag}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_that_is_not_there_is_told_with_the_reason() {
    let stranger = "ae58ff8833241ac82d6ff7611046ed67b5072d142c588d0063e942d9a75502b6@127.0.0.1:9";
    let node = Process::start("lonely", &["--peer", stranger]);
    let failed = |(_, told, _): &(i32, String, String)| told.contains("last").then(|| told.clone());
    let told = node.ask_until("peers", failed);
    assert!(told.contains("ae58ff8833  never seen"), "{told}");
    assert!(told.contains("dialled at 127.0.0.1:9"), "{told}");
    assert_eq!(node.ask("peers").0, 1, "a wanted peer is away");
    assert_eq!(node.ask("lag").0, 1, "what a peer has that was never seen is unknown");
    let page = Exposition::parse(&node.page("/metrics").await.1);
    assert!(page.value("peat_dial_failures_total", &[]) >= 1.0);
    assert!(page.missing("peat_peer_lag_changes"), "what is not known is not said");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn probes_and_health_agree_from_the_start_to_the_stop() {
    let node = Process::start("probed", &[]);
    assert_eq!(node.page("/healthz").await, (200, "alive\n".into()));
    assert_eq!(node.page("/readyz").await, (200, "ready\n".into()));
    assert_eq!(node.page("/secrets").await.0, 404);

    let mut health = Health(Grpc::new(node.channel().await));
    for name in ["", "peat.sidecar.v1.PeatSidecar"] {
        assert_eq!(health.check(name).await.expect("known"), SERVING);
    }
    let unknown = health.check("peat.sidecar.v1.Other").await.expect_err("unknown");
    assert_eq!(unknown.code(), Code::NotFound);
    let mut watch = health.watch("").await;
    let first = watch.message().await.expect("open").expect("the present status");
    assert_eq!(first.status, SERVING);

    node.signal("TERM");
    let last = watch.message().await.expect("open").expect("the new status");
    assert_eq!(last.status, NOT_SERVING);
    assert!(watch.message().await.expect("a clean end").is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reflection_lists_the_services_and_shows_the_definition() {
    let node = Process::start("reflected", &[]);
    for version in ["v1", "v1alpha"] {
        let ask = |list_services: &str, symbol: &str| ReflectionRequest {
            list_services: Some(list_services.to_owned()).filter(|text| !text.is_empty()),
            file_containing_symbol: Some(symbol.to_owned()).filter(|text| !text.is_empty()),
        };
        let asked = stream::iter([ask("*", ""), ask("", "peat.sidecar.v1.PeatSidecar")]);
        let path = format!("/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo");
        let mut grpc = Grpc::new(node.channel().await);
        grpc.ready().await.expect("ready");
        let codec = ProstCodec::<ReflectionRequest, ReflectionResponse>::default();
        let path = path.parse().expect("a path");
        let mut answers = grpc.streaming(Request::new(asked), path, codec).await.expect("served").into_inner();
        let listed = answers.message().await.expect("open").expect("a list").services.expect("services");
        let names: Vec<&str> = listed.service.iter().map(|service| service.name.as_str()).collect();
        assert!(names.contains(&"peat.sidecar.v1.PeatSidecar"), "{names:?}");
        let files = answers.message().await.expect("open").expect("a file").files.expect("files");
        let file = prost_types::FileDescriptorProto::decode(files.file[0].as_slice()).expect("a descriptor");
        assert_eq!(file.package(), "peat.sidecar.v1");
    }
}

#[test]
fn questions_that_cannot_be_answered_say_why() {
    let unused = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    let address = unused.local_addr().expect("bound");
    let deaf = ask(&format!("status --timeout 0.2 --api tcp://{address}"));
    drop(unused);
    let nobody = ask(&format!("status --api tcp://{address}"));
    let no_socket = ask("peers --api unix:///nowhere/api.sock");
    let bad = ask("lag --api here --max-seconds -1 --max-changes few --timeout 0");
    let both = ask("--data-dir /tmp/x status");
    let codes = [&deaf, &nobody, &no_socket, &bad, &both].map(|(code, told, _)| (*code, told.is_empty()));
    assert_eq!(codes, [(3, true), (3, true), (3, true), (2, true), (2, true)]);
    let told = [deaf, nobody, no_socket, bad, both].map(|(.., complaint)| complaint).join("\n");
    insta::assert_snapshot!(told.replace(&address.to_string(), "127.0.0.1:PORT"));
}

const SERVING: i32 = 1;
const NOT_SERVING: i32 = 2;

/// `grpc.health.v1.HealthCheckRequest`.
#[derive(Clone, PartialEq, Message)]
struct HealthRequest {
    #[prost(string, tag = "1")]
    service: String,
}

/// `grpc.health.v1.HealthCheckResponse`.
#[derive(Clone, PartialEq, Message)]
struct HealthResponse {
    #[prost(int32, tag = "1")]
    status: i32,
}

struct Health(Grpc<Channel>);

impl Health {
    async fn check(&mut self, service: &str) -> Result<i32, tonic::Status> {
        self.0.ready().await.expect("ready");
        let request = Request::new(HealthRequest { service: service.into() });
        let path = "/grpc.health.v1.Health/Check".parse().expect("a path");
        let codec = ProstCodec::<HealthRequest, HealthResponse>::default();
        Ok(self.0.unary(request, path, codec).await?.into_inner().status)
    }

    async fn watch(&mut self, service: &str) -> tonic::Streaming<HealthResponse> {
        self.0.ready().await.expect("ready");
        let request = Request::new(HealthRequest { service: service.into() });
        let path = "/grpc.health.v1.Health/Watch".parse().expect("a path");
        let codec = ProstCodec::<HealthRequest, HealthResponse>::default();
        self.0.server_streaming(request, path, codec).await.expect("served").into_inner()
    }
}

/// The fields of `grpc.reflection.v1.ServerReflectionRequest` that are used here; its oneof is two options.
#[derive(Clone, PartialEq, Message)]
struct ReflectionRequest {
    #[prost(string, optional, tag = "4")]
    file_containing_symbol: Option<String>,
    #[prost(string, optional, tag = "7")]
    list_services: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
struct ReflectionResponse {
    #[prost(message, optional, tag = "4")]
    files: Option<FileDescriptors>,
    #[prost(message, optional, tag = "6")]
    services: Option<ServiceList>,
}

#[derive(Clone, PartialEq, Message)]
struct FileDescriptors {
    #[prost(bytes = "vec", repeated, tag = "1")]
    file: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceList {
    #[prost(message, repeated, tag = "1")]
    service: Vec<ServiceName>,
}

#[derive(Clone, PartialEq, Message)]
struct ServiceName {
    #[prost(string, tag = "1")]
    name: String,
}
