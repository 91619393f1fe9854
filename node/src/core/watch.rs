//! Subscriptions: the current documents, then their changes.
//!
//! A subscription holds which documents are dirty for its reader, never a queue of events: a slow reader costs one
//! key per changed document and gets the latest version of each. The snapshot is a cursor over the index, so
//! it costs nothing however many documents there are.

use std::collections::{BTreeMap, BTreeSet};

use super::documents::{DocumentError, Documents};
use super::index::Meta;
use super::key::DocKey;
use super::policy;
use super::wire::Seq;

/// Names a subscription within one run of a node.
pub type WatchId = u64;

/// What a reader is told of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WatchEvent {
    /// Which document.
    pub key: DocKey,
    /// Its text; `None`: it is gone.
    pub text: Option<String>,
}

/// What comes next for a reader.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// An event.
    Event(WatchEvent),
    /// Nothing until the subscription is woken.
    Idle,
}

#[derive(Debug)]
enum Snapshot {
    /// Everything up to this key (none: nothing) has been told.
    At(Option<DocKey>),
    Done,
}

#[derive(Debug)]
struct Held {
    seq: Seq,
    in_snapshot: bool,
    event: WatchEvent,
}

/// One subscription.
#[derive(Debug)]
pub struct Watch {
    /// Collections; `None`: all.
    collections: Option<BTreeSet<String>>,
    snapshot: Snapshot,
    dirty: BTreeMap<Seq, DocKey>,
    place: BTreeMap<DocKey, Seq>,
    /// An event whose content is not durable yet.
    held: Option<Held>,
    /// The document of an event that was held and taken back, and whether it belongs to the snapshot.
    again: Option<(DocKey, bool)>,
}

impl Watch {
    /// Of the named collections (none: all that applications write).
    pub fn new(collections: Vec<String>) -> Self {
        let collections = (!collections.is_empty()).then(|| collections.into_iter().collect());
        Self {
            collections,
            snapshot: Snapshot::At(None),
            dirty: BTreeMap::new(),
            place: BTreeMap::new(),
            held: None,
            again: None,
        }
    }

    /// A visible change became durable. Returns whether the reader is to be woken.
    pub fn mark(&mut self, key: &DocKey, seq: Seq) -> bool {
        if !self.wants(key) {
            return false;
        }
        if self.held.as_ref().is_some_and(|held| held.event.key == *key && seq <= held.seq) {
            // The held event shows this change already, and may be due now.
            return true;
        }
        if self.again.as_ref().is_some_and(|(again, _)| again == key) {
            return true;
        }
        if let Snapshot::At(cursor) = &self.snapshot
            && cursor.as_ref().is_none_or(|cursor| key > cursor)
        {
            return true; // The snapshot will come by.
        }
        if !self.place.contains_key(key) {
            self.place.insert(key.clone(), seq);
            self.dirty.insert(seq, key.clone());
        }
        true
    }

    /// Changes were taken back: what is held may never have happened.
    pub fn undo(&mut self) {
        self.again = self.held.take().map(|held| (held.event.key, held.in_snapshot)).or(self.again.take());
    }

    /// What to tell the reader next.
    pub fn next(&mut self, documents: &mut Documents) -> Result<Next, DocumentError> {
        loop {
            if let Some(held) = self.held.take() {
                if held.seq > documents.durable() {
                    self.held = Some(held);
                    return Ok(Next::Idle);
                }
                return Ok(Next::Event(held.event));
            }
            let Some((key, in_snapshot)) = self.again.take().or_else(|| self.pop(documents)) else {
                return Ok(Next::Idle);
            };
            let (text, seq) = documents.render(&key)?;
            if text.is_none() && in_snapshot {
                continue;
            }
            self.held = Some(Held { seq, in_snapshot, event: WatchEvent { key, text } });
        }
    }

    fn pop(&mut self, documents: &Documents) -> Option<(DocKey, bool)> {
        if let Snapshot::At(cursor) = &self.snapshot {
            let live = |(_, meta): &(&DocKey, &Meta)| !meta.deleted;
            let wanted = |(key, _): &(&DocKey, &Meta)| self.wants(key);
            let next = documents.index().after(cursor.as_ref()).filter(live).find(wanted);
            match next.map(|(key, _)| key.clone()) {
                Some(key) => {
                    self.snapshot = Snapshot::At(Some(key.clone()));
                    return Some((key, true));
                }
                None => self.snapshot = Snapshot::Done,
            }
        }
        let (_, key) = self.dirty.pop_first()?;
        self.place.remove(&key);
        Some((key, false))
    }

    fn wants(&self, key: &DocKey) -> bool {
        match &self.collections {
            Some(collections) => collections.contains(key.collection()),
            // Who asks for everything means what applications wrote.
            None => key.collection() != policy::COLLECTION,
        }
    }
}
