//! Who asks for less than everything carries less than everything.

use std::collections::BTreeSet;

use super::{CheckResult, Findings};
use crate::plan::{DocKey, NodeIndex};
use crate::record::RunRecord;
use crate::report::plural;

/// A node with an interest holds what it asked for and what it wrote itself, and is shown nothing else. `None`
/// when every node wants everything.
pub(super) fn check(record: &RunRecord) -> Option<CheckResult> {
    let choosy: Vec<NodeIndex> =
        record.topology.nodes.iter().filter(|node| !node.interest.is_empty()).map(|node| node.index).collect();
    if choosy.is_empty() {
        return None;
    }
    let own: BTreeSet<(NodeIndex, &DocKey)> = record
        .operations
        .iter()
        .filter(|operation| operation.may_have_happened())
        .map(|operation| (operation.node, &operation.key))
        .collect();
    let foreign = |node: NodeIndex, key: &DocKey| {
        let spec = record.topology.node(node);
        !spec.interest.is_empty() && !spec.wants(key) && !own.contains(&(node, key))
    };
    let mut findings = Findings::default();
    for replica in record.finals.iter().filter(|replica| replica.running) {
        for key in replica.docs.keys().filter(|key| foreign(replica.node, key)) {
            findings.add(|| format!("{} holds {key}, which it did not ask for", record.topology.name(replica.node)));
        }
    }
    let mut told = BTreeSet::new();
    for event in record.visibility.iter().filter(|event| foreign(event.node, &event.key)) {
        if told.insert((event.node, &event.key)) {
            let node = record.topology.name(event.node);
            findings.add(|| format!("{node} was shown {} at {}, which it did not ask for", event.key, event.at));
        }
    }
    let good = format!("{} with an interest carry nothing else", plural(choosy.len() as u64, "node"));
    Some(CheckResult::from_findings("interest-kept", findings, "documents went where nobody asked for them", good))
}
