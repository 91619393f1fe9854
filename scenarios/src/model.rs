//! A scenario as a person means it: TOML file or Rust builder, one to one.
//!
//! Both go through the same validation ([`Scenario::parse`], [`Builder::build`]), so a
//! [`Scenario`] in hand is one that can be run. Errors print like a compiler's.

mod builder;
mod error;
mod expect;
mod fault;
mod link;
mod lower;
mod node;
mod raw;
mod scale;
#[cfg(test)]
mod tests;
mod units;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

pub use builder::{Builder, ClusterBuilder};
pub use error::{Diagnostic, Location, ScenarioError};
pub use expect::{Expect, LatencyLevel, RttBound};
pub use fault::{Composite, End, Event, Fault, FaultKind, Repeat, Trouble, When};
pub(crate) use link::directed;
pub use link::{Contact, Direction, LinkSchedule, LinkShape, LinkSpec, Peering, Trace};
pub(crate) use lower::{fault_kinds, peerings, workload_kinds};
pub use node::{Class, Discovery, KeptHistory, Selector};

/// A validated scenario.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// Its name: lower-case words joined by `-`.
    pub name: String,
    /// What it is there to show, in one line.
    pub purpose: String,
    /// Length of the run.
    pub duration: Duration,
    /// Time at the end without writes, in which the last convergence must happen.
    pub settle: Duration,
    /// The seed of a run that is given none.
    pub seed: u64,
    /// Clusters and their node groups, in order.
    pub clusters: Vec<Cluster>,
    /// Links between groups; a group that is not paired with itself has a `lan` inside.
    pub links: Vec<LinkSpec>,
    /// Who writes what.
    pub workloads: Vec<Workload>,
    /// What goes wrong, in order of declaration.
    pub faults: Vec<Fault>,
    /// Service levels. Safety is always checked.
    pub expect: Expect,
}

/// A cluster: a place that has node groups. In real worlds, one Kubernetes cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// Its name, unique.
    pub name: String,
    /// Its node groups.
    pub groups: Vec<Group>,
}

/// Nodes that are alike; they are called `<name>-0`, `<name>-1`, ….
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Its name, unique over the scenario.
    pub name: String,
    /// How many nodes.
    pub count: u32,
    /// They start only then, empty.
    pub joins_at: Option<Duration>,
    /// What they ask their peers for; empty: everything.
    pub interest: Vec<Selector>,
    /// The formation that they belong to; `None`: the one that every group is in that names none. Nodes of two formations
    /// may reach each other and must never exchange a document.
    pub formation: Option<String>,
    /// How they find peers besides those that `peering` names.
    pub discovery: Discovery,
    /// The class of traffic of each collection that has not its usual one.
    pub classes: BTreeMap<String, Class>,
    /// How much history each collection keeps that does not keep all.
    pub history: BTreeMap<String, KeptHistory>,
}

/// One workload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Workload {
    /// The groups whose nodes write.
    pub on: Vec<String>,
    /// When it begins.
    pub start: Duration,
    /// When it ends; `None`: when the settle time begins.
    pub until: Option<Duration>,
    /// It pauses except while this fault lasts. Creation of shared documents is not affected.
    pub only_during: Option<String>,
    /// What is written.
    pub kind: WorkloadKind,
}

/// What a workload writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum WorkloadKind {
    /// Every node rewrites `platforms/<node>`; nodes are phase-shifted against each other.
    Heartbeat {
        /// Spacing, per node.
        every: Duration,
    },
    /// Every node writes new documents.
    Put {
        /// Spacing, per node.
        every: Duration,
        /// Where.
        collection: String,
    },
    /// Every node edits its own part of shared documents in turn. The first node creates them at
    /// the start.
    Edit {
        /// Spacing, per node.
        every: Duration,
        /// Where.
        collection: String,
        /// How many documents are shared.
        documents: u32,
    },
    /// The first node creates documents at the start; the nodes delete them one by one in turn.
    Delete {
        /// Spacing of the deletes, over all nodes.
        every: Duration,
        /// Where.
        collection: String,
        /// How many documents.
        documents: u32,
        /// The first delete; `None`: with `only_during`, when that fault begins, else one spacing
        /// after the start.
        from: Option<Duration>,
        /// The first node of this group edits each document at the moment of its delete.
        contended_by: Option<String>,
    },
    /// Every node writes many documents of its own as fast as its node takes them, and all of them again for
    /// each further version.
    Burst {
        /// Where.
        collection: String,
        /// How many documents, per node.
        documents: u32,
        /// How often each is written.
        versions: u32,
        /// From the beginning of one version to the beginning of the next.
        every: Duration,
    },
    /// Every node sends commands to the nodes of a group, in turn; their ids begin with the target's name.
    Command {
        /// Spacing, per node.
        every: Duration,
        /// Where.
        collection: String,
        /// Whom the commands are for.
        to: String,
    },
    /// Every node watches an agent of its own, whose packages come, change and go in `deployments`.
    Agent {
        /// Spacing of the changes, per agent.
        every: Duration,
        /// How many packages each agent has.
        documents: u32,
        /// The agents do not answer during this time.
        away: Option<Away>,
    },
}

/// When agents do not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Since when.
    pub from: Duration,
    /// For how long.
    pub lasts: Duration,
}

impl Scenario {
    /// Begins a scenario in Rust.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Reads and validates a file's text; `file` is only for messages. A scenario that names trace files is refused:
    /// see [`Scenario::parse_with`].
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        lower::parse(file, text, &|_| Err("this scenario is read without its folder".to_owned()))
    }

    /// The same for a scenario beside which there are trace files. `files` gives the text of one by its path relative to
    /// the scenario's folder, or says why it cannot; at most [`crate::limits::TRACE_BYTES`] of it are accepted.
    pub fn parse_with(
        file: &str,
        text: &str,
        files: &dyn Fn(&str) -> Result<String, String>,
    ) -> Result<Scenario, ScenarioError> {
        lower::parse(file, text, files)
    }

    /// The scenario as a file that [`Scenario::parse`] reads back as the same scenario.
    pub fn to_toml(&self) -> String {
        write::to_toml(self)
    }

    /// All groups with their clusters, in order.
    pub fn groups(&self) -> impl Iterator<Item = (&Cluster, &Group)> {
        self.clusters.iter().flat_map(|cluster| cluster.groups.iter().map(move |group| (cluster, group)))
    }

    /// Number of nodes.
    pub fn nodes(&self) -> u32 {
        self.groups().map(|(_, group)| group.count).sum()
    }

    /// When a fault lasts, if its beginning and end are known without running: all repetitions.
    /// The end is the duration for one that never heals; `None` for one that waits for an event, or that the seed times.
    /// A composite fault has one window.
    pub fn fault_windows(&self, id: &str) -> Option<Vec<(Duration, Duration)>> {
        lower::fault_windows(&self.faults, self.duration, id)
    }
}
