//! The physical bound: the earliest moment at which the links could have brought something to each node.
//!
//! A shortest path whose edges depend on the time of departure. Dijkstra's algorithm solves it as long as nobody
//! gains by leaving later (S. E. Dreyfus, *An appraisal of some shortest-path algorithms*, Operations Research 17,
//! 1969; the equations are of K. L. Cooke and E. Halsey, 1966). A link that changes for the better breaks that
//! condition, and waiting restores it: a node may keep what it has, so an edge is the earliest arrival over all
//! *later* departures, too.
//!
//! Nodes that no fault and no late start tells apart share one vertex, so a thousand spokes cost as much as one.

use std::collections::{BTreeMap, BTreeSet};

use super::passage::Passage;
use crate::plan::NodeIndex;
use crate::record::{Life, RunRecord};
use crate::time::SimTime;

/// The links of a run, as they were.
#[derive(Debug)]
pub struct Bound<'a> {
    record: &'a RunRecord,
    /// The kind of each node, by its index.
    kinds: Vec<usize>,
    /// The nodes of each kind.
    members: Vec<Vec<NodeIndex>>,
    /// Passages by kinds, found when first used.
    passages: BTreeMap<(usize, usize), Option<Passage>>,
}

/// The earliest arrivals of one thing, by node.
#[derive(Debug, Clone)]
pub struct Arrivals(Vec<Option<SimTime>>);

impl Arrivals {
    /// When it can be at a node at the earliest; `None`: never.
    pub fn at(&self, node: NodeIndex) -> Option<SimTime> {
        self.0[node.index()]
    }
}

impl<'a> Bound<'a> {
    /// Of a record.
    pub fn of(record: &'a RunRecord) -> Self {
        let mut numbers: BTreeMap<Kind, usize> = BTreeMap::new();
        let mut members: Vec<Vec<NodeIndex>> = Vec::new();
        let mut kinds = Vec::new();
        for (node, kind) in record.topology.nodes.iter().zip(Kind::all(record)) {
            let number = *numbers.entry(kind).or_insert(members.len());
            if number == members.len() {
                members.push(Vec::new());
            }
            members[number].push(node.index);
            kinds.push(number);
        }
        Bound { record, kinds, members, passages: BTreeMap::new() }
    }

    /// When `size` payload bytes that are at `origin` at `at` can be at each node, over whatever links, if every node
    /// passes them on as a whole and at once.
    pub fn arrivals(&mut self, origin: NodeIndex, at: SimTime, size: usize) -> Arrivals {
        let mut by_kind: Vec<Option<SimTime>> = vec![None; self.members.len()];
        let mut settled = vec![false; self.members.len()];
        let mut here = (None, origin, at);
        loop {
            let (from_kind, from, now) = here;
            for kind in 0..self.members.len() {
                if settled[kind] || from_kind == Some(kind) {
                    continue;
                }
                let Some(to) = self.members[kind].iter().copied().find(|node| *node != origin) else { continue };
                let arrival = self.passage(from, to).and_then(|passage| passage.earliest_arrival(now, size));
                by_kind[kind] = by_kind[kind].into_iter().chain(arrival).min();
            }
            let open = by_kind.iter().enumerate().filter(|(kind, _)| !settled[*kind]);
            let Some((now, kind)) = open.filter_map(|(kind, arrival)| Some(((*arrival)?, kind))).min() else { break };
            settled[kind] = true;
            let from = self.members[kind].iter().copied().find(|node| *node != origin);
            here = (Some(kind), from.expect("invariant: it has arrived at another node of the kind"), now);
        }
        let mut arrivals: Vec<Option<SimTime>> = self.kinds.iter().map(|kind| by_kind[*kind]).collect();
        arrivals[origin.index()] = Some(at);
        Arrivals(arrivals)
    }

    /// The link from one node to another; the same for all nodes of their kinds.
    pub(super) fn passage(&mut self, from: NodeIndex, to: NodeIndex) -> Option<&Passage> {
        let kinds = (self.kinds[from.index()], self.kinds[to.index()]);
        let record = self.record;
        self.passages.entry(kinds).or_insert_with(|| Passage::of(record, from, to)).as_ref()
    }
}

/// What tells a node apart: nodes of the same kind are linked with everyone else in the same way all the time.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    group: u32,
    lives: Vec<(SimTime, bool)>,
    /// By fault: whom it no longer reaches, and who no longer reaches it.
    faults: Vec<(usize, BTreeSet<NodeIndex>, BTreeSet<NodeIndex>)>,
}

impl Kind {
    /// Of every node, in order.
    fn all(record: &RunRecord) -> Vec<Kind> {
        let topology = &record.topology;
        let kind = |group| Kind { group, lives: Vec::new(), faults: Vec::new() };
        let mut kinds: Vec<Kind> = topology.nodes.iter().map(|node| kind(node.group)).collect();
        for life in &record.lives {
            kinds[life.node.index()].lives.push((life.at, life.event != Life::Crashed));
        }
        for (position, fault) in record.faults.iter().enumerate() {
            let mut touched: BTreeMap<NodeIndex, (BTreeSet<NodeIndex>, BTreeSet<NodeIndex>)> = BTreeMap::new();
            for &(from, to) in &fault.spec.pairs {
                touched.entry(from).or_default().0.insert(to);
                touched.entry(to).or_default().1.insert(from);
            }
            for (node, (mut to, mut from)) in touched {
                // Of a fault inside a group each node touches all but itself, and they are all alike.
                let group = topology.node(node).group;
                for ends in [&mut to, &mut from] {
                    if ends.iter().any(|end| topology.node(*end).group == group) {
                        ends.insert(node);
                    }
                }
                kinds[node.index()].faults.push((position, to, from));
            }
        }
        kinds
    }
}
