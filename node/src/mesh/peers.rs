//! Who is wanted, who is connected, and which of two connections of one pair is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use iroh::endpoint::{Connection, VarInt};
use iroh::{Endpoint, EndpointId};
use tokio::sync::Notify;

use super::AddressResolver;
use super::admission::{FormationKey, Refusal};
use super::discovery::Source;
use crate::config::{NodeConfig, PeerAddress};
use crate::core::batch::PeerId;
use crate::core::reconnect::{Failure, Policy, Reconnect};
use crate::core::session::Now;
use crate::limits;
use crate::node::{ConnectError, PeerStatus, Shared, lock};
use crate::store::Intent;

/// Attempts to dial under way at once, over all peers. Each holds a socket's worth of memory, no more.
const MOST_DIALS_AT_ONCE: usize = 64;

/// Why we close a connection; the number goes over the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CloseCode {
    /// A clean stop.
    Goodbye,
    /// Turned away.
    Refused(Refusal),
    /// StopSync.
    Stopped,
    /// DisconnectPeer.
    Unwanted,
    /// The peer did not keep to the protocol.
    Protocol,
    /// A newer connection took over.
    Replaced,
    /// Nothing can be made durable any more.
    StoreFailed,
}

impl CloseCode {
    fn code(self) -> u8 {
        match self {
            Self::Goodbye => 0,
            Self::Refused(refusal) => refusal as u8,
            Self::Stopped => Refusal::Stopped as u8,
            Self::Unwanted => Refusal::Unwanted as u8,
            Self::Protocol => 16,
            Self::Replaced => 17,
            Self::StoreFailed => 18,
        }
    }

    fn reason(self) -> &'static str {
        match self {
            Self::Goodbye => "goodbye",
            Self::Refused(refusal) => refusal.describe(),
            Self::Stopped => Refusal::Stopped.describe(),
            Self::Unwanted => Refusal::Unwanted.describe(),
            Self::Protocol => "protocol error",
            Self::Replaced => "replaced by a newer connection",
            Self::StoreFailed => "the store failed",
        }
    }

    /// Closes a connection with this code and its reason.
    pub fn close(self, connection: &Connection) {
        connection.close(VarInt::from_u32(u32::from(self.code())), self.reason().as_bytes());
    }
}

/// A connection that carries, or is about to carry, a session.
struct Live {
    connection: Connection,
    dialed_by_us: bool,
    incarnation: u64,
    since: Now,
    /// Distinguishes it from its successors.
    ticket: u64,
    /// Whether both sides have said hello.
    up: bool,
}

#[derive(Default)]
struct State {
    /// Peers that the operator wants and where they may be found.
    wanted: BTreeMap<PeerId, Vec<String>>,
    /// Peers that each way of discovery knows at present.
    found: BTreeMap<Source, BTreeMap<PeerId, Vec<String>>>,
    unwanted: BTreeSet<PeerId>,
    /// Peers at which one of our dials has come as far as admission.
    admitting: BTreeSet<PeerId>,
    live: BTreeMap<PeerId, Live>,
    next_ticket: u64,
}

/// The mesh of one node.
pub(crate) struct Mesh {
    endpoint: Endpoint,
    pub resolver: Arc<dyn AddressResolver>,
    pub key: FormationKey,
    /// Drawn at every start.
    pub incarnation: u64,
    active: AtomicBool,
    reconnect: Mutex<Reconnect>,
    /// The dialer has something to do.
    pub dial: Notify,
    state: Mutex<State>,
}

impl Mesh {
    pub fn new(config: &NodeConfig, endpoint: Endpoint, resolver: Arc<dyn AddressResolver>, incarnation: u64) -> Self {
        let policy = Policy {
            pause: limits::REDIAL_PAUSE,
            interval: config.timing.dial_interval,
            busy: limits::REDIAL_BUSY,
            refused: limits::REDIAL_REFUSED,
            most_at_once: MOST_DIALS_AT_ONCE,
        };
        Self {
            endpoint,
            resolver,
            key: FormationKey::new(&config.formation),
            incarnation,
            active: AtomicBool::new(false),
            reconnect: Mutex::new(Reconnect::new(policy)),
            dial: Notify::new(),
            state: Mutex::default(),
        }
    }

    pub fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Takes up what was wanted before the restart, and what the configuration names. A peer that the
    /// configuration names is wanted even if it was once disconnected.
    pub fn load_intents(
        &self,
        stored: Vec<(PeerId, Intent)>,
        configured: Vec<PeerAddress>,
        now: Now,
    ) -> Result<(), ConnectError> {
        let mut state = lock(&self.state);
        for (peer, intent) in stored {
            match intent {
                Intent::Wanted { addresses } => drop(state.wanted.insert(peer, addresses)),
                Intent::Unwanted => drop(state.unwanted.insert(peer)),
            }
        }
        for (index, peer) in configured.into_iter().enumerate() {
            if peer.id == self.endpoint.id() {
                return Err(ConnectError::Itself(peer.id.to_string()));
            }
            check_addresses(&peer.addresses)
                .map_err(|_| ConnectError::Address { index, given: peer.addresses.join(",") })?;
            state.unwanted.remove(peer.id.as_bytes());
            state.wanted.insert(*peer.id.as_bytes(), peer.addresses);
        }
        let mut reconnect = lock(&self.reconnect);
        state.wanted.keys().for_each(|peer| reconnect.want(*peer, false, now));
        Ok(())
    }

    // ---- operator intent -------------------------------------------------------------------------

    pub async fn connect_peer(
        &self,
        shared: &Shared,
        endpoint_id: &str,
        mut addresses: Vec<String>,
        relay_url: &str,
    ) -> Result<(), ConnectError> {
        let peer = parse_endpoint_id(endpoint_id)?;
        if peer == self.endpoint.id() {
            return Err(ConnectError::Itself(peer.to_string()));
        }
        if !relay_url.is_empty() {
            return Err(ConnectError::RelayUnsupported);
        }
        check_addresses(&addresses)?;
        let id = *peer.as_bytes();
        {
            let state = lock(&self.state);
            if addresses.is_empty() {
                addresses = state.wanted.get(&id).cloned().ok_or(ConnectError::NoAddress)?;
            }
            let actual = state.wanted.len() + usize::from(!state.wanted.contains_key(&id));
            if actual > limits::MAX_WANTED_PEERS {
                let limit = limits::MAX_WANTED_PEERS;
                return Err(ConnectError::TooMany { what: "wanted peers", actual, limit });
            }
        }
        let intent = Intent::Wanted { addresses: addresses.clone() };
        let kept = shared.committer.keep_intent(id, intent).await;
        kept.map_err(|e| ConnectError::NotDurable(e.to_string()))?;
        let connected = {
            let mut state = lock(&self.state);
            state.unwanted.remove(&id);
            state.wanted.insert(id, addresses);
            state.live.contains_key(&id)
        };
        lock(&self.reconnect).want(id, connected, shared.now());
        self.dial.notify_one();
        Ok(())
    }

    pub async fn disconnect_peer(&self, shared: &Shared, endpoint_id: &str) -> Result<(), ConnectError> {
        let peer = parse_endpoint_id(endpoint_id)?;
        let id = *peer.as_bytes();
        let kept = shared.committer.keep_intent(id, Intent::Unwanted).await;
        kept.map_err(|e| ConnectError::NotDurable(e.to_string()))?;
        lock(&self.reconnect).unwant(&id);
        let mut state = lock(&self.state);
        state.wanted.remove(&id);
        state.unwanted.insert(id);
        if let Some(live) = state.live.remove(&id) {
            CloseCode::Unwanted.close(&live.connection);
        }
        Ok(())
    }

    pub fn list_peers(&self) -> Vec<PeerStatus> {
        let state = lock(&self.state);
        let mut peers: BTreeMap<PeerId, PeerStatus> = BTreeMap::new();
        let listed = state.wanted.iter().map(|(id, addresses)| (id, addresses.clone()));
        let came = state.live.keys().map(|id| (id, vec![]));
        for (id, addresses) in listed.chain(came) {
            let connected = state.live.get(id).is_some_and(|live| live.up);
            peers.entry(*id).or_insert_with(|| PeerStatus {
                endpoint_id: EndpointId::from_bytes(id).map_or_else(|_| String::new(), |id| id.to_string()),
                addresses,
                connected,
            });
        }
        peers.into_values().collect()
    }

    pub fn session_count(&self) -> usize {
        lock(&self.state).live.values().filter(|live| live.up).count()
    }

    /// Where a peer may be found, by the word of the operator and of every way of discovery.
    pub fn addresses(&self, peer: &PeerId) -> Vec<String> {
        let state = lock(&self.state);
        let known = state.wanted.get(peer).into_iter().chain(state.found.values().filter_map(|peers| peers.get(peer)));
        let distinct: BTreeSet<&String> = known.flatten().collect();
        distinct.into_iter().take(limits::MAX_PEER_ADDRESSES).cloned().collect()
    }

    /// What a way of discovery knows now, all of it: peers that it no longer names are left to the others. A peer
    /// that was disconnected by its operator stays so.
    pub fn set_found(&self, source: Source, mut peers: BTreeMap<PeerId, Vec<String>>, now: Now) {
        peers.remove(self.endpoint.id().as_bytes());
        let (mut begin, mut end) = (vec![], vec![]);
        {
            let mut state = lock(&self.state);
            let before = state.found.insert(source, peers).unwrap_or_default();
            let state = &*state;
            let sought = |peer: &PeerId| {
                !state.unwanted.contains(peer)
                    && (state.wanted.contains_key(peer) || state.found.values().any(|found| found.contains_key(peer)))
            };
            begin.extend(state.found[&source].keys().filter(|peer| !before.contains_key(*peer) && sought(peer)));
            end.extend(before.keys().filter(|peer| !sought(peer)));
            let mut reconnect = lock(&self.reconnect);
            begin.iter().for_each(|peer| reconnect.want(*peer, state.live.contains_key(peer), now));
            end.iter().for_each(|peer| reconnect.unwant(peer));
        }
        self.dial.notify_one();
    }

    /// StartSync and StopSync.
    pub fn set_active(&self, active: bool, now: Now) {
        self.active.store(active, Ordering::SeqCst);
        lock(&self.reconnect).set_active(active, now);
        self.dial.notify_one();
    }

    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::SeqCst)
    }

    /// Ends every session.
    pub fn close_all(&self, code: CloseCode) {
        for live in lock(&self.state).live.values() {
            code.close(&live.connection);
        }
    }

    // ---- reconnect -------------------------------------------------------------------------------

    /// Runs a step of the reconnect state machine.
    pub fn reconnect<T>(&self, step: impl FnOnce(&mut Reconnect) -> T) -> T {
        step(&mut lock(&self.reconnect))
    }

    /// A dial ended without a session.
    pub fn dial_failed(&self, shared: &Shared, peer: &PeerId, why: Failure) {
        lock(&self.reconnect).failed(peer, why, shared.now(), &mut *lock(&shared.rng));
        self.dial.notify_one();
    }

    // ---- sessions --------------------------------------------------------------------------------

    /// Why a peer that proved its membership is turned away all the same, if it is.
    pub fn objection(&self, peer: &PeerId) -> Option<Refusal> {
        let state = lock(&self.state);
        if !self.is_active() {
            Some(Refusal::Stopped)
        } else if state.unwanted.contains(peer) {
            Some(Refusal::Unwanted)
        } else if state.live.len() >= limits::MAX_SESSIONS && !state.live.contains_key(peer) {
            Some(Refusal::Busy)
        } else {
            None
        }
    }

    /// Lets one of our dials to a peer go on to admission. The others that are under way have lost: a second
    /// connection would replace the first one at the peer.
    pub fn begin_admission(&self, peer: &PeerId) -> bool {
        let mut state = lock(&self.state);
        !state.live.contains_key(peer) && state.admitting.insert(*peer)
    }

    /// Ends what [`Mesh::begin_admission`] began.
    pub fn end_admission(&self, peer: &PeerId) {
        lock(&self.state).admitting.remove(peer);
    }

    /// Gives an admitted connection the place of its pair, or says that another one keeps it. The one that
    /// loses the place is closed.
    pub fn take_place(&self, connection: &Connection, dialed_by_us: bool, incarnation: u64, now: Now) -> Option<u64> {
        let (me, peer) = (self.endpoint.id(), connection.remote_id());
        let mut state = lock(&self.state);
        if let Some(old) = state.live.get(peer.as_bytes()) {
            let a_race = old.incarnation == incarnation
                && old.dialed_by_us != dialed_by_us
                && now.saturating_sub(old.since) < limits::DIAL_RACE;
            // Both sides keep the connection that the smaller endpoint id dialled.
            let preferred = (me.as_bytes() < peer.as_bytes()) == dialed_by_us;
            if a_race && !preferred {
                return None;
            }
            CloseCode::Replaced.close(&old.connection);
        }
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let live = Live { connection: connection.clone(), dialed_by_us, incarnation, since: now, ticket, up: false };
        state.live.insert(*peer.as_bytes(), live);
        lock(&self.reconnect).connected(peer.as_bytes());
        Some(ticket)
    }

    /// Both sides have said hello.
    pub fn mark_up(&self, peer: &PeerId, ticket: u64) {
        if let Some(live) = lock(&self.state).live.get_mut(peer)
            && live.ticket == ticket
        {
            live.up = true;
        }
    }

    /// A connection ended. If it held the place of its pair, the peer is dialled again if it is wanted.
    pub fn leave_place(&self, shared: &Shared, peer: &PeerId, ticket: u64) {
        let mut state = lock(&self.state);
        if state.live.get(peer).is_some_and(|live| live.ticket == ticket) {
            state.live.remove(peer);
            drop(state);
            lock(&self.reconnect).lost(peer, shared.now(), &mut *lock(&shared.rng));
            self.dial.notify_one();
        }
    }
}

/// Parses what GetStatus shows as `endpoint_addr`.
fn parse_endpoint_id(given: &str) -> Result<EndpointId, ConnectError> {
    const SHOWN_CHARS: usize = 80;
    let refuse = |detail: String| ConnectError::EndpointId { given: given.chars().take(SHOWN_CHARS).collect(), detail };
    if given.len() != 64 {
        return Err(refuse(format!("{} characters instead of 64", given.chars().count())));
    }
    given.parse().map_err(|e| refuse(format!("{e}")))
}

fn check_addresses(addresses: &[String]) -> Result<(), ConnectError> {
    if addresses.len() > limits::MAX_PEER_ADDRESSES {
        let limit = limits::MAX_PEER_ADDRESSES;
        return Err(ConnectError::TooMany { what: "addresses", actual: addresses.len(), limit });
    }
    for (index, address) in addresses.iter().enumerate() {
        let good = address.rsplit_once(':').is_some_and(|(host, port)| {
            let bare_v6 = host.contains(':') && !(host.starts_with('[') && host.ends_with(']'));
            !host.is_empty() && !bare_v6 && port.parse::<u16>().is_ok_and(|port| port != 0)
        });
        if !good {
            return Err(ConnectError::Address { index, given: address.clone() });
        }
    }
    Ok(())
}
