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
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;

use std::cmp::Ordering;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use bytes::Bytes;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{Delivery, DropCause, Fate, LinkCounters, Network, Sent};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use peat_scenarios::record::FaultEffect;

use crate::journal::{Inner, Journal};
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
    /// Who carries what each life sends.
    carriers: BTreeMap<LifeKey, Arc<dyn Carrier>>,
    /// Hosts that do not run, and how many datagrams have come for each since.
    paused: BTreeMap<NodeIndex, u64>,
    sent: u64,
    inbox_overflows: u64,
    /// A planted lie: datagrams take half of their time.
    hasty: bool,
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
            carriers: BTreeMap::new(),
            paused: BTreeMap::new(),
            sent: 0,
            inbox_overflows: 0,
            hasty: false,
            closed: false,
        };
        Self { state: Arc::new(Mutex::new(state)), journal }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lies from now on: datagrams take half of their time.
    pub(crate) fn hurry(&self) {
        self.lock().hasty = true;
    }

    pub(crate) fn journal(&self) -> &Journal {
        &self.journal
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

    /// The run is over. Where reading the end takes time, nothing may change meanwhile.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
    }

    /// Applies what a step of the timeline does to links, and sends on what a clog let go.
    pub(crate) fn apply(&self, now: SimTime, step: &Step) {
        let mut flights = Vec::new();
        {
            let mut guard = self.lock();
            let state = &mut *guard;
            state.network.apply(now, step);
            let released = state.network.take_released();
            let mut journal = self.journal.lock();
            for ((from, to), payload) in released {
                let sent = Sent::Offered(state.network.offer(now, from, to, payload.len()));
                // The life that sent it may be over: it is on its way all the same.
                let lives = LifeKey { host: from, life: 0 }..=LifeKey { host: from, life: u32::MAX };
                let carrier = state.carriers.range(lives).next_back().map(|(_, carrier)| carrier.clone());
                let launched = state.launch(&mut journal, now, (from, to), &payload, sent);
                flights.extend(launched.into_iter().flatten().zip(std::iter::repeat(carrier)));
            }
        }
        for (flight, carrier) in flights {
            if let Some(carrier) = carrier {
                carrier.carry(flight);
            }
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

    /// Hands a datagram to its link: the copies that set out, at most two. None: it is lost already, or held.
    fn offer(&self, from: LifeKey, to: NodeIndex, payload: &[u8]) -> [Option<Flight>; 2] {
        let mut guard = self.lock();
        let state = &mut *guard;
        let sends = state.active.get(&from.host) == Some(&from.life) && !state.paused.contains_key(&from.host);
        if state.closed || !sends || to.index() >= state.hosts {
            return [None, None];
        }
        let mut journal = self.journal.lock();
        let now = journal.now();
        let sent = state.network.send(now, from.host, to, payload);
        let dropped = matches!(sent, Sent::Offered(Fate::Drop(_)));
        journal.record.datagram(now, from.host, to, payload.len(), dropped);
        let arrives = match sent {
            Sent::Offered(Fate::Deliver(copies)) => Some(copies.first.at),
            Sent::Offered(Fate::Drop(_)) | Sent::Held => None,
        };
        journal.record.flight(now, from.host, to, payload.len(), arrives);
        state.launch(&mut journal, now, (from.host, to), payload, sent)
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
}

impl State {
    /// Notes what became of a datagram: the copies that are on their way.
    fn launch(
        &mut self,
        journal: &mut Inner,
        now: SimTime,
        (from, to): (NodeIndex, NodeIndex),
        payload: &[u8],
        sent: Sent,
    ) -> [Option<Flight>; 2] {
        self.sent += 1;
        let mut sequence = self.sent;
        let outcome = match sent {
            Sent::Offered(Fate::Deliver(copies)) => copies.first.at.as_nanos(),
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
        let mut flights = [None, None];
        let Sent::Offered(fate) = sent else { return flights };
        if matches!(fate, Fate::Drop(_)) {
            journal.record.flew(now, from, to, payload.len(), None);
        }
        for (position, copy) in fate.deliveries().enumerate() {
            if position > 0 {
                self.sent += 1;
                sequence = self.sent;
                let at = copy.at.as_nanos().to_le_bytes();
                journal.trace.add(now, Kind::Sent, &[&sequence.to_le_bytes(), &at], || {
                    format!("{a} > {b} #{sequence} a second copy, {}", describe_copy(copy))
                });
            }
            let carried = match copy.corruption {
                None => Bytes::copy_from_slice(payload),
                Some(corruption) => {
                    let mut flipped = payload.to_vec();
                    corruption.flip(&mut flipped);
                    journal.trace.add(now, Kind::Sent, &[&sequence.to_le_bytes(), &flipped], || {
                        format!("{a} > {b} #{sequence} corrupted")
                    });
                    flipped.into()
                }
            };
            let due = if self.hasty { now + copy.at.since(now) / 2 } else { copy.at };
            flights[position] = Some(Flight { arrives_at: due, sequence, sent_at: now, from, to, payload: carried });
        }
        flights
    }

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
        DropCause::NoContact => 3,
        DropCause::Burst => 4,
        DropCause::Early => 5,
        DropCause::TooBig => 6,
    }
}

/// Beside the codes of causes, which stay small.
const HELD_CODE: u64 = 1 << 16;

fn describe(sent: Sent) -> String {
    match sent {
        Sent::Offered(Fate::Deliver(copies)) => describe_copy(copies.first),
        Sent::Offered(Fate::Drop(cause)) => format!("dropped: {cause:?}"),
        Sent::Held => "held".to_owned(),
    }
}

fn describe_copy(copy: Delivery) -> String {
    format!("arrives {}", copy.at)
}
