//! The emulator at the edge of a place: in a container or a pod of its own, told over TCP what to do.
//!
//! Where all nodes of a world are behind one edge, it shapes every link (world `docker`). With an edge for each place
//! (world `k3d`) **an edge shapes what leaves its place**; what enters was shaped where it left, and passes a perfect link:
//!
//! ```text
//!   a ──▶ [edge of alpha: port a→b] ─ physics of a→b ─▶ [edge of bravo: port b→a] ──▶ b
//! ```
//!
//! So each link has one owner, and a fault is told to the owner of each direction. An edge is an [`emulator`](crate::emulator)
//! like any other: between two edges it is the other edge that stands where a node would.
//!
//! The control connection carries one JSON object a line in each direction, [`Request`] and [`Answer`]; the first line is a token that
//! the runner has made. `docs/clusters.md` has the format.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use peat_scenarios::physics::{LinkCounters, LinkParams};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use serde::{Deserialize, Serialize};

/// What begins a link's ports: those of nodes behind the edge and those towards other edges.
pub const FIRST_PORT: u16 = 20_000;
/// Where an edge is told what to do.
pub const CONTROL_PORT: u16 = 7_700;

/// Ordered pairs of nodes.
pub type Pairs = Vec<(NodeIndex, NodeIndex)>;

/// The port of every edge that faces one node and stands for another. `nodes`: how many there are in the run.
pub fn port(faces: NodeIndex, stands_for: NodeIndex, nodes: u32) -> u16 {
    let offset = faces.0 * nodes + stands_for.0;
    FIRST_PORT + u16::try_from(offset).expect("invariant: worlds with edges admit few nodes")
}

/// What an edge is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum Request {
    /// Open the ports and let traffic through.
    Begin(Box<Beginning>),
    /// Change links.
    Order(Order),
    /// A node has another address now: it was started anew.
    Moved {
        /// The node.
        node: NodeIndex,
        /// Where it listens.
        to: SocketAddr,
    },
    /// How much went over these links.
    Counters {
        /// The directions, added up.
        pairs: Pairs,
    },
    /// What went wrong, and how far the emulator is behind its model.
    Health,
}

/// What an edge answers. Times are nanoseconds since it began.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Done, and when.
    Done {
        /// Nanoseconds since it began.
        at_ns: u64,
    },
    /// Counts.
    Counters {
        /// Nanoseconds since it began.
        at_ns: u64,
        /// The counts.
        counters: LinkCounters,
    },
    /// How it is.
    Health(Health),
    /// It cannot.
    Refused {
        /// Why.
        why: String,
    },
}

/// How an edge is.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Health {
    /// Nanoseconds since it began.
    pub at_ns: u64,
    /// What datagrams were late by, nanoseconds: the emulator's own error.
    pub late_p50_ns: u64,
    /// The same, 99th percentile.
    pub late_p99_ns: u64,
    /// Datagrams behind these figures.
    pub datagrams: u64,
    /// Datagrams from an address that nobody has.
    pub from_strangers: u64,
    /// Datagrams that the kernel did not take.
    pub not_taken: u64,
    /// Datagrams for which there was no room.
    pub overflows: u64,
}

/// With what an edge begins.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Beginning {
    /// Nodes, and the links as this edge applies them.
    pub topology: Topology,
    /// Everything random follows from it.
    pub seed: u64,
    /// Its ports.
    pub ports: Vec<PortSpec>,
}

/// A port of an edge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSpec {
    /// Who sends here, and is sent to from here.
    pub faces: NodeIndex,
    /// Whom it stands for.
    pub stands_for: NodeIndex,
    /// Where it listens.
    pub listen: SocketAddr,
    /// Where whoever it faces listens.
    pub node: SocketAddr,
    /// What it faces may come from another port and address than it listens at, because the way there translates addresses
    /// (pods behind a NodePort): it is answered where it was heard last.
    #[serde(default)]
    pub learns: bool,
}

/// What is done to the links of one edge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Order {
    /// The fault that begins or ends.
    pub fault: FaultIndex,
    /// What it does.
    #[serde(flatten)]
    pub change: Change,
}

/// A change of links.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "change")]
pub enum Change {
    /// They carry nothing.
    Cut {
        /// The directions.
        pairs: Pairs,
    },
    /// They hold what they are given.
    Clog {
        /// The directions.
        pairs: Pairs,
    },
    /// They become others.
    Degrade {
        /// The directions, and what each becomes.
        links: Vec<(NodeIndex, NodeIndex, LinkParams)>,
    },
    /// They are as they were.
    Heal {
        /// The directions.
        pairs: Pairs,
    },
}

impl Order {
    /// The part of a step that is about links that `mine` accepts; `None`: no part of it.
    pub fn of(step: &Step, mine: impl Fn(NodeIndex, NodeIndex) -> bool) -> Option<Order> {
        let own = |pairs: &Pairs| -> Option<Pairs> {
            let own: Pairs = pairs.iter().copied().filter(|&(from, to)| mine(from, to)).collect();
            (!own.is_empty()).then_some(own)
        };
        let change = match step {
            Step::LinksDown { pairs, .. } => Change::Cut { pairs: own(pairs)? },
            Step::Clog { pairs, .. } => Change::Clog { pairs: own(pairs)? },
            Step::Heal { pairs, .. } => Change::Heal { pairs: own(pairs)? },
            Step::Degrade { links, .. } => {
                let own: Vec<_> = links.iter().filter(|(from, to, _)| mine(*from, *to)).cloned().collect();
                if own.is_empty() {
                    return None;
                }
                Change::Degrade { links: own }
            }
            Step::Reset { .. }
            | Step::DialCut { .. }
            | Step::Crash { .. }
            | Step::Trouble { .. }
            | Step::Recover { .. }
            | Step::Restart { .. } => return None,
        };
        Some(Order { fault: step.fault(), change })
    }

    /// As the physics takes it.
    pub fn step(self) -> Step {
        let fault = self.fault;
        match self.change {
            Change::Cut { pairs } => Step::LinksDown { fault, pairs },
            Change::Clog { pairs } => Step::Clog { fault, pairs },
            Change::Degrade { links } => Step::Degrade { fault, links },
            Change::Heal { pairs } => Step::Heal { fault, pairs },
        }
    }

    /// How many directions it is about.
    pub fn directions(&self) -> usize {
        match &self.change {
            Change::Cut { pairs } | Change::Clog { pairs } | Change::Heal { pairs } => pairs.len(),
            Change::Degrade { links } => links.len(),
        }
    }

    /// What it does, in a word.
    pub fn verb(&self) -> &'static str {
        match self.change {
            Change::Cut { .. } => "cut",
            Change::Clog { .. } => "clog",
            Change::Degrade { .. } => "degrade",
            Change::Heal { .. } => "heal",
        }
    }
}

/// The links as the edge of `cluster` applies them: what leaves it as the scenario says, everything else perfect.
pub fn leaving(topology: &Topology, cluster: &str) -> Topology {
    let links = topology.links.iter().map(|(&(from, to), params)| {
        let leaves = topology.groups[from as usize].cluster == cluster && topology.groups[to as usize].cluster != cluster;
        ((from, to), if leaves { params.clone() } else { LinkParams::PERFECT })
    });
    Topology { links: links.collect::<BTreeMap<_, _>>(), ..topology.clone() }
}

/// How long a runner waits for an answer: an edge does nothing that takes long.
pub const ANSWER_LIMIT: Duration = Duration::from_secs(10);
