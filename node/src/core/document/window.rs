//! Windows: a document whose history has become too long is begun anew with the content that it has, and what was written
//! meanwhile on the old history is carried over.
//!
//! The new base has a [`Record`] in its commit message: which changes of which base it contains, by actor and number. A
//! node whose version has others carries each of them over, by itself and in the same bytes as everybody else:
//! [`carry`]. So it does not matter who does it, nor how many. `docs/data-model.md`, *Windows*, has the rules.
//!
//! **Cost.** Carrying over one change costs what applying it and putting its content do; more than [`MAX_CARRIED`] at once
//! become one. The record takes 15 bytes for each actor since the bases that it remembers.
//!
//! **Rejected**: heads instead of actors and numbers (who lacks one of them, as a node does that writes a collection which
//! it does not ask for, could not tell what is contained); rewriting operations instead of their effect (object ids of
//! the old history mean nothing in the new one).

use std::collections::{BTreeMap, BTreeSet};

use automerge::transaction::CommitOptions;
use automerge::{ActorId, Automerge, Change, ChangeHash, ReadDoc};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::base::{NOBODY, Stamp};
use super::graft::{Content, graft};
use super::keys::{INCARNATION_KEY, KeySpace};
use super::limits::{MAX_CARRIED, MAX_RECORD_ACTORS, MAX_RECORD_BASES, MAX_RECORD_CHARACTERS};
use super::{ApplyError, Document, Presence, WriteError, author, incoming, write};

/// First characters of the message of a base: the version of the layout.
const RECORD: &str = "w1:";
/// First characters of the message of a change that was carried over.
const ORIGIN: &str = "c1:";

/// What the base of a window contains.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Of the latest bases, the newest last: who skips a few still knows what became of its changes.
    bases: Vec<Contained>,
}

/// What it contains of the changes over one base.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Contained {
    /// [`Stamp::check`] of that base; 0: the document's very first beginning.
    base: u64,
    /// The number of each actor's last change.
    actors: BTreeMap<Vec<u8>, u64>,
}

impl Contained {
    fn include(&mut self, actor: &[u8], number: u64) {
        let last = self.actors.entry(actor.to_vec()).or_default();
        *last = number.max(*last);
    }
}

/// Which change it was that was carried over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Origin {
    base: u64,
    actor: Vec<u8>,
    number: u64,
}

impl Record {
    /// What a base contains that is made of this document now; `None`: too much to say. Of the bases before, as many
    /// are remembered as there is room for.
    fn of(document: &Document) -> Option<Self> {
        let before = document.window_record().unwrap_or_default();
        let most = before.bases.len().min(MAX_RECORD_BASES - 1);
        (0..=most).rev().map(|kept| before.with(document, kept)).find(Self::fits)
    }

    fn with(&self, document: &Document, kept: usize) -> Self {
        let mut bases = self.bases[self.bases.len() - kept..].to_vec();
        let mut latest = Contained { base: id(document.base), ..Contained::default() };
        for change in document.doc().get_changes_meta(&[]) {
            if document.base.is_some() && change.deps.is_empty() {
                continue;
            }
            let origin = Origin::of(change.message.as_deref());
            let known = origin.and_then(|origin| {
                let contained = bases.iter_mut().find(|contained| contained.base == origin.base)?;
                contained.include(&origin.actor, origin.number);
                Some(())
            });
            if known.is_none() {
                latest.include(change.actor.to_bytes(), change.seq);
            }
        }
        bases.push(latest);
        Self { bases }
    }

    fn fits(&self) -> bool {
        self.bases.iter().map(|contained| contained.actors.len()).sum::<usize>() <= MAX_RECORD_ACTORS
    }

    fn knows(&self, base: u64) -> bool {
        self.bases.iter().any(|contained| contained.base == base)
    }

    fn contains(&self, base: u64, actor: &[u8], number: u64) -> bool {
        let contained = self.bases.iter().rev().find(|contained| contained.base == base);
        contained.and_then(|contained| contained.actors.get(actor)).is_some_and(|last| number <= *last)
    }

    /// Reads the message of a base, whoever wrote it.
    fn parse(message: &str) -> Option<Self> {
        let record: Self = decode(message, RECORD)?;
        (record.bases.len() <= MAX_RECORD_BASES && record.fits()).then_some(record)
    }
}

impl Origin {
    fn of(message: Option<&str>) -> Option<Self> {
        decode(message?, ORIGIN)
    }
}

fn encode(prefix: &str, value: &impl Serialize) -> String {
    let bytes = postcard::to_allocvec(value).expect("maps and numbers are encoded");
    format!("{prefix}{}", BASE64_URL_SAFE_NO_PAD.encode(bytes))
}

fn decode<T: DeserializeOwned>(message: &str, prefix: &str) -> Option<T> {
    let encoded = message.strip_prefix(prefix).filter(|encoded| encoded.len() <= MAX_RECORD_CHARACTERS)?;
    postcard::from_bytes(&BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

/// What tells bases of one document apart.
fn id(base: Option<Stamp>) -> u64 {
    base.map_or(0, |stamp| stamp.check)
}

impl Document {
    /// Begins the document anew with the content that it has, for everybody to build on; returns the one change that it
    /// consists of then. The same history gives the same bytes everywhere. `None`: it is not live, or more actors wrote it
    /// than a base can name.
    pub fn begin_window(&mut self) -> Result<Option<Vec<u8>>, WriteError> {
        if !self.exists() {
            return Ok(None);
        }
        let Some(record) = Record::of(self) else { return Ok(None) };
        let incarnation = self.incarnation();
        let space = KeySpace::of_incarnation(incarnation);
        let content = self.root(&space).to_entries();
        let stamp = Stamp::next_window(self.base, self.change_count());
        let mut begun = self.clone();
        let change = begun.begin_with(stamp, Some(encode(RECORD, &record)), |tx| {
            use automerge::transaction::Transactable;
            // The fields first: only an empty root is fresh.
            write::fill_fresh_root(tx, &content, &space)?;
            // Edits of earlier incarnations may still be under way.
            if incarnation > 0 || content.is_empty() {
                tx.put(automerge::ROOT, INCARNATION_KEY, incarnation)?;
            }
            Ok(())
        })?;
        // Only a hostile counter leaves no room.
        if begun.base <= self.base {
            return Ok(None);
        }
        *self = begun;
        Ok(Some(change))
    }

    /// Changes in the history, its base among them.
    pub fn change_count(&self) -> u64 {
        // One that nobody has asked more of than its bytes stays bytes.
        if self.first.is_some() { 1 } else { self.doc().stats().num_changes }
    }

    /// When the oldest change after the base was made, in seconds since the epoch, by the clock of who made it.
    pub fn oldest_change_s(&self) -> Option<i64> {
        let changes = self.doc().get_changes_meta(&[]).into_iter();
        let after = changes.filter(|change| self.base.is_none() || !change.deps.is_empty());
        after.map(|change| change.timestamp).min()
    }

    fn window_record(&self) -> Option<Record> {
        self.base.filter(|base| base.writer == NOBODY)?;
        let changes = self.doc().get_changes_meta(&[]);
        let base = changes.iter().find(|change| change.deps.is_empty())?;
        Record::parse(base.message.as_deref()?)
    }
}

/// What was added to a document that took the place of another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Carried {
    /// Changes over the new base, in causal order; none: all of them had come with it.
    pub changes: Vec<u8>,
    /// Whether the two did not know of each other, so that only what the new one lacks was taken from the old one.
    pub united: bool,
}

/// Carries over from `old` to `begun`, which takes its place. `None`: there is nothing to carry.
pub(super) fn carry(old: &Document, begun: &mut Document) -> Result<Option<Carried>, ApplyError> {
    let Some(record) = begun.window_record().filter(|_| old.presence() != Presence::Unwritten) else {
        return Ok(None);
    };
    let carried = incoming::guarded(|| Carrier::new(old, begun, record)?.run());
    let carried = carried.and_then(|carried| carried.map_err(|error| error.to_string()));
    let (changes, united) = carried
        .map_err(|reason| ApplyError::Rejected { reason: format!("an edit cannot be carried over: {reason}") })?;
    let changes = begun.apply(&changes)?.map_or(vec![], |applied| applied.changes);
    Ok((united || !changes.is_empty()).then_some(Carried { changes, united }))
}

struct Carrier<'a> {
    old: &'a Document,
    record: Record,
    /// The new base, and over it what was carried so far.
    grown: Document,
    base: ChangeHash,
    changes: Vec<u8>,
}

/// A change that is to be carried over.
struct Edit {
    hash: ChangeHash,
    deps: BTreeSet<ChangeHash>,
    actor: ActorId,
    time_s: i64,
    origin: Origin,
}

impl<'a> Carrier<'a> {
    fn new(old: &'a Document, begun: &Document, record: Record) -> Result<Self, WriteError> {
        let changes = begun.doc().get_changes_meta(&[]);
        let base =
            changes.iter().find(|change| change.deps.is_empty()).expect("it has a record, so it has a base").hash;
        let grown = Document::of(begun.doc().fork_at(&[base])?).with_base(begun.base);
        Ok(Self { old, record, grown, base, changes: vec![] })
    }

    fn run(mut self) -> Result<(Vec<u8>, bool), WriteError> {
        if !self.record.knows(id(self.old.base)) {
            return self.unite();
        }
        let (contained, edits) = self.sort();
        match edits.len() {
            0 => {}
            1..=MAX_CARRIED => self.carry_each(&contained, &edits)?,
            _ => self.carry_all(&contained)?,
        }
        Ok((self.changes, false))
    }

    /// The changes of the old document that the new base contains, and the others in causal order.
    fn sort(&self) -> (BTreeSet<ChangeHash>, Vec<Edit>) {
        let base = id(self.old.base);
        let (mut contained, mut edits) = (BTreeSet::new(), Vec::new());
        for change in self.old.doc().get_changes_meta(&[]) {
            let number = change.seq;
            let origin = Origin::of(change.message.as_deref());
            let is_base = self.old.base.is_some() && change.deps.is_empty();
            if is_base
                || self.record.contains(base, change.actor.to_bytes(), number)
                || origin.as_ref().is_some_and(|of| self.record.contains(of.base, &of.actor, of.number))
            {
                contained.insert(change.hash);
                continue;
            }
            let here = || Origin { base, actor: change.actor.to_bytes().to_vec(), number };
            edits.push(Edit {
                hash: change.hash,
                deps: change.deps.iter().copied().collect(),
                actor: author::carrier(&change.actor, &self.base.0, &change.hash.0),
                time_s: change.timestamp,
                // One that was carried over before, and is again, is still the same.
                origin: origin.unwrap_or_else(here),
            });
        }
        (contained, edits)
    }

    fn carry_each(&mut self, contained: &BTreeSet<ChangeHash>, edits: &[Edit]) -> Result<(), WriteError> {
        let mut places: BTreeMap<ChangeHash, BTreeSet<ChangeHash>> = BTreeMap::new();
        let mut past = Past::at(self.old.doc(), &BTreeSet::new())?;
        for edit in edits {
            if past.heads != edit.deps {
                past = Past::at(self.old.doc(), &edit.deps)?;
            }
            let before = past.content.clone();
            past.advance(self.old.doc(), edit.hash)?;
            let mut place = BTreeSet::new();
            for dep in &edit.deps {
                match places.get(dep) {
                    Some(carried) => place.extend(carried.iter().copied()),
                    None => {
                        debug_assert!(contained.contains(dep), "what is contained is closed");
                        place.insert(self.base);
                    }
                }
            }
            if place.is_empty() {
                place.insert(self.base);
            }
            if place.len() > 1 {
                // It is below everything that was carried over.
                place.remove(&self.base);
            }
            let commit = CommitOptions::default().with_time(edit.time_s).with_message(encode(ORIGIN, &edit.origin));
            if let Some(hash) = self.write(&place, &edit.actor, commit, &before, &past.content, true)? {
                place = BTreeSet::from([hash]);
            }
            places.insert(edit.hash, place);
        }
        Ok(())
    }

    /// As one change, in which the others cannot be told apart any more.
    fn carry_all(&mut self, contained: &BTreeSet<ChangeHash>) -> Result<(), WriteError> {
        let mut heads = contained.clone();
        for change in self.old.doc().get_changes_meta(&[]) {
            if contained.contains(&change.hash) {
                heads.retain(|head| !change.deps.contains(head));
            }
        }
        let before = Past::at(self.old.doc(), &heads)?.content;
        self.write_one(b"all", &before, true)
    }

    /// The two versions do not know of each other: what the new one lacks is added. As in class `latest`, a version of
    /// one writer is replaced.
    fn unite(mut self) -> Result<(Vec<u8>, bool), WriteError> {
        let is_latest = self.old.base.is_some_and(|base| base.writer != NOBODY) && self.old.change_count() == 1;
        if !is_latest && self.old.exists() {
            self.write_one(b"unite", &Content::default(), false)?;
        }
        Ok((self.changes, self.old.exists()))
    }

    fn write_one(&mut self, purpose: &[u8], before: &Content, wins: bool) -> Result<(), WriteError> {
        let after = Content::of(self.old);
        let mut hasher = blake3::Hasher::new();
        hasher.update(purpose).update(&self.base.0);
        hasher.update(self.old.heads().as_flattened());
        // Of a length that no node has: nobody wrote it.
        let actor = ActorId::from(&hasher.finalize().as_bytes()[..8]);
        let times = self.old.doc().get_changes_meta(&[]);
        let time_s = times.iter().map(|change| change.timestamp).max().unwrap_or(0);
        let place = BTreeSet::from([self.base]);
        self.write(&place, &actor, CommitOptions::default().with_time(time_s), before, &after, wins)?;
        Ok(())
    }

    /// Writes what became of the content `before`, over these changes of the new document.
    fn write(
        &mut self,
        place: &BTreeSet<ChangeHash>,
        actor: &ActorId,
        commit: CommitOptions,
        before: &Content,
        after: &Content,
        wins: bool,
    ) -> Result<Option<ChangeHash>, WriteError> {
        let is_here = self.grown.doc().get_heads().into_iter().collect::<BTreeSet<_>>() == *place;
        let place: Vec<ChangeHash> = place.iter().copied().collect();
        let mut fork = if is_here { self.grown.doc().clone() } else { self.grown.doc().fork_at(&place)? };
        fork.set_actor(actor.clone());
        let mut fork = Document::of(fork).with_base(self.grown.base);
        let Some(bytes) = graft(&mut fork, before, after, wins, commit)? else { return Ok(None) };
        let change = Change::from_bytes(bytes.clone()).expect("the change was just made");
        let hash = change.hash();
        if is_here {
            let actor = self.grown.actor.clone();
            let fork = std::mem::take(fork.doc_mut());
            self.grown.set(fork.with_actor(actor));
        } else {
            self.grown.doc_mut().apply_changes([change])?;
        }
        self.changes.extend(bytes);
        Ok(Some(hash))
    }
}

/// The old document as it was after some of its changes.
struct Past {
    document: Document,
    heads: BTreeSet<ChangeHash>,
    content: Content,
}

impl Past {
    fn at(doc: &Automerge, heads: &BTreeSet<ChangeHash>) -> Result<Self, WriteError> {
        let document = Document::of(doc.fork_at(&heads.iter().copied().collect::<Vec<_>>())?);
        let content = Content::of(&document);
        Ok(Self { document, heads: heads.clone(), content })
    }

    /// Adds the change that builds on it.
    fn advance(&mut self, doc: &Automerge, hash: ChangeHash) -> Result<(), WriteError> {
        let change = doc.get_change_by_hash(&hash).expect("it is in the document");
        self.document.doc_mut().apply_changes([change])?;
        self.heads = BTreeSet::from([hash]);
        self.content = Content::of(&self.document);
        Ok(())
    }
}
