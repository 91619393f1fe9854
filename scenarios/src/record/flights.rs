//! What crossed the links, in few enough pieces to be drawn.
//!
//! A run of half an hour has a hundred thousand datagrams, a long one millions. A *flight* is a burst of them: one
//! direction between two nodes, sent within a few milliseconds, with one fate. The log is bounded: when it is full, the
//! smallest flights go first (keep-alives and acknowledgements, which nobody looks for), then neighbours are merged
//! over twice the time. What was done is written down, and nothing is random: a seed has one log.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::plan::NodeIndex;
use crate::time::SimTime;

/// Datagrams that went together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// When the first was sent.
    pub sent: SimTime,
    /// When the first arrives, as the link says at that moment; `None`: the link dropped them.
    pub arrives: Option<SimTime>,
    /// Who sent.
    pub from: NodeIndex,
    /// To whom.
    pub to: NodeIndex,
    /// How many.
    pub datagrams: u64,
    /// Their payload.
    pub bytes: u64,
}

/// The log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Flights {
    /// The flights, in order of the time they were sent.
    pub list: Vec<Flight>,
    /// Datagrams within this time of the first of a flight belong to it.
    #[serde(rename = "merged_within_ns", with = "crate::physics::nanos")]
    pub merged_within: Duration,
    /// Flights of less payload were left out.
    pub least_bytes: u64,
    /// All datagrams, left out or not.
    pub datagrams: u64,
    /// How many of them were left out.
    pub left_out: u64,
    /// The last flight of each direction and fate, by position in the list.
    #[serde(skip)]
    open: BTreeMap<(NodeIndex, NodeIndex, bool), usize>,
}

/// Within this time, what an endpoint sends is one burst: its pacer sends every few milliseconds, and the simulated
/// clock has a grain of one.
const MERGED_WITHIN: Duration = Duration::from_millis(5);
/// Where leaving out by size begins, and where it ends: a keep-alive has 30 to 60 bytes, an acknowledgement less than
/// 100, and a document that somebody may look for more than 256.
const LEAST_BYTES: std::ops::RangeInclusive<u64> = 64..=256;
/// Where merging ends: an arrow for a minute of traffic says little already. Beyond, size decides again: a hundred
/// nodes that all talk to all have more directions than the log has places.
const MERGED_AT_MOST: Duration = Duration::from_secs(60);

impl Default for Flights {
    fn default() -> Self {
        Flights {
            list: Vec::new(),
            merged_within: MERGED_WITHIN,
            least_bytes: 0,
            datagrams: 0,
            left_out: 0,
            open: BTreeMap::new(),
        }
    }
}

impl Flights {
    /// A datagram was sent. Calls are in order of time. Cost: a look into a map; once in 10,000 flights some passes
    /// over the list.
    pub fn add(&mut self, sent: SimTime, from: NodeIndex, to: NodeIndex, bytes: usize, arrives: Option<SimTime>) {
        self.datagrams += 1;
        let direction = (from, to, arrives.is_some());
        let open = self.open.get(&direction).and_then(|at| self.list.get_mut(*at));
        if let Some(flight) = open.filter(|flight| sent.since(flight.sent) <= self.merged_within) {
            flight.datagrams += 1;
            flight.bytes += bytes as u64;
            return;
        }
        if self.list.len() >= limits::FLIGHTS {
            self.thin();
        }
        self.open.insert(direction, self.list.len());
        self.list.push(Flight { sent, arrives, from, to, datagrams: 1, bytes: bytes as u64 });
    }

    /// Makes room: until a quarter of the places is free.
    fn thin(&mut self) {
        while self.list.len() > limits::FLIGHTS / 4 * 3 {
            if self.least_bytes < *LEAST_BYTES.end() || self.merged_within >= MERGED_AT_MOST {
                self.least_bytes = self.least_bytes.saturating_mul(2).max(*LEAST_BYTES.start());
                let (least, mut left_out) = (self.least_bytes, 0);
                self.list.retain(|flight| {
                    let small = flight.bytes < least;
                    left_out += if small { flight.datagrams } else { 0 };
                    !small
                });
                self.left_out += left_out;
            } else {
                self.merged_within *= 2;
                self.merge();
            }
        }
        self.open.clear();
    }

    /// Merges neighbours.
    fn merge(&mut self) {
        let mut last: BTreeMap<(NodeIndex, NodeIndex, bool), usize> = BTreeMap::new();
        let mut merged: Vec<Flight> = Vec::with_capacity(self.list.len());
        for flight in self.list.drain(..) {
            let direction = (flight.from, flight.to, flight.arrives.is_some());
            let open = last.get(&direction).map(|at| &mut merged[*at]);
            match open.filter(|open| flight.sent.since(open.sent) <= self.merged_within) {
                Some(open) => {
                    open.datagrams += flight.datagrams;
                    open.bytes += flight.bytes;
                }
                None => {
                    last.insert(direction, merged.len());
                    merged.push(flight);
                }
            }
        }
        self.list = merged;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_burst_is_one_flight_and_a_drop_is_another() {
        let mut flights = Flights::default();
        let at = SimTime::from_millis;
        let (a, b) = (NodeIndex(0), NodeIndex(1));
        flights.add(at(10), a, b, 1_200, Some(at(40)));
        flights.add(at(12), a, b, 300, Some(at(42)));
        flights.add(at(12), a, b, 300, None);
        flights.add(at(13), b, a, 40, Some(at(43)));
        flights.add(at(16), a, b, 1_200, Some(at(46)));
        let seen: Vec<_> = flights.list.iter().map(|f| (f.sent, f.from.0, f.datagrams, f.bytes, f.arrives)).collect();
        assert_eq!(
            seen,
            [
                (at(10), 0, 2, 1_500, Some(at(40))),
                (at(12), 0, 1, 300, None),
                (at(13), 1, 1, 40, Some(at(43))),
                (at(16), 0, 1, 1_200, Some(at(46))),
            ]
        );
    }

    #[test]
    fn more_directions_than_places_still_fit() {
        let mut flights = Flights::default();
        for pair in 0..2 * limits::FLIGHTS as u32 {
            flights.add(SimTime::from_millis(pair.into()), NodeIndex(pair), NodeIndex(pair + 1), 1_200, None);
        }
        assert!(flights.list.len() <= limits::FLIGHTS);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8))]
        /// Whatever is sent: bounded, in order, and every datagram is either in it or counted as left out.
        #[test]
        fn the_log_is_bounded_and_loses_count_of_nothing(
            gaps in proptest::collection::vec((0u64..40, 0u32..12, 20usize..1_400, any::<bool>()), 3_000),
            times in 1usize..40,
        ) {
            let mut flights = Flights::default();
            let (mut now, mut total) = (SimTime::ZERO, 0);
            for (gap, pair, bytes, arrives) in gaps.iter().cycle().take(3_000 * times) {
                now += Duration::from_millis(*gap);
                let (from, to) = (NodeIndex(pair / 4), NodeIndex(4 + pair % 4));
                flights.add(now, from, to, *bytes, arrives.then_some(now + Duration::from_millis(30)));
                total += 1;
            }
            prop_assert!(flights.list.len() <= limits::FLIGHTS);
            prop_assert!(flights.list.is_sorted_by_key(|flight| flight.sent));
            let kept: u64 = flights.list.iter().map(|flight| flight.datagrams).sum();
            prop_assert_eq!(flights.datagrams, total);
            prop_assert_eq!(kept + flights.left_out, total);
        }
    }
}
