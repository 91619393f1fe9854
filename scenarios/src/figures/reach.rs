//! Who is joined by sessions, and how hard nodes try to be.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::Settled;
use super::recovery::next_fault;
use crate::plan::NodeIndex;
use crate::record::connectivity::Connectivity;
use crate::record::{Life, RunRecord};
use crate::time::SimTime;

/// How long after a start, heal, restart or join a path of live sessions joined every pair of running nodes that
/// links join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reach {
    /// The fault, or the nodes that start.
    pub name: String,
    /// When it could begin.
    pub at: SimTime,
    /// How it went.
    pub joined: Settled,
}

/// Who dialled most in the second after a heal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Dials {
    /// The fault that healed.
    pub name: String,
    /// When.
    pub at: SimTime,
    /// The busiest node.
    pub node: String,
    /// Its dials in [`FIRST_SECOND`].
    pub most: u32,
    /// Those of all nodes.
    pub all: u32,
}

/// What counts as the first second.
pub const FIRST_SECOND: Duration = Duration::from_secs(1);

pub(super) fn reaches(record: &RunRecord, links: &Connectivity, sessions: &Connectivity) -> Vec<Reach> {
    if record.sessions.is_empty() {
        return Vec::new();
    }
    let mut moments: BTreeMap<SimTime, String> = BTreeMap::new();
    let fault_ends = record.faults.iter().filter_map(|fault| Some((fault.healed?, fault.spec.name.clone())));
    let started = record.lives.iter().filter(|life| life.event == Life::Started);
    let starts = started.map(|life| match record.topology.node(life.node) {
        node if node.joins_at == SimTime::ZERO => (SimTime::ZERO, "the start".to_owned()),
        node => (life.at, node.name.clone()),
    });
    for (at, name) in fault_ends.chain(starts) {
        moments.entry(at).or_insert(name);
    }
    let reach = |(at, name)| {
        let whole = sessions.first_as_whole_as(links, at);
        let joined = match (whole, next_fault(record, at)) {
            (Some(whole), next) if next.is_none_or(|next| whole <= next) => Settled::After(whole.since(at)),
            (_, Some(next)) => Settled::Interrupted { after: next.since(at), pending: 1 },
            _ => Settled::Never { pending: 1 },
        };
        Reach { name, at, joined }
    };
    moments.into_iter().map(reach).collect()
}

pub(super) fn dials(record: &RunRecord) -> Vec<Dials> {
    if record.dials.is_empty() {
        return Vec::new();
    }
    let heals = record.faults.iter().filter(|fault| fault.spec.node.is_none());
    let after = |(at, name): (SimTime, String)| {
        let first = record.dials.partition_point(|dial| dial.at < at);
        let mut by_node: BTreeMap<NodeIndex, u32> = BTreeMap::new();
        for dial in record.dials[first..].iter().take_while(|dial| dial.at < at + FIRST_SECOND) {
            *by_node.entry(dial.node).or_default() += 1;
        }
        let busiest = by_node.iter().max_by_key(|(node, dials)| (**dials, std::cmp::Reverse(**node)));
        Dials {
            name,
            at,
            node: busiest.map(|(node, _)| record.topology.name(*node).to_owned()).unwrap_or_default(),
            most: busiest.map(|(_, dials)| *dials).unwrap_or_default(),
            all: by_node.values().sum(),
        }
    };
    heals.filter_map(|fault| Some((fault.healed?, fault.spec.name.clone()))).map(after).collect()
}
