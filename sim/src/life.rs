//! One life of one host: what it begins with, the node that comes of it, and the application beside that.
//!
//! An engine owns the tasks. What is done in them is the same in all engines: [`Boot::node`] in the host, then
//! [`Boot::application`] where the engine keeps applications.

use std::collections::BTreeMap;
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
use peat_node::node::{Observer, Pause, World};
use peat_node::store::{CommitMode, Store};
use peat_node::{Node, NodeHandle};
use peat_scenarios::model::{self, Discovery};
use peat_scenarios::plan::{DocKey, NodeIndex, NodeSpec};
use peat_scenarios::record::RestartSnapshot;

use crate::agent::SimAgent;
use crate::calendar::Calendar;
use crate::disk::Disk;
use crate::host::Shared;
use crate::journal::Journal;
use crate::net::{SimResolver, address_text};
use crate::observer::LifeObserver;
use crate::seeds;
use crate::trace::Kind;
use peat_scenarios::drive::{self, Agenda, Bookmark, Client};

/// A node that does not start because of its disk is started again after this time: the first pause of systemd and of
/// Kubernetes, rounded.
const START_AGAIN: Duration = Duration::from_secs(1);

/// Name of the formation that all simulated nodes belong to.
const APP_ID: &str = "peat-sim";

/// The node and a client, once it serves.
#[derive(Clone, Default)]
pub(crate) struct Ready(Arc<Mutex<Option<(NodeHandle, Client)>>>);

impl Ready {
    pub(crate) fn get(&self) -> Option<(NodeHandle, Client)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn set(&self, node: NodeHandle, client: Client) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((node, client));
    }
}

/// What a life begins with.
#[derive(Clone)]
pub(crate) struct Boot {
    pub(crate) shared: Shared,
    pub(crate) spec: NodeSpec,
    pub(crate) disk: Disk,
    pub(crate) calendar: Calendar,
    /// Holds its tasks while the host does not run.
    pub(crate) pause: Pause,
    pub(crate) agenda: Agenda,
    pub(crate) agent: Option<SimAgent>,
    pub(crate) bookmark: Bookmark,
    pub(crate) observer: Arc<LifeObserver>,
    pub(crate) ready: Ready,
    /// Counts from zero with the first start.
    pub(crate) life: u32,
}

impl Boot {
    /// Starts the node on an endpoint, and takes the picture of what a restarted one kept. `None`: it does not
    /// start, and why is written down.
    pub(crate) async fn node(&self, endpoint: Endpoint) -> Option<Node> {
        let node = loop {
            match self.start(endpoint.clone()).await {
                Ok(node) => break node,
                // Whoever watches over the process starts it again; without a cause that passes, to no avail.
                Err(problem) if self.disk.ails() => {
                    self.trouble(&problem);
                    tokio::time::sleep(START_AGAIN).await;
                }
                Err(problem) => {
                    self.trouble(&problem);
                    return None;
                }
            }
        };
        if self.life > 0 {
            self.snapshot(node.handle()).await;
        }
        // After the snapshot, which is of what the disk kept.
        if let Some(agent) = self.agent.clone()
            && let Err(problem) = node.handle().watch_agent(agent, limits::AGENT_POLL_INTERVAL)
        {
            self.trouble(&problem.to_string());
            return None;
        }
        Some(node)
    }

    /// What the application does, for as long as it is polled.
    pub(crate) async fn application(self, node: NodeHandle, client: Client) {
        self.ready.set(node, client.clone());
        let journal = self.shared.journal;
        let watching = drive::watch(self.spec.index, client.clone(), journal.clone(), self.bookmark);
        let working = drive::drive(self.agenda, Some(client), journal);
        future::join(watching, working).await;
    }

    pub(crate) fn trouble(&self, what: &str) {
        trouble(&self.shared.journal, &self.spec, what);
    }

    async fn start(&self, endpoint: Endpoint) -> Result<Node, String> {
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
        let formation =
            Formation { app_id: APP_ID.into(), shared_key: Some(shared_key(&self.spec.formation)), previous_key: None };
        let mut config = NodeConfig::new(self.spec.name.clone(), formation);
        config.advertise = vec![address_text(self.spec.index)];
        config.peers = self.spec.peers.iter().map(|peer| peer_address(seed, *peer)).collect();
        config.traffic = traffic(&self.spec)?;
        config.discovery.gossip = self.spec.discovery == Discovery::Gossip;
        (self.shared.configure)(self.spec.index, &mut config);
        let observer: Arc<dyn Observer> = self.observer.clone();
        let calendar = self.calendar.clone();
        let world = World {
            store,
            endpoint,
            resolver: Arc::new(SimResolver),
            wall_clock: Arc::new(move || calendar.read()),
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
        let mut docs = BTreeMap::new();
        for collection in self.shared.collections.iter() {
            match node.scan(collection).await {
                Ok(rows) => {
                    let rows = rows.into_iter();
                    docs.extend(rows.map(|(id, json)| (DocKey::new(collection, &id), Arc::from(json))));
                }
                Err(error) => self.trouble(&format!("cannot read {collection}: {error}")),
            }
        }
        let mut journal = self.shared.journal.lock();
        let at = journal.now();
        journal.record.restart_snapshots.push(RestartSnapshot { node: self.spec.index, at, docs });
    }
}

/// Writes down what is wrong with a node itself. It is in the log that a report shows; the verdict comes from what
/// the node then lacks.
pub(crate) fn trouble(journal: &Journal, spec: &NodeSpec, what: &str) {
    let mut journal = journal.lock();
    let now = journal.now();
    journal.note(now, Kind::Life, spec.index, what);
    journal.record.logs.entry(spec.name.clone()).or_default().push(format!("{now} {what}"));
}

/// The key of a formation. The app-id is the same for all: it is no secret, and whoever counts on it is to be caught.
fn shared_key(formation: &str) -> [u8; 32] {
    match formation {
        "" => [7; 32],
        name => blake3::derive_key("peat-sim 2026 formation", name.as_bytes()),
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
