//! What the time of an operation was spent on.

use std::time::Duration;

use serde::{Serialize, Serializer};

/// One thing that time is spent on. `docs/explain.md` says which events each begins and ends with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Part {
    /// The link between the two was cut, or one of them did not run.
    Outage,
    /// The link was there, no session was, and nobody dialled.
    Backoff,
    /// From the dial that led to the session until it was up.
    Handshake,
    /// Behind something else: in the outbox, in the send window, or in the queue of the link.
    Queueing,
    /// On the link.
    Transfer,
    /// From the loss of a datagram on its way until the one that brought it left.
    Retransmission,
    /// From received to durable and shown, at every node that it passed.
    Apply,
}

impl Part {
    /// All, in order of a life.
    pub const ALL: [Part; 7] = [
        Part::Outage,
        Part::Backoff,
        Part::Handshake,
        Part::Queueing,
        Part::Transfer,
        Part::Retransmission,
        Part::Apply,
    ];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Part::Outage => "outage wait",
            Part::Backoff => "reconnect backoff",
            Part::Handshake => "handshake",
            Part::Queueing => "queueing",
            Part::Transfer => "transfer",
            Part::Retransmission => "retransmission",
            Part::Apply => "apply",
        }
    }
}

/// A time, split without remainder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Parts([Duration; Part::ALL.len()]);

impl Parts {
    /// Spends some more time on something.
    pub(super) fn add(&mut self, part: Part, time: Duration) {
        self.0[part as usize] += time;
    }

    /// What was spent on something.
    pub fn of(&self, part: Part) -> Duration {
        self.0[part as usize]
    }

    /// All of it.
    pub fn total(&self) -> Duration {
        self.0.iter().sum()
    }

    /// Those that took any time.
    pub fn spent(&self) -> impl Iterator<Item = (Part, Duration)> + '_ {
        Part::ALL.into_iter().map(|part| (part, self.of(part))).filter(|(_, time)| !time.is_zero())
    }
}

/// `{"outage_wait_ns": …, …}`.
impl Serialize for Parts {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        to.collect_map(Part::ALL.map(|part| (format!("{}_ns", part.name().replace(' ', "_")), nanos(self.of(part)))))
    }
}
