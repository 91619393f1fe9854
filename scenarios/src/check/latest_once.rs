//! A backlog is state, not messages: of a burst, each replica gets the latest version, once.

use std::collections::BTreeSet;

use super::{CheckResult, Findings};
use crate::model::{Scenario, WorkloadKind};
use crate::plan::{DocKey, NodeIndex, burst_id};
use crate::record::history::{DocHistory, History, Seen};
use crate::record::{Life, RunRecord};
use crate::report::{count, plural};
use crate::time::SimTime;

/// For every document of every `burst`, on every replica that wants it and did not write it: after its last
/// write was acknowledged, the version of that write is shown exactly once within a life of the node, and no
/// version is ever shown twice. Older versions that were on their way by then are counted, not judged: what a
/// link has taken cannot be taken back. `None` without a burst.
pub(super) fn check(scenario: &Scenario, record: &RunRecord, history: &History<'_>) -> Option<CheckResult> {
    let mut findings = Findings::default();
    let (mut documents, mut late, mut bursts) = (0u64, 0u64, 0);
    for (position, workload) in scenario.workloads.iter().enumerate() {
        let WorkloadKind::Burst { collection, documents: of_each, .. } = &workload.kind else { continue };
        bursts += 1;
        let authors = record
            .topology
            .nodes
            .iter()
            .filter(|node| workload.on.iter().any(|group| *group == *record.topology.group_of(node.index)));
        for author in authors {
            for number in 0..*of_each {
                let key = DocKey::new(collection, &burst_id(&author.name, position, number));
                let Some(doc) = history.docs.get(&key) else { continue };
                let Some(last) = Last::of(doc) else { continue };
                documents += 1;
                late += judge(record, history, &key, doc, &last, &mut findings);
            }
        }
    }
    if bursts == 0 {
        return None;
    }
    let good = format!(
        "{} each once in the latest version; {} of older versions were on their way",
        plural(documents, "document"),
        count(late)
    );
    Some(CheckResult::from_findings("latest-once", findings, "versions of a burst came twice or not at all", good))
}

/// The last write of a document.
struct Last {
    author: NodeIndex,
    version: u64,
    acknowledged: SimTime,
}

impl Last {
    /// `None` when none was acknowledged, or when a later one may have happened.
    fn of(doc: &DocHistory<'_>) -> Option<Self> {
        let last = doc.operations.iter().rfind(|operation| operation.may_have_happened())?;
        let (_, version) = last.writes.iter().find(|(register, _)| &**register == "counter")?;
        let acknowledged = last.completed.filter(|_| last.acknowledged())?;
        Some(Last { author: last.node, version: *version, acknowledged })
    }
}

/// Returns how many older versions came after the last was acknowledged.
fn judge(
    record: &RunRecord,
    history: &History<'_>,
    key: &DocKey,
    doc: &DocHistory<'_>,
    last: &Last,
    findings: &mut Findings,
) -> u64 {
    let mut late = 0;
    for replica in record.finals.iter().filter(|replica| replica.running && replica.node != last.author) {
        if !record.topology.is_due(last.author, replica.node, key) {
            continue;
        }
        let name = record.topology.name(replica.node);
        let restarted = record.lives.iter().filter(|life| life.node == replica.node && life.event == Life::Restarted);
        let since = restarted.map(|life| life.at).max().unwrap_or_default();
        let version = |seen: &Seen| {
            let text = seen.json.as_deref()?;
            history.registers(text).get("counter").copied()
        };
        let stream = doc.seen.get(&replica.node).into_iter().flatten().filter(|seen| seen.at >= since);
        let mut versions = BTreeSet::new();
        for seen in stream {
            let Some(shown) = version(seen) else { continue };
            if !versions.insert(shown) {
                findings.add(|| format!("{}: {key} version {shown} came again at {}", name, seen.at));
            }
            late += u64::from(shown < last.version && seen.at > last.acknowledged);
        }
        if !versions.contains(&last.version) {
            findings.add(|| format!("{}: {key} never came in version {}, its last", name, last.version));
        }
    }
    late
}
