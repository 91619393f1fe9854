//! Mahimahi's packet-delivery traces: the moments at which a recorded link let a full packet through.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::SimTime;

/// Bytes that one opportunity carries, headers included (mahimahi, `mm-link(1)`).
pub const OPPORTUNITY_BYTES: usize = 1_500;

/// The moments at which 1,500 bytes pass, repeated for ever, as Netravali et al. (2015) define them: accounting is by
/// bytes, so several small datagrams share one opportunity and a long one takes several; an opportunity that finds the
/// queue empty is wasted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opportunities {
    /// Milliseconds from the beginning of the trace, not falling; the last is its length.
    at_ms: Vec<u32>,
    period_ms: u32,
}

impl Opportunities {
    /// From moments in milliseconds, not falling, the last of which is the length of the trace. `None` when there are
    /// none, they fall, or the length is zero.
    pub fn new(at_ms: Vec<u32>) -> Option<Opportunities> {
        let period_ms = *at_ms.last()?;
        (period_ms > 0 && at_ms.is_sorted()).then_some(Opportunities { at_ms, period_ms })
    }

    /// Mean rate in bits per second.
    pub fn mean_bps(&self) -> u64 {
        (self.at_ms.len() * OPPORTUNITY_BYTES * 8) as u64 * 1_000 / u64::from(self.period_ms)
    }

    /// The moment of the opportunity with that number, counted over all repetitions.
    fn moment(&self, number: u64) -> SimTime {
        let of = self.at_ms.len() as u64;
        let within = u64::from(self.at_ms[(number % of) as usize]);
        SimTime::from_millis((number / of).saturating_mul(u64::from(self.period_ms)).saturating_add(within))
    }

    /// The number of the first opportunity at or after `now`.
    fn first_from(&self, now: SimTime) -> u64 {
        let period = u64::from(self.period_ms) * 1_000_000;
        let of = self.at_ms.len() as u64;
        let repetition = now.as_nanos() / period;
        let within = now.as_nanos() % period;
        let before = self.at_ms.partition_point(|ms| u64::from(*ms) * 1_000_000 < within) as u64;
        let number = repetition * of + before;
        // The last moments of a repetition are also the beginning of the next.
        let last = self.at_ms.partition_point(|ms| *ms < self.period_ms) as u64;
        if within == 0 && repetition > 0 { (repetition - 1) * of + last } else { number }
    }

    /// When `bytes` are sent that the link gets round to at `from`. `used` bytes of an opportunity at exactly that moment
    /// are used already; says how many are used then of the opportunity at the answer.
    pub(super) fn send(&self, from: SimTime, bytes: usize, used: usize) -> (SimTime, usize) {
        let mut number = self.first_from(from);
        let mut used = used;
        // Several opportunities may fall on one millisecond: those that are used up come first.
        number += (used / OPPORTUNITY_BYTES) as u64;
        let mut room = OPPORTUNITY_BYTES - used % OPPORTUNITY_BYTES;
        let mut left = bytes;
        while left > room {
            left -= room;
            room = OPPORTUNITY_BYTES;
            number += 1;
        }
        let at = self.moment(number);
        // Bytes used at that moment: all of the opportunities before this one that fall on it, and the part of this one.
        let first = self.first_from(at);
        used = (number - first) as usize * OPPORTUNITY_BYTES + (OPPORTUNITY_BYTES - (room - left));
        (at, used)
    }

    /// Bytes that pass from `from` to `to`, if the opportunities at `to` are used as far as `used`.
    pub(super) fn carried(&self, from: SimTime, to: SimTime, used: usize) -> u64 {
        if to < from {
            return 0;
        }
        let whole = self.first_from(to) - self.first_from(from);
        whole * OPPORTUNITY_BYTES as u64 + used as u64
    }

    /// Earliest moment at which `bytes` are sent that are ready at `from`.
    pub(in super::super) fn earliest(&self, from: SimTime, bytes: usize) -> SimTime {
        self.send(from, bytes, 0).0
    }

    /// How long the trace is before it repeats.
    pub fn period(&self) -> Duration {
        Duration::from_millis(u64::from(self.period_ms))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> SimTime {
        SimTime::from_millis(n)
    }

    fn trace(at: &[u32]) -> Opportunities {
        Opportunities::new(at.to_vec()).unwrap()
    }

    #[test]
    fn a_single_line_is_a_constant_rate() {
        let constant = trace(&[1]);
        assert_eq!(constant.mean_bps(), 12_000_000);
        for now in 0..5 {
            assert_eq!(constant.send(ms(now) + Duration::from_micros(1), 1_500, 0).0, ms(now + 1));
        }
        assert_eq!(constant.send(ms(3), 1_500, 0).0, ms(3), "an opportunity at this very moment");
    }

    #[test]
    fn small_datagrams_share_an_opportunity_and_long_ones_take_several() {
        let trace = trace(&[10, 30]);
        let (first, used) = trace.send(ms(5), 600, 0);
        assert_eq!((first, used), (ms(10), 600));
        let (second, used) = trace.send(first, 600, used);
        assert_eq!((second, used), (ms(10), 1_200));
        // 300 bytes at 10 ms, the rest at 30 ms.
        let (third, used) = trace.send(second, 1_000, used);
        assert_eq!((third, used), (ms(30), 700));
        assert_eq!(trace.carried(ms(5), third, used), 2_200);
    }

    #[test]
    fn several_opportunities_in_one_millisecond_are_used_one_after_the_other() {
        let trace = trace(&[10, 10, 10, 20]);
        let (at, used) = trace.send(ms(1), 4_000, 0);
        assert_eq!((at, used), (ms(10), 4_000));
        assert_eq!(trace.send(at, 500, used), (ms(10), 4_500));
        assert_eq!(trace.send(at, 501, used), (ms(20), 1));
    }

    #[test]
    fn a_full_opportunity_leaves_nothing() {
        let trace = trace(&[10, 20]);
        let (at, used) = trace.send(ms(1), 1_500, 0);
        assert_eq!((at, used), (ms(10), 1_500));
        assert_eq!(trace.send(at, 1, used), (ms(20), 1));
    }

    #[test]
    fn the_trace_repeats() {
        let trace = trace(&[10, 30]);
        assert_eq!(trace.send(ms(31), 1, 0).0, ms(40));
        assert_eq!(trace.send(ms(60), 1, 0).0, ms(60));
        assert_eq!(trace.send(ms(61), 3_000, 0).0, ms(90));
    }
}
