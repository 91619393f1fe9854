//! What is measured on one side.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::phase::{Phase, phases};
use crate::explain::{Explained, Explanation};
use crate::figures::{Figures, Recovery, measure};
use crate::plan::NodeIndex;
use crate::record::{RunRecord, TRAFFIC_SLICE};
use crate::time::SimTime;

/// One side, worked out once.
pub(super) struct Measured<'a> {
    pub(super) record: &'a RunRecord,
    pub(super) figures: Figures,
    pub(super) explanation: Explanation<'a>,
    /// Median time of a write until it is acknowledged, in seconds: a commit, and what calls it.
    pub(super) write_p50: Option<f64>,
    /// Commits alone, in seconds and in order: writes, less a call that has nothing to do.
    commits: Vec<f64>,
}

/// Arrivals in order of their latency.
pub(super) struct Sorted<'e>(Vec<&'e Explained>);

impl<'a> Measured<'a> {
    pub(super) fn of(record: &'a RunRecord) -> Self {
        let writes = record.operations.iter().filter(|operation| operation.acknowledged());
        let mut writes: Vec<Duration> =
            writes.filter_map(|operation| Some(operation.completed?.since(operation.invoked))).collect();
        writes.sort_unstable();
        let writes: Vec<f64> = writes.iter().map(Duration::as_secs_f64).collect();
        let call = record.precision.map_or(0.0, |of| of.call_p50.as_secs_f64());
        let commits = writes.iter().map(|write| (write - call).max(0.0)).collect();
        let write_p50 = writes.get(writes.len().saturating_sub(1) / 2).copied();
        Measured { record, figures: measure(record), explanation: Explanation::of(record), write_p50, commits }
    }

    pub(super) fn phases(&self) -> Vec<Phase> {
        phases(self.record)
    }

    /// What was acknowledged in a phase and connected all the time.
    pub(super) fn connected(&self, phase: &Phase) -> Sorted<'_> {
        let during = |arrival: &&Explained| arrival.connected && phase.contains(arrival.acknowledged);
        let mut arrivals: Vec<&Explained> = self.explanation.arrivals.iter().filter(during).collect();
        arrivals.sort_by_key(|arrival| arrival.latency());
        Sorted(arrivals)
    }

    /// What there was to recover from when a phase began or while it lasted, with a name of its own.
    pub(super) fn recoveries(&self, phase: &Phase) -> Vec<(String, &Recovery)> {
        let mut named: Vec<(String, &Recovery)> = Vec::new();
        for recovery in self.figures.recoveries.iter().filter(|recovery| phase.contains(recovery.at)) {
            let again = named.iter().filter(|(_, known)| known.name == recovery.name).count();
            let name = match again {
                0 => recovery.name.clone(),
                again => format!("{} ({})", recovery.name, again + 1),
            };
            named.push((name, recovery));
        }
        named
    }

    /// The arrival that ended a recovery: the last to become visible of what had been acknowledged before it.
    pub(super) fn last_after(&self, at: SimTime) -> Option<&Explained> {
        let next = self.record.faults.iter().filter_map(|fault| fault.applied).filter(|next| *next > at).min();
        let waited = |arrival: &&Explained| {
            arrival.acknowledged <= at && arrival.visible > at && next.is_none_or(|next| arrival.visible <= next)
        };
        self.explanation.arrivals.iter().filter(waited).max_by_key(|arrival| arrival.visible)
    }

    /// Median of a commit, in seconds; 0 without any.
    pub(super) fn commit_p50(&self) -> f64 {
        self.commits.get(self.commits.len().saturating_sub(1) / 2).copied().unwrap_or_default()
    }

    /// How much later a quantile of some latencies would be if each of them had met one of these commits in place of one that
    /// takes `usual`. Commits are as they come, so that a quantile of the sum is no sum of quantiles.
    pub(super) fn delay(&self, latencies: &Sorted<'_>, quantile: f64, usual: f64) -> f64 {
        let latencies: Vec<f64> = latencies.0.iter().map(|arrival| arrival.latency().as_secs_f64()).collect();
        let (latencies, commits) = (points(&latencies), points(&self.commits));
        let mut sums: Vec<f64> =
            commits.iter().flat_map(|commit| latencies.iter().map(move |of| of + commit)).collect();
        sums.sort_by(f64::total_cmp);
        let at = |of: &[f64]| of.get(((of.len() as f64 * quantile).ceil() as usize).max(1) - 1).copied();
        match (at(&sums), at(&latencies)) {
            (Some(with), Some(without)) => with - without - usual,
            _ => 0.0,
        }
    }

    /// Sessions that an arrival has to cross at least, on average: the way that a document takes where nobody recorded it.
    pub(super) fn hops(&self, arrivals: &[&Explained]) -> f64 {
        let topology = &self.record.topology;
        let mut neighbours: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
        for (a, b) in topology.sessions().into_iter().chain(topology.discoverable()) {
            neighbours.entry(a).or_default().push(b);
            neighbours.entry(b).or_default().push(a);
        }
        let mut from: BTreeMap<NodeIndex, BTreeMap<NodeIndex, u32>> = BTreeMap::new();
        let hops = arrivals.iter().map(|arrival| {
            let known = from.entry(arrival.origin).or_insert_with(|| distances(&neighbours, arrival.origin));
            known.get(&arrival.replica).copied().unwrap_or(1)
        });
        f64::from(hops.sum::<u32>()) / arrivals.len().max(1) as f64
    }

    /// `None` for a phase that is shorter than two slices of traffic: its ends would weigh as much as the rest.
    pub(super) fn bytes_per_second(&self, phase: &Phase) -> Option<f64> {
        let bytes: Vec<u64> = self.record.traffic.by_slice.iter().map(|slice| slice.bytes).collect();
        per_second(&bytes, phase)
    }

    /// Frame bytes per second by class; empty where a world cannot see them.
    pub(super) fn classes_per_second(&self, phase: &Phase) -> Vec<(String, f64)> {
        let classes = self.record.traffic.by_class.iter();
        classes.filter_map(|of| Some((of.class.clone(), per_second(&of.by_slice, phase)?))).collect()
    }
}

/// A sorted sample by at most so many of its values, each standing for as many: 200 by 200 sums are soon sorted.
const POINTS: usize = 200;

fn points(sorted: &[f64]) -> Vec<f64> {
    let points = sorted.len().min(POINTS);
    (0..points).map(|point| sorted[(2 * point + 1) * sorted.len() / (2 * points)]).collect()
}

/// Sessions from a node to every other one.
fn distances(neighbours: &BTreeMap<NodeIndex, Vec<NodeIndex>>, origin: NodeIndex) -> BTreeMap<NodeIndex, u32> {
    let mut known = BTreeMap::from([(origin, 0)]);
    let mut next = VecDeque::from([origin]);
    while let Some(node) = next.pop_front() {
        let hops = known.get(&node).copied().unwrap_or_default();
        for other in neighbours.get(&node).into_iter().flatten() {
            if !known.contains_key(other) {
                known.insert(*other, hops + 1);
                next.push_back(*other);
            }
        }
    }
    known
}

/// Slices that lie in a phase, those at its ends by their share.
fn per_second(slices: &[u64], phase: &Phase) -> Option<f64> {
    let length = phase.length();
    if length < 2 * TRAFFIC_SLICE {
        return None;
    }
    let slice = TRAFFIC_SLICE.as_secs_f64();
    let (from, until) = (seconds(phase.from), seconds(phase.until));
    let share = |position: usize| {
        let (begins, ends) = (position as f64 * slice, (position + 1) as f64 * slice);
        (ends.min(until) - begins.max(from)).max(0.0) / slice
    };
    let bytes: f64 = slices.iter().enumerate().map(|(position, bytes)| *bytes as f64 * share(position)).sum();
    Some(bytes / length.as_secs_f64())
}

fn seconds(at: SimTime) -> f64 {
    at.as_duration().as_secs_f64()
}

impl<'e> Sorted<'e> {
    /// A single one.
    pub(super) fn one(arrival: &'e Explained) -> Self {
        Sorted(vec![arrival])
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Nearest rank, in seconds.
    pub(super) fn at(&self, quantile: f64) -> Option<f64> {
        let rank = ((self.0.len() as f64 * quantile).ceil() as usize).max(1);
        Some(self.0.get(rank - 1)?.latency().as_secs_f64())
    }

    /// The arrivals that stand around a quantile: of the median the middle half, of the 99th percentile the last fiftieth. Their
    /// mean can be split into parts, which a quantile cannot.
    pub(super) fn around(&self, quantile: f64) -> &[&'e Explained] {
        let all = self.0.len();
        let reach = (1.0 - quantile).min(0.25);
        let low = (((quantile - reach).max(0.0) * all as f64) as usize).min(all.saturating_sub(1));
        let high = (((quantile + reach).min(1.0) * all as f64).ceil() as usize).clamp(low + 1, all.max(low + 1));
        self.0.get(low..high.min(all)).unwrap_or_default()
    }
}
