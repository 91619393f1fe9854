//! Small networks, each a sentence: topology, action, assertion.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::check::Verdict;
use peat_scenarios::model::{Fault, LinkSpec, Peering, Workload};
use peat_scenarios::profiles::Profile;
use peat_scenarios::{Scenario, SimTime};

use crate::judged::expect;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn two_nodes_on_a_lan_show_each_other_what_they_put() {
    let scenario = Scenario::builder("pair")
        .duration(seconds(60))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("edge", 2))
        .workload(Workload::put(["edge"], seconds(1)))
        .build()
        .unwrap();
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let documents: Vec<usize> = record.finals.iter().map(|replica| replica.docs.len()).collect();
    let puts = record.operations.iter().filter(|operation| operation.acknowledged()).count();
    assert_eq!(documents, [puts, puts]);
}

/// A ship crashes, and the storm begins before it is back.
pub fn down_in_the_dark() -> Scenario {
    Scenario::builder("down-in-the-dark")
        .duration(seconds(240))
        .settle(seconds(30))
        .cluster("shore", |cluster| cluster.group("shore", 2))
        .cluster("ship", |cluster| cluster.group("ship", 1))
        .link(LinkSpec::new("shore", "ship", Profile::SatcomGeo).peering(Peering::Gateway))
        .workload(Workload::heartbeat(["shore", "ship"], seconds(5)))
        .fault(Fault::crash("power", "ship-0").at(seconds(60)).lasting(seconds(40)))
        .fault(Fault::blackout("storm", "ship").at(seconds(70)).lasting(seconds(80)))
        .build()
        .unwrap()
}

#[test]
fn a_node_that_is_down_at_the_start_of_a_blackout_catches_up_after_it() {
    let scenario = down_in_the_dark();
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let heal = SimTime::from_secs(150);
    let back = record.sessions.iter().find(|session| session.up && session.at > heal).unwrap();
    assert!(back.at.since(heal) < seconds(5), "the session came back at {}", back.at);
}

/// A scenario whose nodes should gossip, run by nodes that cannot, would pass or fail for the wrong reason.
#[test]
fn what_nodes_do_not_know_is_refused_and_not_left_out() {
    let text = include_str!("../../../scenarios/waiting/gossip-islands.toml");
    let scenario = Scenario::parse("gossip-islands.toml", text).unwrap_or_else(|error| panic!("{error}"));
    let refused = peat_sim::run(&scenario, peat_sim::RunOptions::seed(1)).unwrap_err().to_string();
    let why = "this build cannot run it: east-edge-0 has `discovery = \"gossip\"`, which its nodes do not know";
    assert_eq!(refused, why);
}
