//! What became of everyone who knocked, for metrics and tests.

use std::sync::atomic::{AtomicU64, Ordering};

use super::Refusal;

/// Counts since the node started. Each is written by the acceptor or the dialer alone and read by anybody.
#[derive(Debug, Default)]
pub struct AdmissionCounters {
    admitted: AtomicU64,
    refused: [AtomicU64; Refusal::ALL.len()],
    malformed: AtomicU64,
    timed_out: AtomicU64,
    lost: AtomicU64,
    ignored: AtomicU64,
    challenged: AtomicU64,
    revoked: AtomicU64,
}

/// What [`AdmissionCounters`] had at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdmissionSnapshot {
    /// Peers that dialled and were admitted.
    pub admitted: u64,
    /// Peers that were turned away with a reason, by reason.
    pub refused: [(Refusal, u64); Refusal::ALL.len()],
    /// Peers that did not keep to the protocol of admission.
    pub malformed: u64,
    /// Peers that did not finish in time.
    pub timed_out: u64,
    /// Connections that broke, or that the peer gave up, before it was admitted.
    pub lost: u64,
    /// First packets that were not answered, because their source is throttled or a limit is reached. A client
    /// repeats its first packet, so one attempt may count several times.
    pub ignored: u64,
    /// First packets whose sender was asked to show that it can be reached at its address.
    pub challenged: u64,
    /// Live sessions that were closed because the allow-list no longer has the peer.
    pub revoked: u64,
    /// Admissions under way.
    pub pending: usize,
}

impl AdmissionSnapshot {
    /// How many were turned away for one reason.
    pub fn refused_for(&self, reason: Refusal) -> u64 {
        self.refused.iter().find(|(known, _)| *known == reason).map_or(0, |(_, count)| *count)
    }
}

/// One thing to count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Counted {
    Admitted,
    Refused(Refusal),
    Malformed,
    TimedOut,
    Lost,
    Ignored,
    Challenged,
    Revoked,
}

impl AdmissionCounters {
    pub(crate) fn count(&self, what: Counted) {
        let counter = match what {
            Counted::Admitted => &self.admitted,
            Counted::Refused(refusal) => &self.refused[refusal as usize - 1],
            Counted::Malformed => &self.malformed,
            Counted::TimedOut => &self.timed_out,
            Counted::Lost => &self.lost,
            Counted::Ignored => &self.ignored,
            Counted::Challenged => &self.challenged,
            Counted::Revoked => &self.revoked,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// All of them, with the number of admissions that are under way.
    pub(crate) fn snapshot(&self, pending: usize) -> AdmissionSnapshot {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AdmissionSnapshot {
            admitted: of(&self.admitted),
            refused: Refusal::ALL.map(|refusal| (refusal, of(&self.refused[refusal as usize - 1]))),
            malformed: of(&self.malformed),
            timed_out: of(&self.timed_out),
            lost: of(&self.lost),
            ignored: of(&self.ignored),
            challenged: of(&self.challenged),
            revoked: of(&self.revoked),
            pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_a_counter_of_its_own() {
        let counters = AdmissionCounters::default();
        for (n, refusal) in Refusal::ALL.into_iter().enumerate() {
            (0..=n).for_each(|_| counters.count(Counted::Refused(refusal)));
        }
        let snapshot = counters.snapshot(0);
        for (n, refusal) in Refusal::ALL.into_iter().enumerate() {
            assert_eq!(snapshot.refused_for(refusal), n as u64 + 1);
        }
    }
}
