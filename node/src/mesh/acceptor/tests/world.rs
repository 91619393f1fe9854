//! Whole nodes, and endpoints that say what they like, on loopback.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use iroh::endpoint::{Connection, ConnectionError, SendStream};
use iroh::{Endpoint, EndpointAddr, EndpointId, SecretKey, TransportAddr};
use tokio::sync::Notify;

use crate::config::{Formation, NodeConfig, Timing};
use crate::core::wire::{Deframer, frame};
use crate::mesh::admission::frames::{Offer, Offered};
use crate::mesh::admission::{AdmissionSnapshot, Binding, Keyring};
use crate::mesh::{ALPN, SystemResolver, Underlay, bind};
use crate::node::{Observation, Observer, Plants, Watching, World, lock};
use crate::store::Store;
use crate::{Node, NodeHandle};

pub const KEY: u8 = 7;
pub const OTHER_KEY: u8 = 8;
/// What has not happened by then does not happen.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn formation(app_id: &str, shared_key: Option<u8>, previous_key: Option<u8>) -> Formation {
    let key = |k: u8| [k; 32];
    Formation { app_id: app_id.into(), shared_key: shared_key.map(key), previous_key: previous_key.map(key) }
}

#[derive(Default)]
struct Eyes {
    seen: Mutex<Vec<Observation>>,
    more: Notify,
}

impl Observer for Eyes {
    fn observe(&self, event: Observation) {
        lock(&self.seen).push(event);
        self.more.notify_waiters();
    }
}

/// Somebody with an address.
pub trait Member {
    fn endpoint(&self) -> &Endpoint;

    fn id(&self) -> EndpointId {
        self.endpoint().id()
    }

    fn socket(&self) -> SocketAddr {
        *self.endpoint().bound_sockets().first().expect("bound")
    }

    fn address(&self) -> EndpointAddr {
        EndpointAddr::from_parts(self.id(), [TransportAddr::Ip(self.socket())])
    }
}

/// A node that keeps to the rules.
pub struct TestNode {
    node: Node,
    endpoint: Endpoint,
    eyes: Arc<Eyes>,
    _directory: tempfile::TempDir,
}

impl Member for TestNode {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

pub async fn node(seed: u8) -> TestNode {
    node_of(seed, formation("fleet", Some(KEY), None)).await
}

pub async fn node_of(seed: u8, formation: Formation) -> TestNode {
    let directory = tempfile::tempdir().expect("temporary directory");
    let timing = Timing::default();
    let store = Store::open_dir(directory.path()).expect("store");
    let endpoint = bind(store.identity().clone(), loopback(), &timing).await.expect("endpoint");
    let eyes = Arc::new(Eyes::default());
    let config = NodeConfig::new(format!("node-{seed}"), formation);
    let world = World {
        store,
        endpoint: endpoint.clone(),
        resolver: Arc::new(SystemResolver),
        wall_clock: Arc::new(|| 0),
        seed: [seed; 32],
        observer: Some(Arc::clone(&eyes) as Arc<dyn Observer>),
        plants: Plants::default(),
        pause: None,
    };
    let node = Node::start(config, world).await.expect("node");
    TestNode { node, endpoint, eyes, _directory: directory }
}

impl TestNode {
    pub fn handle(&self) -> &NodeHandle {
        self.node.handle()
    }

    /// Dials it, and again whenever it is lost.
    pub async fn want(&self, other: &impl Member) {
        let address = other.socket().to_string();
        self.handle().connect_peer(&other.id().to_string(), vec![address], "").await.expect("kept");
    }

    pub fn has_seen(&self, what: impl Fn(&Observation) -> bool) -> bool {
        lock(&self.eyes.seen).iter().any(what)
    }

    /// Waits until something happened.
    pub async fn saw(&self, what: impl Fn(&Observation) -> bool) {
        let seen = async {
            loop {
                let more = self.eyes.more.notified();
                let mut more = std::pin::pin!(more);
                more.as_mut().enable();
                if self.has_seen(&what) {
                    return;
                }
                more.await;
            }
        };
        let waited = tokio::time::timeout(PATIENCE, seen).await;
        waited.unwrap_or_else(|_| panic!("never happened; this did: {:?}", lock(&self.eyes.seen)));
    }

    /// Forgets what it saw.
    pub fn forget(&self) {
        lock(&self.eyes.seen).clear();
    }

    pub async fn is_up_with(&self, other: &impl Member) {
        self.saw(|event| matches!(event, Observation::SessionUp { peer, .. } if *peer == other.id())).await;
    }

    /// Looks at the counters until they are as they should be.
    pub async fn admissions(&self, as_due: impl Fn(&AdmissionSnapshot) -> bool) -> AdmissionSnapshot {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let counted = self.handle().admissions();
            if as_due(&counted) {
                return counted;
            }
            assert!(tokio::time::Instant::now() < deadline, "{counted:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    pub async fn put(&self, id: &str, json: &str) {
        self.handle().put("c", id, json).await.expect("put");
    }

    /// Waits until the document is here.
    pub async fn get(&self, id: &str) -> String {
        let mut changes = self.handle().subscribe(Watching::default()).expect("subscribed");
        let arrived = async {
            loop {
                if let Some(json) = self.handle().get("c", id).await.expect("readable") {
                    return json;
                }
                changes.next().await.expect("open").expect("readable");
            }
        };
        tokio::time::timeout(PATIENCE, arrived).await.expect("arrives")
    }
}

/// An endpoint that says what it likes.
pub struct Raw {
    pub endpoint: Endpoint,
}

impl Member for Raw {
    fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }
}

impl Raw {
    pub async fn bind() -> Self {
        Self { endpoint: bind(SecretKey::generate(), loopback(), &Timing::default()).await.expect("endpoint") }
    }

    pub async fn try_dial(&self, target: &TestNode) -> Result<Connection, iroh::endpoint::ConnectError> {
        self.endpoint.connect(target.address(), ALPN).await
    }

    /// TLS, and nothing else yet.
    pub async fn dial(&self, target: &TestNode) -> Connection {
        self.try_dial(target).await.expect("the handshake is open to all")
    }

    /// What a member of a formation would offer on this connection.
    pub fn offer(&self, on: &Connection, target: &TestNode, of: &Formation, versions: Vec<u8>) -> Offer {
        let binding = Binding::new(on, self.id(), target.id()).expect("exported");
        Keyring::new(of).offer(&binding, Offered { incarnation: 1, versions })
    }

    /// Sends a frame on the first stream and returns the frame that is answered.
    pub async fn say(on: &Connection, payload: &[u8]) -> Vec<u8> {
        let (mut send, mut receive) = on.open_bi().await.expect("a stream");
        send.write_all(&frame(payload)).await.expect("sent");
        first_frame(&mut receive).await
    }

    /// Waits to be dialled by a node: the connection, the offer as it came, and where the answer goes.
    pub async fn accept_offer(&self) -> (Connection, Vec<u8>, SendStream) {
        let incoming = self.endpoint.accept().await.expect("open");
        let connection = incoming.accept().expect("acceptable").await.expect("a handshake");
        let (send, mut receive) = connection.accept_bi().await.expect("a stream");
        let offer = first_frame(&mut receive).await;
        (connection, offer, send)
    }
}

async fn first_frame(receive: &mut iroh::endpoint::RecvStream) -> Vec<u8> {
    let mut deframer = Deframer::new(1 << 10);
    loop {
        if let Some(payload) = deframer.next_payload().expect("a frame") {
            return payload.to_vec();
        }
        deframer.push(&receive.read_chunk(1 << 10).await.expect("readable").expect("a whole frame"));
    }
}

/// The code with which the other side closes.
pub async fn close_code(connection: &Connection) -> u64 {
    match tokio::time::timeout(PATIENCE, connection.closed()).await.expect("closed at last") {
        ConnectionError::ApplicationClosed(close) => close.error_code.into_inner(),
        other => panic!("closed without a code: {other}"),
    }
}

fn loopback() -> Underlay {
    Underlay::Udp(([127, 0, 0, 1], 0).into())
}
