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
//! It works in a thread of its own with a runtime of its own, so that a busy runner does not delay datagrams. **Its own
//! error** is what it delivers later than the model says: [`Handle::lateness`], and end to end `ddil emulator`. It is the
//! time of two trips through the kernel's sockets and one wake-up of a timer.
//!
//! **Rejected**: `tc netem` (needs the kernel module and root in the host's namespace, has another model than the simulator,
//! no one-way cut per pair); tokio's timers (a grain of a millisecond).

mod alarm;
mod flights;
pub mod trial;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use hdrhistogram::Histogram;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{Fate, LinkCounters};
use peat_scenarios::plan::{NodeIndex, Step, Topology};
use tokio::net::UdpSocket;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use alarm::Alarm;
pub use flights::{Arrival, Flights, MAX_FLIGHTS};

/// The largest UDP payload there is.
const DATAGRAM_BYTES: usize = 65_535;
/// Datagrams that are taken from one socket before the others have their turn.
const BATCH: usize = 64;
/// What a socket of the emulator may hold in either direction: bursts of a fast sender must not be lost in the kernel, where
/// no model has said so. The kernel may grant less; `ddil emulator` shows what that means.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 20;

/// A socket that faces one node and stands for another.
#[derive(Debug)]
pub struct Port {
    /// Who sends here, and is sent to from here.
    pub faces: NodeIndex,
    /// Whom it stands for.
    pub stands_for: NodeIndex,
    /// Where the node that it faces listens. What comes from elsewhere is not let in.
    pub node: SocketAddr,
    /// Bound, in whichever network it belongs to.
    pub socket: std::net::UdpSocket,
}

/// What did not go through the model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Strays {
    /// Datagrams from an address that is not the node's.
    pub from_strangers: u64,
    /// Datagrams that the kernel did not take from the emulator at once.
    pub not_taken: u64,
    /// Datagrams for which there was no room; see [`MAX_FLIGHTS`].
    pub overflows: u64,
}

/// Who wants to know of each datagram that was offered: time, from, to, bytes, and whether it was dropped.
pub type Watcher = Box<dyn FnMut(SimTime, NodeIndex, NodeIndex, usize, bool) + Send>;

/// A running emulator. It ends when this is dropped.
pub struct Emulator {
    handle: Handle,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<io::Result<()>>>,
}

/// To look at an emulator and to change its links.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

struct Shared {
    began: Instant,
    state: Mutex<State>,
}

struct State {
    flights: Flights,
    /// Nanoseconds between the moment that the model gives and the one at which the kernel had the datagram.
    lateness: Histogram<u64>,
    strays: Strays,
    watcher: Option<Watcher>,
}

impl Emulator {
    /// Starts with every link of `topology` as it is undisturbed. Every ordered pair needs a port in each direction.
    pub fn start(topology: &Topology, seed: u64, ports: Vec<Port>, watcher: Option<Watcher>) -> io::Result<Self> {
        let lateness = Histogram::new(3).expect("invariant: 3 significant digits are within the crate's range");
        let state = State { flights: Flights::new(topology, seed), lateness, strays: Strays::default(), watcher };
        let handle = Handle(Arc::new(Shared { began: now(), state: Mutex::new(state) }));
        let stop = Arc::new(Notify::new());
        let (shared, until) = (handle.clone(), stop.clone());
        let thread = std::thread::Builder::new().name("emulator".into()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
            let local = tokio::task::LocalSet::new();
            local.block_on(&runtime, forward(shared, ports, until))
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
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The emulator's clock: time since its start.
    pub fn now(&self) -> SimTime {
        SimTime::from(now().saturating_duration_since(self.0.began))
    }

    /// Applies what a step of the timeline does to links, and says when.
    pub fn apply(&self, step: &Step) -> SimTime {
        let mut state = self.lock();
        let now = self.now();
        state.flights.apply(now, step);
        now
    }

    /// Counts of the links between `pairs`, added up.
    pub fn counters(&self, pairs: &[(NodeIndex, NodeIndex)]) -> LinkCounters {
        self.lock().flights.counters(pairs)
    }

    /// How much later than the model says datagrams were handed to the kernel, in nanoseconds.
    pub fn lateness(&self) -> Histogram<u64> {
        self.lock().lateness.clone()
    }

    /// What did not go through the model.
    pub fn strays(&self) -> Strays {
        let state = self.lock();
        Strays { overflows: state.flights.overflows(), ..state.strays }
    }
}

/// The sockets of a running emulator.
struct Ports {
    /// By the node that they face and the one they stand for.
    by_pair: BTreeMap<(NodeIndex, NodeIndex), (UdpSocket, SocketAddr)>,
    /// Something is due sooner than the alarm was set to.
    sooner: Notify,
    /// When the alarm rings.
    alarm_at: RefCell<Option<SimTime>>,
}

async fn forward(handle: Handle, ports: Vec<Port>, until: Arc<Notify>) -> io::Result<()> {
    let mut by_pair = BTreeMap::new();
    for Port { faces, stands_for, node, socket } in ports {
        socket.set_nonblocking(true)?;
        by_pair.insert((faces, stands_for), (UdpSocket::from_std(socket)?, node));
    }
    let pairs: Vec<_> = by_pair.keys().copied().collect();
    let ports = Rc::new(Ports { by_pair, sooner: Notify::new(), alarm_at: RefCell::new(None) });
    let mut tasks = JoinSet::new();
    for pair in pairs {
        tasks.spawn_local(receive(handle.clone(), ports.clone(), pair));
    }
    tasks.spawn_local(deliver(handle, ports));
    tokio::select! {
        biased;
        () = until.notified() => Ok(()),
        // None of them ends unless something went wrong.
        Some(ended) = tasks.join_next() => ended.map_err(io::Error::other)?,
    }
}

async fn receive(handle: Handle, ports: Rc<Ports>, (from, to): (NodeIndex, NodeIndex)) -> io::Result<()> {
    let (socket, node) = &ports.by_pair[&(from, to)];
    let mut buffer = vec![0; DATAGRAM_BYTES];
    loop {
        socket.readable().await?;
        for _ in 0..BATCH {
            let (length, source) = match socket.try_recv_from(&mut buffer) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // The node is not there at the moment: the kernel says so of an earlier datagram to it.
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => continue,
                Err(error) => return Err(error),
            };
            let mut state = handle.lock();
            if source != *node {
                state.strays.from_strangers += 1;
                continue;
            }
            let now = handle.now();
            let fate = state.flights.offer(now, from, to, &buffer[..length]);
            if let Some(watcher) = &mut state.watcher {
                watcher(now, from, to, length, matches!(fate, Fate::Drop(_)));
            }
            let (next, set) = (state.flights.next(), *ports.alarm_at.borrow());
            if next.is_some_and(|next| set.is_none_or(|set| next < set)) {
                ports.sooner.notify_one();
            }
        }
        tokio::task::yield_now().await;
    }
}

async fn deliver(handle: Handle, ports: Rc<Ports>) -> io::Result<()> {
    let alarm = Alarm::new()?;
    loop {
        let next = {
            let mut state = handle.lock();
            let now = handle.now();
            while let Some(arrival) = state.flights.arrived(now) {
                // To the receiver it comes from where the sender is for it.
                let Some((socket, node)) = ports.by_pair.get(&(arrival.to, arrival.from)) else { continue };
                if socket.try_send_to(&arrival.payload, *node).is_err_and(|error| !is_absence(&error)) {
                    state.strays.not_taken += 1;
                }
                let late = handle.now().since(arrival.due).as_nanos();
                state.lateness.saturating_record(u64::try_from(late).unwrap_or(u64::MAX));
            }
            state.flights.next()
        };
        *ports.alarm_at.borrow_mut() = next;
        match next {
            None => ports.sooner.notified().await,
            Some(next) => {
                alarm.set(next.since(handle.now()))?;
                tokio::select! {
                    biased;
                    () = ports.sooner.notified() => {}
                    rang = alarm.rings() => rang?,
                }
            }
        }
    }
}

/// Asks for buffers of [`SOCKET_BUFFER_BYTES`].
pub fn widen(socket: &std::net::UdpSocket) -> io::Result<()> {
    rustix::net::sockopt::set_socket_recv_buffer_size(socket, SOCKET_BUFFER_BYTES)?;
    rustix::net::sockopt::set_socket_send_buffer_size(socket, SOCKET_BUFFER_BYTES)?;
    Ok(())
}

/// Nobody listens there now: a node that is down.
fn is_absence(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionRefused | io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable
    )
}

#[expect(clippy::disallowed_methods, reason = "a real world runs in real time")]
fn now() -> Instant {
    Instant::now()
}
