//! Did the faults bite?

use std::collections::BTreeMap;

use super::{CheckResult, EVIDENCE, Verdict};
use crate::plan::FaultClass;
use crate::record::{FaultEffect, RunRecord};
use crate::report::plural;

/// Every fault has begun and done something: [`FaultEffect::toothless`] says for each class what counts. The parts of a
/// composite fault are one: of a link that flaps, some drops may fall between two datagrams. `None` without faults.
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
    let effects = effects(record);
    let toothless: Vec<String> = effects
        .iter()
        .filter_map(|(name, class, effect)| Some(format!("{name}: {}", effect.toothless(*class)?)))
        .collect();
    if toothless.is_empty() {
        let lost: u64 = effects.iter().map(|(_, _, effect)| effect.datagrams_blocked).sum();
        let detail = format!("{}, {} cut off", plural(effects.len() as u64, "fault"), plural(lost, "datagram"));
        return Some(CheckResult::new(name, Verdict::Pass, detail));
    }
    let detail = format!("{} of {} faults disturbed nothing", toothless.len(), effects.len());
    let mut result = CheckResult::new(name, Verdict::Vacuous, detail);
    result.evidence = toothless.into_iter().take(EVIDENCE).collect();
    Some(result)
}

/// What each fault did, in order; a composite one once, where its first part is.
fn effects(record: &RunRecord) -> Vec<(&str, FaultClass, FaultEffect)> {
    let mut effects: Vec<(&str, FaultClass, FaultEffect)> = Vec::new();
    let mut families: BTreeMap<&str, usize> = BTreeMap::new();
    for fault in &record.faults {
        let Some(family) = fault.spec.family.as_deref() else {
            effects.push((&fault.spec.name, fault.spec.class, fault.effect.clone()));
            continue;
        };
        match families.get(family) {
            Some(position) => effects[*position].2.add(&fault.effect),
            None => {
                families.insert(family, effects.len());
                effects.push((family, fault.spec.class, fault.effect.clone()));
            }
        }
    }
    effects
}
