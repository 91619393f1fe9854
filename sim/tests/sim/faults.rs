//! Every kind of fault on a small mesh: it does what it says, it says what it did, and the mesh gets over it. And those
//! that meet nothing are told from those that were survived.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::check::Verdict;
use peat_scenarios::model::{Event, Fault, LinkSpec, Peering, Trouble, Workload};
use peat_scenarios::profiles::Profile;
use peat_scenarios::record::{FaultEffect, FaultRecord, Outcome};
use peat_scenarios::report::{Paint, Report};
use peat_scenarios::{RunRecord, Scenario, SimTime};
use peat_sim::{Engine, RunOptions, first_difference};

use crate::judged::expect;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Two nodes on a shore, one on a ship, and a spare one that nobody talks to.
fn mesh(faults: impl IntoIterator<Item = Fault>) -> Scenario {
    let mut builder = Scenario::builder("mesh")
        .duration(seconds(90))
        .settle(seconds(30))
        .cluster("shore", |cluster| cluster.group("shore", 2))
        .cluster("ship", |cluster| cluster.group("ship", 1))
        .link(LinkSpec::new("shore", "ship", Profile::Wan))
        .workload(Workload::heartbeat(["shore", "ship"], seconds(2)))
        .workload(Workload::edit(["shore", "ship"], seconds(5), 2).start(seconds(3)));
    for fault in faults {
        builder = builder.fault(fault);
    }
    builder.build().unwrap_or_else(|error| panic!("{error}"))
}

/// Runs with one fault from 20 s to 30 s, which must bite.
fn survived(fault: Fault) -> (RunRecord, FaultEffect) {
    let record = expect(&mesh([fault.at(seconds(20)).lasting(seconds(10))]), Plants::default(), Verdict::Pass);
    let mut effect = FaultEffect::default();
    record.faults.iter().for_each(|fault| effect.add(&fault.effect));
    (record, effect)
}

fn lost_sessions(record: &RunRecord, from: u64, until: u64) -> usize {
    let within = |at: SimTime| (SimTime::from_secs(from)..SimTime::from_secs(until)).contains(&at);
    record.sessions.iter().filter(|session| !session.up && within(session.at)).count()
}

#[test]
fn a_reset_tells_both_ends_at_once() {
    let (record, effect) = survived(Fault::reset("rst", "shore", "ship"));
    assert_eq!(effect.sessions_reset, 4, "two sessions, both ends");
    assert_eq!(lost_sessions(&record, 20, 21), 4, "{:?}", record.sessions);
    assert!(effect.datagrams_blocked > 0);
}

#[test]
fn a_clog_delivers_late_what_a_partition_would_have_lost() {
    let clog = Fault::clog("jam", "shore", "ship").at(seconds(20)).lasting(seconds(5));
    let record = expect(&mesh([clog]), Plants::default(), Verdict::Pass);
    assert!(record.faults[0].effect.datagrams_held > 5, "{:?}", record.faults[0].effect);
    assert_eq!(lost_sessions(&record, 20, 40), 0, "shorter than a session lives");
}

#[test]
fn a_dial_only_partition_leaves_open_sessions_alone() {
    // The ship restarts, and must dial.
    let wall = Fault::dial_only_partition("wall", "shore", "ship").at(seconds(20)).lasting(seconds(30));
    let crash = Fault::crash("power", "shore-1").at(seconds(25)).lasting(seconds(3));
    let record = expect(&mesh([wall, crash]), Plants::default(), Verdict::Pass);
    assert!(record.faults[0].effect.datagrams_blocked > 0);
    let (ship, other) = (record.topology.find("ship-0").unwrap(), record.topology.find("shore-0").unwrap());
    let lost = record.sessions.iter().any(|session| !session.up && session.node == ship && session.peer == other);
    assert!(!lost, "that session never went down");
    let back = record.sessions.iter().rfind(|session| session.up && session.node == ship).unwrap();
    assert!(back.at >= SimTime::from_secs(50), "the other came back at {} although nobody could dial", back.at);
}

#[test]
fn a_flap_is_one_fault_of_many_drops() {
    let (record, effect) = survived(Fault::flap("flap", "shore", "ship", seconds(2), Duration::from_millis(500)));
    assert_eq!(record.faults.len(), 5);
    assert!(effect.datagrams_blocked > 0);
    assert_eq!(effect.links_held, Duration::from_millis(500) * 5 * 4, "four directions");
}

#[test]
fn bufferbloat_builds_a_queue() {
    let (_, effect) = survived(Fault::bufferbloat("bloat", "shore", "ship", 32_000, 1 << 20));
    assert!(effect.queue_wait >= Duration::from_millis(50), "{effect:?}");
}

#[test]
fn a_slow_disk_delays_what_it_acknowledges() {
    let slow = Trouble::DiskSlow { sync: Duration::from_millis(700) };
    let (record, effect) = survived(Fault::node("slow", "ship-0", slow));
    assert!(effect.syncs_delayed > 3, "{effect:?}");
    let ship = record.topology.find("ship-0").unwrap();
    let within = SimTime::from_secs(21)..SimTime::from_secs(29);
    let operations = record.operations.iter().filter(|op| op.node == ship && within.contains(&op.invoked));
    for operation in operations.filter(|operation| operation.outcome == Outcome::Ok) {
        let took = operation.completed.unwrap().since(operation.invoked);
        assert!(took >= Duration::from_millis(700), "{took:?} on a disk that takes 700 ms");
    }
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let (record, effect) = survived(Fault::node("full", "ship-0", Trouble::DiskFull));
    assert!(effect.writes_refused > 0);
    let ship = record.topology.find("ship-0").unwrap();
    let during = |at: SimTime| (SimTime::from_secs(20)..SimTime::from_secs(30)).contains(&at);
    let acknowledged = record.operations.iter().filter(|op| op.node == ship && op.acknowledged());
    let mut acknowledged = acknowledged.map(|op| op.invoked);
    assert!(!acknowledged.clone().any(during), "something was acknowledged on a full disk");
    assert!(acknowledged.any(|at| at > SimTime::from_secs(31)), "it never wrote again");
}

#[test]
fn a_node_that_cannot_read_its_disk_starts_once_it_can() {
    let crash = Fault::crash("power", "ship-0").at(seconds(18)).lasting(seconds(5));
    let blind = Fault::node("blind", "ship-0", Trouble::ReadError).at(seconds(20)).lasting(seconds(10));
    let record = expect(&mesh([crash, blind]), Plants::default(), Verdict::Pass);
    assert!(record.faults[1].effect.reads_refused > 0);
}

#[test]
fn a_lost_disk_comes_back_with_what_others_had() {
    let (record, effect) = survived(Fault::node("burnt", "ship-0", Trouble::DataLoss));
    assert!(effect.bytes_lost > 4096);
    assert!(record.restart_snapshots[0].docs.is_empty(), "{:?}", record.restart_snapshots[0].docs.keys());
    assert!(record.finals[2].docs.len() >= 5);
}

#[test]
fn a_write_is_torn_and_nothing_that_was_acknowledged_is() {
    let torn = Fault::node("torn", "ship-0", Trouble::TornWrite);
    let (record, effect) = survived(torn);
    assert!(effect.bytes_torn >= 512 && effect.bytes_torn.is_multiple_of(512), "{effect:?}");
    assert!(effect.node_down > seconds(5) && effect.node_down <= seconds(10), "{effect:?}");
    assert_eq!(record.restart_snapshots.len(), 1);
    let (_, effect) = survived(Fault::node("unsynced", "ship-0", Trouble::UnsyncedLoss));
    assert!(effect.bytes_lost > 0, "{effect:?}");
}

#[test]
fn a_paused_node_does_nothing_and_loses_nothing() {
    let pause = Fault::pause("stop", "ship-0").at(seconds(20)).lasting(seconds(7));
    let record = expect(&mesh([pause]), Plants::default(), Verdict::Pass);
    let ship = record.topology.find("ship-0").unwrap();
    let effect = &record.faults[0].effect;
    assert!(effect.datagrams_held > 3 && effect.node_paused == seconds(7), "{effect:?}");
    let during = SimTime::from_millis(20_010)..SimTime::from_secs(27);
    assert!(!record.visibility.iter().any(|event| event.node == ship && during.contains(&event.at)));
    let done = |at: Option<SimTime>| at.is_some_and(|at| during.contains(&at));
    let answered = record.operations.iter().filter(|op| op.node == ship && op.acknowledged() && done(op.completed));
    assert_eq!(answered.count(), 0, "a stopped process acknowledges nothing");
    assert_eq!(lost_sessions(&record, 20, 40), 0, "shorter than a session lives");
}

#[test]
fn a_clock_is_read_wrong_by_one_node_only() {
    let day = 86_400_000;
    let (_, effect) = survived(Fault::node("jump", "ship-0", Trouble::ClockJump { by_ms: -day }));
    assert!(effect.clock_readings > 3 && effect.clock_offset_ms == -day, "{effect:?}");
    let (_, effect) = survived(Fault::node("skew", "ship-0", Trouble::ClockSkew { rate: 60.0 }));
    assert!((300_000..=600_000).contains(&effect.clock_offset_ms), "{effect:?}");
}

#[test]
fn outages_roll() {
    let (record, effect) = survived(Fault::rolling_outage("roll", ["shore", "ship"]));
    assert_eq!(record.faults.len(), 2);
    assert!(effect.datagrams_blocked > 0);
}

#[test]
fn a_node_is_down_until_the_last_of_its_crashes_is_over() {
    let first = Fault::crash("first", "ship-0").at(seconds(20)).lasting(seconds(5));
    let second = Fault::node("second", "ship-0", Trouble::Crash).at(seconds(22)).lasting(seconds(10));
    // The second finds nothing to stop, but keeps the node from starting.
    let record = expect(&mesh([first, second]), Plants::default(), Verdict::Vacuous);
    assert_eq!(record.restart_snapshots.len(), 1);
    assert!(record.restart_snapshots[0].at >= SimTime::from_secs(32), "{}", record.restart_snapshots[0].at);
}

#[test]
fn faults_wait_for_events() {
    let writes = Event::Writes { count: 20, of: Some("ship".into()) };
    let crash = Fault::crash("power", "ship-0").on(writes, Duration::ZERO).lasting(seconds(3));
    let session = Event::Session { of: vec!["ship".into(), "shore".into()] };
    let cut = Fault::partition("cut", "shore", "ship").on(session, Duration::from_millis(15)).lasting(seconds(5));
    let record = expect(&mesh([crash, cut]), Plants::default(), Verdict::Pass);
    let applied = |fault: &FaultRecord| fault.applied.unwrap();
    let ship = record.topology.find("ship-0").unwrap();
    let before = applied(&record.faults[0]);
    let done = record.operations.iter().filter(|op| op.node == ship && op.acknowledged());
    assert_eq!(done.filter(|op| op.completed.is_some_and(|at| at <= before)).count(), 20, "at {before}");
    let restarted = record.faults[0].healed.unwrap();
    let up = record.sessions.iter().find(|session| session.up && session.at >= restarted).unwrap();
    assert_eq!(applied(&record.faults[1]).since(up.at), Duration::from_millis(15));
}

#[test]
fn what_meets_nothing_is_vacuous() {
    let idle = Scenario::builder("idle")
        .duration(seconds(60))
        .settle(seconds(20))
        .cluster("c", |cluster| cluster.group("busy", 2).group("spare", 1))
        .link(LinkSpec::new("busy", "spare", Profile::Lan).peering(Peering::None))
        .workload(Workload::heartbeat(["busy"], seconds(2)));
    let faults = [
        Fault::partition("cut", "busy", "spare"),
        Fault::clog("jam", "busy", "spare"),
        Fault::reset("rst", "busy", "spare"),
        Fault::dial_only_partition("wall", "busy", "busy"),
        Fault::bufferbloat("bloat", "busy", "spare", 1_000, 10_000),
        Fault::pause("stop", "spare-0"),
        Fault::node("full", "spare-0", Trouble::DiskFull),
        Fault::node("slow", "spare-0", Trouble::DiskSlow { sync: seconds(1) }),
        Fault::node("blind", "busy-0", Trouble::ReadError),
        Fault::node("torn", "spare-0", Trouble::TornWrite),
    ];
    let count = faults.len();
    let builder =
        faults.into_iter().fold(idle, |builder, fault| builder.fault(fault.at(seconds(20)).lasting(seconds(5))));
    let scenario = builder.build().unwrap_or_else(|error| panic!("{error}"));
    let record = peat_sim::run(&scenario, RunOptions::seed(1)).unwrap();
    let bit: Vec<&str> = record
        .faults
        .iter()
        .filter(|fault| fault.effect.toothless(fault.spec.class).is_none())
        .map(|fault| fault.spec.name.as_str())
        .collect();
    assert!(bit.is_empty(), "{bit:?} of {count} did something to a node that nobody talks to");
}

#[test]
fn an_engine_refuses_what_it_cannot_do_before_it_starts() {
    let scenario = mesh([Fault::clog("jam", "shore", "ship").at(seconds(20)).lasting(seconds(5))]);
    let refused = peat_sim::run(&scenario, RunOptions::seed(1).engine(Engine::Turmoil)).unwrap_err();
    let said = "mesh cannot run in world sim/turmoil:\n  fault `jam` (clog): it cannot clog links";
    assert_eq!(refused.to_string(), said);
}

#[test]
fn the_other_engine_has_the_same_faults() {
    let faults = [
        Fault::reset("rst", "shore", "ship").at(seconds(10)).lasting(seconds(3)),
        Fault::pause("stop", "ship-0").at(seconds(20)).lasting(seconds(5)),
        Fault::node("torn", "ship-0", Trouble::TornWrite).at(seconds(30)).lasting(seconds(5)),
        Fault::node("full", "shore-0", Trouble::DiskFull).at(seconds(35)).lasting(seconds(5)),
        Fault::node("burnt", "shore-1", Trouble::DataLoss).at(seconds(45)).lasting(seconds(3)),
        Fault::node("jump", "shore-0", Trouble::ClockJump { by_ms: -3_600_000 }).at(seconds(45)).lasting(seconds(5)),
    ];
    let scenario = mesh(faults);
    for engine in [Engine::Fabric, Engine::Turmoil] {
        let record = peat_sim::run(&scenario, RunOptions::seed(1).engine(engine)).unwrap();
        let report = Report::of(&scenario, &record);
        assert_eq!(report.verdict, Verdict::Pass, "{}", report.text(Paint::Plain));
    }
}

/// All of it at once, twice: the same run.
#[test]
fn faults_replay() {
    let faults = [
        Fault::churn("churn", "shore", seconds(8), seconds(3)).at(seconds(15)).lasting(seconds(40)),
        Fault::clog("jam", "shore", "ship").within(seconds(12), seconds(20)).lasting(seconds(4)),
        Fault::node("torn", "ship-0", Trouble::TornWrite).after_writes(30).lasting(seconds(5)),
        Fault::pause("stop", "ship-0").at(seconds(45)).lasting(seconds(4)),
        Fault::node("full", "shore-0", Trouble::DiskFull).at(seconds(40)).lasting(seconds(5)),
    ];
    let scenario = mesh(faults);
    let run = || peat_sim::run_with_events(&scenario, RunOptions::seed(5)).unwrap();
    let ((one, events), (other, others)) = (run(), run());
    if let Some(at) = first_difference(&events, &others) {
        panic!("event {at} differs: {:?} and {:?}", events.get(at), others.get(at));
    }
    assert_eq!(one.trace_hash, other.trace_hash);
}
