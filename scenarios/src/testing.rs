//! A world for tests: replicas that merge perfectly, links that delay, faults that cut. Checks must
//! pass on its records, and fail when a test then plants a bug in one.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;

use crate::check::agents::agents;
use crate::library::{Shipped, library};
use crate::model::{Expect, Fault, LinkSpec, Peering, Scenario, Workload};
use crate::physics::{Fate, LinkParams, Network, Sent};
use crate::plan::{
    Action, DocKey, FaultClass, NodeIndex, Plan, Schedule, Step, Topology, apply_edit, expand, registers, registers_of,
};
use crate::profiles::Profile;
use crate::record::{FinalDoc, Life, Outcome, ReplicaState, RestartSnapshot, RunRecord};
use crate::time::SimTime;

/// Detecting a dead session, and building a new one.
const IDLE: Duration = Duration::from_secs(10);
const REDIAL: Duration = Duration::from_secs(1);
const KEEP_ALIVE: Duration = Duration::from_secs(5);

pub(crate) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// Two clusters of two, a satellite, a two-minute outage and a crash in it.
pub(crate) fn scenario() -> Scenario {
    let both = ["alpha", "bravo"];
    Scenario::builder("small-blackout")
        .purpose("two clusters lose their satellite for two minutes")
        .duration(secs(600))
        .settle(secs(60))
        .seed(7)
        .cluster("east", |cluster| cluster.group("alpha", 2))
        .cluster("west", |cluster| cluster.group("bravo", 2))
        .link(LinkSpec::new("alpha", "bravo", Profile::SatcomGeo).peering(Peering::Gateway))
        .workload(Workload::heartbeat(both, secs(30)))
        .workload(Workload::edit(both, secs(20), 2).start(secs(5)))
        .workload(Workload::put(both, secs(25)).only_during("sat"))
        .workload(Workload::delete(["alpha"], secs(10), 4).start(secs(8)).only_during("sat").contended_by("bravo"))
        .fault(Fault::partition("sat", "alpha", "bravo").at(secs(180)).lasting(secs(120)))
        .fault(Fault::crash("power", "alpha-1").at(secs(200)).lasting(secs(20)))
        .expect(Expect {
            converge_within: Some(secs(4)),
            reconnect_within: Some(secs(2)),
            connected_latency_p50_max_ratio: Some(1.1),
            ..Expect::default()
        })
        .build()
        .unwrap_or_else(|error| panic!("{error}"))
}

/// A good record of [`scenario`].
pub(crate) fn good() -> (Scenario, RunRecord) {
    let scenario = scenario();
    let record = run(&scenario);
    (scenario, record)
}

/// Every shipped scenario with a good record of it. Run once: some of them are long.
pub(crate) fn library_runs() -> &'static [(Scenario, RunRecord)] {
    static RUNS: OnceLock<Vec<(Scenario, RunRecord)>> = OnceLock::new();
    RUNS.get_or_init(|| {
        let scenario = |shipped: &Shipped| shipped.scenario().unwrap_or_else(|error| panic!("{error}"));
        let run = |scenario: Scenario| (scenario.clone(), run(&scenario));
        library().iter().map(scenario).map(run).collect()
    })
}

enum Event {
    Start(NodeIndex),
    Operation(usize),
    Deliver(NodeIndex, usize),
    KeepAlive,
    Session(NodeIndex, NodeIndex, bool),
    /// A node that had lost its disk is told everything by a neighbour.
    Rejoin(NodeIndex),
    /// The watcher of this node's agent says how that is.
    Agent(NodeIndex, &'static str),
}

struct World<'p> {
    plan: &'p Plan,
    record: RunRecord,
    network: Network,
    queue: BTreeMap<(SimTime, u64), Event>,
    sequence: u64,
    running: BTreeSet<NodeIndex>,
    paused: BTreeSet<NodeIndex>,
    cuts: BTreeMap<u32, Vec<(NodeIndex, NodeIndex)>>,
    replicas: Vec<BTreeMap<DocKey, Option<Value>>>,
    parked: Vec<(NodeIndex, usize)>,
    /// What each edit left of its document where it was made.
    causes: BTreeMap<usize, Value>,
    sessions: Vec<(NodeIndex, NodeIndex)>,
    islands: Vec<NodeIndex>,
    /// With the links as they are now.
    topology: Topology,
    delays: BTreeMap<NodeIndex, Vec<Option<Duration>>>,
}

pub(crate) fn run(scenario: &Scenario) -> RunRecord {
    let plan = expand(scenario, scenario.seed);
    let mut world = World {
        record: RunRecord::new(scenario, &plan, &scenario.name, "sim", "ideal"),
        network: Network::new(&plan.topology, plan.seed),
        queue: BTreeMap::new(),
        sequence: 0,
        running: BTreeSet::new(),
        paused: BTreeSet::new(),
        cuts: BTreeMap::new(),
        replicas: vec![BTreeMap::new(); plan.topology.nodes.len()],
        parked: Vec::new(),
        causes: BTreeMap::new(),
        // In a perfect world whoever may find each other does.
        sessions: plan
            .topology
            .sessions()
            .into_iter()
            .chain(plan.topology.discoverable())
            .collect::<BTreeSet<_>>()
            .into_iter()
            .collect(),
        islands: plan.topology.nodes.iter().map(|node| node.index).collect(),
        topology: {
            let mut topology = plan.topology.clone();
            topology.links.values_mut().for_each(with_header);
            topology
        },
        delays: BTreeMap::new(),
        plan: &plan,
    };
    for node in &plan.topology.nodes {
        world.push(node.joins_at, Event::Start(node.index));
    }
    (0..plan.operations.len()).for_each(|op| world.push(plan.operations[op].at, Event::Operation(op)));
    world.push(SimTime::from_secs(1), Event::KeepAlive);
    let mut schedule = Schedule::new(&plan.timeline);
    for (node, away) in agents(scenario, &world.record) {
        world.push(SimTime::from_secs(1), Event::Agent(node, "ok"));
        if let Some(away) = away {
            world.push((away.from + secs(30)).into(), Event::Agent(node, "stale"));
            world.push((away.from + away.lasts + secs(5)).into(), Event::Agent(node, "ok"));
        }
    }
    loop {
        let next = world.queue.keys().next().map(|(at, _)| *at).into_iter().chain(schedule.next_at()).min();
        let Some(now) = next.filter(|at| *at <= plan.duration) else {
            break;
        };
        while let Some(step) = schedule.take_due(now) {
            world.step(now, &step);
        }
        while let Some(entry) = world.queue.first_entry().filter(|entry| entry.key().0 <= now) {
            let event = entry.remove();
            world.event(now, event);
        }
        if schedule.wants_convergence() && world.equal() {
            schedule.converged(now);
        }
        if schedule.wants_events() {
            schedule.notice(now, &world.record);
        }
    }
    world.finish()
}

/// Nothing crosses a link without the header of a datagram.
fn with_header(link: &mut LinkParams) {
    link.latency += link.serialisation(0);
}

/// What the author of an edit had seen comes with it: a perfect mesh is causal.
fn catch_up(document: &mut Value, cause: &Value) {
    let counter = |own: &Value| own["counter"].as_u64().unwrap_or(0);
    for (author, own) in cause["by"].as_object().unwrap() {
        if counter(&document["by"][author]) < counter(own) {
            document["by"][author] = own.clone();
        }
    }
    let entries = document["entries"].as_array_mut().unwrap();
    for own in cause["entries"].as_array().unwrap() {
        match entries.iter_mut().find(|entry| entry["author"] == own["author"]) {
            Some(entry) if counter(entry) < counter(own) => *entry = own.clone(),
            Some(_) => {}
            None => entries.push(own.clone()),
        }
    }
}

impl World<'_> {
    fn push(&mut self, at: SimTime, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, self.sequence), event);
    }

    /// What a perfect watcher says of an agent: stale three polls after its last answer. Everybody hears of it at once:
    /// nobody issued it, so no check asks how it came.
    fn platform(&mut self, now: SimTime, node: NodeIndex, state: &str) {
        let json = serde_json::json!({ "agent": { "state": state, "last_good": "2026-11-21T07:00:00Z" } });
        let name = self.record.topology.name(node).to_owned();
        for replica in &self.plan.topology.nodes {
            self.record.see(now, replica.index, "platforms", &name, Some(&json.to_string()));
            self.replicas[replica.index.index()].insert(DocKey::new("platforms", &name), Some(json.clone()));
        }
    }

    fn equal(&self) -> bool {
        let mut states = self.running.iter().map(|node| &self.replicas[node.index()]);
        states.next().is_none_or(|first| states.all(|other| other == first))
    }

    fn open(&self, a: NodeIndex, b: NodeIndex) -> bool {
        let cut = |pairs: &Vec<(NodeIndex, NodeIndex)>| pairs.contains(&(a, b)) || pairs.contains(&(b, a));
        self.awake(a) && self.awake(b) && !self.cuts.values().any(cut)
    }

    fn awake(&self, node: NodeIndex) -> bool {
        self.running.contains(&node) && !self.paused.contains(&node)
    }

    fn reaches(&self, from: NodeIndex, to: NodeIndex) -> bool {
        self.awake(from) && self.awake(to) && self.islands[from.index()] == self.islands[to.index()]
    }

    /// Each node's island: the least node that sessions join it with.
    fn regroup(&mut self) {
        let open = self.open_sessions();
        self.delays.clear();
        self.islands = self.plan.topology.nodes.iter().map(|node| node.index).collect();
        loop {
            let before = self.islands.clone();
            for &(a, b) in &open {
                let least = self.islands[a.index()].min(self.islands[b.index()]);
                (self.islands[a.index()], self.islands[b.index()]) = (least, least);
            }
            if self.islands == before {
                return;
            }
        }
    }

    fn delay(&mut self, from: NodeIndex, to: NodeIndex) -> Option<Duration> {
        if !self.delays.contains_key(&from) {
            let delays = self.topology.one_way_delays_over(from, &self.open_sessions());
            self.delays.insert(from, delays);
        }
        self.delays[&from][to.index()]
    }

    fn open_sessions(&self) -> Vec<(NodeIndex, NodeIndex)> {
        self.sessions.iter().copied().filter(|&(a, b)| self.open(a, b)).collect()
    }

    fn event(&mut self, now: SimTime, event: Event) {
        match event {
            Event::Start(node) => {
                self.running.insert(node);
                self.regroup();
                self.record.life(now, node, Life::Started);
                let delay = if now == SimTime::ZERO { Duration::from_millis(900) } else { REDIAL };
                self.recover(now, delay);
            }
            Event::Operation(op) => self.operation(now, op),
            Event::Agent(node, state) => self.platform(now, node, state),
            Event::Deliver(node, op) => {
                if self.reaches(self.plan.operations[op].node, node) {
                    self.apply(now, node, op);
                } else {
                    self.parked.push((node, op));
                }
            }
            Event::KeepAlive => {
                for (a, b) in self.sessions.clone().into_iter().flat_map(|(a, b)| [(a, b), (b, a)]) {
                    if self.running.contains(&a) {
                        // As if each were a dial: nothing else opens a connection here.
                        let sent = self.network.send(now, a, b, &[0xc0; 60]);
                        let dropped = matches!(sent, Sent::Offered(Fate::Drop(_)));
                        self.record.datagram(now, a, b, 60, dropped);
                        if !dropped {
                            self.record.arrived(a, b, 60);
                        }
                    }
                }
                self.push(now + KEEP_ALIVE, Event::KeepAlive);
            }
            Event::Rejoin(node) => {
                let known = (0..self.islands.len()).map(|n| NodeIndex(n as u32));
                let Some(other) = known.into_iter().find(|other| *other != node && self.reaches(*other, node)) else {
                    return;
                };
                let held = self.replicas[other.index()].clone();
                for (key, doc) in held {
                    if self.replicas[node.index()].get(&key) != Some(&doc) {
                        let text = doc.as_ref().map(Value::to_string);
                        self.record.see(now, node, &key.collection, &key.id, text.as_deref());
                        self.replicas[node.index()].insert(key, doc);
                    }
                }
            }
            Event::Session(a, b, up) => {
                if self.open(a, b) == up {
                    if up {
                        self.record.dial(now, a, b);
                    }
                    self.record.session(now, a, b, up);
                    self.record.session(now, b, a, up);
                }
            }
        }
    }

    fn recover(&mut self, now: SimTime, delay: Duration) {
        for (a, b) in self.sessions.clone() {
            let last = self.record.sessions.iter().rfind(|event| event.node == a && event.peer == b);
            if self.open(a, b) && last.is_none_or(|event| !event.up) {
                self.push(now + delay, Event::Session(a, b, true));
            }
        }
        for (node, op) in std::mem::take(&mut self.parked) {
            let origin = self.plan.operations[op].node;
            let at = now + delay + self.delay(origin, node).unwrap_or_default() + Duration::from_millis(1);
            self.push(at, Event::Deliver(node, op));
        }
    }

    /// A degraded link takes as long as it takes.
    fn reshape(&mut self, step: &Step) {
        let group = |node: NodeIndex| self.plan.topology.node(node).group;
        let ends = |from, to| (group(from), group(to));
        match step {
            Step::Degrade { links, .. } => {
                for (from, to, params) in links {
                    self.topology.links.insert(ends(*from, *to), params.clone());
                    self.topology.links.get_mut(&ends(*from, *to)).into_iter().for_each(with_header);
                }
            }
            Step::Heal { pairs, .. } => {
                for (from, to) in pairs {
                    let ends = ends(*from, *to);
                    self.topology.links.insert(ends, self.plan.topology.links[&ends].clone());
                    self.topology.links.get_mut(&ends).into_iter().for_each(with_header);
                }
            }
            _ => {}
        }
    }

    /// What is on its way between nodes that are apart now is lost, and comes again when they are joined.
    fn lose_in_flight(&mut self) {
        let lost = |event: &Event| match event {
            Event::Deliver(node, op) => (!self.reaches(self.plan.operations[*op].node, *node)).then_some((*node, *op)),
            _ => None,
        };
        let lost: Vec<_> = self.queue.iter().filter_map(|(key, event)| Some((*key, lost(event)?))).collect();
        for (key, parked) in lost {
            self.queue.remove(&key);
            self.parked.push(parked);
        }
    }

    fn operation(&mut self, now: SimTime, op: usize) {
        let planned = &self.plan.operations[op];
        let key = planned.action.key();
        let held = self.replicas[planned.node.index()].get(key).cloned().flatten();
        let running = self.running.contains(&planned.node);
        if self.paused.contains(&planned.node) {
            // It does not answer in time, and then it has not happened.
            let slot = self.record.begin(planned, now);
            return self.record.finish(slot, now, Outcome::Unknown);
        }
        if !running || (held.is_none() && matches!(planned.action, Action::Edit { .. })) {
            return self.record.skip(planned, now);
        }
        let slot = self.record.begin(planned, now);
        if let (Action::Edit { edit, .. }, Some(held)) = (&planned.action, &held) {
            let read = held.to_string();
            self.record.reading(slot, &read);
            self.record.writing(slot, &apply_edit(&read, edit).unwrap());
        }
        self.record.finish(slot, now, Outcome::Ok);
        self.apply(now, planned.node, op);
        if let Action::Edit { .. } = planned.action {
            let left = self.replicas[planned.node.index()].get(key).cloned().flatten();
            self.causes.extend(left.map(|left| (op, left)));
        }
        let others = self.plan.topology.nodes.iter().filter(|node| node.index != planned.node && node.wants(key));
        for node in others.map(|node| node.index).collect::<Vec<_>>() {
            match self.delay(planned.node, node) {
                Some(delay) if self.reaches(planned.node, node) => {
                    self.push(now + delay + Duration::from_millis(2), Event::Deliver(node, op));
                }
                _ => self.parked.push((node, op)),
            }
        }
    }

    fn apply(&mut self, now: SimTime, node: NodeIndex, op: usize) {
        let action = &self.plan.operations[op].action;
        let key = action.key();
        let before = self.replicas[node.index()].get(key).cloned();
        // What overtook this on a shorter way stays.
        let stale = |new: BTreeMap<String, u64>| {
            let held = before.iter().flatten().next().map(registers_of).unwrap_or_default();
            new.iter().any(|(register, counter)| held.get(register).is_some_and(|held| held > counter))
        };
        match action {
            Action::Put { json, .. } | Action::Report { json: Some(json), .. } if stale(registers(json)) => return,
            Action::Edit { edit, .. } if stale(edit.registers()) => return,
            _ => {}
        }
        let after = match (action, &before) {
            (_, Some(None)) | (Action::Delete { .. } | Action::Report { json: None, .. }, _) => None,
            (Action::Put { json, .. } | Action::Report { json: Some(json), .. }, _) => {
                Some(serde_json::from_str(json).unwrap())
            }
            (Action::Edit { .. }, None) => return,
            (Action::Edit { edit, .. }, Some(Some(held))) => {
                let mut merged: Value = serde_json::from_str(&apply_edit(&held.to_string(), edit).unwrap()).unwrap();
                if let Some(cause) = self.causes.get(&op) {
                    catch_up(&mut merged, cause);
                }
                let by = merged["by"].as_object_mut().unwrap();
                by.sort_keys();
                merged["entries"].as_array_mut().unwrap().sort_by_key(|entry| entry["author"].to_string());
                Some(merged)
            }
        };
        let had = before.clone().flatten();
        if had.is_some() || after.is_some() {
            let text = after.as_ref().map(Value::to_string);
            self.record.see(now, node, &key.collection, &key.id, text.as_deref());
        }
        self.replicas[node.index()].insert(key.clone(), after);
    }

    fn step(&mut self, now: SimTime, step: &Step) {
        let fault = step.fault();
        let class = self.plan.faults[fault.index()].class;
        self.network.apply(now, step);
        drop(self.network.take_released());
        match step {
            Step::LinksDown { pairs, .. } | Step::Reset { pairs, .. } | Step::Clog { pairs, .. } => {
                drop(self.cuts.insert(fault.0, pairs.clone()));
            }
            Step::Heal { .. } => drop(self.cuts.remove(&fault.0)),
            Step::Crash { node, .. } => drop(self.running.remove(node)),
            Step::Trouble { node, .. } if class.stops() => drop(self.running.remove(node)),
            Step::Trouble { node, .. } if class == FaultClass::Pause => drop(self.paused.insert(*node)),
            Step::Recover { node, .. } => drop(self.paused.remove(node)),
            Step::Restart { node, .. } => drop(self.running.insert(*node)),
            Step::DialCut { .. } | Step::Degrade { .. } | Step::Trouble { .. } => {}
        }
        self.reshape(step);
        self.regroup();
        if matches!(step, Step::LinksDown { .. }) {
            self.lose_in_flight();
        }
        let counters = self.network.counters(&self.plan.faults[fault.index()].pairs);
        if step.begins() {
            self.record.fault_applied(fault, now, counters);
            // A perfect world: what its faults ought to meet is there.
            let network = self.network.effect(fault);
            let effect = self.record.effect(fault);
            effect.add(&network);
            match class {
                FaultClass::Cut | FaultClass::Degrade | FaultClass::Crash => {}
                FaultClass::Reset => effect.sessions_reset = 2,
                FaultClass::Clog | FaultClass::Pause => effect.datagrams_held = 1,
                FaultClass::DialCut => effect.datagrams_blocked = 1,
                FaultClass::Bloat => effect.queue_wait = secs(1),
                FaultClass::TornWrite => effect.bytes_torn = 512,
                FaultClass::UnsyncedLoss | FaultClass::DataLoss => effect.bytes_lost = 512,
                FaultClass::DiskFull => effect.writes_refused = 1,
                FaultClass::DiskSlow => effect.syncs_delayed = 1,
                FaultClass::ReadError => effect.reads_refused = 1,
                FaultClass::Clock => effect.clock_readings = 1,
            }
        } else {
            self.record.fault_healed(fault, now, counters);
        }
        match step {
            Step::LinksDown { pairs, .. } | Step::Reset { pairs, .. } | Step::Clog { pairs, .. } => {
                for (a, b) in self.sessions.clone() {
                    if pairs.contains(&(a, b)) || pairs.contains(&(b, a)) {
                        self.push(now + IDLE, Event::Session(a, b, false));
                    }
                }
            }
            Step::Heal { .. } | Step::Recover { .. } => {
                self.recover(now, REDIAL);
            }
            Step::Crash { node, .. } | Step::Trouble { node, .. } if class.stops() => {
                self.record.life(now, *node, Life::Crashed);
                if class == FaultClass::DataLoss {
                    self.replicas[node.index()].clear();
                }
                for (a, b) in self.sessions.clone() {
                    if a == *node || b == *node {
                        self.push(now + IDLE, Event::Session(a, b, false));
                    }
                }
            }
            Step::Restart { node, .. } => {
                self.record.life(now, *node, Life::Restarted);
                let held = self.replicas[node.index()].clone();
                let docs: BTreeMap<DocKey, Arc<str>> =
                    held.into_iter().filter_map(|(key, doc)| Some((key, doc?.to_string().into()))).collect();
                for (key, text) in &docs {
                    self.record.see(now, *node, &key.collection, &key.id, Some(text));
                }
                self.record.restart_snapshots.push(RestartSnapshot { node: *node, at: now, docs });
                self.recover(now, REDIAL);
                if class == FaultClass::DataLoss {
                    self.push(now + REDIAL + secs(2), Event::Rejoin(*node));
                }
            }
            _ => {}
        }
    }

    fn finish(mut self) -> RunRecord {
        for node in &self.plan.topology.nodes {
            let docs = self.replicas[node.index.index()].iter().map(|(key, doc)| {
                let json: Option<Arc<str>> = doc.as_ref().map(|doc| doc.to_string().into());
                let heads = Some(format!("{:08x}", json.as_deref().unwrap_or("gone").len()));
                (key.clone(), FinalDoc { json, heads })
            });
            self.record.finals.push(ReplicaState {
                node: node.index,
                running: self.running.contains(&node.index),
                docs: docs.collect(),
            });
        }
        self.record.trace_hash = Some("3f9a6c0e5b1d".to_owned());
        self.record.wall = Duration::from_millis(3_210);
        self.record
    }
}
