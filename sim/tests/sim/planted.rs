//! A check that has never caught a bug is not trusted, and a bug that no check sees is a hole in the harness: every
//! planted bug is seen by the check that is there for it, every check sees one, and without the bug nothing is seen.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use peat_scenarios::check::{Known, Verdict};
use peat_sim::planted::{Caught, Suite, trials};

/// All of them, two at a time: each is a thread of its own anyway.
fn suite() -> Suite {
    let only = std::env::var("PLANT").ok();
    let trials: Vec<_> =
        trials().into_iter().filter(|trial| only.as_deref().is_none_or(|name| name == trial.plant.name())).collect();
    let (next, caught) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let held = trial.hold().unwrap();
                    println!("{}", line(&held));
                    caught.lock().unwrap_or_else(PoisonError::into_inner).push(held);
                }
            });
        }
    });
    let mut caught = caught.into_inner().unwrap();
    caught.sort_by_key(|caught| caught.plant);
    Suite(caught)
}

fn line(caught: &Caught) -> String {
    let Caught { plant, scenario, seed, by, verdict, checks, control, alarms } = caught;
    let checks: Vec<String> = checks.iter().map(|(name, first)| format!("\n    {name}: {first}")).collect();
    let good = if caught.is_good() { "ok" } else { "NOT AS IT SHOULD BE" };
    format!(
        "{good}: {} in {scenario} seed {seed}, by {by}: {verdict}, control {control} {alarms:?}{}",
        plant.name(),
        checks.concat()
    )
}

#[test]
fn every_bug_is_caught_and_every_check_catches_one() {
    let suite = suite();
    let uncaught: Vec<String> = suite.uncaught().into_iter().map(line).collect();
    assert!(uncaught.is_empty(), "not caught:\n{}", uncaught.join("\n"));
    assert!(suite.idle().is_empty(), "checks that no bug sets off: {:?}", suite.idle());
    assert!(suite.0.iter().all(|caught| caught.verdict != Verdict::Pass));
}

#[test]
fn every_trial_names_a_check_that_there_is_and_a_bug_of_its_own() {
    let trials = trials();
    assert!(trials.len() >= 15, "{}", trials.len());
    assert!(trials.iter().all(|trial| Known::of(trial.by).is_some()));
    assert_eq!(trials.iter().map(|trial| trial.plant).collect::<BTreeSet<_>>().len(), trials.len());
}
