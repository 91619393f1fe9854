//! Many seeds, one verdict.

use std::time::Duration;

use super::*;
use crate::model::{Expect, RttBound};
use crate::testing::{good, secs};

/// A good run under each seed, whose connected p99 is as many milliseconds as the seed says.
fn sweep(seeds: std::ops::RangeInclusive<u64>, limit: Duration) -> Sweep {
    let (mut scenario, record) = good();
    scenario.expect = Expect { connected_p99_within: Some(secs(1)), ..scenario.expect };
    scenario.expect.first_byte_within = Some(RttBound { fixed: secs(2), round_trips: 2 });
    let one = SweptRun::judged(&scenario, &Report::of(&scenario, &record));
    assert_eq!(one.verdict, Verdict::Pass, "{:?}", one.failed);
    let runs = seeds.rev().map(|seed| {
        let mut run = SweptRun { seed, reproduce: format!("ddil run small-blackout --seed {seed}"), ..one.clone() };
        let p99 = run.measures.iter_mut().find(|measure| measure.name == "connected p99").unwrap();
        (p99.value, p99.limit) = (seed as f64 / 1e3, Some(limit.as_secs_f64()));
        if p99.value > limit.as_secs_f64() {
            (run.verdict, run.failed) = (Verdict::SloBreach, vec!["connected-p99-within".to_owned()]);
        }
        run
    });
    Sweep::new(&scenario, "sim/ideal", runs.collect())
}

fn spread(sweep: &Sweep, name: &str) -> Spread {
    sweep.spreads().into_iter().find(|spread| spread.name == name).unwrap_or_else(|| panic!("no {name}"))
}

#[test]
fn percentiles_over_seeds_are_values_of_seeds() {
    let p99 = spread(&sweep(1..=100, Duration::from_millis(99)), "connected p99");
    assert_eq!((p99.min, p99.p50, p99.p99, p99.max), (0.001, 0.05, 0.099, 0.1));
    assert_eq!((p99.seeds, p99.late), (100, 1));
}

#[test]
fn one_of_a_hundred_may_miss_a_bound_and_none_of_five() {
    let hundred = sweep(1..=100, Duration::from_millis(99));
    assert_eq!(hundred.verdicts().into_iter().min(), Some(Verdict::Pass));
    assert_eq!(hundred.bad().map(|run| run.seed).collect::<Vec<_>>(), [100]);
    let five = sweep(1..=5, Duration::from_millis(4));
    assert!(five.verdicts().contains(&Verdict::SloBreach));
}

#[test]
fn a_broken_invariant_under_one_seed_is_not_outvoted() {
    let mut swept = sweep(1..=100, secs(1));
    swept.runs[41].verdict = Verdict::Fail;
    swept.runs[41].failed = vec!["no-lost-write".to_owned()];
    assert!(swept.verdicts().contains(&Verdict::Fail));
}

#[test]
fn what_never_happened_is_worse_than_any_bound() {
    let mut swept = sweep(1..=3, secs(1));
    swept.runs[1].measures.iter_mut().for_each(|measure| measure.value = f64::INFINITY);
    let late = spread(&swept, "converged");
    assert_eq!((late.late, late.max.is_infinite(), late.holds()), (1, true, false));
    let json = serde_json::to_value(&late).unwrap();
    assert!(json["max"].is_null(), "{json}");
}

#[test]
fn a_sweep_reads_well() {
    let mut swept = sweep(1..=100, Duration::from_millis(97));
    swept.runs[6].verdict = Verdict::Fail;
    swept.runs[6].failed = vec!["convergence".to_owned(), "no-lost-write".to_owned()];
    let error = "endpoint of alpha-0: no route".to_owned();
    swept.runs[8] = SweptRun::not_run(9, error, "ddil run small-blackout --seed 9".to_owned());
    let text = swept.text(Verdict::Fail, Paint::Plain);
    assert!(text.lines().all(|row| row.chars().count() <= crate::report::WIDTH), "{text}");
    insta::assert_snapshot!(text);
}
