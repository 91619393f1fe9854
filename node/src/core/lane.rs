//! One class of traffic of a session: what is to be sent, and how far both sides have come.

use std::collections::VecDeque;

use super::documents::{Documents, Piece};
use super::key::DocKey;
use super::lag::Lacking;
use super::outbox::{Base, Outbox};
use super::reconcile::Marks;
use super::session::SessionError;
use super::wire::{Data, Ordinal, Seq, Update};
use crate::node::Plant;

/// A document on its way out, cut into frames.
#[derive(Debug)]
struct Sending {
    key: DocKey,
    pieces: VecDeque<Piece>,
}

/// One class of traffic of a session.
#[derive(Debug, Default)]
pub struct Lane {
    /// What the peer still has to be sent.
    pub outbox: Outbox,
    sending: Option<Sending>,
    /// Position in our stream of this class.
    pub data_out: Ordinal,
    /// Position in the peer's.
    pub data_in: Ordinal,
    /// Number of our newest change of this class that the peer wants or brought.
    newest: Seq,
    /// Numbers of the oldest and the newest change of ours that the peer wants, did not bring itself, and has not
    /// acknowledged; the newest is at most `peer_has` when there is none.
    oldest_lacking: Seq,
    newest_lacking: Seq,
    /// Whether the peer is yet to say for the first time what it has: reconciliation does not tell.
    unknown: bool,
    /// Highest number of ours that we told the peer it has.
    claimed: Seq,
    /// What of ours the peer has durably, by its word.
    peer_has: Seq,
    /// Highest number of theirs that the peer told us we have.
    received: Seq,
    /// The same, as far as it is durable here.
    received_durable: Seq,
    acked: Seq,
}

impl Lane {
    /// Takes up what both sides know from before: the peer has our changes up to `theirs`, we have its up to `ours`.
    pub fn resume(&mut self, theirs: Seq, ours: Seq) {
        self.claimed = theirs;
        self.peer_has = theirs;
        self.newest = theirs;
        self.newest_lacking = theirs;
        self.received = ours;
        self.received_durable = ours;
        self.acked = ours;
    }

    /// A change became durable that the peer may lack.
    pub fn mark(&mut self, key: &DocKey, seq: Seq) {
        self.outbox.mark(key, seq);
        self.newest = self.newest.max(seq);
        self.lack(seq);
    }

    /// A change became durable that is to be claimed, not sent.
    pub fn note(&mut self, seq: Seq) {
        self.newest = self.newest.max(seq);
    }

    fn lack(&mut self, seq: Seq) {
        if self.newest_lacking <= self.peer_has || seq < self.oldest_lacking {
            self.oldest_lacking = seq;
        }
        self.newest_lacking = self.newest_lacking.max(seq);
    }

    /// Reconciliation has marked what differs; our changes of this class go up to this number.
    pub fn reconciled(&mut self, newest: Seq) {
        self.note(newest);
        self.lack(newest);
        self.unknown = newest > 0;
    }

    /// Which numbers of ours the peer wants and has not acknowledged.
    pub fn lacking(&self) -> Lacking {
        match self.newest_lacking > self.peer_has {
            true if self.unknown => Lacking::Unknown,
            true => Lacking::Numbers { oldest: self.oldest_lacking, newest: self.newest_lacking },
            false => Lacking::Nothing,
        }
    }

    /// A change became durable that came from the peer itself.
    pub fn brought(&mut self, key: &DocKey, seq: Seq) {
        self.outbox.arrived(key);
        self.note(seq);
    }

    /// Whether a document is dirty or half sent.
    pub fn has_work(&self) -> bool {
        self.sending.is_some() || self.outbox.has_dirty()
    }

    /// Whether the peer lacks something, or it is not known yet what.
    pub fn is_behind(&self) -> bool {
        self.has_work() || self.outbox.is_expecting()
    }

    /// The next update, if anything is left to send of what is dirty.
    pub fn next_update(&mut self, documents: &Documents) -> Result<Option<Data>, SessionError> {
        loop {
            if let Some(sending) = &mut self.sending {
                if let Some(Piece { changes, base }) = sending.pieces.pop_front() {
                    let key = sending.key.clone();
                    let last = sending.pieces.is_empty();
                    if last {
                        self.sending = None;
                    }
                    let through = if last { self.claim(documents.durable()) } else { 0 };
                    return Ok(Some(Data::Update(Update { key, changes, base, through })));
                }
                self.sending = None;
            }
            let Some((key, mut base)) = self.outbox.pop() else { return Ok(None) };
            if self.outbox.plants.has(Plant::WholeHistory) {
                base = Base::Has(Marks::none());
            }
            let pieces = documents.changes_for(&key, &base)?;
            let asked = self.outbox.take_asked(&key);
            if pieces.is_empty() && asked {
                // Nothing is an answer, too.
                let through = self.claim(documents.durable());
                return Ok(Some(Data::Update(Update { key, changes: vec![], base: None, through })));
            }
            if !pieces.is_empty() {
                self.sending = Some(Sending { key, pieces: pieces.into() });
            }
        }
    }

    /// Whether a claim is due that no update carries.
    pub fn owes_claim(&self) -> bool {
        !self.is_behind() && self.newest > self.claimed
    }

    /// The claim that is owed.
    pub fn next_claim(&mut self, durable: Seq) -> Option<Data> {
        if !self.owes_claim() {
            return None;
        }
        let through = self.claim(durable);
        (through > 0).then_some(Data::Through { through })
    }

    /// The peer claims that we have its changes up to here; returns whether that is news.
    pub fn on_claim(&mut self, through: Seq) -> bool {
        let news = through > self.received;
        self.received = self.received.max(through);
        news
    }

    /// What the peer claimed is durable here up to this number.
    pub fn on_durable(&mut self, through: Seq) {
        self.received_durable = self.received_durable.max(through);
    }

    /// The peer has ours durably up to this number; that may have been claimed in a session before this one.
    pub fn on_ack(&mut self, through: Seq) {
        if through > self.peer_has {
            self.peer_has = through;
            self.oldest_lacking = self.oldest_lacking.max(through + 1);
            self.unknown = false;
        }
    }

    /// Whether the peer may be told that more of its changes are durable here.
    pub fn owes_ack(&self) -> bool {
        self.received_durable > self.acked
    }

    /// What of the peer's is durable here; it is told now.
    pub fn ack(&mut self) -> Seq {
        self.acked = self.received_durable;
        self.acked
    }

    /// What of the peer's is claimed and received so far.
    pub fn received(&self) -> Seq {
        self.received
    }

    /// Everything of ours up to here is durable at the peer, by its word; `None`: everything it wants is.
    pub fn unacknowledged_from(&self) -> Option<Seq> {
        (self.is_behind() || self.newest > self.peer_has).then_some(self.peer_has)
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
}
