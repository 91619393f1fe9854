//! All documents of a store: the index, the loaded ones, and the rows that are not durable yet.
//!
//! A change takes effect here at once and becomes durable later; until then the document is pinned in the
//! cache (the store would show the past) and [`Documents::undo`] can take it back.

mod local;
mod reads;
mod sending;
mod transact;
mod windows;

pub use reads::Reading;
pub use sending::Piece;

use std::collections::{BTreeMap, btree_map};

use super::batch::{Batch, DocRows, DocumentStore, Horizon, PeerId, StoreReadError, Stored, Whole};
use super::cache::DocumentCache;
use super::class::ClassMap;
use automerge::ActorId;

use self::windows::Windows;
use super::document::{ApplyError, Document, Incoming, LoadError, Merged, NOBODY, Stamp};
use super::index::{Index, Meta};
use super::key::DocKey;
use super::policy::{self, Policies};
use super::texts::TextCache;
use super::wire::{Heads, Seq};
use crate::limits;
use crate::node::{Plant, Plants};

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
    /// The policy of the collection forbids it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A change cannot be made.
    #[error("{key} cannot be written: {detail}")]
    Write {
        /// Which document.
        key: String,
        /// Why.
        detail: String,
    },
}

/// What a policy forbids a local writer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The document has a writer, and it is another node.
    #[error(
        "{key} keeps its latest version only and is written by node {writer}, this is node {this}: write it there, \
         or delete it first, which any node may do, and the next to write it becomes its writer"
    )]
    NotTheWriter {
        /// Which document.
        key: String,
        /// Endpoint id of its writer.
        writer: String,
        /// Endpoint id of this node.
        this: String,
    },
    /// The collection is immutable.
    #[error(
        "{key} is there already and collection {collection:?} is immutable: write a document with another id, or \
         change the policy with SetCollection"
    )]
    Immutable {
        /// Which document.
        key: String,
        /// Its collection.
        collection: String,
    },
    /// The collection is the node's own.
    #[error("collection {collection:?} holds the policies of collections: use SetCollection")]
    Reserved {
        /// Which one.
        collection: &'static str,
    },
}

/// A version that another one has taken the place of without knowing of it, because both created the document, or because
/// both began it anew while they were apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Superseded {
    /// Which document.
    pub key: DocKey,
    /// Endpoint id of its writer from now on; of a document that anybody may write, zeros.
    pub writer: PeerId,
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

/// What became of changes of a peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// All of them were known.
    Known,
    /// They belong to a version that what is here has taken the place of.
    Stale,
    /// They took effect.
    Recorded(Recorded),
    /// They began the document anew, and something had to be carried over, which the peer may not have.
    CarriedOver {
        /// The number of what the peer sent.
        begun: Seq,
        /// What was carried over.
        carried: Recorded,
    },
}

/// All documents of a store.
pub struct Documents {
    store: Box<dyn DocumentStore>,
    index: Index,
    cache: DocumentCache,
    actor: ActorId,
    /// Endpoint id of this node: the writer of what it begins anew.
    identity: PeerId,
    policies: Policies,
    horizon: Horizon,
    superseded: Vec<Superseded>,
    superseded_count: u64,
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
    /// Documents that are to be begun anew, and how many more should be.
    windows: Windows,
    plants: Plants,
}

impl Documents {
    /// Over a store with this content. `actor` must be new: it signs this run's changes.
    pub fn new(
        store: Box<dyn DocumentStore>,
        stored: Stored,
        actor: ActorId,
        classes: ClassMap,
        policies: Policies,
    ) -> Self {
        let index = Index::of(classes, stored.docs);
        let mut documents = Self {
            store,
            index,
            cache: DocumentCache::new([limits::DOCUMENT_CACHE_BYTES, limits::UNLOADED_CACHE_BYTES]),
            actor,
            identity: stored.identity,
            policies,
            horizon: stored.horizon,
            superseded: vec![],
            superseded_count: 0,
            last: stored.last,
            durable: stored.last,
            pending: Batch::default(),
            pending_bytes: 0,
            undo: BTreeMap::new(),
            undo_in_flight: BTreeMap::new(),
            in_flight_bytes: 0,
            shadows: BTreeMap::new(),
            shadows_in_flight: BTreeMap::new(),
            texts: TextCache::new(limits::TEXT_CACHE_BYTES),
            windows: Windows::default(),
            plants: Plants::default(),
        };
        documents.learn_policies();
        documents
    }

    /// With bugs.
    pub(super) fn planted(self, plants: Plants) -> Self {
        Self { plants, ..self }
    }

    /// What is known of every document; ahead of the disk by what is not durable yet.
    pub fn index(&self) -> &Index {
        &self.index
    }

    /// Endpoint id of this node.
    pub fn identity(&self) -> &PeerId {
        &self.identity
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

    /// The policies of collections.
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Versions of ours that another writer's took the place of since the last call, and how many there were since
    /// the start. At most [`limits::MAX_SUPERSEDED`] are named.
    pub fn take_superseded(&mut self) -> Vec<Superseded> {
        std::mem::take(&mut self.superseded)
    }

    /// How often another writer's version took the place of one of ours since the start.
    pub fn superseded_count(&self) -> u64 {
        self.superseded_count
    }

    /// Applies changes of a peer, which belong to this base of the document.
    pub fn apply(&mut self, key: &DocKey, base: Option<Stamp>, changes: &[u8]) -> Result<Taken, RemoteError> {
        let (mut document, was_visible) = self.open(key)?;
        let before = document.base().filter(|_| was_visible);
        let merged = Incoming::parse(changes, base).and_then(|incoming| document.merge(incoming));
        let written = match merged {
            Ok(Merged::Added(applied)) => Written::Change(applied.changes),
            Ok(Merged::Replaced(applied, carried)) => {
                let united = carried.as_ref().is_some_and(|carried| carried.united);
                self.note_superseded(key, before, document.base(), united);
                match carried.map(|carried| carried.changes).filter(|carried| !carried.is_empty()) {
                    Some(carried) if applied.count == 1 => {
                        let carried =
                            self.record(key, document, Written::Carried(applied.changes, carried), was_visible);
                        return Ok(Taken::CarriedOver { begun: carried.seq - 1, carried });
                    }
                    Some(_) => {
                        let whole = Written::Base(document.save());
                        let carried = self.record(key, document, whole, was_visible);
                        return Ok(Taken::CarriedOver { begun: carried.seq, carried });
                    }
                    None if applied.count == 1 => Written::Base(applied.changes),
                    None => Written::Base(document.save()),
                }
            }
            Ok(known @ (Merged::Known | Merged::Stale)) => {
                self.cache.insert(key, document, self.durable);
                return Ok(if known == Merged::Known { Taken::Known } else { Taken::Stale });
            }
            Err(source) => {
                self.cache.insert(key, document, self.durable);
                return Err(RemoteError::Apply { key: key.to_string(), source });
            }
        };
        Ok(Taken::Recorded(self.record(key, document, written, was_visible)))
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

    /// A number for something other than a change that must become durable.
    pub fn take_number(&mut self) -> Seq {
        self.last += 1;
        self.last
    }

    /// Whether nothing waits for the disk.
    pub fn is_all_durable(&self) -> bool {
        self.undo.is_empty() && self.undo_in_flight.is_empty()
    }

    /// What is to be made durable next; `None`: nothing, or only watermarks and not `even_watermarks`. At
    /// most one batch may be under way.
    pub fn take_batch(&mut self, even_watermarks: bool) -> Option<Batch> {
        let news = self.pending.changes > 0 || !self.pending.forgotten.is_empty() || !self.pending.receipts.is_empty();
        let worth_it = news || (even_watermarks && !self.pending.seen.is_empty());
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
        let mut has_policies = false;
        for (key, meta) in newest_first.into_iter().flatten() {
            has_policies |= key.collection() == policy::COLLECTION;
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
        if has_policies {
            self.learn_policies();
        }
    }

    /// Watermarks that go with the pending changes.
    pub fn pending_mut(&mut self) -> &mut Batch {
        &mut self.pending
    }

    fn record(&mut self, key: &DocKey, document: Document, written: Written, was_visible: bool) -> Recorded {
        self.last += if matches!(written, Written::Carried(..)) { 2 } else { 1 };
        let seq = self.last;
        let before = self.index.get(key).cloned();
        let before_base = before.as_ref().and_then(|meta| meta.base);
        let mut meta = before.clone().unwrap_or(Meta {
            seq,
            heads: Heads::new(),
            deleted: false,
            folded: 0,
            snapshot_bytes: 0,
            tail_bytes: 0,
            checkpoints: vec![],
            base: None,
        });
        meta.seq = seq;
        meta.heads = document.heads();
        meta.deleted = document.is_deleted();
        meta.base = document.base();
        let visible = was_visible || !meta.deleted;

        let rows = self.pending.docs.entry(key.clone()).or_insert_with(|| DocRows {
            meta: meta.clone(),
            snapshot: None,
            tail: vec![],
        });
        // What was folded last, with its number.
        let mut snapshot = None;
        let changes = match written {
            Written::Change(changes) => Some(changes),
            Written::Base(base) => {
                snapshot = Some((seq, base));
                None
            }
            Written::Carried(base, changes) => {
                snapshot = Some((seq - 1, base));
                Some(changes)
            }
        };
        if let Some((_, base)) = &snapshot {
            meta.checkpoints.clear();
            meta.snapshot_bytes = base.len() as u64;
            meta.tail_bytes = 0;
        }
        let mut row = None;
        if let Some(changes) = changes {
            self.pending_bytes += changes.len();
            meta.tail_bytes += changes.len() as u64;
            if meta.wants_fold(document.history_bytes()) {
                meta.push_checkpoint();
                snapshot = Some((seq, document.save()));
                meta.tail_bytes = 0;
            } else {
                row = Some((seq, changes));
            }
        }
        if let Some((folded, snapshot)) = snapshot {
            self.pending_bytes += snapshot.len();
            meta.folded = folded;
            meta.snapshot_bytes = snapshot.len() as u64;
            rows.snapshot = Some(snapshot);
            rows.tail.clear();
        }
        rows.tail.extend(row);
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
        let extent = self.extent_of(key, &document, before_base, seq);
        self.index.set(key, meta);
        self.index.set_extent(key, extent);
        if key.collection() == policy::COLLECTION {
            self.policies.learn(key.id(), document.render().as_deref());
        }
        self.cache.insert_pinned(key, document, seq);
        Recorded { seq, visible }
    }

    fn note_superseded(&mut self, key: &DocKey, before: Option<Stamp>, now: Option<Stamp>, united: bool) {
        let Some(now) = now else { return };
        // A delete is no second writer, nor is who begins a window with what is here in it.
        let is_ours = before.is_some_and(|before| {
            before.writer == self.identity
                && ![self.identity, NOBODY].contains(&now.writer)
                && before.incarnation == now.incarnation
        });
        if is_ours || united {
            self.superseded_count += 1;
            if self.superseded.len() < limits::MAX_SUPERSEDED {
                self.superseded.push(Superseded { key: key.clone(), writer: now.writer });
            }
        }
    }

    /// Takes a document out of the cache, or loads it; the caller puts it back.
    fn open(&mut self, key: &DocKey) -> Result<(Document, bool), DocumentError> {
        let was_visible = self.index.get(key).is_some_and(|meta| !meta.deleted);
        if let Some(document) = self.cache.take(key) {
            return Ok((document, was_visible));
        }
        let document = match self.index.get(key) {
            Some(meta) => self.load(key)?.with_base(meta.base),
            None => Document::new(self.actor.clone()),
        };
        Ok((document, was_visible))
    }

    fn load(&self, key: &DocKey) -> Result<Document, DocumentError> {
        let Whole { snapshot, tail } = self.store.whole(key)?;
        let only = match (&snapshot, &tail[..]) {
            (Some(snapshot), []) => Some(snapshot),
            (None, [(_, change)]) => Some(change),
            _ => None,
        };
        let head = self.index.get(key).filter(|meta| !meta.deleted && meta.heads.len() == 1).map(|meta| &meta.heads[0]);
        if let (Some(bytes), Some(head)) = (only, head)
            && let Some(document) = Document::of_one_change(self.actor.clone(), bytes, head)
        {
            return Ok(document);
        }
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
}

/// What a local write or a peer's changes left to store.
enum Written {
    /// Changes after those that are there.
    Change(Vec<u8>),
    /// A document begun anew, whole.
    Base(Vec<u8>),
    /// The same, and changes after it, with a number of their own.
    Carried(Vec<u8>, Vec<u8>),
}
