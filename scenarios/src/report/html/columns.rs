//! What there is much of, as columns of small numbers: a tenth of the size of a list of objects, and parsed as fast.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::figures::{Missing, Sample};
use crate::plan::{DocKey, NodeIndex};
use crate::record::{OpKind, Outcome, RunRecord};
use crate::time::SimTime;

/// Operations listed.
pub(super) const OPERATIONS: usize = 20_000;
/// Arrows from an operation to a replica.
pub(super) const ARROWS: usize = 60_000;
/// Sessions, each with two ends.
pub(super) const SESSIONS: usize = 20_000;
/// Dials.
pub(super) const DIALS: usize = 5_000;
/// Characters of a document's name.
const NAME_CHARS: usize = 120;

/// Microseconds since the moment before, or since the start.
#[derive(Default)]
struct Delta(u64);

impl Delta {
    fn next(&mut self, at: SimTime) -> i64 {
        let micros = at.as_nanos() / 1_000;
        let delta = micros as i64 - self.0 as i64;
        self.0 = micros;
        delta
    }
}

/// A text in at most so many characters.
pub(super) fn short(text: &str, chars: usize) -> String {
    match text.char_indices().nth(chars) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", &text[..end]),
    }
}

/// Every n-th of so many, to keep no more than `limit`.
fn stride(of: usize, limit: usize) -> usize {
    of.div_ceil(limit).max(1)
}

/// Operations, and where they went.
#[derive(Debug, Default, Serialize)]
pub(super) struct Operations {
    /// Documents, named once.
    documents: Vec<String>,
    /// When each was issued, µs after the one before.
    at: Vec<i64>,
    node: Vec<u32>,
    document: Vec<u32>,
    /// 0 put, 1 edit, 2 delete.
    kind: Vec<u8>,
    /// 0 ok, 1 refused, 2 unknown, 3 skipped.
    outcome: Vec<u8>,
    /// µs to its end; -1: none.
    took: Vec<i64>,
    /// For each operation, triples: replica, µs from the acknowledgement (-1: never), 1 if connected all the time.
    to: Vec<Vec<i64>>,
    /// One of so many operations is listed, and has arrows.
    one_of: usize,
    total: usize,
}

impl Operations {
    /// One of so many operations is listed.
    pub(super) fn one_of(&self) -> usize {
        self.one_of
    }

    pub(super) fn of(record: &RunRecord, samples: &[Sample], never: &[Missing]) -> Self {
        let one_of = stride(record.operations.len(), OPERATIONS).max(stride(samples.len() + never.len(), ARROWS));
        let mut arrows: BTreeMap<usize, Vec<i64>> = BTreeMap::new();
        for sample in samples.iter().filter(|sample| sample.operation.is_multiple_of(one_of)) {
            let micros = i64::try_from(sample.latency.as_micros()).unwrap_or(i64::MAX);
            let triple = [sample.replica.0.into(), micros, sample.connected.into()];
            arrows.entry(sample.operation).or_default().extend(triple);
        }
        for missing in never.iter().filter(|missing| missing.operation.is_multiple_of(one_of)) {
            arrows.entry(missing.operation).or_default().extend([missing.replica.0.into(), -1, 0]);
        }
        let mut columns = Operations { one_of, total: record.operations.len(), ..Operations::default() };
        let mut places: BTreeMap<&DocKey, u32> = BTreeMap::new();
        let mut clock = Delta::default();
        for (position, operation) in record.operations.iter().enumerate().step_by(one_of) {
            let document = *places.entry(&operation.key).or_insert_with(|| {
                columns.documents.push(short(&operation.key.to_string(), NAME_CHARS));
                columns.documents.len() as u32 - 1
            });
            columns.at.push(clock.next(operation.invoked));
            columns.node.push(operation.node.0);
            columns.document.push(document);
            columns.kind.push(match operation.kind {
                OpKind::Put => 0,
                OpKind::Edit => 1,
                OpKind::Delete => 2,
            });
            columns.outcome.push(match operation.outcome {
                Outcome::Ok => 0,
                Outcome::Refused(_) => 1,
                Outcome::Unknown => 2,
                Outcome::Skipped => 3,
            });
            let took = operation.completed.map(|end| end.since(operation.invoked).as_micros());
            columns.took.push(took.map_or(-1, |micros| i64::try_from(micros).unwrap_or(i64::MAX)));
            columns.to.push(arrows.remove(&position).unwrap_or_default());
        }
        columns
    }
}

/// What crossed the links.
#[derive(Debug, Default, Serialize)]
pub(super) struct FlightColumns {
    at: Vec<i64>,
    from: Vec<u32>,
    to: Vec<u32>,
    /// µs to the arrival; -1: dropped.
    took: Vec<i64>,
    datagrams: Vec<u64>,
    bytes: Vec<u64>,
}

impl FlightColumns {
    pub(super) fn of(record: &RunRecord) -> Self {
        let mut columns = FlightColumns::default();
        let mut clock = Delta::default();
        for flight in &record.flights.list {
            columns.at.push(clock.next(flight.sent));
            columns.from.push(flight.from.0);
            columns.to.push(flight.to.0);
            let took = flight.arrives.map(|at| at.since(flight.sent).as_micros());
            columns.took.push(took.map_or(-1, |micros| i64::try_from(micros).unwrap_or(i64::MAX)));
            columns.datagrams.push(flight.datagrams);
            columns.bytes.push(flight.bytes);
        }
        columns
    }
}

/// For each node, triples: peer, from, to in ms of the run.
pub(in crate::report) fn sessions(record: &RunRecord) -> (Vec<Vec<f64>>, bool) {
    let mut ends: Vec<Vec<f64>> = vec![Vec::new(); record.topology.nodes.len()];
    let mut up: BTreeMap<(NodeIndex, NodeIndex), SimTime> = BTreeMap::new();
    let mut kept = 0;
    let mut close = |node: NodeIndex, peer: NodeIndex, from: SimTime, to: SimTime| {
        kept += 1;
        if kept <= 2 * SESSIONS {
            ends[node.index()].extend([f64::from(peer.0), millis(from), millis(to)]);
        }
    };
    // A node that crashes says nothing of its sessions.
    let crashes = record.lives.iter().filter(|life| life.event == crate::record::Life::Crashed);
    let mut crashes = crashes.peekable();
    for event in &record.sessions {
        while let Some(crash) = crashes.next_if(|crash| crash.at <= event.at) {
            let gone: Vec<_> = up.extract_if(.., |(node, _), _| *node == crash.node).collect();
            gone.into_iter().for_each(|((node, peer), from)| close(node, peer, from, crash.at));
        }
        let key = (event.node, event.peer);
        if event.up {
            up.entry(key).or_insert(event.at);
        } else if let Some(from) = up.remove(&key) {
            close(event.node, event.peer, from, event.at);
        }
    }
    for crash in crashes {
        let gone: Vec<_> = up.extract_if(.., |(node, _), _| *node == crash.node).collect();
        gone.into_iter().for_each(|((node, peer), from)| close(node, peer, from, crash.at));
    }
    let end = record.meta.duration;
    up.into_iter().for_each(|((node, peer), from)| close(node, peer, from, end));
    (ends, kept > 2 * SESSIONS)
}

/// Triples: ms, node, peer.
pub(super) fn dials(record: &RunRecord) -> (Vec<f64>, usize) {
    let one_of = stride(record.dials.len(), DIALS);
    let kept = record.dials.iter().step_by(one_of);
    (kept.flat_map(|dial| [millis(dial.at), dial.node.0.into(), dial.peer.0.into()]).collect(), one_of)
}

/// Milliseconds with three digits behind the point.
pub(super) fn millis(at: SimTime) -> f64 {
    (at.as_nanos() / 1_000) as f64 / 1e3
}
