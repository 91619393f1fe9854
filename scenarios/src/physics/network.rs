//! All links of a plan.

use std::collections::BTreeMap;

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use super::obstacle::{Obstacles, Pair, Passage};
use super::{DropCause, Fate, Link, LinkCounters};
use crate::plan::{FaultIndex, NodeIndex, Step, Topology};
use crate::record::FaultEffect;
use crate::time::SimTime;

/// Every link between the nodes of a topology, created when first used.
///
/// Each ordered pair has a random stream of its own, derived from the seed and the pair: what one
/// link draws never moves what another draws, so adding traffic in one place leaves the rest of a
/// replay alone.
#[derive(Debug, Clone)]
pub struct Network {
    topology: Topology,
    seed: u64,
    links: BTreeMap<(NodeIndex, NodeIndex), (Link, ChaCha8Rng)>,
    no_route: u64,
    obstacles: Obstacles,
    /// What a clog let go, until the world takes it.
    released: Vec<(Pair, Vec<u8>)>,
}

/// What becomes of a datagram that a node sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sent {
    /// The link had it.
    Offered(Fate),
    /// A clogged link keeps it; it comes back from [`Network::take_released`].
    Held,
}

impl Network {
    /// All links up and idle.
    pub fn new(topology: &Topology, seed: u64) -> Self {
        Network {
            topology: topology.clone(),
            seed,
            links: BTreeMap::new(),
            no_route: 0,
            obstacles: Obstacles::default(),
            released: Vec::new(),
        }
    }

    /// The link from one node to another; `None` when the scenario has no route between them.
    pub fn link(&mut self, from: NodeIndex, to: NodeIndex) -> Option<&mut Link> {
        self.entry(from, to).map(|(link, _)| link)
    }

    fn entry(&mut self, from: NodeIndex, to: NodeIndex) -> Option<&mut (Link, ChaCha8Rng)> {
        if !self.links.contains_key(&(from, to)) {
            let params = self.topology.link(from, to)?.clone();
            let mut key = [0u8; 32];
            key[..8].copy_from_slice(&self.seed.to_le_bytes());
            key[8..12].copy_from_slice(&from.0.to_le_bytes());
            key[12..16].copy_from_slice(&to.0.to_le_bytes());
            key[16..24].copy_from_slice(b"peatlink");
            self.links.insert((from, to), (Link::new(params), ChaCha8Rng::from_seed(key)));
        }
        self.links.get_mut(&(from, to))
    }

    /// What becomes of a datagram that a node sends at `now`: obstacles first, then the link.
    pub fn send(&mut self, now: SimTime, from: NodeIndex, to: NodeIndex, payload: &[u8]) -> Sent {
        match self.obstacles.meet((from, to), payload) {
            Passage::Open => {}
            Passage::Held => return Sent::Held,
            Passage::Refused => return Sent::Offered(Fate::Drop(DropCause::Down)),
        }
        if self.obstacles.watches_queue((from, to)) {
            let wait = self.link(from, to).map(|link| link.backlog(now)).unwrap_or_default();
            self.obstacles.queued((from, to), wait);
        }
        Sent::Offered(self.offer(now, from, to, payload.len()))
    }

    /// What clogs let go since it was last asked: the world offers it to the links ([`Network::offer`]) in this order.
    pub fn take_released(&mut self) -> Vec<((NodeIndex, NodeIndex), Vec<u8>)> {
        std::mem::take(&mut self.released)
    }

    /// What a fault did in front of the links.
    pub fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.obstacles.effect(fault)
    }

    /// What becomes of a datagram of `size` payload bytes sent at `now`. Without a route it is
    /// dropped as if the link were down, and counted in [`Network::no_route`].
    pub fn offer(&mut self, now: SimTime, from: NodeIndex, to: NodeIndex, size: usize) -> Fate {
        match self.entry(from, to) {
            Some((link, rng)) => link.offer(now, size, rng),
            None => {
                self.no_route += 1;
                Fate::Drop(DropCause::Down)
            }
        }
    }

    /// Asked at the moment of delivery; see [`Link::arrives`].
    pub fn arrives(&mut self, from: NodeIndex, to: NodeIndex, sent: SimTime) -> bool {
        self.link(from, to).is_some_and(|link| link.arrives(sent))
    }

    /// Applies what a step does to links; steps about nodes change nothing here.
    pub fn apply(&mut self, now: SimTime, step: &Step) {
        match step {
            Step::LinksDown { fault, pairs } | Step::Reset { fault, pairs } => {
                for &(from, to) in pairs {
                    if let Some(link) = self.link(from, to) {
                        link.cut(now, *fault);
                    }
                }
            }
            Step::Degrade { fault, links } => {
                for (from, to, params) in links {
                    if let Some(link) = self.link(*from, *to) {
                        link.degrade(*fault, params.clone());
                    }
                }
                let pairs: Vec<Pair> = links.iter().map(|(from, to, _)| (*from, *to)).collect();
                self.obstacles.bloat(*fault, &pairs);
            }
            Step::Clog { fault, pairs } => self.obstacles.clog(*fault, pairs),
            Step::DialCut { fault, pairs } => self.obstacles.cut_dials(*fault, pairs),
            Step::Heal { fault, pairs } => {
                for &(from, to) in pairs {
                    if let Some(link) = self.link(from, to) {
                        link.heal(*fault);
                    }
                }
                self.released.extend(self.obstacles.heal(*fault));
            }
            Step::Crash { .. } | Step::Trouble { .. } | Step::Recover { .. } | Step::Restart { .. } => {}
        }
    }

    /// Counts of the links between `pairs`, added up: for "did the fault bite".
    pub fn counters(&self, pairs: &[(NodeIndex, NodeIndex)]) -> LinkCounters {
        let mut sum = LinkCounters::default();
        for pair in pairs {
            if let Some((link, _)) = self.links.get(pair) {
                sum.add(link.counters());
            }
        }
        sum
    }

    /// Counts per ordered pair that was ever used.
    pub fn per_link(&self) -> impl Iterator<Item = ((NodeIndex, NodeIndex), &LinkCounters)> {
        self.links.iter().map(|(pair, (link, _))| (*pair, link.counters()))
    }

    /// Datagrams sent to a node that no link leads to.
    pub fn no_route(&self) -> u64 {
        self.no_route
    }
}
