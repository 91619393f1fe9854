//! Real QUIC over the fabric, without a node: if a run of this does not repeat, no scenario can.

use std::collections::BTreeMap;
use std::time::Duration;

use iroh::{Endpoint, EndpointAddr, TransportAddr};
use peat_node::config::Timing;
use peat_node::mesh::{ALPN, Underlay, bind};
use peat_scenarios::model::{LinkShape, LinkSpec, Workload};
use peat_scenarios::plan::{self, FaultIndex, Step};
use peat_scenarios::profiles::Profile;
use peat_scenarios::{RunRecord, Scenario};
use tokio::task::AbortHandle;

use super::*;
use crate::clock::SimClock;
use crate::hooks;
use crate::journal::Journal;
use crate::life::identity;
use crate::net::{SimResolver, address_text, custom_address};
use crate::trace::{Event, Kind, Trace, first_difference};

const NODES: u32 = 4;
const CUT: FaultIndex = FaultIndex(0);

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn scenario() -> Scenario {
    let lossy = LinkShape { loss: Some(0.02), ..LinkShape::profile(Profile::Lte) };
    Scenario::builder("quic-alone")
        .duration(seconds(120))
        .cluster("c", |cluster| cluster.group("g", NODES))
        .link(LinkSpec::shaped("g", "g", lossy))
        .workload(Workload::heartbeat(["g"], seconds(30)))
        .build()
        .unwrap()
}

async fn echo(endpoint: Endpoint) {
    while let Some(incoming) = endpoint.accept().await {
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((mut to, mut from)) = connection.accept_bi().await {
                tokio::spawn(async move {
                    let mut buffer = vec![0; 4096];
                    while let Ok(Some(n)) = from.read(&mut buffer).await {
                        if to.write_all(&buffer[..n]).await.is_err() {
                            break;
                        }
                    }
                });
            }
        });
    }
}

async fn ask(endpoint: &Endpoint, peer: NodeIndex, journal: &Journal, me: NodeIndex) -> Result<(), String> {
    let text = |e: &dyn std::fmt::Display| e.to_string();
    let address = [TransportAddr::Custom(custom_address(peer))];
    let address = EndpointAddr::from_parts(identity(1, peer).public(), address);
    let dial = tokio::time::timeout(seconds(3), endpoint.connect(address, ALPN)).await;
    let connection = dial.map_err(|e| text(&e))?.map_err(|e| text(&e))?;
    journal.note(Kind::Node, me, &format!("connected to {}", peer.0));
    let (mut to, mut from) = connection.open_bi().await.map_err(|e| text(&e))?;
    loop {
        to.write_all(&[1; 3000]).await.map_err(|e| text(&e))?;
        from.read_exact(&mut [0; 3000]).await.map_err(|e| text(&e))?;
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

async fn keep_asking(endpoint: Endpoint, peer: NodeIndex, journal: Journal, me: NodeIndex) {
    loop {
        let ended = ask(&endpoint, peer, &journal, me).await;
        journal.note(Kind::Node, me, &format!("with {}: {ended:?}", peer.0));
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
}

struct Mesh {
    net: Net,
    journal: Journal,
    endpoints: BTreeMap<(NodeIndex, u32), Endpoint>,
    tasks: BTreeMap<NodeIndex, Vec<AbortHandle>>,
}

impl Mesh {
    fn start(&mut self, host: NodeIndex, life: u32) {
        self.net.activate(host, life);
        let endpoint = self.endpoints.get(&(host, life)).unwrap();
        let tasks = self.tasks.entry(host).or_default();
        tasks.push(tokio::spawn(echo(endpoint.clone())).abort_handle());
        for peer in (0..NODES).map(NodeIndex).filter(|peer| *peer > host) {
            let asking = keep_asking(endpoint.clone(), peer, self.journal.clone(), host);
            tasks.push(tokio::spawn(asking).abort_handle());
        }
    }

    fn crash(&mut self, host: NodeIndex, life: u32) {
        self.net.deactivate(host);
        self.tasks.remove(&host).unwrap().iter().for_each(AbortHandle::abort);
        let endpoint = self.endpoints.remove(&(host, life)).unwrap();
        tokio::spawn(async move { endpoint.close().await });
    }
}

/// All pairs talk; one host is cut off; another crashes meanwhile; the cut heals; the crashed one is back.
async fn story(keep: bool) -> (String, Vec<Event>) {
    let scenario = scenario();
    let plan = plan::expand(&scenario, 1);
    let record = RunRecord::new(&scenario, &plan, "", "sim", "fabric");
    let journal = Journal::new(record, Trace::new(keep), SimClock::Tokio);
    let net = Net::new(&plan.topology, 1, journal.clone());
    let fabric = Fabric::new(net.clone());
    let mut endpoints = BTreeMap::new();
    for host in (0..NODES).map(NodeIndex) {
        for life in 0..1 + u32::from(host.0 == 1) {
            let underlay = Underlay::Custom(fabric.transport(host, life));
            endpoints.insert((host, life), bind(identity(1, host), underlay, &Timing::default()).await.unwrap());
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
    hooks::reseed(1);
    journal.start_clock();
    tokio::spawn(fabric.run());
    let mut mesh = Mesh { net, journal: journal.clone(), endpoints, tasks: BTreeMap::new() };
    (0..NODES).map(NodeIndex).for_each(|host| mesh.start(host, 0));

    tokio::time::sleep(seconds(20)).await;
    let others = (1..NODES).map(NodeIndex);
    let pairs: Vec<_> = others.flat_map(|other| [(NodeIndex(0), other), (other, NodeIndex(0))]).collect();
    mesh.net.apply(journal.now(), &Step::LinksDown { fault: CUT, pairs: pairs.clone() });
    tokio::time::sleep(seconds(10)).await;
    mesh.crash(NodeIndex(1), 0);
    tokio::time::sleep(seconds(20)).await;
    mesh.net.apply(journal.now(), &Step::Heal { fault: CUT, pairs });
    tokio::time::sleep(seconds(5)).await;
    mesh.start(NodeIndex(1), 1);
    tokio::time::sleep(seconds(40)).await;

    let mut journal = journal.lock();
    (journal.trace.hash(), journal.trace.take_events())
}

fn run(keep: bool) -> (String, Vec<Event>) {
    let thread = std::thread::spawn(move || {
        let _entered = hooks::enter(1);
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_time().start_paused(true).build().unwrap();
        runtime.block_on(story(keep))
    });
    thread.join().unwrap()
}

#[test]
fn quic_through_a_cut_and_a_crash_repeats_to_the_last_byte() {
    hooks::self_check().unwrap();
    let (hash, events) = run(true);
    for _ in 0..3 {
        let (again, others) = run(true);
        if let Some(at) = first_difference(&events, &others) {
            panic!("{:?}\n{:?}", events.get(at), others.get(at));
        }
        assert_eq!(hash, again);
    }
    assert_eq!(hash, run(false).0, "keeping events must not change a run");
    let said = |what: &str| events.iter().filter(|event| event.text.contains(what)).count();
    assert!(said("connected to 1") >= 2, "host 0 must have found host 1 again after cut and crash");
    assert!(said("KilledInFlight") > 0 || said("dropped: Down") > 0, "the cut must have bitten");
}

#[test]
fn an_address_leads_to_its_host_and_nothing_else_is_one() {
    use peat_node::mesh::AddressResolver;
    let resolve = |text: &str| futures::executor::block_on(SimResolver.resolve(text));
    let host = NodeIndex(700);
    assert_eq!(resolve(&address_text(host)).unwrap(), [TransportAddr::Custom(custom_address(host))]);
    for other in ["10.0.0.7:7777", "sim:", "sim:0", "sim:-1", "sim7", "sim:4294967296", ""] {
        assert!(resolve(other).is_err(), "{other}");
    }
}
