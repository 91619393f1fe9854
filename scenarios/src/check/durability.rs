//! Acknowledged means durable.

use super::{CheckResult, Findings, Verdict, writes};
use crate::plan::FaultClass;
use crate::record::history::History;
use crate::record::{Life, OpKind, OpRecord, RunRecord};
use crate::report::plural;

/// The disk that had it was lost meanwhile: its node has it from others, if at all.
fn lost_since(record: &RunRecord, operation: &OpRecord) -> bool {
    record.faults.iter().any(|fault| {
        fault.spec.class == FaultClass::DataLoss
            && fault.spec.node == Some(operation.node)
            && fault.applied >= operation.completed
    })
}

/// What a node acknowledged before a crash must be in what it holds right after the restart,
/// before any peer could have brought it back. `None` when no node restarted.
pub(super) fn check(record: &RunRecord, history: &History<'_>) -> Option<CheckResult> {
    let name = "durability";
    // A disk that was lost is not asked.
    let emptied = |node, at| {
        record.faults.iter().any(|fault| {
            fault.spec.class == FaultClass::DataLoss && fault.spec.node == Some(node) && fault.healed == Some(at)
        })
    };
    let restarts: Vec<_> =
        record.lives.iter().filter(|life| life.event == Life::Restarted && !emptied(life.node, life.at)).collect();
    if restarts.is_empty() {
        return None;
    }
    let mut findings = Findings::default();
    let mut looked_at = 0u64;
    for restart in &restarts {
        let crash = record
            .lives
            .iter()
            .filter(|life| life.node == restart.node && life.event == Life::Crashed && life.at <= restart.at);
        let crashed = crash.map(|life| life.at).max().unwrap_or(restart.at);
        let taken =
            record.restart_snapshots.iter().find(|snapshot| snapshot.node == restart.node && snapshot.at >= restart.at);
        let Some(snapshot) = taken else {
            let node = record.topology.name(restart.node);
            let detail = format!("nobody looked at {node} after its restart at {}", restart.at);
            return Some(CheckResult::new(name, Verdict::Inconclusive, detail));
        };
        let own = record.operations.iter().filter(|operation| {
            operation.node == restart.node
                && operation.acknowledged()
                && operation.completed.is_some_and(|completed| completed <= crashed)
                && !lost_since(record, operation)
        });
        for operation in own {
            looked_at += 1;
            let text = snapshot.docs.get(&operation.key).map(|text| &**text);
            let why = match operation.kind {
                OpKind::Delete if text.is_some() && !history.revived(&operation.key) => {
                    Some("the document is there again".to_owned())
                }
                OpKind::Delete => None,
                _ if history.deleted(&operation.key) => None,
                _ => writes::lost(history, operation, text),
            };
            if let Some(why) = why {
                findings.add(|| {
                    let node = record.topology.name(restart.node);
                    format!(
                        "{node} after its restart at {}: {}, acknowledged at {}: {why}",
                        restart.at,
                        operation.key,
                        operation.completed.unwrap_or(operation.invoked)
                    )
                });
            }
        }
    }
    if looked_at == 0 {
        let detail = "no restarted node had acknowledged anything before its crash";
        return Some(CheckResult::new(name, Verdict::Inconclusive, detail));
    }
    let good =
        format!("{looked_at} acknowledged operations were on disk after {}", plural(restarts.len() as u64, "restart"));
    Some(CheckResult::from_findings(name, findings, "acknowledged operations were not durable", good))
}
