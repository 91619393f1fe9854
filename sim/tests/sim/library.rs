//! Every shipped scenario passes.

use peat_node::node::Plants;
use peat_scenarios::check::Verdict;
use peat_scenarios::library::library;

use crate::judged::{expect, shipped};

macro_rules! passes {
    ($($test:ident: $name:literal),+ $(,)?) => {
        /// The names that have a test here.
        const TESTED: &[&str] = &[$($name),+];
        $(#[test]
        fn $test() {
            expect(&shipped($name), Plants::default(), Verdict::Pass);
        })+
    };
}

passes! {
    two_cluster_blackout: "two-cluster-blackout",
    flapping_link: "flapping-link",
    one_way_cut: "one-way-cut",
    crash_during_partition: "crash-during-partition",
    late_joiner: "late-joiner",
    line_of_five: "line-of-five",
    degraded_radio: "degraded-radio",
    outage_1m: "outage-1m",
    outage_1h: "outage-1h",
    latest_telemetry: "latest-telemetry",
    window_plans: "window-plans",
}

/// What takes minutes without optimisation: CI runs it with the release build.
const IN_RELEASE: &[&str] =
    &["outage-24h", "two-hundred-spokes", "thin-link", "gossip-islands", "five-nodes-ten-minutes"];

#[test]
fn no_shipped_scenario_is_left_out() {
    let shipped: Vec<&str> = library().iter().map(|shipped| shipped.name).collect();
    assert_eq!([TESTED, IN_RELEASE].concat(), shipped);
    let script = include_str!("../../../ci/run-scenario");
    for name in IN_RELEASE {
        assert!(script.split_whitespace().any(|word| word == *name), "ci/run-scenario does not run {name}");
    }
}
