//! A name server that the test runs, and nodes on addresses of the loopback network.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::net::UdpSocket;
use tokio_util::task::AbortOnDropHandle;

use super::process::{NodeProcess, eventually, meshed};

const NAME: &str = "peat-mesh.fleet.test";
const INTERVAL: Duration = Duration::from_secs(1);
/// A dial that is under way when its address goes is not broken off.
const SLOWEST_DIAL: Duration = Duration::from_secs(10);
/// Nothing for so long means nothing more: longer than between any two packets to one that is dialled.
const QUIET: Duration = Duration::from_secs(6);
const PATIENCE: Duration = Duration::from_secs(30);
const A: u16 = 1;
const AAAA: u16 = 28;

#[derive(Debug, Clone)]
enum Zone {
    Has(Vec<Ipv4Addr>),
    /// SERVFAIL, NXDOMAIN.
    Fails(u8),
    Silent,
}

/// Answers for [`NAME`] and writes down what it is asked.
struct NameServer {
    address: SocketAddr,
    zone: Arc<Mutex<Zone>>,
    asked: Arc<Mutex<Vec<String>>>,
    _serving: AbortOnDropHandle<()>,
}

impl NameServer {
    async fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("bound");
        let address = socket.local_addr().expect("bound");
        let zone = Arc::new(Mutex::new(Zone::Has(vec![])));
        let asked = Arc::new(Mutex::new(Vec::new()));
        let serving = AbortOnDropHandle::new(tokio::spawn(serve(socket, Arc::clone(&zone), Arc::clone(&asked))));
        Self { address, zone, asked, _serving: serving }
    }

    fn set(&self, zone: Zone) -> Instant {
        *self.zone.lock().expect("lock") = zone;
        Instant::now()
    }

    fn asked(&self) -> usize {
        self.asked.lock().expect("lock").len()
    }

    /// Waits until it has been asked so many times more.
    async fn asked_again(&self, times: usize) {
        let due = self.asked() + times;
        eventually("look-ups go on", PATIENCE, || async { (self.asked() >= due).then_some(()) }).await;
    }
}

async fn serve(socket: UdpSocket, zone: Arc<Mutex<Zone>>, asked: Arc<Mutex<Vec<String>>>) {
    let mut query = [0; 512];
    loop {
        let (length, from) = socket.recv_from(&mut query).await.expect("a query");
        let (name, kind, question_end) = question(&query[..length]);
        asked.lock().expect("lock").push(name);
        let (code, addresses) = match zone.lock().expect("lock").clone() {
            Zone::Has(addresses) => (0, addresses),
            Zone::Fails(code) => (code, vec![]),
            Zone::Silent => continue,
        };
        let addresses = if kind == A { addresses } else { vec![] };
        assert!(kind == A || kind == AAAA, "asked for {kind}");
        let mut answer = query[..question_end].to_vec();
        answer[2..4].copy_from_slice(&[0x81, 0x80 | code]);
        answer[6..12].copy_from_slice(&[0, u8::try_from(addresses.len()).expect("few"), 0, 0, 0, 0]);
        for address in addresses {
            // The name by reference, A, IN, TTL 30 s, 4 bytes.
            answer.extend_from_slice(&[0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 30, 0, 4]);
            answer.extend_from_slice(&address.octets());
        }
        socket.send_to(&answer, from).await.expect("answered");
    }
}

/// Name, type and end of the question in a query (RFC 1035, section 4.1).
fn question(query: &[u8]) -> (String, u16, usize) {
    let (mut at, mut labels) = (12, Vec::new());
    while query[at] != 0 {
        let end = at + 1 + usize::from(query[at]);
        labels.push(String::from_utf8_lossy(&query[at + 1..end]).into_owned());
        at = end;
    }
    (labels.join("."), u16::from_be_bytes([query[at + 1], query[at + 2]]), at + 5)
}

fn address(index: u8) -> Ipv4Addr {
    Ipv4Addr::new(127, 0, 77, index)
}

/// A mesh port that is free on all the addresses.
fn free_port() -> u16 {
    let free = std::net::UdpSocket::bind((address(1), 0)).expect("bound");
    free.local_addr().expect("bound").port()
}

fn start(index: u8, port: u16, server: &NameServer, app_id: &str) -> NodeProcess {
    let (at, port) = (address(index).to_string(), port.to_string());
    let (server, interval) = (server.address.to_string(), INTERVAL.as_secs().to_string());
    let ours = ["--mesh-address", &at, "--iroh-udp-port", &port, "--app-id", app_id, "--discovery-mode", "dns"];
    let theirs = ["--discovery-service", NAME, "--discovery-nameserver", &server, "--discovery-interval", &interval];
    NodeProcess::start(None, ours.into_iter().chain(theirs))
}

fn figure(what: &str, took: Duration) {
    let part = took.as_secs_f64() / INTERVAL.as_secs_f64();
    println!("figure: dns, {what}: {:.0} ms = {part:.2} intervals of {INTERVAL:?}", took.as_secs_f64() * 1e3);
}

/// Bar 1 of issue 3: a headless service goes from 3 pods to 6 and to 2.
#[tokio::test]
async fn nodes_behind_a_name_follow_it_up_and_down() {
    let (server, port) = (NameServer::start().await, free_port());
    let first_three = || Zone::Has((1..=3).map(address).collect());
    server.set(first_three());
    let mut nodes: Vec<NodeProcess> = (1..=3).map(|index| start(index, port, &server, "fleet")).collect();
    for node in &nodes {
        node.client().await;
    }
    let took = meshed(&nodes.iter().collect::<Vec<_>>(), 2, PATIENCE).await;
    figure("3 nodes from the last one serving to a full mesh", took);

    nodes.extend((4..=6).map(|index| start(index, port, &server, "fleet")));
    for node in &nodes[3..] {
        node.client().await;
    }
    // The new ones find the old ones; each other only by the name.
    let began = server.set(Zone::Has((1..=6).map(address).collect()));
    meshed(&nodes.iter().collect::<Vec<_>>(), 5, PATIENCE).await;
    figure("3 -> 6, from the new answer to a full mesh", began.elapsed());
    assert!(began.elapsed() < 3 * INTERVAL, "{:?}", began.elapsed());

    // Trouble with the name changes nothing, once all have heard of all.
    for node in &nodes[..5] {
        let sixth = format!("{}:{port} is ", address(6));
        eventually("it knows the sixth", PATIENCE, || async { node.log().contains(&sixth).then_some(()) }).await;
    }
    for trouble in [Zone::Fails(2), Zone::Fails(3), Zone::Has(vec![]), Zone::Silent] {
        server.set(trouble);
        server.asked_again(24).await;
        meshed(&nodes.iter().collect::<Vec<_>>(), 5, PATIENCE).await;
    }
    // Not even for a peer without a session, which is still dialled.
    nodes[5].kill();
    meshed(&nodes[..5].iter().collect::<Vec<_>>(), 4, PATIENCE).await;
    let at_sixth = UdpSocket::bind((address(6), port)).await.expect("the place of the sixth");
    let mut packet = [0; 2048];
    let mut dialled = async |by: u8| {
        let by_it = async { while at_sixth.recv_from(&mut packet).await.expect("a packet").1.ip() != address(by) {} };
        tokio::time::timeout(PATIENCE, by_it).await.expect("dialled");
    };
    dialled(1).await;
    dialled(2).await;

    // What is gone from a good answer is not dialled any more, and what is left is a mesh.
    let began = server.set(Zone::Has((1..=2).map(address).collect()));
    let (left, gone) = nodes.split_at_mut(2);
    let left = async {
        meshed(&[&left[0], &left[1]], 1, PATIENCE).await;
        figure("6 -> 2, from the new answer and SIGTERM to one session each", began.elapsed());
    };
    let quiet = async {
        let mut last_packet = Duration::ZERO;
        while let Ok(packet) = tokio::time::timeout(QUIET, at_sixth.recv_from(&mut packet)).await {
            // Those that are stopping may dial until they end.
            let (_, from) = packet.expect("a packet");
            if !(3..=5).any(|index| from.ip() == address(index)) {
                last_packet = began.elapsed();
                assert!(last_packet < PATIENCE, "still dialled");
            }
        }
        last_packet
    };
    let stops = futures::future::join_all(gone[..3].iter_mut().map(NodeProcess::stop));
    let ((), last_packet, _) = tokio::join!(left, quiet, stops);
    figure("6 -> 2, from the new answer to the last packet to one that is gone", last_packet);
    assert!(last_packet < 2 * INTERVAL + SLOWEST_DIAL, "{last_packet:?}");

    let asked: BTreeSet<String> = server.asked.lock().expect("lock").iter().cloned().collect();
    assert_eq!(asked, BTreeSet::from([NAME.to_owned()]), "only the named host is looked up");
    let log = nodes[0].log();
    let noise = log.lines().find(|line| line.contains("WARN") && !line.contains(NAME));
    assert_eq!(noise, None, "asking and being asked is nothing to warn of");
}

/// The address of a pod may belong to somebody else by the time it is asked.
#[tokio::test]
async fn strangers_behind_the_name_are_left_alone() {
    let (server, port) = (NameServer::start().await, free_port());
    server.set(Zone::Has((11..=14).map(address).collect()));
    let stranger = start(13, port, &server, "other");
    let silent = UdpSocket::bind((address(14), port)).await.expect("bound");
    let nodes = [start(11, port, &server, "fleet"), start(12, port, &server, "fleet")];
    meshed(&nodes.iter().collect::<Vec<_>>(), 1, PATIENCE).await;
    let mut packet = [0; 2048];
    let (_, asker) = silent.recv_from(&mut packet).await.expect("asked");
    assert_eq!(asker.ip(), IpAddr::from(Ipv4Addr::LOCALHOST));
    let own = stranger.endpoint_id().await;
    for node in &nodes {
        let what = "it was asked who it is, and refused";
        let refused = || async { node.log().contains("app-id or shared key differ").then_some(()) };
        eventually(what, PATIENCE, refused).await;
        assert!(!node.log().contains(&own[..10]), "its endpoint id was believed");
    }
    nodes[0].put("d").await;
    assert_eq!(stranger.connected().await, 0);
}
