//! One peer: hello, then resume or reconcile, then live.
//!
//! A session begins when the peer is admitted and dies with its connection; nothing of it outlives that but the
//! watermark, which lives in the store.

use std::collections::VecDeque;
use std::time::Duration;

use super::batch::{PeerId, StoreReadError};
use super::class::{Class, PerClass};
use super::documents::{DocumentError, Documents, RemoteError};
use super::fair::Fair;
use super::key::DocKey;
use super::lag::Lacking;
use super::lane::Lane;
use super::membership::MembersError;
use super::reconcile::{Marks, Reconcile, ReconcileError, View};
use super::send_window::SendWindow;
use super::wire::members::MembersFrame;
use super::wire::{Control, Data, FrameError, Hello, Ordinal, Seen, Seq};
use crate::limits;
use crate::node::{Plant, Plants};

/// Names a session within one run of a node.
pub type SessionId = u64;

/// Time since the node started.
pub type Now = Duration;

/// Why a session ends. Never concerns the store's content, which stays as it was.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A frame is not acceptable.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// A frame came in a phase that does not know it.
    #[error("{frame} while {phase}")]
    OutOfPhase {
        /// Which frame.
        frame: &'static str,
        /// What the session was doing.
        phase: &'static str,
    },
    /// The peer says that it has what it was never sent.
    #[error("a receipt for more than was sent")]
    Receipt,
    /// A reconciliation message is not acceptable.
    #[error(transparent)]
    Reconcile(#[from] ReconcileError),
    /// Changes are not acceptable, or a document of ours cannot be read.
    #[error(transparent)]
    Remote(#[from] RemoteError),
    /// A document of ours cannot be read.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// The store cannot be read.
    #[error(transparent)]
    Store(#[from] StoreReadError),
    /// A members frame is not acceptable.
    #[error(transparent)]
    Members(#[from] MembersError),
    /// The session was closed meanwhile.
    #[error("the session is closed")]
    Closed,
}

/// What a session is doing, with what only that phase knows.
#[derive(Debug)]
enum Phase {
    /// Our hello is sent, the peer's is awaited.
    Greeting,
    /// Learning what differs.
    Reconciling(Reconcile),
    /// Sending what is dirty as it becomes dirty.
    Live,
}

impl Phase {
    fn name(&self) -> &'static str {
        match self {
            Self::Greeting => "awaiting hello",
            Self::Reconciling(_) => "reconciling",
            Self::Live => "live",
        }
    }
}

/// One peer.
#[derive(Debug)]
pub struct Session {
    peer: PeerId,
    dialer: bool,
    /// What names of documents are salted with in this session.
    salt: u64,
    phase: Phase,
    ours: Hello,
    theirs: Option<Hello>,
    lanes: PerClass<Lane>,
    fair: Fair,
    window: SendWindow,
    /// Bytes of data frames that came in, and how many of them the peer was told of.
    received_bytes: u64,
    receipted_bytes: u64,
    control: VecDeque<Control>,
    /// A frame that came for [`super::membership`].
    members: Option<MembersFrame>,
    control_out: Ordinal,
    control_in: Ordinal,
    /// When the next lazy frame (receipt or claim) is due.
    lazy_due: Option<Now>,
    lazy_ready: bool,
    plants: Plants,
}

impl Session {
    /// A session with an admitted peer over a path with this round trip; `ours` is what we say of ourselves,
    /// `salt` is new and nobody's guess.
    pub fn new(peer: PeerId, dialer: bool, round_trip: Duration, ours: Hello, salt: u64) -> Self {
        Self {
            peer,
            dialer,
            salt,
            phase: Phase::Greeting,
            control: VecDeque::from([Control::Hello(ours.clone())]),
            ours,
            theirs: None,
            lanes: PerClass::default(),
            fair: Fair::default(),
            window: SendWindow::new(round_trip),
            received_bytes: 0,
            receipted_bytes: 0,
            members: None,
            control_out: Ordinal::default(),
            control_in: Ordinal::default(),
            lazy_due: None,
            lazy_ready: false,
            plants: Plants::default(),
        }
    }

    /// With bugs.
    pub(super) fn planted(mut self, plants: Plants) -> Self {
        self.plants = plants;
        self.lanes.iter_mut().for_each(|lane| lane.outbox.plants = plants);
        self
    }

    /// With whom.
    pub fn peer(&self) -> PeerId {
        self.peer
    }

    /// The peer's store, once it has said hello.
    pub fn theirs(&self) -> Option<&Hello> {
        self.theirs.as_ref()
    }

    /// Whether both sides resumed from watermarks; `None` before the peer's hello.
    pub fn resumed(&self) -> Option<bool> {
        self.theirs.as_ref().map(|theirs| self.ours.both_resume(theirs))
    }

    /// Whether something is known to be missing on the peer.
    pub fn is_behind(&self) -> bool {
        !matches!(self.phase, Phase::Live) || self.lanes.iter().any(Lane::is_behind)
    }

    /// Which numbers of ours the peer wants and has not acknowledged.
    pub fn lacking(&self) -> Lacking {
        match self.phase {
            Phase::Live => self.lanes.iter().map(Lane::lacking).fold(Lacking::Nothing, Lacking::and),
            Phase::Greeting | Phase::Reconciling(_) => Lacking::Unknown,
        }
    }

    /// Whether it is still being learned what differs.
    pub fn is_reconciling(&self) -> bool {
        matches!(self.phase, Phase::Reconciling(_))
    }

    /// What of ours the peer has durably, by its own word: every change up to this number that it wants.
    pub fn peer_has(&self, documents: &Documents) -> Seq {
        let lacking = self.lanes.iter().filter_map(Lane::unacknowledged_from);
        lacking.min().unwrap_or_else(|| documents.durable())
    }

    /// Documents that the peer still has to be sent.
    pub fn dirty(&self) -> usize {
        self.lanes.iter().map(|lane| lane.outbox.len()).sum()
    }

    /// Takes the payload of a control frame.
    pub fn on_control(&mut self, documents: &Documents, payload: &[u8], now: Now) -> Result<(), SessionError> {
        let frame = Control::decode(payload, &mut self.control_in)?;
        match (frame, &mut self.phase) {
            (Control::Hello(theirs), Phase::Greeting) => self.greet(documents, theirs),
            (Control::Reconcile(turn), Phase::Reconciling(reconcile)) => {
                let theirs = self.theirs.as_ref().expect("a session reconciles after the hello");
                let admits = |key: &DocKey| self.ours.interest.wants(key) || theirs.interest.wants(key);
                let view = View { index: documents.index(), admits: &admits, history: documents, plants: self.plants };
                let outcome = reconcile.receive(&view, turn)?;
                for (key, has) in outcome.send {
                    if self.is_asked_for(&key) {
                        self.lane_of(documents, &key).outbox.mark_reconciled(key, has);
                    }
                }
                for (key, has) in outcome.expect {
                    if self.is_asked_for(&key) {
                        // What we do not ask for does not come.
                        let comes = self.asks_for(&key);
                        let outbox = &mut self.lane_of(documents, &key).outbox;
                        if comes { outbox.expect(key, has) } else { outbox.mark_reconciled(key, has) }
                    }
                }
                self.control.extend(outcome.reply.map(Control::Reconcile));
                if outcome.done {
                    self.finish_reconciling(documents);
                }
                Ok(())
            }
            (Control::Receipt { received, through }, Phase::Live | Phase::Reconciling(_)) => {
                if through.iter().any(|through| *through > documents.durable())
                    || !self.window.on_received(received, now)
                {
                    return Err(SessionError::Receipt);
                }
                self.lanes.iter_mut().zip(through).for_each(|(lane, through)| lane.on_ack(through));
                Ok(())
            }
            (Control::Members(frame), Phase::Live | Phase::Reconciling(_)) => {
                self.members = Some(frame);
                Ok(())
            }
            (frame, phase) => {
                let frame = match frame {
                    Control::Hello(_) => "hello",
                    Control::Reconcile(_) => "reconcile",
                    Control::Receipt { .. } => "receipt",
                    Control::Members(_) => "members",
                };
                Err(SessionError::OutOfPhase { frame, phase: phase.name() })
            }
        }
    }

    /// Decodes a data frame. Data before hello is refused: it is not known whose numbers it claims.
    pub fn decode_data(&mut self, class: Class, payload: &[u8]) -> Result<(Data, &Hello), SessionError> {
        let Some(theirs) = &self.theirs else {
            return Err(SessionError::OutOfPhase { frame: "data", phase: self.phase.name() });
        };
        self.received_bytes += payload.len() as u64;
        Ok((Data::decode(payload, &mut self.lanes[class.index()].data_in)?, theirs))
    }

    /// Whether the peer is to be told how much of its data has come in.
    pub fn owes_receipt(&self) -> bool {
        self.received_bytes - self.receipted_bytes >= limits::RECEIPT_EVERY_BYTES
    }

    /// Whether we ask for a document.
    pub fn asks_for(&self, key: &DocKey) -> bool {
        self.ours.interest.wants(key)
    }

    /// The peer claims that we have its changes of a class up to here. If that is news: how far we have all of them.
    pub fn on_claim(&mut self, class: Class, through: Seq) -> Option<Seen> {
        let theirs = self.theirs.as_ref()?;
        let (epoch, classes, interest) = (theirs.epoch, theirs.classes, self.ours.interest.fingerprint());
        if !self.lanes[class.index()].on_claim(through) {
            return None;
        }
        let mut seen = Seen { epoch, classes, interest, through: PerClass::default() };
        for (seen, lane) in seen.through.iter_mut().zip(&self.lanes) {
            *seen = lane.received();
        }
        Some(seen)
    }

    /// Whether a watermark is about the peer's present store and class map, and about what we ask for.
    pub fn is_about(&self, seen: &Seen) -> bool {
        self.theirs.as_ref().is_some_and(|theirs| theirs.epoch == seen.epoch && theirs.classes == seen.classes)
            && self.ours.interest.fingerprint() == seen.interest
    }

    /// A change became durable. If the peer asks for it, it may lack it, unless it brought it itself.
    pub fn mark(&mut self, key: &DocKey, class: Class, seq: Seq, theirs: bool) {
        if matches!(self.phase, Phase::Greeting) || !self.is_asked_for(key) {
            return;
        }
        let lane = &mut self.lanes[class.index()];
        if theirs { lane.brought(key, seq) } else { lane.mark(key, seq) }
    }

    /// What the peer sent of a document was known.
    pub fn arrived(&mut self, key: &DocKey, class: Class) {
        self.lanes[class.index()].outbox.arrived(key);
    }

    /// The peer wrote on a version that was begun anew meanwhile. If it does not ask for the document, nobody tells it: it
    /// is sent all the same, so that what it wrote is carried over.
    pub fn correct(&mut self, key: &DocKey, class: Class) {
        if !self.is_asked_for(key) {
            self.lanes[class.index()].outbox.mark_reconciled(key.clone(), Marks::none());
        }
    }

    /// For a planted bug: what the peer sent, and was known, is answered.
    pub(super) fn echo(&mut self, key: &DocKey, class: Class) {
        self.lanes[class.index()].outbox.mark_reconciled(key.clone(), Marks::none());
    }

    /// A transaction ended: lazy frames may be due later.
    pub fn on_committed(&mut self, received_durable: Option<&PerClass<Seq>>, now: Now) {
        if let Some(through) = received_durable {
            self.lanes.iter_mut().zip(through).for_each(|(lane, through)| lane.on_durable(*through));
        }
        if self.theirs.is_some() && self.lazy_due.is_none() && self.has_lazy() {
            self.lazy_due = Some(now + limits::ACK_DELAY);
        }
    }

    /// When [`Session::tick`] is due.
    pub fn deadline(&self) -> Option<Now> {
        self.lazy_due
    }

    /// Time has passed. Returns whether there is something to send now.
    pub fn tick(&mut self, now: Now) -> bool {
        if self.lazy_due.is_none_or(|due| now < due) {
            return false;
        }
        self.lazy_due = None;
        self.lazy_ready = true;
        if self.lanes.iter().any(Lane::owes_ack) {
            self.push_receipt();
        }
        true
    }

    /// Takes the members frame that the last control frame was, if it was one.
    pub fn take_members(&mut self) -> Option<MembersFrame> {
        self.members.take()
    }

    /// Payload of a control frame that carries a members frame.
    pub fn encode_members(&mut self, frame: MembersFrame) -> Vec<u8> {
        Control::Members(frame).encode(&mut self.control_out)
    }

    /// Payload of the next control frame to send.
    pub fn next_control(&mut self) -> Option<Vec<u8>> {
        if self.control.is_empty() && self.owes_receipt() {
            self.push_receipt();
        }
        Some(self.control.pop_front()?.encode(&mut self.control_out))
    }

    /// Payload of the next data frame to send, and the class of the stream that it belongs to.
    pub fn next_data(&mut self, documents: &Documents, now: Now) -> Result<Option<(Class, Vec<u8>)>, SessionError> {
        if !matches!(self.phase, Phase::Live) {
            return Ok(None);
        }
        if self.plants.has(Plant::OneWaySync) && !self.dialer && self.resumed() == Some(true) {
            return Ok(None);
        }
        while let Some(class) = {
            let has_work = |class: Class| self.lanes[class.index()].has_work();
            match self.plants.has(Plant::StarvedClass) {
                true => Class::ALL.into_iter().find(|class| has_work(*class)),
                false => self.fair.next(has_work),
            }
        } {
            if !self.window.is_open() {
                return Ok(None);
            }
            if let Some(update) = self.lanes[class.index()].next_update(documents)? {
                return Ok(Some(self.encode(class, &update, now)));
            }
        }
        // Nothing is dirty. A claim alone is worth a frame only after its delay.
        if self.lazy_ready {
            for class in Class::ALL {
                if let Some(claim) = self.lanes[class.index()].next_claim(documents.durable()) {
                    return Ok(Some(self.encode(class, &claim, now)));
                }
            }
            // What is expected brings no claim with it if nothing is left to send.
            self.lazy_ready = self.lanes.iter().any(|lane| lane.outbox.is_expecting());
        }
        Ok(None)
    }

    fn encode(&mut self, class: Class, frame: &Data, now: Now) -> (Class, Vec<u8>) {
        let payload = frame.encode(&mut self.lanes[class.index()].data_out);
        self.fair.served(class, payload.len());
        self.window.wrote(payload.len(), now);
        (class, payload)
    }

    fn push_receipt(&mut self) {
        let mut through = PerClass::default();
        through.iter_mut().zip(&mut self.lanes).for_each(|(through, lane)| *through = lane.ack());
        self.receipted_bytes = self.received_bytes;
        self.control.push_back(Control::Receipt { received: self.received_bytes, through });
    }

    fn has_lazy(&self) -> bool {
        self.lanes.iter().any(|lane| lane.owes_ack() || lane.owes_claim())
    }

    fn is_asked_for(&self, key: &DocKey) -> bool {
        let ignores = self.plants.has(Plant::IgnoredInterest);
        self.theirs.as_ref().is_some_and(|theirs| theirs.interest.wants(key) || ignores)
    }

    fn lane_of(&mut self, documents: &Documents, key: &DocKey) -> &mut Lane {
        &mut self.lanes[documents.index().classes().of(key.collection()).index()]
    }

    /// From here on everything that the peer lacks is dirty; once that is sent it is told how far it has come, so that
    /// the next session resumes.
    fn finish_reconciling(&mut self, documents: &Documents) {
        for class in Class::ALL {
            self.lanes[class.index()].reconciled(documents.index().newest(class));
        }
        self.lazy_ready = true;
        self.phase = Phase::Live;
    }

    fn greet(&mut self, documents: &Documents, theirs: Hello) -> Result<(), SessionError> {
        if self.ours.both_resume(&theirs) {
            let ours_there = self.ours.watermarks_of(&theirs);
            let theirs_here = theirs.watermarks_of(&self.ours);
            for class in Class::ALL {
                let lane = &mut self.lanes[class.index()];
                let through = ours_there[class.index()];
                lane.resume(through, theirs_here[class.index()]);
                let changed = documents.index().changed_after(class, through);
                for (key, meta) in changed.filter(|(key, _)| theirs.interest.wants(key)) {
                    match documents.first_unsent(key, through)? {
                        Some(first) => lane.mark(key, first),
                        None => lane.note(meta.seq),
                    }
                }
            }
            self.phase = Phase::Live;
        } else if self.dialer {
            let admits = |key: &DocKey| self.ours.interest.wants(key) || theirs.interest.wants(key);
            let view = View { index: documents.index(), admits: &admits, history: documents, plants: self.plants };
            let (reconcile, first) = Reconcile::begin(&view, self.salt);
            self.control.push_back(Control::Reconcile(first));
            self.phase = Phase::Reconciling(reconcile);
        } else {
            self.phase = Phase::Reconciling(Reconcile::wait(self.salt));
        }
        self.theirs = Some(theirs);
        Ok(())
    }
}
