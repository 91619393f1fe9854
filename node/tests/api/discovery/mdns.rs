//! Multicast DNS on a network that exists for the test alone: a bridge, and a namespace for each node.

use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{NodeProcess, eventually, meshed};

const PATIENCE: Duration = Duration::from_secs(30);

/// Namespaces `n1`, `n2`, … on one bridge. They are gone when this is dropped.
struct Lan {
    prefix: String,
    nodes: usize,
}

impl Lan {
    /// `None`, with a notice, where namespaces may not be made.
    fn new(name: &str, nodes: usize) -> Option<Self> {
        let prefix = format!("peat{}{name}", std::process::id());
        let lan = Self { prefix, nodes };
        let hub = lan.hub();
        if let Err(why) = ip(&["netns", "add", &hub]) {
            eprintln!("SKIPPED: network namespaces cannot be made here: {why}");
            return None;
        }
        let must = |arguments: &[&str]| ip(arguments).expect("a network");
        must(&["-n", &hub, "link", "add", "br0", "type", "bridge"]);
        must(&["-n", &hub, "link", "set", "br0", "up"]);
        for index in 1..=nodes {
            let (node, port) = (lan.node(index), format!("p{index}"));
            must(&["netns", "add", &node]);
            must(&["-n", &hub, "link", "add", &port, "type", "veth", "peer", "name", "eth0", "netns", &node]);
            must(&["-n", &hub, "link", "set", &port, "master", "br0", "up"]);
            if index == 1 {
                // A machine without IPv6 is a node like any other.
                must(&["netns", "exec", &node, "sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6"]);
            }
            must(&["-n", &node, "addr", "add", &format!("10.77.0.{index}/24"), "dev", "eth0"]);
            must(&["-n", &node, "link", "set", "lo", "up"]);
            must(&["-n", &node, "link", "set", "eth0", "up"]);
        }
        Some(lan)
    }

    fn hub(&self) -> String {
        format!("{}hub", self.prefix)
    }

    fn node(&self, index: usize) -> String {
        format!("{}n{index}", self.prefix)
    }

    fn start(&self, index: usize, app_id: &str) -> NodeProcess {
        self.start_with(index, app_id, &[])
    }

    fn start_with(&self, index: usize, app_id: &str, further: &[&str]) -> NodeProcess {
        let arguments = [&["--app-id", app_id, "--discovery-mode", "mdns"], further].concat();
        NodeProcess::start(Some(&self.node(index)), arguments)
    }
}

impl Drop for Lan {
    fn drop(&mut self) {
        let namespaces = (1..=self.nodes).map(|index| self.node(index)).chain([self.hub()]);
        // Errors say that it was never made.
        namespaces.for_each(|namespace| drop(ip(&["netns", "del", &namespace])));
    }
}

fn ip(arguments: &[&str]) -> Result<(), String> {
    let done = Command::new("ip").args(arguments).output().map_err(|e| e.to_string())?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).trim().into()) }
}

fn figure(what: &str, took: Duration) {
    println!("figure: mdns, {what}: {:.0} ms", took.as_secs_f64() * 1e3);
}

/// When each of the nodes has logged something about a peer.
async fn logged(nodes: &[&NodeProcess], peer: &str, what: &str, limit: Duration) {
    let short = &peer[..10];
    for node in nodes {
        let has = |log: String| log.lines().any(|line| line.contains(what) && line.contains(short));
        eventually(what, limit, || async { has(node.log()).then_some(()) }).await;
    }
}

/// Bar 1 of issue 3.
#[tokio::test]
async fn nodes_on_one_network_find_each_other_and_notice_who_leaves() {
    let Some(lan) = Lan::new("m", 4) else { return };
    let on_one_address = ["--mesh-address", "10.77.0.2", "--iroh-udp-port", "7777"];
    let mut nodes = vec![lan.start(1, "fleet"), lan.start_with(2, "fleet", &on_one_address)];
    let foreign = lan.start(4, "other");
    for node in &nodes {
        node.client().await;
    }
    let began = Instant::now();
    nodes.push(lan.start(3, "fleet"));
    nodes[2].client().await;
    let serving = Instant::now();
    meshed(&nodes.iter().collect::<Vec<_>>(), 2, PATIENCE).await;
    figure("3 nodes, from the last one's start to a full mesh", began.elapsed());
    figure("3 nodes, from the last one serving to a full mesh", serving.elapsed());
    assert!(serving.elapsed() < Duration::from_secs(2), "{:?}", serving.elapsed());

    // A foreign application on the same network is heard and ignored.
    let name = foreign.endpoint_id().await;
    assert_eq!(foreign.connected().await, 0);
    for node in &nodes {
        let heard = || async { node.log().contains("Foreign").then_some(()) };
        eventually("the foreign node is heard", PATIENCE, heard).await;
        assert!(!node.log().contains(&name[..10]), "the foreign node was taken");
    }

    // One that stops says goodbye.
    let leaver = nodes[2].endpoint_id().await;
    let began = Instant::now();
    nodes[2].stop().await;
    logged(&[&nodes[0], &nodes[1]], &leaver, "left the local network", Duration::from_secs(5)).await;
    figure("a node stopped: from the signal to noticed by all", began.elapsed());
    meshed(&[&nodes[0], &nodes[1]], 1, PATIENCE).await;

    // One that dies is missed when its session ends.
    let dead = nodes[1].endpoint_id().await;
    let began = Instant::now();
    nodes[1].kill();
    logged(&[&nodes[0]], &dead, "left the local network", PATIENCE).await;
    figure("a node killed: until noticed", began.elapsed());
    assert_eq!(nodes[0].connected().await, 0);

    // And found again when it is back.
    nodes[1].restart();
    nodes[1].client().await;
    let took = meshed(&[&nodes[0], &nodes[1]], 1, PATIENCE).await;
    figure("a node back from the dead: from serving to a session", took);
    let found = || async {
        (nodes[0].log().matches(&format!("local network peer={}", &dead[..10])).count() == 3).then_some(())
    };
    eventually("it is heard again", PATIENCE, found).await;
}

/// Several on one machine share the mDNS port and the addresses.
#[tokio::test]
async fn nodes_on_one_machine_find_each_other_too() {
    let Some(lan) = Lan::new("s", 1) else { return };
    let nodes: Vec<NodeProcess> = (0..3).map(|_| lan.start(1, "fleet")).collect();
    for node in &nodes {
        node.client().await;
    }
    let took = meshed(&nodes.iter().collect::<Vec<_>>(), 2, PATIENCE).await;
    figure("3 nodes in one namespace, from the last one serving to a full mesh", took);
    assert!(took < Duration::from_secs(2), "{took:?}");
}
