//! What a scenario demands besides safety, which is always checked.

use std::fmt;
use std::time::Duration;

use super::units::{format_duration, parse_duration};

/// Service levels. What is `None` is measured but not judged.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Expect {
    /// After each heal, everything written before it is everywhere within this.
    pub converge_within: Option<Duration>,
    /// After each heal, every session that was lost is up again within this.
    pub reconnect_within: Option<Duration>,
    /// After each heal of a cut, the first document that had waited for it is shown on the other side within
    /// this, in each direction.
    pub first_byte_within: Option<RttBound>,
    /// After the start and each heal, restart and join, a path of live sessions joins every pair of running
    /// nodes that links join, within this.
    pub connected_within: Option<Duration>,
    /// Dials that any one node begins in the second after a heal.
    pub dials_in_first_second_max: Option<u32>,
    /// Median latency of connected operations, as a multiple of the one-way delay, for every pair
    /// of groups at least [`crate::limits::RATIO_DELAY_MIN`] apart.
    pub connected_latency_p50_max_ratio: Option<f64>,
    /// 99th percentile of the latency of connected operations.
    pub connected_p99_within: Option<Duration>,
    /// Payload bytes on all links, keep-alives included, per acknowledged operation.
    pub bytes_per_operation_max: Option<f64>,
    /// Payload bytes per second and node in the second half of the settle time: after convergence
    /// only keep-alives may flow.
    pub idle_bytes_per_second_max: Option<f64>,
    /// Sync latency by collection.
    pub latency: Vec<LatencyLevel>,
}

/// Sync latency of the operations on one collection, connected or not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LatencyLevel {
    /// The collection.
    pub collection: String,
    /// Median.
    pub p50: Option<Duration>,
    /// 99th percentile.
    pub p99: Option<Duration>,
    /// Every single one.
    pub max: Option<Duration>,
}

/// A bound that knows that light takes its time: `2s + 2rtt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RttBound {
    /// Whatever the link is like.
    pub fixed: Duration,
    /// Round trips of the link in question on top.
    pub round_trips: u32,
}

impl RttBound {
    /// The bound over a link with this round trip.
    pub fn over(&self, round_trip: Duration) -> Duration {
        self.fixed.saturating_add(round_trip.saturating_mul(self.round_trips))
    }

    /// `2s`, `3rtt`, `2s + 2rtt`, in either order; each part once.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (mut fixed, mut round_trips) = (None, None);
        for part in text.split('+').map(str::trim) {
            match part.strip_suffix("rtt") {
                Some(count) if round_trips.is_none() => round_trips = Some(count.trim_end().parse().ok()?),
                None if fixed.is_none() => fixed = Some(parse_duration(part)?),
                _ => return None,
            }
        }
        Some(RttBound { fixed: fixed.unwrap_or_default(), round_trips: round_trips.unwrap_or_default() })
    }
}

impl fmt::Display for RttBound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.fixed.is_zero(), self.round_trips) {
            (_, 0) => f.write_str(&format_duration(self.fixed)),
            (true, trips) => write!(f, "{trips}rtt"),
            (false, trips) => write!(f, "{} + {trips}rtt", format_duration(self.fixed)),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_bound_may_have_two_parts() {
        let bound = |secs, round_trips| Some(RttBound { fixed: Duration::from_secs(secs), round_trips });
        assert_eq!(RttBound::parse("2s + 2rtt"), bound(2, 2));
        assert_eq!(RttBound::parse("3 rtt+1s"), bound(1, 3));
        assert_eq!(RttBound::parse("1m"), bound(60, 0));
        assert_eq!(RttBound::parse("4rtt"), bound(0, 4));
        for wrong in ["", "2s + 2s", "1rtt + 1rtt", "rtt", "2", "-1rtt", "2s +"] {
            assert_eq!(RttBound::parse(wrong), None, "{wrong}");
        }
        assert_eq!(bound(2, 2).map(|bound| bound.over(Duration::from_millis(600))), Some(Duration::from_millis(3200)));
    }

    proptest! {
        #[test]
        fn a_bound_that_is_written_reads_back(millis in 0u64..1 << 40, round_trips: u32) {
            let bound = RttBound { fixed: Duration::from_millis(millis), round_trips };
            prop_assert_eq!(RttBound::parse(&bound.to_string()), Some(bound));
        }
    }
}
