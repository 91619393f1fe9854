//! What one transaction makes durable.

use std::collections::{BTreeMap, BTreeSet};

use super::index::Meta;
use super::key::DocKey;
use super::receipts::{Receipt, ReceiptRow};
use super::session::SessionId;
use super::wire::{Seen, Seq};

/// An endpoint id.
pub type PeerId = [u8; 32];

/// Rows of one document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocRows {
    /// Replaces its meta row.
    pub meta: Meta,
    /// Replaces its snapshot, which contains every change numbered up to `meta.folded` (a base, too, is one), and removes
    /// the change rows up to there.
    pub snapshot: Option<Vec<u8>>,
    /// New change rows, ascending, all above `meta.folded`.
    pub tail: Vec<(Seq, Vec<u8>)>,
}

/// Everything that one transaction writes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch {
    /// Last sequence number in use after it.
    pub last: Seq,
    /// Changes in it.
    pub changes: usize,
    /// Documents.
    pub docs: BTreeMap<DocKey, DocRows>,
    /// Documents that are forgotten, rows and all; before `docs`, as they may have been written anew since.
    pub forgotten: BTreeSet<DocKey>,
    /// What is no longer known after it; `None`: no more than before.
    pub horizon: Option<Horizon>,
    /// Watermarks of peers; `None` forgets one.
    pub seen: BTreeMap<PeerId, Option<Seen>>,
    /// Rows of receipts, in the order in which they are to be written.
    pub receipts: Vec<ReceiptRow>,
}

/// A change, as its listeners need to know it once it is durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Event {
    pub key: DocKey,
    pub seq: Seq,
    /// The session it came by; `None`: written here.
    pub origin: Option<SessionId>,
    /// Whether an application can see the difference (an edit under a tombstone cannot be seen).
    pub visible: bool,
}

/// Reads what is durable.
pub trait DocumentStore: Send {
    /// The snapshot of a document, if it has one.
    fn snapshot(&self, key: &DocKey) -> Result<Option<Vec<u8>>, StoreReadError>;
    /// Change rows of a document from a number on, ascending.
    fn tail(&self, key: &DocKey, from: Seq) -> Result<Vec<(Seq, Vec<u8>)>, StoreReadError>;
    /// Number of the first change row of a document from a number on.
    fn first_in_tail(&self, key: &DocKey, from: Seq) -> Result<Option<Seq>, StoreReadError>;
    /// The snapshot and all change rows, of one moment.
    fn whole(&self, key: &DocKey) -> Result<Whole, StoreReadError> {
        Ok(Whole { snapshot: self.snapshot(key)?, tail: self.tail(key, 0)? })
    }
}

/// All that a store has of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Whole {
    /// Its snapshot, if it has one.
    pub snapshot: Option<Vec<u8>>,
    /// Its change rows, ascending.
    pub tail: Vec<(Seq, Vec<u8>)>,
}

/// The store could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("reading {what} of {key}: {detail}")]
pub struct StoreReadError {
    /// Which row.
    pub what: &'static str,
    /// Of which document.
    pub key: String,
    /// Why.
    pub detail: String,
}

/// What tombstones that were forgotten leave behind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Horizon {
    /// Above the incarnation of each of them: where documents begin that are created since, so that a tombstone that
    /// somebody else still has does not hide them.
    pub incarnation: u64,
    /// The highest of their numbers: who was told of nothing later must be told everything anew.
    pub through: Seq,
}

/// What a store holds when a node starts.
#[derive(Debug, Clone, Default)]
pub struct Stored {
    /// The store's name.
    pub epoch: super::wire::Epoch,
    /// The endpoint id that belongs to it: signs what the node writes of documents with one writer.
    pub identity: PeerId,
    /// Last sequence number in use.
    pub last: Seq,
    /// What is no longer known.
    pub horizon: Horizon,
    /// Meta rows.
    pub docs: Vec<(DocKey, Meta)>,
    /// Watermarks.
    pub seen: BTreeMap<PeerId, Seen>,
    /// What became of requests with an idempotency key, by number.
    pub receipts: Vec<(u64, Receipt)>,
}
