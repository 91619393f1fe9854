//! Who the nodes are and which links join them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{DocKey, NodeIndex};
use crate::model::{Class, Discovery, KeptHistory, Selector};
use crate::physics::LinkParams;
use crate::time::SimTime;

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeSpec {
    /// Its position.
    pub index: NodeIndex,
    /// `<group>-<index in group>`.
    pub name: String,
    /// Position of its group in [`Topology::groups`].
    pub group: u32,
    /// It starts, empty, at this moment; zero for all but late joiners.
    pub joins_at: SimTime,
    /// The nodes it is given as `--peer`: this side dials.
    pub peers: Vec<NodeIndex>,
    /// What it asks its peers for; empty: everything.
    pub interest: Vec<Selector>,
    /// The formation that it belongs to; empty: the one of all that name none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub formation: String,
    /// How it finds further peers.
    pub discovery: Discovery,
    /// The classes of collections that have not their usual one.
    pub classes: BTreeMap<String, Class>,
    /// How much history collections keep that do not keep all.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub history: BTreeMap<String, KeptHistory>,
}

impl NodeSpec {
    /// Does it ask its peers for this document?
    pub fn wants(&self, key: &DocKey) -> bool {
        self.interest.is_empty() || self.interest.iter().any(|selector| selector.selects(&key.collection, &key.id))
    }
}

/// One group of nodes.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupSpec {
    /// Its name, unique over the scenario.
    pub name: String,
    /// The cluster it runs in.
    pub cluster: String,
}

/// All nodes and links. Links are kept by group pair, so a thousand nodes cost a handful of entries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Topology {
    /// All nodes, in order of their index.
    pub nodes: Vec<NodeSpec>,
    /// All groups, in order of declaration.
    pub groups: Vec<GroupSpec>,
    /// Link parameters by ordered group pair: from, to.
    #[serde(with = "crate::record::entries")]
    pub links: BTreeMap<(u32, u32), LinkParams>,
}

impl Topology {
    /// The node at `index`.
    pub fn node(&self, index: NodeIndex) -> &NodeSpec {
        &self.nodes[index.index()]
    }

    /// The name of the node at `index`.
    pub fn name(&self, index: NodeIndex) -> &str {
        &self.node(index).name
    }

    /// The name of the group that a node is in.
    pub fn group_of(&self, index: NodeIndex) -> &str {
        &self.groups[self.node(index).group as usize].name
    }

    /// The cluster that a node is in.
    pub fn cluster_of(&self, index: NodeIndex) -> &str {
        &self.groups[self.node(index).group as usize].cluster
    }

    /// The node called `name`.
    pub fn find(&self, name: &str) -> Option<NodeIndex> {
        self.nodes.iter().find(|node| node.name == name).map(|node| node.index)
    }

    /// The nodes of a group, by the group's position.
    pub fn members(&self, group: u32) -> impl Iterator<Item = NodeIndex> + '_ {
        self.nodes.iter().filter(move |node| node.group == group).map(|node| node.index)
    }

    /// The undisturbed link from one node to another; `None` when there is no route, or for a node
    /// to itself.
    pub fn link(&self, from: NodeIndex, to: NodeIndex) -> Option<&LinkParams> {
        if from == to {
            return None;
        }
        let (a, b) = (self.node(from).group, self.node(to).group);
        self.links.get(&(a, b))
    }

    /// Do two nodes belong to one formation?
    pub fn allied(&self, a: NodeIndex, b: NodeIndex) -> bool {
        self.node(a).formation == self.node(b).formation
    }

    /// Must what `origin` writes to a document come to a node?
    pub fn is_due(&self, origin: NodeIndex, node: NodeIndex, key: &DocKey) -> bool {
        self.allied(origin, node) && self.node(node).wants(key)
    }

    /// Unordered pairs of nodes that hold a session: one dials the other, a route exists, and they are of one formation.
    pub fn sessions(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut pairs: Vec<_> = self
            .nodes
            .iter()
            .flat_map(|node| node.peers.iter().map(|&peer| (node.index.min(peer), node.index.max(peer))))
            .filter(|&(a, b)| self.link(a, b).is_some() && self.allied(a, b))
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// Unordered pairs of nodes that may find each other: both discover peers and a route exists.
    pub fn discoverable(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let seekers: Vec<NodeIndex> =
            self.nodes.iter().filter(|node| node.discovery != Discovery::None).map(|node| node.index).collect();
        let pairs = seekers.iter().enumerate().flat_map(|(n, &a)| seekers[n + 1..].iter().map(move |&b| (a, b)));
        pairs.filter(|&(a, b)| self.link(a, b).is_some() && self.allied(a, b)).collect()
    }

    /// The least time, one way, that undisturbed links need from `origin` to every node, hopping
    /// only over sessions; `None` for a node that cannot be reached. Propagation only: jitter and
    /// serialisation are not counted.
    pub fn one_way_delays(&self, origin: NodeIndex) -> Vec<Option<Duration>> {
        let mut sessions = self.sessions();
        sessions.extend(self.discoverable());
        self.one_way_delays_over(origin, &sessions)
    }

    /// The same where only these sessions are open.
    pub(crate) fn one_way_delays_over(
        &self,
        origin: NodeIndex,
        sessions: &[(NodeIndex, NodeIndex)],
    ) -> Vec<Option<Duration>> {
        let mut best: Vec<Option<Duration>> = vec![None; self.nodes.len()];
        best[origin.index()] = Some(Duration::ZERO);
        // Bellman-Ford: the graphs are small and sparse, and it needs no priority queue.
        loop {
            let mut changed = false;
            for &(a, b) in sessions {
                for (from, to) in [(a, b), (b, a)] {
                    let Some(latency) = self.link(from, to).map(LinkParams::least_latency) else {
                        continue;
                    };
                    if let Some(reached) = best[from.index()] {
                        let through = reached + latency;
                        if best[to.index()].is_none_or(|known| through < known) {
                            best[to.index()] = Some(through);
                            changed = true;
                        }
                    }
                }
            }
            if !changed {
                return best;
            }
        }
    }
}
