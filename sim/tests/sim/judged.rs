//! Running and judging, with the whole report in the message of a failure.

use peat_node::node::Plants;
use peat_scenarios::check::Verdict;
use peat_scenarios::report::{Paint, Report};
use peat_scenarios::{RunRecord, Scenario, library};
use peat_sim::RunOptions;

/// The shipped scenario of this name.
pub fn shipped(name: &str) -> Scenario {
    library::find(name).unwrap().scenario().unwrap()
}

/// Runs with the scenario's own seed.
pub fn run(scenario: &Scenario, plants: Plants) -> RunRecord {
    run_seed(scenario, plants, scenario.seed)
}

/// Runs with another seed.
pub fn run_seed(scenario: &Scenario, plants: Plants, seed: u64) -> RunRecord {
    let mut options = RunOptions::seed(seed).plants(plants);
    options.source = scenario.name.clone();
    peat_sim::run(scenario, options).unwrap()
}

/// Runs and demands a verdict.
pub fn expect(scenario: &Scenario, plants: Plants, wanted: Verdict) -> RunRecord {
    let record = run(scenario, plants);
    let report = Report::of(scenario, &record);
    assert_eq!(report.verdict, wanted, "\n{}", report.text(Paint::Plain));
    record
}
