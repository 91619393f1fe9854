//! What goes wrong: one entry of the timeline.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::LinkShape;

/// One entry of the timeline.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Its id, unique; heals and workloads refer to it.
    pub id: String,
    /// When it happens.
    pub when: When,
    /// What ends it.
    pub end: End,
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

/// What ends a fault. Every fault says so: one that is forgotten is not the same as one that is meant to last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Another entry: a `heal` or a `restart`. Also that of those entries themselves.
    Entry,
    /// It ends by itself after this.
    After(Duration),
    /// It is there at the end of the run.
    Never,
}

impl End {
    /// How long it lasts, if it ends by itself.
    pub fn after(self) -> Option<Duration> {
        match self {
            End::After(span) => Some(span),
            End::Entry | End::Never => None,
        }
    }
}

/// When a fault happens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum When {
    /// At a time.
    At(Duration),
    /// At a moment in between that the seed chooses.
    Within(Duration, Duration),
    /// `after` something.
    On {
        /// What.
        event: Event,
        /// How long after.
        after: Duration,
    },
}

/// What a fault may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// All nodes are equal, once everything declared before has happened.
    Converged,
    /// So many writes were acknowledged since the start of the run.
    Writes {
        /// How many.
        count: u64,
        /// Only those of this group's nodes.
        of: Option<String>,
    },
    /// A session opens, once everything declared before has happened.
    Session {
        /// One that has an end in each of these groups: none (any session), one or two.
        of: Vec<String>,
    },
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "a timeline has a handful of faults, and is read once")]
pub enum FaultKind {
    /// Nothing passes between two groups, and nobody is told.
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
    /// No connection can be opened between two groups; those that are open live.
    DialOnlyPartition {
        /// The groups.
        between: (String, String),
    },
    /// Nothing passes between two groups, and both ends of every session between them are told at once.
    Reset {
        /// The groups.
        between: (String, String),
    },
    /// What two groups send each other is held, and arrives in a burst at the heal.
    Clog {
        /// The groups.
        between: (String, String),
    },
    /// The link goes down for `down` of each `period`.
    Flap {
        /// The groups.
        between: (String, String),
        /// From one drop to the next.
        period: Duration,
        /// How long each lasts.
        down: Duration,
    },
    /// The link becomes another one.
    Degrade {
        /// The groups.
        between: (String, String),
        /// What it becomes, in both directions.
        shape: LinkShape,
        /// What differs from the first group to the second.
        forward: Option<Box<LinkShape>>,
        /// What differs from the second group to the first.
        back: Option<Box<LinkShape>>,
    },
    /// The link gets narrow, with a queue far too deep for that.
    Bufferbloat {
        /// The groups.
        between: (String, String),
        /// Bits per second.
        bandwidth_bps: u64,
        /// Bytes.
        queue_bytes: u64,
    },
    /// Something happens to one node.
    Node {
        /// The node.
        node: String,
        /// What.
        trouble: Trouble,
    },
    /// Several elementary faults under one name.
    Composite(Composite),
    /// A fault ends. The entry's own id is `heal-<fault>`.
    Heal {
        /// The fault that ends.
        ends: String,
    },
    /// A node that is down starts again.
    Restart {
        /// The node.
        node: String,
    },
}

/// What happens to one node.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Trouble {
    /// It stops without a farewell; only what its disk synced is left, and a random part of the rest.
    Crash,
    /// It stops in the middle of the next sync of its disk, which leaves writes half done.
    TornWrite,
    /// It stops in the middle of the next sync of its disk, of which nothing arrives.
    UnsyncedLoss,
    /// It stops, and starts again on an empty disk.
    DataLoss,
    /// It does not run, but is not gone: SIGSTOP.
    Pause,
    /// Nothing more can be written to its disk.
    DiskFull,
    /// Each sync of its disk takes longer.
    DiskSlow {
        /// By how much.
        sync: Duration,
    },
    /// Nothing can be read from its disk.
    ReadError,
    /// Its calendar is off.
    ClockJump {
        /// By how many milliseconds; negative: it is late.
        by_ms: i64,
    },
    /// Its calendar runs at another pace.
    ClockSkew {
        /// Seconds gained each second: 0.05 is 5 % fast, -0.05 slow.
        rate: f64,
    },
}

impl Trouble {
    /// The word in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Trouble::Crash => "crash",
            Trouble::TornWrite => "torn-write",
            Trouble::UnsyncedLoss => "unsynced-loss",
            Trouble::DataLoss => "data-loss",
            Trouble::Pause => "pause",
            Trouble::DiskFull => "disk-full",
            Trouble::DiskSlow { .. } => "disk-slow",
            Trouble::ReadError => "read-error",
            Trouble::ClockJump { .. } => "clock-jump",
            Trouble::ClockSkew { .. } => "clock-skew",
        }
    }

    /// True when the node is down afterwards, until it restarts.
    pub fn stops(self) -> bool {
        matches!(self, Trouble::Crash | Trouble::TornWrite | Trouble::UnsyncedLoss | Trouble::DataLoss)
    }

    /// True when a node that has it to the end can still be expected to hold what the others hold, or is not asked.
    pub(super) fn may_last(self) -> bool {
        !matches!(self, Trouble::Pause | Trouble::DiskFull | Trouble::ReadError)
    }
}

/// Several elementary faults under one name, from the seed. All of them end within `for`.
#[derive(Debug, Clone, PartialEq)]
pub enum Composite {
    /// Nodes of a group crash at random and come back.
    Churn {
        /// The group.
        group: String,
        /// Mean time between two crashes, over the group.
        every: Duration,
        /// How long each node is down.
        down: Duration,
    },
    /// Groups lose all their links one by one, and get them back in another order.
    RollingOutage {
        /// The groups.
        groups: Vec<String>,
    },
    /// A random part of the nodes lose all their links one by one, and get them back in another order.
    Swizzle {
        /// The groups that they are of.
        groups: Vec<String>,
        /// Which part, above 0, at most 1; at least two nodes.
        share: f64,
    },
    /// All sessions of a group end at once and for everyone, and all dial again when it is over.
    ReconnectStorm {
        /// The group.
        group: String,
    },
    /// A group has a link to one of its stops at a time.
    DataMule {
        /// The group that travels.
        mule: String,
        /// Where it calls, in turn.
        stops: Vec<String>,
        /// How long it stays.
        stay: Duration,
        /// How long it has no link in between.
        travel: Duration,
    },
    /// Islands that know nothing of each other join one after the other.
    IslandMerge {
        /// The groups of each, in the order in which they join.
        islands: Vec<Vec<String>>,
    },
}

impl Composite {
    /// The word in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            Composite::Churn { .. } => "churn",
            Composite::RollingOutage { .. } => "rolling-outage",
            Composite::Swizzle { .. } => "swizzle",
            Composite::ReconnectStorm { .. } => "reconnect-storm",
            Composite::DataMule { .. } => "data-mule",
            Composite::IslandMerge { .. } => "island-merge",
        }
    }
}

impl FaultKind {
    /// The word in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            FaultKind::Partition { .. } => "partition",
            FaultKind::OneWayCut { .. } => "one-way-cut",
            FaultKind::Blackout { .. } => "blackout",
            FaultKind::DialOnlyPartition { .. } => "dial-only-partition",
            FaultKind::Reset { .. } => "reset",
            FaultKind::Clog { .. } => "clog",
            FaultKind::Flap { .. } => "flap",
            FaultKind::Degrade { .. } => "degrade",
            FaultKind::Bufferbloat { .. } => "bufferbloat",
            FaultKind::Node { trouble, .. } => trouble.name(),
            FaultKind::Composite(composite) => composite.name(),
            FaultKind::Heal { .. } => "heal",
            FaultKind::Restart { .. } => "restart",
        }
    }

    /// False for `heal` and `restart`.
    pub fn begins(&self) -> bool {
        !matches!(self, FaultKind::Heal { .. } | FaultKind::Restart { .. })
    }

    /// True for what is expanded into several faults, whose ends follow from `for`.
    pub(super) fn is_composite(&self) -> bool {
        matches!(self, FaultKind::Composite(_) | FaultKind::Flap { .. })
    }

    /// The node that it takes down until a `restart`.
    pub(super) fn stopped_node(&self) -> Option<&str> {
        match self {
            FaultKind::Node { node, trouble } if trouble.stops() => Some(node),
            _ => None,
        }
    }

    /// May it be there at the end of the run?
    pub(super) fn may_last(&self) -> bool {
        match self {
            FaultKind::Degrade { .. } | FaultKind::Bufferbloat { .. } | FaultKind::DialOnlyPartition { .. } => true,
            FaultKind::Node { trouble, .. } => trouble.may_last(),
            _ => false,
        }
    }
}
