//! The trace-event format that ui.perfetto.dev and chrome://tracing open: a process for each node, a track for each
//! peer, slices for sessions, operations and faults, arrows from a write to where it is shown, counters.

use std::time::Duration;

use serde_json::{Value, json};

use super::Report;
use super::curves::Curves;
use crate::figures::arrivals;
use crate::plan::NodeIndex;
use crate::record::{Life, OpKind, RunRecord, TRAFFIC_SLICE};
use crate::time::SimTime;

/// Arrows drawn: the viewer slows down beyond.
const ARROWS: usize = 20_000;
/// Operations drawn.
const OPERATIONS: usize = 20_000;
/// The process of the scenario itself; those of nodes come after it.
const SCENARIO: u32 = 1;
/// Tracks of a node: its life, its operations, what it shows of others', and then one for each peer.
const LIFE: u32 = 1;
const OPERATIONS_TRACK: u32 = 2;
const SHOWN_TRACK: u32 = 3;
/// Length of the slice that stands for a moment: an arrow needs something to end in.
const MOMENT: Duration = Duration::from_micros(100);

impl Report<'_> {
    /// The trace.
    pub fn perfetto(&self) -> String {
        let record = self.record;
        let mut events = Vec::new();
        names(record, &mut events);
        faults(record, &mut events);
        lives(record, &mut events);
        sessions(record, &mut events);
        self.operations(&mut events);
        counters(record, &mut events);
        let meta = &record.meta;
        let about = json!({
            "scenario": meta.scenario,
            "seed": meta.seed,
            "verdict": self.verdict,
            "reproduce": self.reproduce(),
            "trace_hash": record.trace_hash,
        });
        // One event per line: such files are looked at with grep too.
        let lines: Vec<String> = events.iter().map(Value::to_string).collect();
        format!("{{\"displayTimeUnit\":\"ms\",\"otherData\":{about},\"traceEvents\":[\n{}\n]}}\n", lines.join(",\n"))
    }

    fn operations(&self, events: &mut Vec<Value>) {
        let record = self.record;
        let one_of = record.operations.len().div_ceil(OPERATIONS).max(1);
        for (position, operation) in record.operations.iter().enumerate().step_by(one_of) {
            let kind = match operation.kind {
                OpKind::Put => "put",
                OpKind::Edit => "edit",
                OpKind::Delete => "delete",
            };
            let end = operation.completed.unwrap_or(record.meta.duration);
            let end = end.max(operation.invoked + MOMENT);
            let mut event = slice(process(operation.node), OPERATIONS_TRACK, operation.invoked, end, kind);
            event["args"] = json!({
                "document": operation.key.to_string(),
                "op": operation.op.0,
                "outcome": &operation.outcome,
                "position": position,
            });
            events.push(event);
        }
        let (samples, _) = arrivals(record);
        let one_of = samples.len().div_ceil(ARROWS).max(1) * one_of;
        for (id, sample) in samples.iter().enumerate().filter(|(_, sample)| sample.operation.is_multiple_of(one_of)) {
            let operation = &record.operations[sample.operation];
            let Some(completed) = operation.completed else { continue };
            let shown = completed + sample.latency;
            // An arrow needs a slice at both ends.
            let (from, to) = (process(operation.node), process(sample.replica));
            let mut seen = slice(to, SHOWN_TRACK, shown, shown + MOMENT, "shown");
            let latency_ms = sample.latency.as_secs_f64() * 1e3;
            seen["args"] =
                json!({ "document": operation.key.to_string(), "op": operation.op.0, "latency_ms": latency_ms });
            events.push(seen);
            let flow = |ph: &str, pid: u32, tid: u32, at: SimTime| {
                let at = micros(at);
                json!({ "ph": ph, "cat": "sync", "name": "sync", "id": id, "pid": pid, "tid": tid, "ts": at })
            };
            events.push(flow("s", from, OPERATIONS_TRACK, operation.invoked));
            let mut end = flow("f", to, SHOWN_TRACK, shown);
            end["bp"] = json!("e");
            events.push(end);
        }
    }
}

fn micros(at: SimTime) -> f64 {
    at.as_nanos() as f64 / 1e3
}

fn process(node: NodeIndex) -> u32 {
    SCENARIO + 1 + node.0
}

fn slice(pid: u32, tid: u32, from: SimTime, to: SimTime, name: &str) -> Value {
    let length = to.since(from).as_nanos() as f64 / 1e3;
    json!({ "ph": "X", "pid": pid, "tid": tid, "ts": micros(from), "dur": length, "name": name })
}

fn named(pid: u32, tid: Option<u32>, name: &str) -> Value {
    let what = if tid.is_some() { "thread_name" } else { "process_name" };
    let mut event = json!({ "ph": "M", "pid": pid, "name": what, "args": { "name": name } });
    if let Some(tid) = tid {
        event["tid"] = json!(tid);
    }
    event
}

fn names(record: &RunRecord, events: &mut Vec<Value>) {
    events.push(named(SCENARIO, None, "scenario"));
    for node in &record.topology.nodes {
        let pid = process(node.index);
        events.push(named(pid, None, &node.name));
        events.push(json!({ "ph": "M", "pid": pid, "name": "process_sort_index", "args": { "sort_index": pid } }));
        events.push(named(pid, Some(LIFE), "life"));
        events.push(named(pid, Some(OPERATIONS_TRACK), "operations"));
        events.push(named(pid, Some(SHOWN_TRACK), "shown"));
    }
}

/// A track for each fault: two may overlap.
fn faults(record: &RunRecord, events: &mut Vec<Value>) {
    for (position, fault) in record.faults.iter().enumerate() {
        let Some(applied) = fault.applied else { continue };
        let track = u32::try_from(position).unwrap_or(u32::MAX - 1) + 1;
        events.push(named(SCENARIO, Some(track), &format!("fault {}", fault.spec.name)));
        let end = fault.healed.unwrap_or(record.meta.duration);
        let mut event = slice(SCENARIO, track, applied, end, &fault.spec.name);
        let dropped = fault.at_heal.dropped().saturating_sub(fault.at_apply.dropped());
        event["args"] = json!({ "what": fault.spec.description, "dropped": dropped });
        events.push(event);
    }
}

fn lives(record: &RunRecord, events: &mut Vec<Value>) {
    for node in &record.topology.nodes {
        let mut began = None;
        for life in record.lives.iter().filter(|life| life.node == node.index) {
            match (life.event, began.take()) {
                (Life::Crashed, Some(from)) => events.push(slice(process(node.index), LIFE, from, life.at, "runs")),
                (Life::Crashed, None) => {}
                (Life::Started | Life::Restarted, _) => began = Some(life.at),
            }
        }
        events.extend(began.map(|from| slice(process(node.index), LIFE, from, record.meta.duration, "runs")));
    }
}

fn sessions(record: &RunRecord, events: &mut Vec<Value>) {
    let (ends, _) = super::html::sessions(record);
    for (node, triples) in record.topology.nodes.iter().zip(&ends) {
        let mut known = std::collections::BTreeSet::new();
        for triple in triples.chunks_exact(3) {
            let peer = NodeIndex(triple[0] as u32);
            let track = SHOWN_TRACK + 1 + peer.0;
            let name = format!("session with {}", record.topology.name(peer));
            if known.insert(track) {
                events.push(named(process(node.index), Some(track), &name));
            }
            let at = |millis: f64| SimTime::from_nanos((millis * 1e6).round() as u64);
            events.push(slice(process(node.index), track, at(triple[1]), at(triple[2]), "session"));
        }
    }
}

fn counters(record: &RunRecord, events: &mut Vec<Value>) {
    let (samples, never) = arrivals(record);
    let curves = Curves::of(record, &samples, &never);
    let mut at = SimTime::ZERO;
    for missing in &curves.total {
        let args = json!({ "writes": missing });
        events.push(json!({ "ph": "C", "pid": SCENARIO, "ts": micros(at), "name": "missing", "args": args }));
        at += curves.step;
    }
    let slices = record.traffic.by_class.iter().map(|class| class.by_slice.len()).max().unwrap_or_default();
    let mut at = SimTime::ZERO;
    for slice in 0..slices {
        let mut args = serde_json::Map::new();
        for class in &record.traffic.by_class {
            args.insert(class.class.clone(), json!(class.by_slice.get(slice).copied().unwrap_or_default()));
        }
        events.push(json!({ "ph": "C", "pid": SCENARIO, "ts": micros(at), "name": "bytes by class", "args": args }));
        at += TRAFFIC_SLICE;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::good;

    #[test]
    fn a_trace_reads_like_this() {
        let (scenario, record) = good();
        let trace = Report::of(&scenario, &record).perfetto();
        let rows: Vec<&str> = trace.lines().collect();
        let arrow = rows.iter().position(|row| row.contains("\"ph\":\"s\"")).unwrap();
        insta::assert_snapshot!([&rows[..32], &["…"], &rows[arrow - 2..arrow + 2]].concat().join("\n"));
    }

    #[test]
    fn every_arrow_has_two_ends_in_slices_that_exist() {
        let (scenario, record) = good();
        let trace: Value = serde_json::from_str(&Report::of(&scenario, &record).perfetto()).unwrap();
        let events = trace["traceEvents"].as_array().unwrap();
        let of = |ph: &str| events.iter().filter(|event| event["ph"] == ph).collect::<Vec<_>>();
        let (begins, ends, slices) = (of("s"), of("f"), of("X"));
        assert!(begins.len() > 100 && begins.len() == ends.len());
        for (begin, end) in begins.iter().zip(&ends) {
            assert_eq!(begin["id"], end["id"]);
            for point in [begin, end] {
                let same = |slice: &Value, field: &str| slice[field] == point[field];
                let here = |slice: &&&Value| ["pid", "tid", "ts"].iter().all(|field| same(slice, field));
                assert!(slices.iter().any(|slice| here(&slice)), "{point}");
            }
        }
    }
}
