//! The network of a run, whatever carries its datagrams.
//!
//! What a link does to a datagram is decided by [`peat_scenarios::physics`], the same model that every other
//! world uses. Here it is asked twice: when a datagram is handed to a link ([`Net::offer`]), and when it comes
//! to the end of it ([`Net::land`]). Both are written into the journal. Who keeps the datagram in between is
//! the engine's: the event-driven [`crate::fabric`] in one heap, [`crate::turmoil`] in the UDP of its hosts.
//!
//! A *host* is a node of the scenario; it has one address for ever. A *life* of a host is the time from a
//! start to the next crash, and each has an endpoint of its own. Only the life that is active sends and
//! receives: what a dead life still tries to send is swallowed, and what arrives for a host goes to its
//! present life, or nowhere while it has none.

mod interface;

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{DropCause, Fate, LinkCounters, Network};
use peat_scenarios::plan::{NodeIndex, Step, Topology};

use crate::journal::Journal;
use crate::trace::Kind;

#[cfg(test)]
pub(crate) use interface::custom_address;
pub(crate) use interface::{Carrier, SimResolver, address_text};

/// Datagrams that may wait in a host until its endpoint reads them; more are dropped, as a kernel's socket
/// buffer would. 4,096 full packets are 5 MB: several times what a fast path has in flight.
pub(crate) const INBOX_DATAGRAMS: usize = 4096;

/// The network of a run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Net {
    state: Arc<Mutex<State>>,
    journal: Journal,
}

impl std::fmt::Debug for Net {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Net")
    }
}

/// One life of one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct LifeKey {
    host: NodeIndex,
    life: u32,
}

struct State {
    network: Network,
    /// Addresses run from zero to this.
    hosts: usize,
    /// The life that is active, by host.
    active: BTreeMap<NodeIndex, u32>,
    inboxes: BTreeMap<LifeKey, Inbox>,
    sent: u64,
    inbox_overflows: u64,
    /// The run is over: what is still sent goes nowhere and is not part of it.
    closed: bool,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<(NodeIndex, Bytes)>,
    reader: Option<Waker>,
}

/// A datagram on its way. Ordered by arrival, then by when it was sent.
#[derive(Debug)]
pub(crate) struct Flight {
    pub(crate) arrives_at: SimTime,
    pub(crate) sequence: u64,
    pub(crate) sent_at: SimTime,
    pub(crate) from: NodeIndex,
    pub(crate) to: NodeIndex,
    pub(crate) payload: Bytes,
}

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.arrives_at, self.sequence).cmp(&(other.arrives_at, other.sequence))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

/// What became of a datagram at the end of its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Arrival {
    Delivered = 1,
    KilledInFlight = 2,
    HostDark = 3,
    InboxFull = 4,
}

impl Net {
    pub(crate) fn new(topology: &Topology, seed: u64, journal: Journal) -> Self {
        let state = State {
            network: Network::new(topology, seed),
            hosts: topology.nodes.len(),
            active: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            sent: 0,
            inbox_overflows: 0,
            closed: false,
        };
        Self { state: Arc::new(Mutex::new(state)), journal }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
    }

    /// From now on `life` is the one that sends and receives for `host`.
    pub(crate) fn activate(&self, host: NodeIndex, life: u32) {
        self.lock().active.insert(host, life);
    }

    /// The host goes dark.
    pub(crate) fn deactivate(&self, host: NodeIndex) {
        let mut state = self.lock();
        if let Some(life) = state.active.remove(&host) {
            // What was received but not read dies with the memory it was in.
            state.inboxes.remove(&LifeKey { host, life });
        }
    }

    /// The run is over. Where reading the end takes time, nothing may change meanwhile.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Applies what a step of the timeline does to links.
    pub(crate) fn apply(&self, now: SimTime, step: &Step) {
        self.lock().network.apply(now, step);
    }

    /// Counts of the links between `pairs`, added up.
    pub(crate) fn counters(&self, pairs: &[(NodeIndex, NodeIndex)]) -> LinkCounters {
        self.lock().network.counters(pairs)
    }

    /// Datagrams that were dropped because an endpoint did not read fast enough.
    pub(crate) fn inbox_overflows(&self) -> u64 {
        self.lock().inbox_overflows
    }

    /// Hands a datagram to its link. `None`: it is lost already.
    fn offer(&self, from: LifeKey, to: NodeIndex, payload: &[u8]) -> Option<Flight> {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.closed || state.active.get(&from.host) != Some(&from.life) || to.index() >= state.hosts {
            return None;
        }
        let mut journal = self.journal.lock();
        let now = journal.now();
        let fate = state.network.offer(now, from.host, to, payload.len());
        state.sent += 1;
        let sequence = state.sent;
        journal.record.datagram(now, from.host, to, payload.len(), matches!(fate, Fate::Drop(_)));
        let outcome = match fate {
            Fate::Deliver { at } => at.as_nanos(),
            // No arrival time is this late.
            Fate::Drop(cause) => u64::MAX - cause_code(cause),
        };
        let (a, b) = (journal.name(from.host), journal.name(to));
        journal.trace.add(
            now,
            Kind::Sent,
            &[&from.host.0.to_le_bytes(), &to.0.to_le_bytes(), &outcome.to_le_bytes(), payload],
            || format!("{a} > {b} #{sequence} {} B {}", payload.len(), describe(fate)),
        );
        let Fate::Deliver { at: arrives_at } = fate else { return None };
        let payload = Bytes::copy_from_slice(payload);
        Some(Flight { arrives_at, sequence, sent_at: now, from: from.host, to, payload })
    }

    /// A datagram comes to the end of its link, now.
    pub(crate) fn land(&self, flight: Flight) {
        let mut state = self.lock();
        if state.closed {
            return;
        }
        let mut journal = self.journal.lock();
        let now = journal.now();
        let (from, to, sequence, bytes) = (flight.from, flight.to, flight.sequence, flight.payload.len());
        let arrival = state.arrive(flight);
        if arrival == Arrival::Delivered {
            journal.record.arrived(from, to, bytes);
        }
        let (a, b) = (journal.name(from), journal.name(to));
        journal.trace.add(now, Kind::Arrived, &[&sequence.to_le_bytes(), &[arrival as u8]], || {
            format!("{b} < {a} #{sequence} {arrival:?}")
        });
    }
}

impl State {
    fn arrive(&mut self, flight: Flight) -> Arrival {
        if !self.network.arrives(flight.from, flight.to, flight.sent_at) {
            return Arrival::KilledInFlight;
        }
        let Some(&life) = self.active.get(&flight.to) else { return Arrival::HostDark };
        let Some(inbox) = self.inboxes.get_mut(&LifeKey { host: flight.to, life }) else {
            return Arrival::HostDark;
        };
        if inbox.waiting.len() >= INBOX_DATAGRAMS {
            self.inbox_overflows += 1;
            return Arrival::InboxFull;
        }
        inbox.waiting.push_back((flight.from, flight.payload));
        if let Some(reader) = inbox.reader.take() {
            reader.wake();
        }
        Arrival::Delivered
    }
}

fn cause_code(cause: DropCause) -> u64 {
    match cause {
        DropCause::Down => 0,
        DropCause::Loss => 1,
        DropCause::QueueFull => 2,
    }
}

fn describe(fate: Fate) -> String {
    match fate {
        Fate::Deliver { at } => format!("arrives {at}"),
        Fate::Drop(cause) => format!("dropped: {cause:?}"),
    }
}
