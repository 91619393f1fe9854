//! One JSON document as an Automerge CRDT: minimal-diff writes, tombstones, hostile input.
//!
//! Pure: no clock, no randomness, no iteration over hash maps; time and actor are arguments. What is
//! stored, and what happens when replicas edit concurrently, is specified in `docs/data-model.md`;
//! in short:
//!
//! - JSON fields are keys of the Automerge **root** map, so two nodes that create the same document
//!   concurrently merge field by field. Objects are maps, arrays lists, strings registers.
//! - [`Document::put`] writes only what differs from the current state. An unchanged put is no change.
//! - Key order is content: a map whose order is not ascending carries a hint ([`keys`]).
//! - A delete is a change that sets a tombstone. It beats every edit that did not know of it. A put
//!   that knows it takes the tombstone away and starts a new *incarnation* with its own key space, so
//!   that edits of the old one that are still under way never show up in the new one.
//! - [`Document::apply`] takes bytes from anybody ([`incoming`]).
//!
//! **Cost.** Every loaded document takes 12 KB and more; [`Document::approximate_bytes`] is for a cache
//! that is bounded in bytes. Reading and diffing cost in proportion to the visible document, `apply`
//! and `load` in proportion to its history.
//!
//! **Rejected**: the whole document as one register (no field merge); strings as `Text` (a register is
//! what a status field means, and a tenth of the operations); fields below a map in the root (two
//! creators would leave two maps); removing the tombstone without a new incarnation (a late edit of
//! the deleted document would mix into its successor).

mod author;
mod base;
mod columns;
mod conflicts;
mod first;
mod graft;
mod history;
mod incoming;
mod json;
mod keys;
mod limits;
mod list_diff;
mod merge_patch;
mod render;
mod scalar;
mod spare;
#[cfg(test)]
mod tests;
mod view;
mod window;
mod write;

use std::sync::OnceLock;

use automerge::transaction::{CommitOptions, Transactable, Transaction};
use automerge::{Automerge, AutomergeError, ROOT, ReadDoc, ScalarValue, Value};

use self::first::FirstChange;
use self::incoming::ActorIndex;
use self::keys::{INCARNATION_KEY, KeySpace, TOMBSTONE_KEY};
use self::spare::Spare;
use self::view::MapNode;

pub use automerge::ActorId;

pub use self::author::{ACTOR_BYTES, Author, actor_of};
pub use self::base::{Incoming, NOBODY, Stamp};
pub use self::conflicts::{Conflict, ConflictBounds, Contender};
pub use self::incoming::ApplyError;
pub use self::json::{JsonError, JsonLimits, JsonObject};
pub use self::limits::{DEFAULT_MAX_JSON_BYTES, MAX_APPLY_BYTES, MAX_DEPTH};
pub use self::merge_patch::PatchError;
pub use self::window::Carried;

/// From so many bytes of history on a document is not copied for each change of a peer. Below, a copy costs little, and
/// keeping one would cost each of many small documents its memory twice.
const SPARE_FROM_BYTES: usize = 16 << 10;

/// A document: loaded, or one change that nobody has asked more of than its bytes.
#[derive(Debug, Clone)]
pub struct Document {
    actor: ActorId,
    /// All there is, if it is one change that was made here.
    first: Option<FirstChange>,
    /// Made when first needed.
    loaded: OnceLock<Box<Automerge>>,
    /// Made when first needed: only `apply` does.
    index: Option<ActorIndex>,
    /// Kept by `apply` if the history is long.
    spare: Option<Box<Spare>>,
    /// Uncompressed bytes of the history, roughly, for [`Document::approximate_bytes`].
    history_bytes: usize,
    /// Whether it was changed since it was loaded: what grows has room for twice as much.
    grown: bool,
    /// The base that the history begins with; `None`: it was never begun anew.
    base: Option<Stamp>,
}

/// Hashes of the newest changes of a document, ascending: same heads, same document.
pub type Heads = Vec<[u8; 32]>;

/// What [`Document::apply`] added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applied {
    /// The raw bytes of exactly the new changes, in causal order: what to store and to pass on.
    pub changes: Vec<u8>,
    /// How many changes these are.
    pub count: usize,
}

/// What became of changes of a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Merged {
    /// All of them were known.
    Known,
    /// They were added to the history.
    Added(Applied),
    /// They begin the document anew and have taken the place of what was here: all of their changes, and those that carry
    /// over what was here.
    Replaced(Applied, Option<Carried>),
    /// They belong to a version that what is here has taken the place of.
    Stale,
}

/// Whether a document is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    /// Nobody ever wrote it.
    Unwritten,
    /// It has content, if only `{}`.
    Live,
    /// A delete is in force.
    Deleted,
}

/// A delete that is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deletion {
    /// Who deleted; `None`: no node of this kind.
    pub by: Option<Author>,
    /// When, in milliseconds since the epoch, by the clock of who deleted.
    pub at_ms: i64,
}

/// A local write that Automerge refused. Not reachable with a [`JsonObject`]; kept as an error so
/// that a surprise costs one request.
#[derive(Debug, thiserror::Error)]
#[error("cannot write the document: {0}")]
pub struct WriteError(#[from] AutomergeError);

/// Stored bytes that are not a document.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The snapshot.
    #[error("stored snapshot is damaged: {reason}")]
    Snapshot {
        /// What Automerge said.
        reason: String,
    },
    /// The changes after it.
    #[error("stored changes do not fit: {0}")]
    Tail(#[from] ApplyError),
}

impl Document {
    /// A document nobody wrote yet. `actor` must not have been used by another process life: an actor
    /// that reuses a sequence number corrupts merges.
    pub fn new(actor: ActorId) -> Self {
        Self {
            actor,
            first: None,
            loaded: OnceLock::new(),
            index: None,
            spare: None,
            history_bytes: 0,
            grown: false,
            base: None,
        }
    }

    fn of(doc: Automerge) -> Self {
        let mut document = Self::new(doc.get_actor().clone());
        document.set(doc);
        document
    }

    fn doc(&self) -> &Automerge {
        self.loaded.get_or_init(|| {
            let doc = self.first.as_ref().map_or_else(Automerge::new, FirstChange::load);
            Box::new(doc.with_actor(self.actor.clone()))
        })
    }

    /// To change it.
    fn doc_mut(&mut self) -> &mut Automerge {
        self.doc();
        self.first = None;
        self.loaded.get_mut().expect("it was just loaded")
    }

    fn set(&mut self, doc: Automerge) {
        self.first = None;
        self.spare = None;
        self.grown = false;
        self.loaded = OnceLock::from(Box::new(doc));
    }

    /// Whether it takes the memory of its bytes only.
    pub(super) fn is_loaded(&self) -> bool {
        self.loaded.get().is_some()
    }

    /// Loads what [`Document::save`] wrote and the raw changes that came after it, in causal order.
    pub fn load<'a>(
        actor: ActorId,
        snapshot: Option<&[u8]>,
        tail: impl Iterator<Item = &'a [u8]>,
    ) -> Result<Self, LoadError> {
        let mut history_bytes = 0;
        let mut doc = Automerge::new();
        if let Some(bytes) = snapshot {
            doc = incoming::guarded(|| Automerge::load(bytes).map_err(|error| error.to_string()))
                .and_then(|loaded| loaded)
                .map_err(|reason| LoadError::Snapshot { reason })?;
            // Not its size in the file: equal values pack a hundredfold.
            history_bytes += incoming::unpacked_bytes(bytes);
        }
        let mut changes = Vec::new();
        for bytes in tail {
            history_bytes += bytes.len();
            changes.extend(incoming::parse(bytes)?);
        }
        // All in one call: Automerge's cost is per call, not per change.
        let new = incoming::select_new(&doc, changes)?;
        if !new.is_empty() {
            incoming::guarded(|| doc.apply_changes(new).map_err(|error| error.to_string()))
                .and_then(|applied| applied)
                .map_err(|reason| ApplyError::Rejected { reason })?;
        }
        Ok(Self { history_bytes, ..Self::of(doc.with_actor(actor)) })
    }

    /// A live document that is one change, from the bytes and the hash that were stored; `None`: it is something else, which
    /// only [`Document::load`] can tell.
    pub fn of_one_change(actor: ActorId, bytes: &[u8], head: &[u8; 32]) -> Option<Self> {
        let mut document = Self::new(actor);
        document.start(FirstChange::stored(bytes, head)?);
        Some(document)
    }

    /// The same document, said to begin with this base: who stores a document keeps its base beside it.
    pub fn with_base(self, base: Option<Stamp>) -> Self {
        Self { base, ..self }
    }

    /// The base that the history begins with; `None`: it was never begun anew.
    pub fn base(&self) -> Option<Stamp> {
        self.base
    }

    /// Begins the document anew with this content: returns the one change that it consists of now. The same stamp
    /// and content give the same bytes everywhere. `stamp.check` is filled in.
    pub fn begin(&mut self, stamp: Stamp, json: &JsonObject) -> Result<Vec<u8>, WriteError> {
        if json.is_empty() {
            // An empty document needs an operation to exist at all.
            return self.begin_with(stamp, None, |tx| tx.put(ROOT, INCARNATION_KEY, 0u64));
        }
        let first = FirstChange::encode(&stamp.actor(), 0, json);
        let base = Some(stamp.of_change(first.hash()));
        *self = Self::new(self.actor.clone()).with_base(base);
        Ok(self.start(first))
    }

    fn start(&mut self, first: FirstChange) -> Vec<u8> {
        let change = first.bytes().to_vec();
        self.history_bytes = change.len();
        self.loaded = OnceLock::new();
        self.spare = None;
        self.grown = false;
        self.first = Some(first);
        change
    }

    /// Begins the document anew as deleted. `time_ms`: milliseconds since the epoch, kept in the tombstone.
    pub fn begin_deleted(&mut self, stamp: Stamp, time_ms: i64) -> Result<Vec<u8>, WriteError> {
        self.begin_with(stamp, None, |tx| tx.put(ROOT, TOMBSTONE_KEY, ScalarValue::Timestamp(time_ms)))
    }

    fn begin_with(
        &mut self,
        stamp: Stamp,
        message: Option<String>,
        fill: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<Vec<u8>, WriteError> {
        let mut begun = Self::new(stamp.actor());
        let commit = CommitOptions { message, ..CommitOptions::default().with_time(0) };
        let change = begun.write(commit, fill)?.expect("a base has operations");
        let hash = begun.doc().get_heads()[0].0;
        let doc = std::mem::take(begun.doc_mut()).with_actor(self.actor.clone());
        *self = Self { history_bytes: change.len(), base: Some(stamp.of_change(&hash)), ..Self::of(doc) };
        Ok(change)
    }

    /// Makes the document equal to `json` by the smallest change, and returns that change as raw bytes,
    /// or `None` when it is equal already. `time_s`: seconds since the epoch, recorded in the change.
    pub fn put(&mut self, json: &JsonObject, time_s: i64) -> Result<Option<Vec<u8>>, WriteError> {
        self.put_as(json, CommitOptions::default().with_time(time_s))
    }

    fn put_as(&mut self, json: &JsonObject, commit: CommitOptions) -> Result<Option<Vec<u8>>, WriteError> {
        let presence = self.presence();
        if presence == Presence::Unwritten && !json.is_empty() {
            let first = FirstChange::encode(&self.actor, commit.time.unwrap_or_default(), json);
            return Ok(Some(self.start(first)));
        }
        if self.first.as_ref().is_some_and(|first| first.says(json) == Some(true)) {
            return Ok(None);
        }
        let incarnation = self.incarnation();
        if presence == Presence::Live {
            let space = KeySpace::of_incarnation(incarnation);
            let current = self.root(&space);
            return self.write(commit, |tx| write::update_map(tx, &current, &json.0, &space));
        }
        let stale: Vec<String> = self.doc().keys(ROOT).filter(|key| key != INCARNATION_KEY).collect();
        self.write(commit, |tx| {
            for key in &stale {
                tx.delete(ROOT, key.as_str())?;
            }
            let next = match presence {
                Presence::Deleted => incarnation.saturating_add(1),
                _ => incarnation,
            };
            // An empty document needs an operation to exist at all.
            if next > 0 || json.is_empty() {
                tx.put(ROOT, INCARNATION_KEY, next)?;
            }
            write::fill_map(tx, &ROOT, &json.0, &KeySpace::of_incarnation(next))
        })
    }

    /// Deletes the document: returns the change, or `None` when there is nothing to delete. `time_ms`:
    /// milliseconds since the epoch, kept in the tombstone for those who collect them.
    pub fn delete(&mut self, time_ms: i64) -> Result<Option<Vec<u8>>, WriteError> {
        self.delete_as(time_ms, CommitOptions::default().with_time(time_ms.div_euclid(1000)))
    }

    fn delete_as(&mut self, time_ms: i64, commit: CommitOptions) -> Result<Option<Vec<u8>>, WriteError> {
        if self.presence() != Presence::Live {
            return Ok(None);
        }
        let visible: Vec<String> = self.doc().keys(ROOT).filter(|key| key != INCARNATION_KEY).collect();
        self.write(commit, |tx| {
            for key in &visible {
                tx.delete(ROOT, key.as_str())?;
            }
            tx.put(ROOT, TOMBSTONE_KEY, ScalarValue::Timestamp(time_ms))
        })
    }

    /// Applies changes of a peer: raw changes in any order and snapshots, of which it may know some.
    /// `None` when it knows them all. On an error the document is as before.
    pub fn apply(&mut self, chunks: &[u8]) -> Result<Option<Applied>, ApplyError> {
        self.add(incoming::parse(chunks)?)
    }

    /// Takes changes of a peer that belong to the same beginning of the document, or to a later or an earlier one. On an
    /// error the document is as before.
    pub fn merge(&mut self, incoming: Incoming) -> Result<Merged, ApplyError> {
        let Incoming { changes, base } = incoming;
        if base < self.base {
            return Ok(Merged::Stale);
        }
        if let Some(base) = base {
            base::check_roots(&changes, base)?;
        }
        if base == self.base {
            return Ok(self.add(changes)?.map_or(Merged::Known, Merged::Added));
        }
        let mut begun = Self::new(self.actor.clone()).with_base(base);
        Ok(match begun.add(changes)? {
            Some(applied) => {
                let carried = window::carry(self, &mut begun)?;
                *self = begun;
                Merged::Replaced(applied, carried)
            }
            None => Merged::Known,
        })
    }

    fn add(&mut self, changes: Vec<automerge::Change>) -> Result<Option<Applied>, ApplyError> {
        let new = incoming::select_new(self.doc(), changes)?;
        if new.is_empty() {
            return Ok(None);
        }
        let index = self.index.take().unwrap_or_else(|| ActorIndex::of(self.doc()));
        let judged = incoming::judge(self.doc(), &index, &new);
        self.index = Some(index);
        let index = judged?;
        let spare = self.spare.take().unwrap_or_else(|| Box::new(Spare::of(self.doc())));
        if let Err(error) = incoming::absorb(self.doc_mut(), &new) {
            // They were all applied before, in this order.
            let doc = spare.restore().map_err(|reason| ApplyError::Rejected { reason })?;
            self.loaded = OnceLock::from(Box::new(doc));
            self.spare = Some(spare).filter(|_| self.history_bytes >= SPARE_FROM_BYTES);
            return Err(error);
        }
        self.index = Some(index);
        self.spare = Some(spare).filter(|_| self.history_bytes >= SPARE_FROM_BYTES);
        self.note(&new);
        let changes: Vec<u8> = new.iter().flat_map(|change| change.raw_bytes().iter().copied()).collect();
        self.history_bytes += changes.len();
        self.grown = true;
        Ok(Some(Applied { changes, count: new.len() }))
    }

    /// Notes changes that it has now, to go back to them.
    fn note(&mut self, changes: &[automerge::Change]) {
        self.spare = self.spare.take().and_then(|spare| spare.with(changes)).map(Box::new);
    }

    /// Whether it is there.
    pub fn presence(&self) -> Presence {
        if !self.is_loaded() {
            return if self.first.is_some() { Presence::Live } else { Presence::Unwritten };
        }
        if self.doc().is_empty() {
            Presence::Unwritten
        } else if matches!(self.doc().get(ROOT, TOMBSTONE_KEY), Ok(None)) {
            Presence::Live
        } else {
            Presence::Deleted
        }
    }

    /// Whether a delete is in force.
    pub fn is_deleted(&self) -> bool {
        self.presence() == Presence::Deleted
    }

    /// When it was deleted, in milliseconds since the epoch by the clock of who did; of several, the latest. `None`: no
    /// delete is in force.
    pub fn deleted_at_ms(&self) -> Option<i64> {
        let tombstones = self.doc().get_all(ROOT, TOMBSTONE_KEY).ok()?;
        let times = tombstones.iter().filter_map(|(value, _)| match value {
            Value::Scalar(scalar) => match scalar.as_ref() {
                ScalarValue::Timestamp(time_ms) => Some(*time_ms),
                _ => None,
            },
            Value::Object(_) => None,
        });
        times.max()
    }

    /// Whether it has content, if only `{}`.
    pub fn exists(&self) -> bool {
        self.presence() == Presence::Live
    }

    /// The delete in force, if there is one; of several concurrent ones the latest operation.
    pub fn deletion(&self) -> Option<Deletion> {
        let (value, id) = self.doc().get(ROOT, TOMBSTONE_KEY).ok()??;
        let at_ms = match value {
            Value::Scalar(scalar) => scalar.as_i64().unwrap_or(0),
            Value::Object(_) => 0,
        };
        Some(Deletion { by: conflicts::author_of(&id), at_ms })
    }

    /// Compact JSON, or `None` when there is no live document.
    pub fn render(&self) -> Option<String> {
        if !self.exists() {
            return None;
        }
        let mut out = String::new();
        render::render_map(&self.root(&KeySpace::of_incarnation(self.incarnation())), &mut out);
        Some(out)
    }

    /// Whether it shows exactly this, in this order.
    pub fn shows(&self, json: &JsonObject) -> bool {
        let told = self.first.as_ref().and_then(|first| first.says(json));
        told.unwrap_or_else(|| self.render().is_some_and(|text| text == json.to_string()))
    }

    /// Bytes of the history when it is not packed, roughly: what saving it, or loading it, costs grows with them.
    pub fn history_bytes(&self) -> usize {
        self.history_bytes
    }

    /// The whole document with its history, compressed: input of [`Document::load`] and
    /// [`Document::apply`].
    pub fn save(&self) -> Vec<u8> {
        self.doc().save()
    }

    /// Whether a peer takes `snapshot` (from [`Document::save`], or a base) in [`Document::apply`]. A long history
    /// packs so well that a small file can unpack to more than anybody accepts from a peer; its
    /// [`Document::changes_since`] the beginning travel all the same. Costs inflating it once.
    pub fn travels_whole(snapshot: &[u8]) -> bool {
        incoming::unpacks_within_limits(snapshot)
    }

    /// Estimate of the memory it takes, in bytes; cheap.
    ///
    /// Measured with a counting allocator (`tests/memory.rs`): 7 to 18 KiB for a small document, 125 bytes a change, 15 to
    /// 40 an operation besides its value, and the history once more when it grew. Not less than 0.9 of the truth; with
    /// long histories of short values up to three times as much, and more for a document that was never loaded.
    pub fn approximate_bytes(&self) -> usize {
        const SMALL_BYTES: usize = 16 * 1024;
        const CHANGE_BYTES: usize = 128;
        const OPERATION_BYTES: usize = 32;
        let Some(doc) = self.loaded.get() else { return size_of::<Self>() + self.history_bytes };
        let stats = doc.stats();
        let tight = SMALL_BYTES
            + CHANGE_BYTES * stats.num_changes as usize
            + OPERATION_BYTES * stats.num_ops as usize
            + self.history_bytes;
        let room = if self.grown { self.history_bytes } else { 0 };
        let spare = if self.spare.is_some() { tight } else { 0 };
        tight + room + spare
    }

    /// The largest visible number: concurrent re-creations may leave several.
    fn incarnation(&self) -> u64 {
        let registers = self.doc().get_all(ROOT, INCARNATION_KEY).unwrap_or_default();
        let numbers = registers.iter().filter_map(|(value, _)| match value {
            Value::Scalar(scalar) => scalar.as_u64(),
            Value::Object(_) => None,
        });
        numbers.max().unwrap_or(0)
    }

    fn root(&self, space: &KeySpace) -> MapNode {
        view::read_map(self.doc(), vec![ROOT], space, 1)
    }

    fn write(
        &mut self,
        commit: CommitOptions,
        edit: impl FnOnce(&mut Transaction<'_>) -> Result<(), AutomergeError>,
    ) -> Result<Option<Vec<u8>>, WriteError> {
        let mut tx = self.doc_mut().transaction();
        if let Err(error) = edit(&mut tx) {
            tx.rollback();
            return Err(error.into());
        }
        let (hash, _) = tx.commit_with(commit);
        let Some(hash) = hash else { return Ok(None) };
        let change = self.doc().get_change_by_hash(&hash).expect("the change was just committed");
        if let Some(index) = &mut self.index {
            index.record(change.actor_id(), change.seq(), change.max_op());
        }
        self.history_bytes += change.raw_bytes().len();
        self.grown = true;
        let bytes = change.raw_bytes().to_vec();
        self.note(&[change]);
        Ok(Some(bytes))
    }
}
