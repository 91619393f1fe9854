//! One simulated machine: a disk, a clock and an address that stay, and lives that come and go.

mod trouble;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future;
use iroh::Endpoint;
use peat_node::config::{Formation, NodeConfig, PeerAddress};
use peat_node::core::class::Class;
use peat_node::core::engine::Traffic;
use peat_node::core::interest::{Interest, Selector};
use peat_node::core::policy::{History, Policy, Window};
use peat_node::limits;
use peat_node::node::{Observer, Pause, Plants, World};
use peat_node::store::{CommitMode, Store};
use peat_node::{Node, NodeHandle};
use peat_scenarios::model::{self, Discovery};
use peat_scenarios::plan::{DocKey, NodeIndex, NodeSpec};
use peat_scenarios::record::{Life, RestartSnapshot};

use crate::agent::SimAgent;
use crate::client::{self, Client};
use crate::calendar::HostClock;
use crate::disk::Disk;
use crate::fabric::{Fabric, FabricResolver, address_text};
use crate::journal::Journal;
use crate::observer::{Directory, LifeObserver};
use crate::tasks::{Owned, leave_behind};
use crate::trace::Kind;
use crate::workload::{self, Agenda, Bookmark};
use crate::{Configure, seeds};

/// Name of the formation that all simulated nodes belong to.
const APP_ID: &str = "peat-sim";

/// A node that does not start because of its disk is started again after this time: the first pause of systemd and of
/// Kubernetes, rounded.
const START_AGAIN: Duration = Duration::from_secs(1);

/// What all hosts of a run share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) seed: u64,
    pub(crate) plants: Plants,
    pub(crate) configure: Configure,
    pub(crate) fabric: Fabric,
    pub(crate) journal: Journal,
    pub(crate) directory: Directory,
    /// Every collection that the plan writes to.
    pub(crate) collections: Arc<[String]>,
}

/// A machine.
pub(crate) struct Host {
    shared: Shared,
    spec: NodeSpec,
    disk: Disk,
    clock: HostClock,
    agenda: Agenda,
    agent: Option<SimAgent>,
    bookmark: Bookmark,
    /// One endpoint for each life to come, the next one last.
    endpoints: Vec<Endpoint>,
    /// Counts from one with the first start.
    lives: u32,
    state: State,
}

enum State {
    /// Nothing runs here but the clock: operations are skipped.
    Dark {
        _skipping: Owned,
    },
    Alive(Box<Alive>),
}

/// What the world keeps of a life, to look at it and to end it.
struct Alive {
    endpoint: Endpoint,
    observer: Arc<LifeObserver>,
    pause: Pause,
    /// Owns the node, its API connection and its application.
    _task: Owned,
    ready: Slot,
}

/// The node and a client, once it serves.
type Slot = Arc<Mutex<Option<(NodeHandle, Client)>>>;

fn slot(slot: &Slot) -> Option<(NodeHandle, Client)> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

impl Host {
    /// A machine that is dark. `endpoints` has one for each life, in order.
    pub(crate) fn new(
        shared: Shared,
        spec: NodeSpec,
        disk: Disk,
        agenda: Agenda,
        agent: Option<SimAgent>,
        mut endpoints: Vec<Endpoint>,
    ) -> Self {
        endpoints.reverse();
        let state = State::dark(&agenda, &shared.journal);
        let bookmark = Bookmark::default();
        let clock = HostClock::default();
        Self { shared, spec, disk, clock, agenda, agent, bookmark, endpoints, lives: 0, state }
    }

    pub(crate) fn spec(&self) -> &NodeSpec {
        &self.spec
    }

    /// True before the first start.
    pub(crate) fn is_new(&self) -> bool {
        self.lives == 0
    }

    /// True from a start to the next crash, ready or not.
    pub(crate) fn is_running(&self) -> bool {
        matches!(self.state, State::Alive(_))
    }

    /// The node and a client, if it runs and serves.
    pub(crate) fn ready(&self) -> Option<(NodeHandle, Client)> {
        match &self.state {
            State::Alive(alive) => slot(&alive.ready),
            State::Dark { .. } => None,
        }
    }

    /// Begins a life. Does nothing while one goes on.
    pub(crate) fn start(&mut self) {
        if self.is_running() {
            return;
        }
        let Some(endpoint) = self.endpoints.pop() else {
            let problem = format!("{} has no endpoint left for another life", self.spec.name);
            self.shared.journal.lock().record.infra_errors.push(problem);
            return;
        };
        let life = self.lives;
        self.lives += 1;
        let event = if life == 0 { Life::Started } else { Life::Restarted };
        self.life_event(event);
        self.shared.fabric.activate(self.spec.index, life);
        let observer = LifeObserver::new(self.spec.index, self.shared.journal.clone(), self.shared.directory.clone());
        let ready = Slot::default();
        let pause = Pause::default();
        let begin = Begin {
            shared: self.shared.clone(),
            spec: self.spec.clone(),
            disk: self.disk.clone(),
            clock: self.clock.clone(),
            pause: pause.clone(),
            agenda: self.agenda.clone(),
            agent: self.agent.clone(),
            bookmark: self.bookmark.clone(),
            endpoint: endpoint.clone(),
            observer: observer.clone(),
            ready: ready.clone(),
            life,
        };
        // Assigning drops what was there: from here on operations are no longer skipped.
        let task = Owned::spawn(begin.live());
        self.state = State::Alive(Box::new(Alive { endpoint, observer, pause, _task: task, ready }));
    }

    /// The power fails: everything is gone at this instant but what the disk has synced. False if it was dark already.
    pub(crate) fn crash(&mut self) -> bool {
        let State::Alive(alive) = &self.state else { return false };
        // First the disk and the network, so that no destructor can reach either.
        self.disk.crash();
        self.shared.fabric.deactivate(self.spec.index);
        alive.observer.silence();
        let endpoint = alive.endpoint.clone();
        // Assigning drops the life, and with its task the node.
        self.state = State::dark(&self.agenda, &self.shared.journal);
        // Ends the tasks that iroh runs for it. What it says goodbye with goes nowhere.
        leave_behind(async move { endpoint.close().await });
        self.life_event(Life::Crashed);
        true
    }

    fn life_event(&self, event: Life) {
        let mut journal = self.shared.journal.lock();
        let now = journal.now();
        journal.record.life(now, self.spec.index, event);
        journal.note(now, Kind::Life, self.spec.index, &format!("{event:?}").to_lowercase());
    }

    /// Writes down what is wrong with the node itself. It is in the log that a report shows; the verdict
    /// comes from what the node then lacks, see [`crate::world`].
    pub(crate) fn trouble(&self, what: &str) {
        trouble(&self.shared.journal, &self.spec, what);
    }
}

fn trouble(journal: &Journal, spec: &NodeSpec, what: &str) {
    let mut journal = journal.lock();
    let now = journal.now();
    journal.note(now, Kind::Life, spec.index, what);
    journal.record.logs.entry(spec.name.clone()).or_default().push(format!("{now} {what}"));
}

impl State {
    fn dark(agenda: &Agenda, journal: &Journal) -> Self {
        State::Dark { _skipping: Owned::spawn(workload::drive(agenda.clone(), None, journal.clone())) }
    }
}

/// What a life begins with.
struct Begin {
    shared: Shared,
    spec: NodeSpec,
    disk: Disk,
    clock: HostClock,
    pause: Pause,
    agenda: Agenda,
    agent: Option<SimAgent>,
    bookmark: Bookmark,
    endpoint: Endpoint,
    observer: Arc<LifeObserver>,
    ready: Slot,
    life: u32,
}

impl Begin {
    /// A whole life. It ends by being dropped, and takes everything with it.
    async fn live(self) {
        let node = loop {
            match self.start_node().await {
                Ok(node) => break node,
                // Whoever watches over the process starts it again; without a cause that passes, to no avail.
                Err(problem) if self.disk.ails() => {
                    trouble(&self.shared.journal, &self.spec, &problem);
                    tokio::time::sleep(START_AGAIN).await;
                }
                Err(problem) => return trouble(&self.shared.journal, &self.spec, &problem),
            }
        };
        if self.life > 0 {
            self.snapshot(node.handle()).await;
        }
        // After the snapshot, which is of what the disk kept.
        if let Some(agent) = self.agent.clone()
            && let Err(problem) = node.handle().watch_agent(agent, limits::AGENT_POLL_INTERVAL)
        {
            return trouble(&self.shared.journal, &self.spec, &problem.to_string());
        }
        let connected = client::connect(node.handle().clone(), &self.pause).await;
        let (client, _server) = match connected {
            Ok(connected) => connected,
            Err(error) => {
                return trouble(&self.shared.journal, &self.spec, &format!("its API does not answer: {error}"));
            }
        };
        let handles = (node.handle().clone(), client.clone());
        *self.ready.lock().unwrap_or_else(PoisonError::into_inner) = Some(handles);
        let journal = self.shared.journal.clone();
        let watching = workload::watch(self.spec.index, client.clone(), journal.clone(), self.bookmark);
        let working = workload::drive(self.agenda.clone(), Some(client), journal);
        future::join(watching, working).await;
    }

    async fn start_node(&self) -> Result<Node, String> {
        let seed = self.shared.seed;
        let seed_bytes = |what| seeds::bytes(seed, what, self.spec.index, self.life);
        let mut epoch = [0; 16];
        epoch.copy_from_slice(&seed_bytes("epoch")[..16]);
        let store = Store::open_backend(
            self.disk.mount(),
            CommitMode::Inline(Arc::new(self.disk.clone())),
            identity(seed, self.spec.index),
            epoch,
        )
        .map_err(|error| format!("its store does not open: {error}"))?;
        let formation = Formation { app_id: APP_ID.into(), shared_key: Some([7; 32]), previous_key: None };
        let mut config = NodeConfig::new(self.spec.name.clone(), formation);
        config.advertise = vec![address_text(self.spec.index)];
        config.peers = self.spec.peers.iter().map(|peer| peer_address(seed, *peer)).collect();
        config.traffic = traffic(&self.spec)?;
        config.discovery.gossip = self.spec.discovery == Discovery::Gossip;
        (self.shared.configure)(self.spec.index, &mut config);
        let observer: Arc<dyn Observer> = self.observer.clone();
        let clock = self.clock.clone();
        let world = World {
            store,
            endpoint: self.endpoint.clone(),
            resolver: Arc::new(FabricResolver),
            wall_clock: Arc::new(move || clock.read()),
            seed: seed_bytes("node"),
            observer: Some(observer),
            plants: self.shared.plants,
            pause: Some(self.pause.clone()),
        };
        Node::start(config, world).await.map_err(|error| format!("does not start: {error}"))
    }

    /// What the node has before any peer could tell it: taken at the moment of its start, and the first
    /// document from a peer is several datagrams away.
    async fn snapshot(&self, node: &NodeHandle) {
        let mut docs = std::collections::BTreeMap::new();
        for collection in self.shared.collections.iter() {
            match node.scan(collection).await {
                Ok(rows) => {
                    let rows = rows.into_iter();
                    docs.extend(rows.map(|(id, json)| (DocKey::new(collection, &id), Arc::from(json))));
                }
                Err(error) => trouble(&self.shared.journal, &self.spec, &format!("cannot read {collection}: {error}")),
            }
        }
        let mut journal = self.shared.journal.lock();
        let at = journal.now();
        journal.record.restart_snapshots.push(RestartSnapshot { node: self.spec.index, at, docs });
    }
}

/// What a node carries, and in which order.
fn traffic(spec: &NodeSpec) -> Result<Traffic, String> {
    let mut traffic = Traffic::default();
    for (collection, class) in &spec.classes {
        let class = match class {
            model::Class::Command => Class::Command,
            model::Class::State => Class::State,
            model::Class::Telemetry => Class::Telemetry,
            model::Class::Blob => Class::Blob,
        };
        traffic.classes.set(collection, class).map_err(|error| error.to_string())?;
    }
    for (collection, kept) in &spec.history {
        let history = match kept {
            model::KeptHistory::Full => History::Full,
            model::KeptHistory::Latest => History::Latest,
            model::KeptHistory::Window { changes, age_s } => {
                History::Window(Window { changes: *changes, age_s: *age_s })
            }
        };
        let policy = Policy { history, ..Policy::default() };
        traffic.policies.configure(collection, policy).map_err(|error| error.to_string())?;
    }
    if !spec.interest.is_empty() {
        let selector = |of: &model::Selector| Selector::new(&of.collection, &of.prefix);
        let selectors: Result<Vec<Selector>, _> = spec.interest.iter().map(selector).collect();
        let interest = selectors.and_then(Interest::only);
        traffic.interest = interest.map_err(|error| error.to_string())?;
    }
    Ok(traffic)
}

/// The key of a host: it stays over all its lives, as a file on its disk would.
pub(crate) fn identity(seed: u64, host: NodeIndex) -> iroh::SecretKey {
    iroh::SecretKey::from_bytes(&seeds::bytes(seed, "identity", host, 0))
}

fn peer_address(seed: u64, peer: NodeIndex) -> PeerAddress {
    PeerAddress { id: identity(seed, peer).public(), addresses: vec![address_text(peer)] }
}
