//! Nodes that reach each other through a relay: real processes, and a relay server that the test runs on loopback. Where there
//! must be no direct path, one node has an IPv4 and the other an IPv6 socket.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use iroh_relay::server::{
    Access, AccessControl, CertConfig, ClientRequest, QuicConfig, RelayConfig, Server, ServerConfig, TlsConfig,
};
use peat_node::config::{Relays, Timing};
use peat_node::mesh::{self, Underlay};
use peat_proto::client::*;

use crate::discovery::process::{NodeProcess, eventually, meshed};

const V4: &str = "127.0.0.1";
const V6: &str = "::1";
/// What has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// A relay server. Its address is its own as long as it lives, and is taken again by whoever starts it anew.
struct Relay {
    server: Server,
    address: SocketAddr,
    scheme: &'static str,
}

impl Relay {
    async fn start() -> Self {
        Self::start_at((Ipv4Addr::LOCALHOST, 0).into()).await
    }

    async fn start_at(address: SocketAddr) -> Self {
        let mut config = ServerConfig::default();
        config.relay = Some(RelayConfig::new(address));
        let server = Server::spawn(config).await.expect("a relay");
        let address = server.http_addr().expect("served");
        Self { server, address, scheme: "http" }
    }

    /// One with TLS that serves whoever has the token. Its certificate is its own authority.
    async fn start_for(token: &'static str) -> (Self, String) {
        let (mut relay, certificate) = with_tls();
        relay.access = Arc::new(Token(token));
        let mut config = ServerConfig::default();
        config.relay = Some(relay);
        let server = Server::spawn(config).await.expect("a relay");
        let address = server.https_addr().expect("served");
        (Self { server, address, scheme: "https" }, certificate.pem())
    }

    fn url(&self) -> String {
        format!("{}://{}/", self.scheme, self.address)
    }

    async fn stop(self) -> SocketAddr {
        self.server.shutdown().await.expect("stopped");
        self.address
    }
}

/// What a relay with TLS is made of, and its certificate, which is its own authority.
fn with_tls() -> (RelayConfig, rcgen::Certificate) {
    let made = rcgen::generate_simple_self_signed([V4.to_owned()]).expect("a certificate");
    let key = rustls::pki_types::PrivatePkcs8KeyDer::from(made.signing_key.serialize_der());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let server_config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("TLS 1.3")
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key.into())
        .expect("a good pair");
    let anywhere = (Ipv4Addr::LOCALHOST, 0);
    let mut relay = RelayConfig::new(anywhere);
    relay.tls = Some(TlsConfig::new(anywhere, CertConfig::Manual { server_config }));
    (relay, made.cert)
}

/// Serves those that have it.
#[derive(Debug)]
struct Token(&'static str);

impl AccessControl for Token {
    async fn on_connect(&self, request: &ClientRequest) -> Access {
        if request.auth_token().as_deref() == Some(self.0) {
            Access::Allow
        } else {
            Access::Deny { reason: Some("no token".into()) }
        }
    }
}

/// A node on one address of this machine that has one or several relays.
fn start(address: &str, relays: &str, others: &[&str]) -> NodeProcess {
    let own = ["--mesh-address", address, "--relay", relays];
    let app: &[&str] = if others.contains(&"--app-id") { &[] } else { &["--app-id", "fleet"] };
    NodeProcess::start(None, own.into_iter().chain(app.iter().copied()).chain(others.iter().copied()))
}

async fn connect(from: &NodeProcess, to: &NodeProcess, relay: &str) {
    let endpoint_id = to.endpoint_id().await;
    let wanted = ConnectPeerRequest { endpoint_id, addresses: vec![], relay_url: relay.into() };
    from.client().await.connect_peer(wanted).await.expect("a wish");
}

/// The only peer of a node, once it is as it should be.
async fn peer_once(node: &NodeProcess, what: &str, good: impl Fn(&PeerInfo) -> bool) -> PeerInfo {
    eventually(what, PATIENCE, || async {
        let peers = node.client().await.list_peers(ListPeersRequest {}).await.expect("peers").into_inner().peers;
        peers.into_iter().next().filter(&good)
    })
    .await
}

async fn status_once(node: &NodeProcess, what: &str, good: impl Fn(&GetStatusResponse) -> bool) -> GetStatusResponse {
    eventually(what, PATIENCE, || async {
        let status = node.client().await.get_status(GetStatusRequest {}).await.expect("status").into_inner();
        Some(status).filter(&good)
    })
    .await
}

/// Waits until a document that was put on one node is on another. Returns how long that took.
async fn passes(id: &str, from: &NodeProcess, to: &NodeProcess) -> Duration {
    let began = Instant::now();
    from.put(id).await;
    eventually("the document arrives", PATIENCE, || async {
        let wanted = GetDocumentRequest { collection: "c".into(), doc_id: id.into(), ..Default::default() };
        to.client().await.get_document(wanted).await.expect("get").into_inner().json_data
    })
    .await;
    began.elapsed()
}

fn figure(what: &str, took: Duration) {
    println!("figure: relay, {what}: {:.0} ms", took.as_secs_f64() * 1e3);
}

#[tokio::test]
async fn two_nodes_without_a_direct_path_meet_at_a_relay_also_after_a_restart() {
    let relay = Relay::start().await;
    let url = relay.url();
    let (mut a, b) = (start(V4, &url, &[]), start(V6, &url, &[]));
    let began = Instant::now();
    let status = status_once(&b, "it is at the relay", |status| status.home_relay_connected).await;
    figure("from the start of a node to its home relay", began.elapsed());
    assert_eq!(status.home_relay, url);

    connect(&a, &b, url.trim_end_matches('/')).await;
    let began = Instant::now();
    let b_on_a = peer_once(&a, "a session", |peer| peer.connected).await;
    figure("from ConnectPeer to a session", began.elapsed());
    assert_eq!((b_on_a.path(), &b_on_a.path_address), (PathKind::Relay, &url));
    assert!(b_on_a.wanted && b_on_a.addresses.is_empty(), "{b_on_a:?}");
    assert_eq!(b_on_a.relay_urls, std::slice::from_ref(&url));
    passes("by-a", &a, &b).await;
    passes("by-b", &b, &a).await;
    let a_on_b = peer_once(&b, "a session", |peer| peer.connected).await;
    assert_eq!((a_on_b.path(), a_on_b.wanted), (PathKind::Relay, false));

    a.restart();
    let back = peer_once(&a, "a session after the restart", |peer| peer.connected).await;
    assert_eq!((back.path(), back.relay_urls), (PathKind::Relay, vec![url]));
    passes("after-restart", &b, &a).await;
}

#[tokio::test]
async fn a_session_that_began_at_a_relay_becomes_direct_where_there_is_a_path() {
    let relay = Relay::start().await;
    let (a, b) = (start(V4, &relay.url(), &[]), start(V4, &relay.url(), &[]));
    connect(&a, &b, &relay.url()).await;
    let began = Instant::now();
    for node in [&a, &b] {
        let peer = peer_once(node, "a direct path", |peer| peer.path() == PathKind::Direct).await;
        assert!(peer.path_address.starts_with("127.0.0.1:"), "{peer:?}");
        assert_eq!(peer.sessions, 1, "without another session");
    }
    figure("from ConnectPeer to a direct path on both sides", began.elapsed());
    // The relay is not needed any more.
    relay.stop().await;
    passes("without-the-relay", &a, &b).await;
}

#[tokio::test]
async fn nodes_that_know_one_other_at_a_relay_find_everyone_there() {
    let relay = Relay::start().await;
    let url = relay.url();
    let gossip = ["--discovery-mode", "gossip"];
    let known = start(V4, &url, &gossip);
    let peer = format!("{}@{url}", known.endpoint_id().await);
    let told = [&gossip[..], &["--peer", &peer]].concat();
    let (v4, v6) = (start(V4, &url, &told), start(V6, &url, &told));
    let took = meshed(&[&known, &v4, &v6], 2, PATIENCE).await;
    figure("3 nodes, gossip, to a full mesh", took);
    let id = v6.endpoint_id().await;
    let peers = v4.client().await.list_peers(ListPeersRequest {}).await.expect("peers").into_inner().peers;
    let found = peers.iter().find(|peer| peer.endpoint_id == id).expect("found");
    assert_eq!((found.path(), &found.path_address), (PathKind::Relay, &url));
}

/// iroh waits up to 16 s between two attempts to reach a relay, the longer the relay is gone.
#[tokio::test]
async fn sessions_are_back_soon_after_their_relay_is() {
    let relay = Relay::start().await;
    let url = relay.url();
    let (a, b) = (start(V4, &url, &[]), start(V6, &url, &[]));
    connect(&a, &b, &url).await;
    peer_once(&a, "a session", |peer| peer.connected).await;

    // For a moment: no session need end.
    let address = relay.stop().await;
    let relay = Relay::start_at(address).await;
    figure("relay restarted at once, to a document on the other side", passes("1", &a, &b).await);

    // For longer than the idle timeout.
    let address = relay.stop().await;
    for node in [&a, &b] {
        let away = |peer: &PeerInfo| !peer.connected;
        eventually("the loss is noticed", PATIENCE, || async {
            let peers = node.client().await.list_peers(ListPeersRequest {}).await.expect("peers").into_inner().peers;
            peers.iter().all(away).then_some(())
        })
        .await;
    }
    let gone = Instant::now();
    let status = status_once(&a, "it says so", |status| !status.home_relay_connected).await;
    assert_eq!(status.home_relay, url, "others still find it there");
    let _relay = Relay::start_at(address).await;
    let took = passes("2", &a, &b).await;
    figure("relay back after the idle timeout, to a document on the other side", took);
    assert!(gone.elapsed() < Duration::from_secs(25), "{:?}", gone.elapsed());
}

#[tokio::test]
async fn another_relay_takes_the_place_of_one_that_is_gone() {
    let relays = [Relay::start().await, Relay::start().await];
    let urls: Vec<String> = relays.iter().map(Relay::url).collect();
    let node = start(V4, &urls.join(","), &[]);
    let first = status_once(&node, "a home", |status| status.home_relay_connected).await.home_relay;
    let (mut home, mut other): (Vec<_>, Vec<_>) = relays.into_iter().partition(|relay| relay.url() == first);
    let (home, other) = (home.pop().expect("one of them"), other.pop().expect("the other"));
    home.stop().await;
    let began = Instant::now();
    let at_other = |status: &GetStatusResponse| status.home_relay_connected && status.home_relay == other.url();
    status_once(&node, "the other one is its home", at_other).await;
    figure("from the end of the home relay to another", began.elapsed());
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}

#[tokio::test]
async fn whoever_lacks_the_key_is_refused_through_a_relay_too() {
    let relay = Relay::start().await;
    let (a, stranger) = (start(V4, &relay.url(), &[]), start(V6, &relay.url(), &["--app-id", "other"]));
    connect(&a, &stranger, &relay.url()).await;
    let refused = |peer: &PeerInfo| peer.last_error.contains("app-id or shared key differ");
    let peer = peer_once(&a, "a refusal", refused).await;
    assert!(!peer.connected && peer.sessions == 0, "{peer:?}");
    assert_eq!(stranger.connected().await, 0);
}

/// What an address translator makes of an address can only be told from outside.
#[tokio::test]
async fn a_relay_with_quic_tells_a_node_what_its_address_looks_like_from_there() {
    let (relay, certificate) = with_tls();
    let mut config = ServerConfig::default();
    config.relay = Some(relay);
    config.quic = Some(QuicConfig::new((Ipv4Addr::LOCALHOST, 0)));
    let server = Server::spawn(config).await.expect("a relay");
    let url = format!("https://{}", server.https_addr().expect("served"));
    let relays = Relays {
        urls: vec![url.parse().expect("a URL")],
        authorities: vec![certificate.der().clone()],
        quic_port: server.quic_addr().expect("served").port(),
        ..Relays::default()
    };
    let began = Instant::now();
    let everywhere = Underlay::UdpEverywhere { port: 0 };
    let secret = iroh::SecretKey::from_bytes(&[7; 32]);
    let endpoint = mesh::bind_with_relays(secret, everywhere, &Timing::default(), &relays).await.expect("bound");
    // From loopback it looks like loopback, which is no address of an interface that others could use.
    let seen = || async { endpoint.addr().ip_addrs().any(|address| address.ip().is_loopback()).then_some(()) };
    eventually("it knows", PATIENCE, seen).await;
    figure("from binding to the address that a relay with QUIC sees", began.elapsed());
    let home = || async { endpoint.addr().relay_urls().next().cloned() };
    assert_eq!(eventually("a home", PATIENCE, home).await, relays.urls[0]);
    figure("from binding to a home relay with QUIC", began.elapsed());
    endpoint.close().await;
}

#[tokio::test]
async fn a_relay_with_a_private_authority_serves_those_that_have_its_token() {
    let (relay, authority) = Relay::start_for("sesame").await;
    let url = relay.url();
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("ca.pem");
    std::fs::write(&file, authority).expect("written");
    let file = file.to_str().expect("text");

    let began = Instant::now();
    let a = start(V4, &url, &["--relay-ca", file, "--relay-token", "sesame"]);
    let b = start(V6, &url, &["--relay-ca", file, "--relay-token", "sesame"]);
    let without_token = start(V4, &url, &["--relay-ca", file]);
    let without_authority = start(V4, &url, &["--relay-token", "sesame"]);
    status_once(&a, "it is at the relay", |status| status.home_relay_connected).await;
    figure("from the start to a home relay with TLS and without QUIC", began.elapsed());
    connect(&a, &b, &url).await;
    passes("by-a", &a, &b).await;

    let denied = || async { without_token.log().contains("it does not serve this node: no token").then_some(()) };
    eventually("it says why", PATIENCE, denied).await;
    let status = without_token.client().await.get_status(GetStatusRequest {}).await.expect("status").into_inner();
    assert!(!status.home_relay_connected, "{status:?}");
    let status = without_authority.client().await.get_status(GetStatusRequest {}).await.expect("status").into_inner();
    assert!(!status.home_relay_connected, "{status:?}");
    for node in [&a, &b, &without_token, &without_authority] {
        assert!(!node.log().contains("sesame"), "a secret was logged");
    }
}
