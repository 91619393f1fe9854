//! What is told, as data: the JSON of `--json`, whose fields `docs/operations.md` promises, and the source of tables.

use std::time::Duration;

use peat_proto::client::*;
use serde::Serialize;

use super::ask::LagLimit;
use super::client::Answer;
use crate::limits;

/// A lag up to the delay of acknowledgements, with as much again for scheduling, says nothing beyond round trips.
const LAZY: Duration = Duration::from_millis(2 * limits::ACK_DELAY.as_millis() as u64);

/// How a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    InSync,
    Behind,
    Reconciling,
    Away,
    NeverSeen,
}

impl State {
    fn of(peer: &PeerInfo) -> Self {
        let lazy = LAZY.as_secs_f64() + 2.0 * peer.round_trip_seconds.unwrap_or_default();
        match peer.connected {
            true if peer.reconciling => Self::Reconciling,
            true if peer.waiting_documents > 0 || peer.lag_seconds.is_some_and(|age| age > lazy) => Self::Behind,
            true => Self::InSync,
            false if peer.sessions > 0 => Self::Away,
            false => Self::NeverSeen,
        }
    }

    /// For people.
    pub fn words(self) -> &'static str {
        match self {
            Self::InSync => "in sync",
            Self::Behind => "behind",
            Self::Reconciling => "reconciling",
            Self::Away => "away",
            Self::NeverSeen => "never seen",
        }
    }
}

/// Answer of `peat-node status --json`.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub node_id: String,
    pub endpoint_id: String,
    pub app_id: String,
    pub version: String,
    pub ready: bool,
    pub not_ready_reason: Option<String>,
    pub phase: &'static str,
    pub uptime_seconds: f64,
    pub sync_active: bool,
    pub peers: PeerCounts,
    pub store: Store,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub classes: Vec<Class>,
    pub sessions: u64,
    pub reconnects: u64,
    pub refused_handshakes: u64,
    /// Where others reach the node if they cannot do so directly.
    pub home_relay: Option<String>,
    pub home_relay_connected: bool,
    /// Absent: no agent is watched.
    pub agent: Option<Agent>,
}

/// The watched agent.
#[derive(Debug, Serialize)]
pub(super) struct Agent {
    pub address: String,
    pub state: String,
    pub last_good_seconds: Option<f64>,
    pub documents: u64,
    pub last_error: Option<String>,
    pub last_error_seconds: Option<f64>,
}

/// Peers by how they are.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct PeerCounts {
    pub wanted: u64,
    pub connected: u64,
    pub in_sync: u64,
    pub behind: u64,
    pub reconciling: u64,
    pub away: u64,
    pub never_seen: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Store {
    pub documents: u64,
    pub tombstones: u64,
    pub document_bytes: u64,
    pub file_bytes: Option<u64>,
    pub uncommitted_bytes: u64,
    pub cache_bytes: u64,
    pub last_change: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct Class {
    pub class: String,
    pub bytes_sent: u64,
    pub bytes_received: u64,
}

impl Status {
    pub fn of(answer: &Answer) -> Self {
        let (status, stats) = (answer.status.clone(), &answer.stats);
        // A node of an older version says neither its version nor whether it is ready.
        let serving = matches!(status.phase(), NodePhase::Ready | NodePhase::Syncing);
        let ready = status.ready || (status.version.is_empty() && serving);
        let store = status.store.unwrap_or_default();
        let class = |class: &ClassTraffic| Class {
            class: class.class.clone(),
            bytes_sent: class.bytes_sent,
            bytes_received: class.bytes_received,
        };
        Self {
            phase: phase(status.phase()),
            node_id: status.node_id,
            endpoint_id: status.endpoint_addr,
            app_id: status.app_id,
            version: status.version,
            ready,
            not_ready_reason: Some(status.not_ready_reason).filter(|why| !why.is_empty()),
            uptime_seconds: rounded(status.uptime_seconds),
            sync_active: status.sync_active,
            peers: PeerCounts::of(&answer.peers),
            store: Store {
                documents: store.documents,
                tombstones: store.tombstones,
                document_bytes: store.document_bytes,
                file_bytes: store.file_bytes,
                uncommitted_bytes: store.uncommitted_bytes,
                cache_bytes: store.cache_bytes,
                last_change: store.last_change,
            },
            bytes_sent: stats.bytes_sent,
            bytes_received: stats.bytes_received,
            classes: stats.classes.iter().map(class).collect(),
            sessions: stats.sessions,
            reconnects: stats.reconnects,
            refused_handshakes: stats.refused_handshakes,
            home_relay_connected: status.home_relay_connected,
            home_relay: Some(status.home_relay).filter(|relay| !relay.is_empty()),
            agent: status.agent.map(Agent::of),
        }
    }
}

impl Agent {
    fn of(agent: AgentInfo) -> Self {
        Self {
            address: agent.address,
            state: agent.state,
            last_good_seconds: agent.last_good_seconds.map(rounded),
            documents: agent.documents,
            last_error: Some(agent.last_error).filter(|what| !what.is_empty()),
            last_error_seconds: agent.last_error_seconds.map(rounded),
        }
    }
}

impl PeerCounts {
    fn of(peers: &[PeerInfo]) -> Self {
        let mut counts = Self::default();
        for peer in peers {
            counts.wanted += u64::from(peer.wanted);
            counts.connected += u64::from(peer.connected);
            *match State::of(peer) {
                State::InSync => &mut counts.in_sync,
                State::Behind => &mut counts.behind,
                State::Reconciling => &mut counts.reconciling,
                State::Away => &mut counts.away,
                State::NeverSeen => &mut counts.never_seen,
            } += 1;
        }
        counts
    }
}

fn phase(phase: NodePhase) -> &'static str {
    match phase {
        NodePhase::Unspecified => "unknown",
        NodePhase::Initializing => "initializing",
        NodePhase::Ready => "ready",
        NodePhase::Syncing => "syncing",
        NodePhase::ShuttingDown => "shutting_down",
    }
}

/// Answer of `peat-node peers --json`.
#[derive(Debug, Serialize)]
pub(super) struct Peers {
    /// Wanted peers that are not connected.
    pub away: u64,
    pub peers: Vec<Peer>,
}

/// One peer.
#[derive(Debug, Serialize)]
pub(super) struct Peer {
    pub endpoint_id: String,
    pub state: State,
    pub wanted: bool,
    pub connected: bool,
    pub addresses: Vec<String>,
    pub path: Option<&'static str>,
    pub path_address: Option<String>,
    pub round_trip_seconds: Option<f64>,
    pub lag_changes: Option<u64>,
    pub lag_seconds: Option<f64>,
    pub waiting_documents: u64,
    pub connected_seconds: Option<f64>,
    pub away_seconds: Option<f64>,
    pub bytes_sent: u64,
    pub bytes_received: u64,
    pub sessions: u32,
    pub attempts: u32,
    pub last_error: Option<String>,
    pub last_error_seconds: Option<f64>,
}

impl Peers {
    pub fn of(answer: &Answer) -> Self {
        let peers: Vec<Peer> = answer.peers.iter().map(Peer::of).collect();
        let away = peers.iter().filter(|peer| peer.wanted && !peer.connected).count() as u64;
        Self { away, peers }
    }
}

impl Peer {
    fn of(peer: &PeerInfo) -> Self {
        let text = |text: &str| Some(text.to_owned()).filter(|text| !text.is_empty());
        Self {
            state: State::of(peer),
            endpoint_id: peer.endpoint_id.clone(),
            wanted: peer.wanted,
            connected: peer.connected,
            addresses: peer.addresses.iter().chain(&peer.relay_urls).cloned().collect(),
            path: path(peer.path()),
            path_address: text(&peer.path_address),
            round_trip_seconds: peer.round_trip_seconds,
            lag_changes: peer.lag_changes,
            lag_seconds: peer.lag_seconds.map(rounded),
            waiting_documents: peer.waiting_documents,
            connected_seconds: peer.connected_seconds.map(rounded),
            away_seconds: peer.away_seconds.map(rounded),
            bytes_sent: peer.bytes_sent,
            bytes_received: peer.bytes_received,
            sessions: peer.sessions,
            attempts: peer.attempts,
            last_error: text(&peer.last_error),
            last_error_seconds: peer.last_error_seconds.map(rounded),
        }
    }
}

fn path(kind: PathKind) -> Option<&'static str> {
    match kind {
        PathKind::Unspecified => None,
        PathKind::Direct => Some("direct"),
        PathKind::Relay => Some("relay"),
        PathKind::Custom => Some("custom"),
    }
}

/// Answer of `peat-node lag --json`.
#[derive(Debug, Serialize)]
pub(super) struct LagView {
    pub max_seconds: f64,
    pub max_changes: Option<u64>,
    /// Peers that are not within the limits.
    pub behind: u64,
    /// Worst first.
    pub peers: Vec<LagRow>,
}

#[derive(Debug, Serialize)]
pub(super) struct LagRow {
    pub endpoint_id: String,
    pub state: State,
    /// Whether the peer is within the limits.
    pub within: bool,
    /// Absent: it has acknowledged nothing since the node started.
    pub lag_changes: Option<u64>,
    pub lag_seconds: Option<f64>,
    pub waiting_documents: u64,
}

impl LagView {
    pub fn of(answer: &Answer, limit: LagLimit) -> Self {
        let row = |peer: &PeerInfo| LagRow {
            endpoint_id: peer.endpoint_id.clone(),
            state: State::of(peer),
            within: peer.lag_seconds.is_some_and(|age| age <= limit.age.as_secs_f64())
                && peer.lag_changes.is_some_and(|changes| limit.changes.is_none_or(|most| changes <= most)),
            lag_changes: peer.lag_changes,
            lag_seconds: peer.lag_seconds.map(rounded),
            waiting_documents: peer.waiting_documents,
        };
        let mut peers: Vec<LagRow> = answer.peers.iter().map(row).collect();
        // Nothing is worse than not to know.
        let badness = |row: &LagRow| row.lag_seconds.unwrap_or(f64::INFINITY);
        peers.sort_by(|a, b| badness(b).total_cmp(&badness(a)).then_with(|| b.lag_changes.cmp(&a.lag_changes)));
        let behind = peers.iter().filter(|row| !row.within).count() as u64;
        Self { max_seconds: limit.age.as_secs_f64(), max_changes: limit.changes, behind, peers }
    }
}

/// To milliseconds: what is finer is noise.
fn rounded(seconds: f64) -> f64 {
    (seconds * 1000.0).round() / 1000.0
}
