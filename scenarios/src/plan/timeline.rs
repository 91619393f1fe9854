//! From the faults of a scenario to steps.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{FaultClass, FaultIndex, FaultSpec, NodeIndex, Step, TimedStep, Topology, Trigger};
use crate::model::{Fault, FaultKind, Scenario, When};

/// Steps in order of declaration, each automatic end right after its beginning, and their faults.
pub(super) fn compile(scenario: &Scenario, topology: &Topology) -> (Vec<TimedStep>, Vec<FaultSpec>) {
    let mut out = Compiled { topology, steps: Vec::new(), faults: Vec::new(), open: BTreeMap::new() };
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::Heal { ends } => out.end(ends, trigger(fault.when, Duration::ZERO)),
            FaultKind::Restart { node } => out.end(node, trigger(fault.when, Duration::ZERO)),
            _ => out.begin(fault),
        }
    }
    (out.steps, out.faults)
}

struct Compiled<'a> {
    topology: &'a Topology,
    steps: Vec<TimedStep>,
    faults: Vec<FaultSpec>,
    /// What a `heal` (fault id) or `restart` (node name) ends: the latest of that name.
    open: BTreeMap<String, FaultIndex>,
}

impl Compiled<'_> {
    fn begin(&mut self, fault: &Fault) {
        let times = fault.repeat.map_or(1, |repeat| repeat.times);
        for repetition in 0..times {
            let index = FaultIndex(self.faults.len() as u32);
            let shift = fault.repeat.map_or(Duration::ZERO, |repeat| repeat.every * repetition);
            let spec = self.spec(fault, (times > 1).then_some(repetition + 1));
            let step = self.beginning(fault, index, &spec);
            self.steps.push(TimedStep { trigger: trigger(fault.when, shift), step });
            self.open.insert(fault.id.clone(), index);
            if let FaultKind::Crash { node } = &fault.kind {
                self.open.insert(node.clone(), index);
            }
            self.faults.push(spec);
            if let Some(after) = fault.lasts {
                let step = self.ending(index);
                self.steps.push(TimedStep { trigger: Trigger::AfterFault { fault: index, after }, step });
            }
        }
    }

    fn end(&mut self, name: &str, trigger: Trigger) {
        let index = *self.open.get(name).expect("invariant: validation has matched every end to a beginning");
        let step = self.ending(index);
        self.steps.push(TimedStep { trigger, step });
    }

    fn ending(&self, fault: FaultIndex) -> Step {
        let spec = &self.faults[fault.index()];
        match spec.node {
            Some(node) => Step::Restart { fault, node },
            None => Step::Heal { fault, pairs: spec.pairs.clone() },
        }
    }

    fn beginning(&self, fault: &Fault, index: FaultIndex, spec: &FaultSpec) -> Step {
        match &fault.kind {
            FaultKind::Crash { node } => Step::Crash { fault: index, node: self.node(node) },
            FaultKind::Degrade { shape, .. } => {
                let links = spec
                    .pairs
                    .iter()
                    .filter_map(|&(from, to)| Some((from, to, shape.params(self.topology.link(from, to)?))));
                Step::Degrade { fault: index, links: links.collect() }
            }
            _ => Step::LinksDown { fault: index, pairs: spec.pairs.clone() },
        }
    }

    fn spec(&self, fault: &Fault, repetition: Option<u32>) -> FaultSpec {
        let (class, pairs, node, what) = match &fault.kind {
            FaultKind::Partition { between: (a, b) } => {
                (FaultClass::Cut, self.both_ways(a, b), None, format!("{a} | {b}"))
            }
            FaultKind::OneWayCut { from, to } => {
                (FaultClass::Cut, self.one_way(from, to), None, format!("{from} -/-> {to}"))
            }
            FaultKind::Blackout { group } => {
                let others = self.topology.groups.iter().filter(|other| other.name != *group);
                let pairs = others.flat_map(|other| self.both_ways(group, &other.name)).collect();
                (FaultClass::Cut, pairs, None, group.clone())
            }
            FaultKind::Degrade { between: (a, b), .. } => {
                (FaultClass::Degrade, self.both_ways(a, b), None, format!("{a} ~ {b}"))
            }
            FaultKind::Crash { node } => (FaultClass::Crash, Vec::new(), Some(self.node(node)), node.clone()),
            FaultKind::Heal { .. } | FaultKind::Restart { .. } => {
                unreachable!("invariant: ends are not compiled as beginnings")
            }
        };
        let name = match repetition {
            Some(repetition) => format!("{}#{repetition}", fault.id),
            None => fault.id.clone(),
        };
        let becomes = match &fault.kind {
            FaultKind::Degrade { shape, .. } => {
                let links = pairs.iter().filter_map(|&(from, to)| self.topology.link(from, to));
                links.map(|base| shape.params(base)).collect()
            }
            _ => Vec::new(),
        };
        FaultSpec { name, class, description: format!("{} {what}", fault.kind.name()), pairs, node, becomes }
    }

    fn one_way(&self, from: &str, to: &str) -> Vec<(NodeIndex, NodeIndex)> {
        let of = |name: &str| {
            let group = self.topology.groups.iter().position(|group| group.name == name);
            let group = group.expect("invariant: validation has resolved every group name");
            self.topology.members(group as u32).collect::<Vec<_>>()
        };
        let (senders, receivers) = (of(from), of(to));
        let pairs = senders.iter().flat_map(|&a| receivers.iter().map(move |&b| (a, b)));
        pairs.filter(|&(a, b)| self.topology.link(a, b).is_some()).collect()
    }

    fn both_ways(&self, a: &str, b: &str) -> Vec<(NodeIndex, NodeIndex)> {
        let mut pairs = self.one_way(a, b);
        if a != b {
            pairs.extend(self.one_way(b, a));
        }
        pairs
    }

    fn node(&self, name: &str) -> NodeIndex {
        self.topology.find(name).expect("invariant: validation has resolved every node name")
    }
}

fn trigger(when: When, shift: Duration) -> Trigger {
    match when {
        When::At(at) => Trigger::At((at + shift).into()),
        When::Converged { after } => Trigger::Converged { after: after + shift },
    }
}
