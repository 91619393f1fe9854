//! The sidecar binary: the production world around a [`Node`]. Here, and only here, the node meets the
//! system's clock, its randomness, its signals and its files.
#![expect(clippy::disallowed_methods, reason = "the production world is where clock and randomness come from")]

mod allocator;

use std::io::IsTerminal;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use peat_node::api::access::Guard;
use peat_node::api::{Listen, Server};
use peat_node::config::NodeConfig;
use peat_node::config::flags::{self, Asked, FlagsError, Settings};
use peat_node::limits;
use peat_node::mesh::allow_list::{AllowList, AllowListFile, Reading};
use peat_node::mesh::{self, SystemResolver, Underlay};
use peat_node::node::{Plants, World};
use peat_node::ops::cli::{self, Exit};
use peat_node::ops::listener::{MetricsListener, Watched};
use peat_node::store::Store;
use peat_node::watcher::http::HttpAgent;
use peat_node::watcher::tls::TlsError;
use peat_node::{Node, NodeHandle};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::{CancellationToken, DropGuard};
use tracing_subscriber::EnvFilter;

/// Exit codes, as `--help` documents them.
const FAILED: u8 = 1;
const USAGE: u8 = 2;

/// What is logged when RUST_LOG is unset: ourselves, and of the stack below only what an operator must
/// know.
const DEFAULT_LOG: &str = "warn,peat_node=info";

/// The node is one lock and a few tasks; the second worker serves reads while the first is in a write.
const WORKERS: usize = 2;

type Failure = Box<dyn std::error::Error>;

fn main() -> ExitCode {
    let started = Instant::now();
    allocator::tune();
    let settings = match flags::read(std::env::args_os()) {
        Ok(Asked::Serve(settings)) => *settings,
        Ok(Asked::Question(ask)) => return on_one_thread(cli::run(ask)),
        Ok(Asked::Upkeep(upkeep)) => {
            log_to_stderr();
            return on_one_thread(cli::upkeep::run(upkeep, milliseconds_since_1970()));
        }
        Ok(Asked::Token(new)) => return ExitCode::from(cli::token::run(new) as u8),
        Err(FlagsError::Clap(told)) => told.exit(),
        Err(bad) => {
            eprintln!("{bad}");
            return ExitCode::from(USAGE);
        }
    };
    log_to_stderr();
    match run(settings, started) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            tracing::error!("{failure}");
            ExitCode::from(FAILED)
        }
    }
}

fn log_to_stderr() {
    let wanted = std::env::var("RUST_LOG").ok().filter(|value| !value.is_empty());
    let filter = EnvFilter::new(wanted.as_deref().unwrap_or(DEFAULT_LOG));
    let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let colours = std::io::stderr().is_terminal() && !plain;
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(colours)
        // Or a log that nobody reads any more becomes a panic in the middle of whatever wanted to log.
        .log_internal_errors(false)
        .with_writer(std::io::stderr)
        .init();
}

/// Runs a command. One thread is enough for three calls, or for one store.
fn on_one_thread(command: impl Future<Output = Exit>) -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("error: cannot start: {error}");
            return ExitCode::from(FAILED);
        }
    };
    ExitCode::from(runtime.block_on(command) as u8)
}

fn run(settings: Settings, started: Instant) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    runtime.block_on(async {
        // First of all, so that a signal during the start stops it cleanly too.
        let stop = StopSignals::new()?;
        let stopping = CancellationToken::new();
        let watched = Watched::new(stopping.clone());
        // Before the store, whose recovery after a crash may take a while: a probe must find the process alive.
        let _listening = serve_metrics(settings.metrics_listen.as_ref(), watched.clone()).await?;
        let (store, node_id) = open_store(&settings)?;
        serve(settings, node_id, store, started, Life { stop, stopping, watched }).await
    })
}

/// Serves metrics and probes until what it returns is dropped: after the node has stopped.
async fn serve_metrics(at: Option<&Listen>, watched: Watched) -> Result<Option<DropGuard>, Failure> {
    let Some(at) = at else { return Ok(None) };
    let listener = MetricsListener::bind(at).await?;
    tracing::info!("metrics and probes at {}: /metrics, /healthz, /readyz", listener.address());
    let stop = CancellationToken::new();
    tokio::spawn(listener.serve(watched, stop.clone()));
    Ok(Some(stop.drop_guard()))
}

/// Blocks this thread; the workers go on.
fn open_store(settings: &Settings) -> Result<(Store, String), Failure> {
    let store = Store::open_dir_with(&settings.data_dir, settings.encryption_key.clone())?;
    let node_id = match settings.node_id.clone().or_else(|| store.node_id()) {
        Some(node_id) => node_id,
        None => {
            let made = uuid::Uuid::new_v4().to_string();
            store.keep_node_id(&made)?;
            made
        }
    };
    Ok((store, node_id))
}

/// How the process learns that it must stop, and who is told.
struct Life {
    stop: StopSignals,
    stopping: CancellationToken,
    watched: Watched,
}

async fn serve(settings: Settings, node_id: String, store: Store, started: Instant, life: Life) -> Result<(), Failure> {
    let Life { mut stop, stopping: shutdown, watched } = life;
    let allow_list = settings.allow_list.as_deref().map(AllowListFile::open).transpose()?;
    let agent =
        settings.agent.map(|agent| Ok::<_, TlsError>((HttpAgent::new(agent.address)?, agent.interval))).transpose()?;
    let guard = Guard::open(&settings.access, Arc::new(milliseconds_since_1970))?;
    watched.guarded(guard.counts());
    let server = match settings.access.socket_mode {
        Some(mode) => Server::bind_with_mode(&settings.listen, mode).await?,
        None => Server::bind(&settings.listen).await?,
    };
    let exposed = guard.warnings(server.address());
    let server = server.guarded(guard);
    let timing = settings.timing;
    let underlay = match settings.mesh_address {
        Some(ip) => Underlay::Udp(SocketAddr::new(ip, settings.mesh_port)),
        None => Underlay::UdpEverywhere { port: settings.mesh_port },
    };
    let mut relays = settings.relays;
    if let Some(file) = &settings.relay_ca {
        relays.trust_only(file)?;
    }
    let endpoint = mesh::bind_with_relays(store.identity().clone(), underlay, &timing, &relays).await?;
    let open_formation = settings.formation.shared_key.is_none();
    let app_id = settings.formation.app_id.clone();

    let mut config = NodeConfig::new(node_id.clone(), settings.formation);
    config.peers = settings.peers;
    // With an allow-list in force first.
    config.auto_sync = settings.auto_sync && allow_list.is_none();
    config.traffic = settings.traffic;
    config.topology = settings.topology;
    config.advertise = settings.advertise;
    config.relays = relays;
    config.timing = timing;
    config.limits = settings.limits;
    config.discovery = settings.discovery;
    let world = World {
        store,
        endpoint: endpoint.clone(),
        resolver: Arc::new(SystemResolver),
        wall_clock: Arc::new(milliseconds_since_1970),
        seed: rand::random(),
        observer: None,
        plants: Plants::default(),
        pause: None,
    };
    let node = Node::start(config, world).await?;
    let allow_list = match allow_list {
        Some((file, list)) => {
            announce(&list);
            node.handle().set_allow_list(Some(list));
            if settings.auto_sync {
                node.handle().start_sync().await;
            }
            Some(file)
        }
        None => None,
    };
    if let Some((agent, interval)) = agent {
        node.handle().watch_agent(agent, interval)?;
    }
    watched.started(node.handle().clone());

    tracing::info!("node {node_id} of {app_id} serves {} after {} ms", server.address(), started.elapsed().as_millis());
    tracing::info!("reach it with: --peer {}", peer_value(&endpoint));
    for warning in exposed {
        tracing::warn!("{warning}");
    }
    if open_formation {
        tracing::warn!("no --shared-key: every node that knows the app-id {app_id:?} and reaches this one is admitted");
    }

    let serving = server.serve(node.handle().clone(), shutdown.clone());
    let stopping = async {
        let signal = stop.next().await;
        tracing::info!("{signal}: stopping; requests under way are finished first, a second signal stops at once");
        shutdown.cancel();
    };
    let following = follow(allow_list, node.handle().clone());
    let cleanly = async {
        tokio::select! {
            biased;
            _ = async { tokio::join!(serving, stopping) } => {}
            () = following => {}
        }
        node.shutdown().await;
    };
    // The second signal can only be the one after `stopping` took the first.
    let mut impatience = StopSignals::new()?;
    let twice = async {
        impatience.next().await;
        impatience.next().await
    };
    tokio::select! {
        biased;
        () = cleanly => {
            tracing::info!("stopped; everything acknowledged is on disk");
            Ok(())
        }
        signal = twice => Err(format!("{signal} again: stopped at once").into()),
    }
}

fn announce(list: &AllowList) {
    tracing::info!("endpoint ids on the allow-list: {}; nobody else is admitted or dialled", list.len());
}

/// Takes up changes of the allow-list, for ever.
async fn follow(file: Option<AllowListFile>, node: NodeHandle) {
    let Some(mut file) = file else { return std::future::pending().await };
    loop {
        tokio::time::sleep(limits::ALLOW_LIST_INTERVAL).await;
        // A small file, mostly in memory: a read of it is shorter than a hand-over to another thread.
        match file.look() {
            Reading::Unchanged => {}
            Reading::Changed(list) => {
                announce(&list);
                node.set_allow_list(Some(list));
            }
            Reading::Unusable(trouble) => tracing::error!("{trouble}; the list before stays in force"),
        }
    }
}

/// SIGTERM and SIGINT.
struct StopSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl StopSignals {
    fn new() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

fn milliseconds_since_1970() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// This node as another's `--peer` takes it, with every address that may work from there.
fn peer_value(endpoint: &iroh::Endpoint) -> String {
    let id = endpoint.id();
    let mut addresses: Vec<SocketAddr> = endpoint.addr().ip_addrs().copied().collect();
    // The interfaces are listed a moment after binding; until then this machine at least is reached.
    if addresses.is_empty() {
        let port = endpoint.bound_sockets().first().map_or(0, SocketAddr::port);
        addresses.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
    }
    addresses.sort_unstable();
    let values: Vec<String> = addresses.iter().map(|address| format!("{id}@{address}")).collect();
    values.join(",")
}
