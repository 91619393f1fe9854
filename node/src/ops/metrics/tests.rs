use std::time::Duration;

use super::*;
use crate::core::lag::Lag;
use crate::mesh::Refusal;
use crate::node::{NodeStatus, Path, PeerLink, Phase, SyncStats};
use crate::ops::traffic::{ClassBytes, TrafficClass};
use crate::watcher::AgentCounts;

fn peer(name: &str) -> PeerStatus {
    PeerStatus {
        endpoint_id: name.repeat(64),
        addresses: vec!["10.0.0.7:7777".into()],
        wanted: true,
        link: None,
        lag: None,
        sessions: 0,
        away_for: None,
        attempts: 3,
        last_error: Some(("no answer within 2.9s".into(), Duration::from_secs(1))),
    }
}

fn agent() -> AgentStatus {
    let counts = AgentCounts {
        polls_good: 8_640,
        polls_failed: 12,
        calls_failed: [[4, 0, 1], [5, 1, 0], [6, 0, 2]],
        written: 77,
        removed: 3,
        documents: 42,
        skipped: 1,
        annotations_left_out: 2,
    };
    AgentStatus {
        address: "https://agent.example:8443".into(),
        state: State::Degraded,
        counts,
        last_good_age: Some(Duration::from_millis(31_250)),
        last_error: Some(("list-packages: no answer within 5s".into(), Duration::from_secs(1))),
    }
}

fn figures() -> Figures {
    let path =
        Path { kind: PathKind::Direct, address: "10.0.0.7:7777".into(), round_trip: Duration::from_micros(600_250) };
    let link = PeerLink {
        up_for: Duration::from_secs(90),
        path: Some(path),
        bytes_sent: 12_345,
        bytes_received: 678,
        waiting_documents: 4,
        reconciling: false,
    };
    let near = PeerStatus {
        link: Some(link),
        lag: Some(Lag { changes: 17, age: Duration::from_millis(2300) }),
        sessions: 2,
        ..peer("a")
    };
    let by_class =
        TrafficClass::ALL.map(|class| (class, ClassBytes { sent: 100 + class as u64, received: 200 + class as u64 }));
    Figures {
        status: NodeStatus {
            node_id: "ship \"seven\"\\".into(),
            endpoint_id: "e".repeat(64),
            app_id: "fleet".into(),
            sync_active: true,
            connected_peers: 1,
            wanted_peers: 2,
            phase: Phase::Syncing,
            unready: None,
            uptime: Duration::from_millis(3_600_500),
            relay: None,
            store: StoreFigures {
                documents: 100_000,
                tombstones: 7,
                document_bytes: 21_800_000,
                last_change: 250_000,
                file_bytes: Some(64 << 20),
                uncommitted_bytes: 0,
                cache_bytes: 1_600_000,
                page_cache_bytes: 4_096_000,
                superseded: 3,
                beyond_window: 2,
            },
            agent: Some(agent()),
        },
        peers: vec![near, peer("b")],
        stats: SyncStats {
            sync_active: true,
            connected_peers: 1,
            bytes_sent: 0,
            bytes_received: 0,
            by_class,
            counts: Counts {
                dials: 9,
                dial_failures: 6,
                sessions_resumed: 1,
                sessions_reconciled: 1,
                sessions_ended: 1,
                reconnects: 1,
                commits: 1234,
                committed_changes: 5000,
            },
        },
        subscriptions: 2,
        admissions: AdmissionSnapshot {
            admitted: 3,
            refused: Refusal::ALL.map(|reason| (reason, if reason == Refusal::Formation { 41 } else { 0 })),
            malformed: 1,
            timed_out: 2,
            lost: 4,
            ignored: 500,
            challenged: 60,
            revoked: 1,
            pending: 5,
        },
    }
}

fn access() -> Option<AccessFigures> {
    Some(AccessFigures { unauthenticated: 11, denied: 12, handshakes: 13, tokens: 14, files_unusable: 1 })
}

#[test]
fn the_page_is_what_the_guide_says() {
    insta::assert_snapshot!(encode(figures(), access()));
}

#[test]
fn every_metric_is_in_the_guide_and_the_guide_invents_none() {
    let guide = include_str!("../../../../docs/operations.md");
    let text = encode(figures(), access());
    let page: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let documented: Vec<&str> = guide
        .lines()
        .filter_map(|line| line.strip_prefix("| `peat_")?.split('`').next())
        .map(|name| name.trim_end_matches("_total").trim_end_matches("_info"))
        .collect();
    let named: Vec<&str> = page.iter().filter_map(|name| name.strip_prefix("peat_")).collect();
    assert_eq!(named, documented);
}

#[test]
fn too_many_peers_are_left_out_and_counted() {
    let peers = (0..limits::MAX_METRIC_PEERS + 3).map(|i| PeerStatus { endpoint_id: format!("{i:064x}"), ..peer("x") });
    let text = encode(Figures { peers: peers.collect(), ..figures() }, None);
    assert!(text.contains("peat_peers_omitted 3\n"));
    assert_eq!(text.matches("peat_peer_connected{").count(), limits::MAX_METRIC_PEERS);
}
