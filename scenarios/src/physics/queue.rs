//! What keeps a queue short: CoDel (RFC 8289) and RED (Floyd and Jacobson 1993).

mod codel;
mod red;

use std::time::Duration;

use rand::Rng;
use serde::{Deserialize, Serialize};

use super::params::{LinkParams, wire_nanos};
use crate::time::SimTime;

use codel::CoDelState;
use red::RedState;

/// Length that a typical datagram has, in bytes with headers: the MTU of Ethernet.
const FULL_DATAGRAM: usize = 1_500;

/// What keeps the queue short, besides its end.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Discipline {
    /// Nothing: a newcomer to a full queue is dropped.
    #[default]
    DropTail,
    /// Controlled delay, RFC 8289.
    CoDel(CoDel),
    /// Random early detection, Floyd and Jacobson 1993.
    Red(Red),
}

/// Parameters of CoDel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CoDel {
    /// Acceptable standing delay. Never less than a full datagram needs on the wire is used (RFC 8289, section 4.4: on
    /// a slow link a single datagram in the queue would count as a standing one).
    #[serde(rename = "target_ns", with = "super::nanos")]
    pub target: Duration,
    /// A delay above the target must last that long; on the order of the longest round trip.
    #[serde(rename = "interval_ns", with = "super::nanos")]
    pub interval: Duration,
}

impl CoDel {
    /// What RFC 8289 recommends for the Internet at large: 5 ms and 100 ms.
    pub const DEFAULT: CoDel = CoDel { target: Duration::from_millis(5), interval: Duration::from_millis(100) };
}

/// Parameters of RED.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Red {
    /// Average bytes in the queue below which nothing is dropped.
    pub min_bytes: u64,
    /// Average bytes in the queue from which everything is dropped.
    pub max_bytes: u64,
    /// Probability of a drop when the average comes close to `max_bytes`.
    pub drop: f64,
}

/// What a discipline remembers. Starts anew when the discipline changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum DisciplineState {
    DropTail,
    CoDel(CoDel, CoDelState),
    Red(Red, RedState),
}

/// A datagram that found room in the queue.
pub(super) struct Candidate {
    /// Now.
    pub(super) offered: SimTime,
    /// When the link gets round to it.
    pub(super) starts: SimTime,
    /// Bytes before it in the queue.
    pub(super) waiting: u64,
    /// When the queue was last empty, if it is.
    pub(super) idle_since: SimTime,
}

impl DisciplineState {
    pub(super) fn of(discipline: Discipline) -> Self {
        match discipline {
            Discipline::DropTail => DisciplineState::DropTail,
            Discipline::CoDel(codel) => DisciplineState::CoDel(codel, CoDelState::default()),
            Discipline::Red(red) => DisciplineState::Red(red, RedState::default()),
        }
    }

    /// Does the discipline drop the datagram? Only RED draws from `rng`, and only between its bounds.
    pub(super) fn drops(&mut self, params: &LinkParams, bps: Option<u64>, of: &Candidate, rng: &mut impl Rng) -> bool {
        let wanted = params.discipline;
        let same = match (&*self, wanted) {
            (DisciplineState::DropTail, Discipline::DropTail) => true,
            (DisciplineState::CoDel(mine, _), Discipline::CoDel(codel)) => *mine == codel,
            (DisciplineState::Red(mine, _), Discipline::Red(red)) => *mine == red,
            _ => false,
        };
        if !same {
            *self = DisciplineState::of(wanted);
        }
        let full_datagram = bps.map_or(0, |bps| wire_nanos(FULL_DATAGRAM, bps));
        match self {
            DisciplineState::DropTail => false,
            DisciplineState::CoDel(codel, state) => {
                let target = codel.target.max(Duration::from_nanos(full_datagram));
                state.drops(target, codel.interval, of.starts, of.starts.since(of.offered))
            }
            DisciplineState::Red(red, state) => {
                let idle = of.offered.since(of.idle_since);
                let idle_datagrams = match full_datagram {
                    0 => u64::MAX,
                    nanos => u64::try_from(idle.as_nanos()).unwrap_or(u64::MAX) / nanos,
                };
                state.drops(red, of.waiting, idle_datagrams, rng)
            }
        }
    }
}
