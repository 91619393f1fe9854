//! What one peer still has to be sent: a set of dirty documents, never a queue of messages.
//!
//! A slow or absent peer costs one entry per document that changed, however often it changed: a backlog of a
//! thousand heartbeats collapses into one send. Entries are drained by the number of their first unsent
//! change, oldest first, so no document starves and the head of the order is the peer's watermark.

use std::collections::{BTreeMap, BTreeSet};

use super::key::DocKey;
use super::planted::Messages;
use super::reconcile::Marks;
use super::wire::Seq;
use crate::node::{Plant, Plants};

/// What the peer has of a dirty document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Base {
    /// Every change numbered below this one by our store.
    Before(Seq),
    /// These changes and what they build on (learned by reconciliation).
    Has(Marks),
}

impl Base {
    /// Position in the order of draining, and bound for claims.
    fn first_unsent(&self) -> Seq {
        match self {
            Self::Before(seq) => *seq,
            // Any of the document's changes may be missing.
            Self::Has(_) => 0,
        }
    }
}

/// The dirty documents of one peer.
#[derive(Debug, Default)]
pub struct Outbox {
    dirty: BTreeMap<DocKey, Base>,
    order: BTreeSet<(Seq, DocKey)>,
    /// Documents of which the peer is about to send something we lack. Only with that it can be told what the
    /// peer lacks: mostly nothing.
    expected: BTreeMap<DocKey, Marks>,
    /// Documents of which the peer expects something, if only to be told that there is nothing: what was newer here has
    /// been taken the place of since.
    asked: BTreeSet<DocKey>,
    pub(super) plants: Plants,
    /// Messages of a planted bug.
    messages: Messages,
}

impl Outbox {
    /// A change numbered `seq` of the document became durable and the peer may lack it.
    pub fn mark(&mut self, key: &DocKey, seq: Seq) {
        // A change of our own waits for nobody.
        self.arrived(key);
        if !self.dirty.contains_key(key) {
            self.insert(key.clone(), Base::Before(seq));
        } else if self.plants.has(Plant::UnboundedQueue) {
            self.messages.push(seq, key);
        }
    }

    /// Reconciliation found that the peer lacks something of the document and has this. Overrides what was assumed.
    pub fn mark_reconciled(&mut self, key: DocKey, has: Marks) {
        self.remove(&key);
        if !has.is_empty() {
            self.asked.insert(key.clone());
        }
        self.insert(key, Base::Has(has));
    }

    /// Whether the peer expects something of a document that was popped; asked once.
    pub fn take_asked(&mut self, key: &DocKey) -> bool {
        self.asked.remove(key)
    }

    /// Reconciliation found that the peer will send something of the document, and has this.
    pub fn expect(&mut self, key: DocKey, has: Marks) {
        self.remove(&key);
        self.expected.insert(key, has);
    }

    /// The peer sent something of the document, which is durable now.
    pub fn arrived(&mut self, key: &DocKey) {
        if let Some(has) = self.expected.remove(key) {
            self.insert(key.clone(), Base::Has(has));
        }
    }

    /// Takes the document whose first unsent change is the oldest.
    pub fn pop(&mut self) -> Option<(DocKey, Base)> {
        let (_, key) = self.order.pop_first()?;
        let base = self.dirty.remove(&key).expect("every key in the order is dirty");
        if let Some((seq, key)) = self.messages.pop() {
            self.mark(&key, seq);
        }
        Some((key, base))
    }

    /// The highest number that may be claimed once everything popped so far is sent, when all numbers up
    /// to `durable` exist.
    pub fn claimable(&self, durable: Seq) -> Seq {
        match self.order.first() {
            _ if !self.expected.is_empty() => 0,
            Some((first, _)) => first.saturating_sub(1).min(durable),
            None => durable,
        }
    }

    /// Documents of which the peer may lack something.
    pub fn len(&self) -> usize {
        self.dirty.len() + self.expected.len() + self.messages.len()
    }

    /// Whether the peer lacks nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether there is something to send now.
    pub fn has_dirty(&self) -> bool {
        !self.dirty.is_empty()
    }

    /// Whether something of the peer must come first.
    pub fn is_expecting(&self) -> bool {
        !self.expected.is_empty()
    }

    fn insert(&mut self, key: DocKey, base: Base) {
        self.order.insert((base.first_unsent(), key.clone()));
        self.dirty.insert(key, base);
    }

    fn remove(&mut self, key: &DocKey) {
        self.expected.remove(key);
        self.asked.remove(key);
        if let Some(base) = self.dirty.remove(key) {
            self.order.remove(&(base.first_unsent(), key.clone()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::wire::Mark;
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
        let has = Marks::new(1, vec![Mark(2)]);
        let mut outbox = Outbox::default();
        outbox.mark(&key("a"), 3);
        outbox.mark_reconciled(key("a"), has.clone());
        outbox.mark(&key("a"), 9);
        outbox.mark(&key("b"), 2);
        assert_eq!(outbox.claimable(9), 0);
        assert_eq!(outbox.pop(), Some((key("a"), Base::Has(has))));
        assert_eq!(outbox.claimable(9), 1);
        assert_eq!(outbox.len(), 1);
    }

    #[test]
    fn what_is_expected_waits_and_forbids_claims_until_it_arrives_or_changes_here() {
        let has = |n| Marks::new(1, vec![Mark(n)]);
        let mut outbox = Outbox::default();
        outbox.mark(&key("a"), 3);
        for (id, n) in [("a", 1), ("b", 2), ("c", 3)] {
            outbox.expect(key(id), has(n));
        }
        assert_eq!((outbox.pop(), outbox.claimable(9), outbox.len()), (None, 0, 3));
        outbox.arrived(&key("b"));
        assert_eq!(outbox.pop(), Some((key("b"), Base::Has(has(2)))));
        outbox.mark(&key("a"), 8);
        assert_eq!(outbox.pop(), Some((key("a"), Base::Has(has(1)))));
        outbox.mark_reconciled(key("c"), Marks::none());
        assert_eq!(outbox.pop(), Some((key("c"), Base::Has(Marks::none()))));
        assert!(outbox.is_empty() && outbox.claimable(9) == 9);
    }
}
