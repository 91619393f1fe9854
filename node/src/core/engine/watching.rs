//! Subscriptions, and reads that wait for a version.

use std::collections::BTreeSet;

use super::Core;
use crate::core::documents::DocumentError;
use crate::core::key::DocKey;
use crate::core::watch::{Cursor, Next, Selection, Watch, WatchId};
use crate::node::Plant;

impl Core {
    /// Begins a subscription at a cursor, or at the beginning, with an event that ends the snapshot if `markers`.
    pub fn open_watch(&mut self, selection: Selection, markers: bool, cursor: Option<Cursor>) -> WatchId {
        let id = self.next_id();
        let resumes = cursor.is_some();
        let mut watch = Watch::new(selection, markers, cursor, self.epoch, &self.documents);
        if resumes && self.plants.has(Plant::StaleCursor) {
            watch.skip_to(self.documents.durable() + 32);
        }
        self.watches.insert(id, watch);
        id
    }

    /// Ends a subscription. Idempotent.
    pub fn close_watch(&mut self, id: WatchId) {
        self.watches.remove(&id);
        self.wakes.watches.remove(&id);
    }

    /// Subscriptions that are open.
    pub fn watch_count(&self) -> usize {
        self.watches.len()
    }

    /// Most that any subscription has to remember.
    pub fn most_watch_notes(&self) -> usize {
        self.watches.values().map(Watch::notes).max().unwrap_or(0)
    }

    /// The next event of a subscription.
    pub fn next_event(&mut self, id: WatchId) -> Result<Next, DocumentError> {
        if let Some(again) = self.planted.again(id) {
            return Ok(again);
        }
        match self.watches.get_mut(&id) {
            Some(watch) => watch.next(&mut self.documents).map(|next| self.planted.tell(id, next)),
            None => Ok(Next::Idle),
        }
    }

    /// A subscription, for tests of its bounds.
    #[cfg(test)]
    pub(in crate::core) fn watch_mut(&mut self, id: WatchId) -> Option<&mut Watch> {
        self.watches.get_mut(&id)
    }

    /// Lets somebody be woken whenever a document has changed durably.
    pub fn open_wait(&mut self, key: DocKey) -> WatchId {
        let id = self.next_id();
        self.waits.entry(key).or_default().insert(id);
        id
    }

    /// Ends that. Idempotent.
    pub fn close_wait(&mut self, key: &DocKey, id: WatchId) {
        if let Some(ids) = self.waits.get_mut(key) {
            ids.remove(&id);
            if ids.is_empty() {
                self.waits.remove(key);
            }
        }
        self.wakes.watches.remove(&id);
    }

    /// Reads that wait.
    pub fn wait_count(&self) -> usize {
        self.waits.values().map(BTreeSet::len).sum()
    }
}
