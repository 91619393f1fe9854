//! Why an operation took as long as it did, and how fast the links could have brought it.
//!
//! [`Explanation::of`] reads a record and nothing else. The *physical bound* ([`bound`]) needs links, faults and starts,
//! which every record has; the *parts* of a latency need to know which frame brought what ([`crate::record::transfer`]),
//! which a world writes down when it is asked to. `docs/explain.md` defines both.

pub mod bound;
mod journey;
mod link;
mod parts;
mod passage;
#[cfg(test)]
mod tests;
mod text;

use std::time::Duration;

use serde::Serialize;

pub use journey::Hop;
pub use parts::{Part, Parts};

use crate::figures::{Percentiles, samples};
use crate::limits;
use crate::plan::{NodeIndex, OpId};
use crate::record::history::History;
use crate::record::{OpKind, RunRecord};
use crate::time::SimTime;
use bound::Bound;
use journey::Journeys;

/// Every operation of a run at every replica, explained.
#[derive(Debug)]
pub struct Explanation<'a> {
    record: &'a RunRecord,
    /// In order of issue, then of replica.
    pub arrivals: Vec<Explained>,
}

/// One operation becoming visible at one replica other than its origin.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// Which operation.
    pub operation: OpId,
    /// Position of the operation in [`RunRecord::operations`].
    #[serde(skip)]
    pub position: usize,
    /// Where it was written.
    #[serde(skip)]
    pub origin: NodeIndex,
    /// Where it was seen.
    #[serde(skip)]
    pub replica: NodeIndex,
    /// When it was acknowledged: there and then the latency begins.
    #[serde(rename = "acknowledged_ns")]
    pub acknowledged: SimTime,
    /// When it became visible.
    #[serde(rename = "visible_ns")]
    pub visible: SimTime,
    /// The earliest moment that the links allowed; `None`: they did not allow it at all.
    #[serde(rename = "possible_ns")]
    pub possible: Option<SimTime>,
    /// Payload bytes that the bound was computed with.
    pub bytes: usize,
    /// Whether origin and replica had a path of sessions all the time.
    pub connected: bool,
    /// The way it took.
    pub hops: Vec<Hop>,
    /// Where the time went; together exactly the latency.
    pub parts: Parts,
}

impl Explained {
    /// From acknowledged to visible.
    pub fn latency(&self) -> Duration {
        self.visible.since(self.acknowledged)
    }

    /// How much later than possible.
    pub fn late(&self) -> Duration {
        self.possible.map_or(Duration::ZERO, |possible| self.visible.since(possible))
    }

    /// Achieved as a multiple of the possible; `None` where the links take no time at all.
    pub fn ratio(&self) -> Option<f64> {
        let possible = self.possible?.since(self.acknowledged);
        (!possible.is_zero()).then(|| self.latency().as_secs_f64() / possible.as_secs_f64())
    }
}

/// A distribution of multiples of the possible, nearest rank.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Ratios {
    /// How many; with none, the rest is zero.
    pub count: u64,
    /// Median.
    pub p50: f64,
    /// 90th percentile.
    pub p90: f64,
    /// 99th percentile.
    pub p99: f64,
    /// Greatest.
    pub max: f64,
}

impl Ratios {
    /// The distribution of some multiples.
    pub fn of(ratios: impl IntoIterator<Item = f64>) -> Self {
        let mut ratios: Vec<f64> = ratios.into_iter().collect();
        ratios.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let rank = ((ratios.len() as f64 * share).ceil() as usize).max(1);
            ratios.get(rank - 1).copied().unwrap_or_default()
        };
        Ratios { count: ratios.len() as u64, p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1.0) }
    }
}

/// Achieved against possible, over some arrivals.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Against {
    /// As a multiple.
    pub ratio: Ratios,
    /// As a difference.
    pub late: Percentiles,
}

impl<'a> Explanation<'a> {
    /// Of a record.
    pub fn of(record: &'a RunRecord) -> Self {
        let history = History::of(record);
        let journeys = Journeys::of(record);
        let mut bound = Bound::of(record);
        let samples = samples(record);
        let mut arrivals = Vec::with_capacity(samples.len());
        for of_one in samples.chunk_by(|a, b| a.operation == b.operation) {
            let position = of_one[0].operation;
            let operation = &record.operations[position];
            let acknowledged = operation.completed.unwrap_or(operation.invoked);
            let last = of_one.iter().map(|sample| sample.latency).max().unwrap_or_default();
            let bytes = journeys.least_bytes(&operation.key, acknowledged, acknowledged + last);
            let possible = bound.arrivals(operation.node, acknowledged, bytes);
            for sample in of_one {
                let visible = acknowledged + sample.latency;
                let hops = journeys.hops(&history, operation, sample.replica, visible);
                arrivals.push(Explained {
                    operation: operation.op,
                    position,
                    origin: sample.origin,
                    replica: sample.replica,
                    acknowledged,
                    visible,
                    possible: possible.at(sample.replica),
                    bytes,
                    connected: sample.connected,
                    parts: journeys.split(&mut bound, &operation.key, acknowledged, &hops),
                    hops,
                });
            }
        }
        Explanation { record, arrivals }
    }

    /// Achieved against possible, of what was connected all the time or of what had to wait out an outage. Multiples
    /// only where the possible is [`limits::RATIO_DELAY_MIN`] or more: below, a commit weighs as much as the link.
    pub fn against(&self, connected: bool) -> Against {
        let of = || self.arrivals.iter().filter(|arrival| arrival.connected == connected);
        let is_far = |arrival: &&Explained| {
            let possible = arrival.possible.map(|possible| possible.since(arrival.acknowledged));
            possible.is_some_and(|possible| possible >= limits::RATIO_DELAY_MIN)
        };
        Against {
            ratio: Ratios::of(of().filter(is_far).filter_map(Explained::ratio)),
            late: Percentiles::of(of().map(Explained::late)),
        }
    }

    /// The slowest arrivals, the slowest first. Of an operation only the slowest replica: the others tell the same story.
    pub fn slowest(&self, most: usize) -> Vec<&Explained> {
        let worst = |of: &'_ [Explained]| (0..of.len()).max_by_key(|at| (of[*at].latency(), usize::MAX - at));
        let each = self.arrivals.chunk_by(|a, b| a.position == b.position);
        let mut slowest: Vec<&Explained> = each.filter_map(|of| Some(&of[worst(of)?])).collect();
        // Stable: of equals, the first issued.
        slowest.sort_by_key(|arrival| std::cmp::Reverse(arrival.latency()));
        slowest.truncate(most);
        slowest
    }

    /// Time spent per part, over the arrivals that were connected all the time or not.
    pub fn spent(&self, connected: bool) -> Parts {
        let mut spent = Parts::default();
        for arrival in self.arrivals.iter().filter(|arrival| arrival.connected == connected) {
            arrival.parts.spent().for_each(|(part, time)| spent.add(part, time));
        }
        spent
    }

    fn verb(&self, arrival: &Explained) -> &'static str {
        match self.record.operations[arrival.position].kind {
            OpKind::Put => "put",
            OpKind::Edit => "edit",
            OpKind::Delete => "delete",
        }
    }
}

/// The content of an explanation with stable names; durations and moments are nanoseconds of scenario time.
#[derive(Debug, Serialize)]
pub struct JsonExplanation<'a> {
    /// Of what was connected all the time.
    pub connected: JsonKind,
    /// Of what had to wait out an outage.
    pub outage: JsonKind,
    /// The slowest, the slowest first.
    pub slowest: Vec<JsonExplained<'a>>,
}

/// One kind of arrivals.
#[derive(Debug, Serialize)]
pub struct JsonKind {
    #[serde(flatten)]
    against: Against,
    spent: Parts,
}

/// One arrival with its names.
#[derive(Debug, Serialize)]
pub struct JsonExplained<'a> {
    kind: &'static str,
    document: String,
    origin: &'a str,
    replica: &'a str,
    latency_ns: u64,
    ratio: Option<f64>,
    path: Vec<&'a str>,
    #[serde(flatten)]
    arrival: &'a Explained,
}

impl Explanation<'_> {
    /// As JSON.
    pub fn json(&self, slowest: usize) -> JsonExplanation<'_> {
        let topology = &self.record.topology;
        let kind = |connected| JsonKind { against: self.against(connected), spent: self.spent(connected) };
        let one = |arrival| -> JsonExplained<'_> {
            let arrival: &Explained = arrival;
            let path = arrival.hops.iter().map(|hop| hop.from).chain([arrival.replica]);
            JsonExplained {
                kind: self.verb(arrival),
                document: self.record.operations[arrival.position].key.to_string(),
                origin: topology.name(arrival.origin),
                replica: topology.name(arrival.replica),
                latency_ns: u64::try_from(arrival.latency().as_nanos()).unwrap_or(u64::MAX),
                ratio: arrival.ratio(),
                path: path.map(|node| topology.name(node)).collect(),
                arrival,
            }
        };
        JsonExplanation {
            connected: kind(true),
            outage: kind(false),
            slowest: self.slowest(slowest).into_iter().map(one).collect(),
        }
    }
}
