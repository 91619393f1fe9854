use std::time::Duration;

use peat_scenarios::library::{self, library};
use peat_scenarios::model::{Fault, LinkSpec, Trouble, Workload};
use peat_scenarios::plan::expand;
use peat_scenarios::profiles::Profile;

use super::*;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

fn planned(scenario: &Scenario, options: &Options) -> Plan {
    Plan::new(scenario, &expand(scenario, scenario.seed), options)
}

fn blackout() -> Scenario {
    library::find("two-cluster-blackout").unwrap().scenario().unwrap()
}

/// A shore of two nodes, a ship of one with a machine of its own, and a boat that comes later.
fn fleet() -> Scenario {
    Scenario::builder("fleet")
        .purpose("what is done to nodes")
        .duration(secs(600))
        .seed(3)
        .cluster("shore", |cluster| cluster.group("shore-node", 2))
        .cluster("ship", |cluster| cluster.group("ship-node", 1))
        .link(LinkSpec::new("shore-node", "ship-node", Profile::SatcomLeo))
        .workload(Workload::heartbeat(["shore-node", "ship-node"], secs(10)))
        .fault(Fault::node("reboot", "shore-node-1", Trouble::Crash).at(secs(60)).lasting(secs(20)))
        .fault(Fault::node("power", "ship-node-0", Trouble::Crash).at(secs(120)).lasting(secs(40)))
        .fault(Fault::node("frozen", "ship-node-0", Trouble::Pause).at(secs(240)).lasting(secs(10)))
        .fault(Fault::node("wiped", "shore-node-0", Trouble::DataLoss).at(secs(300)).lasting(secs(20)))
        .build()
        .unwrap()
}

fn contexts(scenario: &Scenario) -> Options {
    let contexts = scenario.clusters.iter().map(|cluster| (cluster.name.clone(), format!("{}-admin", cluster.name)));
    Options {
        contexts: contexts.collect(),
        image: Some("registry.example/peat-node:0.1.0".into()),
        edge_image: Some("registry.example/ddil:0.1.0".into()),
        ..Options::default()
    }
}

#[test]
fn two_cluster_blackout_as_it_would_be_run() {
    insta::assert_snapshot!(planned(&blackout(), &Options::default()));
}

#[test]
fn the_same_for_a_program() {
    let plan = planned(&blackout(), &Options::default());
    let json = serde_json::to_value(&plan).unwrap();
    // The whole is as long as the text; the shape of each kind of entry is what a program relies on.
    let entries = serde_json::json!({
        "keys": json.as_object().unwrap().keys().collect::<Vec<_>>(),
        "cluster": json["places"]["clusters"][0],
        "node": json["places"]["nodes"][0],
        "run": json["set_up"][2]["steps"][0],
        "event": json["timeline"][0],
    });
    insta::assert_snapshot!(serde_json::to_string_pretty(&entries).unwrap());
}

#[test]
fn clusters_that_exist_get_a_namespace_and_nothing_of_docker() {
    let scenario = fleet_without_machines();
    let plan = planned(&scenario, &contexts(&scenario));
    assert!(
        plan.steps()
            .all(|step| !matches!(&step.act, Act::Run(line) if line.program == "docker" || line.program == "k3d"))
    );
    insta::assert_snapshot!(plan);
}

/// What can be done without the machines.
fn fleet_without_machines() -> Scenario {
    let mut scenario = fleet();
    scenario.faults.retain(|fault| fault.id == "wiped" || fault.id == "reboot");
    scenario
}

#[test]
fn faults_of_nodes_as_commands() {
    let scenario = fleet();
    assert_eq!(admit::admit(&scenario, &expand(&scenario, 3), &Options::default()), Ok(()));
    let plan = planned(&scenario, &Options::default());
    let mut text = String::new();
    for event in &plan.timeline {
        text.push_str(&format!("{}: {}\n", event.when, event.what));
        for step in &event.steps {
            match &step.act {
                Act::Run(line) | Act::Keep { line, .. } => text.push_str(&format!("  {line}\n")),
                other => text.push_str(&format!("  {other:?}\n")),
            }
        }
    }
    insta::assert_snapshot!(text);
}

#[test]
fn what_clusters_cannot_do_is_refused_by_name() {
    let scenario = Scenario::builder("demanding")
        .purpose("everything that clusters cannot do")
        .duration(secs(600))
        .cluster("shore", |cluster| cluster.group("quay", 2).group("tower", 1))
        .cluster("ship", |cluster| cluster.group("ship-node", 1))
        .link(LinkSpec::new("quay", "tower", Profile::Wan))
        .link(LinkSpec::new("quay", "ship-node", Profile::SatcomLeo))
        .workload(Workload::heartbeat(["quay", "ship-node"], secs(10)))
        .fault(Fault::partition("cable", "quay", "tower").at(secs(60)).lasting(secs(20)))
        .fault(Fault::node("frozen", "quay-0", Trouble::Pause).at(secs(120)).lasting(secs(40)))
        .fault(Fault::node("full", "quay-0", Trouble::DiskFull).at(secs(240)).lasting(secs(10)))
        .fault(Fault::reset("told", "quay", "ship-node").at(secs(300)).lasting(secs(10)))
        .build()
        .unwrap();
    let plan = expand(&scenario, 1);
    let mut options =
        Options { contexts: [("shore".into(), "x".into()), ("shoe".into(), "y".into())].into(), ..Options::default() };
    insta::assert_snapshot!(admit::admit(&scenario, &plan, &options).unwrap_err());
    options.contexts.clear();
    insta::assert_snapshot!(admit::admit(&scenario, &plan, &options).unwrap_err());
}

/// Of whatever is made outside of a cluster, and of every cluster, somebody takes it away; variables are set before they are used; and no two things have
/// one name.
#[test]
fn every_plan_of_the_library_takes_away_what_it_makes() {
    let mut admitted = 0;
    for shipped in library() {
        let scenario = shipped.scenario().unwrap();
        let plan = expand(&scenario, scenario.seed);
        let options = [Options::default(), contexts(&scenario)];
        for options in options.iter().filter(|options| admit::admit(&scenario, &plan, options).is_ok()) {
            admitted += 1;
            let plan = Plan::new(&scenario, &plan, options);
            let mut seen = std::collections::BTreeSet::new();
            for object in plan.objects() {
                assert!(seen.insert(object.clone()), "{} makes {object:?} twice", scenario.name);
                assert!(plan.takers(object).next().is_some(), "{}: nobody takes {object:?} away", scenario.name);
            }
            let given = plan.places.formations.values().map(|formation| formation.key.clone());
            let mut set: std::collections::BTreeSet<String> = given.chain(["DIR".to_owned()]).collect();
            for step in plan.steps() {
                let written = serde_json::to_string(step).unwrap();
                for used in written.split("${").skip(1).filter_map(|rest| rest.split_once('}')) {
                    assert!(set.contains(used.0), "{}: nothing has set {} for {written}", scenario.name, used.0);
                }
                match &step.act {
                    Act::Run(line) => set.extend(line.sets.clone()),
                    Act::Keep { port, .. } => set.extend([port.clone()]),
                    Act::Call { sets, .. } => set.extend(sets.clone()),
                    Act::Open { .. } | Act::Links { .. } => {}
                }
            }
        }
    }
    // Most of the library is about links between places.
    assert!(admitted > 20, "{admitted}");
}
