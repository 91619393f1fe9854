//! The physical bound and the parts of a latency against computations by hand.

use std::time::Duration;

use super::bound::Bound;
use super::{Explanation, Part};
use crate::model::{Fault, LinkShape, LinkSpec, Peering, Scenario};
use crate::plan::{NodeIndex, OpId, expand};
use crate::record::transfer::{Frame, Transfers};
use crate::record::{Life, OpKind, OpRecord, Outcome, RunRecord};
use crate::testing::secs;
use crate::time::SimTime;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn at(millis: u64) -> SimTime {
    SimTime::from_millis(millis)
}

/// A link of this latency and no other nature.
fn link(a: &str, b: &str, latency_ms: u64) -> LinkSpec {
    LinkSpec::shaped(a, b, LinkShape { latency: Some(ms(latency_ms)), ..LinkShape::default() }).peering(Peering::None)
}

/// A network of single nodes `a-0`, `b-0`, … in which nothing has happened yet.
fn network(groups: &[&str], links: Vec<LinkSpec>, faults: Vec<Fault>) -> RunRecord {
    let mut scenario = Scenario::builder("by-hand").duration(secs(600)).settle(secs(60));
    for group in groups {
        scenario = scenario.cluster(&format!("of-{group}"), |cluster| cluster.group(group, 1));
    }
    let scenario = links.into_iter().fold(scenario, |scenario, link| scenario.link(link));
    let scenario = faults.into_iter().fold(scenario, |scenario, fault| scenario.fault(fault));
    let scenario = scenario.build().unwrap_or_else(|error| panic!("{error}"));
    RunRecord::new(&scenario, &expand(&scenario, 1), "by-hand", "sim", "by-hand")
}

/// The fault at this position lasted from the one moment to the other.
fn lasted(mut record: RunRecord, fault: usize, from_ms: u64, to_ms: u64) -> RunRecord {
    record.faults[fault].applied = Some(at(from_ms));
    record.faults[fault].healed = Some(at(to_ms));
    record
}

/// All nodes run from the beginning, but for these.
fn lives(mut record: RunRecord, others: &[(&str, &[(u64, Life)])]) -> RunRecord {
    let nodes: Vec<(NodeIndex, String)> =
        record.topology.nodes.iter().map(|node| (node.index, node.name.clone())).collect();
    for (node, name) in nodes {
        match others.iter().find(|(other, _)| *other == name) {
            None => record.life(SimTime::ZERO, node, Life::Started),
            Some((_, events)) => events.iter().for_each(|(millis, event)| record.life(at(*millis), node, *event)),
        }
    }
    record
}

struct Case {
    name: &'static str,
    record: RunRecord,
    /// Of `a-0`, and with so many bytes.
    written: SimTime,
    bytes: usize,
    to: &'static str,
    arrives: Option<SimTime>,
}

#[test]
fn ten_bounds_are_as_computed_by_hand() {
    let partition = |a, b| Fault::partition("cut", a, b).at(secs(1)).lasting(secs(1));
    let cases = [
        // 10.000 s + 300 ms of the satellite = 10.300 s.
        Case {
            name: "direct",
            record: network(&["a", "b"], vec![link("a", "b", 300)], vec![]),
            written: at(10_000),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(10_300)),
        },
        // Direct: 10.000 s + 300 ms = 10.300 s. Over b: + 25 ms = 10.025 s, + 40 ms = 10.065 s, which is earlier.
        Case {
            name: "two hops",
            record: network(
                &["a", "b", "c"],
                vec![link("a", "b", 25), link("b", "c", 40), link("a", "c", 300)],
                vec![],
            ),
            written: at(10_000),
            bytes: 0,
            to: "c-0",
            arrives: Some(at(10_065)),
        },
        // Cut from 60 s to 180 s; written at 100 s. It leaves at 180.000 s and takes 300 ms: 180.300 s.
        Case {
            name: "a cut that heals",
            record: lasted(
                network(&["a", "b"], vec![link("a", "b", 300)], vec![partition("a", "b")]),
                0,
                60_000,
                180_000,
            ),
            written: at(100_000),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(180_300)),
        },
        // a to b is cut from 60 s to 180 s, only in this direction. Over c: 100 s + 200 ms + 250 ms = 100.450 s. (Back
        // from b to a it would be 25 ms.)
        Case {
            name: "a one-way cut with a detour",
            record: lasted(
                network(
                    &["a", "b", "c"],
                    vec![link("a", "b", 25), link("a", "c", 200), link("c", "b", 250)],
                    vec![Fault::one_way_cut("deaf", "a", "b").at(secs(1)).lasting(secs(1))],
                ),
                0,
                60_000,
                180_000,
            ),
            written: at(100_000),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(100_450)),
        },
        // Written at 59.800 s, in flight until 60.100 s; the blackout of b begins at 60.000 s and kills it. It leaves
        // again when the blackout ends, at 90.000 s: 90.300 s.
        Case {
            name: "a blackout during the flight",
            record: lasted(
                network(
                    &["a", "b"],
                    vec![link("a", "b", 300)],
                    vec![Fault::blackout("dark", "b").at(secs(1)).lasting(secs(1))],
                ),
                0,
                60_000,
                90_000,
            ),
            written: at(59_800),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(90_300)),
        },
        // b starts at 30.000 s. What was written at 10 s may be timed to arrive right then: 30.000 s.
        Case {
            name: "a joiner",
            record: lives(
                network(&["a", "b"], vec![link("a", "b", 300)], vec![]),
                &[("b-0", &[(30_000, Life::Started)])],
            ),
            written: at(10_000),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(30_000)),
        },
        // b relays between a and c, and is down from 50 s to 70 s. Written at 60.000 s: a sends so that it arrives at
        // 70.000 s when b is back, and c has it 40 ms later: 70.040 s.
        Case {
            name: "a crash of the only relay",
            record: lives(
                network(&["a", "b", "c"], vec![link("a", "b", 25), link("b", "c", 40)], vec![]),
                &[("b-0", &[(0, Life::Started), (50_000, Life::Crashed), (70_000, Life::Restarted)])],
            ),
            written: at(60_000),
            bytes: 0,
            to: "c-0",
            arrives: Some(at(70_040)),
        },
        // From 60 s to 61 s the link of 25 ms takes 2 s. Written at 60.500 s: at once it would be there at 62.500 s, but
        // if it waits for the heal at 61.000 s, + 25 ms: 61.025 s.
        Case {
            name: "a degraded link, for which it is better to wait",
            record: lasted(
                network(
                    &["a", "b"],
                    vec![link("a", "b", 25)],
                    vec![
                        Fault::degrade("slow", "a", "b", LinkShape { latency: Some(secs(2)), ..LinkShape::default() })
                            .at(secs(1))
                            .lasting(secs(1)),
                    ],
                ),
                0,
                60_000,
                61_000,
            ),
            written: at(60_500),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(61_025)),
        },
        // 972 bytes with a header of 28 are 8,000 bits; 64 kbit/s carry them in 125 ms. Two such hops with 80 ms and 10
        // ms: 10.000 + 0.125 + 0.080 + 0.125 + 0.010 = 10.340 s.
        Case {
            name: "bandwidth on two hops",
            record: {
                let thin = |a, b, latency| {
                    let shape =
                        LinkShape { latency: Some(ms(latency)), bandwidth_bps: Some(64_000), ..LinkShape::default() };
                    LinkSpec::shaped(a, b, shape).peering(Peering::None)
                };
                network(&["a", "b", "c"], vec![thin("a", "b", 80), thin("b", "c", 10)], vec![])
            },
            written: at(10_000),
            bytes: 972,
            to: "c-0",
            arrives: Some(at(10_340)),
        },
        // For the whole run the way from a to b takes 600 ms and the way back 25 ms: a fault degrades one direction.
        // 10.000 s + 600 ms = 10.600 s; were the other direction meant, it would be 10.025 s.
        Case {
            name: "an asymmetric link",
            record: {
                let slow = LinkShape { latency: Some(ms(600)), ..LinkShape::default() };
                let slow = Fault::degrade("slow", "a", "b", slow).at(secs(1)).lasting(secs(1));
                let mut record = network(&["a", "b"], vec![link("a", "b", 25)], vec![slow]);
                let forth = (NodeIndex(0), NodeIndex(1));
                let spec = &mut record.faults[0].spec;
                let kept = spec.pairs.iter().position(|pair| *pair == forth).unwrap();
                (spec.pairs, spec.becomes) = (vec![forth], vec![spec.becomes[kept].clone()]);
                lasted(record, 0, 0, 600_000)
            },
            written: at(10_000),
            bytes: 0,
            to: "b-0",
            arrives: Some(at(10_600)),
        },
        // No link, and a cut that lasts to the end: never.
        Case {
            name: "no way",
            record: {
                let mut record = network(&["a", "b"], vec![link("a", "b", 25)], vec![partition("a", "b")]);
                record.faults[0].applied = Some(at(60_000));
                record
            },
            written: at(60_001),
            bytes: 0,
            to: "b-0",
            arrives: None,
        },
    ];
    for Case { name, record, written, bytes, to, arrives } in cases {
        let to = record.topology.find(to).unwrap();
        let arrival = Bound::of(&record).arrivals(NodeIndex(0), written, bytes).at(to);
        assert_eq!(arrival, arrives, "{name}");
    }
}

/// A clog keeps what it is given from 60 s to 180 s, and does not kill what was on its way.
#[test]
fn a_clog_holds_and_does_not_kill() {
    let clogged = || {
        let clog = Fault::clog("clog", "a", "b").at(secs(1)).lasting(secs(1));
        lasted(network(&["a", "b"], vec![link("a", "b", 300)], vec![clog]), 0, 60_000, 180_000)
    };
    for (written, arrives) in [(59_900, 60_200), (60_001, 180_300), (181_000, 181_300)] {
        let record = clogged();
        let arrival = Bound::of(&record).arrivals(NodeIndex(0), at(written), 0).at(NodeIndex(1));
        assert_eq!(arrival, Some(at(arrives)), "written at {written} ms");
    }
}

/// Nodes that are alike share a vertex; a node that crashed, and the origin, do not.
#[test]
fn nodes_of_a_group_may_differ() {
    let scenario = Scenario::builder("fleet")
        .duration(secs(600))
        .settle(secs(60))
        .cluster("land", |cluster| cluster.group("hub", 1))
        .cluster("sea", |cluster| cluster.group("ship", 50))
        .link(link("hub", "ship", 300))
        .link(link("ship", "ship", 10))
        .fault(Fault::partition("cut", "hub", "ship").at(secs(60)).lasting(secs(60)))
        .build()
        .unwrap();
    let mut record = RunRecord::new(&scenario, &expand(&scenario, 1), "fleet", "sim", "by-hand");
    record = lasted(record, 0, 60_000, 120_000);
    let mut record = lives(record, &[]);
    let name = |number: u32| record.topology.find(&format!("ship-{number}")).unwrap();
    let (origin, dead, other) = (name(0), name(1), name(2));
    record.life(at(70_000), dead, Life::Crashed);
    record.life(at(200_000), dead, Life::Restarted);
    let mut bound = Bound::of(&record);
    let arrivals = bound.arrivals(origin, at(80_000), 0);
    assert_eq!(arrivals.at(origin), Some(at(80_000)));
    assert_eq!(arrivals.at(other), Some(at(80_010)));
    assert_eq!(arrivals.at(dead), Some(at(200_000)));
    assert_eq!(arrivals.at(NodeIndex(0)), Some(at(120_300)));
}

const A: NodeIndex = NodeIndex(0);
const B: NodeIndex = NodeIndex(1);

/// `a-0` writes a document, acknowledged at this moment.
fn written(record: &mut RunRecord, millis: u64) {
    record.transfers = Some(Transfers::default());
    let key = record.key("tracks", "one");
    record.operations.push(OpRecord {
        op: OpId(0),
        node: A,
        kind: OpKind::Put,
        key,
        invoked: at(millis - 1),
        completed: Some(at(millis)),
        outcome: Outcome::Ok,
        json: Some(r#"{"counter":1}"#.into()),
        read: None,
        writes: vec![("counter".into(), 1)],
    });
    record.see(at(millis), A, "tracks", "one", Some(r#"{"counter":1}"#));
}

/// A frame that left the outbox and was received, and when the receiver showed the document.
fn brought(record: &mut RunRecord, ends: (NodeIndex, NodeIndex), sent: u64, received: u64, shown: u64) {
    let frame = Frame { collection: "tracks", id: "one", check: sent as u32, bytes: 100 };
    record.frame(at(sent), ends, true, frame);
    record.frame(at(received), ends, false, frame);
    record.see(at(shown), ends.1, "tracks", "one", Some(r#"{"counter":1}"#));
}

fn session(record: &mut RunRecord, millis: u64, ends: (NodeIndex, NodeIndex), up: bool) {
    record.session(at(millis), ends.0, ends.1, up);
    record.session(at(millis), ends.1, ends.0, up);
}

/// The time of the only arrival at a node, in milliseconds per part in order.
fn spent(record: &RunRecord, replica: NodeIndex) -> [u128; 7] {
    let explanation = Explanation::of(record);
    let arrival = explanation.arrivals.iter().find(|arrival| arrival.replica == replica).unwrap();
    assert_eq!(arrival.parts.total(), arrival.latency());
    Part::ALL.map(|part| arrival.parts.of(part).as_millis())
}

#[test]
fn an_outage_is_waited_out_and_then_the_way_back_takes_its_time() {
    let cut = Fault::partition("cut", "a", "b").at(secs(1)).lasting(secs(1));
    let mut record = lasted(network(&["a", "b"], vec![link("a", "b", 300)], vec![cut]), 0, 60_000, 180_000);
    session(&mut record, 1_000, (A, B), true);
    session(&mut record, 70_000, (A, B), false);
    for dial in [100_000, 175_000, 180_400] {
        record.dial(at(dial), B, A);
    }
    session(&mut record, 181_600, (A, B), true);
    written(&mut record, 100_000);
    brought(&mut record, (A, B), 181_600, 181_900, 181_902);
    record.flew(at(181_600), A, B, 150, Some(at(181_900)));
    // 80 s until the heal; 400 ms until somebody dials; 1.2 s until the session; 300 ms over the satellite; 2 ms of disk.
    assert_eq!(spent(&record, B), [80_000, 400, 1_200, 0, 300, 0, 2]);
}

#[test]
fn what_is_lost_is_sent_again_and_what_waits_in_a_queue_waits() {
    let mut record = network(&["a", "b"], vec![link("a", "b", 300)], vec![]);
    session(&mut record, 1_000, (A, B), true);
    written(&mut record, 10_000);
    // 40 ms in the outbox. The datagram is lost at once; the one that replaces it leaves 900 ms later and takes 800 ms
    // over a link of 300: it stood in its queue for 500.
    brought(&mut record, (A, B), 10_040, 11_740, 11_743);
    record.flew(at(10_040), A, B, 150, None);
    record.flew(at(10_940), A, B, 150, Some(at(11_740)));
    assert_eq!(spent(&record, B), [0, 0, 0, 40 + 500, 300, 900, 3]);
}

#[test]
fn a_relay_adds_its_own_commit() {
    let c = NodeIndex(2);
    let mut record = network(&["a", "b", "c"], vec![link("a", "b", 25), link("b", "c", 40)], vec![]);
    session(&mut record, 1_000, (A, B), true);
    session(&mut record, 1_000, (B, c), true);
    written(&mut record, 10_000);
    brought(&mut record, (A, B), 10_000, 10_025, 10_027);
    record.flew(at(10_000), A, B, 150, Some(at(10_025)));
    brought(&mut record, (B, c), 10_027, 10_067, 10_069);
    record.flew(at(10_027), B, c, 150, Some(at(10_067)));
    assert_eq!(spent(&record, c), [0, 0, 0, 0, 65, 0, 4]);
    let explanation = Explanation::of(&record);
    let slowest = explanation.slowest(1)[0];
    assert_eq!(slowest.hops.iter().map(|hop| hop.to).collect::<Vec<_>>(), [B, c]);
    // 69 ms of 65 possible ones, and 4 ms late.
    assert_eq!((slowest.late(), slowest.ratio()), (ms(4), Some(69.0 / 65.0)));
}

/// Without transfers nothing is invented: the way counts as one hop, and what no fault explains as waiting.
#[test]
fn a_record_without_transfers_still_adds_up() {
    let mut record = network(&["a", "b"], vec![link("a", "b", 300)], vec![]);
    session(&mut record, 1_000, (A, B), true);
    written(&mut record, 10_000);
    record.see(at(10_302), B, "tracks", "one", Some(r#"{"counter":1}"#));
    record.transfers = None;
    assert_eq!(spent(&record, B), [0, 0, 0, 302, 0, 0, 0]);
}
