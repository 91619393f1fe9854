//! What is given up once every member has what took its place: old tombstones, and histories beyond their window.

use std::collections::BTreeSet;

use super::Core;
use crate::core::batch::PeerId;
use crate::core::documents::DocumentError;
use crate::core::lag::Lacking;
use crate::core::watch::Watch;
use crate::core::wire::Seq;

/// What every known member had, as of the last look and of the one before.
#[derive(Debug, Default)]
pub(super) struct Passed {
    now: Seq,
    before: Seq,
}

impl Core {
    /// Forgets tombstones that are old enough and that every other member had when this was last called: `members`, and
    /// whoever ever told what it has, without those that are `retired`. A member of which it is not known keeps all. Call
    /// it every [`COLLECT_INTERVAL`](crate::limits::COLLECT_INTERVAL): what a member sent before it had the tombstone must
    /// have come or be lost.
    pub fn forget_tombstones(
        &mut self,
        members: &BTreeSet<PeerId>,
        retired: &BTreeSet<PeerId>,
        now_ms: u64,
    ) -> Result<usize, DocumentError> {
        let others = members.iter().chain(self.seen.keys()).filter(|peer| !retired.contains(*peer));
        let durable = self.documents.durable();
        let now = others.map(|peer| self.had(peer)).fold(durable, Seq::min);
        self.passed = Passed { now, before: self.passed.now };
        // Nor is a reader that is still there to miss a delete.
        let told = self.watches.values().map(Watch::through).fold(now, Seq::min);
        let forgotten = self.documents.forget_tombstones(self.passed.through().min(told), now_ms)?;
        self.wakes.commit |= forgotten > 0;
        Ok(forgotten)
    }

    /// Looks for documents that are beyond the window of their collection, after
    /// [`forget_tombstones`](Self::forget_tombstones). They are to be begun anew by [`begin_windows`](Self::begin_windows)
    /// if every other member has acknowledged their last base, so that nobody skips more than one, and only by the member
    /// with the lowest endpoint id: two that do so by themselves would each have to give something up.
    pub fn find_windows(
        &mut self,
        members: &BTreeSet<PeerId>,
        retired: &BTreeSet<PeerId>,
        now_ms: u64,
    ) -> Result<(), DocumentError> {
        let mut others = members.iter().chain(self.seen.keys()).filter(|peer| !retired.contains(*peer));
        let is_lowest = others.all(|peer| peer >= self.documents.identity());
        let through = is_lowest.then_some(self.passed.now);
        self.documents.find_windows(through, (now_ms / 1000) as i64)
    }

    /// Begins a few of them anew; returns how many, 0 when none is left.
    pub fn begin_windows(&mut self) -> Result<usize, DocumentError> {
        let begun = self.documents.begin_windows()?;
        let count = begun.len();
        for (key, recorded) in begun {
            self.took_effect(key, recorded, None);
        }
        Ok(count)
    }

    /// What of ours a peer has by its word; 0 if it has not said so in this run.
    fn had(&self, peer: &PeerId) -> Seq {
        let mut sessions = self.sessions.values().filter(|session| session.peer() == *peer).peekable();
        if sessions.peek().is_none() {
            return self.lag.had(peer).unwrap_or(0);
        }
        let had = sessions.map(|session| match session.lacking() {
            Lacking::Unknown => 0,
            Lacking::Nothing => self.documents.durable(),
            Lacking::Numbers { oldest, .. } => oldest.saturating_sub(1),
        });
        had.max().unwrap_or(0)
    }
}

impl Passed {
    /// Up to here every member has all, and nothing that it sent before is on its way any more.
    fn through(&self) -> Seq {
        self.now.min(self.before)
    }
}
