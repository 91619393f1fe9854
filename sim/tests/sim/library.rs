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
    disk_full: "disk-full",
    clock_jump: "clock-jump",
    paused_node: "paused-node",
    swizzle: "swizzle",
    churn: "churn",
    data_loss_rejoin: "data-loss-rejoin",
    data_mule: "data-mule",
    island_merge: "island-merge",
    reconnect_storm: "reconnect-storm",
    dial_only_partition: "dial-only-partition",
    clogged_link: "clogged-link",
    torn_write: "torn-write",
    contact_plan: "contact-plan",
    bufferbloat: "bufferbloat",
    bursty_radio: "bursty-radio",
    asymmetric_satellite: "asymmetric-satellite",
    written_in_the_dark: "written-in-the-dark",
    delete_against_edit: "delete-against-edit",
    three_way_partition: "three-way-partition",
    nobody_starves: "nobody-starves",
    restart_with_an_old_cursor: "restart-with-an-old-cursor",
    uneven_knowledge: "uneven-knowledge",
    down_at_the_start: "down-at-the-start",
    hot_document: "hot-document",
    delete_burst: "delete-burst",
    agents_out_of_sight: "agents-out-of-sight",
    hub_out_of_reach: "hub-out-of-reach",
    fleet_scales_up: "fleet-scales-up",
}

/// What takes minutes without optimisation: CI runs it with the release build.
const IN_RELEASE: &[&str] =
    &["outage-24h", "two-hundred-spokes", "thin-link", "gossip-islands", "five-nodes-ten-minutes", "backlog-of-5000"];

#[test]
fn no_shipped_scenario_is_left_out() {
    let mut shipped: Vec<&str> = library().iter().map(|shipped| shipped.name).collect();
    let mut tested = [TESTED, IN_RELEASE].concat();
    shipped.sort_unstable();
    tested.sort_unstable();
    assert_eq!(tested, shipped);
    let script = include_str!("../../../ci/run-scenario");
    for name in IN_RELEASE {
        assert!(script.split_whitespace().any(|word| word == *name), "ci/run-scenario does not run {name}");
    }
}
