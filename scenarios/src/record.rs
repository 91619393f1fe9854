//! What a world writes down while it runs. Checks, figures and reports read nothing else, so a run
//! can be judged again from its JSON.
//!
//! A world fills a [`RunRecord`] through its methods ([`RunRecord::begin`], [`RunRecord::finish`],
//! [`RunRecord::see`], …): they intern texts, so that six replicas seeing the same version of a
//! document keep one copy of it.
//!
//! A record reads back from its JSON. What reads it must not trust it: [`RunRecord::verify`].

pub mod connectivity;
mod effect;
mod excused;
pub mod flights;
pub mod history;
mod intern;
mod precision;
mod serial;
pub mod transfer;
mod verify;
mod write;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use effect::FaultEffect;
pub use flights::{Flight, Flights};
pub use intern::Interner;
pub use precision::Precision;
pub(crate) use serial::entries;
pub use verify::RecordFault;

use crate::physics::LinkCounters;
use crate::plan::{DocKey, FaultIndex, FaultSpec, NodeIndex, OpId, Topology};
use crate::time::SimTime;

/// One run of one scenario in one world.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunRecord {
    /// What was run, where.
    pub meta: RunMeta,
    /// Nodes and links.
    pub topology: Topology,
    /// Every operation that was issued or skipped, in order of issue.
    pub operations: Vec<OpRecord>,
    /// What the Subscribe stream of every node (all collections) delivered, in order of time.
    pub visibility: Vec<Visible>,
    /// The faults of the plan and what became of each; same positions as [`crate::Plan::faults`].
    pub faults: Vec<FaultRecord>,
    /// Sessions that came up and went down, in order of time.
    pub sessions: Vec<SessionEvent>,
    /// Dials that began, in order of time; empty where a world cannot see them.
    pub dials: Vec<DialEvent>,
    /// Starts, crashes and restarts of nodes, in order of time.
    pub lives: Vec<LifeEvent>,
    /// What each restarted node held before it had spoken to anyone.
    pub restart_snapshots: Vec<RestartSnapshot>,
    /// Moments at which all running nodes were seen to hold the same documents, after having
    /// differed. A world may sample; the convergence *figures* come from `visibility`.
    pub convergences: Vec<SimTime>,
    /// How full the limited things in nodes were at most, by node and name; empty where a world cannot see it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gauges: Vec<HighMark>,
    /// What crossed the links.
    pub traffic: Traffic,
    /// The datagrams behind it, merged and bounded: for people who want to see them.
    #[serde(default)]
    pub flights: Flights,
    /// The state of every replica at the end.
    pub finals: Vec<ReplicaState>,
    /// Hash over every datagram and application event, where the world can promise one.
    pub trace_hash: Option<String>,
    /// Real time that the run took.
    #[serde(rename = "wall_ns", with = "crate::physics::nanos")]
    pub wall: Duration,
    /// The last log lines of each node, by node name; worlds keep them only for failures.
    pub logs: BTreeMap<String, Vec<String>>,
    /// Trouble of the world itself (a container died, an address was taken): the run says nothing
    /// about the nodes.
    pub infra_errors: Vec<String>,
    /// What passed between the nodes; `None` unless the world was asked for it, and in worlds that cannot see it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transfers: Option<transfer::Transfers>,
    /// How exactly the world measured; `None` in virtual time, which is exact.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<Precision>,
    #[serde(skip)]
    interner: Interner,
    /// Acknowledged writes by group, for what waits for them.
    #[serde(skip)]
    acknowledged: BTreeMap<u32, u64>,
    /// What each node counted as sent of each class, when it was asked last.
    #[serde(skip)]
    class_totals: BTreeMap<(NodeIndex, String), u64>,
}

/// What was run, where.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunMeta {
    /// Name of the scenario.
    pub scenario: String,
    /// What to type to name it again: a library name or a path.
    pub source: String,
    /// One line from the scenario.
    pub purpose: String,
    /// The seed.
    pub seed: u64,
    /// `sim`, `process`, `docker`, `k3d`.
    pub world: String,
    /// `fabric`, `turmoil`, `core`; empty where a world has no engines.
    pub engine: String,
    /// Length of the run in scenario time.
    pub duration: SimTime,
    /// Nothing was written from here on.
    pub writes_end: SimTime,
    /// The scenario was told in this part of its time; 1: as it is.
    #[serde(default = "whole", skip_serializing_if = "is_whole")]
    pub time_scale: f64,
}

fn whole() -> f64 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "the signature is serde's")]
fn is_whole(scale: &f64) -> bool {
    *scale == 1.0
}

/// How an operation ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Acknowledged.
    Ok,
    /// Refused for certain: it did not happen. The API's code and message.
    Refused(String),
    /// Timed out, cancelled, or the node died: it may have happened or not.
    Unknown,
    /// Never issued: the node was not running, or an edit found no document.
    Skipped,
}

/// What kind of operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OpKind {
    /// Whole document.
    Put,
    /// Read, change, write.
    Edit,
    /// Delete.
    Delete,
}

/// One operation.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpRecord {
    /// Its identity in the plan.
    pub op: OpId,
    /// The node it was issued at.
    pub node: NodeIndex,
    /// What kind.
    pub kind: OpKind,
    /// The document.
    pub key: DocKey,
    /// When it was issued.
    pub invoked: SimTime,
    /// When its end was known; `None` while it runs, and for ever when nothing came back.
    pub completed: Option<SimTime>,
    /// How it ended.
    pub outcome: Outcome,
    /// The full text handed to PutDocument: for an edit, the result of `apply_edit`.
    pub json: Option<Arc<str>>,
    /// For an edit, the text that GetDocument gave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read: Option<Arc<str>>,
    /// The registers of the document that are this operation's own: name and new counter.
    pub writes: Vec<(Arc<str>, u64)>,
}

impl OpRecord {
    /// True when the application was told that it is done.
    pub fn acknowledged(&self) -> bool {
        self.outcome == Outcome::Ok
    }

    /// True unless it certainly did not happen.
    pub fn may_have_happened(&self) -> bool {
        matches!(self.outcome, Outcome::Ok | Outcome::Unknown)
    }
}

/// One event of a node's Subscribe stream.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Visible {
    /// When it was received.
    pub at: SimTime,
    /// Whose stream.
    pub node: NodeIndex,
    /// The document.
    pub key: DocKey,
    /// What it said.
    pub change: Change,
}

/// What a Subscribe event said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// The document is now this.
    Upsert(Arc<str>),
    /// The document is gone.
    Delete,
}

/// A fault and what became of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FaultRecord {
    /// What it was.
    pub spec: FaultSpec,
    /// When it began; `None` if it never did.
    pub applied: Option<SimTime>,
    /// When it ended; `None` if it lasted to the end.
    pub healed: Option<SimTime>,
    /// Counts of its links when it began.
    pub at_apply: LinkCounters,
    /// Counts of its links when it ended, or at the end of the run.
    pub at_heal: LinkCounters,
    /// What it did.
    #[serde(default)]
    pub effect: FaultEffect,
}

/// A session came up or went down, as one end saw it.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct SessionEvent {
    /// When.
    pub at: SimTime,
    /// The end that saw it.
    pub node: NodeIndex,
    /// The other end.
    pub peer: NodeIndex,
    /// Up or down.
    pub up: bool,
}

/// A node began to dial another.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct DialEvent {
    /// When.
    pub at: SimTime,
    /// Who dials.
    pub node: NodeIndex,
    /// Whom.
    pub peer: NodeIndex,
}

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Life {
    /// First start.
    Started,
    /// Gone, with everything that was not synced.
    Crashed,
    /// Started again on its disk.
    Restarted,
}

/// A node started, crashed or restarted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct LifeEvent {
    /// When.
    pub at: SimTime,
    /// Which node.
    pub node: NodeIndex,
    /// What.
    pub event: Life,
}

/// What a restarted node holds before any peer could have told it anything.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestartSnapshot {
    /// The node.
    pub node: NodeIndex,
    /// When it was taken.
    pub at: SimTime,
    /// Its documents; tombstones need not be listed.
    #[serde(with = "entries")]
    pub docs: BTreeMap<DocKey, Arc<str>>,
}

/// How full something in a node was at most, as a share of its limit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HighMark {
    /// The node.
    pub node: NodeIndex,
    /// What it is.
    pub name: Arc<str>,
    /// When it was first as full as that.
    pub at: SimTime,
    /// How much there was.
    pub value: u64,
    /// How much there might have been then.
    pub limit: u64,
}

/// Datagrams and their payload bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Datagrams.
    pub datagrams: u64,
    /// Payload bytes, without IP and UDP headers.
    pub bytes: u64,
}

/// What crossed the links.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Traffic {
    /// Everything that was sent, lost or not.
    pub sent: Count,
    /// What did not arrive.
    pub dropped: u64,
    /// Sent per ordered pair of groups (positions in the topology).
    #[serde(with = "entries")]
    pub by_group: BTreeMap<(u32, u32), Count>,
    /// The same, of what arrived: it may still be on its way when the run ends, or die with its receiver.
    #[serde(with = "entries")]
    pub received_by_group: BTreeMap<(u32, u32), Count>,
    /// What arrived at each node, in order of the topology; empty where a world cannot see it.
    pub received_by_node: Vec<Count>,
    /// Sent per slice of [`TRAFFIC_SLICE`], from the start.
    pub by_slice: Vec<Count>,
    /// Frame bytes by class, as the nodes count them; empty where a world cannot read that.
    #[serde(default)]
    pub by_class: Vec<ClassTraffic>,
}

/// What nodes sent of one class of traffic: frames, before QUIC's headers, encryption and retransmission.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClassTraffic {
    /// The node's name for the class.
    pub class: String,
    /// Bytes per slice of [`TRAFFIC_SLICE`], from the start; read at the end of a slice.
    pub by_slice: Vec<u64>,
}

/// Length of a slice of [`Traffic::by_slice`]: fine enough to see a phase, 180 slices in 30 minutes.
pub const TRAFFIC_SLICE: Duration = Duration::from_secs(10);

/// One replica at the end.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ReplicaState {
    /// The node.
    pub node: NodeIndex,
    /// False for a node that is down at the end; it is not compared.
    pub running: bool,
    /// What it holds.
    #[serde(with = "entries")]
    pub docs: BTreeMap<DocKey, FinalDoc>,
}

/// One document of one replica at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalDoc {
    /// The JSON as GetDocument renders it; `None` for a tombstone. A world that cannot see
    /// tombstones (the public API hides them) lists none at all.
    pub json: Option<Arc<str>>,
    /// A digest of the document's heads, where the world can see it.
    pub heads: Option<String>,
}

/// Positions of faults in [`RunRecord::faults`] are [`FaultIndex`]es.
impl std::ops::Index<FaultIndex> for RunRecord {
    type Output = FaultRecord;
    fn index(&self, fault: FaultIndex) -> &FaultRecord {
        &self.faults[fault.index()]
    }
}
