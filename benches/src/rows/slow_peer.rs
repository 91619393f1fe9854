//! Bar 6 of the mesh: a peer that takes nothing while much happens costs bounded memory, and nobody else notices.

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use clap::Args;
use peat_node::Node as Slow;
use peat_node::config::{Formation, NodeConfig, PeerAddress};
use peat_node::core::watch::Selection;
use peat_node::limits;
use peat_node::mesh::{SystemResolver, Underlay};
use peat_node::node::{Change, Plants, Watching, World};
use peat_node::store::{CommitMode, Store};
use redb::StorageBackend;
use redb::backends::InMemoryBackend;

use crate::node::{Ground, Node, put};
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::Samples;
use crate::workload::{scalar, telemetry};
use crate::{Common, Failure};

const MEMORY_BAR_BYTES: f64 = 8e6;
/// "Unchanged", with room for the noise of a shared machine.
const LATENCY_BAR: f64 = 1.25;
const SAMPLES: u64 = 200;
const PACE: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);
const CATCH_UP_PATIENCE: Duration = Duration::from_secs(180);
/// Documents that the updates go round.
const DOCUMENTS: u64 = 1000;
const WRITERS: u64 = 4;
/// Every document so often with everybody reading, before anything is measured. Documents grow with their history until they fill
/// their cache, and rows until they are folded; this is past the first time of both.
const WARM_UP_ROUNDS: u32 = 40;
/// The same load again with everybody reading: what the node grows by without a slow peer.
const CONTROL_ROUNDS: u32 = 40;
/// Part of the bound from which on the cache of documents counts as full: it may have just evicted.
const FULL: f64 = 0.9;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Updates while the peer takes nothing
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..=10_000_000))]
    updates: u64,
    /// Seconds that it takes nothing at least
    #[arg(long, default_value_t = 600, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    seconds: u64,
    /// Updates of every document before anything is measured
    #[arg(long, default_value_t = WARM_UP_ROUNDS)]
    warm_up: u32,
    /// Updates of every document as a control, with everybody reading
    #[arg(long, default_value_t = CONTROL_ROUNDS)]
    control: u32,
}

impl Default for Options {
    fn default() -> Self {
        Self { updates: 100_000, seconds: 600, warm_up: WARM_UP_ROUNDS, control: CONTROL_ROUNDS }
    }
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { updates, seconds, warm_up, control } = *options;
    let mut report =
        Report::new("mesh 6", format!("a peer takes nothing for {seconds} s, {updates} updates meanwhile"));
    let ground = Ground::new(common)?;
    let (mut a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;
    let disk = StuckDisk::default();
    let slow = slow_node(&mut a, disk.clone()).await?;
    for n in 0..DOCUMENTS {
        a.put(&id(n), &telemetry(n)).await?;
    }
    let cold = memory(&a)?;
    let warm = u64::from(warm_up) * DOCUMENTS;
    update(&a, 0..warm).await?;
    let cache_bytes = a.status().await?.store.map_or(0, |store| store.cache_bytes);
    if (cache_bytes as f64) < FULL * limits::DOCUMENT_CACHE_BYTES as f64 {
        let limit = limits::DOCUMENT_CACHE_BYTES;
        return Err(format!(
            "{cache_bytes} of {limit} B of the document cache are in use: it would fill during the measurement; more --warm-up"
        ).into());
    }
    let memory_warm = memory(&a)?;
    let mut control_peak = memory_warm;
    for round in 0..u64::from(control) {
        update(&a, warm + round * DOCUMENTS..warm + (round + 1) * DOCUMENTS).await?;
        control_peak = control_peak.max(memory(&a)?);
    }
    let from = warm + u64::from(control) * DOCUMENTS;
    let all = |told: &BTreeMap<_, _>| told.len() as u64 >= DOCUMENTS;
    replica.wait_until(PATIENCE, all).await.ok_or("B does not have the documents")?;
    await_last(&slow, from).await?;
    let before = latency(&mut a, &replica).await?;
    let memory_before = memory(&a)?;

    disk.stick();
    let stuck_at = Instant::now();
    let mut peak = memory_before;
    let mut during = Samples::default();
    let step = updates.div_ceil(10);
    for n in (0..updates).step_by(step as usize) {
        update(&a, from + n..from + (n + step).min(updates)).await?;
        peak = peak.max(memory(&a)?);
        during.extend(latency_of(&mut a, &replica, SAMPLES / 10).await?);
    }
    tokio::time::sleep(Duration::from_secs(seconds).saturating_sub(stuck_at.elapsed())).await;
    peak = peak.max(memory(&a)?);
    let sessions = a.status().await?.connected_peers;
    disk.free();
    let freed = Instant::now();
    await_last(&slow, from + updates).await?;
    report.value("the slow peer has everything after it goes on", 1, freed.elapsed().as_secs_f64() * 1e3, "ms");
    report.times("put on A to subscriber on B, before", &before);
    report.times("put on A to subscriber on B, meanwhile", &during);
    report.value("memory of A with every document written once", 1, cold as f64, "B");
    report.value("memory of A with its document cache full", 1, memory_warm as f64, "B");
    let grew = (control_peak - memory_warm) as f64;
    report.value("control: A grew by, same load, everybody reading", control as usize, grew, "B");
    report.value("memory of A before", 1, memory_before as f64, "B");
    report.value("memory of A at its highest", 1, peak as f64, "B");
    report.at_least("sessions of A in the end: the slow peer was there all the time", f64::from(sessions), 2.0, "");
    report.at_most("memory of A grew by", (peak - memory_before) as f64, MEMORY_BAR_BYTES, "B");
    let ratio = during.p50().as_secs_f64() / before.p50().as_secs_f64();
    report.at_most("latency towards B, meanwhile over before, p50", ratio, LATENCY_BAR, "x");
    report.note("the slow peer is a node in this process whose disk does not finish a sync: it answers keep-alives and takes no data");
    slow.shutdown().await;
    Ok(report)
}

fn id(n: u64) -> String {
    format!("doc-{:06}", n % DOCUMENTS)
}

fn memory(node: &Node) -> Result<u64, Failure> {
    node.process.memory_bytes().ok_or_else(|| "this system does not tell the memory of a process".into())
}

async fn update(node: &Node, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
    let mut writers = tokio::task::JoinSet::new();
    for which in 0..WRITERS {
        let (mut client, numbers) = (node.spec.api.connect().await?, numbers.clone());
        writers.spawn(async move {
            for n in numbers.skip(which as usize).step_by(WRITERS as usize) {
                put(&mut client, &id(n), &telemetry(n)).await?;
            }
            Ok::<_, tonic::Status>(())
        });
    }
    while let Some(done) = writers.join_next().await {
        done??;
    }
    Ok(())
}

async fn latency(node: &mut Node, replica: &Replica) -> Result<Samples, Failure> {
    latency_of(node, replica, SAMPLES).await
}

async fn latency_of(node: &mut Node, replica: &Replica, count: u64) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for n in 0..count {
        let due = tokio::time::Instant::now() + PACE;
        let text = scalar(u64::from(std::process::id()) * 1000 + n);
        let from = Instant::now();
        node.put("probe", &text).await?;
        let at = replica.wait_until(PATIENCE, |told| told.get("probe").is_some_and(|told| told.json == text)).await;
        samples.push(at.ok_or("an update never arrived")?.duration_since(from));
        tokio::time::sleep_until(due).await;
    }
    Ok(samples)
}

/// Waits until a node has shown its application the last version of every document, when updates went up to `end`. A
/// subscription reads each document when it has just changed; asking for each would cost more than the transfer.
async fn await_last(node: &Slow, end: u64) -> Result<(), Failure> {
    let mut missing: BTreeMap<String, String> =
        (end.saturating_sub(DOCUMENTS)..end).map(|n| (id(n), telemetry(n))).collect();
    let selection = Selection { collections: [crate::workload::COLLECTION.into()].into(), ..Selection::default() };
    let mut subscription = node.handle().subscribe(Watching { selection, ..Watching::default() })?;
    let told = async {
        while !missing.is_empty() {
            let event = subscription.next().await.ok_or("the slow node stopped")??;
            if let Change::Upsert(text) = event.change
                && missing.get(&event.doc_id) == Some(&text)
            {
                missing.remove(&event.doc_id);
            }
        }
        Ok(())
    };
    let outcome: Result<Result<(), Failure>, _> = tokio::time::timeout(CATCH_UP_PATIENCE, told).await;
    outcome.map_err(|_| format!("the slow peer lacks the last version of {} documents", missing.len()))?
}

async fn slow_node(a: &mut Node, disk: StuckDisk) -> Result<Slow, Failure> {
    let formation =
        Formation { app_id: a.spec.app_id.clone(), shared_key: Some(a.spec.shared_key_bytes()), previous_key: None };
    let mut config = NodeConfig::new("slow", formation);
    let id = a.endpoint_id().await?.parse()?;
    config.peers = vec![PeerAddress { id, addresses: vec![a.spec.mesh_address()] }];
    let identity = iroh::SecretKey::from_bytes(&rand::random());
    let store = Store::open_backend(disk, CommitMode::Thread, identity.clone(), rand::random())?;
    let loopback = Underlay::Udp(([127, 0, 0, 1], 0).into());
    let endpoint = peat_node::mesh::bind(identity, loopback, &config.timing).await?;
    let world = World {
        store,
        endpoint,
        resolver: Arc::new(SystemResolver),
        wall_clock: Arc::new(|| 0),
        seed: rand::random(),
        observer: None,
        plants: Plants::default(),
        pause: None,
    };
    let slow = Slow::start(config, world).await?;
    let deadline = Instant::now() + PATIENCE;
    while a.status().await?.connected_peers < 2 {
        if Instant::now() > deadline {
            return Err("the slow peer found no way to A".into());
        }
        tokio::time::sleep(crate::node::POLL).await;
    }
    Ok(slow)
}

/// A disk in memory whose syncs can be made to wait.
#[derive(Debug, Clone, Default)]
struct StuckDisk {
    content: Arc<InMemoryBackend>,
    stuck: Arc<(Mutex<bool>, Condvar)>,
}

impl StuckDisk {
    fn stick(&self) {
        *self.stuck.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    }

    fn free(&self) {
        *self.stuck.0.lock().unwrap_or_else(PoisonError::into_inner) = false;
        self.stuck.1.notify_all();
    }
}

impl StorageBackend for StuckDisk {
    fn len(&self) -> std::io::Result<u64> {
        self.content.len()
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.content.read(offset, out)
    }

    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.content.set_len(len)
    }

    fn sync_data(&self) -> std::io::Result<()> {
        let stuck = self.stuck.0.lock().unwrap_or_else(PoisonError::into_inner);
        let free = self.stuck.1.wait_while(stuck, |stuck| *stuck);
        drop(free.unwrap_or_else(PoisonError::into_inner));
        self.content.sync_data()
    }

    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.content.write(offset, data)
    }
}
