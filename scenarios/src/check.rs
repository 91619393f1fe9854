//! The verdict over a run: pure functions of scenario and record.
//!
//! Safety checks are always on; they look at content, never at counts. Service levels come from
//! the scenario's `[expect]`. A check that cannot tell says so ([`Verdict::Inconclusive`]), and a
//! fault that did not bite is not a fault that was survived ([`Verdict::Vacuous`]).
//!
//! `docs/checks.md` says of each what it catches, whose idea it is, what it costs and what it cannot see. [`KNOWN`] lists
//! them: none is trusted that has never caught a bug, so the suite of planted bugs holds that list against what was caught.

pub(crate) mod agents;
mod bounded;
mod convergence;
mod deletes;
mod durability;
mod faults;
mod flat;
mod guarantees;
mod interest;
mod isolation;
mod latest_once;
mod levels;
mod phantom;
mod physics;
mod quiet;
mod streams;
#[cfg(test)]
mod tests;
mod writes;

use serde::{Deserialize, Serialize};

use crate::figures::Figures;
use crate::model::Scenario;
use crate::record::RunRecord;
use crate::record::history::History;

/// How a check, or a whole run, ended. In order of precedence: the verdict of a run is the first of
/// these that any check has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Verdict {
    /// The world failed, not the nodes: nothing else in the run can be trusted.
    #[serde(rename = "INFRA-ERROR")]
    InfraError,
    /// The same seed gave two runs.
    #[serde(rename = "NONDETERMINISTIC")]
    Nondeterministic,
    /// An invariant is broken.
    #[serde(rename = "FAIL")]
    Fail,
    /// There is too little to judge.
    #[serde(rename = "INCONCLUSIVE")]
    Inconclusive,
    /// A fault did not bite.
    #[serde(rename = "VACUOUS")]
    Vacuous,
    /// Correct, but not as good as the scenario demands.
    #[serde(rename = "SLO-BREACH")]
    SloBreach,
    /// Good.
    #[serde(rename = "PASS")]
    Pass,
}

impl Verdict {
    /// The word in reports.
    pub const fn word(self) -> &'static str {
        match self {
            Verdict::Pass => "PASS",
            Verdict::Fail => "FAIL",
            Verdict::SloBreach => "SLO-BREACH",
            Verdict::Inconclusive => "INCONCLUSIVE",
            Verdict::Vacuous => "VACUOUS",
            Verdict::InfraError => "INFRA-ERROR",
            Verdict::Nondeterministic => "NONDETERMINISTIC",
        }
    }

    /// The verdict of this word.
    pub fn find(word: &str) -> Option<Verdict> {
        use Verdict::*;
        [Pass, Fail, SloBreach, Inconclusive, Vacuous, InfraError, Nondeterministic]
            .into_iter()
            .find(|verdict| verdict.word() == word)
    }

    /// Exit code of `ddil`; 2, for usage and invalid scenarios, never comes from a verdict.
    pub const fn exit_code(self) -> u8 {
        match self {
            Verdict::Pass => 0,
            Verdict::Fail => 1,
            Verdict::SloBreach => 3,
            Verdict::Inconclusive | Verdict::Vacuous => 4,
            Verdict::InfraError => 5,
            Verdict::Nondeterministic => 6,
        }
    }
}

impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.word())
    }
}

/// What one check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckResult {
    /// Its name.
    pub name: String,
    /// How it ended.
    pub verdict: Verdict,
    /// One line: what was looked at, or what is wrong.
    pub detail: String,
    /// The first [`EVIDENCE`] findings, one line each.
    pub evidence: Vec<String>,
}

/// Findings that are kept per check: the first few tell the story, the count is in the detail.
pub const EVIDENCE: usize = 5;

impl CheckResult {
    fn new(name: &str, verdict: Verdict, detail: impl Into<String>) -> Self {
        CheckResult { name: name.to_owned(), verdict, detail: detail.into(), evidence: Vec::new() }
    }

    /// FAIL with evidence if there are findings, else PASS with `good`.
    fn from_findings(name: &str, findings: Findings, bad: &str, good: String) -> Self {
        if findings.total == 0 {
            return CheckResult::new(name, Verdict::Pass, good);
        }
        let mut result = CheckResult::new(name, Verdict::Fail, format!("{} {bad}", findings.total));
        result.evidence = findings.first;
        result
    }
}

/// Counts all findings and keeps the first few.
#[derive(Debug, Default)]
struct Findings {
    total: u64,
    first: Vec<String>,
}

impl Findings {
    fn add(&mut self, finding: impl FnOnce() -> String) {
        self.total += 1;
        if self.first.len() < EVIDENCE {
            self.first.push(finding());
        }
    }
}

/// A check by name, with the gravest that it can say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Known {
    /// Its name; of the checks `latency of <collection>`, the beginning.
    pub name: &'static str,
    /// What it says of a node that is not as it should be.
    pub gravest: Verdict,
}

/// Every check whose verdict can be the nodes' fault, and `physics`, whose lies are planted in the simulator. `world` and
/// `faults-bit` are not among them: they speak of the world and of the scenario.
pub const KNOWN: &[Known] = &[
    fails("convergence"),
    fails("no-lost-write"),
    fails("no-phantom"),
    fails("deletes-stay"),
    fails("durability"),
    fails("session-order"),
    fails("stream-complete"),
    fails("read-your-writes"),
    fails("monotonic-reads"),
    fails("monotonic-writes"),
    fails("writes-follow-reads"),
    fails("isolation"),
    fails("latest-once"),
    fails("agents"),
    fails("interest-kept"),
    fails("bounded"),
    fails("quiescence"),
    fails("recovery-flat"),
    fails("physics"),
    Known { name: "determinism", gravest: Verdict::Nondeterministic },
    breaches("converge-within"),
    breaches("reconnect-within"),
    breaches("first-byte-within"),
    breaches("connected-within"),
    breaches("dials-in-first-second"),
    breaches("connected-latency-ratio"),
    breaches("connected-p99-within"),
    breaches("bytes-per-operation"),
    breaches("idle-bytes"),
    breaches("latency of"),
];

const fn fails(name: &'static str) -> Known {
    Known { name, gravest: Verdict::Fail }
}

const fn breaches(name: &'static str) -> Known {
    Known { name, gravest: Verdict::SloBreach }
}

impl Known {
    /// The entry of a result; `None` for those that do not speak of the nodes.
    pub fn of(name: &str) -> Option<&'static Known> {
        let is_of_a_collection = |known: &Known| known.name == "latency of" && name.starts_with("latency of ");
        KNOWN.iter().find(|known| known.name == name || is_of_a_collection(known))
    }
}

impl CheckResult {
    /// Does it say that a node is not as it should be?
    pub fn accuses(&self) -> bool {
        matches!(self.verdict, Verdict::Fail | Verdict::SloBreach | Verdict::Nondeterministic)
    }
}

/// All checks of a run: trouble of the world, safety, faults, then the scenario's service levels.
pub fn evaluate(scenario: &Scenario, record: &RunRecord, figures: &Figures) -> Vec<CheckResult> {
    let history = History::of(record);
    let mut results = Vec::new();
    if !record.infra_errors.is_empty() {
        let detail = format!("{} troubles of the world itself", record.infra_errors.len());
        let mut result = CheckResult::new("world", Verdict::InfraError, detail);
        result.evidence = record.infra_errors.iter().take(EVIDENCE).cloned().collect();
        results.push(result);
    }
    results.push(convergence::check(record));
    results.push(writes::check(record, &history));
    results.push(phantom::check(record, &history));
    results.push(deletes::check(record, &history));
    if let Some(result) = durability::check(record, &history) {
        results.push(result);
    }
    results.push(streams::order(record, &history));
    results.push(streams::complete(record, &history));
    results.extend(guarantees::check(record, &history));
    results.extend(isolation::check(record, &history));
    results.extend(latest_once::check(scenario, record, &history));
    results.extend(agents::check(scenario, record, &history));
    results.extend(interest::check(record));
    results.extend(bounded::check(record));
    results.extend(quiet::check(record));
    results.extend(flat::check(record, figures));
    results.extend(physics::check(record, &history));
    results.extend(faults::check(record));
    results.extend(levels::check(&scenario.expect, figures));
    results
}

/// The verdict of the run: the gravest of its checks; INCONCLUSIVE without any.
pub fn overall(results: &[CheckResult]) -> Verdict {
    results.iter().map(|result| result.verdict).min().unwrap_or(Verdict::Inconclusive)
}

/// Do all trace hashes of runs with one seed agree?
pub fn same_trace<'a>(hashes: impl IntoIterator<Item = &'a str>) -> CheckResult {
    let runs = crate::figures::grouped(hashes.into_iter().map(|hash| (hash, ())));
    let total: usize = runs.values().map(Vec::len).sum();
    let name = "determinism";
    match runs.len() {
        0 => CheckResult::new(name, Verdict::Inconclusive, "no run has a trace hash"),
        1 => CheckResult::new(name, Verdict::Pass, format!("{total} runs, one trace hash")),
        kinds => {
            let detail = format!("{total} runs of one seed gave {kinds} traces");
            let mut result = CheckResult::new(name, Verdict::Nondeterministic, detail);
            let line = |(hash, runs): (&&str, &Vec<()>)| format!("{hash}: {} runs", runs.len());
            result.evidence = runs.iter().map(line).take(EVIDENCE).collect();
            result
        }
    }
}

/// A JSON text short enough for a line of evidence.
fn brief(json: &str) -> String {
    const CHARS: usize = 60;
    match json.char_indices().nth(CHARS) {
        None => json.to_owned(),
        Some((end, _)) => format!("{}…", &json[..end]),
    }
}
