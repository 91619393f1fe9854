//! Nodes in a turmoil simulation of somebody else's.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, mpsc};

use ::turmoil::{Sim, ToIpAddr};
use peat_node::node::{Pause, Plants};
use peat_proto::client::peat_sidecar_client::PeatSidecarClient;
use peat_scenarios::plan::{NodeIndex, NodeSpec};
use peat_scenarios::{RunRecord, Scenario};
use tonic::transport::Channel;

use super::machine::{self, API_PORT};
use crate::calendar::Calendar;
use crate::clock::{Passed, SimClock};
use crate::disk::Disk;
use crate::host::Shared;
use crate::life::{Boot, Ready};
use crate::net::Net;
use crate::observer::LifeObserver;
use crate::world::{Setup, World};
use crate::{Engine, SimError, hooks, seeds};
use peat_scenarios::drive::{Agenda, Bookmark};

/// Carries out a simulation of your own on a thread of its own, on which clock and entropy are virtual and follow
/// from `seed`. Make the [`Sim`] inside.
///
/// Without it nodes would read the real clock, and no two runs would be the same.
pub fn simulate<T: Send + 'static>(seed: u64, run: impl FnOnce() -> T + Send + 'static) -> Result<T, SimError> {
    hooks::self_check()?;
    crate::joined(crate::spawn(seed, run)?)
}

/// The nodes of a scenario, for a simulation of your own.
///
/// Of the scenario it takes who is there, who peers with whom and what the links between them are like; what
/// is written, and what goes wrong and when, is yours to say. A host that you crash keeps what its disk has
/// synced, and starts from there when you bounce it. What you do to links with turmoil (`partition`, `hold`,
/// latencies) comes on top of their physics.
///
/// ```no_run
/// # use std::time::Duration;
/// # use peat_scenarios::{Scenario, model::Workload};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let scenario = Scenario::builder("two-sidecars")
///     .duration(Duration::from_secs(60))
///     .cluster("c", |cluster| cluster.group("edge", 2))
///     .workload(Workload::heartbeat(["edge"], Duration::from_secs(30)))
///     .build()?;
/// let ended = peat_sim::turmoil::simulate(7, move || {
///     let mut sim = peat_sim::turmoil::builder(7).build();
///     peat_sim::turmoil::Mesh::new(&scenario, 7).install(&mut sim);
///     sim.client("application", async {
///         let mut node = peat_sim::turmoil::connect("edge-0").await?;
///         node.get_status(peat_proto::client::GetStatusRequest::default()).await?;
///         Ok(())
///     });
///     sim.run().map_err(|error| error.to_string())
/// })?;
/// ended?;
/// # Ok(())
/// # }
/// ```
pub struct Mesh {
    world: World,
}

impl std::fmt::Debug for Mesh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mesh of {} nodes", self.names().count())
    }
}

impl Mesh {
    /// The nodes of a scenario. Everything random in them follows from `seed`.
    pub fn new(scenario: &Scenario, seed: u64) -> Self {
        let plan = peat_scenarios::plan::expand(scenario, seed);
        let record = RunRecord::new(scenario, &plan, "", "sim", Engine::Turmoil.name());
        // Nobody is told how far it is: there is no end that we know of.
        let (report, _) = mpsc::channel();
        let (plants, configure) = (Plants::default(), crate::configure_nothing());
        let setup = Setup { plan, record, plants, configure, leak: None, keep: false, report };
        Self { world: World::new(setup, SimClock::Turmoil(Passed::default())) }
    }

    /// The names of the nodes, which are the names of their hosts: group and number, as in `edge-0`.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.world.plan.topology.nodes.iter().map(|node| node.name.as_str())
    }

    /// Adds a host for every node. Each starts with the first step, and serves its API at [`API_PORT`].
    pub fn install(&self, sim: &mut Sim<'_>) {
        let nodes = &self.world.plan.topology.nodes;
        let addresses: Arc<[IpAddr]> = nodes.iter().map(|node| sim.lookup(node.name.as_str())).collect();
        let shared = &self.world.shared;
        for spec in nodes {
            let clock = shared.clock.clone();
            let seed = seeds::number(shared.seed, "disk", spec.index);
            let resident = Resident {
                shared: shared.clone(),
                spec: spec.clone(),
                disk: Disk::new(seed, Arc::new(move || clock.elapsed())),
                addresses: addresses.clone(),
                lives: Arc::new(AtomicU32::new(0)),
            };
            sim.host(spec.name.as_str(), move || resident.clone().live());
        }
    }

    /// A hash over every datagram and everything that the nodes said they did, so far. Equal seeds give equal
    /// hashes, unless your own hosts do something that does not follow from the seed.
    pub fn trace_hash(&self) -> String {
        self.world.shared.journal.lock().trace.hash()
    }
}

/// A client of the API of a node, over turmoil's TCP. For use inside a host or client of the simulation.
///
/// turmoil's TCP does not send again what a partition has swallowed: keep the link between an application and its
/// node whole.
pub async fn connect(node: impl ToIpAddr) -> Result<PeatSidecarClient<Channel>, tonic::transport::Error> {
    crate::client::over_turmoil((::turmoil::lookup(node), API_PORT).into()).await
}

/// A node on a host of somebody else's simulation.
#[derive(Clone)]
struct Resident {
    shared: Shared,
    spec: NodeSpec,
    disk: Disk,
    addresses: Arc<[IpAddr]>,
    lives: Arc<AtomicU32>,
}

impl Resident {
    async fn live(self) -> ::turmoil::Result {
        let life = self.lives.fetch_add(1, Ordering::Relaxed);
        let (net, spec) = (&self.shared.net, &self.spec);
        let (endpoint, _receiving) = machine::bind(net, &self.addresses, self.shared.seed, spec, life).await?;
        net.activate(spec.index, life);
        let observer = LifeObserver::new(spec.index, self.shared.journal.clone(), self.shared.directory.clone());
        let boot = Boot {
            shared: self.shared.clone(),
            spec: spec.clone(),
            disk: self.disk.clone(),
            calendar: Calendar::new(self.shared.clock.clone()),
            pause: Pause::default(),
            agenda: Agenda::new([]),
            agent: None,
            bookmark: Bookmark::default(),
            observer: observer.clone(),
            ready: Ready::default(),
            life,
        };
        let Some(node) = boot.node(endpoint).await else {
            let log = self.shared.journal.lock().record.logs.get(&spec.name).and_then(|lines| lines.last()).cloned();
            return Err(format!("{}: {}", spec.name, log.unwrap_or_default()).into());
        };
        // Dropped before the node is: no destructor reaches disk or network.
        let _power = Power { disk: self.disk.clone(), net: net.clone(), node: spec.index, observer };
        machine::serve(&node, &Pause::default(), || {}).await
    }
}

/// Dropped when the host crashes.
struct Power {
    disk: Disk,
    net: Net,
    node: NodeIndex,
    observer: Arc<LifeObserver>,
}

impl Drop for Power {
    fn drop(&mut self) {
        self.disk.crash();
        self.net.deactivate(self.node);
        self.observer.silence();
    }
}
