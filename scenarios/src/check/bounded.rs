//! What is bounded stays within its bound.

use super::{CheckResult, Findings};
use crate::record::RunRecord;
use crate::report::{count, plural};

/// No queue, cache or backlog that a node lets the world look at was above its own limit. `None` where the world sees
/// none.
pub(super) fn check(record: &RunRecord) -> Option<CheckResult> {
    if record.gauges.is_empty() {
        return None;
    }
    let mut findings = Findings::default();
    for mark in record.gauges.iter().filter(|mark| mark.value > mark.limit) {
        let (node, name) = (record.topology.name(mark.node), &mark.name);
        findings.add(|| format!("{node} at {}: {name}: {} of {}", mark.at, count(mark.value), count(mark.limit)));
    }
    let share = |value: u64, limit: u64| value as f64 / limit.max(1) as f64;
    let fullest = record.gauges.iter().max_by(|a, b| share(a.value, a.limit).total_cmp(&share(b.value, b.limit)));
    let fullest = fullest.map(|mark| {
        let (node, percent) = (record.topology.name(mark.node), 100.0 * share(mark.value, mark.limit));
        format!("; the fullest: {} at {node}, {percent:.0} %", mark.name)
    });
    let gauges = plural(record.gauges.len() as u64, "gauge");
    let good = format!("{gauges} within bounds{}", fullest.unwrap_or_default());
    Some(CheckResult::from_findings("bounded", findings, "things grew beyond their bound", good))
}
