//! Who of those that were found is wanted, and what is kept of them over a restart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use iroh::endpoint::Connection;

use super::{CloseCode, Mesh, State};
use crate::core::batch::PeerId;
use crate::core::membership::MembersError;
use crate::core::relay_url::is_relay_url;
use crate::core::session::{Now, SessionId};
use crate::core::topology::{self, Candidate, Reach, Role};
use crate::core::wire::members::{Aged, MembersFrame};
use crate::limits;
use crate::mesh::discovery::Source;
use crate::node::{Shared, lock};
use crate::store::MemberRow;

/// What was seen of a peer itself.
#[derive(Debug, Clone, Default)]
struct Met {
    /// Where there was a session with it, the last one first.
    addresses: Vec<String>,
    /// The way of discovery that found it, if one other than gossip did.
    source: Option<u8>,
    /// When it was last seen, and how many seconds before that if it was before this start.
    at: Now,
    before_s: u32,
}

impl Met {
    fn seen_s(&self, now: Now) -> u32 {
        let held = u32::try_from(now.saturating_sub(self.at).as_secs()).unwrap_or(u32::MAX);
        self.before_s.saturating_add(held)
    }
}

/// What is known of peers beyond operator intent and what discovery says at present.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    met: BTreeMap<PeerId, Met>,
    /// What members say they are.
    roles: BTreeMap<PeerId, Role>,
    /// Peers that did not answer several attempts.
    pub dead: BTreeSet<PeerId>,
    /// Peers that are wanted without having been named.
    pub chosen: BTreeSet<PeerId>,
    complete: bool,
}

impl Neighbours {
    /// There is a session. Returns whether the peer had been given up.
    pub fn met(&mut self, peer: &PeerId, address: Option<String>, now: Now) -> bool {
        if !self.met.contains_key(peer) && self.met.len() >= limits::MAX_MEMBERS {
            let longest = self.met.iter().max_by_key(|(_, met)| met.seen_s(now)).map(|(id, _)| *id);
            longest.map(|id| self.met.remove(&id));
        }
        let met = self.met.entry(*peer).or_default();
        (met.at, met.before_s) = (now, 0);
        if let Some(address) = address {
            met.addresses.retain(|known| *known != address);
            met.addresses.insert(0, address);
            met.addresses.truncate(limits::MAX_KEPT_ADDRESSES);
        }
        self.dead.remove(peer)
    }

    /// The session is lost.
    pub fn parted(&mut self, peer: &PeerId, now: Now) {
        if let Some(met) = self.met.get_mut(peer) {
            (met.at, met.before_s) = (now, 0);
        }
    }

    /// The operator withdrew the peer.
    pub fn forget(&mut self, peer: &PeerId) {
        self.met.remove(peer);
        self.chosen.remove(peer);
        self.dead.remove(peer);
    }
}

impl State {
    pub(super) fn addresses(&self, peer: &PeerId) -> Vec<String> {
        let named = self.wanted.get(peer).into_iter().flatten();
        let found = self.found.values().filter_map(|peers| peers.get(peer)).flatten();
        let met = self.neighbours.met.get(peer).into_iter().flat_map(|met| &met.addresses);
        // A member may say what it likes of itself: only the operator decides which relays this node contacts.
        let learned = found.chain(met).filter(|address| !is_relay_url(address) || self.relays.contains(*address));
        let mut addresses: Vec<String> = vec![];
        for address in named.chain(learned) {
            if addresses.len() < limits::MAX_PEER_ADDRESSES && !addresses.contains(address) {
                addresses.push(address.clone());
            }
        }
        addresses
    }

    /// Whether a peer is wanted, or had a session with this node.
    pub(super) fn knows(&self, peer: &PeerId) -> bool {
        let Neighbours { met, chosen, .. } = &self.neighbours;
        self.wanted.contains_key(peer) || chosen.contains(peer) || met.contains_key(peer)
    }

    /// Everyone who could be a neighbour: who is found, and who was found before the restart.
    fn candidates(&self) -> BTreeMap<PeerId, Candidate> {
        let kept = self.neighbours.met.iter().filter(|(_, met)| met.source.is_some()).map(|(id, _)| id);
        let known = self.found.values().flat_map(BTreeMap::keys).chain(kept);
        let candidate = |id: &PeerId| {
            let reach = if self.live.get(id).is_some_and(|live| live.up) {
                Reach::Live
            } else if self.neighbours.dead.contains(id) {
                Reach::Dead
            } else {
                Reach::Open
            };
            Candidate { role: self.neighbours.roles.get(id).copied().unwrap_or_default(), reach }
        };
        let eligible = |id: &PeerId| !self.unwanted.contains(id) && self.allows(id);
        known.filter(|id| eligible(id)).map(|id| (*id, candidate(id))).collect()
    }
}

impl Mesh {
    /// What a way of discovery knows now, all of it: peers that it no longer names are left to the others. A peer
    /// that was disconnected by its operator stays so.
    pub fn set_found(&self, source: Source, mut peers: BTreeMap<PeerId, Vec<String>>, now: Now) {
        peers.remove(self.endpoint.id().as_bytes());
        {
            let mut state = lock(&self.state);
            let State { found, neighbours, live, .. } = &mut *state;
            // What it found before a restart and does not find any more is gone. An empty answer says nothing: it may
            // not have heard anyone yet.
            if !peers.is_empty() {
                let mine = |met: &Met| met.source == Some(source.number());
                let gone = |id: &PeerId| !peers.contains_key(id) && !live.contains_key(id);
                neighbours.met.retain(|id, met| !(mine(met) && gone(id)));
            }
            let before = found.insert(source, peers).unwrap_or_default();
            for (peer, addresses) in &found[&source] {
                if before.get(peer) != Some(addresses) {
                    neighbours.dead.remove(peer);
                }
            }
        }
        self.keep.store(true, Ordering::Relaxed);
        self.choose(now);
    }

    /// What members say they are, see [`Role`].
    pub fn set_roles(&self, roles: BTreeMap<PeerId, Role>) {
        lock(&self.state).neighbours.roles = roles;
    }

    /// Chooses neighbours anew and tells the dialer.
    pub fn choose(&self, now: Now) {
        let mut state = lock(&self.state);
        let candidates = state.candidates();
        state.neighbours.dead.retain(|id| candidates.contains_key(id));
        let round = self.round.load(Ordering::Relaxed);
        let choice = topology::choose(self.endpoint.id().as_bytes(), self.topology, &candidates, round);
        let before = std::mem::replace(&mut state.neighbours.chosen, choice.wanted);
        state.neighbours.complete = choice.complete;
        let mut reconnect = lock(&self.reconnect);
        for peer in state.neighbours.chosen.difference(&before).filter(|peer| !state.wanted.contains_key(*peer)) {
            reconnect.want(*peer, state.live.contains_key(peer), now);
        }
        for peer in before.difference(&state.neighbours.chosen).filter(|peer| !state.wanted.contains_key(*peer)) {
            reconnect.unwant(peer);
        }
        drop(reconnect);
        drop(state);
        self.dial.notify_one();
    }

    /// The next of those that do not answer have their turn.
    pub fn next_round(&self, now: Now) {
        self.round.fetch_add(1, Ordering::Relaxed);
        self.choose(now);
    }

    /// Whether any peer is passed over because it does not answer.
    pub fn has_dead(&self) -> bool {
        !lock(&self.state).neighbours.dead.is_empty()
    }

    /// What this node is.
    pub fn role(&self) -> Role {
        self.topology.role()
    }

    /// A peer did not answer several attempts: if nobody named it, the next one is wanted in its place.
    pub(super) fn pass_over(&self, peer: &PeerId) {
        let mut state = lock(&self.state);
        if state.neighbours.chosen.contains(peer) && !state.live.contains_key(peer) {
            state.neighbours.dead.insert(*peer);
            self.tend.notify_one();
        }
    }

    /// Something shows that a peer is there: it is dialled at once if it is wanted and there is no session.
    pub fn sign_of_life(&self, shared: &Shared, peer: &PeerId) {
        if lock(&self.state).neighbours.dead.remove(peer) {
            self.tend.notify_one();
        }
        lock(&self.reconnect).alive(peer, shared.now());
        self.dial.notify_one();
    }

    /// The text of where a connection leads.
    pub(super) fn address_of(&self, connection: &Connection) -> Option<String> {
        let paths = connection.paths();
        let path = paths.iter().find(|path| path.is_selected()).or_else(|| paths.iter().next())?;
        self.resolver.text(path.remote_addr())
    }

    // ---- members frames --------------------------------------------------------------------------

    /// A session is up: its exchange about members begins.
    pub fn open_members(&self, shared: &Shared, session: SessionId, connection: &Connection, dialer: bool) {
        let mut membership = lock(&self.membership);
        membership.open(session, *connection.remote_id().as_bytes(), dialer, shared.now());
        shared.wake_control(&membership.take_wakes());
    }

    /// Idempotent.
    pub fn close_members(&self, shared: &Shared, session: SessionId) {
        let mut membership = lock(&self.membership);
        membership.close(session);
        shared.wake_control(&membership.take_wakes());
    }

    /// Takes a members frame of a peer.
    pub fn receive_members(
        &self,
        shared: &Shared,
        session: SessionId,
        frame: MembersFrame,
    ) -> Result<(), MembersError> {
        let mut membership = lock(&self.membership);
        membership.receive(session, frame, shared.now(), &mut *lock(&shared.rng))?;
        shared.wake_control(&membership.take_wakes());
        if membership.has_changed() {
            self.tend.notify_one();
        }
        Ok(())
    }

    /// The next members frame for a peer.
    pub fn next_members(&self, shared: &Shared, session: SessionId) -> Option<MembersFrame> {
        let mut membership = lock(&self.membership);
        let frame = membership.next_frame(session, shared.now());
        if frame.is_none() && membership.due(session).is_some() {
            self.tend.notify_one();
        }
        frame
    }

    /// Tells each session whether we have a use for it, and ends those that neither side has one for. Returns when to
    /// look again.
    pub fn weigh_sessions(&self, shared: &Shared) -> Option<Now> {
        let now = shared.now();
        let mut membership = lock(&self.membership);
        let state = lock(&self.state);
        let sessions: Vec<_> = membership.sessions().collect();
        let mut again = None::<Now>;
        for (session, peer, since, idle) in sessions {
            let of_age = since + limits::SURPLUS_SESSION_AGE;
            let used = state.wanted.contains_key(&peer) || state.neighbours.chosen.contains(&peer);
            let needed = used || !state.neighbours.complete || now < of_age;
            membership.set_wish(session, needed);
            if !used && now < of_age {
                again = Some(again.map_or(of_age, |at| at.min(of_age)));
            }
            if idle
                && !needed
                && let Some(live) = state.live.get(&peer)
            {
                CloseCode::Goodbye.close(&live.connection);
            }
        }
        drop(state);
        shared.wake_control(&membership.take_wakes());
        again
    }

    // ---- over a restart --------------------------------------------------------------------------

    /// Takes up what was kept, and knocks at former neighbours.
    pub fn load_members(&self, shared: &Shared, rows: Vec<(PeerId, MemberRow)>) {
        let now = shared.now();
        let mut membership = lock(&self.membership);
        let mut state = lock(&self.state);
        let mut reconnect = lock(&self.reconnect);
        let mut knocks = 0;
        for (peer, row) in rows.into_iter().take(limits::MAX_MEMBERS) {
            if let Some(record) = row.record
                && self.discovery.gossip
            {
                membership.load(Aged { record, age_s: row.age_s }, now);
            }
            if row.seen_s >= limits::MEMBER_LIFETIME.as_secs() as u32 || row.addresses.is_empty() {
                continue;
            }
            let met = Met { addresses: row.addresses, source: row.source, at: now, before_s: row.seen_s };
            state.neighbours.met.insert(peer, met);
            if row.neighbour && knocks < limits::MAX_KNOCKS && !state.unwanted.contains(&peer) {
                knocks += 1;
                reconnect.knock(peer, now + limits::KNOCK_PAUSE * (knocks as u32 - 1));
            }
        }
        drop((membership, state, reconnect));
        self.choose(now);
    }

    /// Makes durable what changed since the last time; with `ages` also how old everything is. A failure costs
    /// nothing but time at the next start.
    pub async fn keep_members(&self, shared: &Shared, ages: bool) {
        let mut kept = self.kept.lock().await;
        let rows = self.rows_to_keep(shared.now());
        let mut changes: Vec<(PeerId, Option<MemberRow>)> =
            kept.keys().filter(|id| !rows.contains_key(*id)).map(|id| (*id, None)).collect();
        let mut now_kept = BTreeMap::new();
        for (id, row) in rows {
            let ageless = postcard::to_stdvec(&MemberRow { age_s: 0, seen_s: 0, ..row.clone() }).expect("plain data");
            let digest = *blake3::hash(&ageless).as_bytes().first_chunk().expect("a hash is longer");
            if ages || kept.get(&id) != Some(&digest) {
                changes.push((id, Some(row)));
            }
            now_kept.insert(id, digest);
        }
        if changes.is_empty() {
            return;
        }
        match shared.committer.keep_members(changes).await {
            Ok(()) => *kept = now_kept,
            Err(error) => tracing::warn!("what is known of members cannot be kept: {error}"),
        }
    }

    fn rows_to_keep(&self, now: Now) -> BTreeMap<PeerId, MemberRow> {
        let membership = lock(&self.membership);
        let state = lock(&self.state);
        let mut rows: BTreeMap<PeerId, MemberRow> = BTreeMap::new();
        for row in membership.rows() {
            let kept = MemberRow { record: Some(row.record.clone()), age_s: row.age_s(now), ..MemberRow::default() };
            rows.insert(row.record.id, kept);
        }
        for (id, met) in &state.neighbours.met {
            let neighbour = state.live.get(id).is_some_and(|live| live.up);
            let seen_s = if neighbour { 0 } else { met.seen_s(now) };
            if Duration::from_secs(seen_s.into()) >= limits::MEMBER_LIFETIME {
                continue;
            }
            let row = rows.entry(*id).or_default();
            let by = |source: Source| state.found.get(&source).is_some_and(|peers| peers.contains_key(id));
            let found = [Source::Mdns, Source::Dns].into_iter().find(|source| by(*source)).map(Source::number);
            (row.addresses, row.neighbour, row.seen_s) = (met.addresses.clone(), neighbour, seen_s);
            row.source = found.or(met.source);
        }
        rows
    }
}

#[cfg(test)]
mod tests;
