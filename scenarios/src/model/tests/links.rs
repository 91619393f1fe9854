//! Links: everything that can be said survives a round trip, and what cannot be meant is refused.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::physics::{Bursts, CoDel, Discipline, Red, Schedule, Spread};

const TRACE: &str = "time_s,rate_bps,delay_ms,loss\n0,2000000,20,\n30,down,,\n60,,,\n";

fn files(path: &str) -> Result<String, String> {
    match path {
        "pass.csv" => Ok(TRACE.to_owned()),
        "traces/cell" => Ok("1\n4\n9\n".to_owned()),
        _ => Err("No such file or directory".to_owned()),
    }
}

fn refused_link(fields: &str) -> String {
    let text = GOOD.replace("profile = \"satcom-geo\"", fields);
    assert_ne!(text, GOOD);
    Scenario::parse_with("small.toml", &text, &files).expect_err("must be refused").to_string()
}

macro_rules! refused_links {
    ($($name:ident: $fields:expr;)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(refused_link($fields));
        })+
    };
}

refused_links! {
    no_spread: "profile = \"wan\"\nspread = \"gauss\"";
    a_tail_without_a_mean: "profile = \"wan\"\nspread = \"pareto:0.9\"";
    no_discipline: "profile = \"wan\"\ndiscipline = \"fq\"";
    a_target_above_the_interval: "profile = \"wan\"\ndiscipline = \"codel:1s:100ms\"";
    red_beyond_the_queue: "profile = \"wan\"\nqueue = \"16KiB\"\ndiscipline = \"red:8KiB:24KiB:0.1\"";
    an_endless_burst: "profile = \"wan\"\nbursts = { enter = 0.1, leave = 0 }";
    a_corruption_that_is_no_probability: "profile = \"wan\"\ncorrupt = 7";
    an_mtu_below_quic: "profile = \"wan\"\nmtu = \"576B\"";
    an_empty_direction: "profile = \"wan\"\n[link.back]";
    half_a_link: "[link.forward]\nprofile = \"wan\"";
    an_empty_schedule: "profile = \"wan\"\nschedule = {}";
    two_schedules: "profile = \"wan\"\nschedule = { up = \"1s\", every = \"2s\", trace = \"pass.csv\" }";
    a_foreign_schedule_field: "profile = \"wan\"\nschedule = { up = \"1s\", every = \"2s\", repeat = true }";
    always_up: "profile = \"wan\"\nschedule = { up = \"2s\", every = \"2s\" }";
    overlapping_contacts: "profile = \"wan\"\nschedule = { contacts = [{ at = \"1m\", for = \"2m\" }, { at = \"2m\", for = \"1m\" }] }";
    a_contact_beyond_the_repetition: "profile = \"wan\"\nschedule = { every = \"2m\", contacts = [{ at = \"1m\", for = \"2m\" }] }";
    a_contact_after_the_end: "profile = \"wan\"\nschedule = { contacts = [{ at = \"1h\", for = \"2m\" }] }";
    no_contacts: "profile = \"wan\"\nschedule = { contacts = [] }";
    a_missing_trace: "profile = \"wan\"\nschedule = { trace = \"psas.csv\" }";
    a_trace_elsewhere: "profile = \"wan\"\nschedule = { trace = \"../../etc/passwd\" }";
    a_trace_of_the_wrong_kind: "profile = \"wan\"\nschedule = { trace = \"pass.csv.txt\" }";
}

#[test]
fn a_trace_that_cannot_be_read_is_refused_with_its_line() {
    let text = GOOD.replace("profile = \"satcom-geo\"", "profile = \"wan\"\nschedule = { trace = \"cell\" }");
    let error = Scenario::parse_with("small.toml", &text, &|_| Ok("1\n2\nx\u{7}\n".to_owned())).unwrap_err();
    insta::assert_snapshot!(error);
}

#[test]
fn a_scenario_with_a_trace_is_not_read_without_its_folder() {
    let text = GOOD.replace("profile = \"satcom-geo\"", "profile = \"wan\"\nschedule = { trace = \"pass.csv\" }");
    insta::assert_snapshot!(Scenario::parse("small.toml", &text).unwrap_err());
}

#[test]
fn a_degradation_has_no_schedule() {
    let text = GOOD.replace(
        "kind = \"partition\"",
        "kind = \"degrade\"\nforward = { schedule = { up = \"1s\", every = \"2s\" } }",
    );
    insta::assert_snapshot!(Scenario::parse("small.toml", &text).unwrap_err());
}

#[test]
fn a_link_inside_a_group_has_no_direction() {
    let text = GOOD.replace(
        "between = [\"alpha-edge\", \"bravo-edge\"]\nprofile",
        "between = [\"alpha-edge\", \"alpha-edge\"]\nback = { loss = 0.1 }\nprofile",
    );
    insta::assert_snapshot!(Scenario::parse("small.toml", &text).unwrap_err());
}

#[test]
fn each_direction_has_what_both_have_and_what_is_its_own() {
    let fields =
        "profile = \"wan\"\nloss = 0.01\n[link.forward]\nbandwidth = \"64kbit\"\n[link.back]\nprofile = \"lan\"\n";
    let scenario = Scenario::parse("small.toml", &GOOD.replace("profile = \"satcom-geo\"", fields));
    let scenario = scenario.unwrap_or_else(|error| panic!("{error}"));
    let topology = crate::plan::expand(&scenario, 1).topology;
    let link = |from: &str, to: &str| topology.link(topology.find(from).unwrap(), topology.find(to).unwrap()).unwrap();
    let (up, down) = (link("alpha-edge-0", "bravo-edge-0"), link("bravo-edge-0", "alpha-edge-1"));
    assert_eq!((up.bandwidth_bps, up.loss, up.latency), (Some(64_000), 0.01, Duration::from_millis(25)));
    assert_eq!(down, &Profile::Lan.params());
}

#[test]
fn a_degradation_may_be_of_one_direction_and_leaves_the_schedule_alone() {
    let text = GOOD
        .replace("profile = \"satcom-geo\"", "profile = \"wan\"\nschedule = { up = \"30s\", every = \"1m\" }")
        .replace("kind = \"partition\"", "kind = \"degrade\"\nprofile = \"lte\"\nback = { loss = 0.5 }");
    let scenario = Scenario::parse("small.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let plan = crate::plan::expand(&scenario, 1);
    let crate::plan::Step::Degrade { links, .. } = &plan.timeline[0].step else { panic!("no degradation") };
    for (from, _, params) in links {
        let forward = plan.topology.group_of(*from) == "alpha-edge";
        assert_eq!(params.loss, if forward { Profile::Lte.params().loss } else { 0.5 });
        assert!(matches!(params.schedule.as_deref(), Some(Schedule::Windows(_))));
    }
}

fn duration(most_ms: u64) -> impl Strategy<Value = Duration> {
    (1..most_ms).prop_map(Duration::from_millis)
}

fn schedule() -> BoxedStrategy<LinkSchedule> {
    let rate = || {
        (prop::option::of(1_000u64..1_000_000_000), prop::option::of(duration(60_000)), prop::option::of(0.0f64..=1.0))
    };
    let contacts = prop::collection::vec((duration(30_000), duration(30_000), rate()), 1..8).prop_map(|gaps| {
        let mut free = Duration::ZERO;
        let contacts: Vec<Contact> = gaps
            .into_iter()
            .map(|(gap, lasts, (bandwidth_bps, latency, loss))| {
                let at = free + gap;
                free = at + lasts;
                Contact { at, lasts, bandwidth_bps, latency, loss }
            })
            .collect();
        LinkSchedule::Contacts { contacts, every: Some(free + Duration::from_secs(1)) }
    });
    let duty = (duration(50_000), duration(50_000), 0.0f64..1.0).prop_map(|(up, down, phase)| {
        let every = up + down + Duration::from_millis(100);
        let offset = Duration::from_millis((every.as_millis() as f64 * phase) as u64);
        LinkSchedule::DutyCycle { up, every, offset }
    });
    let trace = prop_oneof![Just(("pass.csv", true)), Just(("pass.csv", false)), Just(("traces/cell", false))];
    let trace = trace
        .prop_map(|(path, repeat)| LinkSchedule::Trace(Trace::parse(path, repeat, &files(path).unwrap()).unwrap()));
    prop_oneof![contacts, duty, trace].boxed()
}

/// Boxed: the values of so many strategies, unoptimised, are more than the stack of a test.
fn shape() -> BoxedStrategy<LinkShape> {
    let spread = prop_oneof![
        Just(Spread::Uniform),
        Just(Spread::Normal),
        (1.001f64..100.0).prop_map(|shape| Spread::Pareto { shape })
    ];
    let codel = (duration(1_000), duration(1_000))
        .prop_map(|(target, more)| Discipline::CoDel(CoDel { target, interval: target + more }));
    let red = (0u64..10_000, 1u64..10_000, 0.001f64..=1.0)
        .prop_map(|(min_bytes, more, drop)| Discipline::Red(Red { min_bytes, max_bytes: min_bytes + more, drop }));
    let discipline = prop_oneof![Just(Discipline::DropTail), codel, red];
    let bursts =
        (0.0f64..=1.0, 0.001f64..=1.0, 0.0f64..=1.0).prop_map(|(enter, leave, loss)| Bursts { enter, leave, loss });
    let of = prop::option::of::<BoxedStrategy<f64>>;
    let share = || of((0.0f64..=1.0).boxed());
    let plain = (
        prop::sample::select(Profile::ALL.to_vec()),
        prop::option::of(duration(60_000)),
        prop::option::of(duration(60_000)),
        share(),
        prop::option::of(1_000u64..10_000_000_000),
        prop::option::of(20_000u64..1 << 30),
    );
    let fancy = (
        prop::option::of(spread),
        prop::option::of(any::<bool>()),
        prop::option::of(bursts),
        prop::option::of(discipline),
        (share(), share()),
        prop::option::of(1_228u64..65_536),
        prop::option::of(schedule()),
    );
    let (plain, fancy) = (plain.boxed(), fancy.boxed());
    (plain, fancy)
        .prop_map(|(plain, fancy)| {
            let (profile, latency, jitter, loss, bandwidth_bps, queue_bytes) = plain;
            let (spread, reorder, bursts, discipline, (duplicate, corrupt), mtu, schedule) = fancy;
            let profile = Some(profile);
            LinkShape {
                profile,
                latency,
                jitter,
                spread,
                reorder,
                loss,
                bursts,
                bandwidth_bps,
                queue_bytes,
                discipline,
                duplicate,
                corrupt,
                mtu,
                schedule,
            }
        })
        .boxed()
}

fn degraded(shape: LinkShape) -> LinkShape {
    LinkShape { schedule: None, ..shape }
}

proptest! {
    #[test]
    fn whatever_can_be_said_of_links_survives_a_round_trip(
        [both, forward, back, worse] in prop::array::uniform4(shape()), directed: bool,
    ) {
        let mut link = LinkSpec::shaped("alpha", "bravo", both);
        let mut fault = Fault::degrade("rain", "alpha", "bravo", degraded(worse.clone()));
        if directed {
            link = link.forward(forward.clone()).back(back);
            fault = fault.forward(degraded(forward)).back(degraded(worse));
        }
        let built = Scenario::builder("links")
            .cluster("c", |cluster| cluster.group("alpha", 1).group("bravo", 1))
            .link(link)
            .workload(Workload::heartbeat(["alpha"], Duration::from_secs(30)))
            .fault(fault.at(Duration::from_secs(60)).lasting(Duration::from_secs(60)))
            .build();
        let built = built.unwrap_or_else(|error| panic!("{error}"));
        let text = built.to_toml();
        let read = Scenario::parse_with("links.toml", &text, &files);
        prop_assert_eq!(read.unwrap_or_else(|error| panic!("{error}\n{text}")), built);
    }
}

#[test]
fn the_physics_of_a_plan_has_its_contacts() {
    let contacts = vec![
        Contact::new(Duration::from_secs(10), Duration::from_secs(10)),
        Contact { bandwidth_bps: Some(9_600), ..Contact::new(Duration::from_secs(20), Duration::from_secs(5)) },
    ];
    let plan = LinkSchedule::Contacts { contacts, every: Some(Duration::from_secs(60)) };
    let physics: Arc<Schedule> = plan.physics().unwrap();
    let up: Vec<u64> = (0..90).filter(|second| physics.in_contact(crate::SimTime::from_secs(*second))).collect();
    assert_eq!(up, (10..25).chain(70..85).collect::<Vec<_>>());
}
