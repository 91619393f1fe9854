//! The index: what is known of every document without loading it.
//!
//! About 200 bytes a document in memory: its heads, the number of its newest change, whether it is deleted.
//! Listing, resuming from a watermark and reconciling read only this.

use std::collections::BTreeMap;
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::class::{Class, ClassMap, PerClass};
use super::key::DocKey;
use super::wire::{Heads, Seq};
use crate::limits;

/// A point in a document's history from which a peer can be brought up to date without the whole
/// document: after the changes numbered up to `seq` it had these heads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checkpoint {
    /// Number of the last change that the heads include.
    pub seq: Seq,
    /// The heads then.
    pub heads: Heads,
}

/// What is kept of one document besides its bytes. Stored as one row, `docs/store.md`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meta {
    /// Number of its newest change.
    pub seq: Seq,
    /// Its heads.
    pub heads: Heads,
    /// Whether it is a tombstone.
    pub deleted: bool,
    /// Changes numbered up to here are folded into the snapshot; 0: there is none.
    pub folded: Seq,
    /// Size of the snapshot in bytes.
    pub snapshot_bytes: u64,
    /// Size of the change rows after the snapshot in bytes.
    pub tail_bytes: u64,
    /// Points before the fold, oldest first.
    pub checkpoints: Vec<Checkpoint>,
}

impl Meta {
    /// The newest point of the history that somebody who has every change numbered up to `through` has
    /// passed, if it is still known. Only asked for numbers below the fold.
    pub fn checkpoint_at(&self, through: Seq) -> Option<&Checkpoint> {
        self.checkpoints.iter().rev().find(|point| point.seq <= through)
    }

    /// Whether the change rows should be folded: amortised, each byte is rewritten a constant number of times.
    pub fn wants_fold(&self) -> bool {
        self.tail_bytes > self.snapshot_bytes.max(limits::TAIL_FOLD_BYTES as u64)
    }

    /// Keeps the present state as a checkpoint, dropping the one that is least missed when full.
    pub fn push_checkpoint(&mut self) {
        self.checkpoints.push(Checkpoint { seq: self.seq, heads: self.heads.clone() });
        if self.checkpoints.len() > limits::MAX_CHECKPOINTS {
            // Gaps may grow with age: what is dropped is the point whose gap is smallest for its age.
            let newest = self.seq + 1;
            let victim = (1..self.checkpoints.len() - 1).min_by(|&a, &b| {
                let cost = |i: usize| {
                    let gap = self.checkpoints[i + 1].seq - self.checkpoints[i - 1].seq;
                    (gap, newest - self.checkpoints[i].seq)
                };
                let ((gap_a, age_a), (gap_b, age_b)) = (cost(a), cost(b));
                (u128::from(gap_a) * u128::from(age_b)).cmp(&(u128::from(gap_b) * u128::from(age_a)))
            });
            self.checkpoints.remove(victim.expect("more than two checkpoints"));
        }
    }
}

/// Summary of a document: key and heads.
pub fn digest(key: &DocKey, heads: &Heads) -> u128 {
    let mut hasher = blake3::Hasher::new();
    for part in [key.collection(), key.id()] {
        hasher.update(&(part.len() as u32).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    heads.iter().for_each(|head| {
        hasher.update(head);
    });
    let bytes: [u8; 16] = hasher.finalize().as_bytes()[..16].try_into().expect("32 bytes have 16");
    u128::from_le_bytes(bytes)
}

#[derive(Debug)]
struct Entry {
    meta: Meta,
    digest: u128,
}

/// All documents, by key and, per class, by the number of their newest change.
#[derive(Debug, Default)]
pub struct Index {
    classes: ClassMap,
    docs: BTreeMap<DocKey, Entry>,
    by_seq: PerClass<BTreeMap<Seq, DocKey>>,
}

impl Index {
    /// An empty index.
    pub fn new(classes: ClassMap) -> Self {
        Self { classes, ..Self::default() }
    }

    /// Which class each collection is in.
    pub fn classes(&self) -> &ClassMap {
        &self.classes
    }

    /// What is known of a document.
    pub fn get(&self, key: &DocKey) -> Option<&Meta> {
        self.docs.get(key).map(|entry| &entry.meta)
    }

    /// Sets what is known of a document.
    pub fn set(&mut self, key: &DocKey, meta: Meta) {
        let entry = Entry { digest: digest(key, &meta.heads), meta };
        let seq = entry.meta.seq;
        let by_seq = &mut self.by_seq[self.classes.of(key.collection()).index()];
        if let Some(old) = self.docs.insert(key.clone(), entry) {
            by_seq.remove(&old.meta.seq);
        }
        by_seq.insert(seq, key.clone());
    }

    /// Forgets a document (a write that failed is undone).
    pub fn remove(&mut self, key: &DocKey) {
        if let Some(old) = self.docs.remove(key) {
            self.by_seq[self.classes.of(key.collection()).index()].remove(&old.meta.seq);
        }
    }

    /// Documents of a class changed after `through`, in the order of their newest change.
    pub fn changed_after(&self, class: Class, through: Seq) -> impl Iterator<Item = (&DocKey, &Meta)> {
        let changed = self.by_seq[class.index()].range((Bound::Excluded(through), Bound::Unbounded));
        changed.map(|(_, key)| (key, &self.docs[key].meta))
    }

    /// Number of the newest change of a class; 0: there is none.
    pub fn newest(&self, class: Class) -> Seq {
        self.by_seq[class.index()].last_key_value().map_or(0, |(seq, _)| *seq)
    }

    /// Documents from a key on (exclusive), in key order.
    pub fn after(&self, cursor: Option<&DocKey>) -> impl Iterator<Item = (&DocKey, &Meta)> {
        let from = cursor.map_or(Bound::Unbounded, Bound::Excluded);
        self.docs.range((from, Bound::Unbounded)).map(|(key, entry)| (key, &entry.meta))
    }

    /// Documents of one collection, in id order.
    pub fn collection<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a DocKey, &'a Meta)> {
        let first = DocKey::first_of(collection);
        self.docs
            .range(first..)
            .take_while(move |(key, _)| key.collection() == collection)
            .map(|(key, entry)| (key, &entry.meta))
    }

    /// Documents with `from <= key < upto`.
    pub fn range<'a>(
        &'a self,
        from: Option<&DocKey>,
        upto: Option<&DocKey>,
    ) -> impl Iterator<Item = (&'a DocKey, &'a Meta)> + use<'a> {
        self.entries(from, upto).map(|(key, entry)| (key, &entry.meta))
    }

    /// Number of documents in a range and the sum of their digests modulo 2^128. Costs one addition per
    /// document of the range.
    pub fn fingerprint(&self, from: Option<&DocKey>, upto: Option<&DocKey>) -> (u64, u128) {
        self.entries(from, upto)
            .fold((0, 0), |(count, sum), (_, entry)| (count + 1, u128::wrapping_add(sum, entry.digest)))
    }

    /// Documents, tombstones included.
    pub fn len(&self) -> usize {
        self.docs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.docs.is_empty()
    }

    fn entries<'a>(
        &'a self,
        from: Option<&DocKey>,
        upto: Option<&DocKey>,
    ) -> impl Iterator<Item = (&'a DocKey, &'a Entry)> + use<'a> {
        let from = from.map_or(Bound::Unbounded, |key| Bound::Included(key.clone()));
        let upto = upto.map_or(Bound::Unbounded, |key| Bound::Excluded(key.clone()));
        self.docs.range((from, upto))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(collection: &str, id: &str) -> DocKey {
        DocKey::new(collection, id).expect("valid")
    }

    fn meta(seq: Seq) -> Meta {
        Meta {
            seq,
            heads: vec![[seq as u8; 32]],
            deleted: false,
            folded: 0,
            snapshot_bytes: 0,
            tail_bytes: 0,
            checkpoints: vec![],
        }
    }

    #[test]
    fn a_collection_is_not_its_prefix() {
        let mut index = Index::default();
        for (i, (c, d)) in [("a", "1"), ("aa", "1"), ("b", "1"), ("a", "2")].into_iter().enumerate() {
            index.set(&key(c, d), meta(i as u64 + 1));
        }
        let ids: Vec<_> = index.collection("a").map(|(k, _)| k.id().to_owned()).collect();
        assert_eq!(ids, ["1", "2"]);
    }

    #[test]
    fn changed_after_lists_each_document_once_at_its_newest_change() {
        let mut index = Index::default();
        index.set(&key("c", "a"), meta(1));
        index.set(&key("c", "b"), meta(2));
        index.set(&key("c", "a"), meta(3));
        index.set(&key("commands", "a"), meta(4));
        let changed: Vec<_> = index.changed_after(Class::State, 0).map(|(k, m)| (k.id().to_owned(), m.seq)).collect();
        assert_eq!(changed, [("b".to_owned(), 2), ("a".to_owned(), 3)]);
        assert_eq!(index.changed_after(Class::State, 2).count(), 1);
        assert_eq!(index.changed_after(Class::Command, 0).count(), 1);
    }

    #[test]
    fn checkpoints_thin_out_with_age_and_keep_their_ends() {
        let mut m = meta(0);
        for seq in 1..=1000 {
            m.seq = seq;
            m.push_checkpoint();
        }
        let seqs: Vec<_> = m.checkpoints.iter().map(|c| c.seq).collect();
        assert_eq!(seqs.len(), limits::MAX_CHECKPOINTS);
        assert_eq!((seqs[0], *seqs.last().expect("some")), (1, 1000));
        assert!(seqs.windows(3).all(|w| w[1] - w[0] + 1 >= (w[2] - w[1]) / 2), "gaps shrink: {seqs:?}");
        assert_eq!(m.checkpoint_at(0), None);
        assert_eq!(m.checkpoint_at(999).map(|c| c.seq), Some(seqs[seqs.len() - 2]));
    }

    #[test]
    fn fingerprints_add_up() {
        let mut index = Index::default();
        for i in 0..50u64 {
            index.set(&key("c", &format!("{i:02}")), meta(i + 1));
        }
        let middle = key("c", "20");
        let (low, high) = (index.fingerprint(None, Some(&middle)), index.fingerprint(Some(&middle), None));
        let all = index.fingerprint(None, None);
        assert_eq!(all, (low.0 + high.0, low.1.wrapping_add(high.1)));
        assert_eq!(low.0, 20);
    }
}
