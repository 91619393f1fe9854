//! Subscriptions: the current documents, then their changes.
//!
//! The store numbers its changes, and the index lists every document at the number of its newest one. A subscription is
//! a position in that list: everything up to it has been told. A document that changes moves to the end of the list, so
//! a slow reader finds the latest version of each and nothing queues up; the snapshot is the same walk from the
//! beginning; and the position, given to the reader as a [`Cursor`] with each event, is all that a later subscription
//! needs to go on, also after a restart.
//!
//! Two things are added to the position, both bounded by [`limits::MAX_WATCH_PLACES`]:
//!
//! - **Places.** A document that changes faster than its reader reads would move to the end for ever. One whose durable
//!   but untold version is replaced keeps the place of that version.
//! - **Told ahead.** A document told at such a place is told in a version whose number lies ahead of the position. The
//!   number is remembered, and is part of the cursor, so that the version is not told again.
//!
//! Only what is durable is walked over or told. A document that has a newer version on its way to the disk is walked
//! over at its durable number, rendered as it is now, and held until that is durable.
//!
//! **Rejected**: a set of changed documents for each subscription (a key a document and reader in memory, and nothing
//! to resume from); a queue of events (grows, or loses some).

mod cursor;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{DocumentError, Documents};
use super::filter::Filter;
use super::key::DocKey;
use super::policy;
use super::version::Version;
use super::wire::{Epoch, Seq};
use crate::limits;
use view::View;

pub use cursor::{Cursor, CursorError};

/// Names a subscription, or a wait for a version, within one run of a node.
pub type WatchId = u64;

/// What a reader wants to be told of.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Selection {
    /// Collections; none: all.
    pub collections: BTreeSet<String>,
    /// Beginning of the ids.
    pub doc_id_prefix: String,
    /// Condition on the content.
    pub filter: Option<Filter>,
}

impl Selection {
    /// Whether a document may be of interest, as far as its key says.
    pub fn covers(&self, key: &DocKey) -> bool {
        let collections = &self.collections;
        let is_covered = match collections.is_empty() {
            // Who asks for everything means what applications wrote.
            true => key.collection() != policy::COLLECTION,
            false => collections.contains(key.collection()),
        };
        is_covered && key.id().starts_with(&self.doc_id_prefix)
    }

    /// Whether content is of interest.
    pub fn matches(&self, text: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| filter.matches(text))
    }

    /// Tells one selection from another: a cursor is worth something only to the one that it was made with.
    pub fn fingerprint(&self) -> [u8; 4] {
        let parts = (&self.collections, &self.doc_id_prefix, &self.filter);
        let bytes = postcard::to_stdvec(&parts).expect("a selection has no unserialisable types");
        *blake3::hash(&bytes).as_bytes().first_chunk().expect("a hash is longer")
    }
}

/// What a reader is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// A document has this text now, and this version.
    Upsert {
        /// Which document.
        key: DocKey,
        /// Its text.
        text: String,
        /// Its version.
        version: Version,
    },
    /// A document is gone.
    Delete {
        /// Which document.
        key: DocKey,
        /// Its version.
        version: Version,
    },
    /// A document no longer matches the filter.
    Left {
        /// Which document.
        key: DocKey,
        /// Its version.
        version: Version,
    },
    /// Everything that was there when the subscription began has been told.
    SnapshotEnd,
    /// The cursor is of no use: the stream starts over.
    Reset,
}

impl Told {
    /// The document that it is about.
    pub fn key(&self) -> Option<&DocKey> {
        match self {
            Self::Upsert { key, .. } | Self::Delete { key, .. } | Self::Left { key, .. } => Some(key),
            Self::SnapshotEnd | Self::Reset => None,
        }
    }
}

/// What is told, and where a reader that has taken it goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// What is told.
    pub told: Told,
    /// Where to go on.
    pub cursor: Cursor,
}

/// What comes next for a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(WatchEvent),
    /// Documents were passed over, and there may be more: ask again at once, but let others have a turn.
    More,
    /// Nothing until the subscription is woken.
    Idle,
}

/// A change of a document that just became durable, all its changes in one commit as one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Durable {
    /// Number of the version that was durable before; 0: none was.
    pub before: Seq,
    /// Number of the version that is durable now.
    pub seq: Seq,
    /// Whether an application can see the difference.
    pub visible: bool,
}

/// What the next document of the walk is told as, once it is durable.
#[derive(Debug)]
struct Held {
    /// Where in the walk it was found.
    place: Seq,
    key: DocKey,
    /// Number of the version that is told.
    seq: Seq,
    /// Nothing: the reader need not know.
    told: Option<Told>,
}

/// Where the walk has come to.
enum Found {
    /// The next document, and its place.
    Document(Seq, DocKey),
    /// Nothing yet.
    Passed,
    /// Nothing up to the last durable number.
    End,
}

/// One subscription.
#[derive(Debug)]
pub struct Watch {
    epoch: Epoch,
    selection: Selection,
    fingerprint: [u8; 4],
    /// Every change of interest numbered up to here has been told.
    through: Seq,
    /// Numbers above `through` that have been told.
    ahead: BTreeSet<Seq>,
    /// Places that documents keep, all above `through`.
    places: BTreeMap<Seq, DocKey>,
    placed: BTreeMap<DocKey, Seq>,
    /// Most of `ahead` and `places` together.
    room: usize,
    /// Tombstones up to here are not told: the reader began after them.
    born: Seq,
    /// The snapshot ends when everything up to here has been told; `None`: it has ended.
    snapshot: Option<Seq>,
    reset: bool,
    /// What the reader has, if there is a filter.
    view: Option<View>,
    held: Option<Held>,
}

impl Watch {
    /// Begins at a cursor, or at the beginning. A cursor of another store, of another selection, or of a time that the
    /// store does not reach back to or has not come to, starts over.
    pub fn new(
        selection: Selection,
        markers: bool,
        cursor: Option<Cursor>,
        epoch: Epoch,
        documents: &Documents,
    ) -> Self {
        let fingerprint = selection.fingerprint();
        let durable = documents.durable();
        let is_of_use = |cursor: &Cursor| {
            cursor.is_of(&epoch, &fingerprint)
                && (documents.resumable_from()..=durable).contains(&cursor.through)
                && cursor.ahead.last().is_none_or(|last| *last <= durable)
        };
        let reset = cursor.as_ref().is_some_and(|cursor| !is_of_use(cursor));
        // One that has been told nothing yet begins at the beginning, too.
        let cursor = cursor.filter(|cursor| is_of_use(cursor) && cursor.through > 0);
        let view = selection.filter.as_ref().map(|_| if cursor.is_some() { View::unknown() } else { View::empty() });
        let (through, ahead, born) = match cursor {
            Some(cursor) => (cursor.through, cursor.ahead, 0),
            None => (0, BTreeSet::new(), durable),
        };
        Self {
            epoch,
            selection,
            fingerprint,
            through,
            ahead,
            places: BTreeMap::new(),
            placed: BTreeMap::new(),
            room: limits::MAX_WATCH_PLACES,
            born,
            snapshot: markers.then_some(durable),
            reset,
            view,
            held: None,
        }
    }

    /// For a planted bug: nothing up to here is told.
    pub(super) fn skip_to(&mut self, through: Seq) {
        self.pass(through);
    }

    /// A document changed durably. Returns whether the reader is to be woken.
    pub fn mark(&mut self, key: &DocKey, change: Durable) -> bool {
        if !self.selection.covers(key) {
            return false;
        }
        let Durable { before, seq, visible } = change;
        let was_ahead = self.ahead.remove(&before);
        if self.held.as_ref().is_some_and(|held| held.key == *key) {
            // Due now, or after a later commit; if it changed again, or what is held is taken back, the walk will come by.
            self.extend_snapshot(before, seq);
            return true;
        }
        let is_told = before <= self.through || was_ahead;
        let has_room = self.has_room();
        if !visible && is_told {
            if has_room {
                self.ahead.insert(seq);
            }
        } else if !is_told && !self.placed.contains_key(key) {
            if has_room {
                self.places.insert(before, key.clone());
                self.placed.insert(key.clone(), before);
            } else {
                self.extend_snapshot(before, seq);
            }
        }
        true
    }

    /// A document that the snapshot has not told of moved on, and there is no note of where it was: the snapshot ends after
    /// where it is. A commit tells of its documents in the order of their names, not of their numbers.
    fn extend_snapshot(&mut self, before: Seq, seq: Seq) {
        if let Some(end) = &mut self.snapshot
            && before <= *end
        {
            *end = seq.max(*end);
        }
    }

    /// Changes were taken back: what is held may never have happened.
    pub fn undo(&mut self) {
        self.held = None;
    }

    /// What to tell the reader next.
    pub fn next(&mut self, documents: &mut Documents) -> Result<Next, DocumentError> {
        if std::mem::take(&mut self.reset) {
            return Ok(self.event(Told::Reset));
        }
        for _ in 0..limits::MAX_FILTER_READS {
            if let Some(held) = self.held.take() {
                if held.seq > documents.durable() {
                    self.held = Some(held);
                    return Ok(Next::Idle);
                }
                if let Some(told) = self.settle(held, documents) {
                    return Ok(self.event(told));
                }
            }
            let found = self.walk(documents);
            if let Some(end) = self.snapshot
                && match &found {
                    Found::Document(place, _) => *place > end,
                    Found::Passed => self.through >= end,
                    Found::End => true,
                }
            {
                self.snapshot = None;
                self.pass(end);
                return Ok(self.event(Told::SnapshotEnd));
            }
            match found {
                Found::Document(place, key) => match self.look(place, key, documents)? {
                    Some(held) => self.held = Some(held),
                    None => return Ok(Next::Idle),
                },
                Found::Passed => return Ok(Next::More),
                Found::End => return Ok(Next::Idle),
            }
        }
        Ok(Next::More)
    }

    /// Goes on to the next document that may have to be told.
    fn walk(&mut self, documents: &Documents) -> Found {
        let place = self.places.first_key_value().map(|(place, key)| (*place, key.clone()));
        let mut through = self.through;
        let mut found = Found::End;
        for (steps, (seq, key)) in documents.durable_after(self.through).enumerate() {
            if place.as_ref().is_some_and(|(place, _)| *place < seq) {
                break;
            }
            if steps == limits::MAX_WATCH_STEPS {
                found = Found::Passed;
                break;
            }
            let is_old_tombstone = seq <= self.born && documents.durable_meta(key).is_none_or(|meta| meta.deleted);
            if !self.ahead.contains(&seq) && self.selection.covers(key) && !is_old_tombstone {
                found = Found::Document(seq, key.clone());
                break;
            }
            through = seq;
        }
        if let (Found::End, Some((place, key))) = (&found, place) {
            found = Found::Document(place, key);
        } else if let Found::End = found {
            through = documents.durable();
        }
        self.pass(through);
        found
    }

    /// What the document found at a place is to be told as. `None`: there is no room to remember that it was told ahead
    /// of its turn; it will have moved on with the next commit.
    fn look(&self, place: Seq, key: DocKey, documents: &mut Documents) -> Result<Option<Held>, DocumentError> {
        let (text, seq) = documents.text(&key)?;
        let is_placed = self.places.contains_key(&place);
        let is_ahead = seq > place;
        if is_ahead && !is_placed && !self.has_room() {
            return Ok(None);
        }
        let version = documents.version(&key);
        let may_be_had = || self.view.as_ref().is_none_or(|view| view.may_have(documents.index().place(&key)));
        let told = match text {
            Some(text) if self.selection.matches(&text) => Some(Told::Upsert { key: key.clone(), text, version }),
            Some(_) => may_be_had().then(|| Told::Left { key: key.clone(), version }),
            None => may_be_had().then(|| Told::Delete { key: key.clone(), version }),
        };
        Ok(Some(Held { place, key, seq, told }))
    }

    /// A document is told, or need not be.
    fn settle(&mut self, held: Held, documents: &Documents) -> Option<Told> {
        let Held { place, key, seq, told } = held;
        if let Some(place) = self.placed.remove(&key) {
            self.places.remove(&place);
        }
        self.pass(place);
        if seq > self.through {
            self.ahead.insert(seq);
        }
        if let (Some(view), Some(told)) = (&mut self.view, &told) {
            view.set(documents.index().place(&key), matches!(told, Told::Upsert { .. }));
        }
        told
    }

    /// Everything of interest up to here has been told.
    pub fn through(&self) -> Seq {
        self.through
    }

    /// Everything up to `through` has been told.
    fn pass(&mut self, through: Seq) {
        self.through = self.through.max(through);
        while self.ahead.first().is_some_and(|first| *first <= self.through) {
            self.ahead.pop_first();
        }
    }

    fn event(&self, told: Told) -> Next {
        let cursor = Cursor::new(&self.epoch, self.fingerprint, self.through, self.ahead.clone());
        Next::Event(WatchEvent { told, cursor })
    }

    /// What it has to remember besides its position.
    pub fn notes(&self) -> usize {
        self.ahead.len() + self.places.len() + usize::from(self.held.is_some())
    }

    /// What is held may need room, too.
    fn has_room(&self) -> bool {
        self.notes() < self.room
    }

    /// Leaves it less room than usual, so that tests meet the bound.
    #[cfg(test)]
    pub(super) fn squeeze(&mut self, room: usize) {
        self.room = room;
    }

    /// Whether the bound holds.
    #[cfg(test)]
    pub(super) fn is_within_bounds(&self) -> bool {
        let view = self.view.as_ref().map_or(0, View::len);
        self.ahead.len() + self.places.len() <= self.room
            && self.places.len() == self.placed.len()
            && view <= limits::MAX_WATCH_VIEW
    }
}
