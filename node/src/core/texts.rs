//! Texts of documents, bounded by bytes.
//!
//! By the number of the change that made them, which names a version of a document in this run: a text is never wrong,
//! only of no more use, and there is no key to keep. Evicted by the clock algorithm: a hand goes round, and takes what
//! was not read since it came by last. **Rejected**: exact recency, which costs two more tree entries a text.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::wire::Seq;
use crate::limits;

/// What an entry costs beside its text: its place in the tree and the allocator's own.
const ENTRY_BYTES: usize = 48;

#[derive(Debug)]
struct Entry {
    text: Box<str>,
    read: bool,
}

/// Texts by the number of the change that made them.
#[derive(Debug)]
pub struct TextCache {
    limit: usize,
    bytes: usize,
    entries: BTreeMap<Seq, Entry>,
    hand: Seq,
}

impl TextCache {
    /// Holds about `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { limit, bytes: 0, entries: BTreeMap::new(), hand: 0 }
    }

    /// Bytes of what is held.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// The text that a change made.
    pub fn get(&mut self, seq: Seq) -> Option<&str> {
        let entry = self.entries.get_mut(&seq)?;
        entry.read = true;
        Some(&entry.text)
    }

    /// Keeps a text, unless it is a long one.
    pub fn insert(&mut self, seq: Seq, text: &str) {
        if text.len() > limits::MAX_CACHED_TEXT_BYTES {
            return;
        }
        self.remove(seq);
        self.bytes += text.len() + ENTRY_BYTES;
        while self.bytes > self.limit && self.evict() {}
        self.entries.insert(seq, Entry { text: text.into(), read: false });
    }

    /// Forgets a text that was replaced.
    pub fn remove(&mut self, seq: Seq) {
        if let Some(entry) = self.entries.remove(&seq) {
            self.bytes -= entry.text.len() + ENTRY_BYTES;
        }
    }

    /// Forgets all.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.bytes = 0;
    }

    /// Whether there was something to evict. At most two rounds: the first takes every mark away.
    fn evict(&mut self) -> bool {
        loop {
            let ahead = self.entries.range_mut((Bound::Excluded(self.hand), Bound::Unbounded)).next();
            let Some((&seq, entry)) = ahead else {
                if self.entries.is_empty() {
                    return false;
                }
                self.hand = 0;
                continue;
            };
            self.hand = seq;
            if !std::mem::take(&mut entry.read) {
                self.remove(seq);
                return true;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_stays_and_the_bound_holds() {
        let mut texts = TextCache::new(100 * (10 + ENTRY_BYTES));
        for seq in 1..=1000 {
            texts.insert(seq, "0123456789");
            assert!(texts.get(1).is_some(), "read again and again");
        }
        assert_eq!((texts.entries.len(), texts.bytes()), (100, 100 * (10 + ENTRY_BYTES)));
        texts.insert(1001, &"x".repeat(limits::MAX_CACHED_TEXT_BYTES + 1));
        assert_eq!(texts.get(1001), None, "long ones are not kept");
        texts.remove(1);
        texts.clear();
        assert!(texts.get(1).is_none() && texts.bytes() == 0);
    }
}
