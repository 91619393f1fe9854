//! The network: an event-driven, in-process datagram network in virtual time.
//!
//! One heap of datagrams in flight, ordered by (time of arrival, sequence), and one task that sleeps until
//! the first of them is due. No ticks: an idle network costs nothing. What a link does to a datagram is
//! decided by [`peat_scenarios::physics`], the same model that every other world uses.
//!
//! A *host* is a node of the scenario; it has one address for ever. A *life* of a host is the time from a
//! start to the next crash, and each has an endpoint of its own. Only the life that is active sends and
//! receives: what a dead life still tries to send is swallowed, and what arrives for a host goes to its
//! present life, or nowhere while it has none.
//!
//! The clock has a grain of one millisecond (tokio's timers): a datagram arrives on the first tick at or
//! after the moment that physics gives it.

#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;
mod transport;

use std::cmp::{Ordering, Reverse};
use std::collections::{BTreeMap, BinaryHeap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{DropCause, Fate, LinkCounters, Network, Sent};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use peat_scenarios::record::FaultEffect;
use tokio::sync::Notify;

use crate::journal::{Inner, Journal};
use crate::trace::Kind;

#[cfg(test)]
pub(crate) use transport::custom_address;
pub(crate) use transport::{FabricResolver, address_text};

/// Datagrams that may wait in a host until its endpoint reads them; more are dropped, as a kernel's socket
/// buffer would. 4,096 full packets are 5 MB: several times what a fast path has in flight.
const INBOX_DATAGRAMS: usize = 4096;

/// The network of a run. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fabric {
    state: Arc<Mutex<State>>,
    wake: Arc<Notify>,
    journal: Journal,
}

impl std::fmt::Debug for Fabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fabric")
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
    flights: BinaryHeap<Reverse<Flight>>,
    sent: u64,
    /// When the task will look next.
    next: Option<SimTime>,
    inbox_overflows: u64,
    /// Hosts that do not run, and how many datagrams have come for each since.
    paused: BTreeMap<NodeIndex, u64>,
}

#[derive(Default)]
struct Inbox {
    waiting: VecDeque<(NodeIndex, Bytes)>,
    reader: Option<Waker>,
}

/// A datagram on its way.
struct Flight {
    arrives_at: SimTime,
    sequence: u64,
    sent_at: SimTime,
    from: NodeIndex,
    to: NodeIndex,
    payload: Bytes,
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

impl Fabric {
    pub(crate) fn new(topology: &Topology, seed: u64, journal: Journal) -> Self {
        let state = State {
            network: Network::new(topology, seed),
            hosts: topology.nodes.len(),
            active: BTreeMap::new(),
            inboxes: BTreeMap::new(),
            flights: BinaryHeap::new(),
            sent: 0,
            next: None,
            inbox_overflows: 0,
            paused: BTreeMap::new(),
        };
        Self { state: Arc::new(Mutex::new(state)), wake: Arc::new(Notify::new()), journal }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on `life` is the one that sends and receives for `host`.
    pub(crate) fn activate(&self, host: NodeIndex, life: u32) {
        let mut state = self.lock();
        state.active.insert(host, life);
        state.paused.remove(&host);
    }

    /// The host goes dark.
    pub(crate) fn deactivate(&self, host: NodeIndex) {
        let mut state = self.lock();
        if let Some(life) = state.active.remove(&host) {
            // What was received but not read dies with the memory it was in.
            state.inboxes.remove(&LifeKey { host, life });
        }
    }

    /// Applies what a step of the timeline does to links, and sends on what a clog let go.
    pub(crate) fn apply(&self, now: SimTime, step: &Step) {
        let mut guard = self.lock();
        let state = &mut *guard;
        state.network.apply(now, step);
        let released = state.network.take_released();
        if released.is_empty() {
            return;
        }
        let mut journal = self.journal.lock();
        for ((from, to), payload) in released {
            let fate = state.network.offer(now, from, to, payload.len());
            self.launch(state, &mut journal, now, (from, to), &payload, Sent::Offered(fate));
        }
    }

    /// What a fault did to datagrams in front of their links.
    pub(crate) fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.lock().network.effect(fault)
    }

    /// The host does not run: it reads nothing, and datagrams pile up before it as in a socket's buffer. What QUIC's own
    /// tasks, which the simulator cannot hold, would send by their timers goes nowhere.
    pub(crate) fn pause(&self, host: NodeIndex) {
        self.lock().paused.insert(host, 0);
    }

    /// It runs again; how many datagrams had come for it.
    pub(crate) fn resume(&self, host: NodeIndex) -> u64 {
        let mut state = self.lock();
        let held = state.paused.remove(&host).unwrap_or_default();
        let life = state.active.get(&host).copied();
        let inbox = life.and_then(|life| state.inboxes.get_mut(&LifeKey { host, life }));
        if let Some(reader) = inbox.and_then(|inbox| inbox.reader.take()) {
            reader.wake();
        }
        held
    }

    /// How many datagrams have come for a host since it was paused.
    pub(crate) fn held(&self, host: NodeIndex) -> u64 {
        self.lock().paused.get(&host).copied().unwrap_or_default()
    }

    /// Counts of the links between `pairs`, added up.
    pub(crate) fn counters(&self, pairs: &[(NodeIndex, NodeIndex)]) -> LinkCounters {
        self.lock().network.counters(pairs)
    }

    /// Datagrams that were dropped because an endpoint did not read fast enough.
    pub(crate) fn inbox_overflows(&self) -> u64 {
        self.lock().inbox_overflows
    }

    fn send(&self, from: LifeKey, to: NodeIndex, payload: &[u8]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.active.get(&from.host) != Some(&from.life)
            || to.index() >= state.hosts
            || state.paused.contains_key(&from.host)
        {
            return;
        }
        let mut journal = self.journal.lock();
        let now = journal.now();
        let sent = state.network.send(now, from.host, to, payload);
        let dropped = matches!(sent, Sent::Offered(Fate::Drop(_)));
        journal.record.datagram(now, from.host, to, payload.len(), dropped);
        self.launch(state, &mut journal, now, (from.host, to), payload, sent);
    }

    /// Notes what became of a datagram, and puts it on its way if it is on one.
    fn launch(
        &self,
        state: &mut State,
        journal: &mut Inner,
        now: SimTime,
        (from, to): (NodeIndex, NodeIndex),
        payload: &[u8],
        sent: Sent,
    ) {
        state.sent += 1;
        let sequence = state.sent;
        let outcome = match sent {
            Sent::Offered(Fate::Deliver { at }) => at.as_nanos(),
            // No arrival time is this late.
            Sent::Offered(Fate::Drop(cause)) => u64::MAX - cause_code(cause),
            Sent::Held => u64::MAX - HELD_CODE,
        };
        let (a, b) = (journal.name(from), journal.name(to));
        journal.trace.add(
            now,
            Kind::Sent,
            &[&from.0.to_le_bytes(), &to.0.to_le_bytes(), &outcome.to_le_bytes(), payload],
            || format!("{a} > {b} #{sequence} {} B {}", payload.len(), describe(sent)),
        );
        let Sent::Offered(Fate::Deliver { at: arrives_at }) = sent else { return };
        state.flights.push(Reverse(Flight {
            arrives_at,
            sequence,
            sent_at: now,
            from,
            to,
            payload: Bytes::copy_from_slice(payload),
        }));
        if state.next.is_none_or(|next| arrives_at < next) {
            state.next = Some(arrives_at);
            self.wake.notify_one();
        }
    }

    /// Delivers, for as long as it is polled.
    pub(crate) async fn run(self) {
        loop {
            let next = self.deliver_due();
            match next {
                Some(at) => {
                    let due = self.journal.instant(at);
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// Delivers what is due and says when to look again.
    fn deliver_due(&self) -> Option<SimTime> {
        let mut guard = self.lock();
        let state = &mut *guard;
        let mut journal = self.journal.lock();
        let now = journal.now();
        while let Some(Reverse(first)) = state.flights.peek() {
            if first.arrives_at > now {
                break;
            }
            let Some(Reverse(flight)) = state.flights.pop() else { break };
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
        state.next = state.flights.peek().map(|Reverse(first)| first.arrives_at);
        state.next
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
        if let Some(held) = self.paused.get_mut(&flight.to) {
            *held += 1;
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

/// Beside the codes of causes, which stay small.
const HELD_CODE: u64 = 1 << 16;

fn describe(sent: Sent) -> String {
    match sent {
        Sent::Offered(Fate::Deliver { at }) => format!("arrives {at}"),
        Sent::Offered(Fate::Drop(cause)) => format!("dropped: {cause:?}"),
        Sent::Held => "held".to_owned(),
    }
}
