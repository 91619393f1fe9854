//! Emulators at the edges of places, and the switchboard that makes one of them.
//!
//! Where the nodes of a world are in several places (clusters), each place has an [`emulator`](crate::emulator) at its edge. **An edge
//! shapes what leaves its place**; what enters was shaped where it left, and passes a perfect link:
//!
//! ```text
//!   a ──▶ [edge of alpha: port a→b] ─ physics of a→b ─▶ [edge of bravo: port b→a] ──▶ b
//! ```
//!
//! So each direction of a link has one owner, and whoever reads counts or changes a link asks the owner. Between two edges it is the other
//! edge that stands where a node would.

pub mod switchboard;

use std::collections::BTreeMap;

use peat_scenarios::physics::LinkParams;
use peat_scenarios::plan::{NodeIndex, Step, Topology};

/// The first port of every edge.
pub const FIRST_PORT: u16 = 20_000;
/// Nodes that there may be, so that every ordered pair has a port.
pub const MAX_NODES: u32 = 64;

/// The port of every edge that faces one node and stands for another.
pub fn port(faces: NodeIndex, stands_for: NodeIndex) -> u16 {
    let offset = faces.0 * MAX_NODES + stands_for.0;
    FIRST_PORT + u16::try_from(offset).expect("invariant: worlds with edges admit MAX_NODES nodes")
}

/// The links as the edge of `place` applies them: what leaves it as the scenario says, everything else perfect.
pub fn leaving(topology: &Topology, place: &str) -> Topology {
    let cluster = |group: u32| topology.groups[group as usize].cluster.as_str();
    let links = topology.links.iter().map(|(&(from, to), params)| {
        let leaves = cluster(from) == place && cluster(to) != place;
        ((from, to), if leaves { params.clone() } else { LinkParams::PERFECT })
    });
    Topology { links: links.collect::<BTreeMap<_, _>>(), ..topology.clone() }
}

/// The part of a step that is about links that `mine` accepts; `None`: no part of it.
pub fn part(step: &Step, mine: impl Fn(NodeIndex, NodeIndex) -> bool) -> Option<Step> {
    let own = |pairs: &[(NodeIndex, NodeIndex)]| -> Option<Vec<(NodeIndex, NodeIndex)>> {
        let own: Vec<_> = pairs.iter().copied().filter(|&(from, to)| mine(from, to)).collect();
        (!own.is_empty()).then_some(own)
    };
    Some(match step {
        Step::LinksDown { fault, pairs } => Step::LinksDown { fault: *fault, pairs: own(pairs)? },
        Step::Reset { fault, pairs } => Step::Reset { fault: *fault, pairs: own(pairs)? },
        Step::Clog { fault, pairs } => Step::Clog { fault: *fault, pairs: own(pairs)? },
        Step::DialCut { fault, pairs } => Step::DialCut { fault: *fault, pairs: own(pairs)? },
        Step::Heal { fault, pairs } => Step::Heal { fault: *fault, pairs: own(pairs)? },
        Step::Degrade { fault, links } => {
            let own: Vec<_> = links.iter().filter(|(from, to, _)| mine(*from, *to)).cloned().collect();
            if own.is_empty() {
                return None;
            }
            Step::Degrade { fault: *fault, links: own }
        }
        Step::Crash { .. } | Step::Trouble { .. } | Step::Recover { .. } | Step::Restart { .. } => return None,
    })
}

/// What a step does to links, in words: `cut 9 directions`.
pub fn words(step: &Step) -> String {
    let (verb, directions) = match step {
        Step::LinksDown { pairs, .. } => ("cut", pairs.len()),
        Step::Reset { pairs, .. } => ("reset", pairs.len()),
        Step::Clog { pairs, .. } => ("clog", pairs.len()),
        Step::DialCut { pairs, .. } => ("cut for dials", pairs.len()),
        Step::Heal { pairs, .. } => ("heal", pairs.len()),
        Step::Degrade { links, .. } => ("degrade", links.len()),
        Step::Crash { .. } | Step::Trouble { .. } | Step::Recover { .. } | Step::Restart { .. } => ("leave", 0),
    };
    format!("{verb} {directions} {}", if directions == 1 { "direction" } else { "directions" })
}
