//! A formation that finds itself: each node is told one other.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use peat_node::config::NodeConfig;
use peat_scenarios::model::{Fault, LinkSpec, Peering, Workload};
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::profiles::Profile;
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
    let mut halves: BTreeSet<(NodeIndex, NodeIndex)> = BTreeSet::new();
    let mut counts: BTreeMap<(NodeIndex, NodeIndex), i32> = BTreeMap::new();
    // When one connection replaces another, the new session is up before the old one is down.
    for event in record.sessions.iter().take_while(|event| event.at <= at) {
        let count = counts.entry((event.node, event.peer)).or_default();
        *count += if event.up { 1 } else { -1 };
        if *count > 0 {
            halves.insert((event.node, event.peer));
        } else {
            halves.remove(&(event.node, event.peer));
        }
    }
    let mut graph: BTreeMap<NodeIndex, BTreeSet<NodeIndex>> = BTreeMap::new();
    for (a, b) in halves.iter().filter(|(a, b)| halves.contains(&(*b, *a))) {
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

/// Two islands of as many nodes as said, inside which each node is told the next. One node of each knows one of the
/// other, until it crashes for good while they are apart.
fn islands(each: u32, apart: Duration) -> Scenario {
    let cut = seconds(40);
    Scenario::builder("islands")
        .duration(cut + apart + seconds(60))
        .settle(seconds(20))
        .cluster("a", |cluster| cluster.group("a", each))
        .cluster("b", |cluster| cluster.group("b", each))
        .link(LinkSpec::new("a", "a", Profile::Lan).peering(Peering::Ring))
        .link(LinkSpec::new("b", "b", Profile::Lan).peering(Peering::Ring))
        .link(LinkSpec::new("a", "b", Profile::Wan).peering(Peering::Gateway))
        .workload(Workload::heartbeat(["a"], seconds(60)))
        .fault(Fault::partition("storm", "a", "b").at(cut).lasting(apart))
        .fault(Fault::crash("gone", "a-0").at(cut + seconds(10)))
        .build()
        .unwrap()
}

#[test]
fn fifty_nodes_that_are_told_one_each_are_one_formation_within_ten_seconds() {
    let scenario = Scenario::builder("fifty")
        .duration(seconds(60))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("g", 50))
        .link(LinkSpec::new("g", "g", Profile::Lan).peering(Peering::Ring))
        .workload(Workload::heartbeat(["g"], seconds(20)))
        .build()
        .unwrap();
    let once = || peat_sim::run_with_events(&scenario, RunOptions::seed(1).configure(gossip)).unwrap();
    let (record, events) = once();
    let all_in = (0..100).map(|tenths| SimTime::from(Duration::from_millis(100) * tenths));
    let first = all_in.clone().find(|at| reached(&record, *at, NodeIndex(0)).len() == 50);
    println!("one piece at {first:?}");
    assert!(first.is_some(), "not in one piece after 10 s");
    let end = sessions(&record, SimTime::from_secs(59));
    let total: usize = end.values().map(BTreeSet::len).sum::<usize>() / 2;
    let most = end.values().map(BTreeSet::len).max().unwrap();
    println!("{total} sessions, at most {most}, traffic {:?}", record.traffic);
    assert!(total > 100, "{total} sessions: nobody found anyone but its seed");
    assert!(most <= 16, "{most} sessions at one node");
    assert_eq!(reached(&record, SimTime::from_secs(59), NodeIndex(0)).len(), 50);

    let (_, others) = once();
    if let Some(at) = first_difference(&events, &others) {
        panic!("{:?}\n{:?}", events.get(at), others.get(at));
    }
}

#[test]
fn two_islands_of_twenty_five_merge_after_ten_minutes_without_those_who_knew_each_other() {
    let apart = seconds(600);
    let scenario = islands(25, apart);
    let record = peat_sim::run(&scenario, RunOptions::seed(1).configure(gossip)).unwrap();
    let heal = SimTime::from(seconds(40) + apart);
    let before = SimTime::from(seconds(35) + apart);
    let (a, b) = (NodeIndex(1), NodeIndex(25));
    assert_eq!(reached(&record, before, a).len(), 24, "a is in one piece without a-0");
    assert_eq!(reached(&record, before, b).len(), 25);
    let merged = (0..300).map(|tenths| heal + Duration::from_millis(100) * tenths);
    let first = merged.clone().find(|at| reached(&record, *at, a).len() == 49);
    let after = first.map(|at| at.since(heal));
    println!("one piece {after:?} after the heal");
    assert!(after.is_some_and(|after| after <= seconds(4)), "merged after {after:?}");
}
