//! The JSON document of `ddil run --json`.

use peat_scenarios::check::Verdict;
use peat_scenarios::report::Report;
use serde::Serialize;
use serde_json::{Value, json};

use crate::exit::Exit;

/// One document over all scenarios: the same shape for one and for many.
#[derive(Debug, Serialize)]
pub struct Document {
    /// The gravest of the runs.
    verdict: Verdict,
    /// What the process exits with.
    exit_code: u8,
    /// One entry per scenario, in the order of the command line.
    runs: Vec<Value>,
}

impl Document {
    /// A document over what was run.
    pub fn new(verdicts: impl Iterator<Item = Verdict>, runs: Vec<Value>) -> Self {
        let verdict = verdicts.min_by_key(|verdict| Exit::of(*verdict)).unwrap_or(Verdict::Inconclusive);
        Document { verdict, exit_code: verdict.exit_code(), runs }
    }
}

/// The entry of a run that was judged.
pub fn judged(report: &Report<'_>) -> Value {
    serde_json::to_value(report.json(false)).expect("invariant: a report has string keys only")
}

/// The entry of a run that could not be carried out.
pub fn not_run(scenario: &str, source: &str, seed: u64, error: &str, reproduce: &str) -> Value {
    json!({
        "verdict": Verdict::InfraError,
        "exit_code": Verdict::InfraError.exit_code(),
        "run": { "scenario": scenario, "source": source, "seed": seed },
        "error": error,
        "reproduce": reproduce,
    })
}

/// Indented, with a newline at the end.
pub fn pretty(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("invariant: our types serialize to JSON");
    text.push('\n');
    text
}
