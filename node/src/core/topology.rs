//! Whom to want among the nodes that are known: a pure function of the nodes and of what is known of each.
//!
//! Every session costs a keep-alive, and every change is offered once per session, so a full mesh of n nodes sends
//! each change about n² times. Up to [`limits::FULL_MESH_NODES`] that is cheap and the shortest way; beyond, each node
//! wants its next [`limits::RING_NEIGHBOURS`] on a ring of hashed ids, which keeps the formation in one piece, and
//! [`limits::SHORTCUT_NEIGHBOURS`] drawn by hash, which keep the ways short. Both depend on the set of ids alone,
//! so nodes that know the same formation agree without a word, and a node that joins or leaves moves about as
//! many sessions as it has. The ring is Chord's (Stoica et al. 2001), the draw is rendezvous hashing (Thaler and
//! Ravishankar 1998). Nodes that do not answer are passed over, and a few of them are still dialled, so that two
//! islands find each other again. Rejected: a leader or a coordinated layout, which an island may not have; and
//! HyParView's random views, which need messages of their own to stay in one piece.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::batch::PeerId;
use crate::limits;

/// How a node chooses its neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Topology {
    /// Full mesh while the formation is small, then a bounded number of neighbours.
    #[default]
    Auto,
    /// Full mesh whatever the size.
    Mesh,
    /// A hub: sessions with every other hub, and with whoever comes.
    Hub,
    /// A spoke: sessions with a few hubs.
    Spoke,
}

/// What a node says it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub enum Role {
    /// One among equals.
    #[default]
    Peer,
    /// Takes spokes.
    Hub,
    /// Is nobody's neighbour but of hubs.
    Spoke,
}

impl Topology {
    /// What a node with this choice tells others.
    pub fn role(self) -> Role {
        match self {
            Self::Auto | Self::Mesh => Role::Peer,
            Self::Hub => Role::Hub,
            Self::Spoke => Role::Spoke,
        }
    }
}

/// What is known of whether a node answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// There is a session.
    Live,
    /// Nothing speaks against it.
    Open,
    /// It has not answered several attempts.
    Dead,
}

/// A node that could be a neighbour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate {
    /// What it says it is; a peer if it said nothing.
    pub role: Role,
    /// Whether it answers.
    pub reach: Reach,
}

/// Whom to want.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Choice {
    /// Neighbours, and a few that do not answer.
    pub wanted: BTreeSet<PeerId>,
    /// Every neighbour that is not known to be dead has a session: what else there is can be let go.
    pub complete: bool,
}

/// Where an id stands on the ring, and what its draws depend on. Hashed, so that nobody stands where they like
/// without trying many keys.
fn position(id: &PeerId) -> u64 {
    let hash = blake3::hash(id);
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("a hash is longer"))
}

/// A draw for a pair: the finaliser of SplitMix64, which is a bijection with good avalanche.
fn draw(mine: u64, theirs: u64, round: u64) -> u64 {
    let mut z = mine.rotate_left(32) ^ theirs ^ round.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// One who may be chosen.
struct Eligible {
    id: PeerId,
    reach: Reach,
    /// Steps along the ring from us.
    distance: u64,
    position: u64,
}

/// Chooses among the candidates. `round` moves on slowly; it decides which of the dead are dialled, so that each has
/// its turn. Costs two sorts of the candidates.
pub fn choose(me: &PeerId, topology: Topology, candidates: &BTreeMap<PeerId, Candidate>, round: u64) -> Choice {
    let mine = position(me);
    let of = |role: fn(Role) -> bool| -> Vec<Eligible> {
        let chosen = candidates.iter().filter(|(id, candidate)| *id != me && role(candidate.role));
        let eligible = chosen.map(|(id, candidate)| {
            let position = position(id);
            Eligible { id: *id, reach: candidate.reach, distance: position.wrapping_sub(mine), position }
        });
        eligible.collect()
    };
    let eligible = match topology {
        Topology::Auto | Topology::Mesh => of(|role| role != Role::Spoke),
        Topology::Hub => of(|role| role == Role::Hub),
        // Roles travel in records. Without gossip nobody has one, and anyone found may be a hub.
        Topology::Spoke => match of(|role| role == Role::Hub) {
            hubs if hubs.is_empty() => of(|role| role == Role::Peer),
            hubs => hubs,
        },
    };
    let mut choice = Choice::default();
    match topology {
        Topology::Spoke => nearest(&eligible, limits::HUBS_PER_SPOKE, &mut choice, |e| draw(mine, e.position, 0)),
        Topology::Mesh => nearest(&eligible, usize::MAX, &mut choice, |e| e.distance),
        _ if eligible.len() < limits::FULL_MESH_NODES => {
            nearest(&eligible, usize::MAX, &mut choice, |e| e.distance);
        }
        Topology::Auto | Topology::Hub => {
            nearest(&eligible, limits::RING_NEIGHBOURS, &mut choice, |e| e.distance);
            nearest(&eligible, limits::SHORTCUT_NEIGHBOURS, &mut choice, |e| draw(mine, e.position, 0));
        }
    }
    let live = |id: &PeerId| candidates.get(id).is_some_and(|candidate| candidate.reach == Reach::Live);
    choice.complete = choice.wanted.iter().all(live);
    let dead: Vec<&Eligible> = eligible.iter().filter(|e| e.reach == Reach::Dead).collect();
    // One stays, so that a ring that was cut closes where it was cut; the others take turns.
    choice.wanted.extend(dead.iter().min_by_key(|e| e.distance).map(|e| e.id));
    let mut in_turn: Vec<(u64, PeerId)> = dead.iter().map(|e| (draw(mine, e.position, round + 1), e.id)).collect();
    in_turn.sort_unstable();
    choice.wanted.extend(in_turn.iter().take(limits::DEAD_DIALLED - 1).map(|(_, id)| *id));
    choice
}

/// Adds the first `count` in an order that are not dead.
fn nearest(eligible: &[Eligible], count: usize, choice: &mut Choice, order: impl Fn(&Eligible) -> u64) {
    let alive = eligible.iter().filter(|e| e.reach != Reach::Dead);
    let mut ordered: Vec<(u64, PeerId)> = alive.map(|e| (order(e), e.id)).collect();
    ordered.sort_unstable();
    choice.wanted.extend(ordered.into_iter().take(count).map(|(_, id)| id));
}

#[cfg(test)]
mod tests;
