//! What a Subscribe stream promises.

use std::collections::BTreeMap;

use super::{CheckResult, Findings, Verdict, brief};
use crate::plan::NodeIndex;
use crate::record::history::{History, Registers, Seen};
use crate::record::{Life, RunRecord};
use crate::time::SimTime;

/// Within one life of a node, no register goes back.
pub(super) fn order(record: &RunRecord, history: &History<'_>) -> CheckResult {
    let restarts = restarts(record);
    let mut findings = Findings::default();
    for (key, doc) in &history.docs {
        for (node, stream) in &doc.seen {
            let births = restarts.get(node).map(Vec::as_slice).unwrap_or_default();
            let life = |seen: &Seen| births.partition_point(|birth| *birth <= seen.at);
            for pair in stream.windows(2) {
                let [before, after] = pair else { continue };
                let (Some(old), Some(new)) = (&before.json, &after.json) else {
                    continue;
                };
                if life(before) != life(after) {
                    continue;
                }
                let back = went_back(history.registers(old), history.registers(new));
                let back = back
                    .into_iter()
                    .find(|(register, from, to)| history.overwritten(key, register, *from).is_none_or(|low| *to < low));
                if let Some((register, from, to)) = back {
                    let node = record.topology.name(*node);
                    findings.add(|| {
                        format!("{node} at {}: {key} `{register}` went from {from} to {to}: {}", after.at, brief(new))
                    });
                }
            }
        }
    }
    let good = format!("{} events, none goes back", record.visibility.len());
    CheckResult::from_findings("session-order", findings, "events go back in time", good)
}

fn went_back<'r>(old: &'r Registers, new: &Registers) -> Vec<(&'r str, u64, u64)> {
    old.iter()
        .map(|(register, from)| (register.as_str(), *from, new.get(register).copied().unwrap_or(0)))
        .filter(|(_, from, to)| to < from)
        .collect()
}

/// When nodes began another life.
fn restarts(record: &RunRecord) -> BTreeMap<NodeIndex, Vec<SimTime>> {
    let mut restarts: BTreeMap<NodeIndex, Vec<SimTime>> = BTreeMap::new();
    for life in record.lives.iter().filter(|life| life.event == Life::Restarted) {
        restarts.entry(life.node).or_default().push(life.at);
    }
    restarts
}

/// The last event of every document is what the replica holds in the end.
pub(super) fn complete(record: &RunRecord, history: &History<'_>) -> CheckResult {
    let name = "stream-complete";
    if record.visibility.is_empty() {
        return CheckResult::new(name, Verdict::Inconclusive, "no stream delivered anything");
    }
    let births = restarts(record);
    let mut findings = Findings::default();
    for replica in record.finals.iter().filter(|replica| replica.running) {
        let node = record.topology.name(replica.node);
        let births = births.get(&replica.node).map(Vec::as_slice).unwrap_or_default();
        for (key, doc) in &history.docs {
            let held = replica.docs.get(key).and_then(|doc| doc.json.as_deref());
            let last = doc.seen.get(&replica.node).and_then(|stream| stream.last());
            let told = last.and_then(|seen| seen.json.as_deref());
            // A stream begins with what is there: of what went between a restart and that, it has nothing to say.
            let of_this_life = last.is_some_and(|seen| births.iter().all(|birth| *birth <= seen.at));
            if held != told && (held.is_some() || of_this_life) {
                let say = |text: Option<&str>, none: &str| text.map_or_else(|| none.to_owned(), brief);
                findings.add(|| {
                    let (holds, told) = (say(held, "nothing"), say(told, "nothing"));
                    format!("{node}: {key}: holds {holds}, its stream said last {told}")
                });
            }
        }
    }
    let good = "every stream ends with what its replica holds".to_owned();
    CheckResult::from_findings(name, findings, "documents were not told to a subscriber", good)
}
