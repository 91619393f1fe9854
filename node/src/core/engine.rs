//! The core as a whole: documents, sessions and subscriptions behind one set of inputs.
//!
//! Inputs are method calls that take the time as an argument; effects are what [`Core::take_batch`],
//! [`Core::next_control`], [`Core::next_data`] and [`Core::next_event`] return, and [`Core::take_wakes`] says who has
//! something new. A change takes effect at once, and is told to anyone only when it is durable: it is
//! sent, acknowledged and shown after [`Core::committed`].

mod collect;
mod commit;
mod watching;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use automerge::ActorId;

use self::collect::Passed;
use super::batch::{DocumentStore, Event, PeerId, Stored};
use super::class::{Class, ClassMap};
use super::document::NOBODY;
use super::document::{JsonObject, Stamp};
use super::documents::{DocumentError, Documents, Reading, Recorded, RemoteError, Superseded, Taken};
use super::interest::Interest;
use super::key::DocKey;
use super::lag::{Lacking, LagRecord};
use super::planted::Planted;
use super::policy::{Policies, Policy, PolicyError};
use super::receipts::Receipts;
use super::session::{Now, Session, SessionError, SessionId};
use super::transaction::{Rejection, Transaction, Written};
use super::version::Version;
use super::watch::{Watch, WatchId};
use super::wire::members::MembersFrame;
use super::wire::{Data, Epoch, Hello, Seen, Seq};
use crate::limits;
use crate::node::{Plant, Plants};

/// Who has something new to send or to read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wakes {
    /// Sessions with frames to send.
    pub sessions: BTreeSet<SessionId>,
    /// Subscriptions with events.
    pub watches: BTreeSet<WatchId>,
    /// Whether there is something to commit.
    pub commit: bool,
    /// Versions of ours that another writer's took the place of, for the log.
    pub superseded: Vec<Superseded>,
}

/// What a node carries, and in which order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Which class each collection is in.
    pub classes: ClassMap,
    /// What the node asks its peers for.
    pub interest: Interest,
    /// How much history collections keep, where nobody said so by request.
    pub policies: Policies,
}

/// Part of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Ids, ascending.
    pub ids: Vec<String>,
    /// The number that must be durable before they may be shown.
    pub seq: Seq,
    /// The last id that was looked at; `None`: there is nothing after these.
    pub last: Option<String>,
}

/// The state of a node.
pub struct Core {
    epoch: Epoch,
    interest: Interest,
    documents: Documents,
    /// Watermarks of peers as of the last commit.
    seen: BTreeMap<PeerId, Seen>,
    sessions: BTreeMap<SessionId, Session>,
    watches: BTreeMap<WatchId, Watch>,
    /// Reads that wait for a change of a document.
    waits: BTreeMap<DocKey, BTreeSet<WatchId>>,
    next_id: u64,
    events: Vec<Event>,
    events_in_flight: Vec<Event>,
    seen_in_flight: BTreeMap<PeerId, Option<Seen>>,
    receipts: Receipts,
    /// Known to nobody else.
    secret: [u8; 32],
    wakes: Wakes,
    lag: LagRecord,
    passed: Passed,
    plants: Plants,
    planted: Planted,
}

/// Why a policy was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetPolicyError {
    /// It is not acceptable.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// It cannot be written.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

impl Core {
    /// Takes up what a store holds. `actor` must be new, and so must `secret`, which salts what sessions say.
    pub fn new(
        store: Box<dyn DocumentStore>,
        mut stored: Stored,
        actor: ActorId,
        secret: [u8; 32],
        traffic: Traffic,
        plants: Plants,
    ) -> Self {
        let Traffic { classes, interest, policies } = traffic;
        if plants.has(Plant::ForgottenTombstone) {
            stored.docs.retain(|(_, meta)| !meta.deleted);
        }
        let seen = std::mem::take(&mut stored.seen);
        let receipts = Receipts::new(std::mem::take(&mut stored.receipts));
        Self {
            epoch: stored.epoch,
            documents: Documents::new(store, stored, actor, classes, policies).planted(plants),
            interest,
            seen,
            sessions: BTreeMap::new(),
            watches: BTreeMap::new(),
            waits: BTreeMap::new(),
            next_id: 1,
            events: vec![],
            events_in_flight: vec![],
            seen_in_flight: BTreeMap::new(),
            receipts,
            secret,
            wakes: Wakes::default(),
            lag: LagRecord::default(),
            passed: Passed::default(),
            plants,
            planted: Planted::new(plants),
        }
    }

    /// The documents.
    pub fn documents(&self) -> &Documents {
        &self.documents
    }

    // ---- local writes and reads ------------------------------------------------------------------

    /// Writes a document. Returns the number that must be durable before the write is acknowledged.
    pub fn put(&mut self, key: &DocKey, json: &JsonObject, now_ms: u64) -> Result<Seq, DocumentError> {
        let recorded = self.documents.put(key, json, (now_ms / 1000) as i64)?;
        Ok(self.wrote(key, recorded.map(|r| (r.seq, r.visible))))
    }

    /// Makes all writes of a transaction or none. One that has a name and was carried out before is not carried out
    /// again: it gets the answer of the first time.
    pub fn write(&mut self, transaction: &Transaction, now_ms: u64, now: Now) -> Result<Written, Rejection> {
        if let Some(name) = &transaction.name
            && let Some((versions, seq)) = self.receipts.find(name, now)?
        {
            return Ok(Written { versions: versions.to_vec(), seq });
        }
        let recorded = self.documents.transact(transaction.operations(), now_ms)?;
        let mut newest = None;
        let mut written = Written { versions: Vec::with_capacity(recorded.len()), seq: 0 };
        for (operation, recorded) in transaction.operations().iter().zip(recorded) {
            newest = newest.max(recorded.map(|recorded| recorded.seq));
            let seq = self.wrote(&operation.key, recorded.map(|r| (r.seq, r.visible)));
            written.seq = written.seq.max(seq);
            written.versions.push(self.documents.version(&operation.key).encode());
        }
        if let Some(name) = &transaction.name {
            // A receipt must become durable even if nothing changed: a repetition may come when something has.
            written.seq = newest.unwrap_or_else(|| self.documents.take_number());
            let rows = self.receipts.keep(name, &written.versions, written.seq, now);
            self.documents.pending_mut().receipts.extend(rows);
            self.wakes.commit = true;
        }
        Ok(written)
    }

    /// A document with all that is to be told of it.
    pub fn read(&mut self, key: &DocKey, with_conflicts: bool) -> Result<Reading, DocumentError> {
        let mut reading = self.documents.read(key, with_conflicts)?;
        self.planted.read(key, &mut reading.text);
        Ok(reading)
    }

    /// Deletes a document. Returns the number that must be durable before the delete is acknowledged.
    pub fn delete(&mut self, key: &DocKey, now_ms: u64) -> Result<Seq, DocumentError> {
        let recorded = self.documents.delete(key, now_ms as i64)?;
        Ok(self.wrote(key, recorded.map(|r| (r.seq, r.visible))))
    }

    /// Sets the policy of a collection, for the whole formation. Returns the number that must be durable before that
    /// is acknowledged; the policy holds at once.
    pub fn set_policy(&mut self, collection: &str, policy: &Policy, now_ms: u64) -> Result<Seq, SetPolicyError> {
        policy.validate()?;
        let key = self.documents.policies().document_of(collection)?;
        let recorded = self.documents.put_policy(&key, policy, (now_ms / 1000) as i64)?;
        Ok(self.wrote(&key, recorded.map(|r| (r.seq, r.visible))))
    }

    /// The text of a document and the number that must be durable before it may be shown.
    pub fn render(&mut self, key: &DocKey) -> Result<(Option<String>, Seq), DocumentError> {
        self.documents.render(key)
    }

    /// The number that must be durable before somebody who waits for a version of a document may read it; `None`: it is
    /// not here yet.
    pub fn contains(&mut self, key: &DocKey, version: &Version) -> Result<Option<Seq>, DocumentError> {
        self.documents.contains(key, version)
    }

    /// The next live documents of a collection, see [`Index::page`](super::index::Index::page): at most `most`, and at
    /// most [`limits::MAX_LIST_STEPS`] are looked at.
    pub fn list(&self, collection: &str, prefix: &str, after: &str, most: usize) -> Listed {
        let mut listed = Listed { ids: vec![], seq: 0, last: None };
        for (steps, (key, meta)) in self.documents.index().page(collection, prefix, after).enumerate() {
            if steps == limits::MAX_LIST_STEPS || listed.ids.len() == most {
                return listed;
            }
            // That a document is gone must be durable, too, before it is left out.
            listed.seq = listed.seq.max(meta.seq);
            listed.last = Some(key.id().to_owned());
            if !meta.deleted {
                listed.ids.push(key.id().to_owned());
            }
        }
        listed.last = None;
        listed
    }

    // ---- sessions --------------------------------------------------------------------------------

    /// Begins a session with an admitted peer, over a path with this round trip.
    pub fn open_session(&mut self, peer: PeerId, dialer: bool, round_trip: Duration) -> SessionId {
        let id = self.next_id();
        let interest = self.interest.clone();
        // A watermark says nothing of what was not asked for when it was given.
        let seen = self.seen.get(&peer).copied().filter(|seen| seen.interest == interest.fingerprint());
        let classes = self.documents.index().classes().fingerprint();
        let ours = Hello { epoch: self.epoch, last: self.documents.durable(), classes, interest, seen };
        let salt = blake3::keyed_hash(&self.secret, &id.to_le_bytes());
        let salt = u64::from_le_bytes(*salt.as_bytes().first_chunk().expect("a hash is longer"));
        self.sessions.insert(id, Session::new(peer, dialer, round_trip, ours, salt).planted(self.plants));
        self.wakes.sessions.insert(id);
        id
    }

    /// Ends a session. Idempotent.
    pub fn close_session(&mut self, id: SessionId) {
        if let Some(session) = self.sessions.remove(&id) {
            match session.lacking() {
                Lacking::Unknown => {}
                Lacking::Nothing => self.lag.left(session.peer(), self.documents.durable()),
                Lacking::Numbers { oldest, .. } => self.lag.left(session.peer(), oldest.saturating_sub(1)),
            }
        }
        self.wakes.sessions.remove(&id);
    }

    /// A session that is open.
    pub fn session(&self, id: SessionId) -> Option<&Session> {
        self.sessions.get(&id)
    }

    /// Every session that is open.
    pub fn sessions(&self) -> impl Iterator<Item = &Session> {
        self.sessions.values()
    }

    /// When our numbers became durable, and what peers that are away had.
    pub fn lag(&self) -> &LagRecord {
        &self.lag
    }

    /// Whether any peer is known to lack something.
    pub fn is_anyone_behind(&self) -> bool {
        self.sessions.values().any(Session::is_behind)
    }

    /// Takes the payload of a control frame of a peer.
    pub fn on_control(&mut self, id: SessionId, payload: &[u8], now: Now) -> Result<(), SessionError> {
        let session = self.sessions.get_mut(&id).ok_or(SessionError::Closed)?;
        session.on_control(&self.documents, payload, now)?;
        self.wakes.sessions.insert(id);
        Ok(())
    }

    /// Takes the members frame that the last control frame of a peer was, if it was one.
    pub fn take_members(&mut self, id: SessionId) -> Option<MembersFrame> {
        self.sessions.get_mut(&id)?.take_members()
    }

    /// Payload of a control frame that carries a members frame.
    pub fn encode_members(&mut self, id: SessionId, frame: MembersFrame) -> Result<Vec<u8>, SessionError> {
        Ok(self.sessions.get_mut(&id).ok_or(SessionError::Closed)?.encode_members(frame))
    }

    /// Takes the payload of a data frame of a peer, from its stream of a class.
    pub fn on_data(&mut self, id: SessionId, class: Class, payload: &[u8], now: Now) -> Result<(), SessionError> {
        let session = self.sessions.get_mut(&id).ok_or(SessionError::Closed)?;
        let peer = session.peer();
        let (frame, _) = session.decode_data(class, payload)?;
        if session.owes_receipt() {
            self.wakes.sessions.insert(id);
        }
        let through = match frame {
            Data::Through { through } => through,
            Data::Update(update) => {
                let is_asked_for = session.asks_for(&update.key) || self.plants.has(Plant::IgnoredInterest);
                if is_asked_for || self.documents.index().get(&update.key).is_some() {
                    self.apply(id, peer, update.key, update.base, &update.changes)?;
                }
                update.through
            }
        };
        let session = self.sessions.get_mut(&id).ok_or(SessionError::Closed)?;
        if let Some(seen) = session.on_claim(class, through) {
            self.documents.pending_mut().seen.insert(peer, Some(seen));
            if self.documents.is_all_durable() {
                // A claim alone is worth no sync: it is true already, and written with the next batch.
                self.seen.insert(peer, seen);
                session.on_committed(Some(&seen.through), now);
                self.wakes.sessions.insert(id);
            }
        }
        Ok(())
    }

    fn apply(
        &mut self,
        id: SessionId,
        peer: PeerId,
        key: DocKey,
        base: Option<Stamp>,
        changes: &[u8],
    ) -> Result<(), SessionError> {
        match self.documents.apply(&key, base, changes) {
            Ok(Taken::Recorded(recorded)) => {
                self.took_effect(key, recorded, Some(id));
                Ok(())
            }
            Ok(Taken::CarriedOver { begun, carried }) => {
                if begun < carried.seq {
                    self.took_effect(key.clone(), Recorded { seq: begun, ..carried }, Some(id));
                }
                self.took_effect(key, carried, None);
                Ok(())
            }
            Ok(known @ (Taken::Known | Taken::Stale)) => {
                let is_everybodys = self.documents.index().get(&key).and_then(|meta| meta.base);
                let is_everybodys = is_everybodys.is_some_and(|base| base.writer == NOBODY);
                if let Some(session) = self.sessions.get_mut(&id) {
                    let class = self.documents.index().classes().of(key.collection());
                    session.arrived(&key, class);
                    if known == Taken::Stale && is_everybodys {
                        session.correct(&key, class);
                    }
                    if self.plants.has(Plant::EchoLoop) {
                        session.echo(&key, class);
                    }
                    self.wakes.sessions.insert(id);
                }
                Ok(())
            }
            Err(error) => {
                if let RemoteError::Apply { .. } = error {
                    // What the peer believes of us is wrong: next time, compare everything.
                    self.documents.pending_mut().seen.insert(peer, None);
                    self.seen.remove(&peer);
                }
                Err(error.into())
            }
        }
    }

    /// Payload of the next control frame to send to a peer.
    pub fn next_control(&mut self, id: SessionId) -> Result<Option<Vec<u8>>, SessionError> {
        Ok(self.sessions.get_mut(&id).ok_or(SessionError::Closed)?.next_control())
    }

    /// Payload of the next data frame to send to a peer, and the class of the stream that it belongs to.
    pub fn next_data(&mut self, id: SessionId, now: Now) -> Result<Option<(Class, Vec<u8>)>, SessionError> {
        self.sessions.get_mut(&id).ok_or(SessionError::Closed)?.next_data(&self.documents, now)
    }

    /// When a session wants [`Core::tick`].
    pub fn deadline(&self, id: SessionId) -> Option<Now> {
        self.sessions.get(&id).and_then(Session::deadline)
    }

    /// Time has passed for a session.
    pub fn tick(&mut self, id: SessionId, now: Now) {
        if self.sessions.get_mut(&id).is_some_and(|session| session.tick(now)) {
            self.wakes.sessions.insert(id);
        }
    }

    /// Who has something new since the last call.
    pub fn take_wakes(&mut self) -> Wakes {
        let superseded = self.documents.take_superseded();
        Wakes { superseded, ..std::mem::take(&mut self.wakes) }
    }

    fn wrote(&mut self, key: &DocKey, recorded: Option<(Seq, bool)>) -> Seq {
        match recorded {
            Some((seq, visible)) => {
                self.took_effect(key.clone(), Recorded { seq, visible }, None);
                seq
            }
            // What is there already must be durable all the same.
            None => self.documents.index().get(key).map_or(0, |meta| meta.seq),
        }
    }

    fn took_effect(&mut self, key: DocKey, recorded: Recorded, origin: Option<SessionId>) {
        let Recorded { seq, visible } = recorded;
        self.events.push(Event { key, seq, origin, visible });
        self.wakes.commit = true;
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id - 1
    }
}
