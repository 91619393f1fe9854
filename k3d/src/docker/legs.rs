//! Blackouts as people mean them: the plug is pulled.
//!
//! When a cut leaves a node no link at all, the emulator is taken off the node's network besides; when the first of its links comes back, it is
//! put on again. The emulator cuts its links all the same: it is what counts the datagrams that do not pass, and it shapes those
//! that pass later. The runner, which is on the machine of the engine, still reaches the node's API.

use std::collections::{BTreeMap, BTreeSet};

use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use testcontainers::bollard::Docker;

use super::engine;
use super::places::{Nets, network};
use crate::edge::switchboard::Aside;
use crate::ground::GroundError;

/// Which directions are cut, and by what. Without an engine in it: what it decides is tested.
#[derive(Debug, Default)]
pub struct Cuts {
    /// Faults that hold each direction.
    held: BTreeMap<(NodeIndex, NodeIndex), BTreeSet<FaultIndex>>,
    /// Nodes without a plug.
    unplugged: BTreeSet<NodeIndex>,
}

/// What is to be done with plugs.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plugs {
    /// Nodes that have no link left.
    pub pull: Vec<NodeIndex>,
    /// Nodes that have one again.
    pub push: Vec<NodeIndex>,
}

impl Cuts {
    /// A step of the timeline is done.
    pub fn change(&mut self, topology: &Topology, step: &Step) -> Plugs {
        let pairs = match step {
            Step::LinksDown { fault, pairs } => {
                for pair in pairs {
                    self.held.entry(*pair).or_default().insert(*fault);
                }
                pairs
            }
            Step::Heal { fault, pairs } => {
                for pair in pairs {
                    if let Some(faults) = self.held.get_mut(pair) {
                        faults.remove(fault);
                    }
                }
                pairs
            }
            _ => return Plugs::default(),
        };
        let mut plugs = Plugs::default();
        for node in pairs.iter().flat_map(|&(from, to)| [from, to]).collect::<BTreeSet<_>>() {
            match (self.is_cut_off(topology, node), self.unplugged.contains(&node)) {
                (true, false) => {
                    self.unplugged.insert(node);
                    plugs.pull.push(node);
                }
                (false, true) => {
                    self.unplugged.remove(&node);
                    plugs.push.push(node);
                }
                _ => {}
            }
        }
        plugs
    }

    fn is_cut_off(&self, topology: &Topology, node: NodeIndex) -> bool {
        let held = |pair: &(NodeIndex, NodeIndex)| self.held.get(pair).is_some_and(|faults| !faults.is_empty());
        let others =
            topology.nodes.iter().map(|other| other.index).filter(|other| topology.link(node, *other).is_some());
        let mut ways = others.flat_map(|other| [(node, other), (other, node)]).peekable();
        ways.peek().is_some() && ways.all(|pair| held(&pair))
    }
}

/// The emulator's legs in the networks of the nodes.
pub struct Legs {
    pub docker: Docker,
    pub run: String,
    pub emulator: String,
    pub nets: Nets,
    pub topology: Topology,
    pub cuts: Cuts,
}

impl Aside for Legs {
    async fn change(&mut self, step: &Step) -> Result<(), GroundError> {
        let Plugs { pull, push } = self.cuts.change(&self.topology, step);
        for node in pull {
            engine::disconnect(&self.docker, &network(&self.run, self.topology.name(node)), &self.emulator).await?;
        }
        for node in push {
            let name = network(&self.run, self.topology.name(node));
            engine::connect(&self.docker, &name, &self.emulator, self.nets.node(node)).await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peat_scenarios::Scenario;
    use peat_scenarios::model::{LinkSpec, Workload};
    use peat_scenarios::plan::expand;
    use peat_scenarios::profiles::Profile;

    use super::*;

    /// One node in the middle, linked with one on each side.
    fn line() -> Topology {
        let scenario = Scenario::builder("line")
            .purpose("three places in a row")
            .duration(Duration::from_secs(60))
            .cluster("all", |cluster| cluster.group("a", 1).group("b", 1).group("c", 1))
            .link(LinkSpec::new("a", "b", Profile::Wan))
            .link(LinkSpec::new("b", "c", Profile::Wan))
            .workload(Workload::heartbeat(["a"], Duration::from_secs(30)))
            .build()
            .unwrap();
        expand(&scenario, 1).topology
    }

    #[test]
    fn a_plug_is_pulled_with_the_last_link_and_pushed_with_the_first() {
        let topology = line();
        let [a, b, c] = [0, 1, 2].map(NodeIndex);
        let both = |x, y| vec![(x, y), (y, x)];
        let down = |fault, pairs| Step::LinksDown { fault: FaultIndex(fault), pairs };
        let heal = |fault, pairs| Step::Heal { fault: FaultIndex(fault), pairs };
        let mut cuts = Cuts::default();
        let plugs = |pull: &[NodeIndex], push: &[NodeIndex]| Plugs { pull: pull.to_vec(), push: push.to_vec() };
        // One way is not all ways.
        assert_eq!(cuts.change(&topology, &down(0, vec![(a, b)])), plugs(&[], &[]));
        // The end of the line has no other link; the middle has.
        assert_eq!(cuts.change(&topology, &down(1, both(a, b))), plugs(&[a], &[]));
        assert_eq!(cuts.change(&topology, &down(2, both(b, c))), plugs(&[b, c], &[]));
        // Of a link that two faults hold, one lets go: the other direction is open, and that is a link.
        assert_eq!(cuts.change(&topology, &heal(1, both(a, b))), plugs(&[], &[a, b]));
        assert_eq!(cuts.change(&topology, &heal(2, both(b, c))), plugs(&[], &[c]));
        assert_eq!(cuts.change(&topology, &heal(0, vec![(a, b)])), plugs(&[], &[]));
    }

    #[test]
    fn what_only_slows_a_link_pulls_nothing() {
        let topology = line();
        let links = vec![(NodeIndex(0), NodeIndex(1), Profile::HfRadio.params())];
        let step = Step::Degrade { fault: FaultIndex(0), links };
        assert_eq!(Cuts::default().change(&topology, &step), Plugs::default());
    }
}
