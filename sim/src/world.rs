//! The run itself: binds, starts the clock, carries out the timeline, and reads the end.

mod classes;
mod convergence;
mod finals;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use iroh::Endpoint;
use peat_node::config::Timing;
use peat_node::mesh::{self, Underlay};
use peat_node::node::Plants;
use peat_node::watcher::PLATFORMS;
use peat_scenarios::plan::{NodeIndex, NodeSpec, Plan, Schedule, Step};
use peat_scenarios::{RunRecord, SimTime};

use crate::agent::SimAgent;
use crate::disk::{Clock, Disk};
use crate::fabric::Fabric;
use crate::host::{Host, Shared, identity};
use crate::journal::Journal;
use crate::tasks::Owned;
use crate::trace::{Event, Kind, Trace};
use crate::workload::Agenda;
use crate::{Configure, Progress, SimError, hooks, seeds};

use classes::Classes;
use convergence::Convergence;

/// Virtual time after each bind. It is a barrier: the clock stands still while a blocking task is out
/// (netwatch reads `/proc/net/route` on another thread), so when this is over, the endpoint has settled.
const SETTLE: Duration = Duration::from_millis(2);
/// How often convergence is looked for while a step of the timeline waits for it.
const LOOK_WANTED: Duration = Duration::from_millis(50);
/// And otherwise: only for the list of convergences; the figures are computed from what was visible when.
const LOOK_IDLE: Duration = Duration::from_millis(500);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What a run is made of.
pub(crate) struct Setup {
    pub(crate) plan: Plan,
    pub(crate) record: RunRecord,
    pub(crate) plants: Plants,
    pub(crate) configure: Configure,
    pub(crate) keep: bool,
    pub(crate) report: Sender<Progress>,
}

/// Runs on the thread of the simulation.
pub(crate) fn run(setup: Setup) -> Result<(RunRecord, Vec<Event>), SimError> {
    let _entered = hooks::enter(setup.plan.seed);
    // A subscriber of the process would make hash maps on this thread, and with that change the run.
    let _quiet = tracing::subscriber::set_default(tracing::subscriber::NoSubscriber::default());
    let mut builder = tokio::runtime::Builder::new_current_thread();
    // netwatch panics without the I/O driver.
    let runtime = builder.enable_time().enable_io().start_paused(true).build().map_err(SimError::Runtime)?;
    runtime.block_on(world(setup))
}

async fn world(setup: Setup) -> Result<(RunRecord, Vec<Event>), SimError> {
    let Setup { plan, record, plants, configure, keep, report } = setup;
    let journal = Journal::new(record, Trace::new(keep));
    let fabric = Fabric::new(&plan.topology, plan.seed, journal.clone());
    let mut endpoints = bind_all(&plan, &fabric).await?;
    // Whatever was drawn while binding no longer matters.
    hooks::reseed(plan.seed);
    journal.start_clock();
    let network = Owned::spawn(fabric.clone().run());

    let directory = plan.topology.nodes.iter().map(|node| (identity(plan.seed, node.index).public(), node.index));
    let mut collections: BTreeSet<&str> = plan.operations.iter().map(|op| &*op.action.key().collection).collect();
    if !plan.agents.is_empty() {
        // What a node says of its agent itself is nobody's operation.
        collections.insert(PLATFORMS);
    }
    let shared = Shared {
        seed: plan.seed,
        plants,
        configure,
        fabric: fabric.clone(),
        journal: journal.clone(),
        directory: Arc::new(directory.collect()),
        collections: collections.into_iter().map(String::from).collect(),
    };
    let hosts = plan.topology.nodes.iter().map(|spec| {
        let lives = endpoints.remove(&spec.index).unwrap_or_default();
        let operations = plan.operations.iter().filter(|op| op.node == spec.index).cloned();
        let disk = Disk::new(seeds::number(plan.seed, "disk", spec.index), virtual_clock());
        let agent = SimAgent::of(&plan, spec.index, journal.clone());
        Host::new(shared.clone(), spec.clone(), disk, Agenda::new(operations), agent, lives)
    });
    let mut world = World {
        hosts: hosts.collect(),
        schedule: Schedule::new(&plan.timeline),
        convergence: Convergence::default(),
        classes: Classes::default(),
        lasting: BTreeMap::new(),
        told: None,
        report,
        shared,
        plan,
    };
    world.live().await;
    finals::read(&world.hosts, &world.shared).await;
    drop(network);
    let draws = hooks::draws();
    let mut journal = journal.lock();
    // Two runs that drew a different number of times are two runs, even if no datagram shows it.
    let end = journal.now();
    journal.trace.add(end, Kind::Final, &[&draws.to_le_bytes()], || format!("entropy was drawn {draws} times"));
    let overflows = fabric.inbox_overflows();
    if overflows > 0 {
        let line = format!("{overflows} datagrams were dropped because an endpoint did not read them in time");
        journal.record.logs.entry("fabric".into()).or_default().push(line);
    }
    journal.record.trace_hash = Some(journal.trace.hash());
    let events = journal.trace.take_events();
    Ok((journal.record.clone(), events))
}

fn virtual_clock() -> Clock {
    Arc::new(hooks::elapsed)
}

/// One endpoint for each life of each host. Bound one after the other and before the start, because iroh's
/// interface monitor does not start in a repeatable way.
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
        bound.insert(spec.index, endpoints);
    }
    Ok(bound)
}

fn lives(plan: &Plan, spec: &NodeSpec) -> u32 {
    let restarts =
        plan.timeline.iter().filter(|timed| matches!(timed.step, Step::Restart { node, .. } if node == spec.index));
    1 + u32::try_from(restarts.count()).unwrap_or(u32::MAX - 1)
}

struct World {
    plan: Plan,
    shared: Shared,
    hosts: Vec<Host>,
    schedule: Schedule,
    convergence: Convergence,
    classes: Classes,
    /// Faults that last, by position, with the words for them.
    lasting: BTreeMap<u32, String>,
    told: Option<SimTime>,
    report: Sender<Progress>,
}

impl World {
    /// From time zero to the end of the plan.
    async fn live(&mut self) {
        loop {
            let now = self.shared.journal.now();
            for host in &mut self.hosts {
                if host.is_new() && host.spec().joins_at <= now {
                    host.start();
                }
            }
            while let Some(step) = self.schedule.take_due(now) {
                self.take(now, &step);
            }
            let equal = self.convergence.look(now, &self.hosts, &self.shared.journal);
            if equal && self.schedule.wants_convergence() {
                self.schedule.converged(now);
            }
            self.classes.look(now, &self.hosts, &self.shared.journal);
            self.tell(now);
            if now >= self.plan.duration {
                break;
            }
            tokio::time::sleep_until(self.shared.journal.instant(self.next(now))).await;
        }
        // The last slice may be a part of one.
        self.hosts.iter().for_each(|host| self.classes.read(self.plan.duration, host, &self.shared.journal));
        for (index, fault) in self.plan.faults.iter().enumerate() {
            let index = u32::try_from(index).unwrap_or(u32::MAX);
            if self.lasting.contains_key(&index) {
                let counters = self.shared.fabric.counters(&fault.pairs);
                self.shared.journal.lock().record.fault_lasting(peat_scenarios::plan::FaultIndex(index), counters);
            }
        }
    }

    /// When there is something to do again.
    fn next(&self, now: SimTime) -> SimTime {
        let look = if self.schedule.wants_convergence() { LOOK_WANTED } else { LOOK_IDLE };
        let joins = self.hosts.iter().filter(|host| host.is_new()).map(|host| host.spec().joins_at);
        let due = self.schedule.next_at().into_iter().chain(joins);
        due.chain([now + look, self.plan.duration]).min().unwrap_or(self.plan.duration)
    }

    fn take(&mut self, now: SimTime, step: &Step) {
        let index = step.fault();
        let fault = &self.plan.faults[index.index()];
        let counters = self.shared.fabric.counters(&fault.pairs);
        let verb = if step.begins() { "begins" } else { "ends" };
        let text = format!("{} {verb}: {}", fault.name, fault.description);
        {
            let mut journal = self.shared.journal.lock();
            journal.trace.add(now, Kind::Step, &[&index.0.to_le_bytes(), text.as_bytes()], || text.clone());
            if step.begins() {
                journal.record.fault_applied(index, now, counters);
            } else {
                journal.record.fault_healed(index, now, counters);
            }
        }
        if step.begins() {
            self.lasting.insert(index.0, fault.description.clone());
        } else {
            self.lasting.remove(&index.0);
        }
        self.shared.fabric.apply(now, step);
        match step {
            Step::Crash { node, .. } => {
                self.classes.read(now, &self.hosts[node.index()], &self.shared.journal);
                self.hosts[node.index()].crash();
                self.classes.forget(&self.hosts[node.index()]);
            }
            Step::Restart { node, .. } => self.hosts[node.index()].start(),
            Step::LinksDown { .. } | Step::Degrade { .. } | Step::Heal { .. } => {}
        }
    }

    fn tell(&mut self, now: SimTime) {
        let end = self.plan.duration;
        if now < end && self.told.is_some_and(|told| now.since(told) < TELL_EVERY) {
            return;
        }
        self.told = Some(now);
        let phase = match self.lasting.is_empty() {
            true => "no fault".to_owned(),
            false => self.lasting.values().cloned().collect::<Vec<_>>().join(", "),
        };
        // The caller may have stopped listening; the run goes on.
        let _ = self.report.send(Progress { now, end, phase });
    }
}
