//! What one peer still has to be sent: a set of dirty documents, never a queue of messages.
//!
//! A slow or absent peer costs one entry per document that changed, however often it changed: a backlog of a
//! thousand heartbeats collapses into one send. Entries are drained by the number of their first unsent
//! change, oldest first, so no document starves and the head of the order is the peer's watermark.

use std::collections::{BTreeMap, BTreeSet};

use super::key::DocKey;
use super::wire::{Heads, Seq};

/// What the peer has of a dirty document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Every change numbered below this one by our store.
    Before(Seq),
    /// What these heads imply (learned by reconciliation).
    Heads(Heads),
}

impl Base {
    /// Position in the order of draining, and bound for claims.
    fn first_unsent(&self) -> Seq {
        match self {
            Self::Before(seq) => *seq,
            // Any of the document's changes may be missing.
            Self::Heads(_) => 0,
        }
    }
}

/// The dirty documents of one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    dirty: BTreeMap<DocKey, Base>,
    order: BTreeSet<(Seq, DocKey)>,
}

impl Outbox {
    /// A change numbered `seq` of the document became durable and the peer may lack it.
    pub fn mark(&mut self, key: &DocKey, seq: Seq) {
        if !self.dirty.contains_key(key) {
            self.insert(key.clone(), Base::Before(seq));
        }
    }

    /// Reconciliation found that the peer has these heads of the document. Overrides what was assumed.
    pub fn mark_from_heads(&mut self, key: DocKey, heads: Heads) {
        self.remove(&key);
        self.insert(key, Base::Heads(heads));
    }

    /// Takes the document whose first unsent change is the oldest.
    pub fn pop(&mut self) -> Option<(DocKey, Base)> {
        let (_, key) = self.order.pop_first()?;
        let base = self.dirty.remove(&key).expect("every key in the order is dirty");
        Some((key, base))
    }

    /// The highest number that may be claimed once everything popped so far is sent, when all numbers up
    /// to `durable` exist.
    pub fn claimable(&self, durable: Seq) -> Seq {
        match self.order.first() {
            Some((first, _)) => first.saturating_sub(1).min(durable),
            None => durable,
        }
    }

    /// Documents that are dirty.
    pub fn len(&self) -> usize {
        self.dirty.len()
    }

    /// Whether nothing is dirty.
    pub fn is_empty(&self) -> bool {
        self.dirty.is_empty()
    }

    fn insert(&mut self, key: DocKey, base: Base) {
        self.order.insert((base.first_unsent(), key.clone()));
        self.dirty.insert(key, base);
    }

    fn remove(&mut self, key: &DocKey) {
        if let Some(base) = self.dirty.remove(key) {
            self.order.remove(&(base.first_unsent(), key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(id: &str) -> DocKey {
        DocKey::new("c", id).expect("valid")
    }

    #[test]
    fn a_document_keeps_its_place_however_often_it_changes() {
        let mut outbox = Outbox::default();
        outbox.mark(&key("a"), 3);
        outbox.mark(&key("b"), 4);
        outbox.mark(&key("a"), 5);
        assert_eq!(outbox.claimable(5), 2);
        assert_eq!(outbox.pop(), Some((key("a"), Base::Before(3))));
        assert_eq!(outbox.claimable(5), 3, "b's change 4 is still unsent");
        outbox.pop();
        assert_eq!(outbox.claimable(5), 5);
    }

    #[test]
    fn reconciled_documents_go_first_and_forbid_claims() {
        let mut outbox = Outbox::default();
        outbox.mark(&key("a"), 3);
        outbox.mark_from_heads(key("a"), vec![[1; 32]]);
        outbox.mark(&key("a"), 9);
        outbox.mark(&key("b"), 2);
        assert_eq!(outbox.claimable(9), 0);
        assert_eq!(outbox.pop(), Some((key("a"), Base::Heads(vec![[1; 32]]))));
        assert_eq!(outbox.claimable(9), 1);
        assert_eq!(outbox.len(), 1);
    }
}
