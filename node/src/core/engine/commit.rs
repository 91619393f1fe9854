//! From a change that took effect to one that is durable: what is sent, acknowledged and shown waits for that.

use std::collections::BTreeMap;

use super::Core;
use crate::core::batch::Batch;
use crate::core::key::DocKey;
use crate::core::session::{Now, SessionId};
use crate::core::watch::Durable;
use crate::core::wire::Seq;
use crate::node::Plant;

impl Core {
    /// What is to be made durable next, if anything. One batch at a time.
    pub fn take_batch(&mut self) -> Option<Batch> {
        let batch = self.documents.take_batch(false)?;
        self.took(batch)
    }

    /// The same, also when only watermarks moved on: for a clean stop.
    pub fn take_last_batch(&mut self) -> Option<Batch> {
        let batch = self.documents.take_batch(true)?;
        self.took(batch)
    }

    fn took(&mut self, batch: Batch) -> Option<Batch> {
        self.events_in_flight = std::mem::take(&mut self.events);
        self.seen_in_flight = batch.seen.clone();
        self.receipts.taken();
        Some(batch)
    }

    /// The batch that was taken is durable through `last`.
    pub fn committed(&mut self, last: Seq, now: Now) {
        self.lag.committed(self.documents.durable() + 1, now);
        let changed = self.changed_in_flight();
        self.documents.committed(last);
        self.receipts.committed();
        for (key, change) in changed {
            for (id, watch) in &mut self.watches {
                if watch.mark(&key, change) {
                    self.wakes.watches.insert(*id);
                }
            }
            self.wakes.watches.extend(self.waits.get(&key).into_iter().flatten());
        }
        for event in std::mem::take(&mut self.events_in_flight) {
            if self.planted.drops(&event, now) {
                continue;
            }
            let class = self.documents.index().classes().of(event.key.collection());
            for (id, session) in &mut self.sessions {
                let theirs = Some(*id) == event.origin && !self.plants.has(Plant::EchoLoop);
                session.mark(&event.key, class, event.seq, theirs);
            }
        }
        let seen = std::mem::take(&mut self.seen_in_flight);
        for (id, session) in &mut self.sessions {
            let through = match seen.get(&session.peer()) {
                Some(Some(seen)) if session.is_about(seen) => Some(&seen.through),
                _ => None,
            };
            session.on_committed(through, now);
            self.wakes.sessions.insert(*id);
        }
        for (peer, seen) in seen {
            match seen {
                Some(seen) => self.seen.insert(peer, seen),
                None => self.seen.remove(&peer),
            };
        }
        self.wakes.commit |= !self.events.is_empty() || !self.documents.pending_mut().receipts.is_empty();
    }

    /// What the batch under way changes, for those who watch. Nothing if nobody does.
    fn changed_in_flight(&self) -> BTreeMap<DocKey, Durable> {
        let mut changed = BTreeMap::new();
        if self.watches.is_empty() && self.waits.is_empty() {
            return changed;
        }
        for event in &self.events_in_flight {
            let before = self.documents.durable_meta(&event.key).map_or(0, |meta| meta.seq);
            let entry = changed.entry(event.key.clone());
            let change = entry.or_insert(Durable { before, seq: event.seq, visible: false });
            change.seq = event.seq;
            change.visible |= event.visible;
        }
        changed
    }

    /// The batch that was taken could not be made durable: everything not durable is taken back. Sessions end, since what they believe
    /// to have received is gone; with the next ones it is sent again.
    pub fn commit_failed(&mut self) {
        let sessions: Vec<SessionId> = self.sessions.keys().copied().collect();
        for id in sessions {
            self.close_session(id);
            self.wakes.sessions.insert(id);
        }
        self.documents.undo();
        self.events.clear();
        self.events_in_flight.clear();
        self.seen_in_flight.clear();
        self.receipts.undo();
        for (id, watch) in &mut self.watches {
            watch.undo();
            self.wakes.watches.insert(*id);
        }
        self.wakes.watches.extend(self.waits.values().flatten());
    }
}
