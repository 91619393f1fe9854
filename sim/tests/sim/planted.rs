//! A check that has never caught a bug is not trusted: each planted bug ends in FAIL, by the check that is
//! there for it.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::Scenario;
use peat_scenarios::check::Verdict;
use peat_scenarios::model::{Fault, LinkSpec, Workload};
use peat_scenarios::profiles::Profile;

use crate::judged::{expect, failed_checks, shipped};

/// Three nodes in a line, and documents that are written once. (A later change of the same document would
/// reveal the gap: it depends on the missing one, and the session starts anew.)
fn line_of_three() -> Scenario {
    let seconds = Duration::from_secs;
    Scenario::builder("line-of-three")
        .purpose("the middle node relays what is written once at the ends")
        .duration(seconds(90))
        .settle(seconds(30))
        .cluster("c", |cluster| cluster.group("left", 1).group("middle", 1).group("right", 1))
        .link(LinkSpec::new("left", "middle", Profile::Wan))
        .link(LinkSpec::new("middle", "right", Profile::Wan))
        .workload(Workload::put(["left", "right"], seconds(2)))
        .build()
        .unwrap()
}

#[test]
fn a_change_that_is_not_relayed_is_caught_in_a_line() {
    let scenario = line_of_three();
    expect(&scenario, Plants::default(), Verdict::Pass);
    let plants = Plants { drop_relayed_changes: true, ..Plants::default() };
    let record = expect(&scenario, plants, Verdict::Fail);
    let failed = failed_checks(&scenario, &record);
    assert!(failed.iter().any(|check| check == "convergence"), "{failed:?}");
}

#[test]
fn a_forgotten_tombstone_is_caught_after_the_crash() {
    let plants = Plants { forget_tombstones_at_restart: true, ..Plants::default() };
    let scenario = shipped("crash-during-partition");
    let record = expect(&scenario, plants, Verdict::Fail);
    let failed = failed_checks(&scenario, &record);
    assert!(failed.iter().any(|check| check == "deletes-stay" || check == "convergence"), "{failed:?}");
}

/// A node that writes so densely that its power never fails between two acknowledgements.
fn power_cuts() -> Scenario {
    let seconds = Duration::from_secs;
    let every = Duration::from_millis(20);
    let dense = || Workload::put(["edge"], every).start(seconds(20)).until(seconds(26));
    Scenario::builder("power-cuts")
        .purpose("a node writes without a pause while its power fails")
        .duration(seconds(120))
        .settle(seconds(30))
        .cluster("c", |cluster| cluster.group("edge", 1).group("other", 1))
        .link(LinkSpec::new("edge", "other", Profile::Lan))
        .workload(dense())
        .workload(dense())
        .workload(dense())
        .fault(Fault::crash("power", "edge-0").at(seconds(25)).lasting(seconds(15)))
        .build()
        .unwrap()
}

#[test]
fn an_early_acknowledgement_is_caught_by_a_power_cut() {
    let scenario = power_cuts();
    expect(&scenario, Plants::default(), Verdict::Pass);
    let plants = Plants { acknowledge_before_durable: true, ..Plants::default() };
    let record = expect(&scenario, plants, Verdict::Fail);
    let failed = failed_checks(&scenario, &record);
    assert!(failed.iter().any(|check| check == "durability"), "{failed:?}");
}
