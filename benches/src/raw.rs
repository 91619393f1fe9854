//! What an edit weighs by itself: the bytes of the Automerge change that the node makes of it.

use automerge::ActorId;
use peat_node::core::document::{Document, JsonLimits, JsonObject};

use crate::Failure;

/// Bytes of an actor id, as the node draws them.
const ACTOR_BYTES: usize = 12;

/// A document and its edits.
pub(crate) struct History(Document);

impl History {
    /// A fresh document.
    pub(crate) fn new(json: &str) -> Result<Self, Failure> {
        let mut history = Self(Document::new(actor(1)));
        history.edit(json)?;
        Ok(history)
    }

    /// The same document in the hands of a node that did not make it.
    pub(crate) fn elsewhere(self) -> Result<Self, Failure> {
        let saved = self.0.save();
        Ok(Self(Document::load(actor(2), Some(&saved), std::iter::empty()).map_err(|e| e.to_string())?))
    }

    /// Bytes of the change that makes the document what `json` says.
    pub(crate) fn edit(&mut self, json: &str) -> Result<usize, Failure> {
        let json = JsonObject::parse(json, &JsonLimits::default()).map_err(|e| e.to_string())?;
        // A stamp of today: it is part of what travels.
        const NOW_S: i64 = 1_800_000_000;
        let change = self.0.put(&json, NOW_S).map_err(|e| e.to_string())?;
        Ok(change.map_or(0, |bytes| bytes.len()))
    }
}

fn actor(which: u8) -> ActorId {
    ActorId::from([which; ACTOR_BYTES].as_slice())
}
