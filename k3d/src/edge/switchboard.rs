//! Several edges as one emulator: the runner speaks with one, whatever the world is made of.
//!
//! A switchboard is the far end of a channel ([`protocol`](crate::emulator::protocol)) whose near end is the runner's [`Links`]. Every
//! request goes to the edge that owns the direction; what edges count is added up. Something else may happen with a change
//! of links ([`Aside`]): world `docker` takes the emulator off a network.

use std::io;

use peat_scenarios::limits;
use peat_scenarios::physics::LinkCounters;
use peat_scenarios::plan::{NodeIndex, Step};
use peat_scenarios::record::{FaultEffect, Flights, Traffic};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, DuplexStream};

use crate::edge;
use crate::emulator::protocol::{Answer, Request, Setup, Tally};
use crate::ground::{GroundError, Links};

/// Bytes that may wait between the runner and the switchboard: they exchange a line at a time.
const CHANNEL_BYTES: usize = 1 << 16;

/// Nodes that dial each other send something. If nothing of it comes, that is no finding about them.
const SILENCE: &str = "not one datagram of any node came: something drops what passes between the nodes and it, most likely a \
                       firewall (iptables -S FORWARD, sysctl net.bridge.bridge-nf-call-iptables)";

/// What happens besides, when links change. It is done before the edges are told of what ends, and after they were told of what
/// begins: a link that is shaped is there.
pub trait Aside {
    /// The links change.
    fn change(&mut self, step: &Step) -> impl Future<Output = Result<(), GroundError>> + Send;
}

/// Nothing happens besides.
#[derive(Debug, Clone, Copy)]
pub struct NothingElse;

impl Aside for NothingElse {
    async fn change(&mut self, _step: &Step) -> Result<(), GroundError> {
        Ok(())
    }
}

/// An edge, and which nodes are behind it: it owns the directions that begin at one of them.
pub struct Edge {
    /// The channel to it.
    pub links: Links,
    /// By index of the node.
    pub behind: Vec<bool>,
}

impl Edge {
    fn owns(&self, from: NodeIndex) -> bool {
        self.behind.get(from.index()).copied().unwrap_or_default()
    }
}

/// Several edges, and what happens besides.
pub struct Switchboard<A> {
    edges: Vec<Edge>,
    aside: A,
    /// Some nodes dial others.
    expects: bool,
}

/// The two ends of the channel between a runner and a switchboard.
pub fn channel() -> (DuplexStream, DuplexStream) {
    tokio::io::duplex(CHANNEL_BYTES)
}

/// The runner's end, once the switchboard serves the other one.
pub async fn near_end(end: DuplexStream, setup: &Setup) -> Result<Links, GroundError> {
    let (answers, requests) = tokio::io::split(end);
    Links::open(answers, requests, setup).await
}

impl<A: Aside> Switchboard<A> {
    /// The edges are open already.
    pub fn new(edges: Vec<Edge>, aside: A) -> Self {
        Self { edges, aside, expects: false }
    }

    /// Serves until the channel ends.
    pub async fn serve(mut self, end: DuplexStream) -> io::Result<()> {
        let (requests, mut answers) = tokio::io::split(end);
        let mut requests = BufReader::new(requests).lines();
        // What the edges are they know already.
        let Some(setup) = requests.next_line().await? else { return Ok(()) };
        self.expects = !serde_json::from_str::<Setup>(&setup)?.topology.sessions().is_empty();
        tell(&mut answers, &Answer::Ready).await?;
        while let Some(line) = requests.next_line().await? {
            let answer = match serde_json::from_str(&line) {
                Ok(request) => self.answer(request).await.unwrap_or_else(|error| Answer::Failed(error.0)),
                Err(error) => Answer::Failed(format!("not a request: {error}")),
            };
            tell(&mut answers, &answer).await?;
        }
        Ok(())
    }

    async fn answer(&mut self, request: Request) -> Result<Answer, GroundError> {
        match request {
            Request::Begin => {
                for edge in &mut self.edges {
                    edge.links.begin().await?;
                }
            }
            Request::Apply(step) => self.apply(&step).await?,
            Request::Move { node, to } => {
                for edge in self.edges.iter_mut().filter(|edge| edge.owns(node)) {
                    edge.links.relocate(node, to).await?;
                }
            }
            Request::Counters(pairs) => {
                let mut sum = LinkCounters::default();
                for edge in &mut self.edges {
                    let own: Vec<_> = pairs.iter().copied().filter(|(from, _)| edge.owns(*from)).collect();
                    if !own.is_empty() {
                        sum.add(&edge.links.counters(&own).await?);
                    }
                }
                return Ok(Answer::Counters(sum));
            }
            Request::Effect(fault) => {
                let mut sum = FaultEffect::default();
                for edge in &mut self.edges {
                    sum.add(&edge.links.effect(fault).await?);
                }
                return Ok(Answer::Effect(Box::new(sum)));
            }
            Request::End => {
                let mut tallies = Vec::new();
                for edge in &mut self.edges {
                    tallies.push(edge.links.end().await?);
                }
                let tally = together(tallies);
                let silent = tally.traffic.sent.datagrams == 0 && tally.strays.from_strangers == 0;
                return Ok(match silent && self.expects {
                    true => Answer::Failed(SILENCE.to_owned()),
                    false => Answer::Tally(Box::new(tally)),
                });
            }
        }
        Ok(Answer::Done)
    }

    async fn apply(&mut self, step: &Step) -> Result<(), GroundError> {
        if !step.begins() {
            self.aside.change(step).await?;
        }
        for edge in &mut self.edges {
            if let Some(part) = edge::part(step, |from, _| edge.owns(from)) {
                edge.links.apply(&part).await?;
            }
        }
        if step.begins() {
            self.aside.change(step).await?;
        }
        Ok(())
    }
}

async fn tell(to: &mut (impl AsyncWriteExt + Unpin), answer: &Answer) -> io::Result<()> {
    let mut line = serde_json::to_vec(answer)?;
    line.push(b'\n');
    to.write_all(&line).await?;
    to.flush().await
}

/// What several edges counted, each what leaves it.
fn together(tallies: Vec<Tally>) -> Tally {
    let mut late: Vec<[u64; 3]> =
        tallies.iter().map(|tally| [tally.late_p50_ns, tally.late_p99_ns, tally.late_max_ns]).collect();
    late.sort_unstable_by(|a, b| b.cmp(a));
    // A datagram passes two edges at most: it is late by no more than the two latest together.
    let worst = |which: usize| late.iter().take(2).map(|late| late[which]).sum();
    let (late_p50_ns, late_p99_ns, late_max_ns) = (worst(0), worst(1), worst(2));
    let mut tallies = tallies.into_iter();
    let Some(mut sum) = tallies.next() else {
        let (traffic, flights) = (Traffic::default(), Flights::default());
        return Tally {
            traffic,
            flights,
            handed_on: 0,
            late_p50_ns,
            late_p99_ns,
            late_max_ns,
            strays: Default::default(),
        };
    };
    for tally in tallies {
        add_traffic(&mut sum.traffic, tally.traffic);
        add_flights(&mut sum.flights, tally.flights);
        sum.handed_on += tally.handed_on;
        sum.strays.from_strangers += tally.strays.from_strangers;
        sum.strays.not_taken += tally.strays.not_taken;
        sum.strays.overflows += tally.strays.overflows;
    }
    Tally { late_p50_ns, late_p99_ns, late_max_ns, ..sum }
}

fn add_traffic(sum: &mut Traffic, other: Traffic) {
    sum.sent.datagrams += other.sent.datagrams;
    sum.sent.bytes += other.sent.bytes;
    sum.dropped += other.dropped;
    let maps = [(&mut sum.by_group, other.by_group), (&mut sum.received_by_group, other.received_by_group)];
    for (sums, others) in maps {
        for (pair, count) in others {
            let sum = sums.entry(pair).or_default();
            sum.datagrams += count.datagrams;
            sum.bytes += count.bytes;
        }
    }
    let lists = [(&mut sum.received_by_node, other.received_by_node), (&mut sum.by_slice, other.by_slice)];
    for (sums, others) in lists {
        sums.resize(sums.len().max(others.len()), Default::default());
        for (sum, count) in sums.iter_mut().zip(others) {
            sum.datagrams += count.datagrams;
            sum.bytes += count.bytes;
        }
    }
}

fn add_flights(sum: &mut Flights, other: Flights) {
    sum.list.extend(other.list);
    sum.list.sort_by_key(|flight| flight.sent);
    sum.merged_within = sum.merged_within.max(other.merged_within);
    sum.least_bytes = sum.least_bytes.max(other.least_bytes);
    sum.datagrams += other.datagrams;
    sum.left_out += other.left_out;
    if sum.list.len() > limits::FLIGHTS {
        let mut sizes: Vec<u64> = sum.list.iter().map(|flight| flight.bytes).collect();
        sizes.sort_unstable();
        let least = sizes[sizes.len() - limits::FLIGHTS] + 1;
        let mut left_out = 0;
        sum.list.retain(|flight| {
            let kept = flight.bytes >= least;
            left_out += if kept { 0 } else { flight.datagrams };
            kept
        });
        sum.left_out += left_out;
        sum.least_bytes = sum.least_bytes.max(least);
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::sync::{Arc, Mutex};
    use std::time::Duration;

    use peat_scenarios::Scenario;
    use peat_scenarios::model::{LinkShape, LinkSpec, Workload};
    use peat_scenarios::plan::{self, FaultIndex, Topology};

    use super::*;
    use crate::emulator::{PortSetup, received};

    fn two_places() -> Topology {
        let shape = LinkShape { latency: Some(Duration::from_millis(20)), ..LinkShape::default() };
        let scenario = Scenario::builder("edges")
            .purpose("a link with an edge at each end")
            .duration(Duration::from_secs(60))
            .cluster("alpha", |cluster| cluster.group("a", 1))
            .cluster("bravo", |cluster| cluster.group("b", 1))
            .link(LinkSpec::shaped("a", "b", shape))
            .workload(Workload::heartbeat(["a"], Duration::from_secs(30)))
            .build()
            .unwrap();
        plan::expand(&scenario, 1).topology
    }

    /// An emulator in a thread of its own, at the other end of a pipe, as a container would be.
    async fn open(setup: &Setup) -> Links {
        let (near, far) = std::os::unix::net::UnixStream::pair().unwrap();
        let other = far.try_clone().unwrap();
        std::thread::spawn(move || crate::emulator::serve(far, other).unwrap());
        near.set_nonblocking(true).unwrap();
        let (answers, requests) = tokio::net::UnixStream::from_std(near).unwrap().into_split();
        Links::open(answers, requests, setup).await.unwrap()
    }

    #[derive(Clone, Default)]
    struct Told(Arc<Mutex<Vec<bool>>>);

    impl Aside for Told {
        async fn change(&mut self, step: &Step) -> Result<(), GroundError> {
            self.0.lock().unwrap().push(step.begins());
            Ok(())
        }
    }

    fn bound() -> UdpSocket {
        UdpSocket::bind("127.0.0.1:0").unwrap()
    }

    /// Node a, edge of alpha, edge of bravo, node b: what a sends arrives at b once, late by the link's latency, and is counted once; cut, it
    /// is counted as blocked at the edge that it would have left by; b hears it from the port that stands for a.
    #[test]
    fn a_datagram_passes_two_edges_and_one_link() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (a, b) = (NodeIndex(0), NodeIndex(1));
            let topology = two_places();
            let (node_a, node_b) = (bound(), bound());
            let free: Vec<_> = (0..4).map(|_| bound()).collect();
            let at: Vec<_> = free.iter().map(|socket| socket.local_addr().unwrap()).collect();
            drop(free);
            let port = |faces, stands_for, bind: usize, node, entering| PortSetup {
                faces,
                stands_for,
                bind: at[bind],
                node,
                roams: false,
                entering,
            };
            let setup = |place: &str, ports| Setup { topology: edge::leaving(&topology, place), seed: 1, ports };
            let alpha =
                setup("alpha", vec![port(a, b, 0, node_a.local_addr().unwrap(), false), port(b, a, 1, at[2], true)]);
            let bravo =
                setup("bravo", vec![port(a, b, 2, at[1], true), port(b, a, 3, node_b.local_addr().unwrap(), false)]);
            let edges = vec![
                Edge { links: open(&alpha).await, behind: vec![true, false] },
                Edge { links: open(&bravo).await, behind: vec![false, true] },
            ];
            let (near, far) = channel();
            let told = Told::default();
            let mut tasks = tokio::task::JoinSet::new();
            tasks.spawn(Switchboard::new(edges, told.clone()).serve(far));
            let mut links = near_end(near, &alpha).await.unwrap();
            links.begin().await.unwrap();

            node_b.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            node_a.send_to(b"one", at[0]).unwrap();
            let mut buffer = [0; 16];
            let (length, source) = received(&node_b, &mut buffer);
            assert_eq!((&buffer[..length], source), (&b"one"[..], at[3]));

            let (fault, pairs) = (FaultIndex(0), vec![(a, b), (b, a)]);
            links.apply(&Step::LinksDown { fault, pairs: pairs.clone() }).await.unwrap();
            node_a.send_to(b"two", at[0]).unwrap();
            // The counters are read through the same emulator that receives it, which may still be about to.
            while links.counters(&pairs).await.unwrap().down == 0 {}
            links.apply(&Step::Heal { fault, pairs: pairs.clone() }).await.unwrap();
            node_b.send_to(b"three", at[3]).unwrap();
            node_a.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
            let (length, source) = received(&node_a, &mut buffer);
            assert_eq!((&buffer[..length], source), (&b"three"[..], at[0]));

            let counters = links.counters(&pairs).await.unwrap();
            assert_eq!((counters.offered, counters.down, counters.arrived), (3, 1, 2));
            let tally = links.end().await.unwrap();
            assert_eq!((tally.traffic.sent.datagrams, tally.traffic.dropped, tally.flights.datagrams), (3, 1, 3));
            assert_eq!(tally.strays, Default::default());
            assert_eq!(*told.0.lock().unwrap(), [true, false]);
        });
    }
}
