//! Explanations of real runs: nothing is left over, nothing beats the links, and nobody notices that somebody looks.

use std::time::Duration;

use peat_node::node::Plants;
use peat_scenarios::explain::{Explanation, Part};
use peat_scenarios::{RunRecord, Scenario};
use peat_sim::RunOptions;

use crate::judged::{run, shipped};
use crate::stories::down_in_the_dark;

fn explained(scenario: &Scenario) -> RunRecord {
    peat_sim::run(scenario, RunOptions::seed(scenario.seed).with_transfers()).unwrap()
}

/// Holds every arrival against what an explanation promises.
fn holds(record: &RunRecord) {
    let explanation = Explanation::of(record);
    assert!(explanation.arrivals.len() > 100, "{} arrivals", explanation.arrivals.len());
    for arrival in &explanation.arrivals {
        let what = || format!("{arrival:#?}");
        assert_eq!(arrival.parts.total(), arrival.latency(), "{}", what());
        let possible = arrival.possible.unwrap_or_else(|| panic!("{}", what()));
        assert!(arrival.visible >= possible, "{}", what());
        assert_eq!(arrival.hops.first().map(|hop| hop.from), Some(arrival.origin), "{}", what());
        assert_eq!(arrival.hops.last().map(|hop| hop.to), Some(arrival.replica), "{}", what());
        assert!(arrival.hops.windows(2).all(|pair| pair[0].to == pair[1].from), "{}", what());
        assert!(arrival.hops.iter().all(|hop| hop.sent.is_some()), "{}", what());
    }
}

/// Bar 7: in the connected phase the median is at most 1.1 times what the links allow.
#[test]
fn the_flagship_is_near_the_possible_while_it_is_connected() {
    let record = explained(&shipped("two-cluster-blackout"));
    holds(&record);
    let explanation = Explanation::of(&record);
    let ratio = explanation.against(true).ratio;
    println!("connected, achieved / possible: {ratio:?}");
    assert!(ratio.count > 1_000 && ratio.p50 <= 1.1, "{ratio:?}");
    let waited = explanation.slowest(1)[0];
    assert!(waited.parts.of(Part::Outage) > Duration::from_secs(600), "{waited:#?}");
    let handshake = waited.parts.of(Part::Handshake);
    assert!((Duration::from_millis(600)..Duration::from_secs(3)).contains(&handshake), "{waited:#?}");
}

#[test]
fn relays_and_crashes_are_explained() {
    for name in ["line-of-five", "crash-during-partition"] {
        holds(&explained(&shipped(name)));
    }
}

/// Loss and a queue: what is lost is sent again, and that takes time.
#[test]
fn losses_are_explained() {
    let record = explained(&shipped("degraded-radio"));
    holds(&record);
    let explanation = Explanation::of(&record);
    assert!(explanation.spent(true).of(Part::Retransmission) > Duration::from_millis(500));
}

#[test]
fn explaining_a_run_does_not_change_it() {
    let scenario = down_in_the_dark();
    let watched = explained(&scenario);
    assert_eq!(run(&scenario, Plants::default()).trace_hash, watched.trace_hash);
    let transfers = watched.transfers.unwrap();
    assert!(!transfers.frames.is_empty() && !transfers.flights.is_empty() && !transfers.losses.is_empty());
}
