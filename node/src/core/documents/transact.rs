//! Writes that are made together or not at all.
//!
//! Each document is edited while it is out of the cache, and only when all edits worked is any of them recorded. An edit
//! that nobody saw is taken back by forking the document at the heads it had: dear, but only on an error after another
//! document of the same transaction was edited already. Rejected: to edit copies, which costs every write of every
//! transaction what only a failed one needs. Only of a document that the edit begins anew a copy is kept, as its heads are
//! not in what comes after; it has one change if it was written under the same policy.

use super::local::begins_anew;
use super::{Documents, Recorded, Written};
use crate::core::document::{Document, Heads};
use crate::core::key::DocKey;
use crate::core::transaction::{Edit, Operation, OperationError, Rejection, VersionMismatch};

/// A document that was taken out and edited.
struct Edited {
    key: DocKey,
    document: Document,
    was_visible: bool,
    /// What it was before, and what was written; `None`: nothing differs.
    change: Option<(Before, Written)>,
}

/// How an edit is taken back.
enum Before {
    /// The document goes on from these.
    Heads(Heads),
    /// The document as it was, as the edit may begin it anew.
    Copy(Box<Document>),
}

impl Documents {
    /// Makes all writes, each of another document, or none. For each, what it changed.
    pub(in crate::core) fn transact(
        &mut self,
        operations: &[Operation],
        now_ms: u64,
    ) -> Result<Vec<Option<Recorded>>, Rejection> {
        for (index, operation) in operations.iter().enumerate() {
            self.check(operation).map_err(|cause| Rejection::Operation { index, cause })?;
        }
        let mut edited = Vec::with_capacity(operations.len());
        for (index, operation) in operations.iter().enumerate() {
            match self.edit(operation, now_ms) {
                Ok(done) => edited.push(done),
                Err(cause) => {
                    edited.into_iter().for_each(|done| self.take_back(done));
                    return Err(Rejection::Operation { index, cause });
                }
            }
        }
        let kept = operations.iter().zip(edited).map(|(operation, done)| {
            let recorded = self.keep(done);
            if let (Some(recorded), Edit::Put(json)) = (recorded, &operation.edit) {
                self.texts.insert(recorded.seq, &json.to_string());
            }
            recorded
        });
        Ok(kept.collect())
    }

    fn check(&self, operation: &Operation) -> Result<(), OperationError> {
        let Some(expected) = &operation.expected else { return Ok(()) };
        let key = &operation.key;
        let current = self.version(key);
        let mismatch = || VersionMismatch { key: key.clone(), current: current.encode() };
        if expected.heads() == Some(&[]) {
            return match self.index.get(key) {
                Some(meta) if !meta.deleted => Err(OperationError::Exists(mismatch())),
                _ => Ok(()),
            };
        }
        if *expected != current { Err(OperationError::Changed(mismatch())) } else { Ok(()) }
    }

    fn edit(&mut self, operation: &Operation, now_ms: u64) -> Result<Edited, OperationError> {
        let (now_ms, key) = (now_ms as i64, &operation.key);
        let now_s = now_ms.div_euclid(1000);
        let (mut document, was_visible) = self.open(key)?;
        // What nobody ever wrote needs no copy: there is nothing to go back to.
        let may_begin = self.policy_of(key).is_ok_and(|policy| begins_anew(policy, &document));
        let before = match may_begin && self.index.get(key).is_some() {
            true => Before::Copy(Box::new(document.clone())),
            false => Before::Heads(document.heads()),
        };
        let written = match &operation.edit {
            Edit::Put(json) => self.put_into(&mut document, key, json, now_s).map_err(OperationError::Document),
            Edit::Delete => self.delete_from(&mut document, key, now_ms).map_err(OperationError::Document),
            Edit::Patch(patch, limits) => match document.patched(patch, limits) {
                Ok(json) => self.put_into(&mut document, key, &json, now_s).map_err(OperationError::Document),
                Err(error) => Err(OperationError::Patched(error)),
            },
        };
        match written {
            Ok(written) => {
                let change = written.map(|written| (before, written));
                Ok(Edited { key: key.clone(), document, was_visible, change })
            }
            // A failed edit leaves the document as it was.
            Err(error) => {
                self.put_back(key, document);
                Err(error)
            }
        }
    }

    fn keep(&mut self, edited: Edited) -> Option<Recorded> {
        let Edited { key, document, was_visible, change } = edited;
        match change {
            Some((_, written)) => Some(self.record(&key, document, written, was_visible)),
            None => {
                self.put_back(&key, document);
                None
            }
        }
    }

    fn take_back(&mut self, edited: Edited) {
        let Edited { key, mut document, change, .. } = edited;
        match change {
            None => {}
            // As in `put_back`: it is thrown away, whatever the edit made of it.
            Some(_) if self.index.get(&key).is_none() => {}
            Some((Before::Copy(copy), _)) => document = *copy,
            Some((Before::Heads(before), _)) => {
                if let Err(error) = document.take_back(&before) {
                    // Its heads were there a moment ago. What the store has is right, if perhaps not the newest.
                    tracing::error!("{key}: an edit could not be taken back: {error}");
                    self.cache.remove(&key);
                    return;
                }
            }
        }
        self.put_back(&key, document);
    }

    fn put_back(&mut self, key: &DocKey, document: Document) {
        // One that nobody ever wrote is not worth its place.
        if self.index.get(key).is_some() {
            self.cache.insert(key, document, self.durable);
        } else {
            self.cache.remove(key);
        }
    }
}
