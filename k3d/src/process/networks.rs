//! Networks of this run alone: one for each node, and the one in the middle where the emulator is.
//!
//! ```text
//! network n0: 10.78.0.2 ── 10.78.0.1 ┐
//! network n1: 10.78.1.2 ── 10.78.1.1 ┤ this process: emulator, runner
//! network n2: 10.78.2.2 ── 10.78.2.1 ┘
//! ```
//!
//! A node has one neighbour, the emulator, and no route to anywhere else. On a shared loopback that could not be had: iroh tells
//! its peers every address it has, and they find the way around whatever was put between them; so would any server that is
//! as good. The networks belong to this process and are gone when it ends, however it ends. Nothing outside is touched.
//!
//! Needs Linux with `unshare` and `ip`, and to be root or that the kernel lets users make namespaces. Without, the run ends
//! as an error of the infrastructure, with the reason.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::process::{Command, Output};

use peat_scenarios::plan::NodeIndex;

/// Bytes 0 and 1 of every address.
const NET: [u8; 2] = [10, 78];

/// Why there is no ground to run on.
#[derive(Debug, thiserror::Error)]
pub enum NetworksError {
    /// A program of the system is missing, or not allowed.
    #[error("`{line}` cannot be run: {source}; real worlds need Linux with `unshare` (util-linux) and `ip` (iproute2)")]
    Run {
        /// The command.
        line: String,
        /// Why.
        source: io::Error,
    },
    /// It was run and refused.
    #[error(
        "`{line}` failed: {said}; real worlds need to be root, or a kernel that lets users make namespaces \
         (sysctl kernel.unprivileged_userns_clone, kernel.apparmor_restrict_unprivileged_userns)"
    )]
    Refused {
        /// The command.
        line: String,
        /// What it wrote.
        said: String,
    },
}

/// The networks, from [inside](super::inside).
#[derive(Debug)]
pub struct Networks {
    nodes: u32,
}

impl Networks {
    /// Builds a network for each of so many nodes.
    pub fn build(nodes: u32) -> Result<Self, NetworksError> {
        // `ip netns` keeps its names here; ours are nobody else's.
        run("mount -t tmpfs tmpfs /run")?;
        run("ip link set lo up")?;
        let networks = Self { nodes };
        for node in (0..nodes).map(NodeIndex) {
            let (name, hub, own) = (network(node), networks.hub(node), networks.address(node));
            run(&format!("ip netns add {name}"))?;
            run(&format!("ip link add to-{name} type veth peer name eth0 netns {name}"))?;
            run(&format!("ip address add {hub}/24 dev to-{name}"))?;
            run(&format!("ip link set to-{name} up"))?;
            run(&format!("ip -n {name} address add {own}/24 dev eth0"))?;
            run(&format!("ip -n {name} link set lo up"))?;
            run(&format!("ip -n {name} link set eth0 up"))?;
        }
        Ok(networks)
    }

    /// Address of a node.
    pub fn address(&self, node: NodeIndex) -> IpAddr {
        address(node, 2)
    }

    /// Address of this process in a node's network.
    pub fn hub(&self, node: NodeIndex) -> IpAddr {
        address(node, 1)
    }

    /// A command that runs a program in a node's network. Its process is the program's own.
    pub fn command(&self, node: NodeIndex, program: &std::ffi::OsStr) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &network(node)]).arg(program);
        command
    }
}

impl Drop for Networks {
    fn drop(&mut self) {
        // For a run that may come after this one; with the namespaces they end anyway.
        for node in (0..self.nodes).map(NodeIndex) {
            let name = network(node);
            let _ = run(&format!("ip link del to-{name}"));
            let _ = run(&format!("ip netns del {name}"));
        }
    }
}

fn network(node: NodeIndex) -> String {
    format!("n{}", node.0)
}

fn address(node: NodeIndex, last: u8) -> IpAddr {
    let third = u8::try_from(node.0).expect("invariant: a run has at most NODES_MAX nodes");
    IpAddr::V4(Ipv4Addr::new(NET[0], NET[1], third, last))
}

fn run(line: &str) -> Result<(), NetworksError> {
    let mut words = line.split(' ');
    let program = words.next().unwrap_or_default();
    let output = Command::new(program).args(words).output();
    let Output { status, stderr, .. } =
        output.map_err(|source| NetworksError::Run { line: line.to_owned(), source })?;
    if status.success() {
        return Ok(());
    }
    Err(NetworksError::Refused { line: line.to_owned(), said: String::from_utf8_lossy(&stderr).trim().to_owned() })
}
