//! What the node says of itself to operators. Everything here is for people and their alerts: nothing decides by it.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iroh::endpoint::Connection;
use iroh::{EndpointId, TransportAddr};

use super::handle::Phase;
use super::shared::{Shared, lock};
use crate::core::batch::PeerId;
use crate::core::engine::Core;
use crate::core::lag::Lag;
use crate::core::session::{Now, Session};
use crate::core::wire::Seq;
use crate::limits;
use crate::mesh::AdmissionSnapshot;
use crate::ops::ledger::Counts;
use crate::ops::traffic::{ClassBytes, TrafficClass};
use crate::watcher::AgentStatus;

/// Answer of GetStatus.
#[derive(Debug, Clone)]
pub struct NodeStatus {
    /// Name of the node.
    pub node_id: String,
    /// Its endpoint id, 64 hex digits.
    pub endpoint_id: String,
    /// Name of its formation.
    pub app_id: String,
    /// Whether it synchronises.
    pub sync_active: bool,
    /// Sessions that are up.
    pub connected_peers: u32,
    /// Peers that are wanted.
    pub wanted_peers: u32,
    /// Where it is in its life.
    pub phase: Phase,
    /// Why it is not ready to serve, if so.
    pub unready: Option<String>,
    /// Time since the start.
    pub uptime: Duration,
    /// What the store holds.
    pub store: StoreFigures,
    /// Where others reach it if they cannot do so directly.
    pub relay: Option<HomeRelay>,
    /// How the watched agent is; `None`: none is watched.
    pub agent: Option<AgentStatus>,
}

/// The nearest relay that answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HomeRelay {
    /// Where it is.
    pub url: String,
    /// Whether the node is connected to it.
    pub connected: bool,
}

/// What the store holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct StoreFigures {
    /// Documents that are not deleted.
    pub documents: u64,
    /// Documents that are.
    pub tombstones: u64,
    /// Bytes of all documents with their histories.
    pub document_bytes: u64,
    /// Number of the last durable change, counted over the life of the store.
    pub last_change: Seq,
    /// Bytes of the file; `None` in a world without files.
    pub file_bytes: Option<u64>,
    /// Bytes of changes that wait for the disk.
    pub uncommitted_bytes: u64,
    /// Estimated bytes of loaded documents.
    pub cache_bytes: u64,
    /// Bytes of pages of the file that the database holds in memory.
    pub page_cache_bytes: u64,
    /// Versions that others took the place of, which did not know of them, since the start.
    pub superseded: u64,
    /// Documents whose history was beyond the window of their collection when that was last looked at.
    pub beyond_window: u64,
}

/// How packets reach a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathKind {
    /// UDP to an address of the peer.
    Direct,
    /// Through a relay server.
    Relay,
    /// A transport that the world supplies.
    Custom,
}

impl PathKind {
    /// Every kind.
    pub const ALL: [Self; 3] = [Self::Direct, Self::Relay, Self::Custom];

    /// As in metrics and in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Relay => "relay",
            Self::Custom => "custom",
        }
    }
}

/// The path that a connection uses now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Path {
    /// Its kind.
    pub kind: PathKind,
    /// Where it leads: an address or a relay's URL.
    pub address: String,
    /// QUIC's estimate of the round-trip time.
    pub round_trip: Duration,
}

/// A session that is up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerLink {
    /// How long it has been.
    pub up_for: Duration,
    /// `None` while the path changes.
    pub path: Option<Path>,
    /// UDP payload sent over this connection, overhead of QUIC included.
    pub bytes_sent: u64,
    /// UDP payload received over this connection.
    pub bytes_received: u64,
    /// Documents of which something still has to be sent.
    pub waiting_documents: u64,
    /// Whether it is still being learned what differs.
    pub reconciling: bool,
}

/// One row of ListPeers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerStatus {
    /// Endpoint id, 64 hex digits.
    pub endpoint_id: String,
    /// Where it may be found, by the word of the operator or of discovery: addresses, and URLs of relays.
    pub addresses: Vec<String>,
    /// Whether the operator wants it, or it came by itself.
    pub wanted: bool,
    /// The session, if one is up.
    pub link: Option<PeerLink>,
    /// What it lacks of ours; `None`: it has not acknowledged anything in this run.
    pub lag: Option<Lag>,
    /// Sessions that came up in this run.
    pub sessions: u32,
    /// Time since the last one ended.
    pub away_for: Option<Duration>,
    /// Attempts to dial since the last session.
    pub attempts: u32,
    /// What went wrong last, and how long ago.
    pub last_error: Option<(String, Duration)>,
}

impl PeerStatus {
    /// Whether a session is up.
    pub fn connected(&self) -> bool {
        self.link.is_some()
    }
}

/// Answer of GetSyncStats.
#[derive(Debug, Clone)]
pub struct SyncStats {
    /// Whether it synchronises.
    pub sync_active: bool,
    /// Sessions that are up.
    pub connected_peers: u32,
    /// Frame bytes handed to peers since start.
    pub bytes_sent: u64,
    /// Frame bytes taken from peers since start.
    pub bytes_received: u64,
    /// The same by class.
    pub by_class: [(TrafficClass, ClassBytes); TrafficClass::ALL.len()],
    /// Counts since the start.
    pub counts: Counts,
}

/// Everything that can be measured.
#[derive(Debug, Clone)]
pub struct Figures {
    /// The node.
    pub status: NodeStatus,
    /// Its peers, by endpoint id.
    pub peers: Vec<PeerStatus>,
    /// Its traffic and what happened to sessions.
    pub stats: SyncStats,
    /// Subscriptions that are open.
    pub subscriptions: u64,
    /// What became of everyone who knocked.
    pub admissions: AdmissionSnapshot,
}

/// How full something is that has a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gauge {
    /// What it is.
    pub name: &'static str,
    /// How much there is.
    pub value: u64,
    /// How much there may be.
    pub limit: u64,
}

/// What may grow: the backlog of the worst peer, what waits for the disk, what is loaded, and what the worst subscriber
/// has not taken.
pub(super) fn gauges(core: &Core) -> Vec<Gauge> {
    let documents = core.documents();
    let totals = documents.index().totals();
    let gauge = |name, value, limit| Gauge { name, value: value as u64, limit: limit as u64 };
    // State, not messages: an entry for each document at most, and those that a peer is just telling us of.
    let all = (totals.live + totals.tombstones) as usize + BACKLOG_SLACK;
    let caches = limits::DOCUMENT_CACHE_BYTES + limits::UNLOADED_CACHE_BYTES + limits::TEXT_CACHE_BYTES;
    // What arrives while there is no room waits in QUIC; one request of each kind is let in at the brim.
    let room = limits::MAX_UNCOMMITTED_BYTES + 2 * limits::MAX_FRAME_BYTES;
    vec![
        gauge("backlog of a peer, documents", core.sessions().map(Session::dirty).max().unwrap_or(0), all),
        gauge("waiting for the disk, bytes", documents.uncommitted_bytes(), room),
        gauge("loaded documents, bytes", documents.cache_bytes(), caches + room),
        gauge("notes of a subscription", core.most_watch_notes(), limits::MAX_WATCH_PLACES),
    ]
}

/// Documents that a peer may be told to send before they are here.
const BACKLOG_SLACK: usize = 16;

pub(super) fn unready(shared: &Shared) -> Option<String> {
    if let Some(why) = shared.durable().failed {
        return Some(format!("the store failed, writes are refused until a restart: {why}"));
    }
    shared.stopping.load(Ordering::SeqCst).then(|| "shutting down".to_owned())
}

pub(super) fn status(shared: &Shared) -> NodeStatus {
    let (behind, store) = shared.with_core(|core| (core.is_anyone_behind(), store_figures(core)));
    let phase = if shared.stopping.load(Ordering::SeqCst) {
        Phase::ShuttingDown
    } else if behind {
        Phase::Syncing
    } else {
        Phase::Ready
    };
    NodeStatus {
        node_id: shared.node_id.clone(),
        endpoint_id: shared.mesh.endpoint().id().to_string(),
        app_id: shared.app_id.clone(),
        sync_active: shared.mesh.is_active(),
        connected_peers: shared.mesh.session_count() as u32,
        wanted_peers: shared.mesh.wanted_count() as u32,
        phase,
        unready: unready(shared),
        uptime: shared.now(),
        store: StoreFigures {
            file_bytes: file_bytes(shared),
            page_cache_bytes: shared.committer.page_cache_bytes() as u64,
            ..store
        },
        relay: shared.mesh.home_relay(),
        agent: lock(&shared.agent).as_ref().map(|agent| agent.status(shared.now())),
    }
}

fn store_figures(core: &Core) -> StoreFigures {
    let documents = core.documents();
    let totals = documents.index().totals();
    StoreFigures {
        documents: totals.live,
        tombstones: totals.tombstones,
        document_bytes: totals.bytes,
        last_change: documents.durable(),
        file_bytes: None,
        uncommitted_bytes: documents.uncommitted_bytes() as u64,
        cache_bytes: documents.cache_bytes() as u64,
        page_cache_bytes: 0,
        superseded: documents.superseded_count(),
        beyond_window: documents.beyond_window(),
    }
}

/// One system call, and none in a world without files.
fn file_bytes(shared: &Shared) -> Option<u64> {
    std::fs::metadata(shared.store_file.as_ref()?).ok().map(|file| file.len())
}

pub(super) fn sync_stats(shared: &Shared) -> SyncStats {
    let total = shared.traffic.total();
    SyncStats {
        sync_active: shared.mesh.is_active(),
        connected_peers: shared.mesh.session_count() as u32,
        bytes_sent: total.sent,
        bytes_received: total.received,
        by_class: shared.traffic.by_class(),
        counts: lock(&shared.ledger).counts().clone(),
    }
}

pub(super) fn figures(shared: &Shared) -> Figures {
    Figures {
        status: status(shared),
        peers: peers(shared),
        stats: sync_stats(shared),
        subscriptions: shared.with_core(|core| core.watch_count() as u64),
        admissions: shared.mesh.admission_snapshot(),
    }
}

/// What the core knows of a peer.
#[derive(Default, Clone, Copy)]
struct Progress {
    lag: Option<Lag>,
    waiting_documents: u64,
    reconciling: bool,
}

pub(super) fn peers(shared: &Shared) -> Vec<PeerStatus> {
    let now = shared.now();
    let rows = shared.mesh.rows();
    let progress = shared.with_core(|core| progress(core, rows.keys(), now));
    rows.into_iter()
        .map(|(id, row)| {
            let progress = progress.get(&id).copied().unwrap_or_default();
            let past = lock(&shared.ledger).of(&id).cloned().unwrap_or_default();
            let link = row.live.as_ref().filter(|(_, _, up)| *up);
            PeerStatus {
                endpoint_id: EndpointId::from_bytes(&id).map_or_else(|_| String::new(), |id| id.to_string()),
                link: link.map(|(connection, since, _)| link_of(connection, now.saturating_sub(*since), progress)),
                lag: progress.lag,
                sessions: past.sessions,
                away_for: past.down_since.map(|since| now.saturating_sub(since)),
                last_error: past.last_error.map(|(reason, at)| (reason, now.saturating_sub(at))),
                wanted: row.wanted,
                attempts: row.attempts,
                addresses: row.addresses,
            }
        })
        .collect()
}

fn progress<'a>(core: &Core, peers: impl Iterator<Item = &'a PeerId>, now: Now) -> BTreeMap<PeerId, Progress> {
    let durable = core.documents().durable();
    let away = |id: &PeerId| {
        let lag = core.lag().had(id).map(|has| core.lag().of(has, durable, now));
        (*id, Progress { lag, ..Progress::default() })
    };
    let mut progress: BTreeMap<PeerId, Progress> = peers.map(away).collect();
    for session in core.sessions().filter(|session| session.theirs().is_some()) {
        if let Some(progress) = progress.get_mut(&session.peer()) {
            *progress = Progress {
                lag: core.lag().of_present(session.lacking(), now),
                waiting_documents: session.dirty() as u64,
                reconciling: session.is_reconciling(),
            };
        }
    }
    progress
}

fn link_of(connection: &Connection, up_for: Duration, progress: Progress) -> PeerLink {
    let stats = connection.stats();
    PeerLink {
        up_for,
        path: path_of(connection),
        bytes_sent: stats.udp_tx.bytes,
        bytes_received: stats.udp_rx.bytes,
        waiting_documents: progress.waiting_documents,
        reconciling: progress.reconciling,
    }
}

/// The path that data goes by, or the only one while none has been chosen.
fn path_of(connection: &Connection) -> Option<Path> {
    let paths = connection.paths();
    let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
    let (kind, address) = match path.remote_addr() {
        TransportAddr::Ip(address) => (PathKind::Direct, address.to_string()),
        TransportAddr::Relay(url) => (PathKind::Relay, url.to_string()),
        _ => (PathKind::Custom, "custom".to_owned()),
    };
    Some(Path { kind, address, round_trip: path.rtt() })
}
