//! Figures of a perfect world are known beforehand.

use std::time::Duration;

use super::*;
use crate::testing::{good, secs};

#[test]
fn percentiles_of_nothing_and_of_a_hundred() {
    assert_eq!(Percentiles::of([]), Percentiles::default());
    let hundred = Percentiles::of((1..=100).map(Duration::from_millis));
    assert_eq!(hundred.count, 100);
    assert_eq!(hundred.max, Duration::from_millis(100));
    assert!((Duration::from_millis(50)..Duration::from_millis(51)).contains(&hundred.p50), "{hundred:?}");
}

#[test]
fn connected_latency_is_the_delay_of_the_path_and_outages_are_kept_apart() {
    let (_, record) = good();
    let figures = measure(&record);
    let across = figures.pairs.iter().find(|pair| pair.between == ("alpha".into(), "bravo".into())).unwrap();
    assert!(across.latency.max < Duration::from_millis(310), "{across:?}");
    assert!(across.p50_ratio.unwrap() < 1.02);
    assert!(figures.outage.max > secs(60), "{:?}", figures.outage);
    assert!(figures.outage_from_heal.max < secs(2), "{:?}", figures.outage_from_heal);
    assert!(figures.outage_from_heal.count > 20);
    assert_eq!(figures.never_visible, 0);
}

#[test]
fn a_heal_and_a_restart_are_recovered_from_in_known_time() {
    let (_, record) = good();
    let figures = measure(&record);
    let heal = figures.recoveries.iter().find(|recovery| recovery.cause == Cause::Heal).unwrap();
    assert_eq!(heal.reconnected, Settled::After(secs(1)));
    let Settled::After(converged) = heal.converged else { panic!("{heal:?}") };
    assert!((secs(1)..secs(2)).contains(&converged), "{converged:?}");
    let restart = figures.recoveries.iter().find(|recovery| recovery.cause == Cause::Restart).unwrap();
    assert_eq!(restart.reconnected, Settled::After(secs(1)));
}

#[test]
fn a_write_that_never_arrives_is_counted_and_keeps_the_heal_from_settling() {
    let (_, mut record) = good();
    let lost = record.operations.iter().find(|op| op.key.id.starts_with("alpha-0-w2")).unwrap().key.clone();
    record.visibility.retain(|event| event.key != lost || event.node.0 != 3);
    let figures = measure(&record);
    assert_eq!(figures.never_visible, 1);
    let heal = figures.recoveries.iter().find(|recovery| recovery.cause == Cause::Heal).unwrap();
    assert_eq!(heal.converged, Settled::Never { pending: 1 });
}

#[test]
fn idle_traffic_is_measured_in_the_second_half_of_the_settle_time() {
    let (_, record) = good();
    // Three sessions, at each end one keep-alive of 60 bytes in 5 s, four nodes.
    let idle = measure(&record).idle_bytes_per_second.unwrap();
    assert!((idle - 18.0).abs() < 0.01, "{idle}");
}
