//! The run itself, on whatever ground: starts the nodes, tells them of each other, carries out the timeline, looks for
//! convergence, tells how far it is, and reads the end.
//!
//! It is one thread with one clock. Nodes are spoken to through their public API alone, so any server that speaks it can be
//! put on trial; what an application does is [`peat_scenarios::drive`], as in a simulation.
//!
//! # The life of a run
//!
//! 1. Every node that is there from the beginning is started and asked who it is. Nothing passes the links yet.
//! 2. Scenario time begins: the links open, and each node is told where its peers are, which is a place at the emulator.
//! 3. The timeline. A node that starts again is kept apart until it was read: what it holds then, it held.
//! 4. The links close, what is on its way through the nodes comes to rest, and every replica is read.

mod convergence;
mod finish;
mod host;
mod journal;
mod sessions;
mod steps;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::time::Duration;

use peat_proto::client::GetSyncStatsRequest;
use peat_scenarios::drive::{Agenda, Logbook as _};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Plan, Schedule, Step};
use peat_scenarios::record::TRAFFIC_SLICE;
use peat_scenarios::{RunRecord, SimTime};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use crate::ground::{Ground, GroundError, Links};

use convergence::Convergence;
use host::{Host, Owned, Serving, Shared};
use journal::Journal;
use sessions::Directory;

/// How often the world is looked at while a step of the timeline waits for convergence.
const LOOK_WANTED: Duration = Duration::from_millis(20);
/// And otherwise.
const LOOK_IDLE: Duration = Duration::from_millis(200);
/// How often progress is told.
const TELL_EVERY: Duration = Duration::from_millis(500);
/// A node that does not serve so long after its first start never will: that is no trial of it.
const SERVES_WITHIN: Duration = Duration::from_secs(30);

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// Scenario time reached.
    pub now: SimTime,
    /// Scenario time at which the run ends.
    pub end: SimTime,
    /// What is going on, for people: the faults that last.
    pub phase: String,
}

/// Something that happened, for the log of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// When.
    pub at: SimTime,
    /// What.
    pub text: String,
}

/// How a scenario is run.
#[derive(Default)]
pub struct Watching<'a> {
    /// Is told how far the run is.
    pub progress: Option<&'a mut dyn FnMut(Progress)>,
    /// Whether events are kept.
    pub events: bool,
}

/// Runs a plan on a ground that is prepared for it. `record` is the empty record of the run, which is filled.
///
/// What goes wrong with a node is its own; trouble of the world, from here on, is in the record's `infra_errors`. The ground is
/// cleared when this returns.
///
/// # Errors
///
/// The nodes could not even be started.
pub async fn run<G: Ground>(
    plan: Plan,
    record: RunRecord,
    mut watching: Watching<'_>,
    mut ground: G,
    links: Links,
) -> Result<(RunRecord, Vec<Event>), GroundError> {
    let (serving, served) = unbounded_channel();
    let shared = Shared {
        journal: Journal::new(record, watching.events),
        directory: Directory::default(),
        collections: collections(&plan),
        wants_sessions: Rc::new(Cell::new(false)),
        serving,
    };
    let hosts = plan.topology.nodes.iter().map(|spec| {
        let operations = plan.operations.iter().filter(|op| op.node == spec.index).cloned();
        Host::new(spec.clone(), Agenda::new(operations), shared.clone())
    });
    let mut world = World {
        hosts: hosts.collect(),
        schedule: Schedule::new(&plan.timeline),
        convergence: Convergence::default(),
        lasting: BTreeMap::new(),
        down: BTreeMap::new(),
        paused: BTreeMap::new(),
        before_pause: BTreeMap::new(),
        counted: None,
        told: None,
        slice: 1,
        links,
        shared,
        plan,
        ground,
        served,
    };
    if let Err(error) = world.raise().await {
        // Half a world is one, too; why it could not be raised is the better news.
        return Err(match world.ground.clear().await {
            Ok(()) => error,
            Err(left) => GroundError(format!("{error}\nand it could not be cleared away: {left}")),
        });
    }
    if let Err(error) = world.live(&mut watching).await {
        world.shared.journal.infra(&error.to_string());
    }
    let done = world.finish().await;
    ground = world.ground;
    match ground.clear().await {
        Ok(()) => Ok(done),
        Err(error) => {
            let (mut record, events) = done;
            record.infra_errors.push(error.to_string());
            Ok((record, events))
        }
    }
}

struct World<G> {
    plan: Plan,
    ground: G,
    links: Links,
    shared: Shared,
    hosts: Vec<Host>,
    served: UnboundedReceiver<Serving>,
    schedule: Schedule,
    convergence: Convergence,
    /// Faults that last, by position, with the words for them.
    lasting: BTreeMap<u32, String>,
    /// What keeps each node that is down from starting.
    down: BTreeMap<NodeIndex, BTreeSet<FaultIndex>>,
    /// What keeps each node that stands still from going on.
    paused: BTreeMap<NodeIndex, BTreeSet<FaultIndex>>,
    /// Datagrams that had come for a node when it was paused.
    before_pause: BTreeMap<FaultIndex, u64>,
    /// Reads what nodes count as sent.
    counted: Option<Owned>,
    told: Option<SimTime>,
    /// The slice of traffic that is to be read next, from 1.
    slice: u64,
}

impl<G: Ground> World<G> {
    /// Starts every node that is there from the beginning, and opens the links once all serve.
    async fn raise(&mut self) -> Result<(), GroundError> {
        let first: Vec<NodeIndex> = self
            .plan
            .topology
            .nodes
            .iter()
            .filter(|spec| spec.joins_at == SimTime::ZERO)
            .map(|spec| spec.index)
            .collect();
        for node in &first {
            self.ground.start(*node).await?;
        }
        // The clock stands still: these starts are the beginning of the story.
        let mut ready = Vec::new();
        for node in &first {
            self.hosts[node.index()].live(self.ground.api(*node));
        }
        let all = async {
            while ready.len() < first.len() {
                match self.served.recv().await {
                    Some(serving) => ready.push(serving),
                    None => break,
                }
            }
        };
        if tokio::time::timeout(SERVES_WITHIN, all).await.is_err() {
            let missing = first.iter().find(|node| ready.iter().all(|serving| serving.node != **node));
            let node = *missing.expect("invariant: one of them is missing");
            let log = self.ground.log(node).await;
            let name = self.plan.topology.name(node);
            let last = log.iter().rev().take(3).rev().map(|line| format!("\n  {line}")).collect::<String>();
            return Err(GroundError(format!(
                "{name} does not serve {SERVES_WITHIN:?} after its start; its log ends:{last}"
            )));
        }
        // From here on the story runs. Nobody has spoken to anybody, because nobody knows of anybody.
        self.links.begin().await?;
        self.shared.journal.start_clock();
        self.hosts.iter_mut().filter(|host| host.is_new()).for_each(Host::darken);
        for serving in ready {
            self.welcome(serving);
        }
        Ok(())
    }

    /// The timeline, until the run is over.
    async fn live(&mut self, watching: &mut Watching<'_>) -> Result<(), GroundError> {
        let end = self.plan.duration;
        loop {
            let now = self.shared.journal.now();
            if now >= end {
                return self.close_lasting().await;
            }
            self.look_after(now).await?;
            while let Some(step) = self.schedule.take_due(now) {
                self.take(&step).await?;
            }
            if self.schedule.wants_events() {
                let schedule = &mut self.schedule;
                self.shared.journal.write(|record, now| schedule.notice(now, record));
            }
            self.shared.wants_sessions.set(self.schedule.wants_events());
            let equal = self.look_for_convergence(now);
            if equal && self.schedule.wants_convergence() {
                self.schedule.converged(now);
            }
            self.count_classes(now);
            self.tell(now, watching);
            let next = self.shared.journal.instant(self.next(now));
            let events = self.schedule.wants_events();
            tokio::select! {
                biased;
                Some(serving) = self.served.recv() => self.admit(serving).await?,
                () = self.shared.journal.stirred().notified(), if events => {}
                () = tokio::time::sleep_until(next) => {}
            }
        }
    }

    /// Nodes that join now, and nodes that are gone.
    async fn look_after(&mut self, now: SimTime) -> Result<(), GroundError> {
        let joining = self.hosts.iter().filter(|host| host.is_new() && host.spec.joins_at <= now);
        for node in joining.map(|host| host.spec.index).collect::<Vec<_>>() {
            self.ground.start(node).await?;
            self.hosts[node.index()].live(self.ground.api(node));
        }
        for (node, how) in self.ground.fallen().await {
            self.hosts[node.index()].fall(&how);
        }
        Ok(())
    }

    /// Starts a node again, apart from all others until it was read.
    async fn start(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let gate = Step::Clog { fault: gate(node), pairs: self.ways_of(node) };
        self.links.apply(&gate).await?;
        self.ground.start(node).await?;
        self.hosts[node.index()].live(self.ground.api(node));
        Ok(())
    }

    /// A node serves: whoever waits for it may speak with it.
    async fn admit(&mut self, serving: Serving) -> Result<(), GroundError> {
        let open = Step::Heal { fault: gate(serving.node), pairs: self.ways_of(serving.node) };
        self.links.apply(&open).await?;
        self.welcome(serving);
        Ok(())
    }

    /// A node is told of its peers, and those that have it as their peer of it, if it is not whom they know.
    fn welcome(&mut self, serving: Serving) {
        let Serving { node, endpoint_id } = serving;
        self.shared.directory.borrow_mut().insert(endpoint_id.clone(), node);
        let place = node.index();
        let was = self.hosts[place].endpoint_id.replace(endpoint_id.clone());
        for peer in self.hosts[place].spec.peers.clone() {
            if let Some(id) = self.hosts[peer.index()].endpoint_id.clone() {
                let address = self.ground.peer_address(node, peer, &id);
                self.hosts[place].introduce(peer, &id, address, None);
            }
        }
        if was.as_deref() == Some(&*endpoint_id) {
            return;
        }
        let gone = self.hosts[place].former.take();
        for other in &mut self.hosts {
            if other.spec.peers.contains(&node) {
                let address = self.ground.peer_address(other.spec.index, node, &endpoint_id);
                other.introduce(node, &endpoint_id, address, gone.clone());
            }
        }
    }

    fn look_for_convergence(&mut self, now: SimTime) -> bool {
        let running = self.hosts.iter().filter(|host| host.is_running());
        let compared: Option<Vec<(NodeIndex, &str)>> =
            running.map(|host| host.client().map(|_| (host.spec.index, host.spec.formation.as_str()))).collect();
        self.convergence.look(now, compared.as_deref(), &self.shared.journal)
    }

    /// Once a slice: what nodes count as sent in each class of traffic.
    fn count_classes(&mut self, now: SimTime) {
        let due = SimTime::from_nanos(SimTime::from(TRAFFIC_SLICE).as_nanos() * self.slice);
        if now < due {
            return;
        }
        self.slice += 1;
        let clients = self.hosts.iter().filter_map(|host| Some((host.spec.index, host.client()?)));
        let clients: Vec<_> = clients.collect();
        let journal = self.shared.journal.clone();
        self.counted = Some(Owned::spawn(async move {
            for (node, mut client) in clients {
                let Ok(stats) = client.get_sync_stats(GetSyncStatsRequest {}).await else { continue };
                journal.write(|record, _| {
                    for class in stats.into_inner().classes {
                        record.class_total(due, node, &class.class, class.bytes_sent);
                    }
                });
            }
        }));
    }

    /// All directions that lead to a node or away from it.
    fn ways_of(&self, node: NodeIndex) -> Vec<(NodeIndex, NodeIndex)> {
        let topology = &self.plan.topology;
        let others = topology.nodes.iter().map(|spec| spec.index).filter(|other| topology.link(node, *other).is_some());
        others.flat_map(|other| [(node, other), (other, node)]).collect()
    }

    /// When there is something to do again.
    fn next(&self, now: SimTime) -> SimTime {
        let look = if self.schedule.wants_convergence() { LOOK_WANTED } else { LOOK_IDLE };
        let joins = self.hosts.iter().filter(|host| host.is_new()).map(|host| host.spec.joins_at);
        let due = self.schedule.next_at().into_iter().chain(joins);
        due.chain([now + look, self.plan.duration]).min().unwrap_or(self.plan.duration)
    }

    fn tell(&mut self, now: SimTime, watching: &mut Watching<'_>) {
        if self.told.is_some_and(|told| now.since(told) < TELL_EVERY) {
            return;
        }
        self.told = Some(now);
        let phase = match self.lasting.is_empty() {
            true => "no fault".to_owned(),
            false => self.lasting.values().cloned().collect::<Vec<_>>().join(", "),
        };
        if let Some(tell) = &mut watching.progress {
            tell(Progress { now, end: self.plan.duration, phase });
        }
    }
}

/// The name under which a node that starts is kept apart; faults of the plan count from zero.
fn gate(node: NodeIndex) -> FaultIndex {
    FaultIndex(u32::MAX - node.0)
}

fn collections(plan: &Plan) -> Rc<[String]> {
    let collections: BTreeSet<&str> = plan.operations.iter().map(|op| &*op.action.key().collection).collect();
    collections.into_iter().map(String::from).collect()
}
