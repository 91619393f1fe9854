//! `ddil diff`: two runs, or two revisions on the same seeds, figure by figure.

mod revision;

use std::fs::File;
use std::io::Read;

use peat_scenarios::Scenario;
use peat_scenarios::diff::{Diff, Side};

use crate::args::DiffArgs;
use crate::exit::Exit;
use crate::output::{self, reason};
use crate::{document, interrupt, source};
use revision::Workshop;

/// Length of a document that is read: a sweep of ten thousand seeds, and room to spare.
const DOCUMENT_BYTES: u64 = 256 << 20;

/// Regressions that are named once more at the end; all of them stand above.
const REGRESSIONS: usize = 8;

/// What a side is named by besides a file.
const REVISION: &str = "git:";

/// Why there is nothing to compare.
#[derive(Debug)]
enum DiffError {
    /// What was asked for cannot be.
    Usage(String),
    /// A revision could not be built or run.
    Infrastructure(String),
}

/// What one revision is to run.
struct Trial {
    scenario: Scenario,
    seeds: Vec<u64>,
}

/// Reads a percentage. Nothing is more than `NaN`, and a gate that lets everything through is none.
pub fn percent(text: &str) -> Result<f64, String> {
    let percent = text.trim_end_matches('%').trim().parse::<f64>().ok();
    percent
        .filter(|percent| (0.0..=1e6).contains(percent))
        .ok_or_else(|| "it is no number of per cent from 0 on".to_owned())
}

/// Compares two sides and prints what changed.
pub fn diff(arguments: &DiffArgs) -> Exit {
    interrupt::watch();
    let compared = sides(arguments).map(|(old, new)| Diff::of(&old, &new, arguments.tolerance / 100.0));
    interrupt::wait_if_it_happened();
    let diff = match compared {
        Ok(diff) if diff.is_empty() => {
            output::complain("error: the two sides have no scenario and seed in common\n");
            return Exit::Usage;
        }
        Ok(diff) => diff,
        Err(DiffError::Usage(text)) => {
            output::complain(&format!("error: {text}\n"));
            return Exit::Usage;
        }
        Err(DiffError::Infrastructure(text)) => {
            output::complain(&format!("error: {text}\n"));
            return Exit::Infrastructure;
        }
    };
    match (arguments.json, arguments.markdown) {
        (true, _) => output::print(&document::pretty(&diff)),
        (_, true) => output::print(&diff.markdown()),
        _ => output::print(&diff.text(output::stdout_paint())),
    }
    let regressed = arguments.fail_on_regression.is_some_and(|percent| regressed(arguments, &diff, percent));
    if regressed || diff.worse_verdicts() > 0 { Exit::Fail } else { Exit::Pass }
}

/// Tells what got worse by more than is allowed, unless everything counts and the comparison has just told it.
fn regressed(arguments: &DiffArgs, diff: &Diff, percent: f64) -> bool {
    let worse = diff.regressions(percent / 100.0);
    if percent > 0.0 && !arguments.json {
        let named: Vec<String> =
            worse.iter().map(|(scenario, figure)| format!("{scenario}: {}", figure.name)).collect();
        let (first, others) = named.split_at(named.len().min(REGRESSIONS));
        let others = if others.is_empty() { String::new() } else { format!("; and {} more", others.len()) };
        let text = match named.is_empty() {
            true => format!("no figure got worse by more than {percent} %"),
            false => format!("worse by more than {percent} %: {}{others}", first.join("; ")),
        };
        output::print(&format!("\n{text}\n"));
    }
    !worse.is_empty()
}

fn sides(arguments: &DiffArgs) -> Result<(Side, Side), DiffError> {
    let revisions = [&arguments.old, &arguments.new].map(|side| side.strip_prefix(REVISION));
    match revisions {
        [None, None] => Ok((read(&arguments.old)?, read(&arguments.new)?)),
        [Some(old), Some(new)] => {
            let trials = asked(arguments)?;
            let workshop = Workshop::open(arguments)?;
            Ok((workshop.run(old, &trials)?, workshop.run(new, &trials)?))
        }
        [None, Some(new)] => {
            let old = read(&arguments.old)?;
            let new = Workshop::open(arguments)?.run(new, &same_as(&old)?)?;
            Ok((old, new))
        }
        [Some(old), None] => {
            let new = read(&arguments.new)?;
            let old = Workshop::open(arguments)?.run(old, &same_as(&new)?)?;
            Ok((old, new))
        }
    }
}

fn read(path: &str) -> Result<Side, DiffError> {
    let mut text = String::new();
    let unreadable = |error| DiffError::Usage(format!("cannot read `{path}`: {}", reason(&error)));
    let file = File::open(path).map_err(unreadable)?;
    file.take(DOCUMENT_BYTES + 1).read_to_string(&mut text).map_err(unreadable)?;
    if text.len() as u64 > DOCUMENT_BYTES {
        return Err(DiffError::Usage(format!("`{path}` is longer than {} MiB", DOCUMENT_BYTES >> 20)));
    }
    Side::read(path, &text).map_err(|error| DiffError::Usage(error.to_string()))
}

/// What the command line asks both revisions to run.
fn asked(arguments: &DiffArgs) -> Result<Vec<Trial>, DiffError> {
    if arguments.scenario.is_empty() {
        let help = "  = help: name what both revisions shall run, e.g. --scenario outage-1m --seeds 5";
        return Err(DiffError::Usage(format!("two revisions need a scenario\n{help}")));
    }
    let last = arguments.from.checked_add(u64::from(arguments.seeds) - 1);
    let last = last.ok_or_else(|| DiffError::Usage(format!("the greatest seed is {}", u64::MAX)))?;
    let seeds: Vec<u64> = (arguments.from..=last).collect();
    arguments.scenario.iter().map(|name| trial(name, seeds.clone())).collect()
}

/// What a document has run, to be run again.
fn same_as(side: &Side) -> Result<Vec<Trial>, DiffError> {
    side.sources().into_iter().map(|(source, seeds)| trial(&source, seeds)).collect()
}

/// Both sides run the scenario as it is here and now, whatever a revision ships under that name.
fn trial(name: &str, mut seeds: Vec<u64>) -> Result<Trial, DiffError> {
    seeds.sort_unstable();
    seeds.dedup();
    match source::find(name) {
        Ok(sourced) => Ok(Trial { scenario: sourced.scenario, seeds }),
        Err(error) => Err(DiffError::Usage(error.to_string().trim_start_matches("error: ").trim_end().to_owned())),
    }
}
