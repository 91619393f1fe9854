//! What is done before a scenario, and after it.

use std::time::Duration;

use peat_scenarios::plan::{NodeIndex, Plan};

use super::{Act, ClusterPlace, EdgePort, Host, NodePlace, Options, Phase, Places, Step, values};
use crate::edge;
use crate::tool::{Line, place, variable};

/// Making a cluster: images are loaded, and a control plane starts.
const CLUSTER_LIMIT: Duration = Duration::from_secs(300);
/// Installing a release: its pod starts.
const RELEASE_LIMIT: Duration = Duration::from_secs(240);
/// Building an image from sources.
const IMAGE_LIMIT: Duration = Duration::from_secs(1_800);
/// Lines of a log that are kept for a failure.
const LOG_LINES: u32 = 400;
/// Port of the API in a pod.
const API_PORT: u16 = 50_051;
/// Port of metrics in a pod.
const METRICS_PORT: u16 = 9_464;

/// Makes the steps of a plan.
pub struct Builder<'a> {
    pub plan: &'a Plan,
    pub places: &'a Places,
    pub options: &'a Options,
}

impl Builder<'_> {
    /// Everything before the scenario begins.
    pub fn set_up(&self) -> Vec<Phase> {
        let phases = [
            Phase::new("tools", self.tools()),
            Phase::new("images", self.images()),
            Phase::new("network", self.network()),
            Phase::new("clusters", self.clusters()),
            Phase::new("nodes", self.nodes()),
            Phase::new("edges", self.edges()),
            Phase::new("peering", self.peering()),
        ];
        phases.into_iter().filter(|phase| !phase.steps.is_empty()).collect()
    }

    fn makes_clusters(&self) -> bool {
        self.places.network.is_some()
    }

    /// What is missing is better known before the first cluster.
    fn tools(&self) -> Vec<Step> {
        let mut lines = Vec::new();
        if self.makes_clusters() {
            lines.push(Line::words("docker", "version --format {{.Server.Version}}"));
            lines.push(Line::words("k3d", "version"));
        }
        lines.push(Line::words("kubectl", "version --client"));
        lines.push(Line::words("helm", "version --short"));
        lines.into_iter().map(Step::run).collect()
    }

    fn images(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        let Options { image, base, edge_image, binary, harness, image_script, .. } = self.options;
        let from_binary = |binary: &str, image: &str| Line::new("sh", [image_script.as_str(), "build", binary, image]);
        if image.is_none() {
            let line = match base {
                Some(base) => from_sources(base, &self.places.image),
                None => from_binary(binary, &self.places.image).within(IMAGE_LIMIT),
            };
            steps.push(Step::run(line).making("image", &self.places.image, ""));
        }
        if edge_image.is_none() {
            let line = from_binary(harness, &self.places.edge_image).within(IMAGE_LIMIT);
            steps.push(Step::run(line).making("image", &self.places.edge_image, ""));
        }
        steps
    }

    fn network(&self) -> Vec<Step> {
        let network = self.places.network.iter().map(|network| {
            let line = Line::words("docker", "network create --driver bridge").with([
                "--subnet",
                &network.subnet,
                "--ip-range",
                &network.dynamic,
                "--label",
                &self.label(),
                &network.name,
            ]);
            Step::run(line).making("docker network", &network.name, "")
        });
        network.collect()
    }

    fn label(&self) -> String {
        format!("ddil.run={}", self.places.run)
    }

    fn clusters(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, cluster) in self.places.clusters.iter().enumerate() {
            match (&cluster.host, &self.places.network) {
                (Host::K3d { cluster: k3d, machine }, Some(network)) => {
                    let create = Line::new("k3d", ["cluster", "create", k3d, "--network", &network.name])
                        .with("--servers 1 --agents 0 --no-lb --wait --timeout 240s".split(' '))
                        .with("--kubeconfig-update-default=false --kubeconfig-switch-context=false".split(' '))
                        // None of them has anything to do here, and all would be pulled.
                        .with(["--k3s-arg", "--disable=traefik,servicelb,metrics-server@server:*"])
                        .with(["--runtime-label", &format!("{}@server:*", self.label())])
                        .within(CLUSTER_LIMIT);
                    steps.push(Step::run(create).making("cluster", k3d, "").making("container", machine, ""));
                    let kubeconfig = cluster.kubeconfig();
                    steps.push(Step::run(Line::new("k3d", ["kubeconfig", "write", k3d, "--output", &kubeconfig])));
                    let address = format!("{{{{(index .NetworkSettings.Networks \"{}\").IPAddress}}}}", network.name);
                    let inspect = Line::new("docker", ["inspect", "--format", &address, machine]);
                    steps.push(Step::run(inspect.setting(variable("IP", &cluster.name))));
                    let import = Line::new("k3d", ["image", "import", "--mode", "direct", "--cluster", k3d])
                        .with([&self.places.image]);
                    steps.push(Step::run(import.within(CLUSTER_LIMIT)));
                }
                _ => {
                    let name = cluster.kubectl("get nodes --output jsonpath={.items[0].metadata.name}");
                    steps.push(Step::run(name.setting(variable("MACHINE", &cluster.name))));
                    let path = "jsonpath={.items[0].status.addresses[?(@.type==\"InternalIP\")].address}";
                    let address = cluster.kubectl("get nodes --output").with([path]);
                    steps.push(Step::run(address.setting(variable("IP", &cluster.name))));
                }
            }
            steps.push(self.ground(at, cluster));
        }
        steps
    }

    fn ground(&self, at: usize, cluster: &ClusterPlace) -> Step {
        let objects = values::ground(self.places, at);
        let mut step = Step::run(cluster.kubectl("apply --filename -").reading(pretty(&objects)));
        for item in objects["items"].as_array().into_iter().flatten() {
            let kind = if item["kind"] == "Secret" { "Secret" } else { "Namespace" };
            step = step.making(kind, item["metadata"]["name"].as_str().unwrap_or_default(), &cluster.name);
        }
        step
    }

    fn nodes(&self) -> Vec<Step> {
        let there = self.plan.topology.nodes.iter().filter(|node| self.places.node(node.index).from_start);
        let there: Vec<NodeIndex> = there.map(|node| node.index).collect();
        let installed = there.iter().map(|&node| install(self.plan, self.places, self.options, node));
        installed.chain(there.iter().map(|&node| api(self.places, node))).collect()
    }

    /// They come after the nodes, whose addresses they are told.
    fn edges(&self) -> Vec<Step> {
        let mut steps = Vec::new();
        for (at, cluster) in self.places.clusters.iter().enumerate() {
            let (ports, name) = (self.ports(at), &cluster.edge_name);
            if ports.is_empty() {
                continue;
            }
            let (line, object) = match (&cluster.host, &self.places.network) {
                (Host::K3d { .. }, Some(network)) => {
                    // As root, for the two things that make it exact: it goes before others, and its sockets hold a burst.
                    let run = Line::words("docker", "run --rm --interactive --read-only --user 0:0 --cap-drop ALL")
                        .with(["--cap-add", "SYS_NICE", "--cap-add", "NET_ADMIN", "--name", name])
                        .with(["--label", &self.label(), "--network", &network.name, "--ip", &cluster.edge])
                        .with([&self.places.edge_image, "emulator"]);
                    (run, "container")
                }
                _ => {
                    let pod = pretty(&values::edge_pod(self.places, cluster));
                    steps.push(Step::run(cluster.kubectl("apply --filename -").reading(pod)));
                    let wait =
                        cluster.kubectl("wait --for=condition=Ready --timeout=120s").with([format!("pod/{name}")]);
                    steps.push(Step::run(wait.within(RELEASE_LIMIT)));
                    (cluster.kubectl("attach --stdin --quiet").with([format!("pod/{name}")]), "Pod")
                }
            };
            let act = Act::Open { edge: cluster.name.clone(), line, ports };
            let inside = if object == "Pod" { cluster.name.as_str() } else { "" };
            steps.push(Step::of(act).making(object, name, inside));
        }
        steps
    }

    /// A port faces a node here and stands for one elsewhere, or faces another edge and stands for a node here.
    fn ports(&self, at: usize) -> Vec<EdgePort> {
        let cluster = &self.places.clusters[at];
        let here = |node: NodeIndex| self.places.node(node).cluster == at;
        let crossings = self.places.crossings(&self.plan.topology);
        let ends = crossings.into_iter().filter(|&(a, b)| here(a) || here(b));
        let port = |(faces, stands_for): (NodeIndex, NodeIndex)| {
            let place = self.places.node(faces);
            let node = match here(faces) {
                true => format!("{}:{}", cluster.machine_ip(), place.node_port),
                false => format!("{}:{}", self.places.cluster_of(faces).edge, edge::port(stands_for, faces)),
            };
            let listen = format!("{}:{}", cluster.edge, edge::port(faces, stands_for));
            let way = format!("{} -> {}", place.name, self.places.node(stands_for).name);
            EdgePort { faces, stands_for, way, listen, node, roams: here(faces) }
        };
        ends.map(port).collect()
    }

    fn peering(&self) -> Vec<Step> {
        let there = || self.plan.topology.nodes.iter().filter(|node| self.places.node(node.index).from_start);
        let mut steps: Vec<Step> = there().map(|node| identity(self.places, node.index)).collect();
        for node in there() {
            let peers = node.peers.iter().filter(|peer| self.places.node(**peer).from_start);
            steps.extend(peers.map(|&peer| connect(self.places, node.index, peer)));
        }
        steps
    }

    /// Logs, events and metrics of everything.
    pub fn collect(&self) -> Phase {
        let mut steps = Vec::new();
        for (at, cluster) in self.places.clusters.iter().enumerate() {
            for node in self.places.nodes.iter().filter(|node| node.cluster == at) {
                steps.extend([Step::run(logs(cluster, node)), Step::run(metrics(cluster, node))]);
            }
            let events = cluster.kubectl("get events --sort-by=.lastTimestamp --output json");
            steps.push(Step::run(events));
            let edge = match &cluster.host {
                Host::K3d { .. } => Line::new("docker", ["logs", "--tail", &LOG_LINES.to_string(), &cluster.edge_name]),
                Host::Context { .. } => {
                    cluster.kubectl("logs").with([format!("--tail={LOG_LINES}"), cluster.edge_name.clone()])
                }
            };
            steps.push(Step::run(edge));
        }
        Phase::new("logs, events and metrics", steps)
    }

    /// The way back, in the opposite order.
    pub fn clean_up(&self) -> Phase {
        let mut steps = Vec::new();
        for cluster in &self.places.clusters {
            match &cluster.host {
                Host::K3d { cluster: k3d, machine } => {
                    let edge = Step::run(Line::new("docker", ["rm", "--force", &cluster.edge_name]));
                    steps.push(edge.taking("container", &cluster.edge_name));
                    let delete = Line::new("k3d", ["cluster", "delete", k3d]).within(CLUSTER_LIMIT);
                    let delete = Step::run(delete).taking("cluster", k3d).taking("container", machine);
                    steps.push(delete.emptying(&cluster.name));
                }
                Host::Context { .. } => {
                    // Releases, claims, Secrets and the edge are all in it.
                    let namespace = format!("namespace/{}", cluster.namespace);
                    let delete = cluster.kubectl("delete --ignore-not-found --timeout=180s").with([namespace]);
                    steps.push(Step::run(delete.within(RELEASE_LIMIT)).emptying(&cluster.name));
                }
            }
        }
        if let Some(network) = &self.places.network {
            let remove = Step::run(Line::new("docker", ["network", "rm", &network.name]));
            steps.push(remove.taking("docker network", &network.name));
        }
        for (given, image) in
            [(&self.options.image, &self.places.image), (&self.options.edge_image, &self.places.edge_image)]
        {
            if given.is_none() {
                steps.push(Step::run(Line::new("docker", ["rmi", "--force", image])).taking("image", image));
            }
        }
        Phase::new("clean up", steps)
    }
}

/// The last lines of a node's log.
pub fn logs(cluster: &ClusterPlace, node: &NodePlace) -> Line {
    cluster.kubectl("logs --timestamps").with([format!("--tail={LOG_LINES}"), node.pod.clone()])
}

/// A node's page of metrics.
pub fn metrics(cluster: &ClusterPlace, node: &NodePlace) -> Line {
    let path = format!("/api/v1/namespaces/{}/pods/{}:{METRICS_PORT}/proxy/metrics", cluster.namespace, node.pod);
    cluster.kubectl("get --raw").with([path])
}

/// What happened to a pod.
pub fn events_of(cluster: &ClusterPlace, node: &NodePlace) -> Line {
    let selector = format!("involvedObject.name={}", node.pod);
    cluster.kubectl("get events --sort-by=.lastTimestamp --field-selector").with([selector])
}

/// A line for each pod: its name, and how often its container was restarted.
pub fn restarts(cluster: &ClusterPlace) -> Line {
    let each = r#"{range .items[*]}{.metadata.name} {.status.containerStatuses[0].restartCount}{"\n"}{end}"#;
    let selector = "app.kubernetes.io/component=node";
    cluster.kubectl("get pods --selector").with([selector, "--output", &format!("jsonpath={each}")])
}

/// Installs a node.
pub fn install(plan: &Plan, places: &Places, options: &Options, node: NodeIndex) -> Step {
    let (cluster, place) = (places.cluster_of(node), places.node(node));
    let values = pretty(&values::values(places, cluster, place, plan.topology.node(node)));
    let name = &place.name;
    let line = cluster.helm("upgrade --install --wait --timeout 180s --values -").with([name, &options.chart]);
    let mut step = Step::run(line.reading(values).within(RELEASE_LIMIT)).making("Helm release", name, &cluster.name);
    let objects = [
        ("NetworkPolicy", name.clone()),
        ("ServiceAccount", name.clone()),
        ("Service", name.clone()),
        ("Service", format!("{name}-mesh")),
        ("Service", format!("{name}-mesh-0")),
        ("StatefulSet", name.clone()),
        ("PersistentVolumeClaim", claim(&place.pod)),
        ("Pod", place.pod.clone()),
    ];
    for (kind, name) in objects {
        step = step.making(kind, name, &cluster.name);
    }
    step
}

/// Builds the image of the nodes from sources, from the top of the repository. Needs BuildKit.
pub fn from_sources(base: &str, image: &str) -> Line {
    let base = format!("BUILD_IMAGE={base}");
    let line = Line::new("docker", ["build", "--file", "deploy/Dockerfile", "--build-arg", &base, "--tag", image, "."]);
    line.within(IMAGE_LIMIT)
}

/// The claim of a pod.
pub fn claim(pod: &str) -> String {
    format!("peat-data-{pod}")
}

/// The way from here to a node's API.
pub fn api(places: &Places, node: NodeIndex) -> Step {
    let (cluster, place) = (places.cluster_of(node), places.node(node));
    let line = cluster.kubectl("port-forward").with([format!("pod/{}", place.pod), format!(":{API_PORT}")]);
    Step::of(Act::Keep { name: place.name.clone(), port: variable("API", &place.name), line })
}

/// Asks a node for its endpoint id.
pub fn identity(places: &Places, node: NodeIndex) -> Step {
    let name = places.node(node).name.clone();
    let sets = Some(variable("ID", &name));
    Step::of(Act::Call { node: name, method: "GetStatus", message: "{}".into(), sets })
}

/// Tells a node of a peer.
pub fn connect(places: &Places, node: NodeIndex, peer: NodeIndex) -> Step {
    let id = place(&variable("ID", &places.node(peer).name));
    let message = format!("{{\"endpointId\":\"{id}\",\"addresses\":[\"{}\"]}}", places.address(node, peer));
    let act = Act::Call { node: places.node(node).name.clone(), method: "ConnectPeer", message, sets: None };
    Step::of(act)
}

fn pretty(value: &serde_json::Value) -> String {
    serde_json::to_string_pretty(value).expect("invariant: a JSON value can be written") + "\n"
}
