//! A scenario as a person means it: TOML file or Rust builder, one to one.
//!
//! Both go through the same validation ([`Scenario::parse`], [`Builder::build`]), so a
//! [`Scenario`] in hand is one that can be run. Errors print like a compiler's.

mod builder;
mod error;
mod expect;
mod lower;
mod node;
mod raw;
#[cfg(test)]
mod tests;
mod units;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

pub use builder::{Builder, ClusterBuilder};
pub use error::{Diagnostic, Location, ScenarioError};
pub use expect::{Expect, LatencyLevel, RttBound};
pub(crate) use lower::{fault_kinds, peerings, workload_kinds};
pub use node::{Class, Discovery, KeptHistory, Selector};

use crate::physics::LinkParams;
use crate::profiles::Profile;

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
    /// How they find peers besides those that `peering` names.
    pub discovery: Discovery,
    /// The class of traffic of each collection that has not its usual one.
    pub classes: BTreeMap<String, Class>,
    /// How much history each collection keeps that does not keep all.
    pub history: BTreeMap<String, KeptHistory>,
}

/// The link between two groups, or inside one.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkSpec {
    /// The two groups; twice the same for the link inside it.
    pub between: (String, String),
    /// What it is like.
    pub shape: LinkShape,
    /// Who dials whom.
    pub peering: Peering,
}

/// A profile, and what differs from it.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LinkShape {
    /// The named link to start from; without one, a perfect link (or, in a `degrade` fault, the
    /// link as it is).
    pub profile: Option<Profile>,
    /// One way.
    pub latency: Option<Duration>,
    /// Extra, uniform, per datagram.
    pub jitter: Option<Duration>,
    /// Probability per datagram.
    pub loss: Option<f64>,
    /// Bits per second.
    pub bandwidth_bps: Option<u64>,
    /// Bytes.
    pub queue_bytes: Option<u64>,
}

impl LinkShape {
    /// Just a profile.
    pub fn profile(profile: Profile) -> Self {
        LinkShape { profile: Some(profile), ..LinkShape::default() }
    }

    /// The parameters that result; `base` stands in where no profile is named.
    pub fn params(&self, base: &LinkParams) -> LinkParams {
        let base = self.profile.map_or_else(|| base.clone(), Profile::params);
        LinkParams {
            latency: self.latency.unwrap_or(base.latency),
            jitter: self.jitter.unwrap_or(base.jitter),
            loss: self.loss.unwrap_or(base.loss),
            bandwidth_bps: self.bandwidth_bps.or(base.bandwidth_bps),
            queue_bytes: self.queue_bytes.unwrap_or(base.queue_bytes),
        }
    }
}

/// Which nodes of two linked groups are given which as `--peer`. The earlier declared node dials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peering {
    /// Every node with every node.
    Full,
    /// The first node of each group with the first of the other; inside a group, the first with
    /// every other (a star).
    Gateway,
    /// Each node with the one at the same position of the other group; inside a group, each with
    /// the next, and the last with the first.
    Ring,
    /// Nobody: there is a route, but no one uses it unasked.
    None,
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

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its id, unique; heals and workloads refer to it.
    pub id: String,
    /// When it happens.
    pub when: When,
    /// It ends by itself after this.
    pub lasts: Option<Duration>,
    /// It happens that many times, each `every` after the last.
    pub repeat: Option<Repeat>,
    /// What happens.
    pub kind: FaultKind,
}

/// Repetition of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Repeat {
    /// How many times in all.
    pub times: u32,
    /// From one beginning to the next.
    pub every: Duration,
}

/// When a fault happens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At a time.
    At(Duration),
    /// When all nodes are equal, once everything declared before has happened, and `after` that.
    Converged {
        /// How long after.
        after: Duration,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub enum FaultKind {
    /// Nothing passes between two groups.
    Partition {
        /// The groups.
        between: (String, String),
    },
    /// Nothing passes from one group to the other; the way back works.
    OneWayCut {
        /// Senders.
        from: String,
        /// Who no longer hears them.
        to: String,
    },
    /// A group loses its links to every other group.
    Blackout {
        /// The group.
        group: String,
    },
    /// The link becomes another one.
    Degrade {
        /// The groups.
        between: (String, String),
        /// What it becomes.
        shape: LinkShape,
    },
    /// A node stops without a farewell; only what its disk synced is left.
    Crash {
        /// The node.
        node: String,
    },
    /// A link fault ends. The entry's own id is `heal-<fault>`.
    Heal {
        /// The fault that ends.
        ends: String,
    },
    /// A crashed node starts again.
    Restart {
        /// The node.
        node: String,
    },
}

impl FaultKind {
    /// The word in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Partition { .. } => "partition",
            FaultKind::OneWayCut { .. } => "one-way-cut",
            FaultKind::Blackout { .. } => "blackout",
            FaultKind::Degrade { .. } => "degrade",
            FaultKind::Crash { .. } => "crash",
            FaultKind::Heal { .. } => "heal",
            FaultKind::Restart { .. } => "restart",
        }
    }

    /// False for `heal` and `restart`.
    pub fn begins(&self) -> bool {
        !matches!(self, FaultKind::Heal { .. } | FaultKind::Restart { .. })
    }
}

impl Scenario {
    /// Begins a scenario in Rust.
    pub fn builder(name: &str) -> Builder {
        Builder::new(name)
    }

    /// Reads and validates a file's text; `file` is only for messages.
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        lower::parse(file, text)
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
    /// The end is the duration for one that never heals; `None` for a fault on convergence.
    pub fn fault_windows(&self, id: &str) -> Option<Vec<(Duration, Duration)>> {
        lower::fault_windows(&self.faults, self.duration, id)
    }
}
