//! Recovery takes as long after a long outage as after a short one.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CheckResult, Findings};
use crate::figures::{Cause, Figures, Settled};
use crate::plan::FaultClass;
use crate::record::RunRecord;
use crate::report::{plural, span};

/// Outages that are compared last this long at least: twice QUIC's idle time-out, so that every session over the links was
/// lost and dialling had found its rhythm.
const OUTAGE_MIN: Duration = Duration::from_secs(20);
/// And the longest of the same links is longer than the shortest by this factor: less says nothing about growth.
const LONGER: u32 = 3;
/// What chance may do to one reconnection and not to another: jitter of the cadence, a lost handshake.
const SLACK: Duration = Duration::from_secs(5);

/// For each set of links that was cut several times: reconnecting after the longest outage against the shortest. `None`
/// when nothing can be compared.
pub(super) fn check(record: &RunRecord, figures: &Figures) -> Option<CheckResult> {
    let mut outages: BTreeMap<_, Vec<(Duration, Duration, &str)>> = BTreeMap::new();
    for fault in record.faults.iter().filter(|fault| fault.spec.class == FaultClass::Cut) {
        let (Some(applied), Some(healed)) = (fault.applied, fault.healed) else { continue };
        let recovery = figures.recoveries.iter().find(|recovery| {
            recovery.cause == Cause::Heal && recovery.at == healed && recovery.name == fault.spec.name
        });
        let took = match recovery.map(|recovery| recovery.reconnected) {
            Some(Settled::After(took)) => took,
            // At least that; less than the limit says nothing.
            Some(Settled::Interrupted { after, .. }) => after,
            Some(Settled::Never { .. }) => record.meta.duration.since(healed),
            Some(Settled::Nothing | Settled::Unmeasured) | None => continue,
        };
        let lasted = healed.since(applied);
        if lasted >= OUTAGE_MIN {
            outages.entry(&fault.spec.pairs).or_default().push((lasted, took, &fault.spec.name));
        }
    }
    let mut findings = Findings::default();
    let (mut compared, mut worst) = (0u64, Duration::ZERO);
    for outages in outages.into_values() {
        let (Some(short), Some(long)) = (outages.iter().min(), outages.iter().max()) else { continue };
        if long.0 < short.0 * LONGER {
            continue;
        }
        compared += 1;
        worst = worst.max(long.1);
        if long.1 > short.1 * 3 + SLACK {
            let told = |(lasted, took, name): &(Duration, Duration, &str)| {
                format!("{} after {name} of {}", span(*took), span(*lasted))
            };
            findings.add(|| format!("{}, {}", told(long), told(short)));
        }
    }
    if compared == 0 {
        return None;
    }
    let good = format!("{} of links compared, at most {}", plural(compared, "set"), span(worst));
    Some(CheckResult::from_findings(
        "recovery-flat",
        findings,
        "sets of links recover later the longer they were cut",
        good,
    ))
}
