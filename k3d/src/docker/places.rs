//! Names and addresses.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use peat_scenarios::plan::{NodeIndex, Plan};

use crate::cluster::fingerprint;
use crate::edge;

/// Ports of every node, in its own network.
pub const API_PORT: u16 = 50_051;
/// The mesh port of a node.
pub const MESH_PORT: u16 = 7_777;
/// Where the emulator is told what to do.
pub const CONTROL_PORT: u16 = 7_700;

/// In every network: the machine of the engine, the emulator, and the node.
const HOST: u8 = 1;
const EMULATOR: u8 = 2;
const NODE: u8 = 4;
/// The third byte of the control network: node networks have the index of their node.
const CONTROL: u8 = 255;

/// What everything of a run is named after: the same for the same scenario and seed, so that what an interrupted run left is found.
pub fn run_name(plan: &Plan) -> String {
    format!("ddil-{:06x}", fingerprint(&plan.name, plan.seed) & 0xff_ffff)
}

/// A network of a run: eight addresses, of which the engine may give out one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Net {
    base: [u8; 3],
}

/// The networks of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Nets {
    second: u8,
}

impl Nets {
    /// Attempt `attempt` at finding addresses that nobody has: somewhere in 10.160.0.0 to 10.199.255.255.
    pub fn of(plan: &Plan, attempt: u8) -> Self {
        let first = fingerprint(&plan.name, plan.seed) >> 24;
        Nets { second: 160 + u8::try_from((first + u64::from(attempt)) % 40).expect("invariant: below 40") }
    }

    /// That of a node and the emulator.
    pub fn node(self, node: NodeIndex) -> Net {
        let third = u8::try_from(node.0).expect("invariant: few nodes are admitted");
        Net { base: [10, self.second, third] }
    }

    /// That of the emulator and the runner.
    pub fn control(self) -> Net {
        Net { base: [10, self.second, CONTROL] }
    }
}

impl Net {
    fn at(self, last: u8) -> Ipv4Addr {
        Ipv4Addr::new(self.base[0], self.base[1], self.base[2], last)
    }

    /// All of it.
    pub fn subnet(self) -> String {
        format!("{}/29", self.at(0))
    }

    /// The one address that the engine gives out by itself, to the node: also after a restart it is this one.
    pub fn dynamic(self) -> String {
        format!("{}/32", self.at(NODE))
    }

    /// The machine of the engine.
    pub fn host(self) -> IpAddr {
        self.at(HOST).into()
    }

    /// The emulator.
    pub fn emulator(self) -> IpAddr {
        self.at(EMULATOR).into()
    }

    /// The node.
    pub fn node(self) -> IpAddr {
        self.at(NODE).into()
    }

    /// Where the node is told that a peer is.
    pub fn stands_for(self, node: NodeIndex, peer: NodeIndex) -> SocketAddr {
        SocketAddr::new(self.emulator(), edge::port(node, peer))
    }
}

/// The network of a node.
pub fn network(run: &str, node: &str) -> String {
    format!("{run}-{node}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_a_run_never_overlap_and_the_node_is_always_at_the_same_place() {
        let nets = Nets { second: 170 };
        let all: Vec<String> = (0..super::super::NODES_MAX).map(|node| nets.node(NodeIndex(node)).subnet()).collect();
        assert!(all.iter().collect::<std::collections::BTreeSet<_>>().len() == all.len());
        assert!(!all.contains(&nets.control().subnet()));
        let net = nets.node(NodeIndex(3));
        assert_eq!((net.subnet().as_str(), net.dynamic().as_str()), ("10.170.3.0/29", "10.170.3.4/32"));
        assert_eq!(net.stands_for(NodeIndex(3), NodeIndex(1)).to_string(), "10.170.3.2:20193");
    }
}
