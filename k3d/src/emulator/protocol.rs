//! How an emulator in a process or container of its own is spoken to: a line of JSON each way.
//!
//! The first line is a [`Setup`] and is answered by [`Answer::Ready`]. Then each [`Request`] is answered in turn. The channel is
//! whatever the world has: standard input and output, or TCP. When it ends, so does the emulator.

use std::net::SocketAddr;

use peat_scenarios::physics::LinkCounters;
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use peat_scenarios::record::{FaultEffect, Flights, Traffic};
use serde::{Deserialize, Serialize};

use super::Strays;

/// Bytes of a line: the topology of a thousand nodes, or the flights of a run.
pub const LINE_BYTES: u64 = 64 << 20;

/// What an emulator is.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Setup {
    /// Nodes and undisturbed links.
    pub topology: Topology,
    /// Everything random follows from it.
    pub seed: u64,
    /// Two for each pair of nodes that may speak with each other, one in each direction.
    pub ports: Vec<PortSetup>,
}

/// A socket that faces one node and stands for another.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PortSetup {
    /// Who sends here, and is sent to from here.
    pub faces: NodeIndex,
    /// Whom it stands for.
    pub stands_for: NodeIndex,
    /// Where the emulator listens.
    pub bind: SocketAddr,
    /// Where the node that it faces listens.
    pub node: SocketAddr,
    /// What comes from elsewhere is from that node all the same, and is answered there: behind a NAT. Otherwise it is not
    /// let in.
    #[serde(default)]
    pub roams: bool,
}

/// What is asked of a running emulator.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Request {
    /// Scenario time begins now: links are open and undisturbed. Before, nothing passes.
    Begin,
    /// What a step of the timeline does to links.
    Apply(Box<Step>),
    /// Counts of links, added up.
    Counters(Vec<(NodeIndex, NodeIndex)>),
    /// What a fault did in front of the links.
    Effect(FaultIndex),
    /// A node is elsewhere from now on.
    Move {
        /// Which.
        node: NodeIndex,
        /// Where it listens now.
        to: SocketAddr,
    },
    /// The run is over: nothing passes any more. Then what was counted.
    End,
}

/// What it answers.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// All ports are bound.
    Ready,
    /// Done.
    Done,
    /// To [`Request::Counters`].
    Counters(LinkCounters),
    /// To [`Request::Effect`].
    Effect(Box<FaultEffect>),
    /// To [`Request::End`].
    Tally(Box<Tally>),
    /// It cannot be done, and why.
    Failed(String),
}

/// What an emulator counted between [`Request::Begin`] and [`Request::End`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tally {
    /// What crossed the links.
    pub traffic: Traffic,
    /// The datagrams behind it.
    pub flights: Flights,
    /// Datagrams that it handed on.
    pub handed_on: u64,
    /// How much later than the model says, in nanoseconds: median.
    pub late_p50_ns: u64,
    /// 99th percentile.
    pub late_p99_ns: u64,
    /// The worst.
    pub late_max_ns: u64,
    /// What did not go through the model.
    pub strays: Strays,
}
