//! The run in one runtime: endpoints bound before the start, every host a set of tasks.

use std::collections::BTreeMap;
use std::time::Duration;

use iroh::Endpoint;
use peat_node::config::Timing;
use peat_node::mesh::{self, Underlay};
use peat_scenarios::RunRecord;
use peat_scenarios::plan::{NodeIndex, Plan};

use super::Fabric;
use crate::SimError;
use crate::client;
use crate::clock::SimClock;
use crate::host::Engine;
use crate::journal::Journal;
use crate::life::{Boot, identity};
use crate::tasks::{Owned, leave_behind};
use crate::trace::Event;
use crate::world::{Setup, World, finals, lives};
use peat_scenarios::drive::{self, Agenda};

/// Virtual time after each bind. It is a barrier: the clock stands still while a blocking task is out
/// (netwatch reads `/proc/net/route` on another thread), so when this is over, the endpoint has settled.
pub(crate) const SETTLE: Duration = Duration::from_millis(2);

/// Runs on the thread of the simulation.
pub(crate) fn run(setup: Setup) -> Result<(RunRecord, Vec<Event>), SimError> {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // No I/O driver: nothing here has a descriptor (netwatch would, were its sockets not refused), and asking the system for
    // events at each turn costs a sixth of a run.
    let runtime = builder.enable_time().start_paused(true).build().map_err(SimError::Runtime)?;
    runtime.block_on(live(setup))
}

async fn live(setup: Setup) -> Result<(RunRecord, Vec<Event>), SimError> {
    let mut world = World::new(setup, SimClock::Tokio);
    let fabric = Fabric::new(world.shared.net.clone());
    let endpoints = bind_all(&world.plan, &fabric).await?;
    world.begin();
    let network = Owned::spawn(fabric.run());
    let journal = world.shared.journal.clone();
    let mut tasks = Tasks { endpoints, running: BTreeMap::new(), journal: journal.clone() };
    for host in &world.hosts {
        tasks.darken(host.spec().index, host.agenda());
    }
    while let Some(next) = world.turn(&mut tasks) {
        let next = tokio::time::sleep_until(journal.instant(next));
        if world.waits_for_events() {
            tokio::select! {
                biased;
                () = journal.stirred().notified() => {}
                () = next => {}
            }
        } else {
            next.await;
        }
    }
    finals::read(world.replicas(), world.shared.clone()).await;
    drop(network);
    Ok(world.finish())
}

/// One endpoint for each life of each host, the last life first. Bound one after the other and before the start,
/// because iroh's interface monitor does not start in a repeatable way.
async fn bind_all(plan: &Plan, fabric: &Fabric) -> Result<BTreeMap<NodeIndex, Vec<Endpoint>>, SimError> {
    let mut bound = BTreeMap::new();
    for spec in &plan.topology.nodes {
        let mut endpoints = Vec::new();
        for life in 0..lives(plan, spec) {
            let underlay = Underlay::Custom(fabric.transport(spec.index, life));
            let endpoint = mesh::bind(identity(plan.seed, spec.index), underlay, &Timing::default()).await;
            endpoints.push(endpoint.map_err(|source| SimError::Bind { node: spec.name.clone(), source })?);
            tokio::time::sleep(SETTLE).await;
        }
        endpoints.reverse();
        bound.insert(spec.index, endpoints);
    }
    Ok(bound)
}

/// What runs for each host.
struct Tasks {
    /// For the lives to come.
    endpoints: BTreeMap<NodeIndex, Vec<Endpoint>>,
    running: BTreeMap<NodeIndex, Running>,
    journal: Journal,
}

enum Running {
    /// Nothing but the clock: operations are skipped.
    Dark { _skipping: Owned },
    /// The node, its API connection and its application.
    Life { task: Owned, endpoint: Endpoint },
}

impl Tasks {
    /// Lets a host skip its operations, in place of what ran for it before.
    fn darken(&mut self, node: NodeIndex, agenda: &Agenda) -> Option<Running> {
        let skipping = drive::drive(agenda.clone(), None, self.journal.clone());
        self.running.insert(node, Running::Dark { _skipping: Owned::spawn(skipping) })
    }
}

impl Engine for Tasks {
    fn begin(&mut self, boot: Boot) {
        let node = boot.spec.index;
        let endpoints = self.endpoints.get_mut(&node);
        let endpoint =
            endpoints.and_then(Vec::pop).expect("invariant: one endpoint is bound for each life that is planned");
        let task = Owned::spawn(life(boot, endpoint.clone()));
        // Drops what was there: from here on operations are no longer skipped.
        self.running.insert(node, Running::Life { task, endpoint });
    }

    fn end(&mut self, node: NodeIndex, agenda: &Agenda) {
        if let Some(Running::Life { task, endpoint }) = self.darken(node, agenda) {
            // And with its task the node.
            drop(task);
            // Ends the tasks that iroh runs for it. What it says goodbye with goes nowhere.
            leave_behind(async move { endpoint.close().await });
        }
    }
}

/// A whole life. It ends by being dropped, and takes everything with it.
async fn life(boot: Boot, endpoint: Endpoint) {
    let Some(node) = boot.node(endpoint).await else { return };
    let handle = node.handle().clone();
    let connected = client::connect(handle.clone(), &boot.pause).await;
    let (client, _server) = match connected {
        Ok(connected) => connected,
        Err(error) => return boot.trouble(&format!("its API does not answer: {error}")),
    };
    boot.application(handle, client).await;
}
