//! The run itself, whichever engine runs it: carries out the timeline, looks for convergence, tells how far it is,
//! and reads the end.

mod classes;
mod convergence;
pub(crate) mod finals;
mod steps;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::Duration;

use peat_node::node::{Gauge, Plant, Plants};
use peat_node::watcher::PLATFORMS;
use peat_scenarios::plan::{FaultIndex, NodeIndex, NodeSpec, Plan, Schedule, Step};
use peat_scenarios::{RunRecord, SimTime};

use crate::agent::SimAgent;
use crate::clock::SimClock;
use crate::disk::Disk;
use crate::host::{Engine, Host, Shared};
use crate::journal::Journal;
use crate::life::identity;
use crate::net::Net;
use crate::trace::{Event, Kind, Trace};
use crate::{Configure, Progress, hooks, seeds};
use peat_scenarios::drive::Agenda;

use classes::Classes;
use convergence::Convergence;
use finals::Replica;

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
    /// Entropy from outside that gets in half-way.
    pub(crate) leak: Option<u64>,
    pub(crate) keep: bool,
    pub(crate) report: Sender<Progress>,
}

/// Everything of a run but who runs its tasks.
pub(crate) struct World {
    pub(crate) plan: Plan,
    pub(crate) shared: Shared,
    pub(crate) hosts: Vec<Host>,
    schedule: Schedule,
    convergence: Convergence,
    classes: Classes,
    /// Faults that last, by position, with the words for them.
    lasting: BTreeMap<u32, String>,
    /// What keeps each node that is down from starting.
    down: BTreeMap<NodeIndex, BTreeSet<FaultIndex>>,
    told: Option<SimTime>,
    leak: Option<u64>,
    report: Sender<Progress>,
}

impl World {
    /// All hosts dark, before scenario time begins.
    pub(crate) fn new(setup: Setup, clock: SimClock) -> Self {
        let Setup { plan, record, plants, configure, leak, keep, report } = setup;
        let journal = Journal::new(record, Trace::new(keep), clock.clone());
        let net = Net::new(&plan.topology, plan.seed, journal.clone());
        if plants.has(Plant::HastyLink) {
            net.hurry();
        }
        let directory = plan.topology.nodes.iter().map(|node| (identity(plan.seed, node.index).public(), node.index));
        let shared = Shared {
            seed: plan.seed,
            plants,
            configure,
            clock: clock.clone(),
            net,
            journal: journal.clone(),
            directory: Arc::new(directory.collect()),
            collections: collections(&plan),
        };
        let hosts = plan.topology.nodes.iter().map(|spec| {
            let operations = plan.operations.iter().filter(|op| op.node == spec.index).cloned();
            let clock = clock.clone();
            let disk = Disk::new(seeds::number(plan.seed, "disk", spec.index), Arc::new(move || clock.elapsed()));
            let agent = SimAgent::of(&plan, spec.index, journal.clone());
            Host::new(shared.clone(), spec.clone(), disk, Agenda::new(operations), agent, lives(&plan, spec))
        });
        World {
            hosts: hosts.collect(),
            schedule: Schedule::new(&plan.timeline),
            convergence: Convergence::default(),
            classes: Classes::default(),
            lasting: BTreeMap::new(),
            down: BTreeMap::new(),
            told: None,
            leak,
            report,
            shared,
            plan,
        }
    }

    /// Everything is in its place: scenario time begins.
    pub(crate) fn begin(&self) {
        // Whatever was drawn while the engine put it there no longer matters.
        hooks::reseed(self.plan.seed);
        self.shared.journal.start_clock();
    }

    /// Does what is due now, and says when there is something to do again; `None`: the run is over.
    pub(crate) fn turn(&mut self, engine: &mut impl Engine) -> Option<SimTime> {
        let now = self.shared.journal.now();
        if now.as_nanos() >= self.plan.duration.as_nanos() / 2
            && let Some(entropy) = self.leak.take()
        {
            hooks::reseed(entropy);
        }
        for host in &mut self.hosts {
            if host.is_new() && host.spec().joins_at <= now {
                host.start(engine);
            }
        }
        self.cut_powers(engine);
        while let Some(step) = self.schedule.take_due(now) {
            self.take(now, &step, engine);
        }
        if self.schedule.wants_events() {
            self.schedule.notice(now, &self.shared.journal.lock().record);
        }
        let equal = self.convergence.look(now, &self.hosts, &self.shared.journal);
        if equal && self.schedule.wants_convergence() {
            self.schedule.converged(now);
        }
        self.classes.look(now, &self.hosts, &self.shared.journal);
        self.sample(now);
        self.tell(now);
        if now < self.plan.duration {
            return Some(self.next(now));
        }
        // The last slice may be a part of one.
        self.hosts.iter().for_each(|host| self.classes.read(self.plan.duration, host, &self.shared.journal));
        self.close_lasting();
        None
    }

    /// True while something that the journal hears of may have to be done at once.
    pub(crate) fn waits_for_events(&self) -> bool {
        self.schedule.wants_events() || self.hosts.iter().any(Host::is_armed)
    }

    /// The run is over: nothing that still happens is part of it. For engines in which reading the end takes time.
    pub(crate) fn still(&self) {
        self.shared.net.close();
        for host in &self.hosts {
            host.silence();
        }
    }

    /// What there is to read at the end.
    pub(crate) fn replicas(&self) -> Vec<Replica> {
        self.hosts.iter().map(Replica::of).collect()
    }

    /// The record and, if they were kept, the events.
    pub(crate) fn finish(self) -> (RunRecord, Vec<Event>) {
        let draws = hooks::draws();
        let mut journal = self.shared.journal.lock();
        // Two runs that drew a different number of times are two runs, even if no datagram shows it.
        let end = journal.now();
        journal.trace.add(end, Kind::Final, &[&draws.to_le_bytes()], || format!("entropy was drawn {draws} times"));
        let overflows = self.shared.net.inbox_overflows();
        if overflows > 0 {
            let line = format!("{overflows} datagrams were dropped because an endpoint did not read them in time");
            let engine = journal.record.meta.engine.clone();
            journal.record.logs.entry(engine).or_default().push(line);
        }
        journal.record.trace_hash = Some(journal.trace.hash());
        let events = journal.trace.take_events();
        (journal.record.clone(), events)
    }

    /// How full the limited things of every node are. Nobody notices being looked at.
    fn sample(&self, now: SimTime) {
        for host in &self.hosts {
            let Some((node, _)) = host.ready() else { continue };
            let gauges = node.gauges();
            let mut journal = self.shared.journal.lock();
            for Gauge { name, value, limit } in gauges {
                journal.record.gauge(now, host.spec().index, name, value, limit);
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

fn collections(plan: &Plan) -> Arc<[String]> {
    let mut collections: BTreeSet<&str> = plan.operations.iter().map(|op| &*op.action.key().collection).collect();
    if !plan.agents.is_empty() {
        // What a node says of its agent itself is nobody's operation.
        collections.insert(PLATFORMS);
    }
    collections.into_iter().map(String::from).collect()
}

/// Lives that a host has before it: one more than its restarts.
pub(crate) fn lives(plan: &Plan, spec: &NodeSpec) -> u32 {
    let restarts =
        plan.timeline.iter().filter(|timed| matches!(timed.step, Step::Restart { node, .. } if node == spec.index));
    1 + u32::try_from(restarts.count()).unwrap_or(u32::MAX - 1)
}
