//! Virtual worlds: whole nodes, with real QUIC between them, in deterministic virtual time.
//!
//! [`run`] takes a scenario and a seed, runs every node of it in one thread over a simulated network, disk
//! and clock, and returns the [`RunRecord`] that `peat_scenarios` judges. Thirty minutes of a mesh take
//! seconds, and the same seed gives the same run down to the last encrypted byte.
//!
//! ```text
//!   tonic client ──duplex── API ── node ── iroh ══ fabric ══ iroh ── node ── API ──duplex── tonic client
//!        │                          │                                 │
//!     workload                   disk (redb's storage backend)      disk
//!
//!   underneath: tokio's paused clock, and hooks that make the C library's clock and entropy follow it
//! ```
//!
//! # The life of a run
//!
//! 1. A fresh thread enters the simulation ([`hooks`]): from here on its clock is virtual and its entropy
//!    comes from the seed.
//! 2. The endpoints of every life that the plan foresees are bound, one after the other, and then the
//!    random stream is started anew.
//! 3. Scenario time begins. Nodes start, clients connect to them through their real API, and the timeline
//!    cuts links and crashes hosts.
//! 4. At the end the state of every replica is read through the API, and the thread ends.
//!
//! Several runs may go on in one process, each in a thread of its own. `docs/simulator.md` has the traps
//! and the limits.

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod agent;
mod calendar;
mod client;
mod clock;
mod crew;
mod disk;
mod fabric;
pub mod hooks;
mod host;
mod journal;
mod life;
mod net;
mod observer;
pub mod planted;
mod seeds;
mod tasks;
pub mod trace;
pub mod turmoil;
mod world;

use std::sync::{Arc, mpsc};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peat_node::config::NodeConfig;
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::{Capabilities, Capability, RunRecord, Scenario, SimTime, Unsupported};

pub use crew::crew;
pub use hooks::HookError;
pub use peat_node::node::{Plant, Plants};
pub use trace::{Event, first_difference};

/// Stack of a simulation's thread. Every node's futures are polled on it, unoptimised in tests.
const STACK_BYTES: usize = 64 << 20;

/// Alters the configuration of a node at every start.
pub type Configure = Arc<dyn Fn(NodeIndex, &mut NodeConfig) + Send + Sync>;

/// Who delivers datagrams, runs tasks and tells the time. Everything else is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Engine {
    /// One runtime for all, from event to event. The default: nothing is faster.
    #[default]
    Fabric,
    /// A [`turmoil::Sim`](::turmoil::Sim) in ticks of a millisecond, one runtime a host. It is there to disagree
    /// with the other, if there is something to disagree about.
    Turmoil,
}

impl Engine {
    /// Its name in records and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Engine::Fabric => "fabric",
            Engine::Turmoil => "turmoil",
        }
    }

    /// What it can do. [`run`] refuses what a scenario asks for beyond that, before anything starts: what is left out in
    /// silence would prove what was not tried.
    pub fn capabilities(self) -> Capabilities {
        match self {
            Engine::Fabric => Capabilities::all("sim/fabric"),
            // What a clog lets go leaves from no host, and turmoil's sockets belong to hosts.
            Engine::Turmoil => Capabilities::only(
                "sim/turmoil",
                Capability::ALL.into_iter().filter(|capability| *capability != Capability::ClogLinks),
            )
            .at_most(turmoil::NODES_MAX),
        }
    }
}

/// How a scenario is run.
pub struct RunOptions {
    /// Everything random in the run follows from it.
    pub seed: u64,
    /// What runs it.
    pub engine: Engine,
    /// Bugs to plant in every node.
    pub plants: Plants,
    /// What the nodes are told beyond the scenario.
    pub configure: Configure,
    /// Lets the real clock into the run half-way, to prove that whoever compares runs notices it.
    pub leak: bool,
    /// What the person typed to name the scenario, for the line that reproduces a failure.
    pub source: String,
    /// Whether the record is to say what passed between the nodes, for [`peat_scenarios::explain`]. The run and its trace are
    /// the same either way.
    pub transfers: bool,
    /// Is told how far the run is, on the caller's thread, about once per virtual second.
    pub progress: Option<Box<dyn FnMut(Progress) + Send>>,
}

impl RunOptions {
    /// A run of a scenario with this seed and nothing special.
    pub fn seed(seed: u64) -> Self {
        Self {
            seed,
            engine: Engine::default(),
            plants: Plants::default(),
            configure: configure_nothing(),
            leak: false,
            source: String::new(),
            transfers: false,
            progress: None,
        }
    }

    /// The same on this engine.
    pub fn engine(mut self, engine: Engine) -> Self {
        self.engine = engine;
        self
    }

    /// The same with nodes that are told more.
    pub fn configure(mut self, configure: impl Fn(NodeIndex, &mut NodeConfig) + Send + Sync + 'static) -> Self {
        self.configure = Arc::new(configure);
        self
    }

    /// The same, with what passed between the nodes in the record.
    pub fn with_transfers(mut self) -> Self {
        self.transfers = true;
        self
    }

    /// The same with bugs planted.
    pub fn plants(mut self, plants: Plants) -> Self {
        self.plants = plants;
        self
    }
}

fn configure_nothing() -> Configure {
    Arc::new(|_, _| {})
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Virtual time reached.
    pub now: SimTime,
    /// Virtual time at which the run ends.
    pub end: SimTime,
    /// What is going on, for people: the faults that last.
    pub phase: String,
}

/// Why a run could not be carried out. Says nothing about the nodes.
#[derive(Debug, thiserror::Error)]
pub enum SimError {
    /// Runs would not be repeatable.
    #[error(transparent)]
    Hooks(#[from] HookError),
    /// The thread of the run could not be started.
    #[error("the simulation's thread cannot be started: {0}")]
    Thread(#[source] std::io::Error),
    /// The runtime of the run could not be made.
    #[error("the simulation's runtime cannot be made: {0}")]
    Runtime(#[source] std::io::Error),
    /// A node's endpoint could not be bound.
    #[error("endpoint of {node}: {source}")]
    Bind {
        /// The node.
        node: String,
        /// Why.
        source: peat_node::mesh::BindError,
    },
    /// The hosts of a turmoil simulation did not do what they should.
    #[error("turmoil: {0}")]
    Turmoil(String),
    /// The scenario asks for something that this world cannot do.
    #[error(transparent)]
    Unsupported(#[from] Unsupported),
    /// Something in the run panicked.
    #[error("the simulation panicked: {0}")]
    Panicked(String),
}

/// Runs a scenario in virtual time.
///
/// Blocks until the run is over. What goes wrong inside the run (a node that does not start, an API that
/// does not answer) is in the record's `infra_errors`.
pub fn run(scenario: &Scenario, options: RunOptions) -> Result<RunRecord, SimError> {
    execute(scenario, options, false).map(|(record, _)| record)
}

/// Runs a scenario and keeps every event of its trace, at about 150 bytes each: for a readable log, and to
/// find where two runs part ([`first_difference`]).
pub fn run_with_events(scenario: &Scenario, options: RunOptions) -> Result<(RunRecord, Vec<Event>), SimError> {
    execute(scenario, options, true)
}

#[expect(clippy::disallowed_methods, reason = "how long the run takes in real time, on the caller's thread")]
fn execute(scenario: &Scenario, options: RunOptions, keep: bool) -> Result<(RunRecord, Vec<Event>), SimError> {
    options.engine.capabilities().admit(scenario)?;
    hooks::self_check()?;
    let RunOptions { seed, engine, plants, configure, leak, source, transfers, progress } = options;
    let plan = peat_scenarios::plan::expand(scenario, seed);
    let mut record = RunRecord::new(scenario, &plan, &source, "sim", engine.name());
    record.transfers = transfers.then(Default::default);
    let began = Instant::now();
    let leak = leak.then(|| SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().subsec_nanos().into());
    let (report, reports) = mpsc::channel();
    let setup = world::Setup { plan, record, plants, configure, leak, keep, report };
    let thread = spawn(seed, move || match engine {
        Engine::Fabric => fabric::run(setup),
        Engine::Turmoil => turmoil::run(setup),
    })?;
    // Told here and not in the simulation: a progress bar that reads the clock or makes a hash map there
    // would change the run.
    let mut progress = progress;
    for reached in reports {
        if let Some(tell) = &mut progress {
            tell(reached);
        }
    }
    let (mut record, events) = joined(thread)??;
    record.wall = began.elapsed();
    Ok((record, events))
}

/// Runs on a fresh thread, which is inside a simulation for as long as that takes.
fn spawn<T: Send + 'static>(
    seed: u64,
    run: impl FnOnce() -> T + Send + 'static,
) -> Result<std::thread::JoinHandle<T>, SimError> {
    let thread = std::thread::Builder::new().name(format!("sim-{seed}")).stack_size(STACK_BYTES);
    let inside = move || {
        let _entered = hooks::enter(seed);
        // A subscriber of the process would make hash maps on this thread, and with that change the run.
        let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
        run()
    };
    thread.spawn(inside).map_err(SimError::Thread)
}

fn joined<T>(thread: std::thread::JoinHandle<T>) -> Result<T, SimError> {
    thread.join().map_err(|panic| SimError::Panicked(panic_text(&*panic)))
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("(no message)").to_owned()
}
