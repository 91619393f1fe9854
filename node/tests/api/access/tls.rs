//! TLS on the port: who gets through, what is renewed, and who only wastes time.

use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use peat_node::api::access::file::Named;
use peat_node::api::access::tls::TlsFiles;
use peat_node::api::access::{AccessCounts, AccessSettings, Guard};
use peat_node::watcher::tls::Identity;
use peat_proto::client::*;
use rcgen::ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::Endpoint;

use super::{STATED, Tokens, token};
use crate::agent::server::Authority;
use crate::binary::binary;
use crate::discovery::process::eventually;
use crate::harness::{Client, OpenAnswer, TestNode, envelope, frames};

const NAME: &str = "127.0.0.1";
const STATUS: &str = "/peat.sidecar.v1.PeatSidecar/GetStatus";

fn files(node: &Identity, clients: Option<&Authority>) -> TlsFiles {
    let named = |flag, path: &std::path::Path| Named { flag, path: path.into() };
    TlsFiles {
        cert: named("--tls-cert", &node.cert),
        key: named("--tls-key", &node.key),
        client_ca: clients.map(|clients| named("--tls-client-ca", &clients.ca())),
    }
}

async fn node(tls: TlsFiles) -> (TestNode, Arc<AccessCounts>) {
    let settings = AccessSettings { tls: Some(tls), ..AccessSettings::default() };
    let guard = Guard::open(&settings, Arc::new(|| 0)).expect("good files");
    let counts = guard.counts();
    (TestNode::start_behind(guard).await, counts)
}

/// As a client that trusts an authority, and may show a certificate.
async fn connect(
    node: &TestNode,
    trusted: &Authority,
    shown: Option<&Identity>,
    alpn: &str,
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted.ca()).expect("a certificate")).expect("valid");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().expect("valid");
    let builder = builder.with_root_certificates(roots);
    let mut config = match shown {
        None => builder.with_no_client_auth(),
        Some(identity) => {
            let chain = vec![CertificateDer::from_pem_file(&identity.cert).expect("a certificate")];
            let key = PrivateKeyDer::from_pem_file(&identity.key).expect("a key");
            builder.with_client_auth_cert(chain, key).expect("a pair")
        }
    };
    config.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let stream = TcpStream::connect(node.tcp()).await?;
    TlsConnector::from(Arc::new(config)).connect(ServerName::try_from(NAME).expect("a name"), stream).await
}

/// A request over an open connection: in TLS 1.3 a client learns only then that its certificate was refused.
async fn ask(mut stream: TlsStream<TcpStream>) -> io::Result<String> {
    let head = format!(
        "POST {STATUS} HTTP/1.1\r\nhost: node\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{{}}"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).await?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

async fn grpc(stream: TlsStream<TcpStream>) -> Client {
    let mut stream = Some(TokioIo::new(stream));
    let connector = tower::service_fn(move |_| {
        std::future::ready(stream.take().ok_or_else(|| io::Error::other("there is one connection only")))
    });
    let channel = Endpoint::from_static("http://node").connect_with_connector(connector).await.expect("connected");
    PeatSidecarClient::new(channel)
}

#[tokio::test]
async fn all_three_protocols_work_over_tls_on_one_port() {
    let authority = Authority::new("fleet");
    let (node, _) = node(files(&authority.issue(NAME, ServerAuth), None)).await;
    let stream = connect(&node, &authority, None, "h2").await.expect("trusted");
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let mut client = grpc(stream).await;
    assert_eq!(client.get_status(GetStatusRequest {}).await.expect("status").into_inner().node_id, "test-node");

    let http_1 = async || Box::new(connect(&node, &authority, None, "http/1.1").await.expect("trusted"));
    let answer = OpenAnswer::request(http_1().await, STATUS, "content-type: application/json\r\n", b"{}").await;
    assert!(answer.complete().await.text().contains("test-node"));
    let headers = "content-type: application/grpc-web+proto\r\n";
    let answer = OpenAnswer::request(http_1().await, STATUS, headers, &envelope(b"")).await.complete().await;
    let trailers = String::from_utf8(frames(&answer.body).pop().expect("trailers").payload).expect("text");
    assert!(trailers.contains("grpc-status: 0"), "{trailers}");

    let stranger = Authority::new("another");
    connect(&node, &stranger, None, "h2").await.expect_err("the node is not who this client looks for");
    connect(&node, &authority, None, "h3").await.expect_err("that is not spoken here");
}

#[tokio::test]
async fn with_mutual_tls_only_certificates_of_the_authority_get_in() {
    let (authority, clients, stranger) =
        (Authority::new("fleet"), Authority::new("clients"), Authority::new("stranger"));
    let (node, counts) = node(files(&authority.issue(NAME, ServerAuth), Some(&clients))).await;
    let (right, wrong) = (clients.issue("dashboard", ClientAuth), stranger.issue("dashboard", ClientAuth));
    let server = clients.issue("node", ServerAuth);
    let tried = async |shown: Option<&Identity>| match connect(&node, &authority, shown, "http/1.1").await {
        Ok(stream) => ask(stream).await,
        Err(error) => Err(error),
    };
    assert_eq!(tried(Some(&right)).await.expect("let in"), "HTTP/1.1 200");
    for (shown, why) in [(None, "none"), (Some(&wrong), "of another authority"), (Some(&server), "not one for clients")]
    {
        tried(shown).await.expect_err(why);
    }
    eventually("three are counted", STATED, || async { (counts.figures().handshakes == 3).then_some(()) }).await;
    assert_eq!(tried(Some(&right)).await.expect("let in"), "HTTP/1.1 200");
}

#[tokio::test]
async fn a_renewal_is_taken_up_and_a_broken_one_is_not() {
    let (old, new) = (Authority::new("old"), Authority::new("new"));
    let used = old.issue(NAME, ServerAuth);
    let (node, counts) = node(files(&used, None)).await;
    let mut before = grpc(connect(&node, &old, None, "h2").await.expect("trusted")).await;

    // A certificate without its key: what a renewal is in the middle.
    let renewed = new.issue(NAME, ServerAuth);
    std::fs::copy(&renewed.cert, &used.cert).expect("copied");
    eventually("it is noticed", STATED, || async { (counts.figures().files_unusable == 1).then_some(()) }).await;
    connect(&node, &old, None, "h2").await.expect("as before");

    std::fs::copy(&renewed.key, &used.key).expect("copied");
    eventually("the new one is shown", STATED, || async { connect(&node, &new, None, "h2").await.ok() }).await;
    connect(&node, &old, None, "h2").await.expect_err("the old one is not shown any more");
    assert_eq!(counts.figures().files_unusable, 0);
    before.get_status(GetStatusRequest {}).await.expect("what is open stays");
}

#[tokio::test]
async fn whoever_is_slow_or_speaks_something_else_holds_nobody_up() {
    let authority = Authority::new("fleet");
    let (node, counts) = node(files(&authority.issue(NAME, ServerAuth), None)).await;
    let mut silent = vec![];
    for begin in [&b""[..], b"\x16", b"\x16\x03\x01\x02\x00\x01"].into_iter().cycle().take(30) {
        let mut stream = TcpStream::connect(node.tcp()).await.expect("connected");
        stream.write_all(begin).await.expect("sent");
        silent.push(stream);
    }
    let mut garbage = TcpStream::connect(node.tcp()).await.expect("connected");
    garbage.write_all(b"\x16\x03\x01\x00\x05hello").await.expect("sent");
    let mut rest = vec![];
    let _ = garbage.read_to_end(&mut rest).await;

    let began = Instant::now();
    let answer = ask(connect(&node, &authority, None, "http/1.1").await.expect("trusted")).await.expect("answered");
    assert_eq!(answer, "HTTP/1.1 200");
    assert!(began.elapsed() < Duration::from_secs(3), "it had to wait for others: {:?}", began.elapsed());

    for mut stream in silent {
        let mut rest = vec![];
        let closed = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut rest)).await;
        let _ = closed.expect("whoever is too slow is cut off");
    }
    eventually("all are counted", STATED, || async { (counts.figures().handshakes == 31).then_some(()) }).await;
}

#[tokio::test]
async fn plain_http_is_told_that_it_must_speak_tls() {
    let authority = Authority::new("fleet");
    let (node, _) = node(files(&authority.issue(NAME, ServerAuth), None)).await;
    let told = async |request: &[u8]| {
        let mut stream = TcpStream::connect(node.tcp()).await.expect("connected");
        stream.write_all(request).await.expect("sent");
        let mut answer = vec![];
        stream.read_to_end(&mut answer).await.expect("closed in order");
        String::from_utf8_lossy(&answer).into_owned()
    };
    let answer = told(b"POST /x HTTP/1.1\r\nhost: node\r\ncontent-length: 3\r\n\r\n{ }").await;
    assert!(
        answer.starts_with("HTTP/1.1 400 ") && answer.ends_with("this port speaks TLS: call it with https://\n"),
        "{answer}"
    );
    let answer = told(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.ends_with("this port speaks TLS: call it with https://"), "{answer}");

    let channel = Endpoint::from_shared(format!("http://{}", node.tcp())).expect("an address").connect().await;
    let refused = PeatSidecarClient::new(channel.expect("TCP stands")).get_status(GetStatusRequest {}).await;
    let told = format!("{:?}", refused.expect_err("without TLS"));
    assert!(told.contains("this port speaks TLS"), "what a gRPC client is told: {told}");
}

/// Both locks at once, and the node's own commands.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_of_the_node_bring_certificate_and_token() {
    let (authority, clients) = (Authority::new("fleet"), Authority::new("clients"));
    let tokens = Tokens::new(&[("ops", r#""scope":"read""#)]);
    let settings = AccessSettings {
        tls: Some(files(&authority.issue(NAME, ServerAuth), Some(&clients))),
        tokens: Some(Named { flag: "--tokens", path: tokens.file() }),
        ..AccessSettings::default()
    };
    let node = TestNode::start_behind(Guard::open(&settings, Arc::new(|| 0)).expect("good files")).await;
    let shown = clients.issue("ops", ClientAuth);
    let ask = |words: &[&str]| {
        let api = format!("tcp://{}", node.tcp());
        let ended = binary().args(words).args(["--api", &api]).output().expect("ran");
        let told = String::from_utf8(ended.stderr).expect("text").replace(&api, "(api)");
        format!("{:?} {told}", ended.status.code())
    };
    let path = |path: &std::path::Path| path.display().to_string();
    let (ca, cert, key, good) = (path(&authority.ca()), path(&shown.cert), path(&shown.key), token("ops"));
    let full = ["--api-tls-ca", &ca, "--api-tls-cert", &cert, "--api-tls-key", &key, "--api-token", &good];
    let told = [
        ask(&[&["status"][..], &full].concat()),
        ask(&[&["status"][..], &full[..6]].concat()),
        ask(&["status", "--api-tls-ca", &path(&clients.ca())]),
        ask(&[&["status", "--api-tls-name", "node.example"][..], &full].concat()),
        ask(&[&["backup", "--out", "/nowhere/f"][..], &full].concat()),
    ];
    insta::assert_snapshot!(told.join("\n"));
    // Whether it is noticed while connecting or after is a matter of microseconds.
    let without_certificate = ask(&[&["status"][..], &full[..2]].concat());
    let without_tls = ask(&["status"]);
    assert!(
        without_certificate.starts_with("Some(3)") && without_certificate.to_lowercase().contains("certificate"),
        "{without_certificate}"
    );
    assert!(without_tls.starts_with("Some(3)"), "{without_tls}");
}
