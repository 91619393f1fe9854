//! Clusters as a ground: a plan that is being done, and the nodes in it.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use peat_scenarios::plan::{self, NodeIndex, Plan as ScenarioPlan};
use peat_scenarios::{Capabilities, RunRecord, Scenario};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::execute::{Execution, Hands};
use super::{Act, Options, Plan, admit, faults, phases};
use crate::edge::switchboard::{Edge, NothingElse, Switchboard, channel, near_end};
use crate::emulator::Setup;
use crate::ground::{Ground, GroundError, Links};
use crate::run::{self, Event, Watching};
use crate::tool::process::{Processes, halt};
use crate::tool::{Variables, variable};

/// How often the clusters are asked whether a node was started anew that nobody had stopped.
const LOOK_EVERY: Duration = Duration::from_secs(10);
/// The metric that says how much a node has on its disk.
const DISK: &str = "peat_store_file_bytes";

/// What a run on clusters is made of.
pub struct Trial<'a> {
    /// What is run.
    pub scenario: &'a Scenario,
    /// Everything random that is not the machines' own follows from it.
    pub seed: u64,
    /// What the person typed to name the scenario, for the line that runs it again.
    pub source: String,
    /// What was chosen.
    pub options: &'a Options,
    /// Where logs, events and metrics go.
    pub collect: PathBuf,
}

/// The run that is going on, for whoever interrupts it.
static CURRENT: Mutex<Option<Plan>> = Mutex::new(None);

/// Takes away what the run that is going on has made. For the handler of Ctrl-C: it blocks, and whatever else runs is ended before.
pub fn leave() {
    let plan = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    halt();
    if let (Some(plan), Ok(runtime)) = (plan, runtime) {
        runtime.block_on(take_away(&plan, Processes::last()));
    }
}

/// Every line of the clean-up, when nobody knows any more what was begun.
async fn take_away(plan: &Plan, hands: Processes) {
    for step in &plan.clean_up.steps {
        if let Act::Run(line) = &step.act {
            // Not all of it is there, and the next line is for something else.
            let _ = hands.run(line).await;
        }
    }
}

/// Runs a scenario on clusters. Blocks until the run is over.
///
/// # Errors
///
/// The clusters could not be made or the nodes not be started: nothing is said about them. Everything was taken away again.
pub fn run(trial: Trial<'_>, watching: Watching<'_>) -> Result<(RunRecord, Vec<Event>), GroundError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| GroundError::of("the runtime cannot be made", error))?;
    tokio::task::LocalSet::new().block_on(&runtime, async {
        let began = Instant::now();
        let Trial { scenario, seed, source, options, collect } = trial;
        let expanded = plan::expand(scenario, seed);
        let record = RunRecord::new(scenario, &expanded, &source, "k3d", "");
        let plan = Plan::new(scenario, &expanded, options);
        let folder = tempfile::Builder::new().prefix("ddil-").tempdir();
        let folder = folder.map_err(|error| GroundError::of("no folder can be made", error))?;
        let variables = variables(&plan, folder.path())?;
        *CURRENT.lock().unwrap_or_else(PoisonError::into_inner) = (!options.keep).then(|| plan.clone());
        let execution = Execution::new(Processes::default(), plan, expanded.topology.clone(), variables);
        let done = match raise(execution, expanded.clone(), options, collect).await {
            Ok((ground, links)) => run::run(expanded, record, watching, ground, links).await,
            Err(error) => Err(error),
        };
        let current = CURRENT.lock().unwrap_or_else(PoisonError::into_inner).take();
        // On the way out of an error nobody has cleared the ground.
        if let (Err(_), Some(plan)) = (&done, current) {
            take_away(&plan, Processes::default()).await;
        }
        done.map(|(mut record, events)| {
            record.wall = began.elapsed();
            (record, events)
        })
    })
}

/// A folder for kubeconfigs, and a key for each formation that nobody else knows: clusters may be other people's.
fn variables(plan: &Plan, folder: &Path) -> Result<Variables, GroundError> {
    let mut variables = Variables::from([("DIR".to_owned(), folder.to_string_lossy().into_owned())]);
    for formation in plan.places.formations.values() {
        let mut key = [0; 32];
        let read = std::fs::File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key));
        read.map_err(|error| GroundError::of("no key can be made", error))?;
        variables.insert(formation.key.clone(), BASE64_STANDARD.encode(key));
    }
    Ok(variables)
}

/// Makes the clusters and everything in them, and one emulator of their edges.
pub async fn raise<H: Hands>(
    mut execution: Execution<H>,
    plan: ScenarioPlan,
    options: &Options,
    collect: PathBuf,
) -> Result<(Clusters<H>, Links), GroundError> {
    execution.set_up().await?;
    let places = &execution.plan().places;
    let behind =
        |cluster: &str| places.nodes.iter().map(|node| places.clusters[node.cluster].name == cluster).collect();
    let names: Vec<(String, Vec<bool>)> =
        places.clusters.iter().map(|cluster| (cluster.name.clone(), behind(&cluster.name))).collect();
    let edges = execution.take_edges().into_iter().map(|(name, links)| {
        let behind = names.iter().find(|(known, _)| *known == name).map(|(_, behind)| behind.clone());
        Edge { links, behind: behind.unwrap_or_default() }
    });
    let (near, far) = channel();
    let mut switchboard = JoinSet::new();
    switchboard.spawn(Switchboard::new(edges.collect(), NothingElse).serve(far));
    let setup = Setup { topology: plan.topology.clone(), seed: plan.seed, ports: Vec::new() };
    let links = near_end(near, &setup).await?;
    let installed = plan.topology.nodes.iter().map(|node| node.index);
    let installed = installed.filter(|node| execution.plan().places.node(*node).from_start).collect();
    let options = options.clone();
    let (stopped, restarts, disks) = (BTreeSet::new(), BTreeMap::new(), BTreeMap::new());
    let looked = None;
    Ok((
        Clusters { execution, plan, options, collect, switchboard, installed, stopped, restarts, disks, looked },
        links,
    ))
}

/// The nodes of a run in clusters.
pub struct Clusters<H: Hands> {
    execution: Execution<H>,
    plan: ScenarioPlan,
    options: Options,
    collect: PathBuf,
    /// Between the runner and the edges.
    switchboard: JoinSet<std::io::Result<()>>,
    /// Nodes that were installed, whether or not they run.
    installed: BTreeSet<NodeIndex>,
    /// Nodes that were stopped.
    stopped: BTreeSet<NodeIndex>,
    /// How often Kubernetes has restarted the container of each pod.
    restarts: BTreeMap<NodeIndex, u64>,
    /// What each node had on its disk when it was stopped.
    disks: BTreeMap<NodeIndex, u64>,
    looked: Option<Instant>,
}

impl<H: Hands> Clusters<H> {
    async fn disk_of(&self, node: NodeIndex) -> u64 {
        let places = &self.execution.plan().places;
        let metrics = phases::metrics(places.cluster_of(node), places.node(node));
        let page = self.execution.ask(&metrics).await.unwrap_or_default();
        let value = page.lines().find_map(|line| line.strip_prefix(DISK)?.trim().parse::<f64>().ok());
        value.unwrap_or_default() as u64
    }

    /// Restarts of containers, by pod.
    async fn restarts(&self) -> BTreeMap<NodeIndex, u64> {
        let mut restarts = BTreeMap::new();
        let places = &self.execution.plan().places;
        for cluster in &places.clusters {
            let printed = self.execution.ask(&phases::restarts(cluster)).await.unwrap_or_default();
            for line in printed.lines() {
                let Some((pod, count)) = line.split_once(' ') else { continue };
                let node = places.nodes.iter().position(|node| node.pod == pod);
                if let (Some(node), Ok(count)) = (node, count.trim().parse()) {
                    restarts.insert(NodeIndex(node as u32), count);
                }
            }
        }
        restarts
    }
}

impl<H: Hands> Ground for Clusters<H> {
    fn capabilities(&self) -> Capabilities {
        admit::capabilities()
    }

    async fn start(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let places = self.execution.plan().places.clone();
        let steps = if self.stopped.remove(&node) {
            faults::restart(&self.plan.topology, &places, node)
        } else if self.installed.insert(node) {
            vec![phases::install(&self.plan, &places, &self.options, node), phases::api(&places, node)]
        } else {
            // The set-up has started it.
            return Ok(());
        };
        self.restarts.remove(&node);
        self.execution.perform(&steps).await
    }

    async fn kill(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let disk = self.disk_of(node).await;
        self.disks.insert(node, disk);
        self.stopped.insert(node);
        let places = self.execution.plan().places.clone();
        self.execution.perform(&faults::crash(&self.plan.topology, &places, node)).await
    }

    async fn pause(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let steps = faults::pause(&self.execution.plan().places, node, "pause");
        self.execution.perform(&steps).await
    }

    async fn resume(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        let steps = faults::pause(&self.execution.plan().places, node, "unpause");
        self.execution.perform(&steps).await
    }

    async fn wipe(&mut self, node: NodeIndex) -> Result<u64, GroundError> {
        let places = self.execution.plan().places.clone();
        self.execution.perform(&faults::wipe(&self.plan.topology, &places, node)).await?;
        Ok(self.disks.get(&node).copied().unwrap_or_default())
    }

    fn api(&self, node: NodeIndex) -> String {
        let name = variable("API", &self.execution.plan().places.node(node).name);
        format!("http://127.0.0.1:{}", self.execution.variable(&name).unwrap_or("0"))
    }

    fn peer_address(&self, node: NodeIndex, peer: NodeIndex, _endpoint_id: &str) -> String {
        let address = self.execution.plan().places.address(node, peer);
        self.execution.filled(&address).unwrap_or(address)
    }

    fn shows_heads(&self, _node: NodeIndex) -> bool {
        true
    }

    /// A container that Kubernetes has restarted ended by itself. It is back already, and its API with it.
    async fn fallen(&mut self) -> Vec<(NodeIndex, String)> {
        if self.looked.is_some_and(|looked| looked.elapsed() < LOOK_EVERY) {
            return Vec::new();
        }
        self.looked = Some(Instant::now());
        let mut fallen = Vec::new();
        for (node, count) in self.restarts().await {
            let before = self.restarts.insert(node, count).unwrap_or_default();
            if count > before && !self.stopped.contains(&node) {
                fallen.push((node, format!("Kubernetes has restarted its container, {count} times by now")));
            }
        }
        fallen
    }

    async fn log(&mut self, node: NodeIndex) -> Vec<String> {
        let places = &self.execution.plan().places;
        let (cluster, place) = (places.cluster_of(node), places.node(node));
        let mut lines = Vec::new();
        for line in [phases::logs(cluster, place), phases::events_of(cluster, place)] {
            let text = self.execution.ask(&line).await.unwrap_or_default();
            lines.extend(text.lines().map(str::to_owned));
        }
        lines
    }

    async fn clear(&mut self) -> Result<(), GroundError> {
        let mut left = Vec::new();
        let collected = self.execution.collect().await;
        if let Err(error) = write(&self.collect, &collected) {
            left.push(format!("logs cannot be written to {}: {error}", self.collect.display()));
        }
        self.switchboard.shutdown().await;
        left.extend(self.execution.clean_up().await.into_iter().map(|line| format!("not taken away: {line}")));
        match left.is_empty() {
            true => Ok(()),
            false => Err(GroundError(left.join("\n"))),
        }
    }
}

/// A file for each line, which begins with the line.
fn write(folder: &Path, collected: &[(String, String)]) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    for (number, (line, text)) in collected.iter().enumerate() {
        std::fs::write(folder.join(format!("{:03}.txt", number + 1)), format!("$ {line}\n{text}"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
