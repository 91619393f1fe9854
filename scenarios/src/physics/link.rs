//! One direction of one link.

#[cfg(test)]
mod tests;

use std::time::Duration;

use rand::Rng;

use super::fate::{Corruption, Deliveries, Delivery, DropCause, Fate, LinkCounters};
use super::params::{BurstState, LinkParams, UDP_HEADER_BYTES};
use super::queue::{Candidate, Discipline, DisciplineState};
use super::random::unit;
use super::schedule::{Conditions, Schedule, Sending, last_instant};
use crate::plan::FaultIndex;
use crate::time::SimTime;

/// One direction of one link, with its queue.
///
/// Faults overlap: a partition inside a blackout must not bring the link up when it heals. So a
/// link remembers *which* faults hold it down or degrade it, and is up when none is left.
#[derive(Debug, Clone)]
pub struct Link {
    base: LinkParams,
    cuts: Vec<FaultIndex>,
    degradations: Vec<(FaultIndex, LinkParams)>,
    last_cut: Option<SimTime>,
    busy_until: SimTime,
    /// Bytes used of the opportunities of a trace at `busy_until`.
    used: usize,
    discipline: DisciplineState,
    burst: BurstState,
    /// Latest arrival so far, for links that keep the order.
    latest: SimTime,
    counters: LinkCounters,
}

impl Link {
    /// A link that is up and idle.
    pub fn new(params: LinkParams) -> Self {
        Link {
            discipline: DisciplineState::of(params.discipline),
            base: params,
            cuts: Vec::new(),
            degradations: Vec::new(),
            last_cut: None,
            busy_until: SimTime::ZERO,
            used: 0,
            burst: BurstState::default(),
            latest: SimTime::ZERO,
            counters: LinkCounters::default(),
        }
    }

    /// What the link is like now: the latest degradation that has not healed, or its own nature.
    pub fn params(&self) -> &LinkParams {
        self.degradations.last().map_or(&self.base, |(_, params)| params)
    }

    /// True when no fault cuts it. Its schedule may have no contact all the same.
    pub fn is_up(&self) -> bool {
        self.cuts.is_empty()
    }

    /// How long a datagram offered at `now` would wait for those before it.
    pub fn backlog(&self, now: SimTime) -> Duration {
        self.busy_until.since(now)
    }

    /// What it did so far.
    pub fn counters(&self) -> &LinkCounters {
        &self.counters
    }

    /// Decides what becomes of a datagram of `size` payload bytes offered at `now`.
    ///
    /// Draws from `rng` only what the parameters need, in the order RED, bursts, loss, duplication, and per copy jitter and
    /// corruption, and nothing while down, so a perfect link consumes no randomness. `now` must not go backwards.
    pub fn offer(&mut self, now: SimTime, size: usize, rng: &mut impl Rng) -> Fate {
        self.counters.offered += 1;
        self.counters.offered_bytes += size as u64;
        match self.carry(now, size, rng) {
            Ok(deliveries) => {
                for copy in Fate::Deliver(deliveries).deliveries() {
                    self.counters.delivered += 1;
                    self.counters.delivered_bytes += size as u64;
                    self.counters.corrupted += u64::from(copy.corruption.is_some());
                }
                self.counters.duplicated += u64::from(deliveries.duplicate.is_some());
                Fate::Deliver(deliveries)
            }
            Err(cause) => {
                self.counters.drop(cause);
                Fate::Drop(cause)
            }
        }
    }

    fn carry(&mut self, now: SimTime, size: usize, rng: &mut impl Rng) -> Result<Deliveries, DropCause> {
        if !self.is_up() {
            return Err(DropCause::Down);
        }
        let params = self.degradations.last().map_or(&self.base, |(_, params)| params);
        let conditions = params.schedule.as_ref().map_or(Conditions::UP, |schedule| schedule.at(now));
        if !conditions.up {
            return Err(DropCause::NoContact);
        }
        if !params.fits(size) {
            return Err(DropCause::TooBig);
        }
        let starts = self.busy_until.max(now);
        let sent = if params.is_instant() {
            now
        } else {
            let bps = conditions.bandwidth_bps.or(params.bandwidth_bps);
            let waiting = waiting(params, now, self.busy_until, self.used);
            let wire_bytes = size + UDP_HEADER_BYTES;
            if u128::from(waiting) + wire_bytes as u128 > u128::from(params.queue_bytes) {
                return Err(DropCause::QueueFull);
            }
            if params.discipline != Discipline::DropTail {
                let candidate = Candidate { offered: now, starts, waiting, idle_since: self.busy_until };
                if self.discipline.drops(params, bps, &candidate, rng) {
                    return Err(DropCause::Early);
                }
            }
            let used = if self.busy_until >= now { self.used } else { 0 };
            match send(params, starts, wire_bytes, used) {
                (Sending::At(sent), used) => {
                    (self.busy_until, self.used) = (sent, used);
                    sent
                }
                (Sending::Never { until }, _) => {
                    // What is being sent when the contact ends has used the rest of it.
                    self.busy_until = until.unwrap_or(starts).max(starts);
                    return Err(DropCause::NoContact);
                }
            }
        };
        let conditions = match &params.schedule {
            Some(schedule) => schedule.at(last_instant(starts, sent)),
            None => conditions,
        };
        let burst = params.bursts.as_ref().is_some_and(|bursts| self.burst.next(bursts, rng));
        let loss = conditions.loss.unwrap_or(params.loss);
        if loss > 0.0 && unit(rng) < loss {
            return Err(DropCause::Loss);
        }
        if burst {
            return Err(DropCause::Burst);
        }
        let twice = params.duplicate > 0.0 && unit(rng) < params.duplicate;
        let latency = conditions.latency.unwrap_or(params.latency);
        let mut copy = || {
            let mut at = sent + latency;
            if !params.jitter.is_zero() {
                at += params.spread.sample(params.jitter, rng);
            }
            if !params.reorder {
                at = at.max(self.latest);
                self.latest = at;
            }
            let corrupt = params.corrupt > 0.0 && unit(rng) < params.corrupt;
            Delivery { at, corruption: corrupt.then(|| Corruption(rng.next_u64())) }
        };
        Ok(Deliveries { first: copy(), duplicate: twice.then(copy) })
    }

    /// Asked at the moment of delivery, once per copy: does the datagram that was offered at `sent` really arrive?
    /// Not when a fault cut the link at any time since, even if it is up again. That its schedule has no contact any more
    /// does not matter.
    pub fn arrives(&mut self, sent: SimTime) -> bool {
        let killed = !self.is_up() || self.last_cut.is_some_and(|cut| cut >= sent);
        if killed {
            self.counters.killed += 1;
        } else {
            self.counters.arrived += 1;
        }
        !killed
    }

    /// `fault` cuts the link at `now`. What waited in the queue is gone with the rest.
    pub fn cut(&mut self, now: SimTime, fault: FaultIndex) {
        if !self.cuts.contains(&fault) {
            self.cuts.push(fault);
        }
        self.last_cut = Some(now);
        self.busy_until = now;
        self.used = 0;
        self.latest = now;
    }

    /// `fault` replaces the parameters. Datagrams already in the queue keep their times.
    pub fn degrade(&mut self, fault: FaultIndex, params: LinkParams) {
        self.degradations.retain(|(by, _)| *by != fault);
        self.degradations.push((fault, params));
    }

    /// `fault` is over: its cut and its degradation end; those of other faults stay.
    pub fn heal(&mut self, fault: FaultIndex) {
        self.cuts.retain(|by| *by != fault);
        self.degradations.retain(|(by, _)| *by != fault);
    }

    /// Replaces the nature of the link for good.
    pub fn set_params(&mut self, params: LinkParams) {
        self.base = params;
    }
}

impl LinkParams {
    /// Without a bandwidth of its own or of its schedule nothing ever waits.
    fn is_instant(&self) -> bool {
        self.bandwidth_bps.is_none() && self.schedule.is_none()
    }

    /// The earliest moment at which a datagram of `size` payload bytes that is handed over at `at`, or at any time later,
    /// can reach the far end: an empty queue, nothing lost, the least extra delay, the best contact of the schedule.
    /// Faults are not known here. `None` when it never can: longer than the MTU, or no contact left that is long enough.
    ///
    /// A bound for whatever is sent and sent again: nothing offered at `at` or later arrives before it.
    pub fn earliest_arrival(&self, at: SimTime, size: usize) -> Option<SimTime> {
        if !self.fits(size) {
            return None;
        }
        let wire_bytes = size + UDP_HEADER_BYTES;
        match self.schedule.as_deref() {
            None => Some(at + self.serialisation(size) + self.latency),
            Some(Schedule::Windows(windows)) => windows.earliest(at, wire_bytes, self.bandwidth_bps, self.latency),
            Some(Schedule::Opportunities(opportunities)) => Some(opportunities.earliest(at, wire_bytes) + self.latency),
        }
    }
}

/// Bytes that wait at `now` for a link that is busy until `busy_until`.
fn waiting(params: &LinkParams, now: SimTime, busy_until: SimTime, used: usize) -> u64 {
    if busy_until <= now {
        return 0;
    }
    match (&params.schedule, params.bandwidth_bps) {
        (Some(schedule), bps) => schedule.carried(now, busy_until, bps, used),
        (None, Some(bps)) => {
            let bytes = busy_until.since(now).as_nanos() * u128::from(bps) / 8_000_000_000;
            u64::try_from(bytes).unwrap_or(u64::MAX)
        }
        (None, None) => 0,
    }
}

/// When a datagram is sent that the link gets round to at `starts`.
fn send(params: &LinkParams, starts: SimTime, wire_bytes: usize, used: usize) -> (Sending, usize) {
    match &params.schedule {
        Some(schedule) => schedule.send(starts, wire_bytes, params.bandwidth_bps, used),
        None => (Sending::At(starts + params.serialisation(wire_bytes - UDP_HEADER_BYTES)), 0),
    }
}
