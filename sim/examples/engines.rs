//! Runs shipped scenarios on both engines and compares: `cargo run --release -p peat-sim --example engines [all|NAME…]`.
//!
//! Without names, the scenarios of up to 12 nodes that last up to 40 minutes; `all`: of any length. One scenario per
//! processor at a time, and a line for each, as they end: the verdicts, the greatest distance between two medians of
//! latency, the real time that either took. Exit code 1 if any verdict or check differs, or any two medians are more than
//! a tick apart (and what chance makes of medians; waits in queues: a twentieth). What the second engine cannot do is said.

use std::collections::BTreeMap;
use std::process::ExitCode;
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

/// What nodes and applications may add to the way of a link that has no queue, in ticks.
const TICKS_OF_NODES: u32 = 20;
/// Medians of waits in queues may be apart by this part.
const QUEUED_SHARE: u32 = 20;

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
    let compare = |scenario: &Scenario| {
        compare(scenario).unwrap_or_else(|error| {
            println!("{}: {error}", scenario.name);
            false
        })
    };
    let mut all_agree = true;
    peat_sim::crew(None, &scenarios, compare, |agreed| all_agree &= agreed);
    if all_agree { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Prints a line; true if the engines agree.
fn compare(scenario: &Scenario) -> Result<bool, SimError> {
    let on = |engine| peat_sim::run(scenario, RunOptions::seed(scenario.seed).engine(engine));
    let (fabric, turmoil) = (on(Engine::Fabric)?, on(Engine::Turmoil)?);
    let (one, other) = (Report::of(scenario, &fabric), Report::of(scenario, &turmoil));
    let checks = |report: &Report<'_>| {
        report.checks.iter().map(|check| (check.name.clone(), check.verdict)).collect::<BTreeMap<String, Verdict>>()
    };
    let (ours, theirs) = (checks(&one), checks(&other));
    // Whether a check has anything to judge may hang on a tick: whether the last of a run is quiet for a whole slice.
    let differ = ours.iter().filter(|(name, verdict)| theirs.get(*name).is_some_and(|other| other != *verdict));
    let differ: Vec<_> = differ.map(|(name, verdict)| (name, verdict, theirs[name])).collect();
    let same = differ.is_empty() && one.verdict == other.verdict;
    let pairs = one.figures.pairs.iter().zip(&other.figures.pairs);
    let pairs = pairs.map(|(a, b)| {
        let (p50, apart) = (a.latency.p50, a.latency.p50.abs_diff(b.latency.p50));
        // Where a link draws lots, a tick decides which datagram draws which: three standard errors of a median, as the
        // samples spread.
        let chance = 3.0 * a.latency.p90.saturating_sub(p50).as_secs_f64() / (a.latency.count as f64).sqrt();
        // Where the wait in a queue is what is measured, it decides which datagram finds it full, and what is sent again.
        let queued = p50 > 2 * a.one_way + TICKS_OF_NODES * TICK;
        // Percentiles are kept to three digits.
        let share = p50 / if queued { QUEUED_SHARE } else { 1000 };
        (apart, apart <= TICK + share + Duration::from_secs_f64(chance))
    });
    let (apart, near) = pairs.fold((Duration::ZERO, true), |(most, all), (apart, near)| (most.max(apart), all && near));
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
    for (name, ours, theirs) in differ {
        text += &format!("    {name}: fabric {ours}, turmoil {theirs}\n");
    }
    print!("{text}");
    Ok(same && near)
}

fn wall(record: &RunRecord) -> String {
    span(Duration::from_millis(u64::try_from(record.wall.as_millis()).unwrap_or(u64::MAX)))
}
