//! The link emulator: a forwarder of datagrams in user space that does to each what the model of its link says, in
//! real time.
//!
//! Every ordered pair of nodes has a *port*: a socket that faces the sender and stands for the receiver. What node a
//! sends to the port a → b is offered to the link a → b of [`peat_scenarios::physics`], waits for as long as the model
//! says, and leaves for b through the port b → a: so b sees it come from where it would send its answer, and neither
//! needs to know that somebody is between them.
//!
//! ```text
//!   a ──▶ [port a→b] ─ physics of a→b ─▶ [port b→a] ──▶ b
//!   a ◀── [port a→b] ◀─ physics of b→a ─ [port b→a] ◀── b
//! ```
//!
//! It is a process of its own (`ddil emulator`) in every world, so that a busy runner does not delay datagrams; the runner
//! speaks with it over a channel ([`protocol`]). **Its own error** is what it delivers later than the model says:
//! [`Tally`], and end to end `ddil emulator --measure`. It is the time of two trips through the kernel's sockets and one wake-up of a
//! timer.
//!
//! **Rejected**: `tc netem` (needs the kernel module and root in the host's namespace, has another model than the simulator,
//! no one-way cut per pair); tokio's timers (a grain of a millisecond).

mod alarm;
mod forward;
mod in_flight;
pub mod protocol;
pub mod remote;
mod serve;
pub mod trial;

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use hdrhistogram::Histogram;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{Fate, LinkCounters, Sent};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use peat_scenarios::record::{FaultEffect, Flights, Traffic};
use tokio::sync::Notify;

pub use in_flight::{Arrival, InFlight, MAX_FLIGHTS};
pub use protocol::{PortSetup, Setup, Tally};
pub use serve::serve;

/// What a socket of the emulator may hold in either direction: bursts of a fast sender must not be lost in the kernel, where
/// no model has said so. The kernel may grant less; `ddil emulator --measure` shows what that means.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// What did not go through the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Strays {
    /// Datagrams from an address that is not the node's.
    pub from_strangers: u64,
    /// Datagrams that the kernel did not take from the emulator at once.
    pub not_taken: u64,
    /// Datagrams for which there was no room; see [`MAX_FLIGHTS`].
    pub overflows: u64,
}

/// Nice value that is asked for: a datagram that waits for a processor is one that the model did not delay. Refused without
/// privilege; the lateness is measured either way.
const PRECEDENCE: i32 = -15;

/// A running emulator. It ends when this is dropped.
pub struct Emulator {
    handle: Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// To look at an emulator and to change its links.
#[derive(Clone)]
pub struct Handle {
    state: Arc<Mutex<State>>,
    /// Something is due sooner than was known.
    sooner: Arc<Notify>,
}

/// From, to.
type Pair = (NodeIndex, NodeIndex);

struct State {
    topology: Topology,
    seed: u64,
    /// When scenario time began.
    began: Instant,
    /// It has begun and not ended. Otherwise nothing passes.
    open: bool,
    in_flight: InFlight,
    /// Where the node that a port faces is.
    places: BTreeMap<Pair, Place>,
    traffic: Traffic,
    flights: Flights,
    /// Nanoseconds between the moment that the model gives and the one at which the kernel had the datagram.
    lateness: Histogram<u64>,
    strays: Strays,
}

#[derive(Clone, Copy)]
struct Place {
    node: SocketAddr,
    roams: bool,
    entering: bool,
}

impl Place {
    fn of(port: &PortSetup) -> Self {
        Place { node: port.node, roams: port.roams, entering: port.entering }
    }
}

impl State {
    fn new(topology: Topology, seed: u64) -> Self {
        State {
            in_flight: InFlight::new(&topology, seed),
            topology,
            seed,
            began: now(),
            open: false,
            places: BTreeMap::new(),
            traffic: Traffic::default(),
            flights: Flights::default(),
            lateness: nanos(),
            strays: Strays::default(),
        }
    }

    fn now(&self) -> SimTime {
        SimTime::from(now().saturating_duration_since(self.began))
    }

    /// A datagram came in at the port `ends`, from `source`.
    fn offer(&mut self, ends: Pair, source: SocketAddr, payload: &[u8]) {
        let Some(place) = self.places.get_mut(&ends) else { return };
        if source != place.node {
            if !place.roams {
                self.strays.from_strangers += 1;
                return;
            }
            place.node = source;
        }
        let entering = place.entering;
        if !self.open {
            return;
        }
        let (now, bytes) = (self.now(), payload.len());
        let sent = self.in_flight.offer(now, ends.0, ends.1, payload);
        if entering {
            return;
        }
        let arrives = match sent {
            Sent::Offered(Fate::Deliver(copies)) => Some(copies.first.at),
            Sent::Offered(Fate::Drop(_)) | Sent::Held => None,
        };
        let dropped = matches!(sent, Sent::Offered(Fate::Drop(_)));
        self.traffic.offered(&self.topology, now, ends, bytes, dropped);
        self.flights.add(now, ends.0, ends.1, bytes, arrives);
    }

    /// What has arrived by now, if anything, and where it is to be sent: to the receiver it comes from where the sender is for it.
    fn take_arrived(&mut self) -> Option<(Pair, SocketAddr, Arrival)> {
        loop {
            let now = self.now();
            let arrival = self.in_flight.arrived(now)?;
            let port = (arrival.to, arrival.from);
            if let Some(place) = self.places.get(&port)
                && self.open
            {
                return Some((port, place.node, arrival));
            }
        }
    }

    /// The kernel has it.
    fn handed_on(&mut self, arrival: &Arrival, taken: bool) {
        self.strays.not_taken += u64::from(!taken);
        let late = self.now().since(arrival.due).as_nanos();
        self.lateness.saturating_record(u64::try_from(late).unwrap_or(u64::MAX));
        let ends = (arrival.from, arrival.to);
        if !self.places.get(&ends).is_some_and(|place| place.entering) {
            self.traffic.arrived(&self.topology, ends, arrival.payload.len());
        }
    }
}

impl Emulator {
    /// Binds every port and waits for [`Handle::begin`]. Every ordered pair of nodes that may speak with each other needs a
    /// port in each direction.
    pub fn start(setup: Setup) -> io::Result<Self> {
        let mut sockets = Vec::new();
        for port in &setup.ports {
            let socket = std::net::UdpSocket::bind(port.bind)
                .map_err(|error| io::Error::new(error.kind(), format!("cannot listen on {}: {error}", port.bind)))?;
            widen(&socket)?;
            sockets.push((*port, socket));
        }
        Self::over(setup.topology, setup.seed, sockets)
    }

    /// The same with sockets that are bound already; [`PortSetup::bind`] is not looked at.
    fn over(topology: Topology, seed: u64, sockets: Vec<(PortSetup, std::net::UdpSocket)>) -> io::Result<Self> {
        let mut state = State::new(topology, seed);
        for (port, _) in &sockets {
            state.places.insert((port.faces, port.stands_for), Place::of(port));
        }
        let handle = Handle { state: Arc::new(Mutex::new(state)), sooner: Arc::default() };
        let stop = Arc::new(Notify::new());
        let (shared, until) = (handle.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("emulator".into()).spawn(move || {
            // Of this thread alone, on Linux. Whether it is granted shows in the lateness.
            let _ = rustix::process::setpriority_process(None, PRECEDENCE);
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, forward::forward(shared, sockets, until))
        })?;
        Ok(Self { handle, stop, thread: Some(thread) })
    }

    /// To look at it and to change its links.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Ends it, and says what went wrong while it ran.
    pub fn stop(mut self) -> io::Result<()> {
        self.end()
    }

    /// Did its thread end?
    fn has_failed(&self) -> bool {
        self.thread.as_ref().is_none_or(JoinHandle::is_finished)
    }

    fn end(&mut self) -> io::Result<()> {
        self.stop.notify_one();
        match self.thread.take().map(JoinHandle::join) {
            None => Ok(()),
            Some(ended) => ended.unwrap_or_else(|_panic| Err(io::Error::other("the emulator panicked"))),
        }
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Whoever wants to know calls `stop`.
        let _ = self.end();
    }
}

impl Handle {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Scenario time begins now: all links are open, undisturbed and idle.
    pub fn begin(&self) {
        let mut state = self.lock();
        state.in_flight = InFlight::new(&state.topology, state.seed);
        (state.began, state.open) = (now(), true);
        (state.traffic, state.flights) = (Traffic::default(), Flights::default());
        state.lateness.reset();
        state.strays = Strays::default();
    }

    /// Applies what a step of the timeline does to links.
    pub fn apply(&self, step: &Step) {
        let mut state = self.lock();
        let now = state.now();
        state.in_flight.apply(now, step);
        // A clog may have let something go.
        self.sooner.notify_one();
    }

    /// Counts of the links between `pairs`, added up.
    pub fn counters(&self, pairs: &[Pair]) -> LinkCounters {
        self.lock().in_flight.counters(pairs)
    }

    /// What a fault did in front of the links.
    pub fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.lock().in_flight.effect(fault)
    }

    /// A node is elsewhere from now on.
    pub fn relocate(&self, node: NodeIndex, to: SocketAddr) {
        let mut state = self.lock();
        state.places.iter_mut().filter(|(port, _)| port.0 == node).for_each(|(_, place)| place.node = to);
    }

    /// Nothing passes any more; what was counted.
    pub fn end(&self) -> Tally {
        let mut state = self.lock();
        state.open = false;
        Tally {
            traffic: state.traffic.clone(),
            flights: state.flights.clone(),
            handed_on: state.lateness.len(),
            late_p50_ns: state.lateness.value_at_quantile(0.5),
            late_p99_ns: state.lateness.value_at_quantile(0.99),
            late_max_ns: state.lateness.max(),
            strays: Strays { overflows: state.in_flight.overflows(), ..state.strays },
        }
    }

    /// How much later than the model says datagrams were handed to the kernel, in nanoseconds.
    fn lateness(&self) -> Histogram<u64> {
        self.lock().lateness.clone()
    }
}

/// Asks for buffers of [`SOCKET_BUFFER_BYTES`], beyond what the system usually grants if this process may.
pub fn widen(socket: &std::net::UdpSocket) -> io::Result<()> {
    use rustix::net::sockopt;
    if sockopt::set_socket_recv_buffer_size_force(socket, SOCKET_BUFFER_BYTES).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER_BYTES)?;
    }
    sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER_BYTES)?;
    Ok(())
}

/// An empty histogram of spans up to an hour, in nanoseconds, to three digits.
pub(crate) fn nanos() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("invariant: the bounds are within the crate's range")
}

#[expect(clippy::disallowed_methods, reason = "a real world runs in real time")]
fn now() -> Instant {
    Instant::now()
}

/// A datagram, or none within the timeout of the socket. A signal, of a child of another test that ended, cuts such a receive short.
#[cfg(test)]
pub(crate) fn received(socket: &std::net::UdpSocket, buffer: &mut [u8]) -> (usize, std::net::SocketAddr) {
    loop {
        match socket.recv_from(buffer) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            result => return result.unwrap(),
        }
    }
}
