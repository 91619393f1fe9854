//! One side: the JSON document of `ddil run` or `ddil sweep`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::RunName;
use crate::check::Verdict;
use crate::limits;
use crate::sweep::{Better, Unit};

/// What was run on one side.
#[derive(Debug, Clone)]
pub struct Side {
    /// What it is called: a path, or a revision.
    pub label: String,
    pub(super) runs: Vec<Run>,
}

#[derive(Debug, Clone)]
pub(super) struct Run {
    pub(super) scenario: String,
    /// What was typed to name the scenario.
    source: String,
    pub(super) seed: u64,
    pub(super) verdict: Verdict,
    pub(super) failed: BTreeSet<String>,
    pub(super) trace_hash: Option<String>,
    pub(super) figures: Vec<Figure>,
}

#[derive(Debug, Clone)]
pub(super) struct Figure {
    pub(super) name: String,
    pub(super) unit: Unit,
    pub(super) better: Better,
    /// Infinite: never.
    pub(super) value: f64,
}

/// Why a document is no side.
#[derive(Debug, thiserror::Error)]
pub enum SideError {
    /// Not JSON, or not the JSON of a run or a sweep.
    #[error("{label} is not what `ddil run --json` or `ddil sweep --json` prints: {detail}")]
    Malformed {
        /// What it is called.
        label: String,
        /// What is wrong.
        detail: String,
    },
    /// More than anybody compares.
    #[error("{label} has {actual} runs; the limit is {limit}: sweep fewer seeds", limit = limits::DIFF_RUNS)]
    TooMany {
        /// What it is called.
        label: String,
        /// How many.
        actual: usize,
    },
}

#[derive(Deserialize)]
struct RawDocument {
    runs: Option<Vec<RawRun>>,
    /// Of a sweep.
    scenario: Option<String>,
    source: Option<String>,
    /// Of a sweep over several scenarios: a document for each.
    scenarios: Option<Vec<RawSweep>>,
}

#[derive(Deserialize)]
struct RawSweep {
    runs: Vec<RawRun>,
    scenario: String,
    source: Option<String>,
}

#[derive(Deserialize)]
struct RawRun {
    verdict: String,
    trace_hash: Option<String>,
    /// Of a run.
    run: Option<RawMeta>,
    #[serde(default)]
    checks: Vec<RawCheck>,
    /// Of a sweep.
    seed: Option<u64>,
    #[serde(default)]
    failed: BTreeSet<String>,
    #[serde(default)]
    measures: Vec<RawMeasure>,
}

#[derive(Deserialize)]
struct RawMeta {
    scenario: String,
    source: Option<String>,
    seed: u64,
}

#[derive(Deserialize)]
struct RawCheck {
    name: String,
    verdict: String,
}

#[derive(Deserialize)]
struct RawMeasure {
    name: String,
    unit: Unit,
    /// `null`: never.
    value: Option<f64>,
    /// Documents from before figures knew their direction have only such as are better when less.
    #[serde(default)]
    better: Better,
}

impl Side {
    /// Reads a document; `label` names it in what is told.
    pub fn read(label: &str, json: &str) -> Result<Side, SideError> {
        let malformed = |detail: String| SideError::Malformed { label: label.to_owned(), detail };
        let raw: RawDocument = serde_json::from_str(json).map_err(|error| malformed(error.to_string()))?;
        let sweeps = match (raw.runs, raw.scenarios) {
            (Some(runs), None) => vec![(String::new(), runs, raw.scenario, raw.source)],
            (None, Some(sweeps)) => {
                let name = |at: usize| format!("scenarios[{at}].");
                let sweep = |(at, of): (usize, RawSweep)| (name(at), of.runs, Some(of.scenario), of.source);
                sweeps.into_iter().enumerate().map(sweep).collect()
            }
            _ => return Err(malformed("missing field `runs`".to_owned())),
        };
        let actual = sweeps.iter().map(|(_, runs, ..)| runs.len()).sum();
        if actual > limits::DIFF_RUNS {
            return Err(SideError::TooMany { label: label.to_owned(), actual });
        }
        let mut side = Side { label: label.to_owned(), runs: Vec::with_capacity(actual) };
        for (place, runs, scenario, source) in sweeps {
            for (at, run) in runs.into_iter().enumerate() {
                let run = Run::read(run, scenario.as_deref(), source.as_deref());
                side.runs.push(run.map_err(|what| malformed(format!("{place}runs[{at}]: {what}")))?);
            }
        }
        Ok(side)
    }

    /// What was typed to name each scenario, with the seeds of it, in order: what another side must run.
    pub fn sources(&self) -> Vec<(String, Vec<u64>)> {
        let mut sources: Vec<(String, Vec<u64>)> = Vec::new();
        for run in &self.runs {
            match sources.iter_mut().find(|(source, _)| *source == run.source) {
                Some((_, seeds)) => seeds.push(run.seed),
                None => sources.push((run.source.clone(), vec![run.seed])),
            }
        }
        sources
    }

    /// Adds the runs of another document of the same side.
    pub fn add(&mut self, other: Side) {
        self.runs.extend(other.runs);
    }

    pub(super) fn by_name(&self) -> BTreeMap<RunName, &Run> {
        let name = |run: &Run| RunName { scenario: run.scenario.clone(), seed: run.seed };
        self.runs.iter().map(|run| (name(run), run)).collect()
    }
}

impl Run {
    fn read(raw: RawRun, scenario: Option<&str>, source: Option<&str>) -> Result<Run, String> {
        let verdict = |word: &str| Verdict::find(word).ok_or_else(|| format!("unknown verdict `{word}`"));
        let (scenario, source, seed) = match (raw.run, scenario, raw.seed) {
            (Some(RawMeta { scenario, source, seed }), ..) => (scenario, source, seed),
            (None, Some(scenario), Some(seed)) => (scenario.to_owned(), source.map(str::to_owned), seed),
            _ => return Err("neither `run` nor `seed` says which one it is".to_owned()),
        };
        let mut failed = raw.failed;
        for check in raw.checks {
            if verdict(&check.verdict)? != Verdict::Pass {
                failed.insert(check.name);
            }
        }
        let figure = |RawMeasure { name, unit, value, better }| {
            let value = value.unwrap_or(f64::INFINITY);
            Figure { name, unit, better, value }
        };
        Ok(Run {
            source: source.unwrap_or_else(|| scenario.clone()),
            scenario,
            seed,
            verdict: verdict(&raw.verdict)?,
            failed,
            trace_hash: raw.trace_hash,
            figures: raw.measures.into_iter().map(figure).collect(),
        })
    }

    pub(super) fn figure(&self, name: &str) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.name == name)
    }
}
