//! A formation that finds itself: each node is told one other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peat_node::config::NodeConfig;
use peat_scenarios::model::{Fault, LinkSpec, Peering, Workload};
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::profiles::Profile;
use peat_scenarios::record::Life;
use peat_scenarios::{RunRecord, Scenario, SimTime};
use peat_sim::{RunOptions, first_difference};

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn gossip(_: NodeIndex, config: &mut NodeConfig) {
    config.discovery.gossip = true;
}

/// Sessions that are up on both sides at a moment.
fn sessions(record: &RunRecord, at: SimTime) -> BTreeMap<NodeIndex, BTreeSet<NodeIndex>> {
    // When one connection replaces another, the new session is up before the old one is down.
    let mut halves: BTreeMap<(NodeIndex, NodeIndex), i32> = BTreeMap::new();
    let mut crashes = record.lives.iter().filter(|life| life.event == Life::Crashed && life.at <= at).peekable();
    for event in record.sessions.iter().take_while(|event| event.at <= at) {
        // A crashed node says nothing of its sessions any more.
        while let Some(crash) = crashes.next_if(|crash| crash.at <= event.at) {
            halves.retain(|(node, _), _| *node != crash.node);
        }
        *halves.entry((event.node, event.peer)).or_default() += if event.up { 1 } else { -1 };
    }
    let crashed: BTreeSet<NodeIndex> = crashes.map(|crash| crash.node).collect();
    let up = |a: NodeIndex, b: NodeIndex| halves.get(&(a, b)).is_some_and(|n| *n > 0) && !crashed.contains(&a);
    let mut graph: BTreeMap<NodeIndex, BTreeSet<NodeIndex>> = BTreeMap::new();
    for (a, b) in halves.keys().filter(|(a, b)| up(*a, *b) && up(*b, *a)) {
        graph.entry(*a).or_default().insert(*b);
    }
    graph
}

fn reached(record: &RunRecord, at: SimTime, from: NodeIndex) -> BTreeSet<NodeIndex> {
    let graph = sessions(record, at);
    let mut reached = BTreeSet::from([from]);
    let mut front = vec![from];
    while let Some(node) = front.pop() {
        for peer in graph.get(&node).into_iter().flatten() {
            if reached.insert(*peer) {
                front.push(*peer);
            }
        }
    }
    reached
}

fn tenths(n: u32) -> SimTime {
    SimTime::from(Duration::from_millis(100) * n)
}

#[test]
fn fifty_nodes_that_are_told_one_each_are_one_formation_within_ten_seconds() {
    let scenario = Scenario::builder("fifty")
        .duration(seconds(45))
        .settle(seconds(5))
        .cluster("c", |cluster| cluster.group("g", 49).group("first", 1))
        .link(LinkSpec::new("g", "g", Profile::Lan).peering(Peering::Ring))
        .link(LinkSpec::new("g", "first", Profile::Lan).peering(Peering::Gateway))
        .workload(Workload::put(["first"], seconds(10)))
        .build()
        .unwrap();
    let record = peat_sim::run(&scenario, RunOptions::seed(1).configure(gossip)).unwrap();
    let pieces = |at| reached(&record, at, NodeIndex(0)).len();
    let one_piece = (0..100).map(tenths).find(|at| pieces(*at) == 50);
    assert!(one_piece.is_some(), "{} of 50 in one piece after 10 s", pieces(SimTime::from_secs(10)));
    // Beyond its seed everyone has found neighbours, and what was surplus on the way there is gone.
    let end = sessions(&record, SimTime::from_secs(44));
    assert_eq!(pieces(SimTime::from_secs(44)), 50);
    let (fewest, most) = (end.values().map(BTreeSet::len).min(), end.values().map(BTreeSet::len).max());
    assert!(fewest >= Some(4) && most <= Some(16), "{fewest:?} to {most:?} sessions a node");
}

/// Nodes of two islands that know nothing of each other but by gossip: those who were told of the other island are
/// gone for good while they are apart.
#[test]
fn two_islands_of_twenty_five_merge_after_ten_minutes_without_those_who_knew_each_other() {
    let (cut, apart) = (seconds(20), seconds(600));
    let scenario = Scenario::builder("islands")
        .duration(cut + apart + seconds(20))
        .settle(seconds(5))
        .cluster("a", |cluster| cluster.group("a", 25))
        .cluster("b", |cluster| cluster.group("b", 25))
        .link(LinkSpec::new("a", "a", Profile::Lan).peering(Peering::Ring))
        .link(LinkSpec::new("b", "b", Profile::Lan).peering(Peering::Ring))
        .link(LinkSpec::new("a", "b", Profile::Wan).peering(Peering::Gateway))
        .workload(Workload::put(["a"], seconds(300)))
        .fault(Fault::partition("storm", "a", "b").at(cut).lasting(apart))
        .fault(Fault::crash("gone", "a-0").at(cut + seconds(10)).for_ever())
        .build()
        .unwrap();
    let record = peat_sim::run(&scenario, RunOptions::seed(1).configure(gossip)).unwrap();
    let (a, b) = (NodeIndex(1), NodeIndex(25));
    let before = SimTime::from(cut + apart - seconds(1));
    assert_eq!(reached(&record, before, a).len(), 24, "one island is in one piece without its gateway");
    assert_eq!(reached(&record, before, b).len(), 25, "and so is the other");
    let heal = SimTime::from(cut + apart);
    let merged =
        (0..190).map(|n| heal + Duration::from_millis(100) * n).find(|at| reached(&record, *at, a).len() == 49);
    let after = merged.map(|at| at.since(heal));
    assert!(after.is_some_and(|after| after <= seconds(3)), "merged after {after:?}");
}

/// Told in a chain that wraps: 0 to 1, 1 to 2, 2 to 3, 0 to 3. Then 0 and 2 are gone for good, and 1 and 3, neither of
/// which was told of the other, are restarted.
fn survivors() -> Scenario {
    Scenario::builder("survivors")
        .duration(seconds(80))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("g", 4))
        .link(LinkSpec::new("g", "g", Profile::Lan).peering(Peering::Ring))
        .workload(Workload::heartbeat(["g"], seconds(10)))
        .fault(Fault::crash("gone-0", "g-0").at(seconds(20)).for_ever())
        .fault(Fault::crash("gone-2", "g-2").at(seconds(20)).for_ever())
        .fault(Fault::crash("restart-1", "g-1").at(seconds(40)).lasting(seconds(10)))
        .fault(Fault::crash("restart-3", "g-3").at(seconds(40)).lasting(seconds(12)))
        .build()
        .unwrap()
}

#[test]
fn what_was_learned_outlives_a_restart() {
    let record = peat_sim::run(&survivors(), RunOptions::seed(1).configure(gossip)).unwrap();
    let (one, three) = (NodeIndex(1), NodeIndex(3));
    assert!(reached(&record, SimTime::from_secs(49), one).len() == 1);
    let back = reached(&record, SimTime::from_secs(55), one);
    assert!(back.contains(&three), "3 s after the later of them is back: {back:?}");
}

#[test]
fn a_formation_by_gossip_replays() {
    let once = || peat_sim::run_with_events(&survivors(), RunOptions::seed(2).configure(gossip)).unwrap();
    let ((_, events), (_, others)) = (once(), once());
    if let Some(at) = first_difference(&events, &others) {
        panic!("event {at} differs\n{:?}\nand\n{:?}", events.get(at), others.get(at));
    }
}

#[test]
fn a_node_that_was_dialled_knocks_after_a_crash() {
    // Only the other one was told an address; it took 10 s of silence until it dialled again.
    let scenario = Scenario::builder("knock")
        .duration(seconds(60))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("g", 2))
        .workload(Workload::heartbeat(["g"], seconds(10)))
        .fault(Fault::crash("power", "g-1").at(seconds(30)).lasting(seconds(1)))
        .build()
        .unwrap();
    let record = peat_sim::run(&scenario, RunOptions::seed(1)).unwrap();
    let back = record.sessions.iter().find(|event| event.up && event.at > SimTime::from_secs(30)).unwrap();
    assert!(back.at.since(SimTime::from_secs(31)) < Duration::from_millis(200), "back at {}", back.at);
}
