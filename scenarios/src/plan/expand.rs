//! The expansion itself.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use super::{GroupSpec, NodeIndex, NodeSpec, OpId, Plan, PlannedOp, Topology, timeline, workload};
use crate::model::{Direction, LinkSpec, Peering, Scenario};
use crate::profiles::Profile;
use crate::time::SimTime;

/// The plan of a scenario for a seed. Equal arguments give equal plans.
pub fn expand(scenario: &Scenario, seed: u64) -> Plan {
    let topology = topology(scenario);
    let agents = workload::agents(scenario, &topology);
    let (timeline, faults) = timeline::compile(scenario, &topology, seed);
    let mut drafts = workload::drafts(scenario, &topology, seed);
    // Stable: what falls on the same moment keeps the order of declaration.
    drafts.sort_by_key(|draft| draft.at);
    let operations = drafts
        .into_iter()
        .enumerate()
        .map(|(position, draft)| PlannedOp {
            at: draft.at,
            node: draft.node,
            op: OpId(position as u64),
            action: draft.action,
        })
        .collect();
    Plan {
        name: scenario.name.clone(),
        seed,
        duration: scenario.duration.into(),
        writes_end: (scenario.duration - scenario.settle).into(),
        topology,
        operations,
        timeline,
        faults,
        agents,
    }
}

pub(super) fn topology(scenario: &Scenario) -> Topology {
    let mut nodes = Vec::new();
    let mut groups = Vec::new();
    for (cluster, group) in scenario.groups() {
        for position in 0..group.count {
            nodes.push(NodeSpec {
                index: NodeIndex(nodes.len() as u32),
                name: format!("{}-{position}", group.name),
                group: groups.len() as u32,
                joins_at: group.joins_at.map_or(SimTime::ZERO, SimTime::from),
                peers: Vec::new(),
                interest: group.interest.clone(),
                formation: group.formation.clone().unwrap_or_default(),
                discovery: group.discovery,
                classes: group.classes.clone(),
                history: group.history.clone(),
            });
        }
        groups.push(GroupSpec { name: group.name.clone(), cluster: cluster.name.clone() });
    }
    let mut topology = Topology { nodes, groups, links: BTreeMap::new() };
    let position = |name: &str| {
        let found = scenario.groups().position(|(_, group)| group.name == name);
        found.expect("invariant: validation has resolved every group name") as u32
    };
    for link in &scenario.links {
        join(&mut topology, link, position(&link.between.0), position(&link.between.1));
    }
    for group in 0..topology.groups.len() as u32 {
        if let Entry::Vacant(inside) = topology.links.entry((group, group)) {
            inside.insert(Profile::Lan.params());
            peer(&mut topology, Peering::Full, group, group);
        }
    }
    for node in &mut topology.nodes {
        node.peers.sort_unstable();
        node.peers.dedup();
    }
    topology
}

fn join(topology: &mut Topology, link: &LinkSpec, a: u32, b: u32) {
    topology.links.insert((a, b), link.params(Direction::Forward));
    if a != b {
        topology.links.insert((b, a), link.params(Direction::Back));
    }
    peer(topology, link.peering, a.min(b), a.max(b));
}

/// The earlier node dials the later one, so no pair dials each other at the same moment.
fn peer(topology: &mut Topology, peering: Peering, a: u32, b: u32) {
    let left: Vec<NodeIndex> = topology.members(a).collect();
    let right: Vec<NodeIndex> = topology.members(b).collect();
    let mut dial = |from: NodeIndex, to: NodeIndex| {
        if from != to {
            topology.nodes[from.min(to).index()].peers.push(from.max(to));
        }
    };
    match peering {
        Peering::None => {}
        Peering::Full => {
            left.iter().for_each(|&from| right.iter().for_each(|&to| dial(from, to)));
        }
        Peering::Gateway if a == b => left.iter().for_each(|&to| dial(left[0], to)),
        Peering::Gateway => dial(left[0], right[0]),
        Peering::Ring if a == b => {
            (0..left.len()).for_each(|i| dial(left[i], left[(i + 1) % left.len()]));
        }
        Peering::Ring => {
            let longest = left.len().max(right.len());
            (0..longest).for_each(|i| dial(left[i % left.len()], right[i % right.len()]));
        }
    }
}
