//! What a shard of a sweep leaves: one line of JSON. `docs/cli.md` has the format.
//!
//! A line, so that the logs of many pods, one after the other, are a valid input of the merge.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::{Better, Measure, Shard, SweepEntry, SweepPlan, SweptRun, Unit};
use crate::check::Verdict;
use crate::head::{Head, HeadError};
use crate::limits;
use crate::model::{Scenario, ScenarioError};

/// Names the format.
pub const SHARD_FORMAT: &str = "ddil.sweep-shard";

/// Version of the format. It rises when a field changes its meaning or goes.
pub const SHARD_SCHEMA: u32 = 1;

/// What one shard has run.
#[derive(Debug, Clone)]
pub struct ShardResult {
    /// Which one.
    pub shard: Shard,
    /// Version of the program that ran it.
    pub program: String,
    /// What all shards together run.
    pub plan: SweepPlan,
    /// Its runs, with the position of their scenario, in any order.
    pub runs: Vec<(usize, SweptRun)>,
}

/// Why a text is not the result of a shard.
#[derive(Debug, Error)]
pub enum ShardError {
    /// Longer than any shard.
    #[error("it has more than {} MiB: sweep with more shards", limits::SHARD_BYTES >> 20)]
    TooLong,
    /// No JSON, or JSON of something else; also what is left of a line that was cut off.
    #[error("it is not the result of a shard: {0}")]
    Json(#[from] serde_json::Error),
    /// Something else, or a version that this program does not know.
    #[error(transparent)]
    Head(#[from] HeadError),
    /// A field cannot be.
    #[error("{0}")]
    Field(String),
    /// A scenario in it is not valid.
    #[error("its scenario is not valid\n{0}")]
    Scenario(#[from] ScenarioError),
}

#[derive(Serialize, Deserialize)]
struct Whole {
    format: String,
    schema: u32,
    ddil: String,
    shard: Shard,
    plan: RawPlan,
    runs: Vec<RawRun>,
}

#[derive(Serialize, Deserialize)]
struct RawPlan {
    world: String,
    options: String,
    from: u64,
    runs: u32,
    scenarios: Vec<RawEntry>,
}

#[derive(Serialize, Deserialize)]
struct RawEntry {
    source: String,
    toml: String,
}

#[derive(Serialize, Deserialize)]
struct RawRun {
    scenario: usize,
    seed: u64,
    verdict: Verdict,
    failed: Vec<String>,
    measures: Vec<RawMeasure>,
    trace_hash: Option<String>,
    reproduce: String,
}

/// Numbers are texts: what is read must be what was written to the last bit, and JSON's numbers are not promised to be.
#[derive(Serialize, Deserialize)]
struct RawMeasure {
    name: String,
    unit: Unit,
    value: String,
    limit: Option<String>,
    better: Better,
    headline: bool,
}

impl ShardResult {
    /// One line, with its end.
    pub fn line(&self) -> String {
        let entry = |entry: &SweepEntry| RawEntry { source: entry.source.clone(), toml: entry.scenario.to_toml() };
        let mut runs: Vec<&(usize, SweptRun)> = self.runs.iter().collect();
        runs.sort_by_key(|(entry, run)| (run.seed, *entry));
        let whole = Whole {
            format: SHARD_FORMAT.to_owned(),
            schema: SHARD_SCHEMA,
            ddil: self.program.clone(),
            shard: self.shard,
            plan: RawPlan {
                world: self.plan.world.clone(),
                options: self.plan.options.clone(),
                from: self.plan.from,
                runs: self.plan.runs,
                scenarios: self.plan.entries.iter().map(entry).collect(),
            },
            runs: runs.into_iter().map(|(entry, run)| RawRun::of(*entry, run)).collect(),
        };
        let mut line = serde_json::to_string(&whole).expect("invariant: a shard has text keys only");
        line.push('\n');
        line
    }

    /// Reads a line.
    pub fn parse(text: &str) -> Result<Self, ShardError> {
        if text.len() > limits::SHARD_BYTES {
            return Err(ShardError::TooLong);
        }
        serde_json::from_str::<Head>(text)?.expect(SHARD_FORMAT, SHARD_SCHEMA)?;
        let whole: Whole = serde_json::from_str(text)?;
        let RawPlan { world, options, from, runs, scenarios } = whole.plan;
        let field = |text: String| Err(ShardError::Field(text));
        let Shard { index, of } = whole.shard;
        if !(1..=limits::SHARDS).contains(&of) || index >= of {
            return field(format!("shard: there is no shard {}", whole.shard));
        }
        if !(1..=limits::SWEEP_RUNS).contains(&runs) {
            return field(format!("plan.runs: {runs}; a sweep has 1 to {} runs", limits::SWEEP_RUNS));
        }
        if from.checked_add(u64::from(runs) - 1).is_none() {
            return field(format!("plan.from: there are no {runs} seeds from {from} on"));
        }
        if scenarios.is_empty() || scenarios.len() > limits::SWEEP_SCENARIOS {
            let number = scenarios.len();
            return field(format!("plan.scenarios: {number}; a sweep has 1 to {}", limits::SWEEP_SCENARIOS));
        }
        let read = |entry: RawEntry| {
            let scenario = Scenario::parse("scenario", &entry.toml)?;
            Ok::<_, ShardError>(SweepEntry { source: entry.source, scenario })
        };
        let entries = scenarios.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let read = |(at, run): (usize, RawRun)| {
            run.read(entries.len()).map_err(|what| ShardError::Field(format!("runs[{at}].{what}")))
        };
        let of_shard = whole.runs.into_iter().enumerate().map(read).collect::<Result<Vec<_>, _>>()?;
        let plan = SweepPlan { world, options, from, runs, entries };
        Ok(ShardResult { shard: whole.shard, program: whole.ddil, plan, runs: of_shard })
    }
}

impl RawRun {
    fn of(scenario: usize, run: &SweptRun) -> Self {
        let measure = |measure: &Measure| RawMeasure {
            name: measure.name.clone(),
            unit: measure.unit,
            // The shortest text that is read as the same number; `inf` for never.
            value: measure.value.to_string(),
            limit: measure.limit.map(|limit| limit.to_string()),
            better: measure.better,
            headline: measure.headline,
        };
        RawRun {
            scenario,
            seed: run.seed,
            verdict: run.verdict,
            failed: run.failed.clone(),
            measures: run.measures.iter().map(measure).collect(),
            trace_hash: run.trace_hash.clone(),
            reproduce: run.reproduce.clone(),
        }
    }

    fn read(self, entries: usize) -> Result<(usize, SweptRun), String> {
        if self.scenario >= entries {
            return Err(format!("scenario: {} of {entries}", self.scenario));
        }
        let number = |text: &str| text.parse::<f64>().ok().filter(|number| !number.is_nan());
        let read = |raw: RawMeasure| {
            let value = number(&raw.value).ok_or_else(|| format!("measures: `{}` is no number", raw.value))?;
            let limit = raw.limit.map(|text| number(&text).ok_or(format!("measures: `{text}` is no number")));
            let (name, unit, better, headline) = (raw.name, raw.unit, raw.better, raw.headline);
            Ok::<_, String>(Measure { name, unit, value, limit: limit.transpose()?, better, headline })
        };
        let measures = self.measures.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        let (seed, verdict, failed) = (self.seed, self.verdict, self.failed);
        let run = SweptRun { seed, verdict, failed, measures, trace_hash: self.trace_hash, reproduce: self.reproduce };
        Ok((self.scenario, run))
    }
}
