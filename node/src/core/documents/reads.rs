//! What is read of documents, and in which order they changed.

use std::collections::btree_map;
use std::iter::Peekable;
use std::ops::Bound;

use super::{DocumentError, Documents, Plant};
use crate::core::document::{Conflict, Deletion};
use crate::core::key::DocKey;
use crate::core::version::Version;
use crate::core::wire::Seq;
use crate::limits;

/// A document as a client reads it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reading {
    /// Its text; `None`: absent or deleted.
    pub text: Option<String>,
    /// Its version.
    pub version: Version,
    /// The delete in force.
    pub deletion: Option<Deletion>,
    /// Concurrent values, if they were asked for.
    pub conflicts: Vec<Conflict>,
    /// Whether there are more than those.
    pub more_conflicts: bool,
    /// What must be durable before any of this is told.
    pub seq: Seq,
}

impl Documents {
    /// The version of a document, durable or not.
    pub fn version(&self, key: &DocKey) -> Version {
        self.index.get(key).map_or_else(Version::none, |meta| Version::of(&meta.heads, meta.base))
    }

    /// A document with all that is to be told of it.
    pub fn read(&mut self, key: &DocKey, with_conflicts: bool) -> Result<Reading, DocumentError> {
        let version = self.version(key);
        let (deletion, conflicts, more_conflicts) = (None, vec![], false);
        let is_deleted = self.index.get(key).is_some_and(|meta| meta.deleted);
        if !with_conflicts && !is_deleted {
            let (text, seq) = self.text(key)?;
            return Ok(Reading { text, version, deletion, conflicts, more_conflicts, seq });
        }
        let Some(seq) = self.index.get(key).map(|meta| meta.seq) else {
            return Ok(Reading { text: None, version, deletion, conflicts, more_conflicts, seq: 0 });
        };
        let (document, _) = self.open(key)?;
        let (conflicts, more_conflicts) =
            if with_conflicts { document.conflicts(limits::CONFLICTS) } else { (conflicts, false) };
        let text = document.render();
        let deletion = if text.is_none() { document.deletion() } else { None };
        self.cache.insert(key, document, self.durable);
        Ok(Reading { text, version, deletion, conflicts, more_conflicts, seq })
    }

    /// As [`render`](Self::render), for those who only read: keeps the text rather than the document, so that reading
    /// through everything does not push out what is being written.
    pub fn text(&mut self, key: &DocKey) -> Result<(Option<String>, Seq), DocumentError> {
        let Some(meta) = self.index.get(key) else { return Ok((None, 0)) };
        let seq = meta.seq;
        if meta.deleted {
            return Ok((None, seq));
        }
        let cached = if self.plants.has(Plant::CrossedCache) && seq.is_multiple_of(16) { seq - 1 } else { seq };
        if let Some(text) = self.texts.get(cached) {
            return Ok((Some(text.to_owned()), seq));
        }
        let text = match self.cache.take(key) {
            Some(document) => {
                let text = document.render();
                self.cache.insert(key, document, self.durable);
                text
            }
            None => self.load(key)?.render(),
        };
        if let Some(text) = &text {
            self.texts.insert(seq, text);
        }
        Ok((text, seq))
    }

    /// The number that must be durable before somebody who waits for a version may read; `None`: neither it nor one that
    /// took its place is here yet.
    pub fn contains(&mut self, key: &DocKey, version: &Version) -> Result<Option<Seq>, DocumentError> {
        let (seq, base) = self.index.get(key).map_or((0, None), |meta| (meta.seq, meta.base));
        if self.version(key) == *version || version.base() < base {
            return Ok(Some(seq));
        }
        if seq == 0 || version.base() > base {
            return Ok(None);
        }
        let Some(wanted) = version.heads() else { return Ok(None) };
        let (document, _) = self.open(key)?;
        let contains = wanted.iter().all(|head| document.knows(head));
        self.cache.insert(key, document, self.durable);
        Ok(contains.then_some(seq))
    }

    /// Documents whose newest durable change is numbered above `through`, by that number, up to the last durable one.
    pub fn durable_after(&self, through: Seq) -> impl Iterator<Item = (Seq, &DocKey)> {
        let after = (Bound::Excluded(through), Bound::Unbounded);
        let [a, b, c, d] = self.index.changed(through);
        let lists = [a, b, c, d, self.shadows_in_flight.range(after), self.shadows.range(after)];
        let durable = self.durable;
        Merge(lists.map(Iterator::peekable)).take_while(move |(seq, _)| *seq <= durable)
    }

    /// The lowest number after which every change that a reader must be told of can still be found: that of the newest
    /// tombstone that was forgotten.
    pub fn resumable_from(&self) -> Seq {
        self.horizon.through
    }
}

/// Several ascending lists as one.
struct Merge<'a, const N: usize>([Peekable<btree_map::Range<'a, Seq, DocKey>>; N]);

impl<'a, const N: usize> Iterator for Merge<'a, N> {
    type Item = (Seq, &'a DocKey);

    fn next(&mut self) -> Option<Self::Item> {
        let heads = self.0.iter_mut().enumerate().filter_map(|(at, list)| Some((*list.peek()?.0, at)));
        let (_, at) = heads.min()?;
        self.0[at].next().map(|(seq, key)| (*seq, key))
    }
}
