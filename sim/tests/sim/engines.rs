//! Two simulators check each other: the same scenarios, the same verdicts, the same latencies. The shipped scenarios
//! are compared in `ci/engines`, by `ddil engines`.

use std::time::Duration;

use peat_scenarios::agreement::Agreement;
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

/// Runs on both engines and demands the same story, of the same length.
fn agree(scenario: &Scenario) {
    let (fabric, turmoil) = std::thread::scope(|scope| {
        let fabric = scope.spawn(|| on(Engine::Fabric, scenario));
        let turmoil = scope.spawn(|| on(Engine::Turmoil, scenario));
        (fabric.join().unwrap(), turmoil.join().unwrap())
    });
    assert_eq!((&*fabric.meta.engine, &*turmoil.meta.engine), ("fabric", "turmoil"));
    let (one, other) = (Report::of(scenario, &fabric), Report::of(scenario, &turmoil));
    let agreement = Agreement::of(&one, &other, TICK);
    let texts = || format!("{agreement:?}\n{}\n{}", one.text(Paint::Plain), other.text(Paint::Plain));
    assert!(agreement.holds(), "{}", texts());
    let counted = |report: &Report<'_>| {
        report.figures.pairs.iter().map(|pair| (pair.between.clone(), pair.latency.count)).collect::<Vec<_>>()
    };
    assert_eq!(counted(&one), counted(&other), "{}", texts());
}

#[test]
fn a_pair_and_a_crash() {
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
fn turmoil_repeats() {
    let scenario = down_in_the_dark();
    let hash = on(Engine::Turmoil, &scenario).trace_hash;
    assert!(hash.is_some());
    assert_eq!(hash, on(Engine::Turmoil, &scenario).trace_hash);
}

#[test]
fn what_is_too_large_for_turmoil_is_refused_before_it_starts() {
    let scenario = shipped("two-hundred-spokes");
    let error = peat_sim::run(&scenario, RunOptions::seed(1).engine(Engine::Turmoil)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "two-hundred-spokes cannot run in world sim/turmoil:\n  201 nodes: it runs at most 50"
    );
}
