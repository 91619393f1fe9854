//! Who the nodes are and which links join them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::NodeIndex;
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
    /// Link parameters by unordered group pair (smaller position first), the same both ways.
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
        self.links.get(&(a.min(b), a.max(b)))
    }

    /// Unordered pairs of nodes that hold a session: one dials the other and a route exists.
    pub fn sessions(&self) -> Vec<(NodeIndex, NodeIndex)> {
        let mut pairs: Vec<_> = self
            .nodes
            .iter()
            .flat_map(|node| node.peers.iter().map(|&peer| (node.index.min(peer), node.index.max(peer))))
            .filter(|&(a, b)| self.link(a, b).is_some())
            .collect();
        pairs.sort_unstable();
        pairs.dedup();
        pairs
    }

    /// The least time, one way, that undisturbed links need from `origin` to every node, hopping
    /// only over sessions; `None` for a node that cannot be reached. Propagation only: jitter and
    /// serialisation are not counted.
    pub fn one_way_delays(&self, origin: NodeIndex) -> Vec<Option<Duration>> {
        let sessions = self.sessions();
        let mut best: Vec<Option<Duration>> = vec![None; self.nodes.len()];
        best[origin.index()] = Some(Duration::ZERO);
        // Bellman-Ford: the graphs are small and sparse, and it needs no priority queue.
        loop {
            let mut changed = false;
            for &(a, b) in &sessions {
                let Some(latency) = self.link(a, b).map(|link| link.latency) else {
                    continue;
                };
                for (from, to) in [(a, b), (b, a)] {
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
