//! Who could reach whom when: the components of the graph of running nodes.

use std::collections::{BTreeMap, BTreeSet};

use super::{Life, RunRecord};
use crate::limits;
use crate::plan::{FaultClass, NodeIndex};
use crate::time::SimTime;

/// What counts as an edge between two peered nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edge {
    /// Both run, no fault cuts the link in either direction, and its schedule has a contact in both.
    Link,
    /// The same, and the session between them is up, as far as the world recorded sessions.
    Session,
}

/// The components over time.
#[derive(Debug, Clone)]
pub struct Connectivity {
    /// From this moment on, each node's component; `None` while it does not run.
    epochs: Vec<(SimTime, Vec<Option<u32>>)>,
}

enum Event {
    Life(NodeIndex, bool),
    Cut(usize, bool),
    Pause(NodeIndex, bool),
    Session(NodeIndex, NodeIndex, bool),
    /// A link's schedule changes; looked up then.
    Contact,
}

impl Connectivity {
    /// Replays the events of a record.
    pub fn of(record: &RunRecord, edge: Edge) -> Self {
        let topology = &record.topology;
        let mut events: Vec<(SimTime, Event)> = Vec::new();
        for life in &record.lives {
            events.push((life.at, Event::Life(life.node, life.event != Life::Crashed)));
        }
        for (position, fault) in record.faults.iter().enumerate() {
            if fault.spec.class.cuts() {
                events.extend(fault.applied.map(|at| (at, Event::Cut(position, true))));
                events.extend(fault.healed.map(|at| (at, Event::Cut(position, false))));
            }
            // Who does not run reaches nobody, although nothing of it is gone.
            if let (FaultClass::Pause, Some(node)) = (fault.spec.class, fault.spec.node) {
                events.extend(fault.applied.map(|at| (at, Event::Pause(node, true))));
                events.extend(fault.healed.map(|at| (at, Event::Pause(node, false))));
            }
        }
        let sessions_known = edge == Edge::Session && !record.sessions.is_empty();
        if sessions_known {
            let changes = record.sessions.iter();
            events.extend(changes.map(|s| (s.at, Event::Session(s.node, s.peer, s.up))));
        }
        let end = record.meta.duration;
        events.extend(changes(record, end).into_iter().map(|at| (at, Event::Contact)));
        events.sort_by_key(|(at, _)| *at);

        let lives_known = !record.lives.is_empty();
        let mut running: Vec<bool> = topology.nodes.iter().map(|_| !lives_known).collect();
        let mut cuts: BTreeSet<usize> = BTreeSet::new();
        let mut paused: BTreeSet<NodeIndex> = BTreeSet::new();
        let mut ends: BTreeMap<(NodeIndex, NodeIndex), bool> = BTreeMap::new();
        let pairs = possible(record, edge);
        let mut epochs = Vec::new();
        let mut events = events.into_iter().peekable();
        let mut now = SimTime::ZERO;
        loop {
            while let Some((_, event)) = events.next_if(|(at, _)| *at <= now) {
                match event {
                    Event::Life(node, runs) => {
                        running[node.index()] = runs;
                        if !runs {
                            ends.retain(|(a, b), _| *a != node && *b != node);
                        }
                    }
                    Event::Cut(fault, true) => drop(cuts.insert(fault)),
                    Event::Cut(fault, false) => drop(cuts.remove(&fault)),
                    Event::Pause(node, true) => drop(paused.insert(node)),
                    Event::Pause(node, false) => drop(paused.remove(&node)),
                    Event::Session(node, peer, up) => drop(ends.insert((node, peer), up)),
                    Event::Contact => {}
                }
            }
            let cut: BTreeSet<(NodeIndex, NodeIndex)> = cuts
                .iter()
                .flat_map(|&fault| record.faults[fault].spec.pairs.iter())
                .map(|&(a, b)| (a.min(b), a.max(b)))
                .collect();
            let joined = pairs.iter().copied().filter(|&(a, b)| {
                let session = || {
                    let (one, other) = (ends.get(&(a, b)), ends.get(&(b, a)));
                    one != Some(&false) && other != Some(&false) && (one.is_some() || other.is_some())
                };
                let in_contact = || {
                    let schedules = [(a, b), (b, a)].map(|(from, to)| topology.link(from, to)?.schedule.as_ref());
                    schedules.into_iter().flatten().all(|schedule| schedule.in_contact(now))
                };
                !cut.contains(&(a, b)) && in_contact() && (!sessions_known || session())
            });
            let mut awake = running.clone();
            paused.iter().for_each(|node| awake[node.index()] = false);
            let components = components(&awake, joined);
            if epochs.last().is_none_or(|(_, last)| *last != components) {
                epochs.push((now, components));
            }
            match events.peek() {
                Some((at, _)) => now = *at,
                None => return Connectivity { epochs },
            }
        }
    }

    /// Were the two connected, over whatever hops, at every moment of `from..=to`?
    pub fn throughout(&self, a: NodeIndex, b: NodeIndex, from: SimTime, to: SimTime) -> bool {
        let first = self.epochs.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        self.epochs[first..]
            .iter()
            .take_while(|(at, _)| *at <= to)
            .all(|(_, of)| of[a.index()].is_some() && of[a.index()] == of[b.index()])
    }

    /// The first moment from `at` on at which everyone whom `whole` joins is joined here too; `None` if there is
    /// no such moment.
    pub fn first_as_whole_as(&self, whole: &Connectivity, at: SimTime) -> Option<SimTime> {
        let changes = self.epochs.iter().chain(&whole.epochs).map(|(moment, _)| *moment);
        let mut moments: Vec<SimTime> = changes.filter(|moment| *moment > at).chain([at]).collect();
        moments.sort_unstable();
        moments.dedup();
        moments.into_iter().find(|moment| {
            let (here, there) = (self.at(*moment), whole.at(*moment));
            // A component here never spans two there, so it is enough to compare their number.
            let count = |of: &[Option<u32>]| of.iter().flatten().collect::<BTreeSet<_>>().len();
            count(here) <= count(there)
        })
    }

    fn at(&self, moment: SimTime) -> &[Option<u32>] {
        let position = self.epochs.partition_point(|(at, _)| *at <= moment).saturating_sub(1);
        &self.epochs[position].1
    }

    /// Did the node run at that moment?
    pub fn runs(&self, node: NodeIndex, at: SimTime) -> bool {
        self.throughout(node, node, at, at)
    }

    /// The latest moment up to `to` at which the two became connected, if they were connected then
    /// and had not been at some time from `from` on.
    pub fn joined(&self, a: NodeIndex, b: NodeIndex, from: SimTime, to: SimTime) -> Option<SimTime> {
        let first = self.epochs.partition_point(|(at, _)| *at <= from).saturating_sub(1);
        let mut joined = None;
        let mut apart = false;
        for (at, of) in self.epochs[first..].iter().take_while(|(at, _)| *at <= to) {
            let together = of[a.index()].is_some() && of[a.index()] == of[b.index()];
            if together && apart {
                joined = Some(*at);
            }
            apart = !together;
        }
        joined.filter(|_| !apart)
    }
}

/// The moments up to `end` at which a contact of some link begins or ends, but no more than
/// [`limits::CONTACT_CHANGES`]: whatever changes more often is taken as it is then.
fn changes(record: &RunRecord, end: SimTime) -> BTreeSet<SimTime> {
    let mut moments = BTreeSet::new();
    let schedules = record.topology.links.values().filter_map(|link| link.schedule.as_ref());
    for schedule in schedules {
        let mut now = SimTime::ZERO;
        while let Some(next) = schedule.next_change(now).filter(|next| *next <= end) {
            if moments.len() >= limits::CONTACT_CHANGES {
                return moments;
            }
            if schedule.in_contact(now) != schedule.in_contact(next) {
                moments.insert(next);
            }
            now = next;
        }
    }
    moments
}

/// The pairs that may hold a session: those that the scenario peers, and between nodes that find each other
/// also those that links could join, or did.
fn possible(record: &RunRecord, edge: Edge) -> Vec<(NodeIndex, NodeIndex)> {
    let topology = &record.topology;
    let mut pairs = topology.sessions();
    match edge {
        Edge::Link => pairs.extend(topology.discoverable()),
        Edge::Session => {
            pairs.extend(record.sessions.iter().map(|event| (event.node.min(event.peer), event.node.max(event.peer))));
        }
    }
    pairs.sort_unstable();
    pairs.dedup();
    pairs
}

fn components(running: &[bool], joined: impl Iterator<Item = (NodeIndex, NodeIndex)>) -> Vec<Option<u32>> {
    let mut root: Vec<usize> = (0..running.len()).collect();
    fn find(root: &mut [usize], mut node: usize) -> usize {
        while root[node] != node {
            root[node] = root[root[node]];
            node = root[node];
        }
        node
    }
    for (a, b) in joined {
        if running[a.index()] && running[b.index()] {
            let (a, b) = (find(&mut root, a.index()), find(&mut root, b.index()));
            root[a.max(b)] = a.min(b);
        }
    }
    (0..running.len()).map(|node| running[node].then(|| find(&mut root, node) as u32)).collect()
}
