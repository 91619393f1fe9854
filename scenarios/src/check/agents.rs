//! What every replica knows of a watched agent is what the agent says.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value;

use super::{CheckResult, Findings, brief};
use crate::model::{Away, Scenario, WorkloadKind};
use crate::plan::{AGENT_COLLECTION, DocKey, NodeIndex};
use crate::record::history::History;
use crate::record::{OpKind, OpRecord, RunRecord};
use crate::report::plural;
use crate::time::SimTime;

/// An agent that is away for at least this time must be told to be stale: three polls of ten seconds, give or take a
/// tenth, and one that may just have begun.
const NOTICED_WITHIN: Duration = Duration::from_secs(45);

/// Names of the nodes that watch an agent.
pub(super) fn watched(record: &RunRecord) -> BTreeSet<&str> {
    reports(record).filter_map(|report| report.key.id.split_once(':')).map(|(agent, _)| agent).collect()
}

/// Whether a document is what a node says of its agent itself.
pub(super) fn is_platform(key: &DocKey, agent: &str) -> bool {
    &*key.collection == "platforms" && &*key.id == agent
}

fn reports(record: &RunRecord) -> impl Iterator<Item = &OpRecord> {
    record.operations.iter().filter(|operation| &*operation.key.collection == AGENT_COLLECTION)
}

/// For every agent, on every running replica that wants its documents: the packages at the end are those that the agent
/// has in the end, in their last versions, and no others. The node beside it says that it is well, and said that it
/// was stale while it was away for long. `None` without agents.
pub(super) fn check(scenario: &Scenario, record: &RunRecord, history: &History<'_>) -> Option<CheckResult> {
    let mut last: BTreeMap<&DocKey, &OpRecord> = BTreeMap::new();
    // In order of issue, which is that of the agent's changes.
    for report in reports(record) {
        last.insert(&report.key, report);
    }
    if last.is_empty() {
        return None;
    }
    let mut findings = Findings::default();
    for replica in record.finals.iter().filter(|replica| replica.running) {
        let spec = record.topology.node(replica.node);
        let due = |key: &DocKey, report: &OpRecord| record.topology.is_due(report.node, replica.node, key);
        for (key, report) in last.iter().filter(|(key, report)| due(key, report) && runs(record, report.node)) {
            let held = replica.docs.get(*key).and_then(|doc| doc.json.as_deref());
            let right = match (report.kind, held) {
                (OpKind::Delete, held) => held.is_none(),
                (_, Some(held)) => history.shows(held, report),
                (_, None) => false,
            };
            if !right {
                let held = held.map_or_else(|| "nothing".to_owned(), brief);
                let should = report.json.as_deref().map_or_else(|| "nothing".to_owned(), brief);
                findings.add(|| format!("{}: {key} is {held}, should be {should}", spec.name));
            }
        }
        let strangers =
            replica.docs.iter().filter(|(key, doc)| &*key.collection == AGENT_COLLECTION && doc.json.is_some());
        for (key, _) in strangers.filter(|(key, _)| !last.contains_key(*key)) {
            findings.add(|| format!("{}: no agent ever had {key}", spec.name));
        }
    }
    let agents = agents(scenario, record);
    for (node, away) in &agents {
        platform(record, history, *node, *away, &mut findings);
    }
    let good = format!(
        "{} of {} as the agents have them, on every replica",
        plural(last.len() as u64, "package"),
        plural(agents.len() as u64, "agent")
    );
    Some(CheckResult::from_findings("agents", findings, "things are not as an agent says", good))
}

fn runs(record: &RunRecord, node: NodeIndex) -> bool {
    record.finals.iter().any(|replica| replica.node == node && replica.running)
}

/// Nodes with an agent, and when that was away.
pub(crate) fn agents(scenario: &Scenario, record: &RunRecord) -> BTreeMap<NodeIndex, Option<Away>> {
    let mut agents = BTreeMap::new();
    for workload in &scenario.workloads {
        let WorkloadKind::Agent { away, .. } = &workload.kind else { continue };
        let nodes = record.topology.nodes.iter().map(|node| node.index);
        let on = nodes.filter(|node| workload.on.iter().any(|group| group == record.topology.group_of(*node)));
        agents.extend(on.map(|node| (node, *away)));
    }
    agents
}

fn platform(record: &RunRecord, history: &History<'_>, node: NodeIndex, away: Option<Away>, findings: &mut Findings) {
    let name = record.topology.name(node);
    let key = DocKey::new("platforms", name);
    if !runs(record, node) {
        return;
    }
    let stream = history.docs.get(&key).and_then(|doc| doc.seen.get(&node)).map(Vec::as_slice).unwrap_or_default();
    let state_of = |json: &str| {
        let platform: Option<Value> = serde_json::from_str(json).ok();
        platform.and_then(|platform| Some(platform.get("agent")?.get("state")?.as_str()?.to_owned()))
    };
    let told: Vec<(SimTime, Option<String>)> =
        stream.iter().map(|seen| (seen.at, seen.json.as_deref().and_then(state_of))).collect();
    match told.last() {
        Some((_, Some(state))) if state == "ok" => {}
        last => {
            let state = last.and_then(|(_, state)| state.as_deref()).unwrap_or("nothing");
            findings.add(|| format!("{name}: says of its agent at the end: {state}, should be ok"));
        }
    }
    let Some(away) = away.filter(|away| away.lasts >= NOTICED_WITHIN) else { return };
    let (from, to) = (SimTime::from(away.from), SimTime::from(away.from + away.lasts));
    let crashed = record.lives.iter().any(|life| life.node == node && (from..to).contains(&life.at));
    let noticed = told.iter().any(|(at, state)| (from..to).contains(at) && state.as_deref() == Some("stale"));
    if !noticed && !crashed {
        findings.add(|| format!("{name}: its agent was away from {from} to {to}, and it never said so"));
    }
}

#[cfg(test)]
mod tests;
