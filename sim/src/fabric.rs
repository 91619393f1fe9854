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
use peat_scenarios::physics::{DropCause, Fate, LinkCounters, Network};
use peat_scenarios::plan::{NodeIndex, Step, Topology};
use tokio::sync::Notify;

use crate::journal::Journal;
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
        };
        Self { state: Arc::new(Mutex::new(state)), wake: Arc::new(Notify::new()), journal }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
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

    fn send(&self, from: LifeKey, to: NodeIndex, payload: &[u8]) {
        let mut guard = self.lock();
        let state = &mut *guard;
        if state.active.get(&from.host) != Some(&from.life) || to.index() >= state.hosts {
            return;
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
        let Fate::Deliver { at: arrives_at } = fate else {
            journal.record.flew(now, from.host, to, payload.len(), None);
            return;
        };
        state.flights.push(Reverse(Flight {
            arrives_at,
            sequence,
            sent_at: now,
            from: from.host,
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
            let sent_at = flight.sent_at;
            let arrival = state.arrive(flight);
            journal.record.flew(sent_at, from, to, bytes, (arrival == Arrival::Delivered).then_some(now));
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
