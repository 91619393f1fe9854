use std::time::Duration;

use peat_scenarios::library;
use peat_scenarios::model::{Fault, LinkSpec, Trouble, Workload};
use peat_scenarios::profiles::Profile;

use super::*;
use crate::cluster::execute::tests::Recorder;

fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// A shore of two nodes and a ship of one, whose machine is its own.
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
        .build()
        .unwrap()
}

fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    tokio::task::LocalSet::new().block_on(&runtime, future)
}

async fn raised(scenario: &Scenario, hands: &Recorder, collect: &Path) -> (Clusters<Recorder>, Links) {
    let options = Options::default();
    let expanded = plan::expand(scenario, scenario.seed);
    let plan = Plan::new(scenario, &expanded, &options);
    let variables = variables(&plan, Path::new("/tmp/run")).unwrap();
    let execution = Execution::new(hands.clone(), plan, expanded.topology.clone(), variables);
    raise(execution, expanded, &options, collect.to_owned()).await.unwrap()
}

/// What the runner asks of a ground is what the plan of the same scenario has printed.
#[test]
fn a_crash_by_the_runner_is_the_crash_of_the_plan() {
    let (scenario, hands) = (fleet(), Recorder::default());
    let folder = tempfile::tempdir().unwrap();
    block(async {
        let (mut clusters, _links) = raised(&scenario, &hands, folder.path()).await;
        hands.forget();
        // It runs since the set-up.
        clusters.start(NodeIndex(1)).await.unwrap();
        assert_eq!(hands.asked(), Vec::<String>::new());
        clusters.kill(NodeIndex(1)).await.unwrap();
        clusters.start(NodeIndex(1)).await.unwrap();
        let planned = clusters.execution.plan().timeline.clone();
        let planned = planned.iter().flat_map(|event| &event.steps).filter_map(|step| match &step.act {
            Act::Run(line) | Act::Keep { line, .. } => {
                Some(line.to_string().replace("\"${DIR}/shore", "/tmp/run/shore"))
            }
            _ => None,
        });
        let planned: Vec<String> = planned.map(|line| line.replace(".kubeconfig\"", ".kubeconfig")).collect();
        let asked: Vec<String> = hands.asked().into_iter().filter(|line| !line.contains("get --raw")).collect();
        assert_eq!(asked, planned);
    });
}

#[test]
fn in_the_end_everything_is_read_and_then_taken_away() {
    let (scenario, hands) = (library::find("two-cluster-blackout").unwrap().scenario().unwrap(), Recorder::default());
    let folder = tempfile::tempdir().unwrap();
    block(async {
        let (mut clusters, mut links) = raised(&scenario, &hands, folder.path()).await;
        assert_eq!(clusters.api(NodeIndex(0)), "http://127.0.0.1:41753");
        assert_eq!(clusters.peer_address(NodeIndex(0), NodeIndex(3), "ab"), "10.210.136.2:20003");
        links.begin().await.unwrap();
        hands.forget();
        clusters.clear().await.unwrap();
        let asked = hands.asked();
        let first_gone = asked.iter().position(|line| line.starts_with("docker rm ")).unwrap();
        assert!(asked[..first_gone].iter().any(|line| line.contains(" logs ")));
        assert!(asked[first_gone..].iter().all(|line| !line.contains(" logs ")));
        let files = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(files, clusters.execution.plan().collect.steps.len());
        assert_eq!(hands.running(), 0);
    });
}

/// Ctrl-C has no variables: the lines that clean up need none.
#[test]
fn the_way_back_needs_nothing_that_is_found_out_on_the_way() {
    for shipped in library::library() {
        let scenario = shipped.scenario().unwrap();
        let expanded = plan::expand(&scenario, scenario.seed);
        if admit::admit(&scenario, &expanded, &Options::default()).is_err() {
            continue;
        }
        let plan = Plan::new(&scenario, &expanded, &Options::default());
        for step in &plan.clean_up.steps {
            let Act::Run(line) = &step.act else { panic!("{step:?}") };
            assert!(!line.to_string().contains("${"), "{line}");
        }
    }
}
