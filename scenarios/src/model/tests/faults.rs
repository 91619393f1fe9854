//! Faults: whatever can be said is read back as it was said, and what cannot be run is refused with a reason.

use std::time::Duration;

use proptest::prelude::*;

use super::super::*;
use crate::plan::{FaultIndex, NodeIndex, Step, Trigger, expand};
use crate::profiles::Profile;
use crate::time::SimTime;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Three groups, all linked, and one fault.
fn with(fault: Fault) -> Result<Scenario, ScenarioError> {
    let mut builder = Scenario::builder("faulty")
        .duration(seconds(600))
        .cluster("c", |cluster| cluster.group("a", 2).group("b", 3).group("d", 1))
        .link(LinkSpec::new("a", "b", Profile::Wan))
        .link(LinkSpec::new("b", "d", Profile::Lte))
        .link(LinkSpec::new("a", "d", Profile::Lan))
        .workload(Workload::heartbeat(["a"], seconds(10)));
    let healed = fault.end == End::Entry && fault.kind.begins();
    let heal = match (&fault.kind, healed) {
        (_, false) => None,
        (FaultKind::Node { node, trouble }, true) if trouble.stops() => Some(Fault::restart(node)),
        _ => Some(Fault::heal(&fault.id)),
    };
    builder = builder.fault(fault);
    if let Some(heal) = heal {
        builder = builder.fault(heal.at(seconds(590)));
    }
    builder.build()
}

fn troubles() -> impl Strategy<Value = Trouble> {
    prop_oneof![
        Just(Trouble::Crash),
        Just(Trouble::TornWrite),
        Just(Trouble::UnsyncedLoss),
        Just(Trouble::DataLoss),
        Just(Trouble::Pause),
        Just(Trouble::DiskFull),
        Just(Trouble::ReadError),
        (1u64..10_000).prop_map(|ms| Trouble::DiskSlow { sync: Duration::from_millis(ms) }),
        (1i64..1 << 40, any::<bool>()).prop_map(|(ms, late)| Trouble::ClockJump { by_ms: if late { -ms } else { ms } }),
        (1u32..100).prop_map(|percent| Trouble::ClockSkew { rate: f64::from(percent) / 100.0 - 1.0 }),
    ]
}

fn elementary() -> impl Strategy<Value = FaultKind> {
    let ab = || ("a".to_owned(), "b".to_owned());
    prop_oneof![
        Just(FaultKind::Partition { between: ab() }),
        Just(FaultKind::DialOnlyPartition { between: ab() }),
        Just(FaultKind::Reset { between: ab() }),
        Just(FaultKind::Clog { between: ab() }),
        Just(FaultKind::OneWayCut { from: "a".into(), to: "d".into() }),
        Just(FaultKind::Blackout { group: "d".into() }),
        (1_000u64..1 << 40, 1_500u64..1 << 30).prop_map(move |(bandwidth_bps, queue_bytes)| FaultKind::Bufferbloat {
            between: ab(),
            bandwidth_bps,
            queue_bytes
        }),
        (1u64..60_000).prop_map(move |ms| {
            let shape = LinkShape { latency: Some(Duration::from_millis(ms)), ..LinkShape::default() };
            FaultKind::Degrade { between: ab(), shape, forward: None, back: None }
        }),
        (troubles(), 0u32..3).prop_map(|(trouble, n)| FaultKind::Node { node: format!("b-{n}"), trouble }),
    ]
}

fn composite() -> impl Strategy<Value = FaultKind> {
    let groups = || vec!["a".to_owned(), "b".to_owned()];
    prop_oneof![
        (1u64..20, 1u64..19).prop_map(|(period, down)| FaultKind::Flap {
            between: ("a".into(), "b".into()),
            period: seconds(period + down),
            down: seconds(down)
        }),
        (2u64..100, 1u64..50).prop_map(|(every, down)| FaultKind::Composite(Composite::Churn {
            group: "b".into(),
            every: seconds(every),
            down: seconds(down)
        })),
        Just(FaultKind::Composite(Composite::RollingOutage { groups: groups() })),
        (1u32..=100).prop_map(move |percent| FaultKind::Composite(Composite::Swizzle {
            groups: groups(),
            share: f64::from(percent) / 100.0
        })),
        Just(FaultKind::Composite(Composite::ReconnectStorm { group: "d".into() })),
        (1u64..20, 0u64..10).prop_map(move |(stay, travel)| FaultKind::Composite(Composite::DataMule {
            mule: "d".into(),
            stops: groups(),
            stay: seconds(stay),
            travel: seconds(travel)
        })),
        Just(FaultKind::Composite(Composite::IslandMerge {
            islands: vec![vec!["b".into()], vec!["a".into()], vec!["d".into()]]
        })),
    ]
}

fn moments() -> impl Strategy<Value = When> {
    let group = || prop_oneof![Just("a"), Just("b")].prop_map(str::to_owned);
    let event = prop_oneof![
        Just(Event::Converged),
        (1u64..1_000, proptest::option::of(group())).prop_map(|(count, of)| Event::Writes { count, of }),
        proptest::collection::vec(group(), 0..=2).prop_map(|of| Event::Session { of }),
    ];
    prop_oneof![
        (0u64..300).prop_map(|at| When::At(seconds(at))),
        (0u64..200, 1u64..100).prop_map(|(from, more)| When::Within(seconds(from), seconds(from + more))),
        (event, 0u64..30).prop_map(|(event, after)| When::On { event, after: seconds(after) }),
    ]
}

fn faults() -> impl Strategy<Value = Fault> {
    let ends = prop_oneof![Just(End::Entry), (60u64..240).prop_map(|lasts| End::After(seconds(lasts)))];
    let simple = (elementary(), moments(), ends, any::<bool>()).prop_map(|(kind, when, end, ever)| {
        let end = if ever && kind.may_last() { End::Never } else { end };
        Fault { id: "fault".into(), when, end, repeat: None, kind }
    });
    let several = (composite(), moments(), 60u64..240).prop_map(|(kind, when, lasts)| Fault {
        id: "fault".into(),
        when,
        end: End::After(seconds(lasts)),
        repeat: None,
        kind,
    });
    prop_oneof![simple, several]
}

proptest! {
    #[test]
    fn every_fault_is_read_back_as_it_was_written(fault in faults()) {
        let scenario = with(fault).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let text = scenario.to_toml();
        let again = Scenario::parse("again.toml", &text).map_err(|e| TestCaseError::fail(format!("{e}\n{text}")))?;
        prop_assert_eq!(again, scenario);
    }

    /// Parts are a function of scenario and seed; each has an end; a timed composite ends when it is said to.
    #[test]
    fn parts_begin_and_end_within_the_whole(kind in composite(), lasts in 60u64..240, seed in any::<u64>()) {
        let fault = Fault { id: "f".into(), when: When::At(seconds(100)), end: End::After(seconds(lasts)), repeat: None, kind };
        let scenario = with(fault).map_err(|error| TestCaseError::fail(error.to_string()))?;
        let plan = expand(&scenario, seed);
        prop_assert_eq!(&plan, &expand(&scenario, seed));
        prop_assert!(!plan.faults.is_empty());
        let (from, until) = (SimTime::from_secs(100), SimTime::from_secs(100 + lasts));
        let mut last = from;
        for (index, spec) in plan.faults.iter().enumerate() {
            let index = FaultIndex(index as u32);
            prop_assert_eq!(spec.family.as_deref(), Some("f"));
            prop_assert!(spec.node.is_some() || !spec.pairs.is_empty(), "{:?}", spec);
            let of: Vec<_> = plan.timeline.iter().filter(|timed| timed.step.fault() == index).collect();
            prop_assert_eq!(of.len(), 2);
            let Trigger::At(begin) = of[0].trigger else { panic!("{:?}", of[0]) };
            let Trigger::AfterFault { fault, after } = of[1].trigger else { panic!("{:?}", of[1]) };
            prop_assert!(fault == index && of[0].step.begins() && !of[1].step.begins());
            prop_assert!(begin >= from && begin + after <= until, "{} {:?} of {}", begin, after, until);
            last = last.max(begin + after);
        }
        let whole = !matches!(scenario.faults[0].kind, FaultKind::Flap { .. } | FaultKind::Composite(Composite::Churn { .. }));
        prop_assert!(!whole || last == until, "the last part ends at {}", last);
    }
}

#[test]
fn a_swizzle_heals_in_another_order_than_it_cuts() {
    for seed in 0..50 {
        let swizzle = Fault::swizzle("swizzle", ["a", "b"], 1.0).at(seconds(10)).lasting(seconds(100));
        let plan = expand(&with(swizzle).unwrap(), seed);
        let heal = |index: usize| {
            let steps = plan.timeline.iter().filter(|timed| timed.step.fault().index() == index);
            let moments = steps.map(|timed| match timed.trigger {
                Trigger::At(at) => at.as_duration(),
                Trigger::AfterFault { after, .. } => after,
                _ => Duration::ZERO,
            });
            moments.sum::<Duration>()
        };
        let heals: Vec<Duration> = (0..plan.faults.len()).map(heal).collect();
        assert_eq!(heals.len(), 5);
        assert!(!heals.is_sorted(), "seed {seed}: {heals:?}");
    }
}

#[test]
fn a_mule_is_never_at_two_stops() {
    let mule = Fault::data_mule("mule", "d", ["a", "b"], seconds(10), seconds(5)).at(seconds(10)).lasting(seconds(100));
    let plan = expand(&with(mule).unwrap(), 1);
    for second in 10..110 {
        let now = SimTime::from_secs(second);
        let held = plan.faults.iter().enumerate().filter(|(index, _)| {
            let mut steps = plan.timeline.iter().filter(|timed| timed.step.fault().index() == *index);
            let begins = steps.next().map(|timed| timed.trigger);
            let ends = steps.next().map(|timed| timed.trigger);
            let (Some(Trigger::At(from)), Some(Trigger::AfterFault { after, .. })) = (begins, ends) else {
                panic!("{begins:?} {ends:?}")
            };
            (from..from + after).contains(&now)
        });
        let cut: std::collections::BTreeSet<_> = held.flat_map(|(_, spec)| spec.pairs.iter().copied()).collect();
        let group = |node: NodeIndex| plan.topology.group_of(node);
        let stops = ["a", "b"].map(|stop| !cut.iter().any(|&(from, to)| group(from) == stop || group(to) == stop));
        let phase = (second - 10) % 30;
        assert_eq!(stops, [phase < 10, (15..25).contains(&phase)], "second {second}");
    }
}

#[test]
fn parts_after_an_event_follow_the_first() {
    let storm = Fault::rolling_outage("roll", ["a", "b"]).after_writes(7).lasting(seconds(60));
    let plan = expand(&with(storm).unwrap(), 1);
    let begins: Vec<Trigger> =
        plan.timeline.iter().filter(|timed| timed.step.begins()).map(|timed| timed.trigger).collect();
    let follows = Trigger::AfterFault { fault: FaultIndex(0), after: seconds(15) };
    assert_eq!(begins, [Trigger::Writes { count: 7, of: None, after: Duration::ZERO }, follows]);
}

#[test]
fn the_seed_chooses_a_moment() {
    let fault = || Fault::partition("p", "a", "b").within(seconds(100), seconds(200)).lasting(seconds(10));
    let scenario = with(fault()).unwrap();
    let at = |seed| match expand(&scenario, seed).timeline[0].trigger {
        Trigger::At(at) => at,
        other => panic!("{other:?}"),
    };
    let moments: Vec<SimTime> = (0..20).map(at).collect();
    assert!(moments.iter().all(|at| (SimTime::from_secs(100)..SimTime::from_secs(200)).contains(at)));
    assert!(moments.iter().collect::<std::collections::BTreeSet<_>>().len() > 15, "{moments:?}");
}

#[test]
fn an_unhealthy_node_recovers_and_a_dead_one_restarts() {
    for trouble in [Trouble::Crash, Trouble::DataLoss, Trouble::Pause, Trouble::DiskFull] {
        let plan = expand(&with(Fault::node("n", "a-0", trouble).at(seconds(9))).unwrap(), 1);
        let ends = &plan.timeline[1].step;
        assert_eq!(matches!(ends, Step::Restart { .. }), trouble.stops(), "{trouble:?}: {ends:?}");
    }
}

/// Each test puts a fault into a file that is good without it.
macro_rules! refused {
    ($($name:ident: $fault:expr;)+) => {
        $(#[test]
        fn $name() {
            let text = super::GOOD.to_owned() + "\n[[fault]]\n" + $fault;
            let error = Scenario::parse("small.toml", &text).expect_err("must be refused");
            insta::assert_snapshot!(error);
        })+
    };
}

refused! {
    a_crash_that_nothing_ends: "kind = \"crash\"\nid = \"power\"\nnode = \"alpha-edge-0\"\nat = \"1m\"\n";
    a_degradation_that_nothing_ends: "kind = \"degrade\"\nbetween = [\"alpha-edge\", \"bravo-edge\"]\nloss = 0.5\nat = \"1m\"\n";
    a_pause_for_ever: "kind = \"pause\"\nnode = \"alpha-edge-0\"\nat = \"1m\"\nfor = \"ever\"\n";
    a_stretch_that_runs_backwards: "kind = \"pause\"\nnode = \"alpha-edge-0\"\nat = \"3m..2m\"\nfor = \"1s\"\n";
    too_many_writes: "kind = \"pause\"\nnode = \"alpha-edge-0\"\nwhen = \"writes:many\"\nfor = \"1s\"\n";
    an_unknown_event: "kind = \"pause\"\nnode = \"alpha-edge-0\"\nwhen = \"sesion\"\nfor = \"1s\"\n";
    writes_of_two_groups: "kind = \"pause\"\nnode = \"alpha-edge-0\"\nwhen = \"writes:5\"\nof = [\"alpha-edge\", \"bravo-edge\"]\nfor = \"1s\"\n";
    a_jump_of_nothing: "kind = \"clock-jump\"\nnode = \"alpha-edge-0\"\nby = \"0s\"\nat = \"1m\"\nfor = \"1s\"\n";
    a_clock_that_runs_backwards: "kind = \"clock-skew\"\nnode = \"alpha-edge-0\"\nrate = -2.0\nat = \"1m\"\nfor = \"1s\"\n";
    a_flap_that_never_comes_up: "kind = \"flap\"\nbetween = [\"alpha-edge\", \"bravo-edge\"]\nperiod = \"5s\"\ndown = \"5s\"\nat = \"1m\"\nfor = \"1m\"\n";
    a_churn_without_an_end: "kind = \"churn\"\ngroup = \"alpha-edge\"\nevery = \"5s\"\ndown = \"5s\"\nat = \"1m\"\n";
    a_swizzle_of_one: "kind = \"swizzle\"\ngroups = [\"bravo-edge\"]\nat = \"1m\"\nfor = \"1m\"\n";
    a_mule_that_stays_at_home: "kind = \"data-mule\"\nmule = \"alpha-edge\"\nstops = [\"bravo-edge\"]\nstay = \"5s\"\nat = \"1m\"\nfor = \"1m\"\n";
    one_island: "kind = \"island-merge\"\nislands = [[\"alpha-edge\", \"bravo-edge\"]]\nat = \"1m\"\nfor = \"1m\"\n";
    a_group_on_two_islands: "kind = \"island-merge\"\nislands = [[\"alpha-edge\"], [\"bravo-edge\", \"alpha-edge\"]]\nat = \"1m\"\nfor = \"1m\"\n";
    a_field_of_another_fault: "kind = \"clog\"\nbetween = [\"alpha-edge\", \"bravo-edge\"]\nrate = 0.5\nat = \"1m\"\nfor = \"1m\"\n";
}
