//! Who is where: names, addresses and ports.

use std::collections::BTreeMap;

use peat_scenarios::SimTime;
use peat_scenarios::plan::{NodeIndex, Plan, Topology};
use serde::Serialize;

use super::Options;
use crate::edge;
use crate::tool::{Line, place, variable};

/// The first NodePort of a run; node `i` has this and `i`. The range of Kubernetes ends at 32767.
const FIRST_NODE_PORT: u16 = 30_700;
/// Port of the mesh in a pod.
const MESH_PORT: u16 = 7_777;

/// Who is where.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Places {
    /// What everything is named after.
    #[serde(skip)]
    pub run: String,
    /// The Docker network of clusters that k3d makes; `None`: it makes none.
    pub network: Option<DockerNetwork>,
    /// Clusters, in order of declaration.
    pub clusters: Vec<ClusterPlace>,
    /// Nodes, by index.
    pub nodes: Vec<NodePlace>,
    /// Formations, by the name of the Secret that has their key.
    pub formations: BTreeMap<String, Formation>,
    /// Image of the nodes.
    pub image: String,
    /// Image of the edges.
    pub edge_image: String,
}

/// A formation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Formation {
    /// Its name for the nodes.
    pub app_id: String,
    /// The variable that has its key.
    pub key: String,
}

/// The network that clusters have in common.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DockerNetwork {
    /// Its name.
    pub name: String,
    /// All of its addresses.
    pub subnet: String,
    /// Those that the engine gives out by itself; edges have fixed ones before.
    pub dynamic: String,
}

/// A cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClusterPlace {
    /// Its name in the scenario.
    pub name: String,
    /// What has it.
    pub host: Host,
    /// Namespace of everything in it.
    pub namespace: String,
    /// Address of its edge, or the variable that has it.
    pub edge: String,
    /// Container or pod of its edge.
    pub edge_name: String,
}

/// What has a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case", tag = "host")]
pub enum Host {
    /// k3d makes it.
    K3d {
        /// Its name there.
        cluster: String,
        /// The container of its only machine.
        machine: String,
    },
    /// It exists.
    Context {
        /// The context of the kubeconfig.
        context: String,
    },
}

/// A node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NodePlace {
    /// Its name, that of its release and StatefulSet.
    pub name: String,
    /// Its cluster, by position.
    pub cluster: usize,
    /// Its pod.
    pub pod: String,
    /// The port of the cluster's machine that leads to its mesh port.
    pub node_port: u16,
    /// The Secret of its formation.
    pub formation: String,
    /// It is there from the start.
    pub from_start: bool,
}

impl Places {
    /// Follows from the plan and the options alone.
    pub fn new(plan: &Plan, options: &Options) -> Self {
        let hash = fingerprint(&plan.name, plan.seed);
        let run = format!("ddil-{:06x}", hash & 0xff_ffff);
        // Somewhere in 10.200.0.0 to 10.249.255.255, which engines do not give out by themselves.
        let net = format!("10.{}.{}", 200 + (hash >> 24) % 50, (hash >> 32) & 0xff);
        let topology = &plan.topology;
        let mut clusters: Vec<ClusterPlace> = Vec::new();
        for group in &topology.groups {
            if clusters.iter().all(|known| known.name != group.cluster) {
                clusters.push(cluster(&group.cluster, clusters.len(), &run, &net, options));
            }
        }
        let mut formations = BTreeMap::new();
        let nodes = topology.nodes.iter().map(|node| {
            let (secret, formation) = formation(&run, &node.formation);
            formations.insert(secret.clone(), formation);
            let at = clusters.iter().position(|cluster| cluster.name == topology.cluster_of(node.index));
            NodePlace {
                name: node.name.clone(),
                cluster: at.expect("invariant: every group's cluster is in the list"),
                pod: format!("{}-0", node.name),
                node_port: FIRST_NODE_PORT + u16::try_from(node.index.0).expect("invariant: few nodes are admitted"),
                formation: secret,
                from_start: node.joins_at == SimTime::ZERO,
            }
        });
        let nodes = nodes.collect();
        let made = clusters.iter().any(|cluster| matches!(cluster.host, Host::K3d { .. }));
        let network = made.then(|| DockerNetwork {
            name: run.clone(),
            subnet: format!("{net}.0/24"),
            dynamic: format!("{net}.128/25"),
        });
        let image = options.image.clone().unwrap_or_else(|| format!("peat-node:{run}"));
        let edge_image = options.edge_image.clone().unwrap_or_else(|| format!("ddil:{run}"));
        Places { run, network, clusters, nodes, formations, image, edge_image }
    }

    /// The place of a node.
    pub fn node(&self, node: NodeIndex) -> &NodePlace {
        &self.nodes[node.index()]
    }

    /// The cluster of a node.
    pub fn cluster_of(&self, node: NodeIndex) -> &ClusterPlace {
        &self.clusters[self.node(node).cluster]
    }

    /// Are two nodes in different clusters, so that an edge is between them?
    pub fn apart(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.node(a).cluster != self.node(b).cluster
    }

    /// Where `node` is told that `peer` is.
    pub fn address(&self, node: NodeIndex, peer: NodeIndex) -> String {
        if self.apart(node, peer) {
            let port = edge::port(node, peer);
            return format!("{}:{port}", self.cluster_of(node).edge);
        }
        let (name, namespace) = (&self.node(peer).pod, &self.cluster_of(peer).namespace);
        format!("{name}.{}-mesh.{namespace}.svc.cluster.local:{MESH_PORT}", self.node(peer).name)
    }

    /// Ordered pairs of nodes with a link from one cluster to another.
    pub fn crossings(&self, topology: &Topology) -> Vec<(NodeIndex, NodeIndex)> {
        let all = || topology.nodes.iter().map(|node| node.index);
        let pairs = all().flat_map(|a| all().map(move |b| (a, b)));
        pairs.filter(|&(a, b)| self.apart(a, b) && topology.link(a, b).is_some()).collect()
    }
}

impl ClusterPlace {
    /// A line of kubectl in its namespace.
    pub fn kubectl(&self, words: &str) -> Line {
        Line::new("kubectl", self.selection("--kubeconfig", "--context"))
            .with(["--namespace", &self.namespace])
            .with(words.split_whitespace())
    }

    /// A line of helm in its namespace.
    pub fn helm(&self, words: &str) -> Line {
        let mut line = Line::words("helm", words);
        line = line.with(["--namespace", &self.namespace]);
        line.with(self.selection("--kubeconfig", "--kube-context"))
    }

    fn selection(&self, file: &str, context: &str) -> [String; 2] {
        match &self.host {
            Host::K3d { .. } => [file.to_owned(), self.kubeconfig()],
            Host::Context { context: name } => [context.to_owned(), name.clone()],
        }
    }

    /// Where its kubeconfig is, if k3d made it.
    pub fn kubeconfig(&self) -> String {
        format!("{}/{}.kubeconfig", place("DIR"), self.name)
    }

    /// The address of its machine.
    pub fn machine_ip(&self) -> String {
        place(&variable("IP", &self.name))
    }

    /// Is its machine a container that can be stopped?
    pub fn machine(&self) -> Option<&str> {
        match &self.host {
            Host::K3d { machine, .. } => Some(machine),
            Host::Context { .. } => None,
        }
    }
}

fn cluster(name: &str, position: usize, run: &str, net: &str, options: &Options) -> ClusterPlace {
    let edge_name = format!("{run}-edge-{name}");
    match options.contexts.get(name) {
        Some(context) => ClusterPlace {
            name: name.to_owned(),
            host: Host::Context { context: context.clone() },
            // It is not ours: everything of the run is in a namespace of its own.
            namespace: run.to_owned(),
            edge: place(&variable("IP", name)),
            edge_name,
        },
        None => {
            // k3d takes 32 characters; the position keeps long names apart.
            let short: String = name.chars().take(16).collect();
            let cluster = format!("{run}-{}{position}", short.trim_end_matches('-'));
            ClusterPlace {
                name: name.to_owned(),
                host: Host::K3d { machine: format!("k3d-{cluster}-server-0"), cluster },
                namespace: "ddil".into(),
                // .1 is the network's gateway.
                edge: format!("{net}.{}", 2 + position),
                edge_name,
            }
        }
    }
}

fn formation(run: &str, name: &str) -> (String, Formation) {
    if name.is_empty() {
        return ("peat-formation".into(), Formation { app_id: run.to_owned(), key: "KEY".into() });
    }
    let secret = format!("peat-formation-{name}");
    // Two formations have two keys and one name: it is no secret, and whoever counts on it is to be caught.
    (secret, Formation { app_id: run.to_owned(), key: variable("KEY", name) })
}

/// FNV-1a: any fixed function will do, as long as it stays the same from release to release.
pub(crate) fn fingerprint(name: &str, seed: u64) -> u64 {
    let bytes = name.bytes().chain(seed.to_le_bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
