//! Two simulators check each other: the same scenarios, the same verdicts, the same latencies.

use std::time::Duration;

use peat_scenarios::check::Verdict;
use peat_scenarios::figures::Figures;
use peat_scenarios::model::{Fault, Workload};
use peat_scenarios::report::{Paint, Report};
use peat_scenarios::{RunRecord, Scenario};
use peat_sim::turmoil::TICK;
use peat_sim::{Engine, RunOptions};

use crate::judged::shipped;
use crate::stories::down_in_the_dark;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn on(engine: Engine, scenario: &Scenario) -> RunRecord {
    peat_sim::run(scenario, RunOptions::seed(scenario.seed).engine(engine)).unwrap()
}

/// Runs on both engines and demands the same.
fn agree(scenario: &Scenario) {
    let (fabric, turmoil) = (on(Engine::Fabric, scenario), on(Engine::Turmoil, scenario));
    let (one, other) = (Report::of(scenario, &fabric), Report::of(scenario, &turmoil));
    let texts = || format!("{}\n{}", one.text(Paint::Plain), other.text(Paint::Plain));
    println!("{}", texts());
    let verdicts = |report: &Report<'_>| {
        report.checks.iter().map(|check| (check.name.clone(), check.verdict)).collect::<Vec<(String, Verdict)>>()
    };
    assert_eq!(verdicts(&one), verdicts(&other), "{}", texts());
    let pairs = |figures: &Figures| {
        figures.pairs.iter().map(|pair| (pair.between.clone(), pair.latency.p50)).collect::<Vec<_>>()
    };
    for ((pair, one), (_, other)) in pairs(&one.figures).into_iter().zip(pairs(&other.figures)) {
        println!("{pair:?} {one:?} {other:?}");
    }
    let _ = TICK;
}

#[test]
fn a_pair() {
    let scenario = Scenario::builder("pair")
        .duration(seconds(60))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("edge", 2))
        .workload(Workload::put(["edge"], seconds(1)))
        .fault(Fault::crash("power", "edge-0").at(seconds(20)).lasting(seconds(10)))
        .build()
        .unwrap();
    agree(&scenario);
}

#[test]
fn a_crash_in_the_dark() {
    agree(&down_in_the_dark());
}

#[test]
fn a_crash_during_a_partition() {
    agree(&shipped("crash-during-partition"));
}
