//! One peer: hello, then resume or reconcile, then live.
//!
//! A session begins when the peer is admitted and dies with its connection; nothing of it outlives that but the
//! watermark, which lives in the store.

use std::collections::VecDeque;
use std::time::Duration;

use super::batch::{PeerId, StoreReadError};
use super::documents::{DocumentError, Documents, RemoteError};
use super::key::DocKey;
use super::outbox::Outbox;
use super::reconcile::{Reconcile, ReconcileError};
use super::wire::{Control, Data, FrameError, Hello, Ordinal, Seq, Update};
use crate::limits;

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

/// A document on its way out, cut into frames.
#[derive(Debug)]
struct Sending {
    key: DocKey,
    pieces: VecDeque<Vec<u8>>,
}

/// Positions in the four streams of a session.
#[derive(Debug, Default)]
struct Ordinals {
    control_out: Ordinal,
    control_in: Ordinal,
    data_out: Ordinal,
    data_in: Ordinal,
}

/// One peer.
#[derive(Debug)]
pub struct Session {
    peer: PeerId,
    dialer: bool,
    phase: Phase,
    ours: Hello,
    theirs: Option<Hello>,
    outbox: Outbox,
    sending: Option<Sending>,
    /// Highest number of ours that we told the peer it has.
    claimed: Seq,
    /// Highest number of theirs that the peer told us we have.
    received: Seq,
    /// The same, as far as it is durable here.
    received_durable: Seq,
    acked: Seq,
    /// What of ours the peer has durably, by its word.
    peer_has: Seq,
    control: VecDeque<Control>,
    ordinals: Ordinals,
    /// When the next lazy frame (ack or claim) is due.
    lazy_due: Option<Now>,
    lazy_ready: bool,
}

impl Session {
    /// A session with an admitted peer; `ours` is what we say of ourselves.
    pub fn new(peer: PeerId, dialer: bool, ours: Hello) -> Self {
        Self {
            peer,
            dialer,
            phase: Phase::Greeting,
            ours,
            theirs: None,
            outbox: Outbox::default(),
            sending: None,
            claimed: 0,
            received: 0,
            received_durable: 0,
            acked: 0,
            peer_has: 0,
            control: VecDeque::from([Control::Hello(ours)]),
            ordinals: Ordinals::default(),
            lazy_due: None,
            lazy_ready: false,
        }
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
        !matches!(self.phase, Phase::Live) || !self.outbox.is_empty() || self.sending.is_some()
    }

    /// Documents of which the peer still has to be sent something.
    pub fn waiting_documents(&self) -> usize {
        self.outbox.len() + usize::from(self.sending.is_some())
    }

    /// Whether it is still being learned what differs.
    pub fn is_reconciling(&self) -> bool {
        matches!(self.phase, Phase::Reconciling(_))
    }

    /// What of ours the peer has durably, by its own word.
    pub fn peer_has(&self) -> Seq {
        self.peer_has
    }

    /// Takes the payload of a control frame.
    pub fn on_control(&mut self, documents: &Documents, payload: &[u8]) -> Result<(), SessionError> {
        let frame = Control::decode(payload, &mut self.ordinals.control_in)?;
        match (frame, &mut self.phase) {
            (Control::Hello(theirs), Phase::Greeting) => self.greet(documents, theirs),
            (Control::Reconcile(ranges), Phase::Reconciling(reconcile)) => {
                let outcome = reconcile.receive(documents.index(), ranges)?;
                for (key, heads) in outcome.send {
                    self.outbox.mark_from_heads(key, heads);
                }
                self.control.extend(outcome.reply.map(Control::Reconcile));
                if outcome.done {
                    self.phase = Phase::Live;
                }
                Ok(())
            }
            (Control::Ack { through }, Phase::Live | Phase::Reconciling(_)) => {
                self.peer_has = self.peer_has.max(through);
                Ok(())
            }
            (frame, phase) => {
                let frame = match frame {
                    Control::Hello(_) => "hello",
                    Control::Reconcile(_) => "reconcile",
                    Control::Ack { .. } => "ack",
                };
                Err(SessionError::OutOfPhase { frame, phase: phase.name() })
            }
        }
    }

    /// Decodes a data frame. Data before hello is refused: it is not known whose numbers it claims.
    pub fn decode_data(&mut self, payload: &[u8]) -> Result<(Data, Hello), SessionError> {
        match self.theirs {
            None => Err(SessionError::OutOfPhase { frame: "data", phase: self.phase.name() }),
            Some(theirs) => Ok((Data::decode(payload, &mut self.ordinals.data_in)?, theirs)),
        }
    }

    /// The peer claims that we have its changes up to here; returns whether that is news.
    pub fn on_claim(&mut self, through: Seq) -> bool {
        let news = through > self.received;
        self.received = self.received.max(through);
        news
    }

    /// A change became durable and the peer may lack it.
    pub fn mark(&mut self, key: &DocKey, seq: Seq) {
        if !matches!(self.phase, Phase::Greeting) {
            self.outbox.mark(key, seq);
        }
    }

    /// A transaction ended: lazy frames may be due later.
    pub fn on_committed(&mut self, received_durable: Option<Seq>, durable: Seq, now: Now) {
        if let Some(through) = received_durable {
            self.received_durable = self.received_durable.max(through);
        }
        if self.theirs.is_some() && self.lazy_due.is_none() && self.has_lazy(durable) {
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
        if self.received_durable > self.acked {
            self.acked = self.received_durable;
            self.control.push_back(Control::Ack { through: self.acked });
        }
        true
    }

    /// Payload of the next control frame to send.
    pub fn next_control(&mut self) -> Option<Vec<u8>> {
        Some(self.control.pop_front()?.encode(&mut self.ordinals.control_out))
    }

    /// Payload of the next data frame to send.
    pub fn next_data(&mut self, documents: &Documents) -> Result<Option<Vec<u8>>, SessionError> {
        let frame = self.next_data_frame(documents)?;
        Ok(frame.map(|frame| frame.encode(&mut self.ordinals.data_out)))
    }

    fn next_data_frame(&mut self, documents: &Documents) -> Result<Option<Data>, SessionError> {
        if !matches!(self.phase, Phase::Live) {
            return Ok(None);
        }
        loop {
            if let Some(sending) = &mut self.sending {
                if let Some(changes) = sending.pieces.pop_front() {
                    let key = sending.key.clone();
                    let last = sending.pieces.is_empty();
                    if last {
                        self.sending = None;
                    }
                    let through = if last { self.claim(documents.durable()) } else { 0 };
                    return Ok(Some(Data::Update(Update { key, changes, through })));
                }
                self.sending = None;
            }
            let Some((key, base)) = self.outbox.pop() else { break };
            let pieces = documents.changes_for(&key, &base)?;
            if !pieces.is_empty() {
                self.sending = Some(Sending { key, pieces: pieces.into() });
            }
        }
        // Nothing is dirty. A claim alone is worth a frame only after its delay, or at first.
        let due = std::mem::take(&mut self.lazy_ready) || self.claimed == 0;
        if due && documents.durable() > self.claimed {
            let through = self.claim(documents.durable());
            return Ok(Some(Data::Through { through }));
        }
        Ok(None)
    }

    fn has_lazy(&self, durable: Seq) -> bool {
        self.received_durable > self.acked || (self.outbox.is_empty() && durable > self.claimed)
    }

    /// What may be claimed now; remembers it.
    fn claim(&mut self, durable: Seq) -> Seq {
        let through = self.outbox.claimable(durable);
        if through <= self.claimed {
            return 0;
        }
        self.claimed = through;
        through
    }

    fn greet(&mut self, documents: &Documents, theirs: Hello) -> Result<(), SessionError> {
        self.theirs = Some(theirs);
        if self.ours.both_resume(&theirs) {
            let through = theirs.seen.map_or(0, |seen| seen.through);
            self.claimed = through;
            self.peer_has = through;
            self.received = self.ours.seen.map_or(0, |seen| seen.through);
            self.received_durable = self.received;
            self.acked = self.received;
            for (key, _) in documents.index().changed_after(through) {
                if let Some(first) = documents.first_unsent(key, through)? {
                    self.outbox.mark(key, first);
                }
            }
            self.phase = Phase::Live;
        } else if self.dialer {
            let (reconcile, first) = Reconcile::begin(documents.index());
            self.control.push_back(Control::Reconcile(first));
            self.phase = Phase::Reconciling(reconcile);
        } else {
            self.phase = Phase::Reconciling(Reconcile::wait());
        }
        Ok(())
    }
}
