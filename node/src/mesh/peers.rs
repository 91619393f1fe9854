//! Who is wanted, who is connected, and which of two connections of one pair is kept.

mod close_code;
mod gate;
mod neighbours;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use iroh::endpoint::Connection;
use iroh::{Endpoint, EndpointId, RelayUrl};
use tokio::sync::Notify;
use tokio_util::task::TaskTracker;

use super::AddressResolver;
use super::admission::refusal_log::RefusalLog;
use super::admission::{AdmissionCounters, Keyring, Refusal};
use super::allow_list::AllowList;
use super::discovery::Source;
use super::throttle::Throttle;
use crate::config::{Discovery, NodeConfig, PeerAddress, Timing, Topology};
use crate::core::batch::PeerId;
use crate::core::membership::Membership;
use crate::core::reconnect::{Failure, Policy, Reconnect};
use crate::core::relay_url::{self, is_relay_url};
use crate::core::session::Now;
use crate::core::wire::members::{FormationTag, is_address};
use crate::limits;
use crate::node::{ConnectError, HomeRelay, Plants, Shared, lock};
use crate::store::Intent;
use neighbours::Neighbours;

pub(crate) use close_code::CloseCode;

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

/// A peer as the mesh knows it.
#[derive(Default)]
pub(crate) struct PeerRow {
    pub addresses: Vec<String>,
    pub wanted: bool,
    /// Attempts to dial since the last session.
    pub attempts: u32,
    /// The connection, since when, and whether both sides have said hello.
    pub live: Option<(Connection, Now, bool)>,
}

#[derive(Default)]
struct State {
    /// Peers that the operator wants and where they may be found.
    wanted: BTreeMap<PeerId, Vec<String>>,
    /// Peers that each way of discovery knows at present.
    found: BTreeMap<Source, BTreeMap<PeerId, Vec<String>>>,
    /// Who is wanted among those, and what else is known of them.
    neighbours: Neighbours,
    unwanted: BTreeSet<PeerId>,
    /// Peers at which one of our dials has come as far as admission.
    admitting: BTreeSet<PeerId>,
    live: BTreeMap<PeerId, Live>,
    next_ticket: u64,
    /// Who may take part; `None`: everyone who has the key.
    allowed: Option<AllowList>,
    /// Relays that the operator gave this node, as text.
    relays: BTreeSet<String>,
}

impl State {
    fn allows(&self, peer: &PeerId) -> bool {
        self.allowed.as_ref().is_none_or(|list| list.contains(peer))
    }
}

/// The mesh of one node.
pub(crate) struct Mesh {
    endpoint: Endpoint,
    pub resolver: Arc<dyn AddressResolver>,
    pub keys: Keyring,
    /// Drawn at every start.
    pub incarnation: u64,
    active: AtomicBool,
    reconnect: Mutex<Reconnect>,
    /// The dialer has something to do.
    pub dial: Notify,
    /// Ways of discovery that have a goodbye to say.
    pub withdrawing: TaskTracker,
    topology: Topology,
    /// Which of those that do not answer are dialled, see [`crate::core::topology::choose`].
    round: AtomicU64,
    pub membership: Mutex<Membership>,
    /// The task that tends to members and neighbours has something to do.
    pub tend: Notify,
    /// How this node is found.
    pub discovery: Discovery,
    /// What it tells others of where it is; none: its interfaces.
    pub advertise: Vec<String>,
    /// Relays that this node may use.
    pub(super) relays: Vec<RelayUrl>,
    /// Where others reach it, and where they did last while there is no such relay.
    pub(super) home_relay: Mutex<Option<HomeRelay>>,
    pub timing: Timing,
    /// Something changed that is kept over a restart.
    pub keep: AtomicBool,
    kept: tokio::sync::Mutex<BTreeMap<PeerId, [u8; 8]>>,
    state: Mutex<State>,
    throttle: Mutex<Throttle>,
    refusals: Mutex<RefusalLog>,
    /// A refusal was counted, so that there may be a summary to log later.
    pub refusal_noted: Notify,
    /// What became of everyone who knocked.
    pub admissions: AdmissionCounters,
}

impl Mesh {
    pub fn new(config: &NodeConfig, endpoint: Endpoint, resolver: Arc<dyn AddressResolver>, incarnation: u64) -> Self {
        let policy = Policy {
            pause: limits::REDIAL_PAUSE,
            interval: config.timing.dial_interval,
            hasty: limits::REDIAL_HASTY,
            busy: limits::REDIAL_BUSY,
            refused: limits::REDIAL_REFUSED,
            most_at_once: limits::MAX_DIALS,
            most_cold: limits::MAX_COLD_DIALS,
        };
        let secret = endpoint.secret_key().clone();
        Self {
            endpoint,
            resolver,
            keys: Keyring::new(&config.formation),
            incarnation,
            active: AtomicBool::new(false),
            reconnect: Mutex::new(Reconnect::new(policy)),
            dial: Notify::new(),
            withdrawing: TaskTracker::new(),
            topology: config.topology,
            round: AtomicU64::new(0),
            membership: Mutex::new(Membership::new(secret, FormationTag::new(&config.formation.app_id))),
            tend: Notify::new(),
            discovery: config.discovery.clone(),
            advertise: config.advertise.clone(),
            relays: config.relays.urls.clone(),
            home_relay: Mutex::default(),
            timing: config.timing,
            keep: AtomicBool::new(false),
            kept: tokio::sync::Mutex::default(),
            state: Mutex::new(State {
                relays: config.relays.urls.iter().map(RelayUrl::to_string).collect(),
                ..State::default()
            }),
            throttle: Mutex::default(),
            refusals: Mutex::default(),
            refusal_noted: Notify::new(),
            admissions: AdmissionCounters::default(),
        }
    }

    /// With bugs.
    pub fn planted(mut self, plants: Plants) -> Self {
        self.keys = self.keys.planted(plants);
        lock(&self.reconnect).plant(plants);
        self
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
            if let Some(relay) = peer.addresses.iter().find(|address| is_relay_url(address))
                && !self.has_relays()
            {
                return Err(ConnectError::NoRelay { given: relay.clone() });
            }
            let direct: Vec<String> = peer.addresses.iter().filter(|address| !is_relay_url(address)).cloned().collect();
            check_addresses(&direct).map_err(|_| ConnectError::Address { index, given: peer.addresses.join(",") })?;
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
        check_addresses(&addresses)?;
        if !relay_url.is_empty() {
            addresses.push(self.check_relay(relay_url)?);
        }
        let id = *peer.as_bytes();
        {
            let state = lock(&self.state);
            if addresses.is_empty() {
                addresses = state.addresses(&id);
            }
            if addresses.is_empty() {
                return Err(ConnectError::NoAddress);
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

    /// The URL of a relay that this node can use.
    fn check_relay(&self, given: &str) -> Result<String, ConnectError> {
        let url = relay_url::parse(given)
            .map_err(|e| ConnectError::RelayUrl { given: shown(given), detail: e.to_string() })?;
        if self.has_relays() { Ok(url.to_string()) } else { Err(ConnectError::NoRelay { given: url.to_string() }) }
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
        state.neighbours.forget(&id);
        if let Some(live) = state.live.remove(&id) {
            CloseCode::Unwanted.close(&live.connection);
        }
        Ok(())
    }

    /// Wanted peers, those that discovery chose, and those that came by themselves, by endpoint id.
    pub fn rows(&self) -> BTreeMap<PeerId, PeerRow> {
        let mut rows: BTreeMap<PeerId, PeerRow> = BTreeMap::new();
        {
            let state = lock(&self.state);
            for id in state.wanted.keys().chain(&state.neighbours.chosen) {
                let addresses = state.wanted.get(id).cloned().unwrap_or_else(|| state.addresses(id));
                rows.insert(*id, PeerRow { addresses, wanted: true, ..PeerRow::default() });
            }
            for (id, live) in &state.live {
                rows.entry(*id).or_default().live = Some((live.connection.clone(), live.since, live.up));
            }
        }
        let reconnect = lock(&self.reconnect);
        for (id, row) in &mut rows {
            row.attempts = reconnect.attempts(id).unwrap_or(0);
        }
        rows
    }

    /// Everyone who is known to take part, and everyone whom the operator turned away.
    pub fn known_members(&self) -> (BTreeSet<PeerId>, BTreeSet<PeerId>) {
        let mut members: BTreeSet<PeerId> = self.rows().into_keys().collect();
        members.extend(lock(&self.membership).members().map(|record| record.id));
        members.remove(self.endpoint.id().as_bytes());
        (members, lock(&self.state).unwanted.clone())
    }

    /// Peers that an operator named.
    pub fn wanted_count(&self) -> usize {
        lock(&self.state).wanted.len()
    }

    pub fn session_count(&self) -> usize {
        lock(&self.state).live.values().filter(|live| live.up).count()
    }

    /// Whether both sides have said hello.
    pub fn has_session(&self, peer: &PeerId) -> bool {
        lock(&self.state).live.get(peer).is_some_and(|live| live.up)
    }

    /// Where a peer may be found, by the word of the operator and of every way of discovery, and where it was.
    pub fn addresses(&self, peer: &PeerId) -> Vec<String> {
        lock(&self.state).addresses(peer)
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

    /// Ends the sessions with some peers; how many there were.
    pub fn sever(&self, peers: &[EndpointId]) -> usize {
        let state = lock(&self.state);
        let live = peers.iter().filter_map(|peer| state.live.get(peer.as_bytes()));
        live.map(|live| CloseCode::Goodbye.close(&live.connection)).count()
    }

    // ---- reconnect -------------------------------------------------------------------------------

    /// Runs a step of the reconnect state machine.
    pub fn reconnect<T>(&self, step: impl FnOnce(&mut Reconnect) -> T) -> T {
        step(&mut lock(&self.reconnect))
    }

    /// A dial ended without a session.
    pub fn dial_failed(&self, shared: &Shared, peer: &PeerId, attempt: u32, why: Failure) {
        lock(&self.reconnect).failed(peer, why, shared.now(), &mut *lock(&shared.rng));
        if attempt >= limits::DEAD_AFTER_ATTEMPTS {
            self.pass_over(peer);
        }
        self.dial.notify_one();
    }

    // ---- sessions --------------------------------------------------------------------------------

    /// Why a peer that proved its membership is turned away all the same, if it is.
    pub fn objection(&self, peer: &PeerId) -> Option<Refusal> {
        let state = lock(&self.state);
        if !state.allows(peer) {
            Some(Refusal::NotAllowed)
        } else if !self.is_active() {
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

    /// Whether a connection holds the place of a pair.
    pub fn is_live(&self, peer: &PeerId) -> bool {
        lock(&self.state).live.contains_key(peer)
    }

    /// Gives an admitted connection the place of its pair, or says why it does not get it: mostly because another
    /// one keeps it. The one that loses the place is closed.
    pub fn take_place(
        &self,
        connection: &Connection,
        dialed_by_us: bool,
        incarnation: u64,
        now: Now,
    ) -> Result<u64, Refusal> {
        let (me, peer) = (self.endpoint.id(), connection.remote_id());
        let mut state = lock(&self.state);
        // Under the same lock as a revocation, which would otherwise miss this session.
        if !state.allows(peer.as_bytes()) {
            return Err(Refusal::NotAllowed);
        }
        if let Some(old) = state.live.get(peer.as_bytes()) {
            let a_race = old.incarnation == incarnation
                && old.dialed_by_us != dialed_by_us
                && now.saturating_sub(old.since) < limits::DIAL_RACE;
            // Both sides keep the connection that the smaller endpoint id dialled.
            let preferred = (me.as_bytes() < peer.as_bytes()) == dialed_by_us;
            if a_race && !preferred {
                return Err(Refusal::Duplicate);
            }
            CloseCode::Replaced.close(&old.connection);
        }
        state.next_ticket += 1;
        let ticket = state.next_ticket;
        let live = Live { connection: connection.clone(), dialed_by_us, incarnation, since: now, ticket, up: false };
        state.live.insert(*peer.as_bytes(), live);
        lock(&self.reconnect).connected(peer.as_bytes());
        Ok(ticket)
    }

    /// Both sides have said hello.
    pub fn mark_up(&self, shared: &Shared, peer: &PeerId, ticket: u64) {
        let mut state = lock(&self.state);
        let alone = !state.live.values().any(|live| live.up);
        let Some(live) = state.live.get_mut(peer).filter(|live| live.ticket == ticket) else { return };
        live.up = true;
        let address = self.address_of(&live.connection);
        let back = state.neighbours.met(peer, address, shared.now()) || alone;
        drop(state);
        if back {
            // If one is there again, or the first of all, others may be.
            self.all_may_be_back(shared);
        }
        self.keep.store(true, Ordering::Relaxed);
        self.tend.notify_one();
    }

    /// Who did not answer is tried again at once.
    pub(super) fn all_may_be_back(&self, shared: &Shared) {
        let mut state = lock(&self.state);
        state.neighbours.dead.clear();
        lock(&self.reconnect).all_alive(shared.now(), &mut *lock(&shared.rng));
        drop(state);
        self.dial.notify_one();
    }

    /// A connection ended. If it held the place of its pair, the peer is dialled again if it is wanted.
    pub fn leave_place(&self, shared: &Shared, peer: &PeerId, ticket: u64) {
        let mut state = lock(&self.state);
        if state.live.get(peer).is_some_and(|live| live.ticket == ticket) {
            state.live.remove(peer);
            state.neighbours.parted(peer, shared.now());
            drop(state);
            lock(&self.reconnect).lost(peer, shared.now(), &mut *lock(&shared.rng));
            self.dial.notify_one();
            self.keep.store(true, Ordering::Relaxed);
            self.tend.notify_one();
        }
    }
}

/// The beginning of what was given.
fn shown(given: &str) -> String {
    const SHOWN_CHARS: usize = 80;
    given.chars().take(SHOWN_CHARS).collect()
}

/// Parses what GetStatus shows as `endpoint_addr`.
fn parse_endpoint_id(given: &str) -> Result<EndpointId, ConnectError> {
    let refuse = |detail: String| ConnectError::EndpointId { given: shown(given), detail };
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
        if !is_address(address) {
            return Err(ConnectError::Address { index, given: address.clone() });
        }
    }
    Ok(())
}
