//! The scenarios: as small as the bug allows.

use std::time::Duration;

use peat_node::node::Plant;
use peat_scenarios::Scenario;
use peat_scenarios::model::{Builder, Expect, Fault, LatencyLevel, LinkShape, LinkSpec, Peering, RttBound, Workload};
use peat_scenarios::profiles::Profile;

use super::Trial;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Where a bug shows, and who must see it.
pub(super) fn trial(plant: Plant) -> Trial {
    let (scenario, by) = match plant {
        Plant::DroppedChange => (line_of_three(), "convergence"),
        Plant::EchoLoop => (quiet_pair(), "quiescence"),
        Plant::ForgottenTombstone => (deleted_in_the_dark(), "deletes-stay"),
        Plant::EarlyAck => (power_cuts(), "durability"),
        Plant::ReusedActor => (shared_plans(), "no-lost-write"),
        Plant::GrowingBackoff => (short_and_long(), "recovery-flat"),
        Plant::OneWaySync => (short_outage(), "no-lost-write"),
        Plant::DroppingLimiter => (burst(), "convergence"),
        Plant::LostEvent => (pair(), "stream-complete"),
        Plant::StaleCursor => (power_cut(), "stream-complete"),
        Plant::BlindReconciliation => (strangers_with_a_past(), "convergence"),
        Plant::StarvedClass => (thin_link(), "latency of"),
        Plant::UnboundedQueue => (slow_link(), "bounded"),
        Plant::WrongFormation => (two_formations(), "isolation"),
        Plant::HastyLink => (pair(), "physics"),
        Plant::UnstableOrder => (star(), "determinism"),
        Plant::CrossedCache => (pair(), "no-phantom"),
        Plant::SwappedEvents => (pair(), "session-order"),
        Plant::DoubledEvent => (burst(), "latest-once"),
        Plant::StaleRead => (own_plans(), "read-your-writes"),
        Plant::MixedVersions => (shared_plans(), "writes-follow-reads"),
        Plant::WholeRegister => (shared_plans(), "monotonic-reads"),
        Plant::StuckPackage => (agent(), "agents"),
        Plant::IgnoredInterest => (choosy_edge(), "interest-kept"),
        Plant::DialStorm => (far_outage(), "dials-in-first-second"),
        Plant::BatchingTimer => (pair(), "connected-latency-ratio"),
        Plant::WholeHistory => (long_histories(), "bytes-per-operation"),
    };
    Trial { plant, seed: scenario.seed, scenario, by }
}

fn built(builder: Builder) -> Scenario {
    builder.build().expect("invariant: the scenarios of the suite are valid, as its test shows")
}

/// Two nodes, `left` and `right`, over a link.
fn two(name: &str, link: LinkSpec) -> Builder {
    Scenario::builder(name).cluster("c", |cluster| cluster.group("left", 1).group("right", 1)).link(link)
}

fn wan() -> LinkSpec {
    LinkSpec::new("left", "right", Profile::Wan)
}

/// Heartbeats that are told again and again, and documents that are written once.
fn pair() -> Scenario {
    let expect =
        Expect { connected_latency_p50_max_ratio: Some(1.5), connected_p99_within: Some(ms(100)), ..Expect::default() };
    built(
        two("pair", wan())
            .duration(s(60))
            .settle(s(15))
            .workload(Workload::heartbeat(["left", "right"], s(1)))
            .workload(Workload::put(["left", "right"], s(2)))
            .expect(expect),
    )
}

/// Three nodes in a line, and documents that are written once. (A later change of the same document would reveal a gap:
/// it depends on the missing one, and the session starts anew.)
fn line_of_three() -> Scenario {
    built(
        Scenario::builder("line-of-three")
            .duration(s(90))
            .settle(s(30))
            .cluster("c", |cluster| cluster.group("left", 1).group("middle", 1).group("right", 1))
            .link(LinkSpec::new("left", "middle", Profile::Wan))
            .link(LinkSpec::new("middle", "right", Profile::Wan))
            .link(LinkSpec::new("left", "right", Profile::Wan).peering(Peering::None))
            .workload(Workload::put(["left", "right"], s(2))),
    )
}

/// A few documents over a satellite, and then half a minute of silence.
fn quiet_pair() -> Scenario {
    built(
        two("quiet-pair", LinkSpec::new("left", "right", Profile::SatcomGeo))
            .duration(s(70))
            .settle(s(45))
            .workload(Workload::put(["left"], s(5)))
            .expect(Expect { idle_bytes_per_second_max: Some(100.0), ..Expect::default() }),
    )
}

/// Documents are deleted on one side of a cut while the other edits them; then the power fails where they were deleted.
fn deleted_in_the_dark() -> Scenario {
    built(
        two("deleted-in-the-dark", wan())
            .duration(s(120))
            .settle(s(30))
            .workload(Workload::put(["left", "right"], s(5)))
            .workload(Workload::delete(["left"], s(3), 10).start(s(5)).only_during("storm").contended_by("right"))
            .fault(Fault::partition("storm", "left", "right").at(s(20)).lasting(s(60)))
            .fault(Fault::crash("power", "left-0").at(s(60)).lasting(s(10))),
    )
}

/// A node that writes so densely that its power never fails between two acknowledgements.
fn power_cuts() -> Scenario {
    let dense = || Workload::put(["left"], ms(20)).start(s(20)).until(s(26));
    built(
        two("power-cuts", LinkSpec::new("left", "right", Profile::Lan))
            .duration(s(90))
            .settle(s(30))
            .workload(dense())
            .workload(dense())
            .workload(dense())
            .fault(Fault::crash("power", "left-0").at(s(25)).lasting(s(15))),
    )
}

/// A node that is without power for a moment, and whose application goes on where it was.
fn power_cut() -> Scenario {
    built(
        two("power-cut", wan())
            .duration(s(60))
            .settle(s(15))
            .workload(Workload::put(["left", "right"], s(2)))
            .fault(Fault::crash("power", "left-0").at(s(20)).lasting(s(5))),
    )
}

/// Two on each side of a link edit the same two documents, together and apart.
fn shared_plans() -> Scenario {
    built(
        Scenario::builder("shared-plans")
            .duration(s(120))
            .settle(s(30))
            .cluster("c", |cluster| cluster.group("left", 2).group("right", 2))
            .link(LinkSpec::new("left", "right", Profile::Wan).peering(Peering::Gateway))
            .workload(Workload::edit(["left", "right"], s(3), 2).start(s(5)))
            .fault(Fault::partition("storm", "left", "right").at(s(30)).lasting(s(30))),
    )
}

/// Each node edits documents of its own.
fn own_plans() -> Scenario {
    built(
        two("own-plans", wan())
            .duration(s(60))
            .settle(s(15))
            .workload(Workload::edit(["left"], s(1), 2).start(s(5)))
            .workload(Workload::edit(["right"], s(1), 2).start(s(5))),
    )
}

/// An outage of half a minute, and one of two and a half.
fn short_and_long() -> Scenario {
    let expect = Expect {
        reconnect_within: Some(s(5)),
        converge_within: Some(s(6)),
        connected_within: Some(s(5)),
        first_byte_within: Some(RttBound { fixed: s(4), round_trips: 4 }),
        ..Expect::default()
    };
    built(
        two("short-and-long", wan())
            .duration(s(420))
            .settle(s(60))
            .workload(Workload::put(["left", "right"], s(10)))
            .fault(Fault::partition("short", "left", "right").at(s(30)).lasting(s(30)))
            .fault(Fault::partition("long", "left", "right").at(s(110)).lasting(s(150)))
            .expect(expect),
    )
}

/// An outage in which both sides write.
fn short_outage() -> Scenario {
    let expect = Expect { converge_within: Some(s(5)), dials_in_first_second_max: Some(3), ..Expect::default() };
    built(
        two("short-outage", wan())
            .duration(s(120))
            .settle(s(40))
            .workload(Workload::put(["left", "right"], s(3)))
            .fault(Fault::partition("storm", "left", "right").at(s(20)).lasting(s(40)))
            .expect(expect),
    )
}

/// The same over a satellite: a dial is not answered before the next would be due.
fn far_outage() -> Scenario {
    built(
        two("far-outage", LinkSpec::new("left", "right", Profile::SatcomGeo))
            .duration(s(90))
            .settle(s(30))
            .workload(Workload::put(["left", "right"], s(5)))
            .fault(Fault::partition("storm", "left", "right").at(s(20)).lasting(s(25)))
            .expect(Expect { dials_in_first_second_max: Some(3), ..Expect::default() }),
    )
}

/// A hundred documents at once, three times over.
fn burst() -> Scenario {
    built(
        two("burst", wan())
            .duration(s(60))
            .settle(s(30))
            .workload(Workload::burst(["left"], 100).versions(3, s(5)).start(s(5))),
    )
}

/// `left` and `right` meet for the first time when each has documents of the other in an older version, and the one who
/// told them is gone for good.
fn strangers_with_a_past() -> Scenario {
    built(
        Scenario::builder("strangers-with-a-past")
            .duration(s(150))
            .settle(s(50))
            .cluster("c", |cluster| cluster.group("left", 1).group("right", 1).group("herald", 1))
            .link(wan())
            .link(LinkSpec::new("left", "herald", Profile::Wan))
            .link(LinkSpec::new("right", "herald", Profile::Wan))
            .workload(Workload::edit(["left", "right"], s(4), 3).start(s(5)).until(s(75)))
            .workload(Workload::put(["herald"], s(5)).until(s(40)))
            .fault(Fault::partition("strangers", "left", "right").at(s(0)).lasting(s(90)))
            .fault(Fault::crash("gone", "herald-0").at(s(50)).for_ever()),
    )
}

/// Commands without end over a thin link, and telemetry beside them.
fn thin_link() -> Scenario {
    let thin = LinkShape {
        latency: Some(ms(80)),
        bandwidth_bps: Some(64_000),
        queue_bytes: Some(16 << 10),
        ..LinkShape::default()
    };
    let level = LatencyLevel { collection: "telemetry".to_owned(), p50: None, p99: None, max: Some(s(12)) };
    built(
        two("thin-link-of-commands", LinkSpec::shaped("left", "right", thin))
            .duration(s(150))
            .settle(s(80))
            .workload(Workload::command(["left"], "right", ms(25)).start(s(10)).until(s(50)))
            .workload(Workload::burst(["left"], 10).start(s(15)))
            .expect(Expect { latency: vec![level], ..Expect::default() }),
    )
}

/// Few documents that change much faster than the link carries their changes.
fn slow_link() -> Scenario {
    let slow = LinkShape {
        latency: Some(ms(80)),
        bandwidth_bps: Some(16_000),
        queue_bytes: Some(8 << 10),
        ..LinkShape::default()
    };
    built(
        two("slow-link", LinkSpec::shaped("left", "right", slow))
            .duration(s(100))
            .settle(s(60))
            .workload(Workload::burst(["left"], 3).versions(100, ms(200)).start(s(10))),
    )
}

/// Two formations on one network that dial each other.
fn two_formations() -> Scenario {
    built(
        Scenario::builder("two-formations")
            .duration(s(60))
            .settle(s(15))
            .cluster("c", |cluster| {
                let cluster = cluster.group("left", 2).of_formation("alpha");
                cluster.group("right", 2).of_formation("bravo")
            })
            .link(wan())
            .workload(Workload::put(["left", "right"], s(3)))
            .workload(Workload::heartbeat(["left", "right"], s(5))),
    )
}

/// A hub with seven spokes.
fn star() -> Scenario {
    built(
        Scenario::builder("star")
            .duration(s(30))
            .settle(s(10))
            .cluster("c", |cluster| cluster.group("hub", 1).group("spoke", 7))
            .link(LinkSpec::new("hub", "spoke", Profile::Lan))
            .link(LinkSpec::new("spoke", "spoke", Profile::Lan).peering(Peering::None))
            .workload(Workload::put(["hub"], s(1))),
    )
}

/// An agent whose packages come, change and go.
fn agent() -> Scenario {
    built(two("agent", wan()).duration(s(200)).settle(s(60)).workload(Workload::agent(["left"], 5, s(8))))
}

/// A node that asks for commands only.
fn choosy_edge() -> Scenario {
    built(
        Scenario::builder("choosy-edge")
            .duration(s(60))
            .settle(s(15))
            .cluster("c", |cluster| cluster.group("left", 1).group("right", 1).interested_in(["commands"]))
            .link(wan())
            .workload(Workload::command(["left"], "right", s(3)))
            .workload(Workload::put(["left"], s(3))),
    )
}

/// Two documents with a long history.
fn long_histories() -> Scenario {
    built(
        two("long-histories", wan())
            .duration(s(70))
            .settle(s(20))
            .workload(Workload::edit(["left", "right"], ms(500), 2).start(s(5)))
            .expect(Expect { bytes_per_operation_max: Some(1_000.0), ..Expect::default() }),
    )
}
