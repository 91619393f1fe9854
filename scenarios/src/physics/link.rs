//! One direction of one link.

use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::plan::FaultIndex;
use crate::time::SimTime;

/// IPv4 header (20) and UDP header (8): a link carries them although QUIC does not see them.
pub const UDP_HEADER_BYTES: usize = 28;

/// What a link is like in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkParams {
    /// Propagation, one way.
    #[serde(rename = "latency_ns", with = "super::nanos")]
    pub latency: Duration,
    /// Extra delay, uniform in `0..=jitter`, drawn per datagram; may reorder.
    #[serde(rename = "jitter_ns", with = "super::nanos")]
    pub jitter: Duration,
    /// Independent probability of loss of each datagram, 0 to 1.
    pub loss: f64,
    /// Bits per second on the wire, headers included; `None` is instant serialisation.
    pub bandwidth_bps: Option<u64>,
    /// Bytes that may wait for serialisation, headers included; the datagram that would pass this
    /// is dropped. Without a bandwidth nothing ever waits.
    pub queue_bytes: u64,
}

impl LinkParams {
    /// A link that adds nothing: no delay, no loss, no limit.
    pub const PERFECT: LinkParams = LinkParams {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        loss: 0.0,
        bandwidth_bps: None,
        queue_bytes: u64::MAX,
    };

    /// Time on the wire for a payload of `size` bytes, rounded up so that the bandwidth is never
    /// exceeded.
    pub fn serialisation(&self, size: usize) -> Duration {
        match self.bandwidth_bps {
            None => Duration::ZERO,
            Some(bps) => {
                let bits = (size as u128 + UDP_HEADER_BYTES as u128) * 8;
                let nanos = (bits * 1_000_000_000).div_ceil(u128::from(bps.max(1)));
                Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
            }
        }
    }
}

/// Why a datagram did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropCause {
    /// The link was cut.
    Down,
    /// Lost on the medium.
    Loss,
    /// No room to wait for serialisation.
    QueueFull,
}

/// What becomes of an offered datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the far end at `at`, unless the link is cut meanwhile: ask [`Link::arrives`] then.
    Deliver {
        /// The moment of arrival.
        at: SimTime,
    },
    /// It is gone.
    Drop(DropCause),
}

/// What a link did so far. Always `offered = delivered + down + loss + queue_full`; those killed in
/// flight were counted as delivered when they were sent and are counted again in `killed`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Datagrams offered.
    pub offered: u64,
    /// Datagrams put on their way to the far end.
    pub delivered: u64,
    /// Datagrams refused because the link was cut.
    pub down: u64,
    /// Datagrams lost on the medium.
    pub loss: u64,
    /// Datagrams that found the queue full.
    pub queue_full: u64,
    /// Datagrams that were in flight when the link was cut.
    pub killed: u64,
    /// Payload bytes offered, without IP and UDP headers.
    pub offered_bytes: u64,
    /// Payload bytes put on their way, without IP and UDP headers.
    pub delivered_bytes: u64,
}

impl LinkCounters {
    /// Everything that did not arrive, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.down + self.loss + self.queue_full + self.killed
    }

    /// What cuts alone took: refused while down, and killed in flight.
    pub fn cut(&self) -> u64 {
        self.down + self.killed
    }

    /// Adds the counts of another link.
    pub fn add(&mut self, other: &LinkCounters) {
        self.offered += other.offered;
        self.delivered += other.delivered;
        self.down += other.down;
        self.loss += other.loss;
        self.queue_full += other.queue_full;
        self.killed += other.killed;
        self.offered_bytes += other.offered_bytes;
        self.delivered_bytes += other.delivered_bytes;
    }
}

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
    counters: LinkCounters,
}

impl Link {
    /// A link that is up and idle.
    pub fn new(params: LinkParams) -> Self {
        Link {
            base: params,
            cuts: Vec::new(),
            degradations: Vec::new(),
            last_cut: None,
            busy_until: SimTime::ZERO,
            counters: LinkCounters::default(),
        }
    }

    /// What the link is like now: the latest degradation that has not healed, or its own nature.
    pub fn params(&self) -> &LinkParams {
        self.degradations.last().map_or(&self.base, |(_, params)| params)
    }

    /// True when no fault cuts it.
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
    /// Draws from `rng` only what the parameters need (loss, then jitter), and nothing while down,
    /// so a perfect link consumes no randomness. `now` must not go backwards.
    pub fn offer(&mut self, now: SimTime, size: usize, rng: &mut impl Rng) -> Fate {
        self.counters.offered += 1;
        self.counters.offered_bytes += size as u64;
        if !self.is_up() {
            self.counters.down += 1;
            return Fate::Drop(DropCause::Down);
        }
        let params = self.degradations.last().map_or(&self.base, |(_, params)| params);
        let sent = match params.bandwidth_bps {
            None => now,
            Some(bps) => {
                let waiting = self.busy_until.since(now).as_nanos() * u128::from(bps) / 8_000_000_000;
                let wire_bytes = (size + UDP_HEADER_BYTES) as u128;
                if waiting + wire_bytes > u128::from(params.queue_bytes) {
                    self.counters.queue_full += 1;
                    return Fate::Drop(DropCause::QueueFull);
                }
                self.busy_until = self.busy_until.max(now) + params.serialisation(size);
                self.busy_until
            }
        };
        if params.loss > 0.0 && unit(rng) < params.loss {
            self.counters.loss += 1;
            return Fate::Drop(DropCause::Loss);
        }
        let mut at = sent + params.latency;
        if !params.jitter.is_zero() {
            at += params.jitter.mul_f64(unit(rng));
        }
        self.counters.delivered += 1;
        self.counters.delivered_bytes += size as u64;
        Fate::Deliver { at }
    }

    /// Asked at the moment of delivery: does the datagram that was sent at `sent` really arrive?
    /// Not when the link was cut at any time since, even if it is up again.
    pub fn arrives(&mut self, sent: SimTime) -> bool {
        let killed = !self.is_up() || self.last_cut.is_some_and(|cut| cut >= sent);
        if killed {
            self.counters.killed += 1;
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

/// Uniform in `[0, 1)` from the top 53 bits: independent of how a `rand` version samples floats, so
/// that a seed keeps its meaning across upgrades.
fn unit(rng: &mut impl Rng) -> f64 {
    (rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand_chacha::ChaCha8Rng;

    use super::*;

    const A: FaultIndex = FaultIndex(0);
    const B: FaultIndex = FaultIndex(1);

    fn rng() -> ChaCha8Rng {
        ChaCha8Rng::seed_from_u64(1)
    }

    #[test]
    fn two_faults_hold_a_link_down_until_both_heal() {
        let mut link = Link::new(LinkParams::PERFECT);
        link.cut(SimTime::ZERO, A);
        link.cut(SimTime::ZERO, B);
        link.heal(A);
        assert!(!link.is_up());
        assert_eq!(link.offer(SimTime::ZERO, 10, &mut rng()), Fate::Drop(DropCause::Down));
        link.heal(B);
        assert!(link.is_up());
    }

    #[test]
    fn a_flap_during_the_flight_kills_the_datagram() {
        let mut link = Link::new(LinkParams { latency: Duration::from_millis(300), ..LinkParams::PERFECT });
        let Fate::Deliver { at } = link.offer(SimTime::ZERO, 10, &mut rng()) else { panic!("dropped") };
        link.cut(SimTime::from_millis(100), A);
        link.heal(A);
        assert_eq!(at, SimTime::from_millis(300));
        assert!(!link.arrives(SimTime::ZERO));
        assert!(link.arrives(SimTime::from_millis(150)));
        assert_eq!(link.counters().killed, 1);
    }

    #[test]
    fn a_full_queue_drops_the_newcomer() {
        let params = LinkParams { bandwidth_bps: Some(8_000), queue_bytes: 300, ..LinkParams::PERFECT };
        let mut link = Link::new(params);
        // 100 bytes with headers take 100 ms at 1,000 bytes a second.
        let fates: Vec<Fate> = (0..4).map(|_| link.offer(SimTime::ZERO, 72, &mut rng())).collect();
        assert_eq!(fates[2], Fate::Deliver { at: SimTime::from_millis(300) });
        assert_eq!(fates[3], Fate::Drop(DropCause::QueueFull));
    }

    #[test]
    fn the_latest_degradation_counts_until_it_heals() {
        let mut link = Link::new(LinkParams::PERFECT);
        let slow = |ms| LinkParams { latency: Duration::from_millis(ms), ..LinkParams::PERFECT };
        link.degrade(A, slow(10));
        link.degrade(B, slow(20));
        assert_eq!(link.params().latency, Duration::from_millis(20));
        link.heal(B);
        assert_eq!(link.params().latency, Duration::from_millis(10));
        link.heal(A);
        assert_eq!(link.params(), &LinkParams::PERFECT);
    }
}
