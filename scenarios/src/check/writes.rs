//! No acknowledged write is lost.

use super::{CheckResult, Findings, Verdict, brief};
use crate::record::history::History;
use crate::record::{OpKind, OpRecord, RunRecord};

pub(super) fn check(record: &RunRecord, history: &History<'_>) -> CheckResult {
    let name = "no-lost-write";
    let writes =
        || record.operations.iter().filter(|operation| operation.acknowledged() && operation.kind != OpKind::Delete);
    let acknowledged = writes().count();
    if acknowledged == 0 {
        return CheckResult::new(name, Verdict::Inconclusive, "no write was acknowledged");
    }
    let mut findings = Findings::default();
    for operation in writes() {
        // A delete wins over what was written beside it; what came after it is judged there.
        if history.deleted(&operation.key) {
            continue;
        }
        let wanting = |node| record.topology.is_due(operation.node, node, &operation.key);
        for replica in record.finals.iter().filter(|replica| replica.running && wanting(replica.node)) {
            let text = replica.docs.get(&operation.key).and_then(|doc| doc.json.as_deref());
            if let Some(why) = lost(history, operation, text) {
                findings.add(|| {
                    let (replica, origin) = (record.topology.name(replica.node), record.topology.name(operation.node));
                    format!("{replica}: {}, acknowledged by {origin} at {}: {why}", operation.key, operation.invoked)
                });
            }
        }
    }
    let good = format!("{acknowledged} acknowledged writes are on every replica");
    CheckResult::from_findings(name, findings, "acknowledged writes are missing on a replica", good)
}

/// Why a replica that holds `text` has lost the operation, if it has.
pub(super) fn lost(history: &History<'_>, operation: &OpRecord, text: Option<&str>) -> Option<String> {
    let Some(text) = text else {
        return Some("the document is not there".to_owned());
    };
    let registers = history.registers(text);
    operation.writes.iter().find_map(|(register, counter)| {
        let value = registers.get(&**register).copied().unwrap_or(0);
        let excused = || history.overwritten(&operation.key, register, *counter).is_some_and(|low| value >= low);
        (value < *counter && !excused())
            .then(|| format!("`{register}` is {value}, should be {counter} or later: {}", brief(text)))
    })
}
