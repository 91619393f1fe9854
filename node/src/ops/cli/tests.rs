use std::time::Duration;

use clap::ColorChoice;
use peat_proto::client::*;

use super::ask::LagLimit;
use super::client::Answer;
use super::*;
use crate::api::Listen;

fn ask(question: Question, json: bool) -> Ask {
    let api = Listen::Tcp("127.0.0.1:50051".into());
    Ask {
        question,
        api,
        credentials: Credentials::default(),
        timeout: Duration::from_secs(5),
        json,
        color: ColorChoice::Never,
    }
}

fn lag(max_seconds: u64, changes: Option<u64>) -> Question {
    Question::Lag(LagLimit { age: Duration::from_secs(max_seconds), changes })
}

fn peer(digit: &str) -> PeerInfo {
    let addresses = vec![format!("10.0.0.{}:7777", digit.len())];
    PeerInfo { endpoint_id: digit.repeat(64), addresses, wanted: true, ..PeerInfo::default() }
}

fn connected(digit: &str, round_trip: f64) -> PeerInfo {
    PeerInfo {
        connected: true,
        path: PathKind::Direct.into(),
        path_address: "10.0.0.7:7777".into(),
        round_trip_seconds: Some(round_trip),
        lag_changes: Some(0),
        lag_seconds: Some(0.0),
        connected_seconds: Some(11_531.25),
        sessions: 1,
        bytes_sent: 12_345_678,
        bytes_received: 999,
        ..peer(digit)
    }
}

/// A bad night: one peer well, one on a slow link, one that just came, one away, one that never answered.
fn night() -> Answer {
    let behind = PeerInfo {
        path: PathKind::Relay.into(),
        path_address: "https://relay.example/".into(),
        lag_changes: Some(4_017),
        lag_seconds: Some(732.5),
        waiting_documents: 212,
        ..connected("b", 0.6021)
    };
    let reconciling = PeerInfo {
        reconciling: true,
        wanted: false,
        addresses: vec![],
        connected_seconds: Some(0.4),
        lag_changes: None,
        lag_seconds: None,
        ..connected("c", 0.000_21)
    };
    let away = PeerInfo {
        sessions: 3,
        away_seconds: Some(2_640.0),
        lag_changes: Some(1),
        lag_seconds: Some(2_600.0),
        attempts: 1_311,
        last_error: "no answer within 2.9s\u{1b}[2J".into(),
        last_error_seconds: Some(0.8),
        ..peer("d")
    };
    let never =
        PeerInfo { attempts: 2, last_error: "refused by the peer: app-id or shared key differ".into(), ..peer("e") };
    let class =
        |class: &str, bytes_sent, bytes_received| ClassTraffic { class: class.into(), bytes_sent, bytes_received };
    Answer {
        status: GetStatusResponse {
            node_id: "ship-7".into(),
            endpoint_addr: "0".repeat(64),
            sync_active: true,
            connected_peers: 3,
            phase: NodePhase::Syncing.into(),
            ready: true,
            not_ready_reason: String::new(),
            version: "0.1.0".into(),
            uptime_seconds: 11_600.123_4,
            app_id: "fleet-north".into(),
            wanted_peers: 4,
            store: Some(StoreInfo {
                documents: 100_000,
                tombstones: 1,
                document_bytes: 21_800_000,
                last_change: 250_000,
                file_bytes: Some(67_108_864),
                uncommitted_bytes: 0,
                cache_bytes: 33_554_432,
            }),
            home_relay: "https://relay.example/".into(),
            home_relay_connected: false,
            agent: Some(AgentInfo {
                address: "https://agent.example:8443".into(),
                state: "stale".into(),
                last_good_seconds: Some(732.5),
                documents: 42,
                last_error: "status: no connection to agent.example:8443: Connection refused\u{1b}[2J".into(),
                last_error_seconds: Some(3.2),
            }),
        },
        peers: vec![connected("a", 0.0123), behind, reconciling, away, never],
        stats: GetSyncStatsResponse {
            sync_active: true,
            connected_peers: 3,
            bytes_sent: 12_400_000,
            bytes_received: 4_100,
            classes: vec![class("state", 12_390_000, 4_000), class("control", 10_000, 100)],
            sessions: 7,
            reconnects: 3,
            refused_handshakes: 41,
        },
    }
}

fn shown(question: Question, answer: &Answer) -> String {
    let (text, well) = told(&ask(question, false), answer, Paint::Plain);
    assert!(text.lines().all(|line| !line.ends_with(' ') && !line.contains('\u{1b}')), "{text}");
    format!("{text}\n(exit code {})\n", u8::from(!well))
}

#[test]
fn tables_of_a_bad_night() {
    let night = night();
    insta::assert_snapshot!("status", shown(Question::Status, &night));
    insta::assert_snapshot!("peers", shown(Question::Peers, &night));
    insta::assert_snapshot!("lag", shown(lag(10, Some(100)), &night));
}

#[test]
fn tables_of_a_quiet_night() {
    let night = night();
    let quiet = Answer { peers: vec![night.peers[0].clone()], ..night };
    let alone = Answer { peers: vec![], ..quiet.clone() };
    let told = [
        shown(Question::Peers, &quiet),
        shown(lag(10, None), &quiet),
        shown(Question::Peers, &alone),
        shown(lag(10, None), &alone),
    ];
    insta::assert_snapshot!(told.join("\n"));
}

#[test]
fn a_node_that_is_not_ready_says_why() {
    let mut broken = night();
    broken.status.ready = false;
    broken.status.not_ready_reason = "the store failed, writes are refused until a restart: disk full".into();
    broken.status.sync_active = false;
    insta::assert_snapshot!(shown(Question::Status, &broken));
}

#[test]
fn the_same_for_programs() {
    let night = night();
    let told = |question| told(&ask(question, true), &night, Paint::Colour).0;
    insta::assert_snapshot!("status_json", told(Question::Status));
    insta::assert_snapshot!("peers_json", told(Question::Peers));
    insta::assert_snapshot!("lag_json", told(lag(10, None)));
}

#[test]
fn a_table_in_colour_is_the_table_and_colours() {
    for question in [Question::Status, Question::Peers, lag(10, None)] {
        let (plain, _) = told(&ask(question, false), &night(), Paint::Plain);
        let (colour, _) = told(&ask(question, false), &night(), Paint::Colour);
        assert_ne!(plain, colour);
        assert_eq!(anstream::adapter::strip_str(&colour).to_string(), plain);
    }
}

#[test]
fn a_lag_that_is_only_the_delay_of_acknowledgements_is_none() {
    let just_sent = PeerInfo { lag_changes: Some(3), lag_seconds: Some(4.9), ..connected("a", 0.01) };
    let view = view::Peers::of(&Answer { peers: vec![just_sent], ..Answer::default() });
    assert_eq!(view.peers[0].state, view::State::InSync);
    let over_a_satellite = PeerInfo { lag_changes: Some(3), lag_seconds: Some(6.1), ..connected("a", 0.6) };
    let view = view::Peers::of(&Answer { peers: vec![over_a_satellite], ..Answer::default() });
    assert_eq!(view.peers[0].state, view::State::InSync);
}

#[test]
fn a_node_of_an_older_version_is_understood() {
    let mut old = Answer::default();
    old.status.phase = NodePhase::Ready.into();
    assert!(view::Status::of(&old).ready);
    old.status.phase = NodePhase::ShuttingDown.into();
    assert!(!view::Status::of(&old).ready);
}

#[test]
fn times_are_said_in_two_units_at_most() {
    let times = [0.0, 0.000_21, 0.0012, 0.0123, 0.9996, 1.5, 59.96, 61.0, 3599.9, 11_600.0, 90_000.0, 8e7];
    let said: Vec<String> = times.into_iter().map(table::age).collect();
    assert_eq!(
        said,
        [
            "0 s", "210 µs", "1.2 ms", "12 ms", "1.0 s", "1.5 s", "0m 59s", "1m 01s", "59m 59s", "3h 13m", "1d 01h",
            "925d 22h"
        ]
    );
}
