//! What runs on the hosts of a simulation.

use std::collections::BTreeMap;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ::turmoil::net::TcpListener;
use iroh::Endpoint;
use peat_node::config::Timing;
use peat_node::mesh::{self, Underlay};
use peat_node::node::Pause;
use peat_node::{Node, NodeHandle};
use peat_scenarios::plan::{NodeIndex, NodeSpec};
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::udp;
use crate::SimError;
use crate::client;
use crate::fabric::SETTLE;
use crate::life::{Boot, identity};
use crate::net::Net;
use crate::tasks::Owned;

/// The port at which every node serves its API.
pub const API_PORT: u16 = 7080;

type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// For the host of the applications.
pub(super) enum Job {
    /// What the application of a node does from now on, instead of what it did.
    Assign(NodeIndex, Task),
    /// Everything else ends, and this is done.
    Last(Task),
}

/// Where a life waits, its endpoint bound, until the plan says that it begins.
#[derive(Clone)]
pub(super) struct Gate(Arc<(Mutex<Place>, Notify)>);

struct Place {
    /// Lives that come after the one that waits or goes on.
    left: u32,
    /// Number of the next life.
    next: u32,
    waiting: bool,
    boot: Option<Boot>,
}

impl Gate {
    /// A place for so many lives.
    pub(super) fn new(lives: u32) -> Self {
        let place = Place { left: lives, next: 0, waiting: false, boot: None };
        Self(Arc::new((Mutex::new(place), Notify::new())))
    }

    fn place(&self) -> MutexGuard<'_, Place> {
        self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets the life that waits here begin.
    pub(super) fn open(&self, boot: Boot) {
        self.place().boot = Some(boot);
        self.0.1.notify_one();
    }

    pub(super) fn is_waited_at(&self) -> bool {
        self.place().waiting
    }

    pub(super) fn has_lives(&self) -> bool {
        self.place().left > 0
    }

    /// Number of the life that begins to wait here.
    fn enter(&self) -> u32 {
        let mut place = self.place();
        let life = place.next;
        place.next += 1;
        place.left = place.left.saturating_sub(1);
        place.waiting = false;
        life
    }

    async fn wait(&self) -> Boot {
        loop {
            let boot = {
                let mut place = self.place();
                place.waiting = true;
                place.boot.take()
            };
            match boot {
                Some(boot) => return boot,
                None => self.0.1.notified().await,
            }
        }
    }
}

/// The host of a node.
#[derive(Clone)]
pub(super) struct Machine {
    pub(super) seed: u64,
    pub(super) spec: NodeSpec,
    pub(super) net: Net,
    pub(super) gate: Gate,
    pub(super) addresses: Arc<[IpAddr]>,
    pub(super) jobs: mpsc::UnboundedSender<Job>,
    pub(super) trouble: Arc<Mutex<Option<SimError>>>,
}

impl Machine {
    /// A life, from the binding of its endpoint on. It ends when turmoil drops the runtime that it is in.
    pub(super) async fn live(self) -> ::turmoil::Result {
        let life = self.gate.enter();
        let (endpoint, _receiving) = match bind(&self.net, &self.addresses, self.seed, &self.spec, life).await {
            Ok(bound) => bound,
            Err(error) => {
                *self.trouble.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                return Ok(());
            }
        };
        let boot = self.gate.wait().await;
        let Some(node) = boot.node(endpoint).await else { return std::future::pending().await };
        let address = SocketAddr::new(self.addresses[self.spec.index.index()], API_PORT);
        let pause = boot.pause.clone();
        let application = application(boot, node.handle().clone(), address);
        serve(&node, &pause, || {
            // As long as there is a simulation, the host of the applications listens.
            let _ = self.jobs.send(Job::Assign(self.spec.index, Box::pin(application)));
        })
        .await
    }
}

/// Binds the endpoint of a life in the runtime of its host. The task that comes with it receives its datagrams.
pub(super) async fn bind(
    net: &Net,
    addresses: &Arc<[IpAddr]>,
    seed: u64,
    spec: &NodeSpec,
    life: u32,
) -> Result<(Endpoint, Owned), SimError> {
    let no_socket = |error: std::io::Error| SimError::Turmoil(format!("the socket of {}: {error}", spec.name));
    let (carrier, receive) = udp::open(net.clone(), addresses.clone()).await.map_err(no_socket)?;
    let receiving = Owned::spawn(receive);
    let underlay = Underlay::Custom(net.transport(spec.index, life, carrier));
    let endpoint = mesh::bind(identity(seed, spec.index), underlay, &Timing::default()).await;
    let endpoint = endpoint.map_err(|source| SimError::Bind { node: spec.name.clone(), source })?;
    // The same barrier as in the other engine. That hosts take turns is the other half of it.
    tokio::time::sleep(SETTLE).await;
    Ok((endpoint, receiving))
}

/// Serves the API of a node for ever. `listening` is called once, when it can be connected to.
pub(super) async fn serve(node: &Node, pause: &Pause, listening: impl FnOnce()) -> ::turmoil::Result {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, API_PORT)).await?;
    listening();
    let mut connections = JoinSet::new();
    loop {
        let (stream, _) = listener.accept().await?;
        while connections.try_join_next().is_some() {}
        // Never cancelled: a simulated node crashes, it is not asked to stop.
        let stop = CancellationToken::new();
        connections.spawn(pause.hold(peat_node::api::serve_connection(node.handle().clone(), stream, stop)));
    }
}

async fn application(boot: Boot, node: NodeHandle, address: SocketAddr) {
    match client::over_turmoil(address).await {
        Ok(client) => boot.application(node, client).await,
        Err(error) => boot.trouble(&format!("its API does not answer: {error}")),
    }
}

/// Runs on the host of the applications.
pub(super) async fn applications(queue: Option<mpsc::UnboundedReceiver<Job>>) -> ::turmoil::Result {
    let Some(mut queue) = queue else { return Ok(()) };
    let mut tasks = BTreeMap::new();
    let mut last = None;
    while let Some(job) = queue.recv().await {
        match job {
            Job::Assign(node, task) => {
                tasks.insert(node, Owned::spawn(task));
            }
            Job::Last(task) => {
                tasks.clear();
                last = Some(Owned::spawn(task));
            }
        }
    }
    drop(last);
    Ok(())
}
