//! What is accepted, and how errors read.

mod faults;
mod links;

use super::*;
use crate::physics::LinkParams;
use crate::profiles::Profile;
use crate::testing::scenario;

/// Valid; each test of an error breaks one thing in it.
const GOOD: &str = r#"name = "small"
purpose = "one line"
duration = "10m"

[[cluster]]
name = "east"
[[cluster.group]]
name = "alpha-edge"
count = 2
[[cluster.group]]
name = "bravo-edge"
count = 1

[[link]]
between = ["alpha-edge", "bravo-edge"]
profile = "satcom-geo"

[[workload]]
kind = "edit"
on = ["alpha-edge", "bravo-edge"]
every = "20s"

[[fault]]
kind = "partition"
id = "sat"
between = ["alpha-edge", "bravo-edge"]
at = "2m"

[[fault]]
kind = "heal"
ends = "sat"
at = "5m"
"#;

fn broken(from: &str, to: &str) -> String {
    assert!(GOOD.contains(from), "{from}");
    let error = Scenario::parse("small.toml", &GOOD.replace(from, to)).expect_err("must be refused");
    error.to_string()
}

/// One snapshot per bad file: `case! { name: "what" => "by what" }`.
macro_rules! refused {
    ($($name:ident: $from:expr => $to:expr;)+) => {
        $(#[test]
        fn $name() {
            insta::assert_snapshot!(broken($from, $to));
        })+
    };
}

refused! {
    away_beyond_the_end: "kind = \"edit\"" => "kind = \"agent\"\naway_from = \"8m\"\naway_for = \"90s\"";
    half_an_absence: "kind = \"edit\"" => "kind = \"agent\"\naway_for = \"90s\"";
    an_agent_elsewhere: "kind = \"edit\"" => "kind = \"agent\"\ncollection = \"tracks\"";
    syntax: "duration = \"10m\"" => "duration = 10m";
    unknown_field: "every = \"20s\"" => "evry = \"20s\"";
    missing_field: "count = 2\n" => "";
    wrong_type: "count = 2" => "count = \"two\"";
    unknown_group: "on = [\"alpha-edge\", \"bravo-edge\"]" => "on = [\"alpha-edge\", \"brvao-edge\"]";
    unknown_group_in_link: "between = [\"alpha-edge\", \"bravo-edge\"]\nprofile" => "between = [\"alhpa-edge\", \"bravo-edge\"]\nprofile";
    unknown_profile: "satcom-geo" => "satcom-gio";
    bad_duration: "every = \"20s\"" => "every = \"20 parsecs\"";
    beyond_the_end: "at = \"5m\"" => "at = \"15m\"";
    heal_of_nothing: "ends = \"sat\"" => "ends = \"stat\"";
    heal_too_early: "at = \"5m\"" => "at = \"1m\"";
    never_healed: "[[fault]]\nkind = \"heal\"\nends = \"sat\"\nat = \"5m\"\n" => "";
    too_many_nodes: "count = 2" => "count = 20000";
    starts_after_the_end: "every = \"20s\"" => "every = \"20s\"\nstart = \"9m30s\"";
    overlapping_names: "name = \"bravo-edge\"" => "name = \"alpha-edge\"";
    bad_name: "name = \"small\"" => "name = \"Small World\"";
    bad_loss: "profile = \"satcom-geo\"" => "profile = \"satcom-geo\"\nloss = 5.0";
    bad_bandwidth: "profile = \"satcom-geo\"" => "profile = \"satcom-geo\"\nbandwidth = \"2 MB\"";
    foreign_field: "every = \"20s\"" => "every = \"20s\"\ncontended_by = \"bravo-edge\"";
    unknown_kind: "kind = \"partition\"" => "kind = \"partiton\"";
    no_moment: "at = \"2m\"" => "";
    repeat_without_end: "at = \"2m\"" => "at = \"2m\"\nrepeat = 3\nevery = \"10s\"";
    overlapping_repeat: "at = \"2m\"" => "at = \"2m\"\nrepeat = 3\nevery = \"10s\"\nfor = \"12s\"";
    no_such_node: "kind = \"heal\"\nends = \"sat\"" => "kind = \"crash\"\nnode = \"alpha-edge-7\"";
    restart_without_crash: "kind = \"heal\"\nends = \"sat\"" => "kind = \"restart\"\nnode = \"alpha-edge-0\"";
    only_during_the_unknowable: "every = \"20s\"" => "every = \"20s\"\nonly_during = \"late\"\n[[fault]]\nid = \"late\"\nkind = \"blackout\"\ngroup = \"bravo-edge\"\nwhen = \"converged\"\nfor = \"10s\"";
    interest_in_nothing: "count = 2" => "count = 2\ninterest = [\"tracks\", \"commands/\"]";
    documents_of_two_formations: "count = 2" => "count = 2\nformation = \"red\"";
    unknown_class: "count = 2" => "count = 2\nclasses = { tracks = \"telemetri\" }";
    unknown_discovery: "count = 2" => "count = 2\ndiscovery = \"gosip\"";
    convergence_of_the_choosy: "count = 2" => "count = 2\ninterest = [\"tracks\"]\n[[fault]]\nkind = \"blackout\"\ngroup = \"bravo-edge\"\nwhen = \"converged\"\nfor = \"10s\"";
    a_bound_that_is_none: "kind = \"heal\"\nends = \"sat\"\nat = \"5m\"" => "kind = \"heal\"\nends = \"sat\"\nat = \"5m\"\n[expect]\nfirst_byte_within = \"2s + 2rt\"";
    a_latency_without_a_demand: "kind = \"heal\"\nends = \"sat\"\nat = \"5m\"" => "kind = \"heal\"\nends = \"sat\"\nat = \"5m\"\n[[expect.latency]]\ncollection = \"commands\"";
    a_command_to_nobody: "kind = \"edit\"" => "kind = \"command\"";
    too_many_operations: "every = \"20s\"" => "every = \"1ms\"";
}

#[test]
fn the_good_file_is_good() {
    let scenario = Scenario::parse("small.toml", GOOD).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(scenario.nodes(), 3);
    assert_eq!(scenario.settle, Duration::from_secs(60));
    assert_eq!(scenario.links[0].shape, LinkShape::profile(Profile::SatcomGeo));
    assert_eq!(scenario.fault_windows("sat").unwrap(), [(Duration::from_secs(120), Duration::from_secs(300))]);
}

#[test]
fn a_scenario_built_in_rust_is_the_one_read_from_its_file() {
    let built = scenario();
    let text = built.to_toml();
    assert_eq!(Scenario::parse("built.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")), built);
}

#[test]
fn what_nodes_are_told_and_what_is_demanded_survives_a_round_trip() {
    let built = Scenario::builder("told")
        .cluster("c", |cluster| {
            let hub = cluster.group("hub", 1).class("sightings", Class::Telemetry).class("orders", Class::Command);
            let hub = hub.of_formation("red").group("edge", 2).of_formation("red");
            hub.interested_in(["tracks", "commands/edge-0"]).discovering(Discovery::Gossip)
        })
        .link(LinkSpec::new("hub", "edge", Profile::Wan))
        .workload(Workload::burst(["hub"], 20).versions(3, Duration::from_secs(7)).collection("tracks"))
        .workload(Workload::command(["hub"], "edge", Duration::from_secs(9)))
        .expect(Expect {
            first_byte_within: Some(RttBound { fixed: Duration::from_secs(2), round_trips: 2 }),
            connected_within: Some(Duration::from_secs(10)),
            dials_in_first_second_max: Some(3),
            latency: vec![LatencyLevel {
                collection: "commands".to_owned(),
                p50: None,
                p99: Some(Duration::from_secs(2)),
                max: Some(Duration::from_secs(3)),
            }],
            ..Expect::default()
        })
        .build()
        .unwrap_or_else(|error| panic!("{error}"));
    let text = built.to_toml();
    assert_eq!(Scenario::parse("told.toml", &text).unwrap_or_else(|error| panic!("{error}\n{text}")), built);
}

#[test]
fn the_builder_refuses_what_a_file_may_not_say() {
    let error = Scenario::builder("lost")
        .cluster("c", |cluster| cluster.group("a", 1))
        .workload(Workload::heartbeat(["b"], Duration::from_secs(30)))
        .build()
        .expect_err("group b does not exist");
    insta::assert_snapshot!(error);
}

#[test]
fn explicit_figures_override_the_profile() {
    let text = GOOD.replace("profile = \"satcom-geo\"", "profile = \"satcom-geo\"\nlatency = \"1s\"\nqueue = \"2MiB\"");
    let scenario = Scenario::parse("small.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    let params = scenario.links[0].shape.params(&LinkParams::PERFECT);
    assert_eq!(params.latency, Duration::from_secs(1));
    assert_eq!(params.queue_bytes, 2 << 20);
    assert_eq!(params.bandwidth_bps, Some(2_000_000));
}

#[test]
fn every_error_of_a_file_is_reported_in_one_pass() {
    let text = GOOD.replace("every = \"20s\"", "every = \"nope\"").replace("at = \"5m\"", "at = \"50m\"");
    let error = Scenario::parse("small.toml", &text).unwrap_err();
    assert_eq!(error.diagnostics.len(), 2, "{error}");
    let lines = error.diagnostics.iter().map(|d| d.location.as_ref().unwrap().line);
    assert!(lines.is_sorted());
}

#[test]
fn an_unknown_field_hides_no_other_error() {
    let text = GOOD
        .replace("every = \"20s\"", "evry = \"20s\"\nstart = \"never\"")
        .replace("count = 1", "count = 1\njoin_at = \"1m\"")
        .replace("at = \"2m\"", "at = \"2m\"\nforr = [\n  1,\n]");
    let error = Scenario::parse("small.toml", &text).unwrap_err();
    insta::assert_snapshot!(error);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(at in 0usize..GOOD.len(), cut in 0usize..40, put in "[ -~\\n]{0,12}") {
            let end = (at + cut).min(GOOD.len());
            let text = format!("{}{put}{}", &GOOD[..at], &GOOD[end..]);
            if let Err(error) = Scenario::parse("fuzz.toml", &text) {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}

#[test]
fn an_agent_is_written_as_it_was_read() {
    let text =
        GOOD.replace("kind = \"edit\"", "kind = \"agent\"\ndocuments = 7\naway_from = \"3m\"\naway_for = \"90s\"");
    let scenario = Scenario::parse("small.toml", &text).expect("valid");
    let away = Some(Away { from: Duration::from_secs(180), lasts: Duration::from_secs(90) });
    let kind = WorkloadKind::Agent { every: Duration::from_secs(20), documents: 7, away };
    assert_eq!(scenario.workloads[0].kind, kind);
    assert_eq!(Scenario::parse("again.toml", &scenario.to_toml()).expect("valid"), scenario);
}
