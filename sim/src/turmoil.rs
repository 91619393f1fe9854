//! The engine `turmoil`: a stock [`turmoil::Sim`](::turmoil::Sim), one runtime a host.
//!
//! ```text
//!   host "alpha-0"                        host "bravo-0"            host "applications"
//!   node ── iroh ── turmoil UDP ═════════ iroh ── node              workload, tonic clients
//!     └ API on turmoil TCP                          └ API ═════════════════┘
//! ```
//!
//! It shares everything with the engine `fabric` but who delivers datagrams, who runs tasks and who tells time.
//! Link physics is the same model: the sender asks it and sends the datagram at once, with the time of its
//! arrival in front; the receiver holds it until then ([`udp`]). turmoil's own links are perfect and take no
//! time, since its link model is not what a scenario means (`docs/adr/0026-turmoil.md`).
//!
//! For people who use turmoil already, [`Mesh`] puts nodes into a simulation of their own. `docs/turmoil.md`
//! is the guide.

mod machine;
mod mesh;
mod udp;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use ::turmoil::{Builder, Sim};
use futures::future;
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::{RunRecord, SimTime};
use tokio::sync::mpsc;

use crate::clock::{Passed, SimClock};
use crate::host::Engine;
use crate::journal::Journal;
use crate::life::Boot;
use crate::net::INBOX_DATAGRAMS;
use crate::trace::Event;
use crate::world::{Setup, World, finals};
use crate::{SimError, hooks};
use peat_scenarios::drive::{self, Agenda};

use machine::{Gate, Job, Machine};

pub use machine::API_PORT;
pub use mesh::{Mesh, connect, simulate};
pub use udp::MESH_PORT;

/// Length of a step. Each step runs every host once, so this is the grain of everything between hosts. Ten
/// milliseconds would cost a tenth and blur latencies to the same degree.
pub const TICK: Duration = Duration::from_millis(1);

/// The host on which all applications run. It comes after the nodes in every step, so that what a node says
/// is heard in the same tick, and what is said to it in the next.
const APPLICATIONS: &str = "applications";

/// Segments that one direction of a TCP connection holds.
const TCP_SEGMENTS: usize = 1024;

/// Hosts that it is worth trying with: the cost of a step grows with their cube, since every host scans every
/// link. With 50 nodes a virtual minute takes 17 s, with 200 it takes 22 minutes.
pub const NODES_MAX: u32 = 50;

/// Steps in which every endpoint is bound, at the latest: each takes two.
const BIND_STEPS: u32 = 1_000;

/// Steps in which all replicas are read, at the latest. One document takes two steps or so.
const READ_STEPS: u32 = 600_000;

/// A builder for a simulation that a node can live in, with what is known to go wrong set right:
///
/// - its calendar is that of the simulator, and not the real one;
/// - its links are perfect and take no time: physics is the [`Mesh`]'s. Set other latencies after this if your
///   own hosts need them; they come on top;
/// - its UDP queues hold as much as a real socket buffer (the default drops all but 64 datagrams, silently);
/// - the I/O driver of tokio is there, without which iroh's interface monitor panics;
/// - its own randomness follows from `seed`.
pub fn builder(seed: u64) -> Builder {
    let mut builder = Builder::new();
    builder
        .rng_seed(seed)
        .epoch(UNIX_EPOCH + hooks::EPOCH)
        .tick_duration(TICK)
        .simulation_duration(Duration::MAX)
        .min_message_latency(Duration::ZERO)
        .max_message_latency(Duration::ZERO)
        .udp_capacity(INBOX_DATAGRAMS)
        .tcp_capacity(TCP_SEGMENTS)
        .enable_tokio_io();
    builder
}

/// Runs on the thread of the simulation.
pub(crate) fn run(setup: Setup) -> Result<(RunRecord, Vec<Event>), SimError> {
    let passed = Passed::default();
    let seed = setup.plan.seed;
    let mut world = World::new(setup, SimClock::Turmoil(passed.clone()));
    let mut machines = Machines::new(&world, builder(seed).build(), passed);
    machines.bind_all()?;
    world.begin();
    for host in &world.hosts {
        machines.darken(host.spec().index, host.agenda());
    }
    let mut next = SimTime::ZERO;
    loop {
        if machines.journal.now() >= next || world.waits_for_events() {
            match world.turn(&mut machines) {
                Some(at) => next = at,
                None => break,
            }
        }
        machines.step()?;
    }
    // Reading takes time here, and nothing must happen meanwhile.
    world.still();
    machines.read(&world)?;
    drop(machines);
    Ok(world.finish())
}

/// The hosts of the simulation.
struct Machines {
    sim: Sim<'static>,
    passed: Passed,
    journal: Journal,
    names: Vec<String>,
    gates: BTreeMap<NodeIndex, Gate>,
    jobs: mpsc::UnboundedSender<Job>,
    trouble: Arc<Mutex<Option<SimError>>>,
}

impl Machines {
    fn new(world: &World, mut sim: Sim<'static>, passed: Passed) -> Self {
        let nodes = &world.plan.topology.nodes;
        let addresses: Arc<[_]> = nodes.iter().map(|node| sim.lookup(node.name.as_str())).collect();
        let (jobs, queue) = mpsc::unbounded_channel();
        let trouble = Arc::new(Mutex::new(None));
        let mut gates = BTreeMap::new();
        for spec in nodes {
            let gate = Gate::new(crate::world::lives(&world.plan, spec));
            let machine = Machine {
                seed: world.plan.seed,
                spec: spec.clone(),
                net: world.shared.net.clone(),
                gate: gate.clone(),
                addresses: addresses.clone(),
                jobs: jobs.clone(),
                trouble: trouble.clone(),
            };
            sim.host(spec.name.as_str(), move || machine.clone().live());
            gates.insert(spec.index, gate);
        }
        let queue = Arc::new(Mutex::new(Some(queue)));
        sim.host(APPLICATIONS, move || {
            let queue = queue.lock().unwrap_or_else(PoisonError::into_inner).take();
            machine::applications(queue)
        });
        let names = nodes.iter().map(|node| node.name.clone()).collect();
        Self { sim, passed, journal: world.shared.journal.clone(), names, gates, jobs, trouble }
    }

    /// One tick of every host.
    fn step(&mut self) -> Result<(), SimError> {
        let stepped = self.sim.step();
        self.passed.set(self.sim.elapsed());
        if let Some(trouble) = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take() {
            return Err(trouble);
        }
        stepped.map(|_| ()).map_err(|error| SimError::Turmoil(error.to_string()))
    }

    /// Steps until every host has bound the endpoint of its first life.
    fn bind_all(&mut self) -> Result<(), SimError> {
        for _ in 0..BIND_STEPS {
            if self.gates.values().all(Gate::is_waited_at) {
                return Ok(());
            }
            self.step()?;
        }
        Err(SimError::Turmoil("the endpoints were not bound in time".into()))
    }

    /// Lets a host skip its operations, in place of what its application did before.
    fn darken(&self, node: NodeIndex, agenda: &Agenda) {
        self.assign(node, drive::drive(agenda.clone(), None, self.journal.clone()));
    }

    fn assign(&self, node: NodeIndex, task: impl Future<Output = ()> + Send + 'static) {
        // The host of the applications never crashes, so it listens as long as there is a simulation.
        let _ = self.jobs.send(Job::Assign(node, Box::pin(task)));
    }

    /// Reads the end of all replicas.
    fn read(&mut self, world: &World) -> Result<(), SimError> {
        let done = Arc::new(Mutex::new(false));
        let (read, flag) = (finals::read(world.replicas(), world.shared.clone()), done.clone());
        let last = async move {
            read.await;
            *flag.lock().unwrap_or_else(PoisonError::into_inner) = true;
        };
        let _ = self.jobs.send(Job::Last(Box::pin(last)));
        for _ in 0..READ_STEPS {
            self.step()?;
            if *done.lock().unwrap_or_else(PoisonError::into_inner) {
                return Ok(());
            }
        }
        Err(SimError::Turmoil("the replicas could not be read in time".into()))
    }
}

impl Engine for Machines {
    fn begin(&mut self, boot: Boot) {
        let node = boot.spec.index;
        // From here on operations are no longer skipped.
        self.assign(node, future::pending());
        if let Some(gate) = self.gates.get(&node) {
            gate.open(boot);
        }
    }

    fn end(&mut self, node: NodeIndex, agenda: &Agenda) {
        let name = self.names[node.index()].as_str();
        self.sim.crash(name);
        self.darken(node, agenda);
        // The machine has no power, but the endpoint of its next life is bound now: as in the other engine, a
        // restart finds it there.
        if self.gates.get(&node).is_some_and(Gate::has_lives) {
            self.sim.bounce(name);
        }
    }
}
