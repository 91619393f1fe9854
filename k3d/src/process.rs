//! World `process`: real binaries on this machine, each in a network of its own, with the emulator between them.
//!
//! Everything happens [inside](inside) namespaces that belong to this run alone and are gone when it ends, with all that
//! runs in them, however it ends.

mod child;
pub mod inside;
mod networks;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use peat_scenarios::plan::{self, NodeIndex, Plan};
use peat_scenarios::{Capabilities, Capability, RunRecord, Scenario};
use tokio::net::unix::pipe;

use crate::adapter::{Adapter, Place};
use crate::emulator::{PortSetup, Setup};
use crate::ground::{self, Ground, GroundError, Links};
use crate::run::{self, Event, Watching};

use child::{Child, Log};
use networks::Networks;

/// Nodes of a run. Each is a process with a database and a QUIC stack: on a few processors more of them would measure this
/// machine and not the mesh.
pub const NODES_MAX: u32 = 50;

/// Ports of every node, in its own network.
const API_PORT: u16 = 50_051;
const MESH_PORT: u16 = 4_433;
/// In the network of a node the emulator stands for node j at this port and j.
const FIRST_PORT: u16 = 20_000;

/// What this world can do.
pub fn capabilities() -> Capabilities {
    ground::capabilities("process", NODES_MAX, [Capability::SeeSessions])
}

/// Which server runs on which nodes.
#[derive(Debug, Clone)]
pub struct Servers {
    /// On all that are not named.
    pub usual: Adapter,
    /// By group.
    pub by_group: BTreeMap<String, Adapter>,
}

impl Servers {
    /// Of the nodes of a group.
    fn of(&self, group: &str) -> &Adapter {
        self.by_group.get(group).unwrap_or(&self.usual)
    }

    /// What the scenario asks for that the servers have no words for, and groups that it does not have, a line each.
    pub fn lacks(&self, scenario: &Scenario, plan: &Plan) -> Vec<String> {
        let topology = &plan.topology;
        let groups: Vec<&str> = scenario.groups().map(|(_, group)| group.name.as_str()).collect();
        let unknown = self.by_group.keys().filter(|name| !groups.contains(&name.as_str()));
        let mut lacks: Vec<String> = unknown
            .map(|name| format!("--adapter {name}=…: no such group; the scenario has {}", groups.join(", ")))
            .collect();
        let mut told = BTreeSet::new();
        for spec in &topology.nodes {
            let group = topology.group_of(spec.index);
            let adapter = self.of(group);
            if let Some(what) = adapter.lacks(spec)
                && told.insert((group, what))
            {
                lacks
                    .push(format!("group `{group}`: the adapter of {} does not say how {what} is given", adapter.name));
            }
        }
        lacks
    }
}

/// What a run as processes is made of.
pub struct Trial<'a> {
    /// What is run.
    pub scenario: &'a Scenario,
    /// Everything random that is not the machine's own follows from it.
    pub seed: u64,
    /// What the person typed to name the scenario, for the line that runs it again.
    pub source: String,
    /// Which server runs where.
    pub servers: Servers,
    /// This program, which is an emulator when it is told `emulator`.
    pub program: &'a Path,
    /// A directory for the data of all nodes; what is made in it is removed again.
    pub data: &'a Path,
}

/// Runs a scenario, from [inside](inside). Blocks until the run is over.
///
/// # Errors
///
/// The world could not be made or the nodes not be started: nothing is said about them.
pub fn run(trial: Trial<'_>, watching: Watching<'_>) -> Result<(RunRecord, Vec<Event>), GroundError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| GroundError::of("the runtime cannot be made", error))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let began = tokio::time::Instant::now();
        let Trial { scenario, seed, source, servers, program, data } = trial;
        let plan = plan::expand(scenario, seed);
        let record = RunRecord::new(scenario, &plan, &source, "process", "");
        let data = data.join(&scenario.name);
        let (ground, links) = prepare(&plan, servers, program, &data).await?;
        let done = run::run(plan, record, watching, ground, links).await;
        // Nodes are gone. What stays is removed with the directory around it.
        let _ = std::fs::remove_dir_all(&data);
        done.map(|(mut record, events)| {
            record.wall = began.elapsed();
            (record, events)
        })
    })
}

/// The nodes of a run as processes.
pub struct Processes {
    plan: Plan,
    servers: Servers,
    /// A directory for each node in it.
    data: PathBuf,
    networks: Networks,
    running: BTreeMap<NodeIndex, Child>,
    logs: BTreeMap<NodeIndex, Log>,
    /// Kept so that it is waited for at the end. It ends by itself when its channel does.
    emulator: Child,
}

/// Networks, emulator, and no node yet.
async fn prepare(
    plan: &Plan,
    servers: Servers,
    program: &Path,
    data: &Path,
) -> Result<(Processes, Links), GroundError> {
    let topology = &plan.topology;
    let nodes = u32::try_from(topology.nodes.len()).unwrap_or(u32::MAX);
    let networks = Networks::build(nodes).map_err(|error| GroundError(error.to_string()))?;
    let mut ports = BTreeMap::new();
    for spec in &topology.nodes {
        for &peer in spec.peers.iter().filter(|peer| topology.link(spec.index, **peer).is_some()) {
            for (faces, stands_for) in [(spec.index, peer), (peer, spec.index)] {
                let bind = place(&networks, faces, stands_for);
                let node = SocketAddr::new(networks.address(faces), MESH_PORT);
                ports.insert(
                    (faces, stands_for),
                    PortSetup { faces, stands_for, bind, node, roams: false, entering: false },
                );
            }
        }
    }
    let setup = Setup { topology: topology.clone(), seed: plan.seed, ports: ports.into_values().collect() };
    let mut command = Command::new(program);
    command.arg("emulator").stdin(Stdio::piped()).stdout(Stdio::piped());
    let failed = |error: &dyn std::fmt::Display| GroundError::of("the link emulator cannot be started", error);
    let mut emulator = Child::start(&mut command, Log::default()).map_err(|error| failed(&error))?;
    let (stdin, stdout) = emulator.channel().ok_or_else(|| failed(&"it has no standard input and output"))?;
    let requests = pipe::Sender::from_owned_fd(OwnedFd::from(stdin)).map_err(|error| failed(&error))?;
    let answers = pipe::Receiver::from_owned_fd(OwnedFd::from(stdout)).map_err(|error| failed(&error))?;
    let links = Links::open(answers, requests, &setup).await?;
    let processes = Processes {
        plan: plan.clone(),
        servers,
        data: data.to_owned(),
        networks,
        running: BTreeMap::new(),
        logs: BTreeMap::new(),
        emulator,
    };
    Ok((processes, links))
}

/// Where, in the network of one node, the emulator stands for another.
fn place(networks: &Networks, node: NodeIndex, stands_for: NodeIndex) -> SocketAddr {
    let number = u16::try_from(stands_for.0).expect("invariant: a run has at most NODES_MAX nodes");
    SocketAddr::new(networks.hub(node), FIRST_PORT + number)
}

impl Processes {
    fn adapter(&self, node: NodeIndex) -> &Adapter {
        self.servers.of(self.plan.topology.group_of(node))
    }

    fn data_of(&self, node: NodeIndex) -> PathBuf {
        self.data.join(self.plan.topology.name(node))
    }

    fn child(&self, node: NodeIndex) -> Result<&Child, GroundError> {
        let missing = || GroundError(format!("{} does not run", self.plan.topology.name(node)));
        self.running.get(&node).ok_or_else(missing)
    }
}

/// The shared key of a formation in base64: strangers have another.
pub(crate) fn shared_key(formation: &str) -> String {
    BASE64_STANDARD.encode(blake3::derive_key("peat-k3d 2026 formation", formation.as_bytes()))
}

impl Ground for Processes {
    fn capabilities(&self) -> Capabilities {
        capabilities()
    }

    async fn start(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let name = self.plan.topology.name(node).to_owned();
        let failed = |error: &dyn std::fmt::Display| GroundError::of(format!("{name} cannot be started"), error);
        let data = self.data_of(node);
        std::fs::create_dir_all(&data).map_err(|error| failed(&error))?;
        let spec = self.plan.topology.node(node);
        let key = shared_key(&spec.formation);
        let api = SocketAddr::new(self.networks.address(node), API_PORT).to_string();
        // Two formations have two keys and one name: it is no secret, and whoever counts on it is to be caught.
        let place =
            Place { name: &name, api: &api, mesh_port: MESH_PORT, data: &data, formation: "ddil", key: &key, spec };
        let (words, env) = self.adapter(node).command(&place);
        let (program, arguments) = words.split_first().expect("invariant: parse refuses an empty command");
        let mut command = self.networks.command(node, program);
        command.args(arguments).envs(env).current_dir(&data).stdin(Stdio::null()).stdout(Stdio::piped());
        let log = self.logs.entry(node).or_default().clone();
        let mut child = Child::start(&mut command, log).map_err(|error| failed(&error))?;
        child.gather();
        self.running.insert(node, child);
        Ok(())
    }

    async fn kill(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let Some(child) = self.running.remove(&node) else { return Ok(()) };
        child
            .kill()
            .map_err(|error| GroundError::of(format!("{} cannot be killed", self.plan.topology.name(node)), error))
    }

    async fn pause(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        self.child(node)?.pause().map_err(|error| GroundError::of("SIGSTOP", error))
    }

    async fn resume(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        self.child(node)?.resume().map_err(|error| GroundError::of("SIGCONT", error))
    }

    async fn wipe(&mut self, node: NodeIndex) -> Result<u64, GroundError> {
        let data = self.data_of(node);
        let failed = |error: std::io::Error| GroundError::of(format!("{} cannot be emptied", data.display()), error);
        let mut bytes = 0;
        for entry in std::fs::read_dir(&data).map_err(failed)? {
            bytes += entry.and_then(|entry| entry.metadata()).map_err(failed)?.len();
        }
        std::fs::remove_dir_all(&data).map_err(failed)?;
        Ok(bytes)
    }

    fn api(&self, node: NodeIndex) -> String {
        format!("http://{}", SocketAddr::new(self.networks.address(node), API_PORT))
    }

    fn peer_address(&self, node: NodeIndex, peer: NodeIndex, endpoint_id: &str) -> String {
        let place = place(&self.networks, node, peer);
        self.adapter(node).peer_address(endpoint_id, &place.ip().to_string(), place.port())
    }

    fn shows_heads(&self, node: NodeIndex) -> bool {
        self.adapter(node).shows_heads()
    }

    async fn fallen(&mut self) -> Vec<(NodeIndex, String)> {
        let mut fallen = Vec::new();
        self.running.retain(|node, child| match child.ended() {
            Ok(None) => true,
            Ok(Some(status)) => {
                fallen.push((*node, status.to_string()));
                false
            }
            Err(error) => {
                fallen.push((*node, error.to_string()));
                false
            }
        });
        fallen
    }

    async fn log(&mut self, node: NodeIndex) -> Vec<String> {
        self.logs.get(&node).map(Log::lines).unwrap_or_default()
    }

    async fn clear(&mut self) -> Result<(), GroundError> {
        self.running.clear();
        match self.emulator.ended() {
            Ok(Some(status)) if !status.success() => {
                let last = self.emulator.log().lines().pop().unwrap_or_default();
                Err(GroundError(format!("the link emulator ended by itself: {status}: {last}")))
            }
            _ => Ok(()),
        }
    }
}
