//! Faults in Rust.

use std::time::Duration;

use super::super::{Composite, End, Event, Fault, FaultKind, LinkShape, Repeat, Trouble, When};

fn pair(a: &str, b: &str) -> (String, String) {
    (a.to_owned(), b.to_owned())
}

fn names<'a>(names: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    names.into_iter().map(str::to_owned).collect()
}

/// Faults of links.
impl Fault {
    fn new(id: &str, kind: FaultKind) -> Self {
        Fault { id: id.to_owned(), when: When::At(Duration::ZERO), end: End::Entry, repeat: None, kind }
    }

    /// Nothing passes between two groups.
    pub fn partition(id: &str, a: &str, b: &str) -> Self {
        Fault::new(id, FaultKind::Partition { between: pair(a, b) })
    }

    /// Nothing passes from one group to the other.
    pub fn one_way_cut(id: &str, from: &str, to: &str) -> Self {
        Fault::new(id, FaultKind::OneWayCut { from: from.to_owned(), to: to.to_owned() })
    }

    /// A group loses its links to every other group.
    pub fn blackout(id: &str, group: &str) -> Self {
        Fault::new(id, FaultKind::Blackout { group: group.to_owned() })
    }

    /// No connection can be opened between two groups; those that are open live.
    pub fn dial_only_partition(id: &str, a: &str, b: &str) -> Self {
        Fault::new(id, FaultKind::DialOnlyPartition { between: pair(a, b) })
    }

    /// Nothing passes between two groups, and both ends of every session are told at once.
    pub fn reset(id: &str, a: &str, b: &str) -> Self {
        Fault::new(id, FaultKind::Reset { between: pair(a, b) })
    }

    /// What two groups send each other is held, and arrives in a burst at the heal.
    pub fn clog(id: &str, a: &str, b: &str) -> Self {
        Fault::new(id, FaultKind::Clog { between: pair(a, b) })
    }

    /// The link goes down for `down` of each `period`. Needs [`Fault::lasting`].
    pub fn flap(id: &str, a: &str, b: &str, period: Duration, down: Duration) -> Self {
        Fault::new(id, FaultKind::Flap { between: pair(a, b), period, down })
    }

    /// A link becomes another one.
    pub fn degrade(id: &str, a: &str, b: &str, shape: LinkShape) -> Self {
        Fault::new(id, FaultKind::Degrade { between: pair(a, b), shape, forward: None, back: None })
    }

    /// For degradations: what differs from the first group to the second.
    pub fn forward(mut self, differs: LinkShape) -> Self {
        if let FaultKind::Degrade { forward, .. } = &mut self.kind {
            *forward = Some(Box::new(differs));
        }
        self
    }

    /// For degradations: what differs from the second group to the first.
    pub fn back(mut self, differs: LinkShape) -> Self {
        if let FaultKind::Degrade { back, .. } = &mut self.kind {
            *back = Some(Box::new(differs));
        }
        self
    }

    /// A link gets narrow, with a queue far too deep for that.
    pub fn bufferbloat(id: &str, a: &str, b: &str, bandwidth_bps: u64, queue_bytes: u64) -> Self {
        Fault::new(id, FaultKind::Bufferbloat { between: pair(a, b), bandwidth_bps, queue_bytes })
    }
}

/// Faults of nodes.
impl Fault {
    /// Something happens to a node.
    pub fn node(id: &str, node: &str, trouble: Trouble) -> Self {
        Fault::new(id, FaultKind::Node { node: node.to_owned(), trouble })
    }

    /// A node stops without a farewell.
    pub fn crash(id: &str, node: &str) -> Self {
        Fault::node(id, node, Trouble::Crash)
    }

    /// A node does not run for a while, but is not gone.
    pub fn pause(id: &str, node: &str) -> Self {
        Fault::node(id, node, Trouble::Pause)
    }
}

/// Composite faults. Each needs [`Fault::lasting`].
impl Fault {
    /// Nodes of a group crash at random, on average one `every`, and are `down` each time.
    pub fn churn(id: &str, group: &str, every: Duration, down: Duration) -> Self {
        Fault::new(id, FaultKind::Composite(Composite::Churn { group: group.to_owned(), every, down }))
    }

    /// Groups lose all their links one by one, and get them back in another order.
    pub fn rolling_outage<'a>(id: &str, groups: impl IntoIterator<Item = &'a str>) -> Self {
        Fault::new(id, FaultKind::Composite(Composite::RollingOutage { groups: names(groups) }))
    }

    /// A random part of the nodes of some groups lose all their links one by one, and get them back in another order.
    pub fn swizzle<'a>(id: &str, groups: impl IntoIterator<Item = &'a str>, share: f64) -> Self {
        Fault::new(id, FaultKind::Composite(Composite::Swizzle { groups: names(groups), share }))
    }

    /// All sessions of a group end at once for everyone, and all dial again when it is over.
    pub fn reconnect_storm(id: &str, group: &str) -> Self {
        Fault::new(id, FaultKind::Composite(Composite::ReconnectStorm { group: group.to_owned() }))
    }

    /// A group has a link to one of its stops at a time.
    pub fn data_mule<'a>(
        id: &str,
        mule: &str,
        stops: impl IntoIterator<Item = &'a str>,
        stay: Duration,
        travel: Duration,
    ) -> Self {
        let (mule, stops) = (mule.to_owned(), names(stops));
        Fault::new(id, FaultKind::Composite(Composite::DataMule { mule, stops, stay, travel }))
    }

    /// Islands that know nothing of each other join one after the other.
    pub fn island_merge(id: &str, islands: &[&[&str]]) -> Self {
        let islands = islands.iter().map(|island| names(island.iter().copied())).collect();
        Fault::new(id, FaultKind::Composite(Composite::IslandMerge { islands }))
    }
}

/// Ends, and when things happen.
impl Fault {
    /// A fault ends.
    pub fn heal(ends: &str) -> Self {
        Fault::new(&format!("heal-{ends}"), FaultKind::Heal { ends: ends.to_owned() })
    }

    /// A node that is down starts again.
    pub fn restart(node: &str) -> Self {
        Fault::new(&format!("restart-{node}"), FaultKind::Restart { node: node.to_owned() })
    }

    /// It happens at a time.
    pub fn at(mut self, at: Duration) -> Self {
        self.when = When::At(at);
        self
    }

    /// It happens at a moment in between that the seed chooses.
    pub fn within(mut self, from: Duration, until: Duration) -> Self {
        self.when = When::Within(from, until);
        self
    }

    /// It happens `after` all nodes are equal and everything declared before has happened.
    pub fn when_converged(self, after: Duration) -> Self {
        self.on(Event::Converged, after)
    }

    /// It happens once so many writes were acknowledged.
    pub fn after_writes(self, count: u64) -> Self {
        self.on(Event::Writes { count, of: None }, Duration::ZERO)
    }

    /// It happens `after` an event.
    pub fn on(mut self, event: Event, after: Duration) -> Self {
        self.when = When::On { event, after };
        self
    }

    /// It ends by itself.
    pub fn lasting(mut self, span: Duration) -> Self {
        self.end = End::After(span);
        self
    }

    /// It is there at the end of the run.
    pub fn for_ever(mut self) -> Self {
        self.end = End::Never;
        self
    }

    /// It happens `times` times, beginning each `every`.
    pub fn repeating(mut self, times: u32, every: Duration) -> Self {
        self.repeat = Some(Repeat { times, every });
        self
    }
}
