//! Bases: a document that begins anew, in one change, and takes the place of whatever it was before.
//!
//! A **base** is a change with nothing before it whose actor is a [`Stamp`]: who began the document anew, and how often that
//! had happened. Of two versions with different bases the one with the higher stamp is the document, and nothing of
//! the other is kept; versions with the same base merge as ever. So all replicas end with the same document in
//! whatever order they learn of it, and history before the base is gone for good.
//!
//! Rejected: the stamp beside the document (a version and its stamp could be told apart in a crash or a frame); the
//! stamp in a message or a field (an actor costs nothing more, each change has one).

use automerge::{ActorId, Change};
use serde::{Deserialize, Serialize};

use super::ApplyError;

/// First byte of the actor of a base: the version of this layout.
const LAYOUT: u8 = 1;
/// Bytes of an actor that is a stamp. Those of nodes have 12.
const ACTOR_BYTES: usize = 1 + 8 + 8 + 32;

/// Which beginning of a document this is. The order is that of the fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// How often the document was deleted: a delete wins over every version that did not know of it.
    pub incarnation: u64,
    /// How often it was written in this incarnation; 0: the tombstone that opens it.
    pub counter: u64,
    /// Endpoint id of the node that wrote it.
    pub writer: [u8; 32],
    /// The first 8 bytes of the hash of the change: decides if a writer that was restored from an old copy of its
    /// disk used a number twice.
    pub check: u64,
}

impl Stamp {
    /// The version after this one by a writer; `None`: the first of all.
    pub fn next(before: Option<Self>, writer: [u8; 32]) -> Self {
        let (incarnation, counter) = before.map_or((0, 0), |stamp| (stamp.incarnation, stamp.counter));
        Self { incarnation, counter: counter.saturating_add(1), writer, check: 0 }
    }

    /// The version after this one that is nobody's, made of so many changes: of two that do not know of each other, the one
    /// that more was written to is in force, so never one whose history is part of the other's.
    pub(super) fn next_window(before: Option<Self>, changes: u64) -> Self {
        let (incarnation, counter) = before.map_or((0, 0), |stamp| (stamp.incarnation, stamp.counter));
        Self { incarnation, counter: counter.saturating_add(changes.max(1)), writer: NOBODY, check: 0 }
    }

    /// The first version after the tombstones of all incarnations below this one were forgotten.
    pub fn after_forgotten(incarnation: u64, writer: [u8; 32]) -> Self {
        Self { incarnation, counter: 1, writer, check: 0 }
    }

    /// The tombstone over this one.
    pub fn next_tombstone(before: Option<Self>, writer: [u8; 32]) -> Self {
        let incarnation = before.map_or(0, |stamp| stamp.incarnation).saturating_add(1);
        Self { incarnation, counter: 0, writer, check: 0 }
    }

    /// The same with the check of the change that it became.
    pub(super) fn of_change(self, hash: &[u8; 32]) -> Self {
        Self { check: check(hash), ..self }
    }

    /// The actor that signs the change. Big-endian, so that actors are ordered as stamps are.
    pub(super) fn actor(&self) -> ActorId {
        let mut bytes = Vec::with_capacity(ACTOR_BYTES);
        bytes.push(LAYOUT);
        bytes.extend(self.incarnation.to_be_bytes());
        bytes.extend(self.counter.to_be_bytes());
        bytes.extend(self.writer);
        ActorId::from(bytes)
    }

    /// Endpoint id of who wrote the base that this actor signs; `None`: it signs none, or nobody's.
    pub(super) fn writer_of(actor: &ActorId) -> Option<[u8; 32]> {
        let bytes = actor.to_bytes();
        let is_base = bytes.len() == ACTOR_BYTES && bytes.first() == Some(&LAYOUT);
        bytes.last_chunk::<32>().filter(|writer| is_base && **writer != NOBODY).copied()
    }

    /// The stamp of a change, if it is a base.
    pub(super) fn of(change: &Change) -> Option<Self> {
        if !change.deps().is_empty() || change.seq() != 1 {
            return None;
        }
        let (layout, rest) = change.actor_id().to_bytes().split_first()?;
        let (incarnation, rest) = rest.split_first_chunk()?;
        let (counter, writer) = rest.split_first_chunk()?;
        (*layout == LAYOUT).then_some(Self {
            incarnation: u64::from_be_bytes(*incarnation),
            counter: u64::from_be_bytes(*counter),
            writer: writer.try_into().ok()?,
            check: check(&change.hash().0),
        })
    }
}

fn check(hash: &[u8; 32]) -> u64 {
    u64::from_le_bytes(*hash.first_chunk().expect("a hash is longer"))
}

/// The writer of a base that has none: everybody's edits build on it.
pub const NOBODY: [u8; 32] = [0; 32];

/// Changes of a peer, parsed but not yet compared with what is here.
#[derive(Debug, Clone)]
pub struct Incoming {
    pub(super) changes: Vec<Change>,
    /// The base that they belong to; `None`: the document's very first beginning.
    pub(super) base: Option<Stamp>,
}

impl Incoming {
    /// Parses the chunks of one update. `base` is what its frame says of changes that come without their base.
    pub fn parse(chunks: &[u8], base: Option<Stamp>) -> Result<Self, ApplyError> {
        let changes = super::incoming::parse(chunks)?;
        let mut bases = changes.iter().filter_map(Stamp::of);
        let own = bases.next();
        if let Some(second) = bases.find(|stamp| Some(*stamp) != own) {
            return Err(foreign(&second, "a second base"));
        }
        if let (Some(own), Some(told)) = (own, base)
            && own != told
        {
            return Err(foreign(&own, "another base than its frame names"));
        }
        Ok(Self { changes, base: own.or(base) })
    }

    /// Whose version it is.
    pub fn base(&self) -> Option<Stamp> {
        self.base
    }
}

/// Every change of a document with a base builds on it.
pub(super) fn check_roots(changes: &[Change], base: Stamp) -> Result<(), ApplyError> {
    let stray = changes.iter().find(|change| change.deps().is_empty() && Stamp::of(change) != Some(base));
    stray.map_or(Ok(()), |change| {
        Err(ApplyError::Inconsistent {
            actor: change.actor_id().to_hex_string(),
            sequence: change.seq(),
            reason: "it builds on nothing, but the document has a base".to_owned(),
        })
    })
}

fn foreign(stamp: &Stamp, operation: &'static str) -> ApplyError {
    ApplyError::Foreign { actor: stamp.actor().to_hex_string(), sequence: 1, operation }
}
