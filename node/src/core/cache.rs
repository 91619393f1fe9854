//! Loaded documents, bounded by bytes, least recently used out first.

use std::collections::BTreeMap;

use super::document::Document;
use super::key::DocKey;
use super::wire::Seq;

struct Slot {
    document: Document,
    bytes: usize,
    /// Last use, unique.
    tick: u64,
    /// Not to be evicted before this number is durable: the store would show the past.
    pinned_until: Seq,
}

/// Loaded documents. A document is taken out to be used and put back.
pub struct DocumentCache {
    limit: usize,
    bytes: usize,
    tick: u64,
    slots: BTreeMap<DocKey, Slot>,
    by_use: BTreeMap<u64, DocKey>,
    /// Pins of documents that are taken out.
    taken: BTreeMap<DocKey, Seq>,
}

impl DocumentCache {
    /// Holds about `limit` bytes, more only while more is pinned.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, tick: 0, slots: BTreeMap::new(), by_use: BTreeMap::new(), taken: BTreeMap::new() }
    }

    /// Estimated bytes of what is held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Takes a document out.
    pub fn take(&mut self, key: &DocKey) -> Option<Document> {
        let slot = self.slots.remove(key)?;
        self.by_use.remove(&slot.tick);
        self.bytes -= slot.bytes;
        if slot.pinned_until > 0 {
            self.taken.insert(key.clone(), slot.pinned_until);
        }
        Some(slot.document)
    }

    /// Puts a document back unchanged; it keeps its pin.
    pub fn insert(&mut self, key: &DocKey, document: Document, durable: Seq) {
        let pinned_until = self.taken.remove(key).unwrap_or(0);
        self.put(key, document, pinned_until);
        self.shrink(durable);
    }

    /// Puts a changed document back, not to be evicted before `seq` is durable.
    pub fn insert_pinned(&mut self, key: &DocKey, document: Document, seq: Seq) {
        self.taken.remove(key);
        self.put(key, document, seq);
    }

    /// Forgets a document whose changes were taken back.
    pub fn remove(&mut self, key: &DocKey) {
        self.take(key);
        self.taken.remove(key);
    }

    /// Evicts down to the limit whatever is durable.
    pub fn shrink(&mut self, durable: Seq) {
        if self.bytes <= self.limit {
            return;
        }
        let mut excess = self.bytes - self.limit;
        let mut victims = Vec::new();
        for key in self.by_use.values() {
            let slot = &self.slots[key];
            if slot.pinned_until <= durable {
                victims.push(key.clone());
                excess = excess.saturating_sub(slot.bytes);
                if excess == 0 {
                    break;
                }
            }
        }
        for key in victims {
            self.remove(&key);
        }
    }

    fn put(&mut self, key: &DocKey, document: Document, pinned_until: Seq) {
        self.tick += 1;
        let bytes = document.approximate_bytes();
        self.bytes += bytes;
        self.by_use.insert(self.tick, key.clone());
        let slot = Slot { document, bytes, tick: self.tick, pinned_until };
        self.slots.insert(key.clone(), slot);
    }
}
