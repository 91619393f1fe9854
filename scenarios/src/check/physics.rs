//! Nothing is seen before the links could have brought it: a check on the world as much as on the nodes.

use std::collections::BTreeMap;

use super::{CheckResult, Findings};
use crate::explain::bound::{Arrivals, Bound};
use crate::plan::{DocKey, NodeIndex};
use crate::record::history::{History, Registers, Seen};
use crate::record::{OpKind, RunRecord};
use crate::report::{count, span};
use crate::time::SimTime;

/// What a replica showed for the first time.
type Sights = Vec<(NodeIndex, SimTime)>;

/// Holds the first sight of every operation at every node against the physical bound of a datagram without payload,
/// from the moment at which the operation was issued. That is never too strict: whatever brings it is larger, and leaves
/// later. `None` where the clocks of the world are not one clock.
pub(super) fn check(record: &RunRecord, history: &History<'_>) -> Option<CheckResult> {
    if record.meta.world != "sim" {
        return None;
    }
    let mut bound = Bound::of(record);
    let mut findings = Findings::default();
    let mut looked_at = 0u64;
    let mut judge = |arrivals: &Arrivals, node: NodeIndex, at: SimTime, what: &dyn Fn() -> String| {
        looked_at += 1;
        let earliest = arrivals.at(node);
        if earliest.is_none_or(|earliest| at < earliest) {
            findings.add(|| {
                let what = format!("{} at {at}: {}", record.topology.name(node), what());
                match earliest {
                    Some(earliest) => format!("{what}, {} before it can be there", span(earliest.since(at))),
                    None => format!("{what}, to where no link leads"),
                }
            });
        }
    };
    for (writers, sights) in writes(record, history) {
        let operations = writers.iter().map(|position| &record.operations[*position]);
        let possible: Vec<_> =
            operations.map(|operation| (operation, bound.arrivals(operation.node, operation.invoked, 0))).collect();
        for (node, at) in sights {
            let first = possible.iter().min_by_key(|(_, arrivals)| arrivals.at(node).unwrap_or(SimTime::MAX));
            let Some((operation, arrivals)) = first else { continue };
            judge(arrivals, node, at, &|| {
                let origin = record.topology.name(operation.node);
                format!("operation {} on {} by {origin} at {}", operation.op.0, operation.key, operation.invoked)
            });
        }
    }
    for (key, doc) in &history.docs {
        let issued = doc.operations.iter().filter(|op| op.kind == OpKind::Delete && op.may_have_happened());
        // Any of several deletes of a document may be the one that is seen.
        let possible: Vec<Arrivals> = issued.map(|delete| bound.arrivals(delete.node, delete.invoked, 0)).collect();
        for (node, at) in doc.seen.iter().flat_map(|(node, stream)| Some((*node, first_gone(stream)?))) {
            // A delete that nobody issued is for `no-phantom`.
            if let Some(first) = possible.iter().min_by_key(|arrivals| arrivals.at(node).unwrap_or(SimTime::MAX)) {
                judge(first, node, at, &|| format!("the delete of {key}"));
            }
        }
    }
    let good = format!("{} sights, none before the links could have brought it", count(looked_at));
    Some(CheckResult::from_findings("physics", findings, "things seen before any link could have brought them", good))
}

fn first_gone(stream: &[Seen]) -> Option<SimTime> {
    stream.iter().find(|seen| seen.json.is_none()).map(|seen| seen.at)
}

/// Where what was written was first seen, by the operations that may have written it: each register that a stream raises
/// was raised by somebody. Two write the same only where they are strangers to each other. What nobody wrote is for
/// `no-phantom`.
fn writes(record: &RunRecord, history: &History<'_>) -> BTreeMap<Vec<usize>, Sights> {
    let mut writers: BTreeMap<(&DocKey, &str, u64), Vec<usize>> = BTreeMap::new();
    for (position, operation) in record.operations.iter().enumerate().filter(|(_, op)| op.may_have_happened()) {
        for (register, counter) in &operation.writes {
            writers.entry((&operation.key, register, *counter)).or_default().push(position);
        }
    }
    let mut sights: BTreeMap<Vec<usize>, Sights> = BTreeMap::new();
    for (key, doc) in &history.docs {
        for (node, stream) in &doc.seen {
            let mut known = Registers::new();
            for seen in stream {
                let Some(json) = &seen.json else { continue };
                for (register, counter) in history.registers(json) {
                    if known.get(register).is_some_and(|known| known >= counter) {
                        continue;
                    }
                    known.insert(register.clone(), *counter);
                    if let Some(writers) = writers.get(&(key, register.as_str(), *counter)) {
                        sights.entry(writers.clone()).or_default().push((*node, seen.at));
                    }
                }
            }
        }
    }
    sights
}
