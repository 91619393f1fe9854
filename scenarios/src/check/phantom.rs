//! Nothing appears that nobody wrote.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::{CheckResult, Findings, agents, brief};
use crate::plan::DocKey;
use crate::record::history::History;
use crate::record::{OpRecord, RunRecord};

/// Compares leaf by leaf: merging may combine values of several writes in one document, but every
/// single value must come from an operation on that document that was not refused.
pub(super) fn check(record: &RunRecord, history: &History<'_>) -> CheckResult {
    let mut findings = Findings::default();
    let mut judged: BTreeSet<(&DocKey, &Arc<str>)> = BTreeSet::new();
    let mut written: BTreeMap<&DocKey, BTreeSet<String>> = BTreeMap::new();
    let mut looked_at = 0u64;
    let mut judge = |key, json, origin: &dyn Fn() -> String| {
        if !judged.insert((key, json)) {
            return;
        }
        looked_at += 1;
        let known = written.entry(key).or_insert_with(|| {
            let operations = history.docs.get(key).map(|doc| doc.operations.as_slice()).unwrap_or_default();
            let may = operations.iter().filter(|operation: &&&OpRecord| operation.may_have_happened());
            may.filter_map(|operation| operation.json.as_deref()).flat_map(leaves).collect()
        });
        if let Some(stranger) = leaves(json).into_iter().find(|leaf| !known.contains(leaf)) {
            findings.add(|| format!("{}: {key} holds {stranger}: {}", origin(), brief(json)));
        }
    };
    // What a node says of its agent has stamps that nobody can foretell; check `agents` judges it.
    let agents = agents::watched(record);
    let of_agent = |key: &DocKey| agents.iter().any(|agent| agents::is_platform(key, agent));
    for (key, doc) in history.docs.iter().filter(|(key, _)| !of_agent(key)) {
        for (node, stream) in &doc.seen {
            for seen in stream {
                if let Some(json) = &seen.json {
                    judge(key, json, &|| format!("{} at {}", record.topology.name(*node), seen.at));
                }
            }
        }
    }
    for replica in &record.finals {
        for (key, doc) in replica.docs.iter().filter(|(key, _)| !of_agent(key)) {
            if let Some(json) = &doc.json {
                judge(key, json, &|| format!("{} at the end", record.topology.name(replica.node)));
            }
        }
    }
    for (key, doc) in &history.docs {
        let deletes = doc
            .seen
            .iter()
            .filter_map(|(node, stream)| Some((*node, stream.iter().find(|seen| seen.json.is_none())?.at)));
        for (node, at) in deletes.filter(|_| !history.deleted(key)) {
            findings.add(|| format!("{} at {at}: {key} is deleted", record.topology.name(node)));
        }
    }
    let good = format!("{looked_at} versions of {} documents hold only what was written", history.docs.len());
    CheckResult::from_findings("no-phantom", findings, "things that nobody wrote", good)
}

/// `path=value` of every scalar; list positions are left out, since merging moves elements, and a
/// number is the same however it is spelt (`1.0`, `1`).
fn leaves(json: &str) -> Vec<String> {
    fn walk(path: &str, value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(fields) => {
                fields.iter().for_each(|(name, value)| walk(&format!("{path}.{name}"), value, found));
            }
            Value::Array(elements) => elements.iter().for_each(|value| walk(&format!("{path}[]"), value, found)),
            Value::Number(number) => {
                let path = path.trim_start_matches('.');
                found.push(match number.as_f64() {
                    Some(float) if number.is_f64() => format!("{path}={float}"),
                    _ => format!("{path}={number}"),
                });
            }
            scalar => found.push(format!("{}={scalar}", path.trim_start_matches('.'))),
        }
    }
    let mut found = Vec::new();
    match serde_json::from_str::<Value>(json) {
        Ok(value @ Value::Object(_)) => walk("", &value, &mut found),
        _ => found.push("something that is not a JSON object".to_owned()),
    }
    found
}
