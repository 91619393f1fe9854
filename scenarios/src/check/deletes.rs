//! Deletes stay deleted, and win over what was written beside them.

use super::{CheckResult, Findings};
use crate::record::history::History;
use crate::record::{OpKind, RunRecord};

pub(super) fn check(record: &RunRecord, history: &History<'_>) -> CheckResult {
    let mut findings = Findings::default();
    let mut deleted = 0u64;
    for (key, doc) in &history.docs {
        let acknowledged =
            doc.operations.iter().find(|operation| operation.kind == OpKind::Delete && operation.acknowledged());
        // The rule ends where an application puts the document again, knowing that it was deleted.
        if history.revived(key) {
            continue;
        }
        if let Some(delete) = acknowledged {
            deleted += 1;
            let holds = record
                .finals
                .iter()
                .filter(|replica| replica.running && replica.docs.get(key).is_some_and(|doc| doc.json.is_some()));
            for replica in holds {
                let (node, by) = (record.topology.name(replica.node), record.topology.name(delete.node));
                findings.add(|| format!("{node}: {key} is there at the end; {by} deleted it at {}", delete.invoked));
            }
        }
        for (node, stream) in &doc.seen {
            let mut gone = None;
            for seen in stream {
                match (&seen.json, gone) {
                    (None, _) => gone = Some(seen.at),
                    (Some(_), Some(gone)) => {
                        let node = record.topology.name(*node);
                        findings.add(|| format!("{node}: {key} came back at {}, deleted at {gone}", seen.at));
                        break;
                    }
                    (Some(_), None) => {}
                }
            }
        }
    }
    let good = match deleted {
        0 => "nothing was deleted".to_owned(),
        _ => format!("{deleted} deleted documents stayed deleted on every replica"),
    };
    CheckResult::from_findings("deletes-stay", findings, "deletes were undone", good)
}
