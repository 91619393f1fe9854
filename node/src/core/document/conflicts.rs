//! Concurrent values: what a place in the document was written to by nodes that did not know of each other.
//!
//! A document shows one of them, the **winner**: the operation with the greatest counter, and of equal ones that of the
//! greatest actor id. The counter of an operation is one more than the largest that its author knew in the document, so
//! the winner is the same everywhere, never older than what it beats, and no clock is asked. The others stay visible here
//! until somebody writes the place again.
//!
//! Objects that were created concurrently under one key are no conflict: they are read as their union. Neither are
//! values that are equal.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use automerge::{ActorId, Automerge, ObjId};

use super::Document;
use super::author::Author;
use super::keys::KeySpace;
use super::render::render_node;
use super::view::{Candidate, MapNode, Node, candidates_of, resolve};

/// A place with more than one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// JSON pointer (RFC 6901).
    pub path: String,
    /// At least two that differ, the winner first.
    pub values: Vec<Contender>,
}

/// One of several concurrent values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contender {
    /// Compact JSON.
    pub json: String,
    /// Who wrote it; `None`: no node of this kind.
    pub by: Option<Author>,
    /// When, in milliseconds since the epoch, by the author's clock and to the second.
    pub at_ms: i64,
}

/// How much is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConflictBounds {
    /// Conflicts.
    pub conflicts: usize,
    /// Values that are looked at of one conflict, the greatest first. At least one.
    pub values: usize,
    /// Bytes of all paths and values: a conflict may be within a value of another, over and over.
    pub bytes: usize,
}

impl Document {
    /// The first conflicts of a live document, in the order of the document, as many as `bounds` allow, and whether there
    /// are more. Costs a look-up of every visible field and element and, if there is a conflict, of the whole history.
    pub fn conflicts(&self, bounds: ConflictBounds) -> (Vec<Conflict>, bool) {
        if !self.exists() {
            return (vec![], false);
        }
        let space = KeySpace::of_incarnation(self.incarnation());
        let path = String::new();
        let mut walk = Walk { doc: self.doc(), times: None, bounds, found: vec![], full: false, cut: false, path };
        walk.map(&self.root(&space), &space, 1);
        (walk.found, walk.full || walk.cut)
    }
}

/// Who made an operation.
pub(super) fn author_of(id: &ObjId) -> Option<Author> {
    match id {
        ObjId::Root => None,
        ObjId::Id(_, actor, _) => Author::of(actor),
    }
}

struct Walk<'a> {
    doc: &'a Automerge,
    /// Time of each change in seconds, by its actor and last operation; made when first needed.
    times: Option<BTreeMap<(ActorId, u64), i64>>,
    /// What is left of them.
    bounds: ConflictBounds,
    found: Vec<Conflict>,
    /// The next conflict is beyond the bounds: the walk is over.
    full: bool,
    /// Values of some conflict were left out.
    cut: bool,
    /// Where the walk is.
    path: String,
}

impl Walk<'_> {
    fn map(&mut self, map: &MapNode, space: &KeySpace, depth: usize) {
        for field in &map.fields {
            let stored = space.encode(&field.key);
            let holders = field.holders.iter().map(|&holder| &map.parts[holder]);
            let candidates = holders.flat_map(|part| candidates_of(self.doc, part, stored.as_ref().into())).collect();
            self.place(&pointer_token(&field.key), &field.node, candidates, depth);
        }
    }

    fn place(&mut self, token: &str, node: &Node, candidates: Vec<Candidate>, depth: usize) {
        if self.full {
            return;
        }
        let parent = self.path.len();
        let _ = write!(self.path, "/{token}");
        if candidates.len() > 1 {
            self.contest(node, candidates, depth);
        }
        match node {
            Node::Scalar(_) => {}
            Node::Map(map) => self.map(map, &KeySpace::of_incarnation(0), depth + 1),
            Node::List(list) => {
                for (index, item) in list.items.iter().enumerate() {
                    let candidates = candidates_of(self.doc, &list.id, index.into());
                    self.place(&index.to_string(), item, candidates, depth + 1);
                }
            }
        }
        self.path.truncate(parent);
    }

    fn contest(&mut self, winner: &Node, mut candidates: Vec<Candidate>, depth: usize) {
        candidates.sort_by(|a, b| b.id.cmp(&a.id));
        self.cut |= candidates.len() > self.bounds.values;
        candidates.truncate(self.bounds.values);
        let united = candidates[0].is_map();
        let mut values: Vec<Contender> = Vec::new();
        for (rank, candidate) in candidates.into_iter().enumerate() {
            if rank > 0 && united && candidate.is_map() {
                continue;
            }
            let (by, at_ms) = (author_of(&candidate.id), self.time_of(&candidate.id));
            let mut json = String::new();
            match rank {
                0 => render_node(winner, &mut json),
                _ => render_node(&resolve(self.doc, vec![candidate], depth), &mut json),
            }
            if values.iter().all(|value| value.json != json) {
                values.push(Contender { json, by, at_ms });
            }
        }
        if values.len() < 2 {
            return;
        }
        let bytes = self.path.len() + values.iter().map(|value| value.json.len()).sum::<usize>();
        match (self.bounds.conflicts.checked_sub(1), self.bounds.bytes.checked_sub(bytes)) {
            (Some(conflicts), Some(bytes)) => {
                self.bounds = ConflictBounds { conflicts, bytes, ..self.bounds };
                self.found.push(Conflict { path: self.path.clone(), values });
            }
            _ => self.full = true,
        }
    }

    fn time_of(&mut self, id: &ObjId) -> i64 {
        let ObjId::Id(counter, actor, _) = id else { return 0 };
        let doc = self.doc;
        let times = self.times.get_or_insert_with(|| {
            let changes = doc.get_changes_meta(&[]).into_iter();
            changes.map(|change| ((change.actor.into_owned(), change.max_op), change.timestamp)).collect()
        });
        let change = times.range((actor.clone(), *counter)..=(actor.clone(), u64::MAX)).next();
        change.map_or(0, |(_, seconds)| seconds.saturating_mul(1000))
    }
}

/// A key as a token of a JSON pointer.
fn pointer_token(key: &str) -> String {
    key.replace('~', "~0").replace('/', "~1")
}
