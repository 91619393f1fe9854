//! What a link is like in one direction.

use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::queue::Discipline;
use super::random::{pareto_excess, truncated_normal, unit};
use super::schedule::Schedule;
use crate::limits;

/// IPv4 header (20) and UDP header (8): a link carries them although QUIC does not see them.
pub const UDP_HEADER_BYTES: usize = 28;

/// What a link is like in one direction.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LinkParams {
    /// Propagation, one way: no datagram arrives earlier than this after it was sent.
    #[serde(rename = "latency_ns", with = "super::nanos")]
    pub latency: Duration,
    /// How much extra delay there is, drawn per datagram; what it means depends on [`LinkParams::spread`].
    #[serde(rename = "jitter_ns", with = "super::nanos")]
    pub jitter: Duration,
    /// How the extra delay is distributed.
    #[serde(default)]
    pub spread: Spread,
    /// May extra delay let a datagram overtake an earlier one?
    #[serde(default = "yes")]
    pub reorder: bool,
    /// Independent probability of loss of each datagram, 0 to 1.
    pub loss: f64,
    /// Losses in bursts, besides the independent ones.
    #[serde(default)]
    pub bursts: Option<Bursts>,
    /// Bits per second on the wire, headers included; `None` is instant serialisation.
    pub bandwidth_bps: Option<u64>,
    /// Bytes that may wait for serialisation, headers included; the datagram that would pass this
    /// is dropped. Without a bandwidth nothing ever waits.
    pub queue_bytes: u64,
    /// What keeps the queue short, if anything does.
    #[serde(default)]
    pub discipline: Discipline,
    /// Probability that the link makes a second copy of a datagram, 0 to 1.
    #[serde(default)]
    pub duplicate: f64,
    /// Probability that a copy arrives with flipped bits, 0 to 1.
    #[serde(default)]
    pub corrupt: f64,
    /// Longest datagram that passes, in bytes with IP and UDP headers.
    #[serde(default)]
    pub mtu: Option<usize>,
    /// When the link is there, and how it changes; `None`: always as above.
    #[serde(default)]
    pub schedule: Option<Arc<Schedule>>,
}

fn yes() -> bool {
    true
}

impl LinkParams {
    /// A link that adds nothing: no delay, no loss, no limit.
    pub const PERFECT: LinkParams = LinkParams {
        latency: Duration::ZERO,
        jitter: Duration::ZERO,
        spread: Spread::Uniform,
        reorder: true,
        loss: 0.0,
        bursts: None,
        bandwidth_bps: None,
        queue_bytes: u64::MAX,
        discipline: Discipline::DropTail,
        duplicate: 0.0,
        corrupt: 0.0,
        mtu: None,
        schedule: None,
    };

    /// Time on the wire for a payload of `size` bytes, rounded up so that the bandwidth is never
    /// exceeded.
    pub fn serialisation(&self, size: usize) -> Duration {
        match self.bandwidth_bps {
            None => Duration::ZERO,
            Some(bps) => Duration::from_nanos(wire_nanos(size + UDP_HEADER_BYTES, bps)),
        }
    }

    /// Does a payload of `size` bytes fit the MTU?
    pub fn fits(&self, size: usize) -> bool {
        self.mtu.is_none_or(|mtu| size + UDP_HEADER_BYTES <= mtu)
    }

    /// The extra delay that 99 of 100 datagrams do not pass; for the bounded spreads the most there is.
    pub fn usual_jitter_max(&self) -> Duration {
        match self.spread {
            Spread::Uniform => self.jitter,
            Spread::Normal => self.jitter * 2,
            Spread::Pareto { shape } => {
                let excess = pareto_excess(0.99, shape) * self.jitter.as_secs_f64();
                Duration::from_secs_f64(excess.min(limits::LATENCY_MAX.as_secs_f64()))
            }
        }
    }

    /// The least latency that the link has at any time.
    pub fn least_latency(&self) -> Duration {
        let scheduled = self.schedule.as_ref().and_then(|schedule| schedule.least_latency(self.latency));
        scheduled.unwrap_or(self.latency)
    }
}

/// Nanoseconds that so many bytes need on the wire, rounded up.
pub(super) fn wire_nanos(bytes: usize, bps: u64) -> u64 {
    let nanos = (bytes as u128 * 8 * 1_000_000_000).div_ceil(u128::from(bps.max(1)));
    u64::try_from(nanos).unwrap_or(u64::MAX)
}

/// How extra delay is distributed. All of it comes on top of the latency, which stays the least that physics allows.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spread {
    /// Uniform from zero to the jitter: mean half of it, variance a twelfth of its square.
    #[default]
    Uniform,
    /// Normal around the jitter with a third of it as standard deviation, cut off at three: from zero to twice the
    /// jitter, mean the jitter, standard deviation 0.328_859 of it.
    Normal,
    /// Heavy-tailed (a Pareto distribution moved to begin at zero, with the jitter as scale): mean
    /// `jitter / (shape - 1)`, variance `jitter² · shape / ((shape - 1)² (shape - 2))`. Cut off at the longest latency
    /// that a link may have.
    Pareto {
        /// Tail index, above 1 for a mean, above 2 for a variance. The smaller, the heavier the tail.
        shape: f64,
    },
}

impl Spread {
    /// Extra delay of one datagram. One draw, whatever the distribution.
    pub(super) fn sample(self, jitter: Duration, rng: &mut impl Rng) -> Duration {
        let uniform = unit(rng);
        match self {
            Spread::Uniform => jitter.mul_f64(uniform),
            Spread::Normal => jitter.mul_f64(1.0 + truncated_normal(uniform) / super::random::NORMAL_CUT),
            Spread::Pareto { shape } => {
                let excess = pareto_excess(uniform, shape) * jitter.as_secs_f64();
                Duration::from_secs_f64(excess.min(limits::LATENCY_MAX.as_secs_f64()))
            }
        }
    }
}

/// Losses in bursts: the model of Gilbert (1960) and Elliott (1963). A link is in a good or a bad state; with each
/// datagram it may change. In the good state only independent losses happen.
///
/// Bursts last `1 / leave` datagrams on average, and the link is bad for `enter / (enter + leave)` of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Bursts {
    /// Probability that the good state ends with a datagram, 0 to 1.
    pub enter: f64,
    /// Probability that the bad state ends with a datagram, above 0 to 1.
    pub leave: f64,
    /// Probability of loss of a datagram in the bad state.
    pub loss: f64,
}

impl Bursts {
    /// Share of datagrams that bursts take in the long run.
    pub fn mean_loss(&self) -> f64 {
        self.loss * self.enter / (self.enter + self.leave)
    }
}

/// Where a link with bursts is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct BurstState {
    bad: bool,
}

impl BurstState {
    /// The next datagram reaches the medium: moves on, and says whether a burst takes the datagram.
    pub(super) fn next(&mut self, bursts: &Bursts, rng: &mut impl Rng) -> bool {
        let change = if self.bad { bursts.leave } else { bursts.enter };
        if unit(rng) < change {
            self.bad = !self.bad;
        }
        self.bad && (bursts.loss >= 1.0 || unit(rng) < bursts.loss)
    }
}
