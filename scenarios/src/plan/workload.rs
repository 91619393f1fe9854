//! From workloads to operations.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;

use super::{Action, Agents, DocKey, Edit, NodeIndex, Topology};
use crate::limits;
use crate::model::{Scenario, Workload, WorkloadKind};
use crate::time::SimTime;

/// An operation that has no id yet.
pub(super) struct Draft {
    pub(super) at: SimTime,
    pub(super) node: NodeIndex,
    pub(super) action: Action,
}

/// All operations of all workloads, in order of workload.
pub(super) fn drafts(scenario: &Scenario, topology: &Topology, seed: u64) -> Vec<Draft> {
    let mut drafts = Vec::new();
    for (position, workload) in scenario.workloads.iter().enumerate() {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // A stream of its own: changing one workload leaves the others' operations alone.
        rng.set_stream(position as u64 + 1);
        let nodes = workload.on.iter().flat_map(|name| {
            let group = topology.groups.iter().position(|group| group.name == *name);
            topology.members(group.expect("invariant: validation has resolved every group name") as u32)
        });
        let mut author = Author {
            topology,
            nodes: nodes.collect(),
            windows: windows(scenario, workload),
            start: workload.start.into(),
            position,
            rng,
            drafts: Vec::new(),
        };
        match &workload.kind {
            WorkloadKind::Heartbeat { every } => author.heartbeats(*every),
            WorkloadKind::Put { every, collection } => author.puts(*every, collection),
            WorkloadKind::Edit { every, collection, documents } => author.edits(*every, collection, *documents),
            WorkloadKind::Delete { every, collection, documents, from, contended_by } => {
                let contender = contended_by.as_ref().and_then(|name| topology.find(&format!("{name}-0")));
                author.deletes(*every, collection, *documents, *from, contender);
            }
            WorkloadKind::Burst { collection, documents, versions, every } => {
                author.bursts(collection, *documents, *versions, *every);
            }
            WorkloadKind::Command { every, collection, to } => {
                let group = topology.groups.iter().position(|group| group.name == *to);
                let targets =
                    topology.members(group.expect("invariant: validation has resolved every group name") as u32);
                author.commands(*every, collection, &targets.collect::<Vec<_>>());
            }
            WorkloadKind::Agent { every, documents, .. } => author.reports(*every, *documents),
        }
        drafts.extend(author.drafts);
    }
    // A late joiner is not there to be asked.
    drafts.retain(|draft| draft.at >= topology.node(draft.node).joins_at);
    drafts
}

/// When a workload writes: from its start to its end, less the time outside its fault.
fn windows(scenario: &Scenario, workload: &Workload) -> Vec<(SimTime, SimTime)> {
    let last = scenario.duration - scenario.settle;
    let end = workload.until.unwrap_or(last).min(last);
    let windows = match &workload.only_during {
        None => vec![(workload.start, end)],
        Some(fault) => {
            let windows = scenario.fault_windows(fault);
            windows.expect("invariant: validation allows `only_during` for timed faults only")
        }
    };
    windows
        .into_iter()
        .map(|(from, to)| (SimTime::from(from.max(workload.start)), SimTime::from(to.min(end))))
        .filter(|(from, to)| from < to)
        .collect()
}

struct Author<'a> {
    topology: &'a Topology,
    nodes: Vec<NodeIndex>,
    windows: Vec<(SimTime, SimTime)>,
    start: SimTime,
    position: usize,
    rng: ChaCha8Rng,
    drafts: Vec<Draft>,
}

impl Author<'_> {
    fn name(&self, node: NodeIndex) -> &str {
        self.topology.name(node)
    }

    fn push(&mut self, at: SimTime, node: NodeIndex, action: Action) {
        self.drafts.push(Draft { at, node, action });
    }

    /// A moment in the first `every`, spread over the nodes, with a random part so that no two
    /// workloads beat in step.
    fn phase(&mut self, every: Duration, slot: usize, slots: usize) -> Duration {
        let even = every.mul_f64(slot as f64 / slots as f64);
        even + self.up_to(every / slots as u32)
    }

    fn up_to(&mut self, span: Duration) -> Duration {
        let nanos = SimTime::from(span).as_nanos().max(1);
        Duration::from_nanos(self.rng.next_u64() % nanos)
    }

    /// The moments at which each node writes, node by node.
    fn beats(&mut self, every: Duration) -> Vec<(NodeIndex, Vec<SimTime>)> {
        let nodes = self.nodes.clone();
        let mut beats = Vec::with_capacity(nodes.len());
        for (slot, &node) in nodes.iter().enumerate() {
            let phase = self.phase(every, slot, nodes.len());
            let mut moments = Vec::new();
            for &(from, to) in &self.windows {
                let mut at = from + phase;
                while at < to {
                    moments.push(at);
                    at += every;
                }
            }
            beats.push((node, moments));
        }
        beats
    }

    fn heartbeats(&mut self, every: Duration) {
        for (node, moments) in self.beats(every) {
            let name = self.name(node).to_owned();
            let key = DocKey::new("platforms", &name);
            let (mut latitude, mut longitude) = (48.0 + f64::from(node.0) * 0.01, -5.0);
            for (counter, at) in (1u64..).zip(moments) {
                latitude += (self.rng.next_u64() % 100) as f64 * 1e-6;
                longitude += (self.rng.next_u64() % 100) as f64 * 1e-6;
                let battery = 100 - counter.min(90);
                let json = json!({
                    "id": name,
                    "platform_type": "vehicle",
                    "name": name.to_uppercase(),
                    "status": 1,
                    "latitude": round6(latitude),
                    "longitude": round6(longitude),
                    "altitude_m": 12.5,
                    "readiness": round6(battery as f64 / 100.0),
                    "counter": counter,
                });
                self.push(at, node, put(&key, json));
            }
        }
    }

    fn puts(&mut self, every: Duration, collection: &str) {
        let workload = self.position;
        for (node, moments) in self.beats(every) {
            let name = self.name(node).to_owned();
            for (number, at) in (0u64..).zip(moments) {
                let id = format!("{name}-w{workload}-{number:04}");
                let key = DocKey::new(collection, &id);
                let json = json!({
                    "id": id,
                    "source_platform": name,
                    "latitude": round6(48.0 + (self.rng.next_u64() % 1_000_000) as f64 * 1e-6),
                    "longitude": round6(-5.0 + (self.rng.next_u64() % 1_000_000) as f64 * 1e-6),
                    "classification": "unknown",
                    "confidence": round6((self.rng.next_u64() % 100) as f64 / 100.0),
                    "category": 5,
                    "counter": 1,
                });
                self.push(at, node, put(&key, json));
            }
        }
    }

    /// All at one moment: the application writes them one after the other, as fast as its node takes them.
    fn bursts(&mut self, collection: &str, documents: u32, versions: u32, every: Duration) {
        for version in 1..=versions {
            let at = self.start + every * (version - 1);
            if !self.windows.iter().any(|(from, to)| (*from..*to).contains(&at)) {
                continue;
            }
            for node in self.nodes.clone() {
                let name = self.name(node).to_owned();
                for number in 0..documents {
                    let key = DocKey::new(collection, &burst_id(&name, self.position, number));
                    let json = json!({
                        "id": &*key.id,
                        "source_platform": name,
                        "sensor": number,
                        "value": round6((self.rng.next_u64() % 1_000_000) as f64 * 1e-3),
                        "quality": round6((self.rng.next_u64() % 100) as f64 / 100.0),
                        "counter": version,
                    });
                    self.push(at, node, put(&key, json));
                }
            }
        }
    }

    fn commands(&mut self, every: Duration, collection: &str, targets: &[NodeIndex]) {
        let workload = self.position;
        for (node, moments) in self.beats(every) {
            let author = self.name(node).to_owned();
            for (number, at) in moments.into_iter().enumerate() {
                let target = self.name(targets[number % targets.len()]).to_owned();
                let id = format!("{target}-w{workload}-{author}-{number:04}");
                let key = DocKey::new(collection, &id);
                let issued = at.as_nanos() / 1_000_000_000;
                let json = json!({
                    "id": id,
                    "target_id": target,
                    "command_type": "MOVE",
                    "status": 1,
                    "created_at": issued,
                    "expires_at": issued + 3_600,
                    "payload_json": "{\"heading_deg\":270}",
                    "counter": 1,
                });
                self.push(at, node, put(&key, json));
            }
        }
    }

    /// All packages at the start; then, each `every`, one of them gets another version, and each fifth time one goes for
    /// good and another one comes.
    fn reports(&mut self, every: Duration, packages: u32) {
        const GOES_EACH: usize = 5;
        let start = self.start;
        for (node, moments) in self.beats(every) {
            let name = self.name(node).to_owned();
            let mut present: VecDeque<(u32, u64)> = (0..packages).map(|number| (number, 1)).collect();
            let mut next = packages;
            for &(number, version) in &present {
                self.push(start, node, report(&name, number, Some(version)));
            }
            for (turn, at) in (1..).zip(moments.into_iter().filter(|at| *at > start)) {
                let Some((number, version)) = present.pop_front() else { break };
                if turn % GOES_EACH == 0 {
                    self.push(at, node, report(&name, number, None));
                    present.push_back((next, 1));
                    self.push(at, node, report(&name, next, Some(1)));
                    next += 1;
                } else {
                    present.push_back((number, version + 1));
                    self.push(at, node, report(&name, number, Some(version + 1)));
                }
            }
        }
    }

    /// Documents that others will edit or delete, created by the first node one millisecond apart.
    fn create(&mut self, collection: &str, prefix: &str, documents: u32) -> Vec<DocKey> {
        let creator = self.nodes[0];
        let workload = self.position;
        let mut keys = Vec::new();
        for number in 0..documents {
            let id = format!("{prefix}-w{workload}-{number:03}");
            let key = DocKey::new(collection, &id);
            let json = json!({
                "id": id,
                "title": format!("{prefix} {number}"),
                "counter": 1,
                "by": {},
                "entries": [],
            });
            let at = self.start + Duration::from_millis(u64::from(number));
            self.push(at, creator, put(&key, json));
            keys.push(key);
        }
        keys
    }

    fn edits(&mut self, every: Duration, collection: &str, documents: u32) {
        let keys = self.create(collection, "shared", documents);
        let mut counters: BTreeMap<(NodeIndex, usize), u64> = BTreeMap::new();
        for (node, moments) in self.beats(every) {
            let author: Arc<str> = self.name(node).into();
            // All nodes walk the documents in the same order, so that edits of one document meet.
            for (turn, at) in moments.into_iter().enumerate() {
                let document = turn % keys.len();
                let counter = counters.entry((node, document)).or_default();
                *counter += 1;
                let edit = Edit { author: author.clone(), counter: *counter, at };
                self.push(at, node, Action::Edit { key: keys[document].clone(), edit });
            }
        }
    }

    fn deletes(
        &mut self,
        every: Duration,
        collection: &str,
        documents: u32,
        from: Option<Duration>,
        contender: Option<NodeIndex>,
    ) {
        let keys = self.create(collection, "doomed", documents);
        let first = from.map(SimTime::from).unwrap_or_else(|| {
            let begins = self.windows.first().map_or(self.start, |(from, _)| *from);
            begins.max(self.start) + every
        });
        let mut slots = Vec::new();
        for &(from, to) in &self.windows {
            let mut at = from.max(first);
            while at < to && slots.len() < keys.len() {
                slots.push(at);
                at += every;
            }
        }
        for (turn, (key, at)) in keys.into_iter().zip(slots).enumerate() {
            let at = at + self.up_to(every / 4);
            let deleter = self.nodes[turn % self.nodes.len()];
            // Not the deleter itself: the two would race on one node, and either may be the later.
            if let Some(node) = contender.filter(|node| *node != deleter) {
                let edit = Edit { author: self.name(node).into(), counter: 1, at };
                self.push(at, node, Action::Edit { key: key.clone(), edit });
            }
            self.push(at, deleter, Action::Delete { key });
        }
    }
}

fn put(key: &DocKey, json: serde_json::Value) -> Action {
    Action::Put { key: key.clone(), json: json.to_string().into() }
}

/// What a node makes of a package of its agent. The status is the register that checks follow.
fn report(node: &str, number: u32, version: Option<u64>) -> Action {
    let name = format!("package-{number:03}");
    let json = version.map(|version| {
        json!({ "agent_id": node, "name": name, "version": format!("1.0.{version}"), "status": version })
            .to_string()
            .into()
    });
    Action::Report { key: DocKey::new(AGENT_COLLECTION, &format!("{node}:{name}")), json }
}

/// Where the packages of agents are.
pub(crate) const AGENT_COLLECTION: &str = "deployments";

/// Who watches an agent, and when that does not answer.
pub(super) fn agents(scenario: &Scenario, topology: &Topology) -> Agents {
    let mut agents = Agents::new();
    for workload in &scenario.workloads {
        let WorkloadKind::Agent { away, .. } = &workload.kind else { continue };
        for node in
            topology.nodes.iter().filter(|node| workload.on.iter().any(|group| group == topology.group_of(node.index)))
        {
            let away = away.map(|away| (SimTime::from(away.from), SimTime::from(away.from + away.lasts)));
            agents.entry(node.index).or_default().extend(away);
        }
    }
    agents
}

/// Id of a document of a burst.
pub(crate) fn burst_id(node: &str, workload: usize, number: u32) -> String {
    format!("{node}-w{workload}-{number:05}")
}

/// Six decimals, as a GPS receiver gives them, and short in print.
fn round6(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

/// How many operations a scenario will expand to, at most, without expanding it.
pub(crate) fn estimate(scenario: &Scenario) -> u64 {
    let count = |name: &String| {
        let group = scenario.groups().find(|(_, group)| group.name == *name);
        group.map_or(0, |(_, group)| u64::from(group.count))
    };
    let per_workload = scenario.workloads.iter().map(|workload| {
        let nodes: u64 = workload.on.iter().map(count).sum();
        let span: Duration = windows(scenario, workload).iter().map(|(from, to)| to.since(*from)).sum();
        let beats = |every: &Duration| {
            let every = every.as_nanos().max(1);
            nodes.saturating_mul(u64::try_from(span.as_nanos().div_ceil(every)).unwrap_or(u64::MAX))
        };
        match &workload.kind {
            WorkloadKind::Heartbeat { every } | WorkloadKind::Put { every, .. } => beats(every),
            WorkloadKind::Edit { every, documents, .. } => beats(every).saturating_add(u64::from(*documents)),
            WorkloadKind::Delete { documents, .. } => u64::from(*documents) * 3,
            WorkloadKind::Burst { documents, versions, .. } => nodes * u64::from(*documents) * u64::from(*versions),
            WorkloadKind::Command { every, .. } => beats(every),
            WorkloadKind::Agent { every, documents, .. } => {
                (2 * beats(every)).saturating_add(nodes.saturating_mul(u64::from(*documents)))
            }
        }
    });
    per_workload.fold(0, u64::saturating_add).min(limits::OPERATIONS * 1_000)
}
