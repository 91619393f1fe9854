//! Pieces of time with constant conditions.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Sending;
use crate::time::SimTime;

/// What holds for a piece of time. What is `None` is as the link's parameters say.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Conditions {
    /// Is there a contact?
    pub up: bool,
    /// Bits per second; zero holds what is in the queue until the next piece.
    pub bandwidth_bps: Option<u64>,
    /// Latency.
    pub latency: Option<Duration>,
    /// Independent probability of loss.
    pub loss: Option<f64>,
}

impl Conditions {
    /// As the link's parameters say.
    pub const UP: Conditions = Conditions { up: true, bandwidth_bps: None, latency: None, loss: None };
    /// Out of contact.
    pub const DOWN: Conditions = Conditions { up: false, ..Conditions::UP };
}

/// Pieces of time with constant conditions, one after the other, from the start of the scenario.
///
/// Without a period the last piece lasts for ever. Built by [`Windows::new`]; the pieces begin at zero and rise.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Windows {
    pieces: Vec<Piece>,
    period: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Piece {
    from: Duration,
    conditions: Conditions,
}

impl Windows {
    /// Pieces by when they begin, each until the next; before the first, `before` holds. With a period everything begins
    /// again after it. `None` when the beginnings do not rise, or one is not within the period.
    pub fn new(
        before: Conditions,
        pieces: impl IntoIterator<Item = (Duration, Conditions)>,
        period: Option<Duration>,
    ) -> Option<Windows> {
        let mut built = vec![Piece { from: Duration::ZERO, conditions: before }];
        for (from, conditions) in pieces {
            let last = built.last()?.from;
            if from == Duration::ZERO && built.len() == 1 {
                built[0].conditions = conditions;
            } else if from <= last {
                return None;
            } else {
                built.push(Piece { from, conditions });
            }
        }
        let last = built.last()?.from;
        match period {
            Some(period) if period <= last || period.is_zero() => None,
            _ => Some(Windows { pieces: built, period }),
        }
    }

    /// In contact for `up` of every `period`, one of the times at `offset`.
    pub fn duty_cycle(up: Duration, period: Duration, offset: Duration) -> Option<Windows> {
        if up.is_zero() || up >= period {
            return None;
        }
        let offset = Duration::from_nanos(u64::try_from(offset.as_nanos() % period.as_nanos()).ok()?);
        let end = offset + up;
        // A contact that spans the end of the period is cut in two.
        let pieces = match end > period {
            true => vec![(Duration::ZERO, Conditions::UP), (end - period, Conditions::DOWN), (offset, Conditions::UP)],
            false if end == period => vec![(offset, Conditions::UP)],
            false => vec![(offset, Conditions::UP), (end, Conditions::DOWN)],
        };
        Windows::new(Conditions::DOWN, pieces, Some(period))
    }

    /// Share of the time in contact, from 0 to 1: of a period, or of all time, which is that of the last piece.
    pub fn presence(&self) -> f64 {
        let ends = self.pieces.iter().skip(1).map(|piece| Some(piece.from)).chain([self.period]);
        let Some(period) = self.period else {
            return f64::from(u8::from(self.pieces.last().is_some_and(|last| last.conditions.up)));
        };
        let up = self.pieces.iter().zip(ends).filter(|(piece, _)| piece.conditions.up);
        let up: Duration = up.filter_map(|(piece, end)| Some(end? - piece.from)).sum();
        up.as_secs_f64() / period.as_secs_f64()
    }

    /// What holds at a moment, and until when; `None`: for ever.
    pub(super) fn at(&self, now: SimTime) -> (Conditions, Option<SimTime>) {
        let elapsed = now.as_duration();
        let (begun, within) = match self.period {
            None => (Duration::ZERO, elapsed),
            Some(period) => {
                let within = Duration::from_nanos((elapsed.as_nanos() % period.as_nanos()) as u64);
                (elapsed - within, within)
            }
        };
        let position = self.pieces.partition_point(|piece| piece.from <= within).saturating_sub(1);
        let end = self.pieces.get(position + 1).map(|next| next.from).or(self.period);
        (self.pieces[position].conditions, end.map(|end| SimTime::from(begun + end)))
    }

    /// The next piece in contact from `from` on, with its end; `None` when there will be none.
    pub(in super::super) fn contact_from(&self, from: SimTime) -> Option<(SimTime, Conditions, Option<SimTime>)> {
        let mut now = from;
        // A whole period without a contact, and the rest of the present one: there is none.
        for _ in 0..=2 * self.pieces.len() {
            let (conditions, end) = self.at(now);
            if conditions.up {
                return Some((now, conditions, end));
            }
            now = end.filter(|end| *end > now && *end < SimTime::MAX)?;
        }
        None
    }

    pub(super) fn send(&self, from: SimTime, bytes: usize, bps: Option<u64>) -> Sending {
        let mut now = from;
        // In bits times nanoseconds per second, so that whole numbers stay whole.
        let mut left = bytes as u128 * 8 * 1_000_000_000;
        let mut held = 0;
        loop {
            let (conditions, end) = self.at(now);
            if !conditions.up {
                return Sending::Never { until: Some(now) };
            }
            let Some(bps) = conditions.bandwidth_bps.or(bps) else { return Sending::At(now) };
            let Some(end) = end else {
                return match bps {
                    0 => Sending::Never { until: None },
                    bps => Sending::At(now + Duration::from_nanos(nanos(left, bps))),
                };
            };
            let capacity = u128::from(bps) * end.since(now).as_nanos();
            if bps > 0 && left <= capacity {
                return Sending::At(now + Duration::from_nanos(nanos(left, bps)));
            }
            left -= capacity;
            // A trace that stands still for a whole period will never send anything.
            held = if capacity > 0 { 0 } else { held + 1 };
            if held > 2 * self.pieces.len() || end == SimTime::MAX {
                return Sending::Never { until: None };
            }
            now = end;
        }
    }

    pub(super) fn carried(&self, from: SimTime, to: SimTime, bps: Option<u64>) -> u64 {
        let mut now = from;
        let mut bits: u128 = 0;
        while now < to {
            let (conditions, end) = self.at(now);
            let end = end.map_or(to, |end| end.min(to));
            if conditions.up {
                let bps = conditions.bandwidth_bps.or(bps).unwrap_or(0);
                bits += u128::from(bps) * end.since(now).as_nanos();
            }
            now = end;
        }
        u64::try_from(bits / 8_000_000_000).unwrap_or(u64::MAX)
    }

    pub(super) fn least_latency(&self, own: Duration) -> Option<Duration> {
        let up = self.pieces.iter().filter(|piece| piece.conditions.up);
        up.map(|piece| piece.conditions.latency.unwrap_or(own)).min()
    }

    /// Earliest end of serialisation plus latency of `bytes` that are ready at `from`, over this contact and all later
    /// ones: a later one may be faster by more than it is later.
    pub(in super::super) fn earliest(
        &self,
        from: SimTime,
        bytes: usize,
        bps: Option<u64>,
        latency: Duration,
    ) -> Option<SimTime> {
        let mut best: Option<SimTime> = None;
        let mut ready = from;
        // Beyond a period everything repeats, only later.
        for _ in 0..=2 * self.pieces.len() {
            let Some((start, _, end)) = self.contact_from(ready) else { break };
            if best.is_some_and(|best| best <= start) {
                break;
            }
            if let Sending::At(sent) = self.send(start, bytes, bps) {
                let last = last_instant(start, sent);
                let at = sent + self.at(last).0.latency.unwrap_or(latency);
                let first = best.map_or(at, |best| best.min(at));
                best = Some(self.better_to_wait(last, first, latency));
            }
            match end {
                Some(end) if end < SimTime::MAX => ready = end,
                _ => break,
            }
        }
        best
    }

    /// The same for what is handed over so much later that its last bit leaves in a later piece of the contact: where that
    /// has less latency, it arrives before what was sent at once. The least is just after such a piece begins.
    fn better_to_wait(&self, sent: SimTime, mut best: SimTime, latency: Duration) -> SimTime {
        let mut now = sent;
        while let (_, Some(next)) = self.at(now)
            && next < best
        {
            let conditions = self.at(next).0;
            if !conditions.up {
                break;
            }
            best = best.min(next + conditions.latency.unwrap_or(latency));
            now = next;
        }
        best
    }
}

/// Whose conditions a datagram has that was sent at `sent`: those of its last bit. A datagram that ends exactly when a
/// piece ends still belongs to it.
pub(in super::super) fn last_instant(start: SimTime, sent: SimTime) -> SimTime {
    if sent > start { SimTime::from_nanos(sent.as_nanos() - 1) } else { sent }
}

fn nanos(left: u128, bps: u64) -> u64 {
    u64::try_from(left.div_ceil(u128::from(bps))).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::super::params::wire_nanos;
    use super::*;

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    fn at(n: u64) -> SimTime {
        SimTime::from_secs(n)
    }

    fn slow(bps: u64) -> Conditions {
        Conditions { bandwidth_bps: Some(bps), ..Conditions::UP }
    }

    #[test]
    fn a_duty_cycle_is_up_for_its_share_wherever_it_begins() {
        for offset in 0..25 {
            let cycle = Windows::duty_cycle(secs(3), secs(10), secs(offset)).unwrap();
            let up: Vec<u64> = (30..40).filter(|second| cycle.at(at(*second)).0.up).collect();
            assert_eq!(up.len(), 3, "offset {offset}: {up:?}");
            assert_eq!(cycle.presence(), 0.3);
            assert!(cycle.at(at(30 + offset)).0.up, "offset {offset}: {up:?}");
        }
    }

    #[test]
    fn a_datagram_goes_on_at_the_rate_of_the_next_piece() {
        let windows = Windows::new(slow(8_000), [(secs(1), slow(80_000))], None).unwrap();
        // 1,000 bytes in the first second, the second thousand in a tenth.
        assert_eq!(windows.send(at(0), 2_000, None), Sending::At(SimTime::from_millis(1_100)));
        assert_eq!(windows.carried(at(0), SimTime::from_millis(1_100), None), 2_000);
    }

    #[test]
    fn a_contact_that_ends_takes_what_it_could_not_send() {
        let windows = Windows::new(slow(8_000), [(secs(1), Conditions::DOWN)], None).unwrap();
        assert_eq!(windows.send(at(0), 1_000, None), Sending::At(at(1)));
        assert_eq!(windows.send(at(0), 1_001, None), Sending::Never { until: Some(at(1)) });
    }

    #[test]
    fn a_rate_of_zero_holds_until_the_next_piece() {
        let windows = Windows::new(slow(0), [(secs(5), slow(8_000))], None).unwrap();
        assert_eq!(windows.send(at(0), 1_000, None), Sending::At(at(6)));
        let never = Windows::new(slow(0), [], Some(secs(1))).unwrap();
        assert_eq!(never.send(at(0), 1, None), Sending::Never { until: None });
    }

    #[test]
    fn a_later_contact_may_be_the_faster_one() {
        let contact = |bps, latency| Conditions { latency: Some(secs(latency)), ..slow(bps) };
        let windows = Windows::new(contact(8_000, 30), [(secs(10), contact(8_000, 1))], None).unwrap();
        // Handed over just after 9 s, its last bit leaves just after 10 s, and has the latency that holds then.
        assert_eq!(windows.earliest(at(0), 1_000, None, Duration::ZERO), Some(at(11)));
    }

    proptest! {
        #[test]
        fn what_is_sent_is_what_is_carried(
            rates in prop::collection::vec(1_000u64..1_000_000, 1..6), from in 0u64..20_000, bytes in 1usize..20_000,
        ) {
            let pieces = rates.iter().enumerate().map(|(n, bps)| (Duration::from_millis(700 * n as u64), slow(*bps)));
            let period = Duration::from_millis(700 * rates.len() as u64);
            let windows = Windows::new(Conditions::DOWN, pieces, Some(period)).unwrap();
            let from = SimTime::from_millis(from);
            let Sending::At(sent) = windows.send(from, bytes, None) else { panic!("always in contact") };
            let carried = windows.carried(from, sent, None);
            prop_assert!(carried == bytes as u64 || carried == bytes as u64 + 1, "{carried} for {bytes}");
        }

        #[test]
        fn without_changes_it_is_the_plain_serialisation(bps in 1_000u64..1_000_000_000, bytes in 1usize..2_000) {
            let windows = Windows::new(Conditions::UP, [], None).unwrap();
            let sent = SimTime::from_nanos(wire_nanos(bytes, bps));
            prop_assert_eq!(windows.send(SimTime::ZERO, bytes, Some(bps)), Sending::At(sent));
        }
    }
}
