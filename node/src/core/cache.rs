//! Loaded documents, bounded by bytes, least recently used out first.

use std::collections::BTreeMap;

use super::document::Document;
use super::key::DocKey;
use super::wire::Seq;

struct Slot {
    document: Document,
    bytes: usize,
    /// Which of the two limits it is under.
    kind: usize,
    /// Last use, unique.
    tick: u64,
    /// Not to be evicted before this number is durable: the store would show the past.
    pinned_until: Seq,
}

/// Loaded documents. A document is taken out to be used and put back.
pub struct DocumentCache {
    tick: u64,
    slots: BTreeMap<DocKey, Slot>,
    /// Of those that are loaded, and of those that are only bytes.
    used: [Used; 2],
    /// Pins of documents that are taken out.
    taken: BTreeMap<DocKey, Seq>,
}

/// Documents of a kind in the order of their use.
struct Used {
    limit: usize,
    bytes: usize,
    order: BTreeMap<u64, DocKey>,
}

/// What a document costs beside itself: its places in the trees.
const SLOT_BYTES: usize = 256;

impl DocumentCache {
    /// Holds about as many bytes of documents that are loaded, and of others, more only while more is pinned.
    pub fn new(limits: [usize; 2]) -> Self {
        let used = limits.map(|limit| Used { limit, bytes: 0, order: BTreeMap::new() });
        Self { tick: 0, slots: BTreeMap::new(), used, taken: BTreeMap::new() }
    }

    /// Estimated bytes of what is held.
    pub fn bytes(&self) -> usize {
        self.used.iter().map(|used| used.bytes).sum()
    }

    /// Takes a document out.
    pub fn take(&mut self, key: &DocKey) -> Option<Document> {
        let slot = self.slots.remove(key)?;
        let used = &mut self.used[slot.kind];
        used.order.remove(&slot.tick);
        used.bytes -= slot.bytes;
        if slot.pinned_until > 0 {
            self.taken.insert(key.clone(), slot.pinned_until);
        }
        Some(slot.document)
    }

    /// A document that is exactly what the store holds, which is durable up to this number. Not a use.
    pub fn durable(&self, key: &DocKey, durable: Seq) -> Option<&Document> {
        self.slots.get(key).filter(|slot| slot.pinned_until <= durable).map(|slot| &slot.document)
    }

    /// A document as it is here, durable or not. Not a use.
    pub fn peek(&self, key: &DocKey) -> Option<&Document> {
        self.slots.get(key).map(|slot| &slot.document)
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
        for kind in 0..self.used.len() {
            let used = &self.used[kind];
            if used.bytes <= used.limit {
                continue;
            }
            let mut excess = used.bytes - used.limit;
            let mut victims = Vec::new();
            for key in used.order.values() {
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
    }

    fn put(&mut self, key: &DocKey, document: Document, pinned_until: Seq) {
        self.tick += 1;
        let (bytes, kind) = (SLOT_BYTES + document.approximate_bytes(), usize::from(!document.is_loaded()));
        let used = &mut self.used[kind];
        used.bytes += bytes;
        used.order.insert(self.tick, key.clone());
        let slot = Slot { document, bytes, kind, tick: self.tick, pinned_until };
        self.slots.insert(key.clone(), slot);
    }
}

#[cfg(test)]
mod tests {
    use automerge::ActorId;
    use proptest::prelude::*;

    use super::super::document::{JsonLimits, JsonObject};
    use super::*;

    #[derive(Debug, Clone)]
    enum Use {
        /// Taken out and put back as it was.
        Read(u8),
        /// Taken out, or made, and put back changed.
        Write(u8),
        /// Everything so far became durable.
        Commit,
        /// Everything that is not durable is taken back.
        Undo,
    }

    fn uses() -> impl Strategy<Value = Vec<Use>> {
        let one = prop_oneof![
            4 => (0..12u8).prop_map(Use::Read),
            4 => (0..12u8).prop_map(Use::Write),
            2 => Just(Use::Commit),
            1 => Just(Use::Undo),
        ];
        prop::collection::vec(one, 1..80)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However documents are used and grow, the sum is that of what is held, the limit holds for all that is durable,
        /// nothing that is not is evicted, and only what is durable is given out as such.
        #[test]
        fn the_bound_is_kept_whatever_is_done(uses in uses()) {
            // Room for about four of the twelve.
            const LIMIT: usize = 60 << 10;
            let limits = [LIMIT, 4 * SLOT_BYTES];
            let mut cache = DocumentCache::new(limits);
            let (mut seq, mut durable) = (0, 0);
            let mut pinned: BTreeMap<DocKey, Seq> = BTreeMap::new();
            for (step, what) in uses.into_iter().enumerate() {
                match what {
                    Use::Read(id) => {
                        let key = DocKey::new("c", id.to_string()).expect("valid");
                        if let Some(document) = cache.take(&key) {
                            // Loads it, if it is not.
                            let _ = document.render();
                            cache.insert(&key, document, durable);
                        }
                    }
                    Use::Write(id) => {
                        let key = DocKey::new("c", id.to_string()).expect("valid");
                        let actor = ActorId::from([id; 4].as_slice());
                        let mut document = cache.take(&key).unwrap_or_else(|| Document::new(actor));
                        let text = format!(r#"{{"step":{step},"note":"{}"}}"#, "x".repeat(step * 8));
                        let json = JsonObject::parse(&text, &JsonLimits::default()).expect("JSON");
                        document.put(&json, 0).expect("a document takes it");
                        seq += 1;
                        cache.insert_pinned(&key, document, seq);
                        pinned.insert(key, seq);
                    }
                    Use::Commit => {
                        durable = seq;
                        pinned.clear();
                        cache.shrink(durable);
                    }
                    Use::Undo => std::mem::take(&mut pinned).keys().for_each(|key| cache.remove(key)),
                }
                let held: usize = cache.slots.values().map(|slot| SLOT_BYTES + slot.document.approximate_bytes()).sum();
                prop_assert_eq!(cache.bytes(), held);
                prop_assert_eq!(cache.used.iter().map(|used| used.order.len()).sum::<usize>(), cache.slots.len());
                prop_assert!(cache.taken.is_empty());
                for key in pinned.keys() {
                    prop_assert!(cache.slots.contains_key(key), "evicted before it was durable");
                    prop_assert!(cache.durable(key, durable).is_none());
                }
                if pinned.is_empty() {
                    cache.shrink(durable);
                    prop_assert!(cache.used.iter().all(|used| used.bytes <= used.limit), "{} bytes", cache.bytes());
                }
            }
        }
    }
}
