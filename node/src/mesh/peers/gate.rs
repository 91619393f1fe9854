//! Who is let in: the allow-list, the throttle, and what is said about those who are not.

use iroh::EndpointId;

use super::{CloseCode, Mesh};
use crate::core::batch::PeerId;
use crate::core::session::Now;
use crate::mesh::admission::refusal_log::Summary;
use crate::mesh::admission::{AdmissionSnapshot, Counted};
use crate::mesh::allow_list::AllowList;
use crate::mesh::throttle::{self, Origin, Outcome, Pass, Verdict};
use crate::node::lock;

impl Mesh {
    /// Puts another allow-list in force, or none. Sessions with peers that it does not have are closed at once;
    /// wanted peers that it has now are dialled at once. Returns who was revoked.
    pub fn set_allow_list(&self, list: Option<AllowList>, now: Now) -> Vec<EndpointId> {
        let mut state = lock(&self.state);
        let before = std::mem::replace(&mut state.allowed, list);
        let mut revoked = Vec::new();
        for live in state.live.values() {
            let peer = live.connection.remote_id();
            if !state.allows(peer.as_bytes()) {
                CloseCode::Revoked.close(&live.connection);
                self.admissions.count(Counted::Revoked);
                revoked.push(peer);
            }
        }
        let barred_before = |peer: &PeerId| before.as_ref().is_some_and(|list| !list.contains(peer));
        let mut reconnect = lock(&self.reconnect);
        for peer in state.wanted.keys().filter(|peer| state.allows(peer) && barred_before(peer)) {
            reconnect.want(*peer, state.live.contains_key(peer), now);
        }
        drop((state, reconnect));
        // Who was found may be wanted now, or no more.
        self.choose(now);
        self.dial.notify_one();
        revoked
    }

    /// Whether the allow-list, if there is one, has a peer.
    pub fn allows(&self, peer: &PeerId) -> bool {
        lock(&self.state).allows(peer)
    }

    /// Decides about a first packet.
    pub fn knock(&self, origin: &Origin, validated: bool, now: Now) -> Verdict {
        // All that come through a relay are one source, and endpoint ids are free: strangers there could keep out a peer
        // that was never here. But a relay has its clients prove their ids.
        let known = matches!(origin, Origin::Relay { peer, .. } if lock(&self.state).knows(peer));
        let mut throttle = lock(&self.throttle);
        if known { throttle.knock_known(origin, validated, now) } else { throttle.knock(origin, validated, now) }
    }

    /// An admission is over.
    pub fn settle(&self, pass: Pass, outcome: Outcome, now: Now) {
        lock(&self.throttle).settle(pass, outcome, now);
    }

    /// Counts a refusal; `true`: it is to be logged on its own.
    pub fn note_refusal(&self, source: throttle::Source, now: Now) -> bool {
        let news = lock(&self.refusals).note(source, now);
        if news {
            self.refusal_noted.notify_one();
        }
        news
    }

    /// Hands out the summaries that are due; returns when there may be more.
    pub fn summarise_refusals(&self, now: Now, mut tell: impl FnMut(Summary)) -> Option<Now> {
        let mut refusals = lock(&self.refusals);
        refusals.due(now).into_iter().for_each(&mut tell);
        refusals.deadline()
    }

    /// What became of everyone who knocked.
    pub fn admission_snapshot(&self) -> AdmissionSnapshot {
        let pending = lock(&self.throttle).pending();
        self.admissions.snapshot(pending)
    }
}
