//! A record that came from a file is hostile until this has looked at it: figures and reports index by what it says.

use thiserror::Error;

use super::RunRecord;
use crate::limits;
use crate::plan::NodeIndex;
use crate::time::SimTime;

/// The greatest count: 2 to the power of 40 datagrams are more than a week of any link, and a million of them can be
/// added up.
const COUNT_MAX: u64 = 1 << 40;

/// What is wrong with a record.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{field}` {problem}")]
pub struct RecordFault {
    /// Where.
    pub field: String,
    /// What.
    pub problem: String,
}

fn fault(field: impl Into<String>, problem: impl Into<String>) -> RecordFault {
    RecordFault { field: field.into(), problem: problem.into() }
}

impl RunRecord {
    /// Checks that every position is in range, every sequence in order of time and every count within limits. What
    /// passes can be judged, measured and drawn without a panic; whether it is true, nobody can say.
    pub fn verify(&self) -> Result<(), RecordFault> {
        self.verify_topology()?;
        let end = self.meta.duration;
        if end > SimTime::from(limits::DURATION_MAX) {
            return Err(fault(
                "meta.duration",
                format!("is longer than {} days", limits::DURATION_MAX.as_secs() / 86_400),
            ));
        }
        if self.meta.writes_end > end {
            return Err(fault("meta.writes_end", "is after the end of the run"));
        }
        // What a world writes after the end (the last states) has no time of its own; a second is for its own grain.
        let latest = end + std::time::Duration::from_secs(1);
        let times = |field: &str, times: &mut dyn Iterator<Item = SimTime>| {
            let mut last = SimTime::ZERO;
            for (position, at) in times.enumerate() {
                if at < last {
                    return Err(fault(format!("{field}[{position}]"), "is out of order"));
                }
                if at > latest {
                    return Err(fault(format!("{field}[{position}]"), "is after the end of the run"));
                }
                last = at;
            }
            Ok(())
        };
        times("operations", &mut self.operations.iter().map(|of| of.invoked))?;
        times("visibility", &mut self.visibility.iter().map(|of| of.at))?;
        times("sessions", &mut self.sessions.iter().map(|of| of.at))?;
        times("dials", &mut self.dials.iter().map(|of| of.at))?;
        times("lives", &mut self.lives.iter().map(|of| of.at))?;
        times("convergences", &mut self.convergences.iter().copied())?;
        times("flights.list", &mut self.flights.list.iter().map(|of| of.sent))?;
        self.verify_nodes()?;
        self.verify_traffic()?;
        self.verify_size()
    }

    fn verify_topology(&self) -> Result<(), RecordFault> {
        let topology = &self.topology;
        if topology.nodes.is_empty() || topology.nodes.len() > limits::NODES as usize {
            let problem = format!("has {} entries; 1 to {} are allowed", topology.nodes.len(), limits::NODES);
            return Err(fault("topology.nodes", problem));
        }
        let groups = topology.groups.len();
        for (position, node) in topology.nodes.iter().enumerate() {
            let field = || format!("topology.nodes[{position}]");
            if node.index.index() != position {
                return Err(fault(format!("{}.index", field()), format!("is {}, not its position", node.index.0)));
            }
            if node.group as usize >= groups {
                return Err(fault(format!("{}.group", field()), format!("is {} of {groups} groups", node.group)));
            }
            self.known(&node.peers, || format!("{}.peers", field()))?;
        }
        let pairs =
            topology.links.keys().chain(self.traffic.by_group.keys()).chain(self.traffic.received_by_group.keys());
        for (a, b) in pairs {
            if *a as usize >= groups || *b as usize >= groups {
                return Err(fault("topology.links or traffic", format!("names the groups {a} and {b} of {groups}")));
            }
        }
        Ok(())
    }

    fn verify_nodes(&self) -> Result<(), RecordFault> {
        let each = |field: &str, nodes: &mut dyn Iterator<Item = NodeIndex>| {
            nodes.enumerate().try_for_each(|(position, node)| self.known(&[node], || format!("{field}[{position}]")))
        };
        each("operations", &mut self.operations.iter().map(|of| of.node))?;
        each("visibility", &mut self.visibility.iter().map(|of| of.node))?;
        each("sessions", &mut self.sessions.iter().flat_map(|of| [of.node, of.peer]))?;
        each("dials", &mut self.dials.iter().flat_map(|of| [of.node, of.peer]))?;
        each("lives", &mut self.lives.iter().map(|of| of.node))?;
        each("restart_snapshots", &mut self.restart_snapshots.iter().map(|of| of.node))?;
        each("finals", &mut self.finals.iter().map(|of| of.node))?;
        each("flights.list", &mut self.flights.list.iter().flat_map(|of| [of.from, of.to]))?;
        let ends = |pairs: &[(NodeIndex, NodeIndex)]| pairs.iter().flat_map(|(a, b)| [*a, *b]).collect::<Vec<_>>();
        for (position, of) in self.faults.iter().enumerate() {
            each(&format!("faults[{position}].spec.pairs"), &mut ends(&of.spec.pairs).into_iter())?;
            each(&format!("faults[{position}].spec.node"), &mut of.spec.node.into_iter())?;
        }
        Ok(())
    }

    fn verify_traffic(&self) -> Result<(), RecordFault> {
        let slices = (limits::DURATION_MAX.as_secs() / super::TRAFFIC_SLICE.as_secs()) as usize + 2;
        let classes = self.traffic.by_class.iter().map(|class| class.by_slice.len());
        if classes.chain([self.traffic.by_slice.len()]).any(|length| length > slices) {
            return Err(fault("traffic", format!("has more than {slices} slices")));
        }
        self.verify_counts()?;
        let nodes = self.topology.nodes.len();
        if self.traffic.received_by_node.len() > nodes {
            return Err(fault("traffic.received_by_node", format!("has more entries than the {nodes} nodes")));
        }
        if self.flights.list.len() > limits::FLIGHTS {
            return Err(fault("flights.list", format!("has more than {} entries", limits::FLIGHTS)));
        }
        Ok(())
    }

    /// Who could reach whom is worked out for every node at every change: as many of both at once would fill the
    /// memory.
    fn verify_size(&self) -> Result<(), RecordFault> {
        let changes = self.sessions.len() + self.lives.len() + 2 * self.faults.len();
        let nodes = self.topology.nodes.len();
        match changes.saturating_mul(nodes) > limits::REACH_CELLS {
            true => Err(fault("sessions", format!("has too many entries for {nodes} nodes to be judged"))),
            false => Ok(()),
        }
    }

    /// Sums of counts must not overflow.
    fn verify_counts(&self) -> Result<(), RecordFault> {
        let traffic = &self.traffic;
        let groups = traffic.by_group.values().chain(traffic.received_by_group.values());
        let counts = groups.chain(&traffic.received_by_node).chain(&traffic.by_slice).chain([&traffic.sent]);
        let counts = counts.flat_map(|count| [count.datagrams, count.bytes]);
        let links = self.faults.iter().flat_map(|fault| [&fault.at_apply, &fault.at_heal]);
        let links = links.flat_map(|of| [of.offered, of.delivered, of.down, of.loss, of.queue_full, of.killed]);
        let effects = self.faults.iter().flat_map(|fault| {
            let did = &fault.effect;
            let datagrams = [did.datagrams_blocked, did.datagrams_held, did.datagrams_carried, did.sessions_reset];
            let disk = [did.bytes_torn, did.bytes_lost, did.writes_refused, did.reads_refused, did.syncs_delayed];
            datagrams.into_iter().chain(disk).chain([did.clock_readings, did.operations])
        });
        let classes = traffic.by_class.iter().flat_map(|class| class.by_slice.iter().copied());
        let flights = self.flights.list.iter().flat_map(|flight| [flight.datagrams, flight.bytes]);
        let mut all = counts.chain(links).chain(effects).chain(classes).chain(flights).chain([traffic.dropped]);
        match all.any(|count| count > COUNT_MAX) {
            true => Err(fault("traffic, faults or flights", format!("has a count beyond {COUNT_MAX}"))),
            false => Ok(()),
        }
    }

    fn known(&self, nodes: &[NodeIndex], field: impl Fn() -> String) -> Result<(), RecordFault> {
        let count = self.topology.nodes.len();
        match nodes.iter().find(|node| node.index() >= count) {
            Some(node) => Err(fault(field(), format!("names node {} of {count}", node.0))),
            None => Ok(()),
        }
    }
}
