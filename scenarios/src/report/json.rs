//! The report as JSON.

use serde::Serialize;

use super::Report;
use crate::check::{CheckResult, Verdict};
use crate::figures::Figures;
use crate::record::{FaultRecord, Precision, RunMeta, RunRecord};
use crate::sweep::Measure;

/// The content of a report with stable names. Times ending in `_ns`, and moments, are nanoseconds
/// of scenario time.
#[derive(Debug, Serialize)]
pub struct JsonReport<'a> {
    /// `PASS`, `FAIL`, `SLO-BREACH`, `INCONCLUSIVE`, `VACUOUS`, `INFRA-ERROR`, `NONDETERMINISTIC`.
    pub verdict: Verdict,
    /// What the process exits with.
    pub exit_code: u8,
    /// What was run, where.
    pub run: &'a RunMeta,
    /// Real nanoseconds that the run took.
    pub wall_ns: u64,
    /// How exactly the world measured; absent in virtual time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    /// Hash over the trace, if the world has one.
    pub trace_hash: Option<&'a str>,
    /// One line that runs it again.
    pub reproduce: String,
    /// Every check.
    pub checks: &'a [CheckResult],
    /// Everything measured.
    pub figures: &'a Figures,
    /// The same figure by figure: name, unit, value, bound, and which way is better.
    pub measures: &'a [Measure],
    /// Every fault, when it began and ended, and the counts of its links then.
    pub faults: &'a [FaultRecord],
    /// The whole record, if asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub record: Option<&'a RunRecord>,
}

impl Report<'_> {
    /// As JSON; `full` adds the whole record, tens of megabytes for a large run.
    pub fn json(&self, full: bool) -> JsonReport<'_> {
        JsonReport {
            verdict: self.verdict,
            exit_code: self.verdict.exit_code(),
            run: &self.record.meta,
            wall_ns: u64::try_from(self.record.wall.as_nanos()).unwrap_or(u64::MAX),
            precision: self.record.precision,
            trace_hash: self.record.trace_hash.as_deref(),
            reproduce: self.reproduce(),
            checks: &self.checks,
            figures: &self.figures,
            measures: &self.measures,
            faults: &self.record.faults,
            record: full.then_some(self.record),
        }
    }
}
