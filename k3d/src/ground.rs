//! The seam of real worlds: a place where nodes run.
//!
//! What a run is (timeline, workload, checks, report) is the same in all of them and done once, in [`crate::run`]. A ground
//! says how a node is started and stopped there and where it is found; the links between the nodes are those of an
//! [emulator](crate::emulator), which the ground puts between them and hands over as [`Links`].
//!
//! ```text
//! ground prepares: networks, images, emulator ──(Ground, Links)──▶ run::run ──▶ RunRecord
//! ```
//!
//! - [`crate::process`]: processes of this machine, each in a network namespace.
//! - [`crate::docker`], [`crate::cluster`]: containers, and pods of clusters.

use peat_scenarios::plan::NodeIndex;
use peat_scenarios::{Capabilities, Capability};

pub use crate::emulator::remote::Links;

/// What can be done to real nodes from outside, in all of these worlds, and what can be seen of them. Left out, with what it would take: `reset` (nobody can end
/// a QUIC session from outside), faults of disks (a file system of its own for each node), clocks (the kernel has one calendar for all
/// processes), agents (a server for each), `gossip` (addresses that peers tell each other lead around the emulator).
pub(crate) fn capabilities(world: &str, nodes_max: u32, more: impl IntoIterator<Item = Capability>) -> Capabilities {
    use Capability::*;
    let everywhere =
        [CutLinks, ChangeLinks, ClogLinks, CutDials, CrashNodes, PauseNodes, LoseDisks, SeeConvergence, SeeWrites];
    Capabilities::only(world, everywhere.into_iter().chain(more)).at_most(nodes_max)
}

/// Something of the world itself failed: the run says nothing about the nodes, and ends as INFRA-ERROR. The text says what was
/// tried, what came of it, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct GroundError(pub String);

impl GroundError {
    /// `what` failed for this reason.
    pub fn of(what: impl std::fmt::Display, why: impl std::fmt::Display) -> Self {
        Self(format!("{what}: {why}"))
    }
}

/// A place where nodes run. One call at a time, and of each node in a sensible order: a node that is killed was started before.
///
/// Every method answers once the thing is done, but [`Ground::start`] does not wait until the node serves: the runner asks
/// the API for that. Nothing of a ground may outlive it: dropping it ends every node, however the run ends.
#[expect(async_fn_in_trait, reason = "a run is one task, which nobody sends to another thread")]
pub trait Ground {
    /// What it can do, and its name: `process`. A scenario that asks for more is refused before anything is prepared.
    fn capabilities(&self) -> Capabilities;

    /// Starts a node on the data that it left, or on none.
    async fn start(&mut self, node: NodeIndex) -> Result<(), GroundError>;

    /// Ends a node without a warning; when this returns it is gone. Its data stays.
    async fn kill(&mut self, node: NodeIndex) -> Result<(), GroundError>;

    /// The node stands still from now on, and does not know.
    async fn pause(&mut self, node: NodeIndex) -> Result<(), GroundError>;

    /// It goes on.
    async fn resume(&mut self, node: NodeIndex) -> Result<(), GroundError>;

    /// Takes the data of a node that does not run; how many bytes that were.
    async fn wipe(&mut self, node: NodeIndex) -> Result<u64, GroundError>;

    /// Where the runner reaches the API of a node: `http://10.78.0.2:50051`. It may change with each start.
    fn api(&self, node: NodeIndex) -> String;

    /// What `node` is told by ConnectPeer of where `peer` is: its place at the emulator, never `peer` itself.
    fn peer_address(&self, node: NodeIndex, peer: NodeIndex, endpoint_id: &str) -> String;

    /// Is the node of the same make as those it is compared with? Versions of documents of others are not comparable.
    fn shows_heads(&self, node: NodeIndex) -> bool;

    /// Nodes that ended although nobody ended them, each told once, with how.
    async fn fallen(&mut self) -> Vec<(NodeIndex, String)>;

    /// The last lines that a node wrote, over all its lives.
    async fn log(&mut self, node: NodeIndex) -> Vec<String>;

    /// Takes everything away, in good order, and says what could not be. Dropping the ground does the same in silence.
    async fn clear(&mut self) -> Result<(), GroundError>;
}
