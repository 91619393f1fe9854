//! What the node says of itself, as messages.

use peat_proto::server::*;

use crate::core::relay_url::is_relay_url;
use crate::mesh::AdmissionSnapshot;
use crate::node::{self, NodeStatus, PathKind as Kind, PeerStatus, Phase, SyncStats};
use crate::watcher::AgentStatus;

pub(super) fn status(status: NodeStatus) -> GetStatusResponse {
    GetStatusResponse {
        node_id: status.node_id,
        endpoint_addr: status.endpoint_id,
        sync_active: status.sync_active,
        connected_peers: status.connected_peers,
        phase: phase(status.phase).into(),
        ready: status.unready.is_none(),
        not_ready_reason: status.unready.unwrap_or_default(),
        version: env!("CARGO_PKG_VERSION").into(),
        uptime_seconds: status.uptime.as_secs_f64(),
        app_id: status.app_id,
        wanted_peers: status.wanted_peers,
        store: store(status.store).into(),
        home_relay_connected: status.relay.as_ref().is_some_and(|relay| relay.connected),
        home_relay: status.relay.map_or_else(String::new, |relay| relay.url),
        agent: status.agent.map(agent).into(),
        ..Default::default()
    }
}

fn store(store: node::StoreFigures) -> StoreInfo {
    StoreInfo {
        documents: store.documents,
        tombstones: store.tombstones,
        document_bytes: store.document_bytes,
        last_change: store.last_change,
        file_bytes: store.file_bytes,
        uncommitted_bytes: store.uncommitted_bytes,
        cache_bytes: store.cache_bytes,
        ..Default::default()
    }
}

fn agent(agent: AgentStatus) -> AgentInfo {
    let (last_error, last_error_seconds) = match agent.last_error {
        Some((what, ago)) => (what, Some(ago.as_secs_f64())),
        None => (String::new(), None),
    };
    AgentInfo {
        address: agent.address,
        state: agent.state.name().into(),
        last_good_seconds: agent.last_good_age.map(|age| age.as_secs_f64()),
        documents: agent.counts.documents,
        last_error,
        last_error_seconds,
        ..Default::default()
    }
}

fn phase(phase: Phase) -> NodePhase {
    match phase {
        Phase::Initializing => NodePhase::Initializing,
        Phase::Ready => NodePhase::Ready,
        Phase::Syncing => NodePhase::Syncing,
        Phase::ShuttingDown => NodePhase::ShuttingDown,
    }
}

pub(super) fn peer(peer: PeerStatus) -> PeerInfo {
    let connected = peer.connected();
    let away_seconds = peer.away_for.filter(|_| !connected).map(|away| away.as_secs_f64());
    let (last_error, last_error_seconds) = match peer.last_error {
        Some((reason, ago)) => (reason, Some(ago.as_secs_f64())),
        None => (String::new(), None),
    };
    let (relay_urls, addresses) = peer.addresses.into_iter().partition(|address| is_relay_url(address));
    let told = PeerInfo {
        endpoint_id: peer.endpoint_id,
        addresses,
        relay_urls,
        connected,
        wanted: peer.wanted,
        lag_changes: peer.lag.map(|lag| lag.changes),
        lag_seconds: peer.lag.map(|lag| lag.age.as_secs_f64()),
        away_seconds,
        sessions: peer.sessions,
        attempts: peer.attempts,
        last_error,
        last_error_seconds,
        ..Default::default()
    };
    let Some(link) = peer.link else { return told };
    PeerInfo {
        path: path(link.path.as_ref().map(|path| path.kind)).into(),
        round_trip_seconds: link.path.as_ref().map(|path| path.round_trip.as_secs_f64()),
        path_address: link.path.map_or_else(String::new, |path| path.address),
        waiting_documents: link.waiting_documents,
        reconciling: link.reconciling,
        connected_seconds: Some(link.up_for.as_secs_f64()),
        bytes_sent: link.bytes_sent,
        bytes_received: link.bytes_received,
        ..told
    }
}

fn path(kind: Option<Kind>) -> PathKind {
    match kind {
        None => PathKind::Unspecified,
        Some(Kind::Direct) => PathKind::Direct,
        Some(Kind::Relay) => PathKind::Relay,
        Some(Kind::Custom) => PathKind::Custom,
    }
}

pub(super) fn stats(stats: SyncStats, admissions: &AdmissionSnapshot) -> GetSyncStatsResponse {
    let class = |(class, bytes): (crate::ops::traffic::TrafficClass, crate::ops::traffic::ClassBytes)| ClassTraffic {
        class: class.name().into(),
        bytes_sent: bytes.sent,
        bytes_received: bytes.received,
        ..Default::default()
    };
    GetSyncStatsResponse {
        sync_active: stats.sync_active,
        connected_peers: stats.connected_peers,
        bytes_sent: stats.bytes_sent,
        bytes_received: stats.bytes_received,
        classes: stats.by_class.into_iter().map(class).collect(),
        sessions: stats.counts.sessions_resumed + stats.counts.sessions_reconciled,
        reconnects: stats.counts.reconnects,
        refused_handshakes: admissions.refused.iter().map(|(_, count)| count).sum(),
        ..Default::default()
    }
}
