//! The history of a document: its heads, what it contains, and parts of it.

use std::collections::BTreeSet;

use automerge::ChangeHash;

use super::{Document, Heads, WriteError, incoming};

impl Document {
    /// The newest changes. Replicas with equal heads hold equal documents.
    pub fn heads(&self) -> Heads {
        if let Some(first) = &self.first {
            return vec![*first.hash()];
        }
        self.doc().get_heads().into_iter().map(|hash| hash.0).collect()
    }

    /// Whether the history contains this change.
    pub fn knows(&self, hash: &[u8; 32]) -> bool {
        if let Some(first) = &self.first {
            return first.hash() == hash;
        }
        incoming::knows(self.doc(), &ChangeHash(*hash))
    }

    /// Hashes of all changes, in causal order.
    pub fn history(&self) -> Heads {
        if self.first.is_some() {
            return self.heads();
        }
        self.doc().get_changes_meta(&[]).into_iter().map(|change| change.hash.0).collect()
    }

    /// The raw changes, one each, in causal order, that are not in the history of `have`. Hashes that
    /// are not known here are ignored, so the answer may hold more than the asker needs, never less.
    pub fn changes_since(&self, have: &[[u8; 32]]) -> Vec<Vec<u8>> {
        if let Some(first) = &self.first {
            return if have.contains(first.hash()) { vec![] } else { vec![first.bytes().to_vec()] };
        }
        let known: Vec<ChangeHash> =
            have.iter().map(|hash| ChangeHash(*hash)).filter(|hash| incoming::knows(self.doc(), hash)).collect();
        self.doc().get_changes(&known).iter().map(|change| change.raw_bytes().to_vec()).collect()
    }

    /// The same without what is not in the history of `heads`, which are known here.
    pub fn changes_between(&self, have: &[[u8; 32]], heads: &[[u8; 32]]) -> Vec<Vec<u8>> {
        if self.heads() == heads {
            return self.changes_since(have);
        }
        let hashes = |hashes: &[[u8; 32]]| hashes.iter().map(|hash| ChangeHash(*hash)).collect::<Vec<_>>();
        let doc = self.doc();
        let later: BTreeSet<_> = doc.get_changes_meta(&hashes(heads)).into_iter().map(|change| change.hash).collect();
        let known: Vec<_> = hashes(have).into_iter().filter(|hash| incoming::knows(doc, hash)).collect();
        let changes = doc.get_changes(&known).into_iter().filter(|change| !later.contains(&change.hash()));
        changes.map(|change| change.raw_bytes().to_vec()).collect()
    }

    /// Takes back every change after `heads`: as if this actor had never made them. Only for changes that nobody was
    /// told of.
    pub(crate) fn take_back(&mut self, heads: &[[u8; 32]]) -> Result<(), WriteError> {
        let heads: Vec<ChangeHash> = heads.iter().map(|hash| ChangeHash(*hash)).collect();
        let doc = self.doc().fork_at(&heads)?.with_actor(self.actor.clone());
        self.set(doc);
        self.index = None;
        Ok(())
    }
}
