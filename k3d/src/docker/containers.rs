//! The nodes of a run as containers.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use futures::StreamExt as _;
use peat_scenarios::Capabilities;
use peat_scenarios::plan::{NodeIndex, Plan};
use testcontainers::bollard::Docker;
use testcontainers::bollard::query_parameters::DownloadFromContainerOptionsBuilder;
use testcontainers::core::{Healthcheck, Mount};
use testcontainers::runners::AsyncRunner as _;
use testcontainers::{ContainerAsync, ContainerRequest, GenericImage, ImageExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::legs::{Cuts, Legs};
use super::places::{API_PORT, CONTROL_PORT, MESH_PORT, Nets, network};
use super::{Image, engine, image};
use crate::adapter::{Adapter, Place};
use crate::edge::switchboard::{Edge, Switchboard, channel, near_end};
use crate::emulator::{PortSetup, Setup};
use crate::ground::{Ground, GroundError, Links};
use crate::process::shared_key;

/// The emulator listens for the runner so long after its start, at most.
const LISTENS_WITHIN: Duration = Duration::from_secs(20);
/// How often that is tried.
const KNOCK_EVERY: Duration = Duration::from_millis(50);
/// How often the engine is asked whether every node runs that ought to.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// How many addresses are tried for the networks of a run: others may have some of them.
const ADDRESSES: u8 = 4;
/// Where a node keeps its data, in its container.
const DATA: &str = "/data";
/// Lines of a node's log that are kept.
const LOG_LINES: usize = 400;

/// The nodes of a run as containers.
pub struct Containers {
    docker: Docker,
    run: String,
    plan: Plan,
    image: GenericImage,
    nets: Nets,
    nodes: BTreeMap<NodeIndex, ContainerAsync<GenericImage>>,
    running: BTreeSet<NodeIndex>,
    /// Disks that each node has had.
    disks: BTreeMap<NodeIndex, u32>,
    emulator: Option<ContainerAsync<GenericImage>>,
    /// Between the runner and the emulator.
    switchboard: JoinSet<std::io::Result<()>>,
    looked: Option<Instant>,
    keep: bool,
}

/// Images, networks and the emulator, and no node yet.
pub async fn prepare(
    plan: &Plan,
    run: &str,
    from: Image<'_>,
    program: &Path,
    keep: bool,
) -> Result<(Containers, Links), GroundError> {
    let docker = engine::reachable().await?;
    // What an interrupted run of the same scenario and seed left has the same names.
    engine::sweep(run).await?;
    let image = match from {
        Image::Binary(binary) => image::node(run, binary).await?,
        Image::Sources(base) => image::from_sources(run, base).await?,
        Image::Ready(name) => {
            let (name, tag) = name.rsplit_once(':').unwrap_or((name, "latest"));
            GenericImage::new(name, tag)
        }
    };
    let harness = image::harness(run, program).await?;
    let nets = networks(&docker, plan, run).await?;
    let emulator = emulator(&docker, plan, run, nets, harness).await?;
    let name = emulator.id().to_owned();
    let setup = Setup { topology: plan.topology.clone(), seed: plan.seed, ports: ports(plan, nets) };
    let far = connect(SocketAddr::new(nets.control().emulator(), CONTROL_PORT)).await?;
    let (answers, requests) = far.into_split();
    let edge =
        Edge { links: Links::open(answers, requests, &setup).await?, behind: vec![true; plan.topology.nodes.len()] };
    let topology = plan.topology.clone();
    let legs = Legs { docker: docker.clone(), run: run.into(), emulator: name, nets, topology, cuts: Cuts::default() };
    let (near, far) = channel();
    let mut switchboard = JoinSet::new();
    switchboard.spawn(Switchboard::new(vec![edge], legs).serve(far));
    let links = near_end(near, &setup).await?;
    let (nodes, running, disks) = (BTreeMap::new(), BTreeSet::new(), BTreeMap::new());
    let (run, plan) = (run.to_owned(), plan.clone());
    let (looked, emulator) = (None, Some(emulator));
    Ok((
        Containers { docker, run, plan, image, nets, nodes, running, disks, emulator, switchboard, looked, keep },
        links,
    ))
}

/// A network for each node, and one for the emulator and the runner.
async fn networks(docker: &Docker, plan: &Plan, run: &str) -> Result<Nets, GroundError> {
    let mut attempt = 0;
    loop {
        let nets = Nets::of(plan, attempt);
        match engine::create_network(docker, run, &network(run, "control"), nets.control()).await {
            Ok(()) => {}
            // Somebody else has these addresses.
            Err(error) if error.0.contains("overlaps") && attempt + 1 < ADDRESSES => {
                attempt += 1;
                continue;
            }
            Err(error) => return Err(error),
        }
        for node in &plan.topology.nodes {
            engine::create_network(docker, run, &network(run, &node.name), nets.node(node.index)).await?;
        }
        return Ok(nets);
    }
}

/// Common to all containers of a run.
fn request(image: GenericImage, run: &str, name: &str, net: &str) -> ContainerRequest<GenericImage> {
    image
        .with_container_name(name)
        .with_network(net)
        .with_label(engine::LABEL, run)
        .with_readonly_rootfs(true)
        .with_cap_drop("ALL")
        .with_security_opt("no-new-privileges")
        // The runner asks the nodes itself, and a look every few seconds would cost them time.
        .with_health_check(Healthcheck::none())
        .with_host_config_modifier(|host| {
            // Nothing is published: the networks are internal.
            host.publish_all_ports = Some(false);
            // An engine that is not allowed to write firewall rules keeps internal networks apart by name only: the machine would
            // forward from one to another, around the emulator. What may not be forwarded once stays in its network.
            host.sysctls = Some([("net.ipv4.ip_default_ttl".to_owned(), "1".to_owned())].into());
        })
}

async fn emulator(
    docker: &Docker,
    plan: &Plan,
    run: &str,
    nets: Nets,
    image: GenericImage,
) -> Result<ContainerAsync<GenericImage>, GroundError> {
    let control = network(run, "control");
    let name = format!("{run}-emulator");
    // As root, for the two things that make it exact: it goes before others, and its sockets hold a burst.
    let request = request(image, run, &name, &control)
        .with_user("0:0")
        .with_cap_add("SYS_NICE")
        .with_cap_add("NET_ADMIN")
        .with_cmd(["emulator", "--control", &format!("0.0.0.0:{CONTROL_PORT}")]);
    let started = request.start().await;
    let container = started.map_err(|error| GroundError::of("the emulator cannot be started", error))?;
    // The engine gives it the address of a node there; it has its own.
    engine::disconnect(docker, &control, container.id()).await?;
    engine::connect(docker, &control, container.id(), nets.control()).await?;
    for node in &plan.topology.nodes {
        engine::connect(docker, &network(run, &node.name), container.id(), nets.node(node.index)).await?;
    }
    Ok(container)
}

/// A port in each direction for every two nodes of which one dials the other.
fn ports(plan: &Plan, nets: Nets) -> Vec<PortSetup> {
    let topology = &plan.topology;
    let mut ports = BTreeMap::new();
    for spec in &topology.nodes {
        for &peer in spec.peers.iter().filter(|peer| topology.link(spec.index, **peer).is_some()) {
            for (faces, stands_for) in [(spec.index, peer), (peer, spec.index)] {
                let net = nets.node(faces);
                let (bind, node) = (net.stands_for(faces, stands_for), SocketAddr::new(net.node(), MESH_PORT));
                let port = PortSetup { faces, stands_for, bind, node, roams: false, entering: false };
                ports.insert((faces, stands_for), port);
            }
        }
    }
    ports.into_values().collect()
}

async fn connect(to: SocketAddr) -> Result<TcpStream, GroundError> {
    let began = Instant::now();
    loop {
        let tried = tokio::time::timeout(LISTENS_WITHIN, TcpStream::connect(to)).await;
        let why = match tried {
            Ok(Ok(stream)) => {
                // A line at a time, and each is waited for.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".into(),
        };
        if began.elapsed() > LISTENS_WITHIN {
            let remedy =
                "the runner must be on the machine of the engine, where it reaches containers by their addresses";
            return Err(GroundError(format!("the emulator at {to} cannot be reached: {why}\n  = help: {remedy}")));
        }
        tokio::time::sleep(KNOCK_EVERY).await;
    }
}

impl Containers {
    fn name(&self, node: NodeIndex) -> &str {
        self.plan.topology.name(node)
    }

    fn failed(&self, what: &str, node: NodeIndex, why: impl std::fmt::Display) -> GroundError {
        GroundError::of(format!("{} cannot be {what}", self.name(node)), why)
    }

    fn container(&self, node: NodeIndex) -> Result<&ContainerAsync<GenericImage>, GroundError> {
        self.nodes.get(&node).ok_or_else(|| GroundError(format!("{} has no container", self.name(node))))
    }

    async fn create(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let spec = self.plan.topology.node(node);
        let api = format!("0.0.0.0:{API_PORT}");
        let key = shared_key(&spec.formation);
        let data = format!("{DATA}/peat-node");
        let place = Place {
            name: &spec.name,
            api: &api,
            mesh_port: MESH_PORT,
            data: Path::new(&data),
            formation: "ddil",
            key: &key,
            spec,
        };
        let (words, _) = Adapter::peat_node(Path::new("peat-node")).command(&place);
        let words = words.into_iter().skip(1).map(|word| word.to_string_lossy().into_owned());
        let disk = self.disks.entry(node).or_default();
        *disk += 1;
        let net = network(&self.run, &spec.name);
        let volume = format!("{net}-{disk}");
        engine::create_volume(&self.docker, &self.run, &volume).await?;
        let request = request(self.image.clone(), &self.run, &net, &net)
            .with_mount(Mount::volume_mount(volume, DATA))
            .with_cmd(words.collect::<Vec<_>>());
        let started = request.start().await.map_err(|error| self.failed("started", node, error))?;
        self.nodes.insert(node, started);
        Ok(())
    }

    async fn clear_away(&mut self) -> Vec<String> {
        let mut left = Vec::new();
        for (_, container) in std::mem::take(&mut self.nodes) {
            if let Err(error) = container.rm().await {
                left.push(error.to_string());
            }
        }
        left
    }
}

impl Ground for Containers {
    fn capabilities(&self) -> Capabilities {
        super::capabilities()
    }

    async fn start(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        match self.nodes.get(&node) {
            Some(container) => container.start().await.map_err(|error| self.failed("started", node, error))?,
            None => self.create(node).await?,
        }
        self.running.insert(node);
        Ok(())
    }

    async fn kill(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        if !self.running.remove(&node) {
            return Ok(());
        }
        let id = self.container(node)?.id().to_owned();
        engine::kill(&self.docker, &id).await?;
        // Gone when this returns, and the engine says so a moment later.
        while self.container(node)?.is_running().await.map_err(|error| self.failed("killed", node, error))? {
            tokio::time::sleep(KNOCK_EVERY).await;
        }
        Ok(())
    }

    async fn pause(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        self.container(node)?.pause().await.map_err(|error| self.failed("paused", node, error))
    }

    async fn resume(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        self.container(node)?.unpause().await.map_err(|error| self.failed("resumed", node, error))
    }

    /// The container goes with its volume; the next one has another. Its size is that of the archive that the engine makes of it.
    async fn wipe(&mut self, node: NodeIndex) -> Result<u64, GroundError> {
        let Some(container) = self.nodes.remove(&node) else { return Ok(0) };
        let options = DownloadFromContainerOptionsBuilder::new().path(DATA).build();
        let mut archive = Box::pin(self.docker.download_from_container(container.id(), Some(options)));
        let mut bytes = 0;
        while let Some(chunk) = archive.next().await {
            bytes += chunk.map_err(|error| self.failed("emptied", node, error))?.len() as u64;
        }
        drop(archive);
        container.rm().await.map_err(|error| self.failed("emptied", node, error))?;
        Ok(bytes)
    }

    fn api(&self, node: NodeIndex) -> String {
        format!("http://{}", SocketAddr::new(self.nets.node(node).node(), API_PORT))
    }

    fn peer_address(&self, node: NodeIndex, peer: NodeIndex, _endpoint_id: &str) -> String {
        self.nets.node(node).stands_for(node, peer).to_string()
    }

    fn shows_heads(&self, _node: NodeIndex) -> bool {
        true
    }

    async fn fallen(&mut self) -> Vec<(NodeIndex, String)> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Vec::new();
        }
        self.looked = Some(Instant::now());
        let mut fallen = Vec::new();
        for node in self.running.clone() {
            let Some(container) = self.nodes.get(&node) else { continue };
            // An engine that does not answer says nothing about the node.
            if let Ok(false) = container.is_running().await {
                let code = container.exit_code().await.ok().flatten();
                fallen.push((node, code.map_or_else(|| "unknown".to_owned(), |code| format!("exit code {code}"))));
                self.running.remove(&node);
            }
        }
        fallen
    }

    async fn log(&mut self, node: NodeIndex) -> Vec<String> {
        let Some(container) = self.nodes.get(&node) else { return Vec::new() };
        let (out, err) = (container.stdout_to_vec().await, container.stderr_to_vec().await);
        let text = [out.unwrap_or_default(), err.unwrap_or_default()].concat();
        let lines: Vec<String> = String::from_utf8_lossy(&text).lines().map(str::to_owned).collect();
        lines[lines.len().saturating_sub(LOG_LINES)..].to_vec()
    }

    async fn clear(&mut self) -> Result<(), GroundError> {
        let mut left = Vec::new();
        // An emulator that ended by itself was no link for a while.
        if let Some(emulator) = self.emulator.take() {
            if let Ok(false) = emulator.is_running().await {
                left.push("the link emulator ended by itself".to_owned());
            }
            if self.keep {
                // A container that is dropped is removed.
                std::mem::forget(emulator);
            }
        }
        self.switchboard.shutdown().await;
        if self.keep {
            std::mem::take(&mut self.nodes).into_values().for_each(std::mem::forget);
            return Ok(());
        }
        left.extend(self.clear_away().await);
        left.extend(engine::sweep(&self.run).await?);
        match left.is_empty() {
            true => Ok(()),
            false => Err(GroundError(left.join("\n"))),
        }
    }
}
