//! From commit to visible.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::{GroupPair, Percentiles, Shown, grouped};
use crate::plan::NodeIndex;
use crate::record::connectivity::Connectivity;
use crate::record::history::History;
use crate::record::{OpKind, RunRecord};

/// One operation becoming visible at one replica other than its origin.
#[derive(Debug, Clone, Copy)]
pub struct Sample {
    /// Position of the operation in [`RunRecord::operations`].
    pub operation: usize,
    /// Where it was written.
    pub origin: NodeIndex,
    /// Where it was seen.
    pub replica: NodeIndex,
    /// From acknowledgement to visible.
    pub latency: Duration,
    /// From the moment the path of links was whole again; only for outage-spanning ones that were
    /// acknowledged before that moment.
    pub from_heal: Option<Duration>,
    /// Whether they were connected all the time.
    pub connected: bool,
}

/// An operation that never became visible at a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Missing {
    /// Position of the operation in [`RunRecord::operations`].
    pub operation: usize,
    /// Where it is missing.
    pub replica: NodeIndex,
}

/// Connected latency between two groups.
#[derive(Debug, Clone, Serialize)]
pub struct PairLatency {
    /// The groups, in order of declaration.
    pub between: GroupPair,
    /// Median one-way delay of the links between origin and replica, over the samples.
    #[serde(rename = "one_way_ns", with = "crate::physics::nanos")]
    pub one_way: Duration,
    /// What was measured.
    pub latency: Percentiles,
    /// Median of latency divided by the one-way delay of the sample's own pair of nodes; `None` for
    /// links without delay.
    pub p50_ratio: Option<f64>,
}

/// All samples, and the pairs of operation and replica that never became visible although the replica ran to the
/// end.
pub(super) fn samples(
    record: &RunRecord,
    history: &History<'_>,
    shown: &Shown,
    links: &Connectivity,
    sessions: &Connectivity,
) -> (Vec<Sample>, Vec<Missing>) {
    let mut samples = Vec::new();
    let mut never = Vec::new();
    let running: Vec<NodeIndex> =
        record.finals.iter().filter(|replica| replica.running).map(|replica| replica.node).collect();
    for (position, operation) in record.operations.iter().enumerate().filter(|(_, operation)| operation.acknowledged())
    {
        let Some(committed) = operation.completed else {
            continue;
        };
        for replica in record.topology.nodes.iter().map(|node| node.index) {
            if replica == operation.node || !record.topology.is_due(operation.node, replica, &operation.key) {
                continue;
            }
            let Some(at) = shown.at(position, replica) else {
                // A delete of what it never had, or a write that a delete overtook, shows nothing.
                let nothing_to_show = operation.kind == OpKind::Delete || history.deleted(&operation.key);
                if !nothing_to_show && running.contains(&replica) {
                    never.push(Missing { operation: position, replica });
                }
                continue;
            };
            let origin = operation.node;
            let connected = sessions.throughout(origin, replica, operation.invoked, at);
            let healed = links.joined(origin, replica, operation.invoked, at);
            samples.push(Sample {
                operation: position,
                origin,
                replica,
                latency: at.since(committed),
                from_heal: healed.filter(|healed| !connected && *healed >= committed).map(|healed| at.since(healed)),
                connected,
            });
        }
    }
    (samples, never)
}

pub(super) fn by_pair<'s>(record: &RunRecord, samples: impl Iterator<Item = &'s Sample>) -> Vec<PairLatency> {
    let topology = &record.topology;
    let mut delays: BTreeMap<NodeIndex, Vec<Option<Duration>>> = BTreeMap::new();
    let pairs = grouped(samples.map(|sample| {
        let (a, b) = (topology.node(sample.origin).group, topology.node(sample.replica).group);
        let from = delays.entry(sample.origin).or_insert_with(|| topology.one_way_delays(sample.origin));
        let one_way = from[sample.replica.index()].unwrap_or_default();
        ((a.min(b), a.max(b)), (sample.latency, one_way))
    }));
    let name = |group: u32| topology.groups[group as usize].name.clone();
    let pair = |((a, b), samples): ((u32, u32), Vec<(Duration, Duration)>)| {
        let ratios = samples.iter().filter(|(_, one_way)| !one_way.is_zero());
        let ratios = ratios.map(|(latency, one_way)| latency.as_secs_f64() / one_way.as_secs_f64());
        PairLatency {
            between: (name(a), name(b)),
            one_way: Percentiles::of(samples.iter().map(|(_, one_way)| *one_way)).p50,
            latency: Percentiles::of(samples.iter().map(|(latency, _)| *latency)),
            p50_ratio: median(ratios.collect()),
        }
    };
    pairs.into_iter().map(pair).collect()
}

/// Latency of the operations on one collection.
#[derive(Debug, Clone, Serialize)]
pub struct CollectionLatency {
    /// The collection.
    pub collection: String,
    /// Of all operations, whether they had to wait out an outage or not.
    pub latency: Percentiles,
    /// (operation, replica) pairs that never became visible although the replica wants the document.
    pub never: u64,
}

pub(super) fn by_collection(record: &RunRecord, samples: &[Sample], never: &[Missing]) -> Vec<CollectionLatency> {
    let collection = |operation: usize| &record.operations[operation].key.collection;
    let mut latencies = grouped(samples.iter().map(|sample| (collection(sample.operation), sample.latency)));
    let missing = grouped(never.iter().map(|missing| (collection(missing.operation), ())));
    for collection in missing.keys() {
        latencies.entry(collection).or_default();
    }
    let of = |(collection, latencies): (&Arc<str>, Vec<Duration>)| CollectionLatency {
        collection: collection.to_string(),
        latency: Percentiles::of(latencies),
        never: missing.get(collection).map_or(0, |missing| missing.len() as u64),
    };
    latencies.into_iter().map(of).collect()
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    values.get(values.len().saturating_sub(1) / 2).copied()
}
