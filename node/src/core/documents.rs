//! All documents of a store: the index, the loaded ones, and the rows that are not durable yet.
//!
//! A change takes effect here at once and becomes durable later; until then the document is pinned in the
//! cache (the store would show the past) and [`Documents::undo`] can take it back.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::ops::Bound;

use super::batch::{Batch, DocRows, DocumentStore, StoreReadError};
use super::cache::DocumentCache;
use super::class::ClassMap;
use automerge::ActorId;

use super::document::{ApplyError, Document, JsonObject, LoadError};
use super::index::{Index, Meta};
use super::key::DocKey;
use super::outbox::Base;
use super::reconcile::{History, Marks};
use super::texts::TextCache;
use super::version::Version;
use super::wire::{Heads, Recall, Seq};
use crate::limits;

/// Why a document cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreReadError),
    /// The stored bytes are not a document.
    #[error("stored document {key} is damaged: {source}")]
    Damaged {
        /// Which document.
        key: String,
        /// What was found.
        source: LoadError,
    },
    /// A change cannot be made.
    #[error("{key} cannot be written: {detail}")]
    Write {
        /// Which document.
        key: String,
        /// Why.
        detail: String,
    },
}

/// Why changes of a peer are not applied.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The document of ours cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The changes are not acceptable.
    #[error("changes of {key}: {source}")]
    Apply {
        /// Which document.
        key: String,
        /// What is wrong with them.
        source: ApplyError,
    },
}

/// A change that took effect but is not durable yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Recorded {
    /// Its number.
    pub seq: Seq,
    /// Whether an application can see a difference.
    pub visible: bool,
}

/// Changes to send, cut into pieces.
pub type Pieces = Vec<Vec<u8>>;

/// All documents of a store.
pub struct Documents {
    store: Box<dyn DocumentStore>,
    index: Index,
    cache: DocumentCache,
    actor: ActorId,
    /// Last number given out.
    last: Seq,
    durable: Seq,
    pending: Batch,
    pending_bytes: usize,
    /// What the index said before the pending batch.
    undo: BTreeMap<DocKey, Option<Meta>>,
    /// The same for the batch that is being committed.
    undo_in_flight: BTreeMap<DocKey, Option<Meta>>,
    in_flight_bytes: usize,
    /// Documents of `undo` by the number that was theirs before, to walk over what is durable.
    shadows: BTreeMap<Seq, DocKey>,
    shadows_in_flight: BTreeMap<Seq, DocKey>,
    texts: TextCache,
}

impl Documents {
    /// Over a store that holds `docs` and has used numbers up to `last`. `actor` must be new: it signs
    /// this run's changes.
    pub fn new(
        store: Box<dyn DocumentStore>,
        docs: Vec<(DocKey, Meta)>,
        last: Seq,
        actor: ActorId,
        classes: ClassMap,
    ) -> Self {
        let mut index = Index::new(classes);
        for (key, meta) in docs {
            index.set(&key, meta);
        }
        Self {
            store,
            index,
            cache: DocumentCache::new(limits::DOCUMENT_CACHE_BYTES),
            actor,
            last,
            durable: last,
            pending: Batch::default(),
            pending_bytes: 0,
            undo: BTreeMap::new(),
            undo_in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            shadows: BTreeMap::new(),
            shadows_in_flight: BTreeMap::new(),
            texts: TextCache::new(limits::TEXT_CACHE_BYTES),
        }
    }

    /// What is known of every document; ahead of the disk by what is not durable yet.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Every change numbered up to here is durable.
    pub fn durable(&self) -> Seq {
        self.durable
    }

    /// Last number given out.
    pub fn last(&self) -> Seq {
        self.last
    }

    /// Bytes of changes that are not durable yet.
    pub fn uncommitted_bytes(&self) -> usize {
        self.pending_bytes + self.in_flight_bytes
    }

    /// Estimated bytes of loaded documents and of texts.
    pub fn cache_bytes(&self) -> usize {
        self.cache.bytes() + self.texts.bytes()
    }

    /// Writes a document; `None`: its content is that already.
    pub fn put(&mut self, key: &DocKey, json: &JsonObject, now_s: i64) -> Result<Option<Recorded>, DocumentError> {
        let recorded = self.write(key, |document| document.put(json, now_s).map_err(|e| e.to_string()))?;
        if let Some(recorded) = recorded {
            self.texts.insert(recorded.seq, &json.to_string());
        }
        Ok(recorded)
    }

    /// Deletes a document; `None`: there is none.
    pub fn delete(&mut self, key: &DocKey, now_ms: i64) -> Result<Option<Recorded>, DocumentError> {
        if self.index.get(key).is_none_or(|meta| meta.deleted) {
            return Ok(None);
        }
        self.write(key, |document| document.delete(now_ms).map_err(|e| e.to_string()))
    }

    /// Applies changes of a peer; `None`: nothing new.
    pub fn apply(&mut self, key: &DocKey, changes: &[u8]) -> Result<Option<Recorded>, RemoteError> {
        let (mut document, was_visible) = self.open(key)?;
        let applied = match document.apply(changes) {
            Ok(applied) => applied,
            Err(source) => {
                self.cache.insert(key, document, self.durable);
                return Err(RemoteError::Apply { key: key.to_string(), source });
            }
        };
        match applied {
            Some(applied) => Ok(Some(self.record(key, document, applied.changes, was_visible))),
            None => {
                self.cache.insert(key, document, self.durable);
                Ok(None)
            }
        }
    }

    /// The text of a document and the number from which on it is durable; `None`: absent or deleted.
    pub fn render(&mut self, key: &DocKey) -> Result<(Option<String>, Seq), DocumentError> {
        let Some(meta) = self.index.get(key) else { return Ok((None, 0)) };
        let (seq, deleted) = (meta.seq, meta.deleted);
        if deleted {
            return Ok((None, seq));
        }
        let (document, _) = self.open(key)?;
        let text = document.render();
        self.cache.insert(key, document, self.durable);
        Ok((text, seq))
    }

    /// The same, for those who only read: keeps the text rather than the document, so that reading through everything
    /// does not push out what is being written.
    pub fn read(&mut self, key: &DocKey) -> Result<(Option<String>, Seq), DocumentError> {
        let Some(meta) = self.index.get(key) else { return Ok((None, 0)) };
        let seq = meta.seq;
        if meta.deleted {
            return Ok((None, seq));
        }
        if let Some(text) = self.texts.get(seq) {
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

    /// The number that must be durable before somebody who waits for a version may read; `None`: it is not here yet.
    pub fn contains(&mut self, key: &DocKey, version: &Version) -> Result<Option<Seq>, DocumentError> {
        let (seq, heads) = self.index.get(key).map_or((0, &[][..]), |meta| (meta.seq, &meta.heads));
        if Version::of(heads) == *version {
            return Ok(Some(seq));
        }
        let Some(wanted) = version.heads() else { return Ok(None) };
        if seq == 0 {
            return Ok(wanted.is_empty().then_some(0));
        }
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

    /// The lowest number after which every change that a reader must be told of can still be found. Tombstones are
    /// never forgotten, so it is the first.
    pub fn resumable_from(&self) -> Seq {
        0
    }

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
    /// [`limits::UPDATE_FRAME_BYTES`]. Reads the store, never the cache: what is not durable must not leave.
    pub fn changes_for(&self, key: &DocKey, base: &Base) -> Result<Pieces, DocumentError> {
        let Some(meta) = self.durable_meta(key) else { return Ok(vec![]) };
        let (document, known) = match base {
            Base::Before(first) if *first > meta.folded => return Ok(self.tail_pieces(key, *first)?),
            Base::Before(first) => match meta.checkpoint_at(first.saturating_sub(1)) {
                Some(point) => (None, point.heads.clone()),
                None => (None, Heads::new()),
            },
            Base::Has(marks) if marks.is_empty() => (None, Heads::new()),
            Base::Has(marks) => {
                let document = self.load(key)?;
                let known = marks.among(&document.history());
                (Some(document), known)
            }
        };
        if known.is_empty() {
            let snapshot = self.store.snapshot(key)?;
            // A long history packs so well that a peer would take it for a bomb; such a one goes change by change.
            let fits = |bytes: &[u8]| bytes.len() <= limits::MAX_FRAME_BYTES / 2 && Document::travels_whole(bytes);
            if snapshot.as_deref().is_none_or(fits) {
                let mut pieces: Pieces = snapshot.into_iter().collect();
                pieces.extend(self.tail_pieces(key, meta.folded + 1)?);
                return Ok(merge_pieces(pieces));
            }
        }
        let document = document.map_or_else(|| self.load(key), Ok)?;
        Ok(merge_pieces(document.changes_since(&known)))
    }

    /// Whether nothing waits for the disk.
    pub fn is_all_durable(&self) -> bool {
        self.durable == self.last
    }

    /// What is to be made durable next; `None`: nothing, or only watermarks and not `even_watermarks`. At
    /// most one batch may be under way.
    pub fn take_batch(&mut self, even_watermarks: bool) -> Option<Batch> {
        let worth_it = self.pending.changes > 0 || (even_watermarks && !self.pending.seen.is_empty());
        if !worth_it {
            return None;
        }
        debug_assert!(self.undo_in_flight.is_empty(), "one batch at a time");
        self.undo_in_flight = std::mem::take(&mut self.undo);
        self.shadows_in_flight = std::mem::take(&mut self.shadows);
        self.in_flight_bytes = std::mem::take(&mut self.pending_bytes);
        let mut batch = std::mem::take(&mut self.pending);
        batch.last = self.last;
        Some(batch)
    }

    /// The batch under way is durable.
    pub fn committed(&mut self, last: Seq) {
        self.durable = last;
        self.undo_in_flight.clear();
        self.shadows_in_flight.clear();
        self.in_flight_bytes = 0;
        self.cache.shrink(last);
    }

    /// Takes back everything that is not durable: the batch under way failed.
    pub fn undo(&mut self) {
        let newest_first = [std::mem::take(&mut self.undo), std::mem::take(&mut self.undo_in_flight)];
        for (key, meta) in newest_first.into_iter().flatten() {
            self.cache.remove(&key);
            match meta {
                Some(meta) => self.index.set(&key, meta),
                None => self.index.remove(&key),
            }
        }
        self.shadows.clear();
        self.shadows_in_flight.clear();
        self.texts.clear();
        self.pending = Batch::default();
        self.pending_bytes = 0;
        self.in_flight_bytes = 0;
    }

    /// Watermarks that go with the pending changes.
    pub fn pending_mut(&mut self) -> &mut Batch {
        &mut self.pending
    }

    fn write(
        &mut self,
        key: &DocKey,
        change: impl FnOnce(&mut Document) -> Result<Option<Vec<u8>>, String>,
    ) -> Result<Option<Recorded>, DocumentError> {
        let (mut document, was_visible) = self.open(key)?;
        match change(&mut document) {
            Ok(Some(bytes)) => Ok(Some(self.record(key, document, bytes, was_visible))),
            Ok(None) => {
                self.cache.insert(key, document, self.durable);
                Ok(None)
            }
            // A failed write leaves the document as it was.
            Err(detail) => {
                self.cache.insert(key, document, self.durable);
                Err(DocumentError::Write { key: key.to_string(), detail })
            }
        }
    }

    fn record(&mut self, key: &DocKey, document: Document, changes: Vec<u8>, was_visible: bool) -> Recorded {
        self.last += 1;
        let seq = self.last;
        let before = self.index.get(key).cloned();
        let mut meta = before.clone().unwrap_or(Meta {
            seq,
            heads: Heads::new(),
            deleted: false,
            folded: 0,
            snapshot_bytes: 0,
            tail_bytes: 0,
            checkpoints: vec![],
        });
        meta.seq = seq;
        meta.heads = document.heads();
        meta.deleted = document.is_deleted();
        meta.tail_bytes += changes.len() as u64;
        self.pending_bytes += changes.len();
        let visible = was_visible || !meta.deleted;

        let rows = self.pending.docs.entry(key.clone()).or_insert_with(|| DocRows {
            meta: meta.clone(),
            snapshot: None,
            tail: vec![],
        });
        if meta.wants_fold() {
            let snapshot = document.save();
            meta.folded = seq;
            meta.snapshot_bytes = snapshot.len() as u64;
            meta.tail_bytes = 0;
            meta.push_checkpoint();
            rows.snapshot = Some(snapshot);
            rows.tail.clear();
        } else {
            rows.tail.push((seq, changes));
        }
        rows.meta = meta.clone();
        self.pending.changes += 1;
        if let Some(before) = &before {
            self.texts.remove(before.seq);
        }
        if let btree_map::Entry::Vacant(first) = self.undo.entry(key.clone()) {
            if let Some(before) = &before {
                self.shadows.insert(before.seq, key.clone());
            }
            first.insert(before);
        }
        self.index.set(key, meta);
        self.cache.insert_pinned(key, document, seq);
        Recorded { seq, visible }
    }

    /// Takes a document out of the cache, or loads it; the caller puts it back.
    fn open(&mut self, key: &DocKey) -> Result<(Document, bool), DocumentError> {
        let was_visible = self.index.get(key).is_some_and(|meta| !meta.deleted);
        if let Some(document) = self.cache.take(key) {
            return Ok((document, was_visible));
        }
        let document = match self.index.get(key) {
            Some(_) => self.load(key)?,
            None => Document::new(self.actor.clone()),
        };
        Ok((document, was_visible))
    }

    fn load(&self, key: &DocKey) -> Result<Document, DocumentError> {
        let snapshot = self.store.snapshot(key)?;
        let tail = self.store.tail(key, 0)?;
        Document::load(self.actor.clone(), snapshot.as_deref(), tail.iter().map(|(_, bytes)| &bytes[..]))
            .map_err(|source| DocumentError::Damaged { key: key.to_string(), source })
    }

    /// What the index said of a document as of the last commit.
    pub fn durable_meta(&self, key: &DocKey) -> Option<&Meta> {
        match self.undo_in_flight.get(key).or_else(|| self.undo.get(key)) {
            Some(before) => before.as_ref(),
            None => self.index.get(key),
        }
    }

    fn tail_pieces(&self, key: &DocKey, from: Seq) -> Result<Pieces, StoreReadError> {
        let rows = self.store.tail(key, from)?;
        Ok(merge_pieces(rows.into_iter().map(|(_, bytes)| bytes)))
    }
}

impl History for Documents {
    /// Of the durable version: what is not durable is not sent either. A document that cannot be read is not known;
    /// sending it will say why.
    fn recall(&self, key: &DocKey, heads: &Marks) -> Recall {
        let document = self.durable_meta(key).and_then(|_| self.load(key).ok());
        document.map_or(Recall::Behind(vec![]), |document| heads.recall(&document.history(), &document.heads()))
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

/// Joins small pieces up to the size of a frame.
fn merge_pieces(pieces: impl IntoIterator<Item = Vec<u8>>) -> Pieces {
    let mut merged: Pieces = Vec::new();
    for piece in pieces {
        match merged.last_mut() {
            Some(last) if last.len() + piece.len() <= limits::UPDATE_FRAME_BYTES => last.extend_from_slice(&piece),
            _ => merged.push(piece),
        }
    }
    merged
}
