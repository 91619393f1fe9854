//! Documents whose history has outgrown the window of their collection, and their new beginning.

use std::collections::VecDeque;

use super::{DocumentError, Documents, Recorded, Written};
use crate::core::document::{Document, Stamp};
use crate::core::index::Extent;
use crate::core::key::DocKey;
use crate::core::policy::{History, Window};
use crate::core::wire::Seq;
use crate::limits;

/// What the last look at all windows found.
#[derive(Debug, Default)]
pub(super) struct Windows {
    /// To be begun anew.
    due: VecDeque<DocKey>,
    /// Documents beyond their window, whether they could be begun anew or not.
    beyond: u64,
}

impl Documents {
    /// Documents whose history was beyond the window of their collection when that was last looked at.
    pub fn beyond_window(&self) -> u64 {
        self.windows.beyond
    }

    /// Looks for documents beyond the window of their collection. Those whose last base has a number up to `through`, up to
    /// which every member has all, are to be begun anew: [`begin_windows`](Self::begin_windows). `None`: none is. Costs a look at each document of these
    /// collections, and loading [`limits::MAX_MEASURED`] that have not been written since the start.
    pub fn find_windows(&mut self, through: Option<Seq>, now_s: i64) -> Result<(), DocumentError> {
        self.windows = Windows::default();
        let mut unmeasured = Vec::new();
        for (collection, policy, _) in self.policies.all() {
            let History::Window(window) = policy.history else { continue };
            for (key, meta, extent) in self.index.extents(collection) {
                if meta.deleted {
                    continue;
                }
                let Some(extent) = extent else {
                    if unmeasured.len() < limits::MAX_MEASURED {
                        unmeasured.push(key.clone());
                    }
                    continue;
                };
                if !is_beyond(&window, extent, meta.base, now_s) {
                    continue;
                }
                self.windows.beyond += 1;
                let is_known = through.is_some_and(|through| extent.base_seq <= through);
                if is_known && self.windows.due.len() < limits::MAX_COLLECTED {
                    self.windows.due.push_back(key.clone());
                }
            }
        }
        for key in unmeasured {
            // Loading all of them must not push out what is being written.
            let cached = self.cache.take(&key);
            let is_cached = cached.is_some();
            let base = self.index.get(&key).and_then(|meta| meta.base);
            let document = cached.map_or_else(|| self.load(&key).map(|loaded| loaded.with_base(base)), Ok)?;
            // When its base came is not stored. Who has its newest change has that, too.
            let seq = self.index.get(&key).map_or(0, |meta| meta.seq);
            self.index.set_extent(&key, Some(extent(&document, seq)));
            if is_cached {
                self.cache.insert(&key, document, self.durable);
            }
        }
        Ok(())
    }

    /// Begins the next of them anew, at most [`limits::MAX_BEGUN`]; empty: there are no more.
    pub fn begin_windows(&mut self) -> Result<Vec<(DocKey, Recorded)>, DocumentError> {
        let mut begun = Vec::new();
        while begun.len() < limits::MAX_BEGUN {
            let Some(key) = self.windows.due.pop_front() else { break };
            let (mut document, was_visible) = self.open(&key)?;
            match document.begin_window() {
                Ok(Some(base)) => {
                    begun.push((key.clone(), self.record(&key, document, Written::Base(base), was_visible)));
                }
                Ok(None) => self.cache.insert(&key, document, self.durable),
                Err(error) => {
                    self.cache.insert(&key, document, self.durable);
                    return Err(super::local::failed(&key, &error));
                }
            }
        }
        Ok(begun)
    }

    /// How long the history of a document is that is being recorded with this number; `None`: its collection has no window.
    pub(super) fn extent_of(
        &self,
        key: &DocKey,
        document: &Document,
        before: Option<Stamp>,
        seq: Seq,
    ) -> Option<Extent> {
        let policy = self.policies.of(key.collection())?;
        let History::Window(_) = policy.history else { return None };
        match self.index.extent(key).filter(|_| document.base() == before) {
            Some(known) if known.changes > 0 => Some(Extent { changes: changes(document), ..known }),
            Some(known) => Some(Extent { base_seq: known.base_seq, ..extent(document, seq) }),
            None => Some(extent(document, seq)),
        }
    }
}

fn is_beyond(window: &Window, extent: Extent, base: Option<Stamp>, now_s: i64) -> bool {
    // A document that was written once has no history.
    let has_history = u64::from(extent.changes) + u64::from(base.is_some()) > 1;
    let age_s = now_s.saturating_sub(i64::from(extent.since_s));
    let is_long = window.changes > 0 && u64::from(extent.changes) > window.changes;
    let is_old = window.age_s > 0 && age_s > window.age_s as i64;
    has_history && (is_long || is_old)
}

fn extent(document: &Document, seq: Seq) -> Extent {
    let since_s = document.oldest_change_s().unwrap_or(0).clamp(0, i64::from(u32::MAX));
    let base_seq = if document.base().is_some() { seq } else { 0 };
    Extent { changes: changes(document), since_s: since_s as u32, base_seq }
}

fn changes(document: &Document) -> u32 {
    let after_base = document.change_count() - u64::from(document.base().is_some());
    u32::try_from(after_base).unwrap_or(u32::MAX)
}
