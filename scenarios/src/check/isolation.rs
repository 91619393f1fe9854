//! Formations that can reach each other exchange nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{CheckResult, Findings};
use crate::plan::{DocKey, NodeIndex};
use crate::record::RunRecord;
use crate::record::history::History;
use crate::report::plural;

/// No node has a session with a node of another formation, holds or is shown a document that only another formation
/// writes. `None` with one formation.
pub(super) fn check(record: &RunRecord, history: &History<'_>) -> Option<CheckResult> {
    let topology = &record.topology;
    let formation = |node: NodeIndex| topology.node(node).formation.as_str();
    let formations: BTreeSet<&str> = topology.nodes.iter().map(|node| node.formation.as_str()).collect();
    if formations.len() < 2 {
        return None;
    }
    let mut owners: BTreeMap<&DocKey, BTreeSet<&str>> = BTreeMap::new();
    for operation in record.operations.iter().filter(|operation| operation.may_have_happened()) {
        owners.entry(&operation.key).or_default().insert(formation(operation.node));
    }
    let foreign = |node, key: &DocKey| owners.get(key).is_some_and(|owners| !owners.contains(formation(node)));
    let mut findings = Findings::default();
    for event in record.sessions.iter().filter(|event| event.up && !topology.allied(event.node, event.peer)) {
        let (node, peer) = (topology.name(event.node), topology.name(event.peer));
        findings.add(|| format!("{node} had a session with {peer} of another formation at {}", event.at));
    }
    for (key, doc) in &history.docs {
        for (node, stream) in doc.seen.iter().filter(|(node, _)| foreign(**node, key)) {
            let at = stream.first().map(|seen| seen.at).unwrap_or_default();
            findings.add(|| format!("{} was shown {key} of another formation at {at}", topology.name(*node)));
        }
    }
    for replica in &record.finals {
        for key in replica.docs.keys().filter(|key| foreign(replica.node, key)) {
            findings.add(|| format!("{} holds {key} of another formation", topology.name(replica.node)));
        }
    }
    let good = format!("{} kept their documents to themselves", plural(formations.len() as u64, "formation"));
    Some(CheckResult::from_findings("isolation", findings, "things crossed from one formation to another", good))
}
