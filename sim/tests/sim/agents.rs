//! Nodes that watch agents, with the real reader, plan and writer between a simulated agent and the mesh.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::Scenario;
use peat_scenarios::check::Verdict;
use peat_scenarios::model::{Fault, LinkSpec, Workload};
use peat_scenarios::profiles::Profile;

use crate::judged::{expect, run};

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A ship and a shore with two agents each: packages change and go, the satellite is lost for two minutes, and the
/// ships' agents do not answer for one.
fn agents_behind_a_satellite() -> Scenario {
    Scenario::builder("agents")
        .duration(s(600))
        .settle(s(60))
        .seed(7)
        .cluster("shore", |cluster| cluster.group("shore", 2))
        .cluster("ship", |cluster| cluster.group("ship", 2))
        .link(LinkSpec::new("shore", "ship", Profile::SatcomGeo))
        .workload(Workload::agent(["shore"], 10, s(30)))
        .workload(Workload::agent(["ship"], 20, s(20)).away(s(300), s(60)))
        .fault(Fault::partition("sat", "shore", "ship").at(s(120)).lasting(s(120)))
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn what_agents_say_is_everywhere_through_a_lost_satellite_and_their_own_silence() {
    let scenario = agents_behind_a_satellite();
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let reports = record.operations.iter().filter(|report| report.acknowledged()).count();
    println!("{reports} of {} changes of agents were seen", record.operations.len());
    assert_eq!(reports, record.operations.len());
    let secret = |text: &str| text.contains("never to be seen");
    let held = record.finals.iter().flat_map(|replica| replica.docs.values());
    assert!(!held.filter_map(|doc| doc.json.as_deref()).any(secret));
    assert_eq!(record.trace_hash, run(&scenario, Plants::default()).trace_hash, "it replays");
}

/// A node is without power for two minutes, in which packages of its agent change and go: afterwards it knows by itself
/// which documents are its own, and removes what is gone.
#[test]
fn a_node_that_was_without_power_catches_up_with_its_agent() {
    let built = Scenario::builder("agents-without-power")
        .duration(s(400))
        .settle(s(60))
        .seed(11)
        .cluster("ship", |cluster| cluster.group("ship", 2))
        .workload(Workload::agent(["ship"], 8, s(10)))
        .fault(Fault::crash("power", "ship-1").at(s(100)).lasting(s(120)));
    let scenario = built.build().unwrap_or_else(|error| panic!("{error}"));
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let ship = record.topology.find("ship-1").unwrap();
    let dark = |report: &&peat_scenarios::record::OpRecord| report.node == ship && !report.acknowledged();
    let (gone, changed) = record.operations.iter().filter(dark).partition::<Vec<_>, _>(|report| report.json.is_none());
    assert!(gone.len() >= 2 && changed.len() >= 8, "{} gone and {} changed in the dark", gone.len(), changed.len());
}

/// Agents that change nothing: once told, they cost nothing, whatever their clocks say.
#[test]
fn a_quiet_agent_is_a_quiet_link() {
    let quiet = |agents: bool| {
        let built = Scenario::builder("quiet")
            .duration(s(400))
            .settle(s(30))
            .seed(3)
            .cluster("shore", |cluster| cluster.group("shore", 1))
            .cluster("ship", |cluster| cluster.group("ship", 1))
            .link(LinkSpec::new("shore", "ship", Profile::SatcomLeo))
            .workload(Workload::put(["shore"], s(60)).until(s(70)));
        let built = if agents { built.workload(Workload::agent(["ship"], 50, s(3600))) } else { built };
        let record = expect(&built.build().unwrap_or_else(|error| panic!("{error}")), Plants::default(), Verdict::Pass);
        let shore = record.topology.find("shore-0").unwrap();
        let versions =
            record.visibility.iter().filter(|seen| seen.node == shore && &*seen.key.collection == "platforms").count();
        (record.traffic.received_by_node[shore.index()].bytes, versions)
    };
    let ((with, versions), (without, _)) = (quiet(true), quiet(false));
    println!("an agent with 50 packages: {with} B in 400 s, {without} B without it");
    assert_eq!(versions, 1, "40 polls, and one version of the platform");
    // 50 documents of some 250 bytes at the beginning, and nothing after.
    assert!(with < without + 50 * 400, "{with} against {without}");
}
