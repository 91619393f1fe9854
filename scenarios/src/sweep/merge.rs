//! The shards of a sweep, put together again.
//!
//! What comes out is what the sweep without shards gives, to the byte; so whatever could make it something else is
//! refused: shards of another sweep or another program, one too few, one that lacks a run, two that differ.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use thiserror::Error;

use super::{Shard, ShardResult, SweepPlan, SweptRun};
use crate::check::Verdict;

/// Missing shards that are named; of more only the number is told.
const NAMED: usize = 20;

/// Why shards do not make a sweep.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum MergeError {
    /// There is nothing to merge.
    #[error("there is no shard to merge")]
    Nothing,
    /// They are not of one sweep.
    #[error("{label} is not of the same sweep as {first}: {what}")]
    Mixed {
        /// Where the one that differs is from.
        label: String,
        /// Where the one that it differs from is from.
        first: String,
        /// What differs.
        what: String,
    },
    /// A shard does not have the runs that are its own.
    #[error("shard {shard} in {label} {what}")]
    Runs {
        /// Where it is from.
        label: String,
        /// Which one.
        shard: Shard,
        /// What it has or lacks.
        what: String,
    },
    /// One shard gave two results.
    #[error(
        "shard {shard} is in {one} and in {other}, and the two differ: one seed gave two runs, or the nodes are not the same"
    )]
    Differ {
        /// Which one.
        shard: Shard,
        /// Where one is from.
        one: String,
        /// Where the other is from.
        other: String,
    },
    /// Not all are there.
    #[error("of {of} shards {} missing: {}", if missing.len() == 1 { "one is" } else { "some are" }, ranges(missing))]
    Missing {
        /// Which ones.
        missing: Vec<u32>,
        /// How many there are.
        of: u32,
    },
}

/// A whole sweep.
#[derive(Debug, Clone)]
pub struct Merged {
    /// What was run.
    pub plan: SweepPlan,
    /// The runs of each of its scenarios, by seed.
    pub runs: Vec<Vec<SweptRun>>,
}

/// Puts shards together, in whatever order they come, each with what it is called in errors. The same shard may come
/// several times if it says the same: a pod that was started twice has done the same work twice. One in which a run could
/// not be carried out gives way to one that was started again and could.
pub fn merge(shards: Vec<(String, ShardResult)>) -> Result<Merged, MergeError> {
    let mut known: BTreeMap<Shard, (String, ShardResult)> = BTreeMap::new();
    let mut first: Option<(String, ShardResult)> = None;
    for (label, result) in shards {
        match &first {
            None => {
                let ShardResult { shard, program, plan, .. } = &result;
                let head =
                    ShardResult { shard: *shard, program: program.clone(), plan: plan.clone(), runs: Vec::new() };
                first = Some((label.clone(), head));
            }
            Some((of, one)) => {
                if let Some(what) = differs(one, &result) {
                    return Err(MergeError::Mixed { label, first: of.clone(), what });
                }
            }
        }
        complete(&label, &result)?;
        match known.get(&result.shard) {
            None => drop(known.insert(result.shard, (label, result))),
            Some((one, before)) => match (troubled(before), troubled(&result)) {
                (true, false) => drop(known.insert(result.shard, (label, result))),
                (false, true) => {}
                _ if before.line() == result.line() => {}
                _ => return Err(MergeError::Differ { shard: result.shard, one: one.clone(), other: label }),
            },
        }
    }
    let Some((_, ShardResult { shard: Shard { of, .. }, plan, .. })) = first else { return Err(MergeError::Nothing) };
    let missing: Vec<u32> = (0..of).filter(|index| !known.contains_key(&Shard { index: *index, of })).collect();
    if !missing.is_empty() {
        return Err(MergeError::Missing { missing, of });
    }
    let mut runs = vec![Vec::new(); plan.entries.len()];
    for (entry, run) in known.into_values().flat_map(|(_, result)| result.runs) {
        runs[entry].push(run);
    }
    runs.iter_mut().for_each(|runs| runs.sort_by_key(|run: &SweptRun| run.seed));
    Ok(Merged { plan, runs })
}

fn troubled(result: &ShardResult) -> bool {
    result.runs.iter().any(|(_, run)| run.verdict == Verdict::InfraError)
}

/// What makes two shards parts of two sweeps.
fn differs(one: &ShardResult, other: &ShardResult) -> Option<String> {
    let (a, b) = (&one.plan, &other.plan);
    let against = |what: &str, other: &dyn std::fmt::Display, one: &dyn std::fmt::Display| {
        Some(format!("{what} {other}, not {one}"))
    };
    let names =
        |plan: &SweepPlan| plan.entries.iter().map(|entry| entry.scenario.name.clone()).collect::<Vec<_>>().join(", ");
    if one.program != other.program {
        return against("it was run by ddil", &other.program, &one.program);
    }
    if one.shard.of != other.shard.of {
        return against("the number of shards is", &other.shard.of, &one.shard.of);
    }
    if a.world != b.world {
        return against("the world is", &b.world, &a.world);
    }
    if a.options != b.options {
        let told = |plan: &SweepPlan| match plan.options.trim() {
            "" => "none".to_owned(),
            options => format!("`{options}`"),
        };
        return against("the options are", &told(b), &told(a));
    }
    if (a.from, a.runs) != (b.from, b.runs) {
        let told = |plan: &SweepPlan| format!("{} from seed {}", plan.runs, plan.from);
        return against("the runs are", &told(b), &told(a));
    }
    if names(a) != names(b) {
        return against("the scenarios are", &names(b), &names(a));
    }
    let pairs = a.entries.iter().zip(&b.entries);
    let changed = pairs.filter(|(a, b)| a != b).map(|(a, _)| a.scenario.name.clone()).next();
    changed.map(|name| format!("{name} is another scenario there"))
}

/// Has a shard all of its runs, once each, and no others?
fn complete(label: &str, result: &ShardResult) -> Result<(), MergeError> {
    let expected: BTreeSet<(usize, u64)> = result
        .plan
        .trials()
        .filter(|trial| result.shard.holds(*trial))
        .map(|trial| (trial.entry, trial.seed))
        .collect();
    let wrong = |what: String| MergeError::Runs { label: label.to_owned(), shard: result.shard, what };
    let name = |entry: usize| &result.plan.entries[entry].scenario.name;
    let mut had = BTreeSet::new();
    for (entry, run) in &result.runs {
        let trial = (*entry, run.seed);
        if !expected.contains(&trial) {
            return Err(wrong(format!("has {} under seed {}, which is not its own", name(*entry), run.seed)));
        }
        if !had.insert(trial) {
            return Err(wrong(format!("has {} under seed {} twice", name(*entry), run.seed)));
        }
    }
    match expected.difference(&had).next() {
        Some((entry, seed)) => Err(wrong(format!("lacks {} under seed {seed}", name(*entry)))),
        None => Ok(()),
    }
}

/// `3, 7 to 9`.
fn ranges(numbers: &[u32]) -> String {
    let mut spans: Vec<(u32, u32)> = Vec::new();
    for &number in numbers {
        match spans.last_mut() {
            Some((_, last)) if *last + 1 == number => *last = number,
            _ => spans.push((number, number)),
        }
    }
    let told = spans.iter().take(NAMED).map(|(first, last)| match last - first {
        0 => first.to_string(),
        1 => format!("{first}, {last}"),
        _ => format!("{first} to {last}"),
    });
    let rest = if spans.len() > NAMED { ", …" } else { "" };
    told.collect::<Vec<_>>().join(", ") + rest
}
