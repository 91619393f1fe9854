//! Short names of documents and changes, salted so that nobody can make two that are alike.
//!
//! All of them are the upper bits of a product with a random odd factor modulo 2^128 (multiply-shift hashing,
//! Dietzfelbinger et al., 1997): whatever two things are named, they share an m-bit name with probability at
//! most 2/2^m over the salts, and who does not know the salt when making a document can do nothing about it.

use super::super::index::{Index, Meta, Summary};
use super::super::key::DocKey;
use super::super::wire::{Cut, Heads, Id, Mark, Recall};
use crate::limits;
use crate::node::{Plant, Plants};

/// Bits of a name that tell of the version; the others tell of the key.
const VERSION_BITS: u32 = 40;

/// The salted names of one cut.
#[derive(Debug, Clone, Copy)]
pub(super) struct Namer {
    cut: Cut,
    key_factor: u128,
    version_factor: u128,
}

impl Namer {
    pub(super) fn new(cut: Cut) -> Self {
        let key_factor = factor(cut.salt, Purpose::Key);
        Self { cut, key_factor, version_factor: factor(cut.salt, Purpose::Version(cut.attempt)) }
    }

    pub(super) fn cut(&self) -> Cut {
        self.cut
    }

    /// The name of a version of a document, and more of its key; `None`: the document is in another part.
    fn name(&self, of: Summary) -> Option<(Id, u32)> {
        let key = (u128::from(of.place).wrapping_mul(self.key_factor) >> 64) as u64;
        let part = key.checked_shr(64 - u32::from(self.cut.bits)).unwrap_or(0);
        if part != u64::from(self.cut.index) {
            return None;
        }
        let tag = key as u32;
        // The part is cut by the first bits, so they tell nothing more.
        let key = key.wrapping_shl(u32::from(self.cut.bits)) >> VERSION_BITS;
        let version = (of.digest.wrapping_mul(self.version_factor) >> (128 - VERSION_BITS)) as u64;
        Some((Id(key << VERSION_BITS | version), tag))
    }
}

/// The part of a name that all versions of a document share.
pub(super) fn key_part(id: Id) -> u64 {
    id.0 >> VERSION_BITS
}

#[derive(Clone, Copy)]
enum Purpose {
    Key,
    Version(u8),
    Change,
}

fn factor(salt: u64, purpose: Purpose) -> u128 {
    let purpose = match purpose {
        Purpose::Key => [0, 0],
        Purpose::Version(attempt) => [1, attempt],
        Purpose::Change => [2, 0],
    };
    let mut hasher = blake3::Hasher::new();
    hasher.update(&salt.to_le_bytes()).update(&purpose);
    let first = hasher.finalize().as_bytes().first_chunk().copied().expect("a hash is longer");
    u128::from_le_bytes(first) | 1
}

/// Changes of a document that a peer has. Those that it has besides, because these build on them, are not
/// listed; it may have others that are not known here.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Marks {
    salt: u64,
    marks: Vec<Mark>,
}

impl Marks {
    /// As the peer named them.
    pub fn new(salt: u64, mut marks: Vec<Mark>) -> Self {
        marks.sort_unstable();
        Self { salt, marks }
    }

    /// Of a peer that has nothing of the document.
    pub fn none() -> Self {
        Self::default()
    }

    /// Whether nothing is known that the peer has.
    pub fn is_empty(&self) -> bool {
        self.marks.is_empty()
    }

    /// Those of `history` that the peer has, by its word.
    pub fn among(&self, history: &[[u8; 32]]) -> Heads {
        let factor = factor(self.salt, Purpose::Change);
        let has = |hash: &&[u8; 32]| self.marks.binary_search(&mark(factor, hash)).is_ok();
        history.iter().filter(has).copied().collect()
    }

    /// What a node with this `history`, in causal order, and these `heads` says of its version to a peer
    /// that has these heads.
    pub fn recall(&self, history: &[[u8; 32]], heads: &Heads) -> Recall {
        let known = self.among(history).len();
        if !self.is_empty() && known == self.marks.len() {
            return Recall::Ahead;
        }
        // Should both have changed, the peer sends from the newest change on that it finds here: at most twice
        // what is needed, and 4 changes.
        let back = std::iter::successors(Some(4), |back| Some(back * 2));
        let stops = back.map_while(|back| history.len().checked_sub(back + 1)).map(|at| &history[at]);
        Recall::Behind(marks(self.salt, heads.iter().chain(stops)))
    }
}

/// Marks of some changes; of none, when they are more than anybody takes: then nothing is known.
pub(super) fn marks<'a>(salt: u64, changes: impl Iterator<Item = &'a [u8; 32]>) -> Vec<Mark> {
    let factor = factor(salt, Purpose::Change);
    let mut marks: Vec<Mark> = changes.map(|hash| mark(factor, hash)).collect();
    marks.sort_unstable();
    marks.dedup();
    if marks.len() > limits::MAX_RECONCILE_MARKS { vec![] } else { marks }
}

fn mark(factor: u128, hash: &[u8; 32]) -> Mark {
    let first = hash.first_chunk().copied().expect("a hash is longer");
    Mark((u128::from_le_bytes(first).wrapping_mul(factor) >> 64) as u64)
}

/// Histories of documents, which the index does not have. Costs loading the document.
pub trait History {
    /// What to say of our version of a document to a peer whose heads of it are these.
    fn recall(&self, key: &DocKey, heads: &Marks) -> Recall;
}

/// The documents that are reconciled: those of the index that both sides want.
pub struct View<'a> {
    /// What is known of all documents.
    pub index: &'a Index,
    /// Which of them count. Must not change while a reconciliation is under way.
    pub admits: &'a dyn Fn(&DocKey) -> bool,
    /// Their histories.
    pub history: &'a dyn History,
    /// Bugs.
    pub plants: Plants,
}

/// A document with its name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Version<'a> {
    pub(super) id: Id,
    /// More of its key.
    pub(super) tag: u32,
    pub(super) key: &'a DocKey,
    pub(super) meta: &'a Meta,
}

/// A document that was looked for by a name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found<'a> {
    /// Position of the name.
    pub(super) at: usize,
    /// Whether it has that name now; otherwise it may be another document than is meant.
    pub(super) exact: bool,
    pub(super) version: Version<'a>,
}

impl<'a> View<'a> {
    /// All documents.
    pub fn everything(index: &'a Index, history: &'a dyn History) -> Self {
        Self { index, admits: &|_| true, history, plants: Plants::default() }
    }

    /// How many there are. Costs a look at each.
    pub fn count(&self) -> u64 {
        self.index.summaries().filter(|(key, ..)| (self.admits)(key)).count() as u64
    }

    /// The names of the documents of a cut, in the order of their keys.
    pub(super) fn ids(&self, namer: &Namer) -> impl Iterator<Item = Id> {
        self.versions(namer).map(|version| version.id)
    }

    fn versions(&self, namer: &Namer) -> impl Iterator<Item = Version<'a>> {
        let admitted = self.index.summaries().filter(|(key, ..)| (self.admits)(key));
        admitted.filter_map(|(key, meta, summary)| {
            let blind = self.plants.has(Plant::BlindReconciliation);
            let summary = if blind { Summary { digest: 0, ..summary } } else { summary };
            let (id, tag) = namer.name(summary)?;
            Some(Version { id, tag, key, meta })
        })
    }

    /// Finds the documents of names that were given earlier; `ids` ascend. A document that changed since has
    /// another name, so a name that is nobody's finds the documents whose key it tells of: hardly ever more than
    /// the one that is meant, never less.
    pub(super) fn resolve(&self, namer: &Namer, ids: &[Id]) -> Vec<Found<'a>> {
        if ids.is_empty() {
            return vec![];
        }
        let mut named = vec![false; ids.len()];
        let mut found = Vec::new();
        for version in self.versions(namer) {
            if let Ok(at) = ids.binary_search(&version.id) {
                named[at] = true;
                found.push(Found { at, exact: true, version });
            }
        }
        let changed: Vec<(u64, usize)> =
            (0..ids.len()).filter(|at| !named[*at]).map(|at| (key_part(ids[at]), at)).collect();
        if !changed.is_empty() {
            for version in self.versions(namer) {
                let part = key_part(version.id);
                let first = changed.partition_point(|(other, _)| *other < part);
                if let Some((other, at)) = changed.get(first)
                    && *other == part
                    && ids.binary_search(&version.id).is_err()
                {
                    found.push(Found { at: *at, exact: false, version });
                }
            }
        }
        found.sort_unstable_by_key(|found| (found.at, found.version.key));
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_says_it_is_ahead_only_when_it_knows_all_heads() {
        let hash = |n: u8| [n; 32];
        let history: Vec<_> = (1..=20).map(hash).collect();
        let theirs = |heads: &[u8]| Marks::new(7, marks(7, heads.iter().map(|n| hash(*n)).collect::<Heads>().iter()));
        let ours = vec![hash(20)];
        assert_eq!(theirs(&[12]).recall(&history, &ours), Recall::Ahead);
        for unknown in [&[12, 99][..], &[99], &[]] {
            let Recall::Behind(listed) = theirs(unknown).recall(&history, &ours) else { panic!("{unknown:?}") };
            // Our head, and what was there 4, 8 and 16 changes ago.
            assert_eq!(Marks::new(7, listed).among(&history), [4, 12, 16, 20].map(hash));
        }
    }

    #[test]
    fn parts_are_disjoint_and_complete_and_keep_their_documents() {
        let summaries: Vec<_> = (0..1000u64)
            .map(|n| Summary { place: n.wrapping_mul(0x9e37_79b9_7f4a_7c15), digest: u128::from(n) << 70 | 1 })
            .collect();
        for bits in [0, 1, 5, limits::MAX_RECONCILE_PART_BITS] {
            let part = |summary: &Summary, attempt| {
                let within =
                    |index: &u16| Namer::new(Cut { salt: 3, bits, index: *index, attempt }).name(*summary).is_some();
                (0..1 << bits).filter(within).collect::<Vec<u16>>()
            };
            for summary in summaries.iter().step_by(if bits > 5 { 100 } else { 10 }) {
                let parts = part(summary, 0);
                assert_eq!(parts.len(), 1);
                assert_eq!(part(summary, 1), parts);
                assert_eq!(part(&Summary { digest: 5, ..*summary }, 0), parts);
            }
        }
    }
}
