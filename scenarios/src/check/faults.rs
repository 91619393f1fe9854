//! Did the faults bite?

use super::{CheckResult, EVIDENCE, Verdict};
use crate::plan::FaultClass;
use crate::record::{FaultRecord, RunRecord};
use crate::report::plural;

/// A cut must have taken at least one datagram, a degraded link must have carried one, a crash must
/// have happened to a running node. `None` without faults.
///
/// Operations issued during a cut do not count as a bite: a cut between groups that never talk to
/// each other disturbs nothing, however much they write.
pub(super) fn check(record: &RunRecord) -> Option<CheckResult> {
    let name = "faults-bit";
    if record.faults.is_empty() {
        return None;
    }
    let never: Vec<&str> =
        record.faults.iter().filter(|fault| fault.applied.is_none()).map(|fault| fault.spec.name.as_str()).collect();
    if !never.is_empty() {
        let mut result = CheckResult::new(name, Verdict::Inconclusive, format!("{} faults never began", never.len()));
        result.evidence = never.iter().take(EVIDENCE).map(|name| (*name).to_owned()).collect();
        return Some(result);
    }
    let toothless: Vec<String> = record.faults.iter().filter_map(toothless).collect();
    if toothless.is_empty() {
        let lost: u64 =
            record.faults.iter().map(|fault| fault.at_heal.cut().saturating_sub(fault.at_apply.cut())).sum();
        let detail = format!("{}, {} cut off", plural(record.faults.len() as u64, "fault"), plural(lost, "datagram"));
        return Some(CheckResult::new(name, Verdict::Pass, detail));
    }
    let detail = format!("{} of {} faults disturbed nothing", toothless.len(), record.faults.len());
    let mut result = CheckResult::new(name, Verdict::Vacuous, detail);
    result.evidence = toothless.into_iter().take(EVIDENCE).collect();
    Some(result)
}

fn toothless(fault: &FaultRecord) -> Option<String> {
    let (before, after) = (&fault.at_apply, &fault.at_heal);
    let name = &fault.spec.name;
    match fault.spec.class {
        FaultClass::Cut if after.cut() == before.cut() => Some(format!("{name}: not one datagram was dropped")),
        FaultClass::Degrade if after.offered == before.offered => {
            Some(format!("{name}: not one datagram was sent over the degraded link"))
        }
        _ => None,
    }
}
