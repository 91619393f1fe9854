//! Small networks, each a sentence: topology, action, assertion.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::check::Verdict;
use peat_scenarios::figures::{Settled, measure};
use peat_scenarios::model::{Fault, LinkSpec, Peering, Workload};
use peat_scenarios::profiles::Profile;
use peat_scenarios::{Scenario, SimTime};

use crate::judged::expect;

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[test]
fn two_nodes_on_a_lan_show_each_other_what_they_put() {
    let scenario = Scenario::builder("pair")
        .duration(seconds(60))
        .settle(seconds(10))
        .cluster("c", |cluster| cluster.group("edge", 2))
        .workload(Workload::put(["edge"], seconds(1)))
        .build()
        .unwrap();
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let documents: Vec<usize> = record.finals.iter().map(|replica| replica.docs.len()).collect();
    let puts = record.operations.iter().filter(|operation| operation.acknowledged()).count();
    assert_eq!(documents, [puts, puts]);
}

/// A ship crashes, and the storm begins before it is back.
pub fn down_in_the_dark() -> Scenario {
    Scenario::builder("down-in-the-dark")
        .duration(seconds(240))
        .settle(seconds(30))
        .cluster("shore", |cluster| cluster.group("shore", 2))
        .cluster("ship", |cluster| cluster.group("ship", 1))
        .link(LinkSpec::new("shore", "ship", Profile::SatcomGeo).peering(Peering::Gateway))
        .workload(Workload::heartbeat(["shore", "ship"], seconds(5)))
        .fault(Fault::crash("power", "ship-0").at(seconds(60)).lasting(seconds(40)))
        .fault(Fault::blackout("storm", "ship").at(seconds(70)).lasting(seconds(80)))
        .build()
        .unwrap()
}

#[test]
fn a_node_that_is_down_at_the_start_of_a_blackout_catches_up_after_it() {
    let scenario = down_in_the_dark();
    let record = expect(&scenario, Plants::default(), Verdict::Pass);
    let heal = SimTime::from_secs(150);
    let back = record.sessions.iter().find(|session| session.up && session.at > heal).unwrap();
    assert!(back.at.since(heal) < seconds(5), "the session came back at {}", back.at);
}

/// When a link comes back, the session may be that of a dial from before, whose first packet was lost, or of one from after. A lost first
/// packet must not be taken for congestion: the backlog would cross at some 10 kB a round trip (ADR 0035).
#[test]
fn what_waited_crosses_as_fast_whichever_dial_the_heal_met() {
    let round_trip = Duration::from_millis(50);
    let (mut from_before, mut from_after) = (0, 0);
    // Dials begin every 1.3 s.
    for later in (0..1_300).step_by(200) {
        let down = Duration::from_millis(15_000 + later);
        let scenario = Scenario::builder("backlog")
            .duration(seconds(40))
            .settle(seconds(10))
            .cluster("shore", |cluster| cluster.group("shore", 1))
            .cluster("ship", |cluster| cluster.group("ship", 1))
            .link(LinkSpec::new("shore", "ship", Profile::Wan))
            .workload(Workload::burst(["shore", "ship"], 600).start(seconds(8)))
            .fault(Fault::partition("sat", "shore", "ship").at(seconds(5)).lasting(down))
            .build()
            .unwrap();
        let record = expect(&scenario, Plants::default(), Verdict::Pass);
        let figures = measure(&record);
        let recovery = figures.recoveries.first().expect("a partition that healed");
        let (Settled::After(session), Settled::After(converged)) = (recovery.reconnected, recovery.converged) else {
            panic!("{later} ms later: {recovery:?}");
        };
        // QUIC and admission take two round trips at least.
        let led_to_it = record.dials.iter().rfind(|dial| dial.at + 2 * round_trip <= recovery.at + session);
        match led_to_it.expect("a dial").at < recovery.at {
            true => from_before += 1,
            false => from_after += 1,
        }
        let took = converged - session;
        assert!(took <= 8 * round_trip, "{later} ms later: 600 documents each way took {took:?} from the session on");
    }
    assert!(from_before > 0 && from_after > 0, "{from_before} dials from before the heal, {from_after} from after it");
}
