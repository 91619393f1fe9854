//! What a run measured.
//!
//! *Sync latency* is per (operation, replica): from the acknowledgement at the origin, the first
//! moment anyone outside can know of the commit, to the first Subscribe event at the replica that
//! shows it or something later by the same author (a link that was down delivers the last of a
//! thousand heartbeats, and that is right). Two kinds are kept apart:
//!
//! - *connected*: origin and replica had a path of live sessions all the time in between;
//! - *outage-spanning*: they had not. These are also measured from the moment the path of links
//!   was whole again, which is what the node can be blamed for.

mod first_byte;
mod latency;
mod reach;
mod recovery;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

pub use first_byte::FirstByte;
pub use latency::{CollectionLatency, Missing, PairLatency, Sample};
pub use reach::{Dials, Reach};
pub use recovery::{Cause, Recovery, Settled};

use crate::plan::NodeIndex;
use crate::record::connectivity::{Connectivity, Edge};
use crate::record::history::History;
use crate::record::{Count, RunRecord};
use crate::time::SimTime;

/// Everything measured.
#[derive(Debug, Clone, Serialize)]
pub struct Figures {
    /// Latency of connected operations.
    pub connected: Percentiles,
    /// Latency of operations that had to wait out an outage, from their acknowledgement.
    pub outage: Percentiles,
    /// The same, from the moment the links between origin and replica were whole again.
    pub outage_from_heal: Percentiles,
    /// Connected latency per pair of groups.
    pub pairs: Vec<PairLatency>,
    /// (operation, replica) pairs that should have become visible and never did.
    pub never_visible: u64,
    /// Latency per collection, connected or not.
    pub collections: Vec<CollectionLatency>,
    /// What followed each heal, restart and join.
    pub recoveries: Vec<Recovery>,
    /// What first crossed each link that had been cut.
    pub first_bytes: Vec<FirstByte>,
    /// How long it took until sessions joined whom links join.
    pub reaches: Vec<Reach>,
    /// Who dialled most in the second after each heal.
    pub dials: Vec<Dials>,
    /// Operations by outcome.
    pub operations: OperationCounts,
    /// Datagrams sent.
    pub datagrams: u64,
    /// Datagrams that did not arrive.
    pub datagrams_dropped: u64,
    /// Payload bytes sent, keep-alives included.
    pub bytes: u64,
    /// The same per direction between groups.
    pub directions: Vec<Direction>,
    /// Payload bytes per acknowledged operation; `None` without operations.
    pub bytes_per_operation: Option<f64>,
    /// Payload bytes per second and node in the second half of the settle time; `None` when that is
    /// shorter than two traffic slices.
    pub idle_bytes_per_second: Option<f64>,
}

/// What crossed the links from one group to another, or inside one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Direction {
    /// The group that sends.
    pub from: String,
    /// The group that receives.
    pub to: String,
    /// Handed to the links.
    pub sent: Count,
    /// What arrived.
    pub received: Count,
}

/// Operations by outcome.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct OperationCounts {
    /// Acknowledged.
    pub ok: u64,
    /// Refused for certain.
    pub refused: u64,
    /// May have happened.
    pub unknown: u64,
    /// Never issued.
    pub skipped: u64,
}

/// A distribution of durations, to three significant digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Percentiles {
    /// How many samples; with none, the rest is zero.
    pub count: u64,
    /// Median.
    #[serde(rename = "p50_ns", with = "crate::physics::nanos")]
    pub p50: Duration,
    /// 90th percentile.
    #[serde(rename = "p90_ns", with = "crate::physics::nanos")]
    pub p90: Duration,
    /// 99th percentile.
    #[serde(rename = "p99_ns", with = "crate::physics::nanos")]
    pub p99: Duration,
    /// Greatest, exact.
    #[serde(rename = "max_ns", with = "crate::physics::nanos")]
    pub max: Duration,
}

impl Percentiles {
    /// The distribution of some samples.
    pub fn of(samples: impl IntoIterator<Item = Duration>) -> Self {
        // 1 µs resolution at three digits covers 1 µs to a week in about 200 KB.
        let mut histogram = Histogram::<u64>::new(3).expect("invariant: 3 digits are allowed");
        let mut max = Duration::ZERO;
        for sample in samples {
            max = max.max(sample);
            let micros = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX / 2);
            histogram.record(micros).expect("invariant: the histogram resizes itself");
        }
        if histogram.is_empty() {
            return Percentiles::default();
        }
        let at = |quantile| Duration::from_micros(histogram.value_at_quantile(quantile)).min(max);
        Percentiles { count: histogram.len(), p50: at(0.5), p90: at(0.9), p99: at(0.99), max }
    }
}

/// When each replica first showed each operation, worked out once.
struct Shown(Vec<Vec<Option<SimTime>>>);

impl Shown {
    fn of(record: &RunRecord, history: &History<'_>) -> Self {
        let nodes = || record.topology.nodes.iter().map(|node| node.index);
        let row = |operation| nodes().map(|node| history.first_shown(operation, node)).collect();
        Shown(record.operations.iter().map(row).collect())
    }

    /// By position in [`RunRecord::operations`].
    fn at(&self, operation: usize, node: NodeIndex) -> Option<SimTime> {
        self.0[operation][node.index()]
    }
}

/// Every acknowledged operation at every other replica that showed it, in order of issue.
pub fn samples(record: &RunRecord) -> Vec<Sample> {
    let history = History::of(record);
    let shown = Shown::of(record, &history);
    let (links, sessions) = (Connectivity::of(record, Edge::Link), Connectivity::of(record, Edge::Session));
    latency::samples(record, &history, &shown, &links, &sessions).0
}

/// Measures a record.
pub fn measure(record: &RunRecord) -> Figures {
    let history = History::of(record);
    let shown = Shown::of(record, &history);
    let links = Connectivity::of(record, Edge::Link);
    let sessions = Connectivity::of(record, Edge::Session);
    let (samples, never) = latency::samples(record, &history, &shown, &links, &sessions);
    let connected = || samples.iter().filter(|sample| sample.connected);
    let outage = || samples.iter().filter(|sample| !sample.connected);
    let operations = count(record);
    let bytes = record.traffic.sent.bytes;
    Figures {
        connected: Percentiles::of(connected().map(|sample| sample.latency)),
        outage: Percentiles::of(outage().map(|sample| sample.latency)),
        outage_from_heal: Percentiles::of(outage().filter_map(|sample| sample.from_heal)),
        pairs: latency::by_pair(record, connected()),
        collections: latency::by_collection(record, &samples, &never),
        never_visible: never.len() as u64,
        first_bytes: first_byte::after_heals(record, &shown, &links),
        reaches: reach::reaches(record, &links, &sessions),
        dials: reach::dials(record),
        recoveries: recovery::recoveries(record, &history, &shown, &links),
        operations,
        datagrams: record.traffic.sent.datagrams,
        datagrams_dropped: record.traffic.dropped,
        bytes,
        directions: directions(record),
        bytes_per_operation: (operations.ok > 0).then(|| bytes as f64 / operations.ok as f64),
        idle_bytes_per_second: idle(record),
    }
}

/// Every operation at every replica: when it was shown there, or that it never was. What the latency figures are made of, for
/// those who draw it.
pub fn arrivals(record: &RunRecord) -> (Vec<Sample>, Vec<Missing>) {
    let history = History::of(record);
    let shown = Shown::of(record, &history);
    let (links, sessions) = (Connectivity::of(record, Edge::Link), Connectivity::of(record, Edge::Session));
    latency::samples(record, &history, &shown, &links, &sessions)
}

fn directions(record: &RunRecord) -> Vec<Direction> {
    let name = |group: u32| record.topology.groups[group as usize].name.clone();
    let direction = |(groups, sent): (&(u32, u32), &Count)| Direction {
        from: name(groups.0),
        to: name(groups.1),
        sent: *sent,
        received: record.traffic.received_by_group.get(groups).copied().unwrap_or_default(),
    };
    record.traffic.by_group.iter().map(direction).collect()
}

fn count(record: &RunRecord) -> OperationCounts {
    use crate::record::Outcome;
    let mut counts = OperationCounts::default();
    for operation in &record.operations {
        match operation.outcome {
            Outcome::Ok => counts.ok += 1,
            Outcome::Refused(_) => counts.refused += 1,
            Outcome::Unknown => counts.unknown += 1,
            Outcome::Skipped => counts.skipped += 1,
        }
    }
    counts
}

/// Whole slices in the second half of the settle time only.
fn idle(record: &RunRecord) -> Option<f64> {
    let slice = SimTime::from(crate::record::TRAFFIC_SLICE).as_nanos();
    let (writes_end, end) = (record.meta.writes_end.as_nanos(), record.meta.duration.as_nanos());
    let first = (writes_end + (end - writes_end) / 2).div_ceil(slice);
    let last = end / slice;
    if last < first + 2 {
        return None;
    }
    let slices = &record.traffic.by_slice;
    let bytes: u64 = (first..last).filter_map(|at| slices.get(at as usize)).map(|count| count.bytes).sum();
    let seconds = ((last - first) * slice) as f64 / 1e9;
    Some(bytes as f64 / seconds / record.topology.nodes.len().max(1) as f64)
}

/// Groups as they are named in reports.
pub(crate) type GroupPair = (String, String);

/// One entry per key, in order.
pub(crate) fn grouped<K: Ord, V>(items: impl IntoIterator<Item = (K, V)>) -> BTreeMap<K, Vec<V>> {
    let mut groups: BTreeMap<K, Vec<V>> = BTreeMap::new();
    for (key, value) in items {
        groups.entry(key).or_default().push(value);
    }
    groups
}
