//! `ddil sweep`: scenarios under many seeds, here or on many machines.

mod args;
mod merge;
mod trials;

use std::fs;
use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Instant;

use peat_scenarios::check::Verdict;
use peat_scenarios::library::library;
use peat_scenarios::report::{plural, span};
use peat_scenarios::sweep::{Merged, Shard, ShardResult, Sweep, SweepEntry, SweepPlan, SweptRun, summary};
use serde_json::{Value, json};

use crate::exit::Exit;
use crate::output::{self, reason};
use crate::source::{self, Sourced};
use crate::{admission, document, interrupt, plants};
use trials::Trials;

pub use args::SweepArgs;

/// Runs every seed and prints how the figures spread; the gravest verdict is the exit code. Of a shard, the result is
/// what is printed.
#[expect(clippy::disallowed_methods, reason = "how long the sweep takes in real time")]
pub fn sweep(arguments: &SweepArgs) -> Exit {
    if !arguments.merge.is_empty() {
        return merged(arguments);
    }
    let Some(sources) = sources(arguments) else { return Exit::Usage };
    if !admission::admit(&sources, &arguments.engine.capabilities()) {
        return Exit::Usage;
    }
    if arguments.from.checked_add(u64::from(arguments.seeds) - 1).is_none() {
        let text = format!("error: there are no {} seeds from {} on\n", arguments.seeds, arguments.from);
        output::complain(&format!("{text}  = help: the greatest seed is {}\n", u64::MAX));
        return Exit::Usage;
    }
    let plan = SweepPlan {
        world: format!("sim/{}", arguments.engine.engine().name()),
        options: format!("{}{}", arguments.engine.typed(), plants::typed(&arguments.plant)),
        from: arguments.from,
        runs: arguments.seeds,
        entries: sources
            .into_iter()
            .map(|Sourced { argument, scenario }| SweepEntry { source: argument, scenario })
            .collect(),
    };
    interrupt::watch();
    let began = Instant::now();
    let runs = Trials { arguments, plan: &plan }.all();
    // On stderr: the report follows from the seeds alone.
    if !arguments.told.no_progress && io::stderr().is_terminal() {
        output::tell(&format!("{} in {}\n", plural(runs.len() as u64, "run"), span(began.elapsed())));
    }
    if let Some(shard) = arguments.shard {
        return leave(arguments, shard, plan, runs);
    }
    let mut sorted = vec![Vec::new(); plan.entries.len()];
    runs.into_iter().for_each(|(entry, run)| sorted[entry].push(run));
    tell(arguments, Merged { plan, runs: sorted })
}

/// The report of shards that were run elsewhere.
fn merged(arguments: &SweepArgs) -> Exit {
    match merge::read(&arguments.merge) {
        Ok((merged, passed_over)) => {
            if passed_over > 0 {
                let lines = plural(passed_over as u64, "line");
                output::tell(&format!("passed over {lines} between the results\n"));
            }
            tell(arguments, merged)
        }
        Err(what) => {
            output::complain(&format!("error: {what}\n"));
            output::complain(
                "  = help: `ddil sweep NAME --shard I/N` with the same NAME, seeds and N makes each of them\n",
            );
            Exit::Usage
        }
    }
}

/// Leaves the result of a shard. It is not judged: what 64 machines ran is judged together, and a scheduler that
/// starts what fails again must not do so with a bug that was found.
fn leave(arguments: &SweepArgs, shard: Shard, plan: SweepPlan, runs: Vec<(usize, SweptRun)>) -> Exit {
    let trouble = runs.iter().any(|(_, run)| run.verdict == Verdict::InfraError);
    let line = ShardResult { shard, program: env!("CARGO_PKG_VERSION").to_owned(), plan, runs }.line();
    match &arguments.result {
        None => output::print(&line),
        Some(path) => {
            if let Err(error) = write_whole(path, &line) {
                output::complain(&format!("error: cannot write `{}`: {}\n", path.display(), reason(&error)));
                return Exit::Usage;
            }
        }
    }
    if trouble { Exit::Infrastructure } else { Exit::Pass }
}

/// Under its name the file is whole or not there: whoever gathers results may look at any moment.
fn write_whole(path: &Path, text: &str) -> io::Result<()> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".part");
    fs::write(&partial, text)?;
    fs::rename(&partial, path)
}

/// Prints a whole sweep and judges it.
fn tell(arguments: &SweepArgs, Merged { plan, runs }: Merged) -> Exit {
    let entries = plan.entries.iter().zip(runs);
    let sweeps: Vec<Sweep> = entries.map(|(entry, runs)| Sweep::new(&entry.scenario, &plan.world, runs)).collect();
    let gravest = |verdicts: Vec<Verdict>| verdicts.into_iter().min_by_key(|verdict| Exit::of(*verdict));
    let of = |sweep: &Sweep| gravest(sweep.verdicts()).unwrap_or(Verdict::Inconclusive);
    let verdict = gravest(sweeps.iter().map(of).collect()).unwrap_or(Verdict::Inconclusive);
    let judged: Vec<(&Sweep, Verdict)> = sweeps.iter().map(|sweep| (sweep, of(sweep))).collect();
    let document = |(sweep, verdict): &(&Sweep, Verdict), entry: &SweepEntry| -> Value {
        json!({
            "verdict": verdict,
            "exit_code": Exit::of(*verdict).code(),
            "scenario": entry.scenario.name,
            "source": entry.source,
            "world": plan.world,
            "seeds": { "from": plan.from, "count": sweep.runs().len() },
            "figures": sweep.spreads(),
            "runs": sweep.runs(),
        })
    };
    match (arguments.told.json, judged.as_slice(), plan.entries.as_slice()) {
        (true, [one], [entry]) => output::print(&document::pretty(&document(one, entry))),
        (true, all, entries) => {
            let documents = all.iter().zip(entries).map(|(one, entry)| document(one, entry));
            output::print(&document::pretty(&json!({
                "verdict": verdict,
                "exit_code": Exit::of(verdict).code(),
                "scenarios": documents.collect::<Vec<_>>(),
            })));
        }
        (false, [(sweep, verdict)], _) => output::print(&sweep.text(*verdict, output::stdout_paint())),
        (false, ..) => output::print(&summary(&judged, verdict, output::stdout_paint())),
    }
    Exit::of(verdict)
}

/// What is to be swept; `None`: something is not a scenario, which was told.
fn sources(arguments: &SweepArgs) -> Option<Vec<Sourced>> {
    if let Some(stranger) = arguments.except.iter().find(|name| library().iter().all(|shipped| shipped.name != **name))
    {
        output::complain(&format!("error: there is no shipped scenario `{stranger}` to leave out\n"));
        return None;
    }
    let shipped = library().iter().map(|shipped| shipped.name.to_owned());
    let shipped: Vec<String> = shipped.filter(|name| !arguments.except.contains(name)).collect();
    let names = if arguments.library { &shipped } else { &arguments.scenarios };
    source::find_all(names)
}
