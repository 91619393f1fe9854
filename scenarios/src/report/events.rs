//! The event log: one JSON object per line, in order of time. `docs/reports.md` has the fields.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::Report;
use crate::check::CheckResult;
use crate::figures::arrivals;
use crate::plan::NodeIndex;
use crate::record::{Change, Life, OpKind, Outcome};
use crate::time::SimTime;

/// Names the format.
pub(super) const FORMAT: &str = "ddil.events";
/// Version of the format. It rises when a field changes its meaning or goes.
pub(super) const SCHEMA: u32 = 1;

/// Events of one moment stand in this order: causes before what follows from them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Fault,
    Node,
    Dial,
    Session,
    Invoked,
    Completed,
    Visible,
    Converged,
}

struct Log {
    events: Vec<(SimTime, Rank, &'static str, Map<String, Value>)>,
}

impl Log {
    fn add(&mut self, at: SimTime, rank: Rank, event: &'static str, fields: Value) {
        let Value::Object(fields) = fields else { unreachable!("invariant: the fields of an event are an object") };
        self.events.push((at, rank, event, fields));
    }
}

impl Report<'_> {
    /// The event log.
    pub fn events(&self) -> String {
        let mut log = Log { events: Vec::new() };
        self.network(&mut log);
        self.applications(&mut log);
        log.events.sort_by_key(|(at, rank, ..)| (*at, *rank));
        let meta = &self.record.meta;
        let header = json!({
            "event": "run",
            "format": FORMAT,
            "schema": SCHEMA,
            "scenario": meta.scenario,
            "seed": meta.seed,
            "world": meta.world,
            "engine": meta.engine,
            "duration_ns": meta.duration,
            "nodes": self.record.topology.nodes.iter().map(|node| &node.name).collect::<Vec<_>>(),
            "trace_hash": self.record.trace_hash,
        });
        let lines = log.events.len() + 2;
        let mut out = format!("{header}\n");
        for (at, _, event, fields) in log.events {
            let mut line = Map::new();
            line.insert("t_ns".to_owned(), json!(at));
            line.insert("event".to_owned(), json!(event));
            line.extend(fields);
            out.push_str(&Value::Object(line).to_string());
            out.push('\n');
        }
        let end = json!({
            "t_ns": meta.duration,
            "event": "end",
            "verdict": self.verdict,
            "exit_code": self.verdict.exit_code(),
            "checks": self.checks.iter().map(|result: &CheckResult| json!(result)).collect::<Vec<_>>(),
            "lines": lines,
        });
        out.push_str(&format!("{end}\n"));
        out
    }

    /// Nodes, faults, dials and sessions.
    fn network(&self, log: &mut Log) {
        let record = self.record;
        let name = |node: NodeIndex| record.topology.name(node);
        for life in &record.lives {
            let what = match life.event {
                Life::Started => "started",
                Life::Crashed => "crashed",
                Life::Restarted => "restarted",
            };
            log.add(life.at, Rank::Node, "node", json!({ "node": name(life.node), "what": what }));
        }
        for fault in &record.faults {
            let spec = &fault.spec;
            let about = json!({ "fault": spec.name, "class": spec.class, "text": spec.description });
            if let Some(at) = fault.applied {
                log.add(at, Rank::Fault, "fault-begins", about.clone());
            }
            if let Some(at) = fault.healed {
                let mut about = about;
                about["dropped"] = json!(fault.at_heal.dropped().saturating_sub(fault.at_apply.dropped()));
                about["did"] = json!(fault.effect.words());
                log.add(at, Rank::Fault, "fault-ends", about);
            }
        }
        for dial in &record.dials {
            log.add(dial.at, Rank::Dial, "dial", json!({ "node": name(dial.node), "peer": name(dial.peer) }));
        }
        for session in &record.sessions {
            let event = if session.up { "session-up" } else { "session-down" };
            let ends = json!({ "node": name(session.node), "peer": name(session.peer) });
            log.add(session.at, Rank::Session, event, ends);
        }
        for at in &record.convergences {
            log.add(*at, Rank::Converged, "converged", json!({}));
        }
    }

    /// Operations, and what becomes visible where.
    fn applications(&self, log: &mut Log) {
        let record = self.record;
        let name = |node: NodeIndex| record.topology.name(node);
        for operation in &record.operations {
            let kind = match operation.kind {
                OpKind::Put => "put",
                OpKind::Edit => "edit",
                OpKind::Delete => "delete",
            };
            let (op, node) = (operation.op.0, name(operation.node));
            let document = operation.key.to_string();
            let about = json!({ "op": op, "node": node, "kind": kind, "document": document });
            log.add(operation.invoked, Rank::Invoked, "invoked", about);
            let Some(at) = operation.completed else { continue };
            let mut about = json!({ "op": op, "node": node, "outcome": &operation.outcome });
            if let Outcome::Refused(why) = &operation.outcome {
                about["outcome"] = json!("refused");
                about["why"] = json!(why);
            }
            log.add(at, Rank::Completed, "completed", about);
        }
        // By document, replica and moment: the operations that the event there is the first to show.
        let mut shows: BTreeMap<(usize, SimTime, NodeIndex), Vec<u64>> = BTreeMap::new();
        let mut documents = BTreeMap::new();
        for operation in &record.operations {
            let next = documents.len();
            documents.entry(&operation.key).or_insert(next);
        }
        for sample in arrivals(record).0 {
            let operation = &record.operations[sample.operation];
            let at = operation.completed.unwrap_or_default() + sample.latency;
            let document = documents.get(&operation.key).copied().unwrap_or_default();
            shows.entry((document, at, sample.replica)).or_default().push(operation.op.0);
        }
        for seen in &record.visibility {
            let mut about = json!({ "node": name(seen.node), "document": seen.key.to_string() });
            match &seen.change {
                Change::Upsert(json) => about["bytes"] = json!(json.len()),
                Change::Delete => about["deleted"] = json!(true),
            }
            let document = documents.get(&seen.key).copied();
            if let Some(shown) = document.and_then(|document| shows.remove(&(document, seen.at, seen.node))) {
                about["shows"] = json!(shown);
            }
            log.add(seen.at, Rank::Visible, "visible", about);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::testing::good;

    fn lines() -> Vec<Value> {
        let (scenario, record) = good();
        let log = Report::of(&scenario, &record).events();
        log.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_log_reads_like_this() {
        let (scenario, record) = good();
        let log = Report::of(&scenario, &record).events();
        let rows: Vec<&str> = log.lines().collect();
        // The beginning, the fault with what is around it, the end.
        let cut = rows.iter().position(|row| row.contains("fault-begins")).unwrap();
        let shown = [&rows[..12], &["…"], &rows[cut - 2..cut + 6], &["…"], &rows[rows.len() - 2..]].concat();
        insta::assert_snapshot!(shown.join("\n"));
    }

    #[test]
    fn every_line_is_in_order_and_counted() {
        let lines = lines();
        assert!(lines[1..].is_sorted_by_key(|line| line["t_ns"].as_u64().unwrap()));
        assert_eq!(lines.last().unwrap()["lines"], lines.len());
    }

    #[test]
    fn every_operation_that_was_seen_is_shown_once_at_each_replica() {
        let (_, record) = good();
        let mut shown = BTreeSet::new();
        for line in lines().iter().filter(|line| line["event"] == "visible") {
            for op in line["shows"].as_array().into_iter().flatten() {
                assert!(shown.insert((op.as_u64().unwrap(), line["node"].to_string())), "{line}");
            }
        }
        assert_eq!(
            shown.len(),
            arrivals(&record).0.iter().filter(|sample| sample.latency > std::time::Duration::ZERO).count()
        );
    }
}
