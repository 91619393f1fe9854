//! How a link changes by itself: contact plans, recorded traces, duty cycles.
//!
//! A schedule counts from the start of the scenario and needs no steps of the timeline: the physics looks it up when a
//! datagram is offered. Two kinds cover all that a file can say:
//!
//! - [`Windows`]: pieces of time with constant conditions: contact plans, duty cycles, and CSV traces;
//! - [`Opportunities`]: the moments at which a recorded link let 1,500 bytes through (mahimahi's format).
//!
//! A link that is *out of contact* refuses what is offered to it. A contact that ends differs from a cut in one thing:
//! what was sent within it arrives, even if the link is out of contact by then.

mod opportunities;
mod trace;
mod windows;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::time::SimTime;

pub use opportunities::Opportunities;
pub use trace::{TraceError, TraceProblem, parse_csv, parse_mahimahi};
pub(super) use windows::last_instant;
pub use windows::{Conditions, Windows};

/// How a link changes by itself.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// Pieces of time with constant conditions.
    Windows(Windows),
    /// Moments at which 1,500 bytes pass.
    Opportunities(Opportunities),
}

/// When a datagram is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sending {
    /// Its last bit leaves at this moment.
    At(SimTime),
    /// No contact is long enough. If there is one now, it is used up in vain until this moment.
    Never {
        /// When the contact ends that could not send it.
        until: Option<SimTime>,
    },
}

impl Schedule {
    /// What holds at a moment.
    pub(super) fn at(&self, now: SimTime) -> Conditions {
        match self {
            Schedule::Windows(windows) => windows.at(now).0,
            Schedule::Opportunities(_) => Conditions::UP,
        }
    }

    /// When `bytes` are sent that the link gets round to at `from`, where a piece without a bandwidth of its own has
    /// `bps`.
    pub(super) fn send(&self, from: SimTime, bytes: usize, bps: Option<u64>, used: usize) -> (Sending, usize) {
        match self {
            Schedule::Windows(windows) => (windows.send(from, bytes, bps), 0),
            Schedule::Opportunities(opportunities) => {
                let (at, used) = opportunities.send(from, bytes, used);
                (Sending::At(at), used)
            }
        }
    }

    /// Bytes that are sent from `from` to `to` if the link is never idle; `used` is what was used of the opportunity
    /// at `to`.
    pub(super) fn carried(&self, from: SimTime, to: SimTime, bps: Option<u64>, used: usize) -> u64 {
        match self {
            Schedule::Windows(windows) => windows.carried(from, to, bps),
            Schedule::Opportunities(opportunities) => opportunities.carried(from, to, used),
        }
    }

    /// The moment of the next change after `now`; `None` when there is none, or when the conditions never change.
    pub fn next_change(&self, now: SimTime) -> Option<SimTime> {
        match self {
            Schedule::Windows(windows) => windows.at(now).1,
            Schedule::Opportunities(_) => None,
        }
    }

    /// Is there a contact at that moment?
    pub fn in_contact(&self, now: SimTime) -> bool {
        self.at(now).up
    }

    /// The least latency of any piece in contact; `None` when no piece has one of its own and the link's counts.
    pub fn least_latency(&self, own: Duration) -> Option<Duration> {
        match self {
            Schedule::Windows(windows) => windows.least_latency(own),
            Schedule::Opportunities(_) => None,
        }
    }
}
