//! Two networks and a router between them, in namespaces of this process alone: nothing outside is touched
//! and everything is gone when it ends, however it ends.
//!
//! ```text
//! namespace a 10.77.1.2 ── 10.77.1.1 this process 10.77.2.1 ── 10.77.2.2 namespace b
//! ```
//!
//! With forwarding off, this process drops what comes from one for the other without a word: neither side
//! is told, as on a satellite link that died. Works as root, and without where the kernel lets users make
//! namespaces.

use std::io::Read;
use std::process::{Command, Stdio};

use crate::process::Process;
use crate::report::Report;
use crate::{Common, Failure};

const FORWARD: &str = "/proc/sys/net/ipv4/ip_forward";

/// Runs this program again, with these arguments, inside namespaces, and takes over what that printed.
pub(crate) async fn again_inside(
    common: &Common,
    arguments: impl IntoIterator<Item = String>,
) -> Result<Report, Failure> {
    let words = unshare();
    let mut command = Command::new(words[0]);
    command.args(&words[1..]).arg(std::env::current_exe()?).args(arguments).args(["--json", "--dir"]).arg(&common.dir);
    if let Some(node) = &common.node {
        command.arg("--node").arg(node);
    }
    if common.keep {
        command.arg("--keep");
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut inside = Process::start(&mut command).map_err(|e| format!("unshare: {e}"))?;
    let mut stdout = inside.stdout().ok_or("the run inside network namespaces has no output")?;
    // On a thread, so that an interrupt is noticed meanwhile.
    let printed = tokio::task::spawn_blocking(move || {
        let mut printed = Vec::new();
        stdout.read_to_end(&mut printed).map(|_| printed)
    })
    .await??;
    let reports: Vec<Report> = serde_json::from_slice(&printed).map_err(|_| {
        "the run inside network namespaces gave no result; it needs Linux, unshare, ip, and root or user \
         namespaces. On one loopback the nodes would find a way round what is between them"
    })?;
    reports.into_iter().next().ok_or_else(|| "the run inside network namespaces gave no report".into())
}

/// A command line that runs the rest of itself in new namespaces.
fn unshare() -> Vec<&'static str> {
    // Writable /proc/sys/net is what tells root from a user better than an id does.
    let root = std::fs::OpenOptions::new().write(true).open(FORWARD).is_ok();
    let mut command = vec!["unshare", "--net", "--mount"];
    if !root {
        command.extend(["--user", "--map-root-user"]);
    }
    command.push("--");
    command
}

/// The router.
pub(crate) struct Router;

/// Packets of the router since it began.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Packets {
    pub(crate) forwarded: u64,
    pub(crate) dropped: u64,
}

impl Router {
    /// Names and addresses of the two sides.
    pub(crate) const SIDES: [(&'static str, &'static str); 2] = [("a", "10.77.1.2"), ("b", "10.77.2.2")];

    /// Builds the networks, with forwarding on. Only inside [`unshare`].
    pub(crate) fn build() -> Result<Self, Failure> {
        // `ip netns` keeps its names here; ours are nobody else's.
        run("mount -t tmpfs tmpfs /run")?;
        // It shows the interfaces of the namespace that it was mounted in.
        run("mount -t sysfs sysfs /sys")?;
        run("ip link set lo up")?;
        for ((name, address), net) in Self::SIDES.into_iter().zip(1..) {
            run(&format!("ip netns add {name}"))?;
            run(&format!("ip link add to-{name} type veth peer name eth0 netns {name}"))?;
            run(&format!("ip address add 10.77.{net}.1/24 dev to-{name}"))?;
            run(&format!("ip link set to-{name} up"))?;
            run(&format!("ip -n {name} address add {address}/24 dev eth0"))?;
            run(&format!("ip -n {name} link set lo up"))?;
            run(&format!("ip -n {name} link set eth0 up"))?;
            run(&format!("ip -n {name} route add default via 10.77.{net}.1"))?;
        }
        let router = Self;
        router.heal()?;
        Ok(router)
    }

    /// From now on everything between the two is dropped.
    pub(crate) fn cut(&self) -> Result<(), Failure> {
        Ok(std::fs::write(FORWARD, "0")?)
    }

    /// From now on it passes again.
    pub(crate) fn heal(&self) -> Result<(), Failure> {
        Ok(std::fs::write(FORWARD, "1")?)
    }

    /// UDP payload bytes that side a has sent and received since the networks were built.
    pub(crate) fn payload_bytes(&self) -> Result<u64, Failure> {
        /// Ethernet, IPv4 and UDP before the payload of each packet.
        const HEADERS: u64 = 14 + 20 + 8;
        let count = |what: &str| -> Result<u64, Failure> {
            let file = format!("/sys/class/net/to-a/statistics/{what}");
            Ok(std::fs::read_to_string(&file).map_err(|e| format!("{file}: {e}"))?.trim().parse()?)
        };
        let (bytes, packets) = (count("rx_bytes")? + count("tx_bytes")?, count("rx_packets")? + count("tx_packets")?);
        Ok(bytes.saturating_sub(packets * HEADERS))
    }

    /// What the kernel counted.
    pub(crate) fn packets(&self) -> Result<Packets, Failure> {
        let table = std::fs::read_to_string("/proc/net/snmp")?;
        let mut lines = table.lines().filter_map(|line| line.strip_prefix("Ip: "));
        let (Some(names), Some(values)) = (lines.next(), lines.next()) else {
            return Err("/proc/net/snmp has no Ip lines".into());
        };
        let count = |wanted: &str| -> Result<u64, Failure> {
            let found = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == wanted);
            Ok(found.ok_or_else(|| format!("/proc/net/snmp has no {wanted}"))?.1.parse()?)
        };
        // What is refused because forwarding is off counts as an address error.
        Ok(Packets { forwarded: count("ForwDatagrams")?, dropped: count("InAddrErrors")? })
    }
}

fn run(line: &str) -> Result<(), Failure> {
    let mut words = line.split(' ');
    let program = words.next().ok_or("an empty command")?;
    let output = Command::new(program).args(words).output().map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("`{line}` failed: {}", String::from_utf8_lossy(&output.stderr).trim()).into())
}
