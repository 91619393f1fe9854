//! What a node is told at start, parsed into types that cannot be wrong.

use std::time::Duration;

use crate::core::document::JsonLimits;
use crate::core::engine::Traffic;
pub use crate::core::topology::Topology;
use crate::limits;

pub mod flags;
mod relays;

pub use relays::{AuthorityError, Relays};

/// Everything that an operator decides.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Name for people; no decision depends on it.
    pub node_id: String,
    /// Who belongs together.
    pub formation: Formation,
    /// Peers wanted from the start.
    pub peers: Vec<PeerAddress>,
    /// Whether to synchronise from the start.
    pub auto_sync: bool,
    /// How peers are found beyond those.
    pub discovery: Discovery,
    /// What the node carries, and in which order.
    pub traffic: Traffic,
    /// Whom to have sessions with among those that are found.
    pub topology: Topology,
    /// Where this node may be found, as `host:port`, for gossip to tell; none: the addresses of its interfaces.
    pub advertise: Vec<String>,
    /// Relays that the endpoint was bound with, see [`crate::mesh::bind_with_relays`].
    pub relays: Relays,
    /// Timers of the mesh.
    pub timing: Timing,
    /// What clients may ask.
    pub limits: ClientLimits,
}

impl NodeConfig {
    /// A node that synchronises with the peers it is told of; everything else by default.
    pub fn new(node_id: impl Into<String>, formation: Formation) -> Self {
        Self {
            node_id: node_id.into(),
            formation,
            peers: vec![],
            auto_sync: true,
            discovery: Discovery::default(),
            traffic: Traffic::default(),
            topology: Topology::default(),
            advertise: vec![],
            relays: Relays::default(),
            timing: Timing::default(),
            limits: ClientLimits::default(),
        }
    }
}

/// What this node accepts from its clients. It accepts what peers send whatever this is, since all nodes of a formation
/// must come to hold the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientLimits {
    /// Largest text of a document in bytes.
    pub document_bytes: usize,
    /// Deepest nesting of a document, itself included.
    pub document_depth: usize,
    /// Largest request in bytes.
    pub request_bytes: usize,
    /// Most documents of one request that writes several.
    pub put_documents: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self {
            document_bytes: limits::MAX_DOCUMENT_BYTES,
            document_depth: limits::MAX_JSON_DEPTH,
            request_bytes: limits::MAX_REQUEST_BYTES,
            put_documents: limits::MAX_PUT_DOCUMENTS,
        }
    }
}

impl ClientLimits {
    /// As the parser of documents wants them.
    pub fn json(&self) -> JsonLimits {
        JsonLimits { max_bytes: self.document_bytes, max_depth: self.document_depth }
    }
}

/// How peers are found that nobody named. All off by default.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// Announce and browse on the local network.
    pub mdns: bool,
    /// Look this host name up.
    pub dns: Option<DnsName>,
    /// Exchange known peers with connected ones.
    pub gossip: bool,
    /// Time between two look-ups.
    pub interval: Duration,
}

impl Default for Discovery {
    fn default() -> Self {
        Self { mdns: false, dns: None, gossip: false, interval: limits::DISCOVERY_INTERVAL }
    }
}

/// A host name behind which peers are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DnsName {
    /// As given: without a dot at its end the resolver's search list applies.
    pub host: String,
    /// Port of the mesh, the same for all of them.
    pub port: u16,
    /// Whom to ask; `None`: whom the system asks.
    pub nameserver: Option<std::net::SocketAddr>,
}

/// Nodes with the same application id and shared key form one mesh; no others exchange a byte of it.
#[derive(Clone, PartialEq, Eq)]
pub struct Formation {
    /// Name of the application.
    pub app_id: String,
    /// Secret of the formation. `None`: anyone who knows the `app_id` is admitted.
    pub shared_key: Option<[u8; 32]>,
    /// The secret that the formation had before: accepted too during a change-over.
    pub previous_key: Option<[u8; 32]>,
}

impl std::fmt::Debug for Formation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let told = |key: &Option<[u8; 32]>| if key.is_some() { "set" } else { "none" };
        f.debug_struct("Formation")
            .field("app_id", &self.app_id)
            .field("shared_key", &told(&self.shared_key))
            .field("previous_key", &told(&self.previous_key))
            .finish()
    }
}

/// A peer to dial: its endpoint id and where it may be found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerAddress {
    /// Who must answer there.
    pub id: iroh::EndpointId,
    /// `host:port`, or the URL of a relay; tried together.
    pub addresses: Vec<String>,
}

/// Timers of the mesh. The defaults are the ones of [`limits`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timing {
    /// A silent connection is given up after this time.
    pub idle_timeout: Duration,
    /// Interval of keep-alive packets on a quiet connection.
    pub keep_alive: Duration,
    /// A peer that does not answer is dialled anew at this interval.
    pub dial_interval: Duration,
}

impl Timing {
    /// Keeps quiet connections alive at this interval. A connection counts as lost only after three of them, so
    /// both ends should be given the same: the shorter silence of the two holds for both.
    pub fn with_keep_alive(mut self, keep_alive: Duration) -> Self {
        self.keep_alive = keep_alive;
        self.idle_timeout = limits::IDLE_TIMEOUT.max(keep_alive * limits::IDLE_KEEP_ALIVES);
        self
    }
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            idle_timeout: limits::IDLE_TIMEOUT,
            keep_alive: limits::KEEP_ALIVE,
            dial_interval: limits::DIAL_INTERVAL,
        }
    }
}

/// An agent to watch, see [`crate::watcher`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchedAgent {
    /// Where it is, and how it is spoken to.
    pub address: crate::watcher::http::AgentAddress,
    /// Time between two polls.
    pub interval: Duration,
}
