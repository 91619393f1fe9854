//! What a peer is sent: durable changes that it may lack, in pieces of the size of a frame.

use std::borrow::Cow;

use super::{DocumentError, Documents};
use crate::core::batch::StoreReadError;
use crate::core::document::{Document, Stamp};
use crate::core::index::Meta;
use crate::core::key::DocKey;
use crate::core::outbox::Base;
use crate::core::reconcile::{History, Marks};
use crate::core::wire::{Heads, Recall, Seq};
use crate::limits;

/// Changes to send, as much as a frame should hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Automerge chunks.
    pub changes: Vec<u8>,
    /// The base of the document, if it has one that is not in this piece.
    pub base: Option<Stamp>,
}

impl Documents {
    /// Number of the first durable change of a document after `through`.
    pub fn first_unsent(&self, key: &DocKey, through: Seq) -> Result<Option<Seq>, StoreReadError> {
        match self.index.get(key) {
            None => Ok(None),
            // Folded changes have lost their numbers; this is a lower bound.
            Some(meta) if through < meta.folded => Ok(Some(through + 1)),
            Some(_) => self.store.first_in_tail(key, through + 1),
        }
    }

    /// The durable changes of a document that a peer with this base may lack, cut into pieces of about
    /// [`limits::UPDATE_FRAME_BYTES`]. Of a document with changes that are not durable, what the store holds: those must
    /// not leave.
    pub fn changes_for(&self, key: &DocKey, base: &Base) -> Result<Vec<Piece>, DocumentError> {
        let Some(meta) = self.durable_meta(key) else { return Ok(vec![]) };
        let (document, known) = match base {
            Base::Before(first) if *first > meta.folded => {
                return Ok(pieces(self.tail_rows(key, *first)?, meta.base));
            }
            Base::Before(first) => match meta.checkpoint_at(first.saturating_sub(1)) {
                Some(point) => (None, point.heads.clone()),
                None => (None, Heads::new()),
            },
            Base::Has(marks) if marks.is_empty() => (None, Heads::new()),
            Base::Has(marks) => {
                let document = self.document_with(key, meta)?;
                let known = marks.among(&document.history());
                (Some(document), known)
            }
        };
        if known.is_empty() {
            let snapshot = self.store.snapshot(key)?;
            // A long history packs so well that a peer would take it for a bomb; such a one goes change by change.
            let fits = |bytes: &[u8]| bytes.len() <= limits::MAX_FRAME_BYTES / 2 && Document::travels_whole(bytes);
            if snapshot.as_deref().is_none_or(fits) {
                let mut chunks: Vec<Vec<u8>> = snapshot.into_iter().collect();
                chunks.extend(self.tail_rows(key, meta.folded + 1)?);
                return Ok(whole(chunks, meta.base));
            }
        }
        let document = document.map_or_else(|| self.document_with(key, meta), Ok)?;
        let changes = document.changes_between(&known, &meta.heads);
        Ok(if known.is_empty() { whole(changes, meta.base) } else { pieces(changes, meta.base) })
    }

    /// The document as of the last commit: from the cache if that is what it holds.
    fn durable_document(&self, key: &DocKey) -> Result<Cow<'_, Document>, DocumentError> {
        match self.cache.durable(key, self.durable) {
            // Loading it in place would make it larger than the cache knows.
            Some(document) if !document.is_loaded() => Ok(Cow::Owned(document.clone())),
            Some(document) => Ok(Cow::Borrowed(document)),
            None => self.load(key).map(Cow::Owned),
        }
    }

    /// The document as of the last commit, perhaps with changes after it: while it is written all the time the cache holds
    /// nothing else, and to load it costs as much as its whole history.
    fn document_with(&self, key: &DocKey, durable: &Meta) -> Result<Cow<'_, Document>, DocumentError> {
        let is_later = |document: &&Document| {
            document.base() == durable.base && durable.heads.iter().all(|head| document.knows(head))
        };
        match self.cache.peek(key).filter(is_later) {
            Some(document) if document.is_loaded() => Ok(Cow::Borrowed(document)),
            Some(document) => Ok(Cow::Owned(document.clone())),
            None => self.load(key).map(Cow::Owned),
        }
    }

    /// Durable change rows from a number on. What was synced but not yet reported so may belong to another base.
    fn tail_rows(&self, key: &DocKey, from: Seq) -> Result<impl Iterator<Item = Vec<u8>>, StoreReadError> {
        let durable = self.durable;
        let rows = self.store.tail(key, from)?.into_iter();
        Ok(rows.take_while(move |(seq, _)| *seq <= durable).map(|(_, changes)| changes))
    }
}

impl History for Documents {
    /// Of the durable version: what is not durable is not sent either. A document that cannot be read is not known;
    /// sending it will say why.
    fn recall(&self, key: &DocKey, heads: &Marks) -> Recall {
        let document = self.durable_meta(key).and_then(|_| self.durable_document(key).ok());
        document.map_or(Recall::Behind(vec![]), |document| heads.recall(&document.history(), &document.heads()))
    }
}

/// Joins small chunks up to the size of a frame; their base is not among them.
fn pieces(chunks: impl IntoIterator<Item = Vec<u8>>, base: Option<Stamp>) -> Vec<Piece> {
    let mut merged: Vec<Piece> = Vec::new();
    for chunk in chunks {
        match merged.last_mut() {
            Some(last) if last.changes.len() + chunk.len() <= limits::UPDATE_FRAME_BYTES => {
                last.changes.extend_from_slice(&chunk);
            }
            _ => merged.push(Piece { changes: chunk, base }),
        }
    }
    merged
}

/// The same of a whole document, whose first chunk holds its base.
fn whole(chunks: impl IntoIterator<Item = Vec<u8>>, base: Option<Stamp>) -> Vec<Piece> {
    let mut pieces = pieces(chunks, base);
    if let Some(first) = pieces.first_mut() {
        first.base = None;
    }
    pieces
}
