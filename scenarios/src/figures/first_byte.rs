//! From a heal to the first byte that an application can use.
//!
//! Not the first datagram: a dial that crosses the link carries nothing yet. Per cut and direction, it is the
//! first document that had waited for the heal: written and acknowledged on the one side before it, by a node
//! that had no path of links to the other side meanwhile, and shown there after it. So it contains the rest of
//! the pause between two dials, the handshakes, and two commits.

use std::time::Duration;

use serde::Serialize;

use super::recovery::settle;
use super::{Settled, Shown};
use crate::plan::NodeIndex;
use crate::record::connectivity::Connectivity;
use crate::record::{FaultRecord, RunRecord};
use crate::time::SimTime;

/// What crossed first in one direction of a link that had been cut.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FirstByte {
    /// The fault that had cut it.
    pub fault: String,
    /// When it healed.
    pub at: SimTime,
    /// The group on whose side something waited.
    pub from: String,
    /// The group that waited for it.
    pub to: String,
    /// Round trip of the undisturbed link, without jitter.
    #[serde(rename = "round_trip_ns", with = "crate::physics::nanos")]
    pub round_trip: Duration,
    /// From the heal to the first document on the other side.
    pub after: Settled,
}

/// For every cut that healed and every direction between two groups in which something waited.
pub(super) fn after_heals(record: &RunRecord, shown: &Shown, links: &Connectivity) -> Vec<FirstByte> {
    let cuts = record.faults.iter().filter(|fault| fault.spec.class.cuts());
    let mut found = Vec::new();
    for fault in cuts {
        let (Some(applied), Some(healed)) = (fault.applied, fault.healed) else { continue };
        for groups in directions(record, fault) {
            found.extend(first(record, shown, links, fault, groups, applied, healed));
        }
    }
    found
}

/// Ordered pairs of groups with a link that the fault cut one way or the other: what ends a session ends it in
/// both directions.
fn directions(record: &RunRecord, fault: &FaultRecord) -> Vec<(u32, u32)> {
    let group = |node: NodeIndex| record.topology.node(node).group;
    let cut = fault.spec.pairs.iter().map(|&(a, b)| (group(a), group(b)));
    let mut pairs: Vec<(u32, u32)> = cut.flat_map(|(a, b)| [(a, b), (b, a)]).collect();
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn first(
    record: &RunRecord,
    shown: &Shown,
    links: &Connectivity,
    fault: &FaultRecord,
    (from, to): (u32, u32),
    applied: SimTime,
    healed: SimTime,
) -> Option<FirstByte> {
    let topology = &record.topology;
    let receivers: Vec<NodeIndex> = topology.members(to).collect();
    let mut waited = false;
    let mut earliest: Option<SimTime> = None;
    for (position, operation) in record.operations.iter().enumerate() {
        let during = operation.completed.is_some_and(|completed| (applied..healed).contains(&completed));
        if !operation.acknowledged() || !during || topology.node(operation.node).group != from {
            continue;
        }
        for &receiver in &receivers {
            let reachable = links.throughout(operation.node, receiver, healed, healed);
            let apart = links.joined(operation.node, receiver, operation.invoked, healed) == Some(healed);
            if !reachable || !apart || !topology.is_due(operation.node, receiver, &operation.key) {
                continue;
            }
            match shown.at(position, receiver) {
                Some(at) if at >= healed => {
                    waited = true;
                    earliest = Some(earliest.map_or(at, |earliest| earliest.min(at)));
                }
                // It came by a way that nobody knows of, or it was overtaken by a delete.
                Some(_) => {}
                None => waited = true,
            }
        }
    }
    let (there, back) = (topology.links.get(&(from, to))?, topology.links.get(&(to, from))?);
    let name = |group: u32| topology.groups[group as usize].name.clone();
    waited.then(|| FirstByte {
        fault: fault.spec.name.clone(),
        at: healed,
        from: name(from),
        to: name(to),
        round_trip: there.least_latency() + back.least_latency(),
        after: settle(record, healed, vec![earliest]),
    })
}
