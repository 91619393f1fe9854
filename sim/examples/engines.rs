//! Runs shipped scenarios on both engines and compares: `cargo run --release -p peat-sim --example engines [all|NAME…]`.
//!
//! Without names, the scenarios of up to 12 nodes that last up to 40 minutes; `all`: of any length. One scenario per
//! processor at a time, and a line for each, as they end: the
//! verdicts, the greatest distance between two medians of latency, the real time that either took. Exit code 1 if any
//! verdict or check differs, or any two medians are more than a tick apart. What the second engine cannot do is said.

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use peat_scenarios::check::Verdict;
use peat_scenarios::library;
use peat_scenarios::report::{Report, span};
use peat_scenarios::{RunRecord, Scenario};
use peat_sim::turmoil::TICK;
use peat_sim::{Engine, RunOptions, SimError};

/// Scenarios of up to so many nodes are run on both engines.
const NODES_MAX: u32 = 12;
/// And, unless asked for, of up to this length: a day takes the second engine a quarter of an hour.
const LENGTH_MAX: Duration = Duration::from_secs(40 * 60);

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str, scenario: &Scenario| match names.as_slice() {
        [] => scenario.nodes() <= NODES_MAX && scenario.duration <= LENGTH_MAX,
        [all] if all == "all" => scenario.nodes() <= NODES_MAX,
        names => names.iter().any(|wanted| wanted == name),
    };
    let mut scenarios = Vec::new();
    for shipped in library::library() {
        match shipped.scenario() {
            Ok(scenario) if chosen(shipped.name, &scenario) => match Engine::Turmoil.capabilities().admit(&scenario) {
                Ok(()) => scenarios.push(scenario),
                Err(unsupported) => println!("- {unsupported}"),
            },
            Ok(_) => {}
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        }
    }
    let (next, bad) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let work = || {
        while let Some(scenario) = scenarios.get(next.fetch_add(1, Ordering::Relaxed)) {
            let agreed = compare(scenario).unwrap_or_else(|error| {
                println!("{}: {error}", scenario.name);
                false
            });
            bad.fetch_add(usize::from(!agreed), Ordering::Relaxed);
        }
    };
    thread::scope(|scope| {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        (0..processors).for_each(|_| drop(scope.spawn(work)));
    });
    if bad.into_inner() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line; true if the engines agree.
fn compare(scenario: &Scenario) -> Result<bool, SimError> {
    let on = |engine| peat_sim::run(scenario, RunOptions::seed(scenario.seed).engine(engine));
    let (fabric, turmoil) = (on(Engine::Fabric)?, on(Engine::Turmoil)?);
    let (one, other) = (Report::of(scenario, &fabric), Report::of(scenario, &turmoil));
    let checks = |report: &Report<'_>| {
        report.checks.iter().map(|check| (check.name.clone(), check.verdict)).collect::<Vec<(String, Verdict)>>()
    };
    let same = checks(&one) == checks(&other);
    let pairs = one.figures.pairs.iter().zip(&other.figures.pairs);
    let apart = pairs.map(|(a, b)| (a.latency.p50.abs_diff(b.latency.p50), a.latency.p50));
    let (apart, of) = apart.max().unwrap_or_default();
    // Percentiles are kept to three digits.
    let near = apart <= TICK + of / 1000;
    let mut text = format!(
        "{} {:<24} fabric {} in {}, turmoil {} in {}, medians at most {} apart\n",
        if same && near { "✔" } else { "✘" },
        scenario.name,
        one.verdict,
        wall(&fabric),
        other.verdict,
        wall(&turmoil),
        span(apart)
    );
    for (ours, theirs) in checks(&one).iter().zip(&checks(&other)).filter(|(ours, theirs)| ours != theirs) {
        text += &format!("    {}: fabric {}, turmoil {}\n", ours.0, ours.1, theirs.1);
    }
    print!("{text}");
    Ok(same && near)
}

fn wall(record: &RunRecord) -> String {
    span(Duration::from_millis(u64::try_from(record.wall.as_millis()).unwrap_or(u64::MAX)))
}
