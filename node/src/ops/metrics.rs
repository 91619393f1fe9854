//! Figures as Prometheus reads them: OpenMetrics text. `docs/operations.md` has every metric with an example alert.
//!
//! A page is made from one [`Figures`] at the moment of the scrape, so nothing is kept in a registry, and what a page
//! says belongs together.

mod page;

use crate::api::access::AccessFigures;
use crate::limits;
use crate::mesh::AdmissionSnapshot;
use crate::node::{Figures, PathKind, PeerStatus, StoreFigures};
use crate::ops::ledger::Counts;
use crate::watcher::plan::State;
use crate::watcher::{AgentStatus, Call, Failure};
use page::{Labels, Page, Sample};

/// Media type of [`encode`]'s text.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The page.
pub fn encode(figures: Figures, access: Option<AccessFigures>) -> String {
    let mut page = Page::default();
    node(&mut page, &figures);
    sessions(&mut page, &figures);
    admission(&mut page, &figures.admissions);
    if let Some(access) = &access {
        self::access(&mut page, access);
    }
    traffic(&mut page, &figures);
    store(&mut page, &figures.status.store, &figures.stats.counts);
    if let Some(status) = &figures.status.agent {
        agent(&mut page, status);
    }
    peers(&mut page, figures.peers);
    page.into_text()
}

fn node(page: &mut Page, figures: &Figures) {
    let status = &figures.status;
    let build = [
        ("version", env!("CARGO_PKG_VERSION").to_owned()),
        ("node_id", status.node_id.clone()),
        ("endpoint_id", status.endpoint_id.clone()),
        ("app_id", status.app_id.clone()),
    ];
    page.info("peat_node", "Who this node is", build.into());
    page.gauge("peat_ready", "Whether the node can serve, as /readyz says", status.unready.is_none().into());
    page.gauge("peat_sync_active", "Whether documents flow: 0 after StopSync", status.sync_active.into());
    page.seconds("peat_uptime", "Time since the start", status.uptime);
    page.gauge("peat_subscriptions", "Subscriptions that are open", figures.subscriptions);
}

fn sessions(page: &mut Page, figures: &Figures) {
    let (stats, counts) = (&figures.stats, &figures.stats.counts);
    let mut by_path = [0u64; PathKind::ALL.len()];
    for path in figures.peers.iter().filter_map(|peer| peer.link.as_ref()?.path.as_ref()) {
        by_path[path.kind as usize] += 1;
    }
    let by_path = PathKind::ALL.map(|kind| (vec![("path", kind.name().to_owned())], by_path[kind as usize]));
    page.gauge("peat_sessions", "Sessions that are up", u64::from(stats.connected_peers));
    page.gauges("peat_session_paths", "Sessions that are up, by how packets reach the peer", by_path.into());
    let wanted = u64::from(figures.status.wanted_peers);
    page.gauge("peat_peers_wanted", "Peers that are wanted, connected or not", wanted);
    let started = [("resumed", counts.sessions_resumed), ("reconciled", counts.sessions_reconciled)]
        .map(|(how, count)| (vec![("how", how.to_owned())], count));
    page.counters("peat_sessions_started", "Sessions that came up, by how they began", started.into());
    page.counter("peat_sessions_ended", "Sessions that ended", counts.sessions_ended);
    page.counter("peat_reconnects", "Sessions with a peer that had had one before", counts.reconnects);
    page.counter("peat_dials", "Attempts to dial a peer", counts.dials);
    page.counter("peat_dial_failures", "Attempts that led to no session", counts.dial_failures);
}

fn admission(page: &mut Page, counts: &AdmissionSnapshot) {
    let label = |what: &'static str, value: &str| vec![(what, value.to_owned())];
    let refused = counts.refused.iter().map(|(reason, count)| (label("reason", reason.name()), *count)).collect();
    page.counter("peat_handshakes_admitted", "Peers that dialled and were admitted", counts.admitted);
    page.counters("peat_handshakes_refused", "Handshakes that this node refused, by reason", refused);
    let failed = [("malformed", counts.malformed), ("timed-out", counts.timed_out), ("lost", counts.lost)]
        .map(|(how, count)| (label("how", how), count));
    page.counters("peat_handshakes_failed", "Handshakes that came to nothing, by how", failed.into());
    let throttled =
        [("ignored", counts.ignored), ("challenged", counts.challenged)].map(|(how, count)| (label("how", how), count));
    page.counters("peat_handshakes_throttled", "First packets that were held off, by how", throttled.into());
    page.gauge("peat_handshakes_pending", "Handshakes under way", counts.pending as u64);
    page.counter("peat_sessions_revoked", "Sessions ended by a change of the allow-list", counts.revoked);
}

fn access(page: &mut Page, access: &AccessFigures) {
    let refused = [("unauthenticated", access.unauthenticated), ("permission-denied", access.denied)]
        .map(|(why, count)| (vec![("why", why.to_owned())], count));
    page.counters("peat_api_refused", "Requests refused and streams cut at the API's port, by why", refused.into());
    page.counter(
        "peat_api_handshakes_failed",
        "TLS handshakes at the API's port that came to nothing",
        access.handshakes,
    );
    page.gauge("peat_api_tokens", "Tokens for the API that are in force", access.tokens);
    page.gauge(
        "peat_api_files_unusable",
        "Whether the newest tokens, and the newest files of TLS, cannot be used: 0 to 2",
        access.files_unusable,
    );
}

fn traffic(page: &mut Page, figures: &Figures) {
    let classes = &figures.stats.by_class;
    let label = |name: &str| vec![("class", name.to_owned())];
    let sent = classes.iter().map(|(class, bytes)| (label(class.name()), bytes.sent)).collect();
    let received = classes.iter().map(|(class, bytes)| (label(class.name()), bytes.received)).collect();
    page.byte_counters("peat_frames_sent", "Frames handed to peers, by class, before QUIC's framing", sent);
    page.byte_counters("peat_frames_received", "Frames taken from peers, by class", received);
}

fn store(page: &mut Page, store: &StoreFigures, counts: &Counts) {
    page.gauge("peat_store_documents", "Documents that are not deleted", store.documents);
    page.gauge("peat_store_tombstones", "Documents that are deleted", store.tombstones);
    page.bytes("peat_store_document", "All documents with their histories", store.document_bytes);
    if let Some(bytes) = store.file_bytes {
        page.bytes("peat_store_file", "The database file", bytes);
    }
    page.bytes("peat_store_uncommitted", "Changes that wait for the disk", store.uncommitted_bytes);
    page.bytes("peat_store_cache", "Documents loaded in memory, estimated", store.cache_bytes);
    page.bytes("peat_store_page_cache", "Pages of the database file in memory", store.page_cache_bytes);
    page.counter("peat_store_changes", "Durable changes over the life of the store", store.last_change);
    page.counter(
        "peat_superseded",
        "Versions that another one took the place of, not knowing of them",
        store.superseded,
    );
    page.gauge("peat_store_beyond_window", "Documents whose history is longer than their window", store.beyond_window);
    page.counter("peat_store_commits", "Transactions since the start", counts.commits);
}

fn agent(page: &mut Page, agent: &AgentStatus) {
    let counts = &agent.counts;
    let label = |what: &'static str, value: &str| vec![(what, value.to_owned())];
    let states = State::ALL.map(|state| (label("state", state.name()), u64::from(state == agent.state)));
    page.gauges("peat_agent_state", "How the watched agent is: 1 for its state", states.into());
    let polls = [("good", counts.polls_good), ("failed", counts.polls_failed)]
        .map(|(result, count)| (label("result", result), count));
    page.counters("peat_agent_polls", "Polls by whether every call was answered in full", polls.into());
    let failures = Call::ALL.into_iter().flat_map(|call| {
        let of_call = counts.calls_failed[call as usize];
        Failure::ALL.map(|why| {
            let labels = vec![("call", call.name().to_owned()), ("why", why.name().to_owned())];
            (labels, of_call[why as usize])
        })
    });
    page.counters("peat_agent_call_failures", "Calls that gave nothing, or not everything", failures.collect());
    if let Some(age) = agent.last_good_age {
        page.seconds("peat_agent_last_good_age", "Time since a poll gave everything", age);
    }
    page.gauge("peat_agent_documents", "Documents of the agent's packages", counts.documents);
    page.counter("peat_agent_documents_written", "Documents that were created or updated", counts.written);
    page.counter("peat_agent_documents_removed", "Documents that were removed", counts.removed);
    page.gauge("peat_agent_packages_skipped", "Packages of the last poll without a document", counts.skipped);
    let left_out = counts.annotations_left_out;
    page.gauge("peat_agent_annotations_left_out", "Annotations of the last poll that were not copied", left_out);
}

fn peers(page: &mut Page, mut peers: Vec<PeerStatus>) {
    let omitted = peers.len().saturating_sub(limits::MAX_METRIC_PEERS);
    peers.truncate(limits::MAX_METRIC_PEERS);
    page.gauge("peat_peers_omitted", "Peers without metrics of their own: there are too many", omitted as u64);
    // A figure that is not known has no sample: zero would be a lie.
    let each = |figure: &dyn Fn(&PeerStatus) -> Option<Sample>| -> Vec<(Labels, Sample)> {
        let label = |peer: &PeerStatus| vec![("peer", peer.endpoint_id.clone())];
        peers.iter().filter_map(|peer| Some((label(peer), figure(peer)?))).collect()
    };
    let link =
        |peer: &PeerStatus, figure: fn(&crate::node::PeerLink) -> u64| Some(Sample::Whole(figure(peer.link.as_ref()?)));
    page.samples(
        "peat_peer_connected",
        "Whether a session with the peer is up",
        each(&|peer| Some(peer.connected().into())),
    );
    page.samples(
        "peat_peer_wanted",
        "Whether the peer is wanted, or came by itself",
        each(&|peer| Some(peer.wanted.into())),
    );
    let paths = peers.iter().filter_map(|peer| {
        let path = peer.link.as_ref()?.path.as_ref()?;
        Some((vec![("peer", peer.endpoint_id.clone()), ("path", path.kind.name().to_owned())], Sample::Whole(1)))
    });
    page.samples("peat_peer_path", "How packets reach the peer: always 1", paths.collect());
    page.samples(
        "peat_peer_lag_changes",
        "Changes of this node that the peer has not acknowledged",
        each(&|peer| Some(Sample::Whole(peer.lag?.changes))),
    );
    page.seconds_each(
        "peat_peer_lag",
        "Age of the oldest change that the peer has not acknowledged",
        each(&|peer| Some(peer.lag?.age.into())),
    );
    page.samples(
        "peat_peer_waiting_documents",
        "Documents of which something still has to be sent",
        each(&|peer| link(peer, |link| link.waiting_documents)),
    );
    page.seconds_each(
        "peat_peer_round_trip",
        "Round-trip time as QUIC estimates it",
        each(&|peer| Some(peer.link.as_ref()?.path.as_ref()?.round_trip.into())),
    );
    page.byte_counters_each(
        "peat_peer_sent",
        "UDP payload sent over the present connection",
        each(&|peer| link(peer, |link| link.bytes_sent)),
    );
    page.byte_counters_each(
        "peat_peer_received",
        "UDP payload received over the present connection",
        each(&|peer| link(peer, |link| link.bytes_received)),
    );
}

#[cfg(test)]
mod tests;
