//! The expansion.

use std::collections::BTreeSet;
use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::model::{Fault, LinkSpec, Peering, Scenario, Workload};
use crate::profiles::Profile;
use crate::testing::{scenario, secs};

fn line_of_three() -> Plan {
    let scenario = Scenario::builder("line")
        .cluster("c", |cluster| cluster.group("a", 1).group("b", 1).late_group("d", 1, secs(60)))
        .link(LinkSpec::new("a", "b", Profile::Wan))
        .link(LinkSpec::new("b", "d", Profile::SatcomGeo))
        .workload(Workload::heartbeat(["a", "d"], secs(10)))
        .build();
    expand(&scenario.unwrap_or_else(|error| panic!("{error}")), 1)
}

#[test]
fn operations_come_in_order_with_their_position_as_id() {
    let plan = expand(&scenario(), 7);
    for (position, op) in plan.operations.iter().enumerate() {
        assert_eq!(op.op, OpId(position as u64));
        assert!(op.at < plan.writes_end);
    }
    assert!(plan.operations.is_sorted_by_key(|op| op.at));
}

#[test]
fn new_documents_have_ids_of_their_own() {
    let plan = expand(&scenario(), 7);
    let created: Vec<&DocKey> = plan
        .operations
        .iter()
        .filter(|op| matches!(&op.action, Action::Put { key, .. } if &*key.collection != "platforms"))
        .map(|op| op.action.key())
        .collect();
    assert_eq!(created.iter().collect::<BTreeSet<_>>().len(), created.len());
}

#[test]
fn a_late_joiner_writes_nothing_before_it_is_there() {
    let plan = line_of_three();
    let late = plan.topology.find("d-0").unwrap();
    assert_eq!(plan.topology.node(late).joins_at, SimTime::from_secs(60));
    let mut own = plan.operations.iter().filter(|op| op.node == late).peekable();
    assert!(own.peek().is_some());
    assert!(own.all(|op| op.at >= SimTime::from_secs(60)));
}

#[test]
fn only_neighbours_have_a_route_and_delays_add_up_over_hops() {
    let topology = line_of_three().topology;
    let [a, b, d] = ["a-0", "b-0", "d-0"].map(|name| topology.find(name).unwrap());
    assert!(topology.link(a, d).is_none());
    assert_eq!(topology.sessions(), [(a, b), (b, d)]);
    assert_eq!(topology.one_way_delays(a)[d.index()], Some(Duration::from_millis(325)));
}

#[test]
fn gateways_and_rings_name_the_right_peers() {
    let peers = |peering| {
        let scenario = Scenario::builder("peers")
            .cluster("c", |cluster| cluster.group("a", 3).group("b", 2))
            .link(LinkSpec::new("a", "a", Profile::Lan).peering(Peering::None))
            .link(LinkSpec::new("b", "b", Profile::Lan).peering(Peering::None))
            .link(LinkSpec::new("a", "b", Profile::Wan).peering(peering))
            .workload(Workload::heartbeat(["a"], secs(10)))
            .build();
        let sessions = expand(&scenario.unwrap(), 1).topology.sessions();
        sessions.into_iter().map(|(a, b)| (a.0, b.0)).collect::<Vec<_>>()
    };
    assert_eq!(peers(Peering::Gateway), [(0, 3)]);
    assert_eq!(peers(Peering::Ring), [(0, 3), (1, 4), (2, 3)]);
    assert_eq!(peers(Peering::Full).len(), 6);
    assert!(peers(Peering::None).is_empty());
}

#[test]
fn a_schedule_arms_convergence_only_after_everything_declared_before() {
    let scenario = Scenario::builder("events")
        .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
        .link(LinkSpec::new("a", "b", Profile::Wan))
        .workload(Workload::heartbeat(["a"], secs(10)))
        .fault(Fault::partition("one", "a", "b").at(secs(30)).lasting(secs(10)))
        .fault(Fault::partition("two", "a", "b").when_converged(secs(5)).lasting(secs(10)))
        .build();
    let plan = expand(&scenario.unwrap(), 1);
    let mut schedule = Schedule::new(&plan.timeline);
    assert!(!schedule.wants_convergence());
    assert_eq!(schedule.next_at(), Some(SimTime::from_secs(30)));
    assert!(schedule.take_due(SimTime::from_secs(29)).is_none());
    assert!(schedule.take_due(SimTime::from_secs(30)).unwrap().begins());
    assert!(!schedule.wants_convergence());
    assert_eq!(schedule.next_at(), Some(SimTime::from_secs(40)));
    assert!(!schedule.take_due(SimTime::from_secs(40)).unwrap().begins());
    assert!(schedule.wants_convergence());
    schedule.converged(SimTime::from_secs(42));
    assert!(!schedule.wants_convergence());
    assert_eq!(schedule.next_at(), Some(SimTime::from_secs(47)));
    assert_eq!(schedule.take_due(SimTime::from_secs(47)).unwrap().fault(), FaultIndex(1));
    assert_eq!(schedule.take_due(SimTime::from_secs(57)).unwrap().fault(), FaultIndex(1));
    assert!(schedule.is_done());
}

#[test]
fn a_one_way_cut_leaves_the_way_back() {
    let scenario = Scenario::builder("one-way")
        .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
        .link(LinkSpec::new("a", "b", Profile::Wan))
        .workload(Workload::heartbeat(["a"], secs(10)))
        .fault(Fault::one_way_cut("cut", "b", "a").at(secs(30)).lasting(secs(10)))
        .build();
    let plan = expand(&scenario.unwrap(), 1);
    assert_eq!(plan.faults[0].pairs, [(NodeIndex(1), NodeIndex(0))]);
}

#[test]
fn an_edit_touches_only_its_authors_part() {
    let start = r#"{"id":"x","counter":1,"by":{"b":{"counter":4,"at_ms":0}},"entries":[{"author":"b","counter":4}]}"#;
    let edit = |counter| Edit { author: "a".into(), counter, at: SimTime::from_millis(1_500) };
    let once = apply_edit(start, &edit(1)).unwrap();
    assert_eq!(
        once,
        r#"{"id":"x","counter":1,"by":{"b":{"counter":4,"at_ms":0},"a":{"counter":1,"at_ms":1500}},"entries":[{"author":"b","counter":4},{"author":"a","counter":1}]}"#
    );
    let twice = apply_edit(&once, &edit(2)).unwrap();
    let found = registers(&twice);
    assert_eq!(found["by.a"], 2);
    assert_eq!(found["entries.a"], 2);
    assert_eq!(found["by.b"], 4);
    assert!(apply_edit("[]", &edit(1)).is_err());
    assert!(apply_edit("{", &edit(1)).is_err());
}

proptest! {
    #[test]
    fn the_same_seed_gives_the_same_plan_and_another_seed_another(seed in 0u64..1_000_000) {
        let scenario = scenario();
        let plan = expand(&scenario, seed);
        prop_assert_eq!(&plan, &expand(&scenario, seed));
        prop_assert_ne!(plan.operations, expand(&scenario, seed + 1).operations);
    }
}
