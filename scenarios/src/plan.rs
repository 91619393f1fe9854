//! The deterministic expansion of a scenario: who the nodes are, which links join them, who writes
//! what when, and which fault steps happen on which trigger.
//!
//! [`expand`] is a function of scenario and seed alone. Every world executes the same plan; what a
//! world adds is only *how* a step is done.

mod document;
mod expand;
mod schedule;
#[cfg(test)]
mod tests;
mod timeline;
mod topology;
mod workload;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

#[cfg(test)]
pub(crate) use document::registers_of;
pub use document::{EditError, apply_edit, registers};
pub use expand::expand;
pub use schedule::Schedule;
pub use topology::{GroupSpec, NodeSpec, Topology};
pub(crate) use workload::{AGENT_COLLECTION, burst_id, estimate};

use crate::model::Trouble;
use crate::physics::LinkParams;
use crate::time::SimTime;

/// Position of a node in declaration order over the whole scenario, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NodeIndex(pub u32);

impl NodeIndex {
    /// As an index into [`Topology::nodes`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Position of a fault in the compiled timeline, from 0; repetitions of a flapping fault count each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FaultIndex(pub u32);

impl FaultIndex {
    /// As an index into [`Plan::faults`].
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Identity of an operation within a run: its position in [`Plan::operations`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// Names one document.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DocKey {
    /// The collection.
    pub collection: Arc<str>,
    /// The document's id within the collection.
    pub id: Arc<str>,
}

impl DocKey {
    /// The key of `collection`/`id`.
    pub fn new(collection: &str, id: &str) -> Self {
        DocKey { collection: collection.into(), id: id.into() }
    }
}

impl std::fmt::Display for DocKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&format!("{}/{}", self.collection, self.id))
    }
}

/// Everything a world needs to run a scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Name of the scenario.
    pub name: String,
    /// The seed that the plan was expanded with; the world derives its own randomness from it too.
    pub seed: u64,
    /// The run ends here, and final states are taken.
    pub duration: SimTime,
    /// From here on nothing is written: the time left for the last convergence.
    pub writes_end: SimTime,
    /// Nodes and links.
    pub topology: Topology,
    /// What the applications do, sorted by time, then by id.
    pub operations: Vec<PlannedOp>,
    /// What happens to links and nodes, in the order in which it was declared. Run it with
    /// [`Schedule`].
    pub timeline: Vec<TimedStep>,
    /// The faults that the steps refer to.
    pub faults: Vec<FaultSpec>,
    /// Nodes that watch an agent.
    pub agents: Agents,
}

/// Nodes that watch an agent, and when that does not answer. What it has is in the operations: every
/// [`Action::Report`] up to a moment.
pub type Agents = BTreeMap<NodeIndex, Vec<(SimTime, SimTime)>>;

/// One operation of an application against its own node.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedOp {
    /// When it is issued.
    pub at: SimTime,
    /// The node it is issued at.
    pub node: NodeIndex,
    /// Its identity.
    pub op: OpId,
    /// What it does.
    pub action: Action,
}

/// What an operation does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// PutDocument of a whole document of which this node is the only author.
    Put {
        /// The document.
        key: DocKey,
        /// A JSON object.
        json: Arc<str>,
    },
    /// GetDocument, [`apply_edit`], PutDocument. Not found: the world records `Skipped`.
    Edit {
        /// The document.
        key: DocKey,
        /// What changes in it.
        edit: Edit,
    },
    /// DeleteDocument.
    Delete {
        /// The document.
        key: DocKey,
    },
    /// The agent that the node watches has a package in this version from now on, or no longer. Done when the node
    /// shows it. See [`Agents`].
    Report {
        /// The document that the package stands for.
        key: DocKey,
        /// What the node makes of the package; `None`: it is gone.
        json: Option<Arc<str>>,
    },
}

impl Action {
    /// The document it is about.
    pub fn key(&self) -> &DocKey {
        match self {
            Action::Put { key, .. }
            | Action::Edit { key, .. }
            | Action::Delete { key }
            | Action::Report { key, .. } => key,
        }
    }
}

/// A change of the part of a shared document that belongs to one author.
///
/// The author sets `by.<author>` to `{"counter": n, "at_ms": t}` and, in the list `entries`, keeps
/// one element of its own, `{"author": …, "counter": n}`, which it appends the first time and edits
/// in place later. Authors never touch each other's part, so after any interleaving of concurrent
/// edits every author's latest counter must survive: a lost update is visible as a lower counter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// The node's name.
    pub author: Arc<str>,
    /// Rises by one with each edit of this document by this author, from 1.
    pub counter: u64,
    /// When it was planned, as content.
    pub at: SimTime,
}

/// What starts a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// A moment.
    At(SimTime),
    /// `after` has passed since all running nodes were first seen to hold the same documents once
    /// every step declared before this one was done.
    Converged {
        /// How long after.
        after: Duration,
    },
    /// `after` has passed since so many writes were acknowledged, counted from the start of the run.
    Writes {
        /// How many.
        count: u64,
        /// Only those of the nodes of this group, by position.
        of: Option<u32>,
        /// How long after.
        after: Duration,
    },
    /// `after` has passed since the first session that came up once every step declared before this one was done.
    Session {
        /// Groups, by position, in each of which it has an end: none (any session), one or two.
        of: [Option<u32>; 2],
        /// How long after.
        after: Duration,
    },
    /// `after` has passed since the fault was applied.
    AfterFault {
        /// The fault.
        fault: FaultIndex,
        /// How long after.
        after: Duration,
    },
}

/// A step and what starts it.
#[derive(Debug, Clone, PartialEq)]
pub struct TimedStep {
    /// What starts it.
    pub trigger: Trigger,
    /// What is done.
    pub step: Step,
}

/// What is done to links and nodes. Pairs are ordered: from, to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// The links carry nothing, and lose what is in flight.
    LinksDown {
        /// The fault that begins.
        fault: FaultIndex,
        /// The directions it cuts.
        pairs: Vec<(NodeIndex, NodeIndex)>,
    },
    /// The same, and both ends of every session over these links are told at once.
    Reset {
        /// The fault that begins.
        fault: FaultIndex,
        /// The directions it cuts.
        pairs: Vec<(NodeIndex, NodeIndex)>,
    },
    /// The links hold what they are given until the heal, and let it go in a burst.
    Clog {
        /// The fault that begins.
        fault: FaultIndex,
        /// The directions it clogs.
        pairs: Vec<(NodeIndex, NodeIndex)>,
    },
    /// The links carry no datagram that opens a connection.
    DialCut {
        /// The fault that begins.
        fault: FaultIndex,
        /// The directions.
        pairs: Vec<(NodeIndex, NodeIndex)>,
    },
    /// The links get other parameters.
    Degrade {
        /// The fault that begins.
        fault: FaultIndex,
        /// The directions it degrades and what each becomes.
        links: Vec<(NodeIndex, NodeIndex, LinkParams)>,
    },
    /// A cut or degradation ends. Another fault may still hold the same link.
    Heal {
        /// The fault that ends.
        fault: FaultIndex,
        /// The directions it held.
        pairs: Vec<(NodeIndex, NodeIndex)>,
    },
    /// The node loses everything but what its disk has synced, without a farewell.
    Crash {
        /// The fault that begins.
        fault: FaultIndex,
        /// The node.
        node: NodeIndex,
    },
    /// Something else happens to the node.
    Trouble {
        /// The fault that begins.
        fault: FaultIndex,
        /// The node.
        node: NodeIndex,
        /// What; not [`Trouble::Crash`].
        trouble: Trouble,
    },
    /// What ails the node is over, without a restart.
    Recover {
        /// The fault that ends.
        fault: FaultIndex,
        /// The node.
        node: NodeIndex,
    },
    /// The node starts again on what its disk kept.
    Restart {
        /// The crash that ends.
        fault: FaultIndex,
        /// The node.
        node: NodeIndex,
    },
}

impl Step {
    /// The fault that the step begins or ends.
    pub fn fault(&self) -> FaultIndex {
        match self {
            Step::LinksDown { fault, .. }
            | Step::Reset { fault, .. }
            | Step::Clog { fault, .. }
            | Step::DialCut { fault, .. }
            | Step::Degrade { fault, .. }
            | Step::Heal { fault, .. }
            | Step::Crash { fault, .. }
            | Step::Trouble { fault, .. }
            | Step::Recover { fault, .. }
            | Step::Restart { fault, .. } => *fault,
        }
    }

    /// True for a step that begins a fault, false for one that ends it.
    pub fn begins(&self) -> bool {
        !matches!(self, Step::Heal { .. } | Step::Recover { .. } | Step::Restart { .. })
    }
}

/// A fault of the compiled timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FaultSpec {
    /// Its id in the scenario, `#n` appended for the n-th repetition of a flapping fault, or the n-th part of a
    /// composite one.
    pub name: String,
    /// The composite fault that it is a part of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub family: Option<String>,
    /// What it is.
    pub class: FaultClass,
    /// For people: `partition alpha-edge | bravo-edge`.
    pub description: String,
    /// The directions it touches.
    pub pairs: Vec<(NodeIndex, NodeIndex)>,
    /// The node it happens to.
    pub node: Option<NodeIndex>,
    /// What each of `pairs` becomes while it is degraded, in the same order; empty for other faults.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub becomes: Vec<LinkParams>,
}

/// What a fault does, as far as checks must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum FaultClass {
    /// Cuts links: partition, one-way cut, blackout.
    Cut,
    /// Cuts links, and tells both ends of every session.
    Reset,
    /// Holds what links are given.
    Clog,
    /// Keeps connections from being opened.
    DialCut,
    /// Changes links.
    Degrade,
    /// Makes links narrow, with a deep queue.
    Bloat,
    /// Stops a node.
    Crash,
    /// Stops a node in the middle of a sync, of which parts arrive.
    TornWrite,
    /// Stops a node in the middle of a sync, of which nothing arrives.
    UnsyncedLoss,
    /// Stops a node and empties its disk.
    DataLoss,
    /// Keeps a node from running.
    Pause,
    /// Keeps a disk from being written.
    DiskFull,
    /// Makes a disk slow.
    DiskSlow,
    /// Keeps a disk from being read.
    ReadError,
    /// Puts a node's calendar out.
    Clock,
}

impl FaultClass {
    /// True when nothing passes the links of the fault until it heals.
    pub const fn cuts(self) -> bool {
        matches!(self, FaultClass::Cut | FaultClass::Reset | FaultClass::Clog)
    }

    /// True when its node is down until it restarts.
    pub const fn stops(self) -> bool {
        matches!(self, FaultClass::Crash | FaultClass::TornWrite | FaultClass::UnsyncedLoss | FaultClass::DataLoss)
    }
}
