//! CoDel's decision for one datagram after the other.

use std::time::Duration;

use crate::time::SimTime;

/// The state of RFC 8289, section 5, as a machine that is asked once per datagram instead of pulling datagrams.
///
/// In the RFC a datagram is judged when it is taken from the queue. Here it is judged when it is offered: the queue is
/// first in, first out, and the rate ahead is known, so the moment at which it will be taken is known too, and so is the
/// fate of everything before it. One thing cannot be known, what will stand behind it by then: the RFC spares the
/// last full datagram in a queue. [`super::CoDel::target`] is never below the time of a full datagram instead, which
/// spares it as long as it has not waited for others.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(in super::super) struct CoDelState {
    /// When a delay above the target will have lasted for an interval; `None` while below.
    first_above: Option<SimTime>,
    phase: Phase,
    /// Drops since dropping began.
    count: u64,
    /// The same when the last dropping began.
    last_count: u64,
    drop_next: SimTime,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Phase {
    /// Nothing is dropped.
    #[default]
    Passing,
    /// The first drop has just been made; whatever comes next is sent.
    Entered,
    /// Drops come at shrinking intervals.
    Dropping {
        /// A drop was made, and the next datagram decides whether there will be another.
        dropped: bool,
    },
}

/// RFC 8289, section 5.6: dropping soon after the last time begins where that had arrived.
const RECENT_INTERVALS: u32 = 16;

impl CoDelState {
    /// `now` is when the datagram would be taken from the queue, `sojourn` how long it will have been in it.
    pub(super) fn drops(&mut self, target: Duration, interval: Duration, now: SimTime, sojourn: Duration) -> bool {
        let may_drop = self.may_drop(target, interval, now, sojourn);
        match self.phase {
            Phase::Passing => {
                if may_drop {
                    self.enter(interval, now);
                }
                may_drop
            }
            Phase::Entered => {
                self.phase = Phase::Dropping { dropped: false };
                false
            }
            Phase::Dropping { .. } if !may_drop => {
                self.phase = Phase::Passing;
                false
            }
            Phase::Dropping { dropped } => {
                if dropped {
                    self.drop_next += control_law(interval, self.count);
                }
                let drop = now >= self.drop_next;
                self.count += u64::from(drop);
                self.phase = Phase::Dropping { dropped: drop };
                drop
            }
        }
    }

    fn may_drop(&mut self, target: Duration, interval: Duration, now: SimTime, sojourn: Duration) -> bool {
        if sojourn < target {
            self.first_above = None;
            return false;
        }
        match self.first_above {
            None => {
                self.first_above = Some(now + interval);
                false
            }
            Some(first_above) => now >= first_above,
        }
    }

    fn enter(&mut self, interval: Duration, now: SimTime) {
        self.phase = Phase::Entered;
        let before = self.count - self.last_count;
        let recent = now.since(self.drop_next) < interval * RECENT_INTERVALS;
        self.count = if before > 1 && recent { before } else { 1 };
        self.drop_next = now + control_law(interval, self.count);
        self.last_count = self.count;
    }
}

/// Time to the next drop: the interval over the square root of the drops so far, which lets the throughput of a TCP-like
/// sender fall linearly.
fn control_law(interval: Duration, count: u64) -> Duration {
    interval.div_f64((count as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(5);
    const INTERVAL: Duration = Duration::from_millis(100);

    /// One datagram a millisecond, each of which waited `sojourn`: when are they dropped?
    fn drops(state: &mut CoDelState, from_ms: u64, for_ms: u64, sojourn: u64) -> Vec<u64> {
        let sojourn = Duration::from_millis(sojourn);
        (from_ms..from_ms + for_ms)
            .filter(|ms| state.drops(TARGET, INTERVAL, SimTime::from_millis(*ms), sojourn))
            .collect()
    }

    #[test]
    fn a_short_queue_is_left_alone() {
        assert!(drops(&mut CoDelState::default(), 0, 10_000, 4).is_empty());
    }

    #[test]
    fn a_standing_queue_is_dropped_from_after_an_interval_and_then_faster_and_faster() {
        // 100 ms above the target, then after 100/√1, 100/√2, 100/√3 ms more: the first drops of RFC 8289.
        let made = drops(&mut CoDelState::default(), 0, 500, 6);
        assert_eq!(made, [100, 200, 271, 329, 379, 424, 464]);
    }

    #[test]
    fn a_single_datagram_below_the_target_ends_it() {
        let mut state = CoDelState::default();
        drops(&mut state, 0, 300, 6);
        assert!(drops(&mut state, 300, 1, 4).is_empty());
        // Above again at once: a full interval must pass before the next drop.
        assert_eq!(drops(&mut state, 301, 150, 6).first(), Some(&401));
    }

    #[test]
    fn dropping_again_soon_begins_where_it_had_arrived() {
        let mut state = CoDelState::default();
        let first = drops(&mut state, 0, 1_000, 6);
        drops(&mut state, 1_000, 1, 4);
        let again = drops(&mut state, 1_001, 300, 6);
        assert!(again[2] - again[1] < first[1] - first[0], "{first:?} {again:?}");
    }
}
