//! The index: what is known of every document without loading it.
//!
//! About 200 bytes a document in memory: its heads, the number of its newest change, whether it is deleted.
//! Listing, resuming from a watermark and reconciling read only this.

use std::collections::{BTreeMap, btree_map};
use std::ops::Bound;

use serde::{Deserialize, Serialize};

use super::class::{Class, ClassMap, PerClass};
use super::document::Stamp;
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
    /// The base that the history begins with; the store appends it to the row if there is one.
    #[serde(skip)]
    pub base: Option<Stamp>,
}

impl Meta {
    /// The newest point of the history that somebody who has every change numbered up to `through` has
    /// passed, if it is still known. Only asked for numbers below the fold.
    pub fn checkpoint_at(&self, through: Seq) -> Option<&Checkpoint> {
        self.checkpoints.iter().rev().find(|point| point.seq <= through)
    }

    /// Whether the change rows should be folded: amortised, each byte is rewritten a constant number of times, and each of
    /// the `history_bytes` that a snapshot is made of, which packs so well that its own size says little, is packed one.
    pub fn wants_fold(&self, history_bytes: usize) -> bool {
        let packed_too_often = (history_bytes / limits::TAIL_FOLD_SHARE) as u64;
        self.tail_bytes > self.snapshot_bytes.max(limits::TAIL_FOLD_BYTES as u64).max(packed_too_often)
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

/// Where a document is among all documents, whatever its version.
fn place(key: &DocKey) -> u64 {
    u64::from_le_bytes(*digest(key, &vec![]).to_le_bytes().first_chunk().expect("16 bytes have 8"))
}

/// What reconciliation reads of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Hash of its key.
    pub place: u64,
    /// Hash of its key and heads.
    pub digest: u128,
}

/// How long the history of a document is, without its base. Not stored: it is measured anew after a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Changes in it.
    pub changes: u32,
    /// When the oldest of them was made, in seconds since the epoch, by the clock of who made it.
    pub since_s: u32,
    /// Its base has this number or a lower one; 0: it has none.
    pub base_seq: Seq,
}

#[derive(Debug)]
struct Entry {
    meta: Meta,
    summary: Summary,
    /// Only of documents in collections with a window.
    extent: Option<Extent>,
}

/// All documents, by key and, per class, by the number of their newest change.
#[derive(Debug, Default)]
pub struct Index {
    classes: ClassMap,
    /// In boxes: the nodes of a tree that is filled in order are half empty.
    docs: BTreeMap<DocKey, Box<Entry>>,
    by_seq: PerClass<BTreeMap<Seq, DocKey>>,
    totals: Totals,
}

/// Sums over all documents, kept as they change: to ask for them costs nothing however many there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Documents that are not deleted.
    pub live: u64,
    /// Documents that are.
    pub tombstones: u64,
    /// Bytes of their snapshots and change rows.
    pub bytes: u64,
}

impl Totals {
    fn add(&mut self, meta: &Meta) {
        *if meta.deleted { &mut self.tombstones } else { &mut self.live } += 1;
        self.bytes = self.bytes.wrapping_add(meta.snapshot_bytes).wrapping_add(meta.tail_bytes);
    }

    fn subtract(&mut self, meta: &Meta) {
        *if meta.deleted { &mut self.tombstones } else { &mut self.live } -= 1;
        self.bytes = self.bytes.wrapping_sub(meta.snapshot_bytes).wrapping_sub(meta.tail_bytes);
    }
}

impl Index {
    /// An empty index.
    pub fn new(classes: ClassMap) -> Self {
        Self { classes, ..Self::default() }
    }

    /// The index of these documents. In key order it costs a third of setting one after the other, and half the memory.
    pub fn of(classes: ClassMap, docs: Vec<(DocKey, Meta)>) -> Self {
        let mut index = Self::new(classes);
        let mut by_seq: PerClass<Vec<(Seq, DocKey)>> = PerClass::default();
        let entries = docs.into_iter().map(|(key, meta)| {
            index.totals.add(&meta);
            by_seq[index.classes.of(key.collection()).index()].push((meta.seq, key.clone()));
            let summary = Summary { place: place(&key), digest: digest(&key, &meta.heads) };
            (key, Box::new(Entry { summary, meta, extent: None }))
        });
        let docs = entries.collect();
        index.docs = docs;
        index.by_seq = by_seq.map(|numbers| numbers.into_iter().collect());
        index
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
        let place = self.docs.get(key).map_or_else(|| place(key), |old| old.summary.place);
        let summary = Summary { place, digest: digest(key, &meta.heads) };
        let entry = Box::new(Entry { summary, meta, extent: None });
        let seq = entry.meta.seq;
        self.totals.add(&entry.meta);
        let by_seq = &mut self.by_seq[self.classes.of(key.collection()).index()];
        if let Some(old) = self.docs.insert(key.clone(), entry) {
            by_seq.remove(&old.meta.seq);
            self.totals.subtract(&old.meta);
        }
        by_seq.insert(seq, key.clone());
    }

    /// How long its history is; `None`: not known.
    pub fn extent(&self, key: &DocKey) -> Option<Extent> {
        self.docs.get(key)?.extent
    }

    /// Sets how long its history is, until the next [`set`](Self::set).
    pub fn set_extent(&mut self, key: &DocKey, extent: Option<Extent>) {
        if let Some(entry) = self.docs.get_mut(key) {
            entry.extent = extent;
        }
    }

    /// Documents of one collection with the lengths of their histories, in id order.
    pub fn extents<'a>(&'a self, collection: &'a str) -> impl Iterator<Item = (&'a DocKey, &'a Meta, Option<Extent>)> {
        let all = self.docs.range(DocKey::first_of(collection)..);
        let all = all.take_while(move |(key, _)| key.collection() == collection);
        all.map(|(key, entry)| (key, &entry.meta, entry.extent))
    }

    /// Forgets a document (a write that failed is undone).
    pub fn remove(&mut self, key: &DocKey) {
        if let Some(old) = self.docs.remove(key) {
            self.by_seq[self.classes.of(key.collection()).index()].remove(&old.meta.seq);
            self.totals.subtract(&old.meta);
        }
    }

    /// Documents of a class changed after `through`, in the order of their newest change.
    pub fn changed_after(&self, class: Class, through: Seq) -> impl Iterator<Item = (&DocKey, &Meta)> {
        let changed = self.by_seq[class.index()].range((Bound::Excluded(through), Bound::Unbounded));
        changed.map(|(_, key)| (key, &self.docs[key].meta))
    }

    /// Documents changed after `through`, of all classes, by the number of their newest change.
    pub fn changed(&self, through: Seq) -> PerClass<btree_map::Range<'_, Seq, DocKey>> {
        self.by_seq.each_ref().map(|changed| changed.range((Bound::Excluded(through), Bound::Unbounded)))
    }

    /// A hash of a document's key; 0: there is no such document.
    pub fn place(&self, key: &DocKey) -> u64 {
        self.docs.get(key).map_or(0, |entry| entry.summary.place)
    }

    /// Documents of one collection whose ids begin with `prefix`, those after `after` (an id), in id order. Costs what
    /// is taken from it, whatever else there is.
    pub fn page<'a>(
        &'a self,
        collection: &'a str,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = (&'a DocKey, &'a Meta)> {
        let from = match after >= prefix {
            true => Bound::Excluded(DocKey::bound(collection, after)),
            false => Bound::Included(DocKey::bound(collection, prefix)),
        };
        self.docs
            .range((from, Bound::Unbounded))
            .take_while(move |(key, _)| key.collection() == collection && key.id().starts_with(prefix))
            .map(|(key, entry)| (key, &entry.meta))
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

    /// All documents with their summaries, in key order.
    pub fn summaries(&self) -> impl Iterator<Item = (&DocKey, &Meta, Summary)> {
        self.docs.iter().map(|(key, entry)| (key, &entry.meta, entry.summary))
    }

    /// Number of documents and the sum of their digests modulo 2^128: equal for equal sets.
    pub fn fingerprint(&self) -> (u64, u128) {
        let digests = self.docs.values().map(|entry| entry.summary.digest);
        digests.fold((0, 0), |(count, sum), digest| (count + 1, u128::wrapping_add(sum, digest)))
    }

    /// Sums over all documents.
    pub fn totals(&self) -> Totals {
        self.totals
    }

    /// Documents, tombstones included.
    pub fn len(&self) -> usize {
        self.docs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.docs.is_empty()
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
            base: None,
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
    fn totals_are_what_a_scan_would_find() {
        let mut index = Index::default();
        let mut random = 1u64;
        for seq in 1..=2000u64 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let doc = key("c", &format!("{}", (random >> 33) % 40));
            if random >> 61 == 0 {
                index.remove(&doc);
            } else {
                let deleted = random >> 62 == 1;
                let (snapshot_bytes, tail_bytes) = (random >> 50, random >> 55);
                index.set(&doc, Meta { deleted, snapshot_bytes, tail_bytes, ..meta(seq) });
            }
        }
        let mut scanned = Totals::default();
        index.after(None).for_each(|(_, meta)| scanned.add(meta));
        assert_eq!(index.totals(), scanned);
        assert_eq!(scanned.live + scanned.tombstones, index.len() as u64);
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
    fn fingerprints_tell_versions_apart_and_places_do_not() {
        let mut index = Index::default();
        for i in 0..50u64 {
            index.set(&key("c", &format!("{i:02}")), meta(i + 1));
        }
        let places = |index: &Index| index.summaries().map(|(.., summary)| summary.place).collect::<Vec<_>>();
        let (before, places_before) = (index.fingerprint(), places(&index));
        let old = index.get(&key("c", "07")).expect("there").clone();
        index.set(&key("c", "07"), meta(60));
        assert_ne!(index.fingerprint(), before);
        assert_eq!(places(&index), places_before);
        index.set(&key("c", "07"), old);
        assert_eq!(index.fingerprint(), before);
    }
}
