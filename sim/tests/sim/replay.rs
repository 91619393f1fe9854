//! The same seed is the same run; another seed is another one.

use peat_node::node::Plants;
use peat_sim::{RunOptions, first_difference};

use crate::judged::{run, run_seed, shipped};
use crate::stories::down_in_the_dark;

/// Runs twice, each in a thread of its own and at the same time, and shows the first event that differs.
fn replays(name: &str) {
    let scenario = shipped(name);
    let twins = std::thread::scope(|scope| {
        let once = || peat_sim::run_with_events(&scenario, RunOptions::seed(scenario.seed)).unwrap();
        let (one, other) = (scope.spawn(once), scope.spawn(once));
        (one.join().unwrap(), other.join().unwrap())
    });
    let ((one, events), (other, others)) = twins;
    if let Some(at) = first_difference(&events, &others) {
        let around = at.saturating_sub(5)..at + 3;
        let show = |events: &[peat_sim::Event]| {
            let lines = around.clone().filter_map(|i| events.get(i)).map(|event| format!("  {event}\n"));
            lines.collect::<String>()
        };
        panic!("event {at} differs\n{}and\n{}", show(&events), show(&others));
    }
    assert_eq!(one.trace_hash, other.trace_hash);
}

#[test]
fn a_blackout_replays() {
    replays("two-cluster-blackout");
}

#[test]
fn a_crash_and_restart_replays() {
    replays("crash-during-partition");
}

#[test]
#[allow(clippy::disallowed_methods, clippy::disallowed_types)]
fn watching_a_run_does_not_change_it() {
    let scenario = down_in_the_dark();
    let alone = run(&scenario, Plants::default());
    let mut options = RunOptions::seed(scenario.seed);
    options.progress = Some(Box::new(|progress| {
        // What a progress bar does: clocks, hash maps, text.
        let mut seen = std::collections::HashMap::new();
        seen.insert(progress.phase, std::time::Instant::now());
    }));
    let (watched, _) = peat_sim::run_with_events(&scenario, options).unwrap();
    assert_eq!(alone.trace_hash, watched.trace_hash);
}

#[test]
fn another_seed_is_another_run() {
    let scenario = down_in_the_dark();
    let one = run_seed(&scenario, Plants::default(), 1);
    let other = run_seed(&scenario, Plants::default(), 2);
    assert!(one.trace_hash.is_some());
    assert_ne!(one.trace_hash, other.trace_hash);
}
