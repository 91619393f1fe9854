//! What happened to sessions since the start: counts, and for each peer what an operator asks first.
//!
//! Fed in one place, [`crate::node::Observation`]s as they are emitted, and by failed dials, which are too many in a
//! long outage to be observations. Nothing decides by it.

use std::collections::BTreeMap;

use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::limits;
use crate::node::Observation;

/// What happened to one peer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PeerLedger {
    /// Sessions that came up.
    pub sessions: u32,
    /// When the last one ended, unless it lives.
    pub down_since: Option<Now>,
    /// What went wrong last, and when. Kept when a session comes up: why the last one was lost is a good question.
    pub last_error: Option<(String, Now)>,
    /// When something was last written here.
    touched: Now,
}

/// Counts since the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts to dial.
    pub dials: u64,
    /// Attempts that led to no session.
    pub dial_failures: u64,
    /// Sessions that resumed from watermarks.
    pub sessions_resumed: u64,
    /// Sessions that had to reconcile.
    pub sessions_reconciled: u64,
    /// Sessions that ended.
    pub sessions_ended: u64,
    /// Sessions with a peer that had one before in this run.
    pub reconnects: u64,
    /// Transactions.
    pub commits: u64,
    /// Changes in them.
    pub committed_changes: u64,
}

/// Counts and peers.
#[derive(Debug, Default)]
pub struct Ledger {
    counts: Counts,
    peers: BTreeMap<PeerId, PeerLedger>,
}

impl Ledger {
    /// Something happened.
    pub fn observe(&mut self, event: &Observation, now: Now) {
        match event {
            Observation::Dialing { .. } => self.counts.dials += 1,
            Observation::SessionUp { peer, resumed } => {
                *if *resumed { &mut self.counts.sessions_resumed } else { &mut self.counts.sessions_reconciled } += 1;
                let peer = self.peer(*peer.as_bytes(), now);
                peer.sessions += 1;
                peer.down_since = None;
                let again = peer.sessions > 1;
                self.counts.reconnects += u64::from(again);
            }
            Observation::SessionDown { peer, reason } => {
                self.counts.sessions_ended += 1;
                let peer = self.peer(*peer.as_bytes(), now);
                peer.down_since = Some(now);
                peer.last_error = Some((shortened(reason), now));
            }
            // A stranger gets no entry: there is no end of strangers. They are counted by admission.
            Observation::Refused { .. } => {}
            Observation::Committed { changes } => {
                self.counts.commits += 1;
                self.counts.committed_changes += *changes as u64;
            }
        }
    }

    /// An attempt to dial led to no session.
    pub fn dial_failed(&mut self, peer: PeerId, reason: &str, now: Now) {
        self.counts.dial_failures += 1;
        self.peer(peer, now).last_error = Some((shortened(reason), now));
    }

    /// Counts since the start.
    pub fn counts(&self) -> &Counts {
        &self.counts
    }

    /// What happened to a peer.
    pub fn of(&self, peer: &PeerId) -> Option<&PeerLedger> {
        self.peers.get(peer)
    }

    fn peer(&mut self, id: PeerId, now: Now) -> &mut PeerLedger {
        if self.peers.len() >= limits::MAX_LEDGER_PEERS && !self.peers.contains_key(&id) {
            let oldest = self.peers.iter().min_by_key(|(_, peer)| peer.touched).map(|(id, _)| *id);
            oldest.and_then(|id| self.peers.remove(&id));
        }
        let peer = self.peers.entry(id).or_default();
        peer.touched = now;
        peer
    }
}

/// A reason without what a terminal would obey, cut to a length that can be read.
fn shortened(reason: &str) -> String {
    let mut text = String::new();
    for c in reason.chars().map(|c| if c.is_control() { ' ' } else { c }) {
        if text.len() + c.len_utf8() > limits::MAX_REASON_BYTES {
            text.push('…');
            break;
        }
        text.push(c);
    }
    text
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use iroh::{EndpointId, SecretKey};

    use super::*;

    fn peer(seed: u8) -> EndpointId {
        SecretKey::from_bytes(&[seed; 32]).public()
    }

    fn at(seconds: u64) -> Now {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_second_session_is_a_reconnect_and_the_reason_of_the_loss_stays() {
        let mut ledger = Ledger::default();
        ledger.observe(&Observation::SessionUp { peer: peer(1), resumed: false }, at(1));
        ledger.observe(&Observation::SessionUp { peer: peer(2), resumed: false }, at(1));
        ledger.observe(&Observation::SessionDown { peer: peer(1), reason: "timed\nout".into() }, at(9));
        assert_eq!(ledger.of(peer(1).as_bytes()).expect("known").down_since, Some(at(9)));
        ledger.observe(&Observation::SessionUp { peer: peer(1), resumed: true }, at(20));
        let (counts, one) = (ledger.counts(), ledger.of(peer(1).as_bytes()).expect("known"));
        assert_eq!((counts.sessions_reconciled, counts.sessions_resumed, counts.reconnects), (2, 1, 1));
        assert_eq!((one.sessions, one.down_since), (2, None));
        assert_eq!(one.last_error, Some(("timed out".into(), at(9))));
    }

    #[test]
    fn strangers_leave_no_entry() {
        let mut ledger = Ledger::default();
        ledger.observe(&Observation::Refused { peer: peer(3), reason: "whatever came from outside".into() }, at(1));
        assert_eq!(ledger.of(peer(3).as_bytes()), None);
    }

    #[test]
    fn peers_and_reasons_are_bounded() {
        let mut ledger = Ledger::default();
        let id = |i: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(i as u64).to_be_bytes());
            id
        };
        for i in 0..=limits::MAX_LEDGER_PEERS {
            ledger.dial_failed(id(i), &"é".repeat(1000), at(i as u64));
        }
        assert_eq!(ledger.peers.len(), limits::MAX_LEDGER_PEERS);
        assert_eq!(ledger.of(&id(0)), None, "nothing has happened to it for the longest time");
        let (reason, _) = ledger.of(&id(1)).expect("still there").last_error.clone().expect("failed");
        assert!(reason.len() <= limits::MAX_REASON_BYTES + '…'.len_utf8() && reason.ends_with('…'));
    }
}
