//! Runs shipped scenarios on both engines and compares: `cargo run --release -p peat-sim --example engines [all|NAME…]`.
//!
//! Without names, the scenarios of up to 12 nodes that last up to 40 minutes; `all`: of any length. A line for each: the
//! verdicts, the greatest distance between two medians of latency, the real time that either took. Exit code 1 if any
//! verdict or check differs, or any two medians are more than a tick apart. What the second engine cannot do is said.

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

fn main() -> ExitCode {
    let names: Vec<String> = std::env::args().skip(1).collect();
    let chosen = |name: &str, scenario: &Scenario| match names.as_slice() {
        [] => scenario.nodes() <= NODES_MAX && scenario.duration <= LENGTH_MAX,
        [all] if all == "all" => scenario.nodes() <= NODES_MAX,
        names => names.iter().any(|wanted| wanted == name),
    };
    let mut bad = 0;
    for shipped in library::library() {
        let scenario = match shipped.scenario() {
            Ok(scenario) if chosen(shipped.name, &scenario) => scenario,
            Ok(_) => continue,
            Err(error) => {
                eprintln!("{error}");
                return ExitCode::FAILURE;
            }
        };
        if let Err(unsupported) = Engine::Turmoil.capabilities().admit(&scenario) {
            println!("- {unsupported}");
            continue;
        }
        match compare(&scenario) {
            Ok(agreed) => bad += u32::from(!agreed),
            Err(error) => {
                println!("{}: {error}", scenario.name);
                bad += 1;
            }
        }
    }
    if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
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
    println!(
        "{} {:<24} fabric {} in {}, turmoil {} in {}, medians at most {} apart",
        if same && near { "✔" } else { "✘" },
        scenario.name,
        one.verdict,
        wall(&fabric),
        other.verdict,
        wall(&turmoil),
        span(apart)
    );
    for (ours, theirs) in checks(&one).iter().zip(&checks(&other)).filter(|(ours, theirs)| ours != theirs) {
        println!("    {}: fabric {}, turmoil {}", ours.0, ours.1, theirs.1);
    }
    Ok(same && near)
}

fn wall(record: &RunRecord) -> String {
    span(Duration::from_millis(u64::try_from(record.wall.as_millis()).unwrap_or(u64::MAX)))
}
