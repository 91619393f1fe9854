//! One scenario under many seeds: a luck test. What one seed passes, the next may not.
//!
//! Safety is judged on every seed. Service levels are judged on the 99th percentile over the seeds, nearest rank:
//! of fewer than a hundred seeds every single one must keep the bound, of a hundred one may miss it.
//!
//! What is told of a sweep follows from its plan and the code, and from nothing else: real time is not in it. So the
//! report that is put together from the shards of a sweep ([`merge`]) is the report of the sweep (`docs/adr/0033`).

mod measure;
mod merge;
mod plan;
mod shard;
mod summary;
mod table;
#[cfg(test)]
mod tests;

use serde::Serialize;

pub use measure::{Better, Measure, Unit};
pub(crate) use measure::{measures, or_never};
pub use merge::{MergeError, Merged, merge};
pub use plan::{Shard, SweepEntry, SweepPlan, Trial};
pub use shard::{SHARD_FORMAT, ShardError, ShardResult};
pub use summary::summary;

use crate::check::Verdict;
use crate::model::Scenario;
use crate::report::{Paint, Report};

/// A scenario that was run under several seeds.
#[derive(Debug, Clone)]
pub struct Sweep {
    scenario: Scenario,
    world: String,
    runs: Vec<SweptRun>,
}

/// What is kept of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SweptRun {
    /// Its seed.
    pub seed: u64,
    /// Its verdict.
    pub verdict: Verdict,
    /// The checks that did not pass; why it could not be run, if it could not.
    pub failed: Vec<String>,
    /// What was measured.
    pub measures: Vec<Measure>,
    /// Hash over its trace.
    pub trace_hash: Option<String>,
    /// One line that runs it again.
    pub reproduce: String,
}

impl SweptRun {
    /// Of a run that was judged.
    pub fn judged(scenario: &Scenario, report: &Report<'_>) -> Self {
        let failed = report.checks.iter().filter(|check| check.verdict != Verdict::Pass);
        SweptRun {
            seed: report.record.meta.seed,
            verdict: report.verdict,
            failed: failed.map(|check| check.name.clone()).collect(),
            measures: measures(&scenario.expect, &report.figures),
            trace_hash: report.record.trace_hash.clone(),
            reproduce: report.reproduce(),
        }
    }

    /// Of a run that could not be carried out.
    pub fn not_run(seed: u64, error: String, reproduce: String) -> Self {
        let (verdict, failed) = (Verdict::InfraError, vec![error]);
        SweptRun { seed, verdict, failed, measures: Vec::new(), trace_hash: None, reproduce }
    }
}

/// One figure over all seeds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Spread {
    /// Its name.
    pub name: String,
    /// What its numbers mean.
    pub unit: Unit,
    /// What the scenario allows.
    pub limit: Option<f64>,
    /// Seeds that gave a value.
    pub seeds: u64,
    /// Least.
    pub min: f64,
    /// Median.
    pub p50: f64,
    /// 99th percentile, nearest rank; infinite: never.
    #[serde(serialize_with = "or_never")]
    pub p99: f64,
    /// Greatest.
    #[serde(serialize_with = "or_never")]
    pub max: f64,
    /// Seeds beyond the limit.
    pub late: u64,
}

impl Spread {
    /// Does the 99th percentile keep the limit?
    pub fn holds(&self) -> bool {
        self.limit.is_none_or(|limit| self.p99 <= limit)
    }
}

impl Sweep {
    /// A sweep that is over. `runs` in any order.
    pub fn new(scenario: &Scenario, world: &str, mut runs: Vec<SweptRun>) -> Self {
        runs.sort_by_key(|run| run.seed);
        Sweep { scenario: scenario.clone(), world: world.to_owned(), runs }
    }

    /// Every run, by seed.
    pub fn runs(&self) -> &[SweptRun] {
        &self.runs
    }

    /// Every headline figure that any run measured.
    pub fn spreads(&self) -> Vec<Spread> {
        let mut names: Vec<&Measure> = Vec::new();
        for measure in self.runs.iter().flat_map(|run| &run.measures).filter(|measure| measure.headline) {
            if !names.iter().any(|known| known.name == measure.name) {
                names.push(measure);
            }
        }
        names.into_iter().filter_map(|first| self.spread(first)).collect()
    }

    fn spread(&self, first: &Measure) -> Option<Spread> {
        let of_name = || self.runs.iter().flat_map(|run| &run.measures).filter(|of| of.name == first.name);
        let mut values: Vec<f64> = of_name().map(|measure| measure.value).collect();
        values.sort_by(f64::total_cmp);
        let limit = first.limit;
        // Nearest rank.
        let at = |share: f64| values.get(((values.len() as f64 * share).ceil() as usize).max(1) - 1).copied();
        Some(Spread {
            name: first.name.clone(),
            unit: first.unit,
            limit,
            seeds: values.len() as u64,
            min: at(0.0)?,
            p50: at(0.5)?,
            p99: at(0.99)?,
            max: at(1.0)?,
            late: of_name().filter(|of| limit.is_some_and(|limit| of.value > limit)).count() as u64,
        })
    }

    /// Seeds whose verdict is not PASS, the gravest first in the order of `gravity`.
    pub fn bad(&self) -> impl Iterator<Item = &SweptRun> {
        self.runs.iter().filter(|run| run.verdict != Verdict::Pass)
    }

    /// What counts over all seeds: every verdict but those about service levels as it is, and for those whether
    /// the 99th percentiles keep their bounds. Which of several is the gravest is up to the caller.
    pub fn verdicts(&self) -> Vec<Verdict> {
        let mut verdicts: Vec<Verdict> =
            self.runs.iter().map(|run| run.verdict).filter(|verdict| *verdict != Verdict::SloBreach).collect();
        if !self.spreads().iter().all(Spread::holds) {
            verdicts.push(Verdict::SloBreach);
        }
        if verdicts.is_empty() && !self.runs.is_empty() {
            verdicts.push(Verdict::Pass);
        }
        verdicts
    }

    /// For a terminal; `verdict` is the gravest of [`Sweep::verdicts`].
    pub fn text(&self, verdict: Verdict, paint: Paint) -> String {
        table::render(self, verdict, paint)
    }
}
