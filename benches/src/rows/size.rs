//! Bars 9 and 10 of the mesh: what a change and a reconnect cost when the store is large.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use crate::namespaces::{Router, again_inside};
use crate::node::{Ground, Node, put};
use crate::raw::History;
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::{scalar, telemetry};
use crate::{Common, Failure};

/// Documents of the small store.
const FEW: u64 = 10;
const WRITERS: u64 = 8;
/// Latencies measured in each store.
const SAMPLES: u64 = 200;
const PACE: Duration = Duration::from_millis(20);
/// Edits of one scalar, each by itself, and the time that each has to itself: keep-alives pass in between.
const EDITS: u32 = 10;
const ALONE: Duration = Duration::from_secs(6);
/// Documents changed on each side while they are apart, and then on one side before strangers meet.
const CHANGED: u64 = 500;
const DIFFERENT: u64 = 1000;
const PATIENCE: Duration = Duration::from_secs(600);

const SCALAR_BAR_BYTES: f64 = 250.0;
const LATENCY_BAR: f64 = 1.5;
const RECONNECT_BAR_BYTES: f64 = 2_000.0;
const CATCH_UP_BAR: Duration = Duration::from_secs(1);
const CATCH_UP_BAR_BYTES: f64 = 1.3;
const STRANGER_BAR_BYTES: f64 = 150_000.0;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Documents of the large store
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(2000..=1_000_000))]
    documents: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { documents: 100_000 }
    }
}

/// Runs itself again inside namespaces and takes over what that printed.
pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    again_inside(common, ["size-inside".to_owned(), format!("--documents={}", options.documents)]).await
}

/// The measurement; this process is the router.
pub(crate) async fn run_inside(common: &Common, options: &Options) -> Result<Report, Failure> {
    let documents = options.documents;
    let mut report = Report::new("mesh 9, 10", format!("what changes and reconnects cost with {documents} documents"));
    let ground = Ground::new(common)?;
    let router = Router::build()?;
    let spec = |name: &str, side: usize| -> Result<_, Failure> {
        let mut spec = ground.spec(name)?.over_socket();
        let (namespace, address) = Router::SIDES[side];
        spec.namespace = Some((namespace.into(), address.into()));
        Ok(spec)
    };
    let mut a = Node::start(spec("a", 0)?).await?;
    let mut b = Node::start(spec("b", 1)?).await?;
    b.connect_to(&a.endpoint_id().await?, &a.spec.mesh_address()).await?;
    b.wait_connected().await?;
    let on_b = Replica::of(&mut b).await?;

    // A small store: the measure for the large one.
    fill(&a, 0..FEW).await?;
    wait_for(&on_b, FEW).await?;
    let small = latency(&mut a, &on_b).await?;
    fill(&a, FEW..documents).await?;
    let filled = Instant::now();
    wait_for(&on_b, documents).await?;
    report.value("all on B after the last acknowledgement", 1, millis(filled.elapsed()), "ms");
    let large = latency(&mut a, &on_b).await?;
    report.times(format!("put on A to subscriber on B, {FEW} documents"), &small);
    report.times(format!("put on A to subscriber on B, {documents} documents"), &large);
    let ratio = large.p50().as_secs_f64() / small.p50().as_secs_f64();
    report.at_most("latency in the large store over that in the small one, p50", ratio, LATENCY_BAR, "x");

    // One scalar, beyond what an idle connection costs in the same time.
    let quiet = measured(&router, ALONE * EDITS).await?;
    let before = router.payload_bytes()?;
    for n in 0..EDITS {
        let until = tokio::time::Instant::now() + ALONE;
        a.put("doc-000000", &scalar(1_000_000 + u64::from(n))).await?;
        tokio::time::sleep_until(until).await;
    }
    let busy = router.payload_bytes()? - before;
    let each = (busy as f64 - quiet as f64) / f64::from(EDITS);
    let per_hour = quiet as f64 * 3600.0 / (ALONE * EDITS).as_secs_f64();
    report.value("idle connection, both directions, UDP payload an hour", 1, per_hour, "B");
    report.at_most("one changed scalar, both directions, UDP payload", each, SCALAR_BAR_BYTES, "B");

    // Known peers, nothing changed.
    let frames = both_sent(&mut a, &mut b).await?;
    b.set_sync(false).await?;
    wait_alone(&mut a).await?;
    b.set_sync(true).await?;
    let begun = Instant::now();
    a.wait_connected().await?;
    report.value("reconnect, nothing changed, until the session is up", 1, millis(begun.elapsed()), "ms");
    tokio::time::sleep(ALONE).await;
    let cost = both_sent(&mut a, &mut b).await? - frames;
    report.at_most("reconnect, nothing changed: frame bytes, both directions", cost as f64, RECONNECT_BAR_BYTES, "B");

    // Both sides write while they are apart.
    let on_a = Replica::of(&mut a).await?;
    wait_for(&on_a, documents).await?;
    b.set_sync(false).await?;
    wait_alone(&mut a).await?;
    let frames = both_sent(&mut a, &mut b).await?;
    let mut raw = 0;
    let mut expected = [BTreeMap::new(), BTreeMap::new()];
    for n in 0..CHANGED {
        for (side, node) in [&mut a, &mut b].into_iter().enumerate() {
            let number = 1000 + n + side as u64 * CHANGED;
            let (id, text) = (id(number), telemetry(number + 5_000_000));
            let made = History::new(&telemetry(number))?;
            raw += if side == 0 { made } else { made.elsewhere()? }.edit(&text)?;
            node.put(&id, &text).await?;
            expected[1 - side].insert(id, text);
        }
    }
    let begun = Instant::now();
    b.set_sync(true).await?;
    let has = |expected: &BTreeMap<String, String>, replica: &Replica| {
        replica.read(|told| crate::replica::lacks(told, expected))
    };
    let [for_a, for_b] = &expected;
    let lacks = |told: &BTreeMap<_, _>, expected: &BTreeMap<_, _>| crate::replica::lacks(told, expected) == 0;
    let equal = tokio::join!(
        on_a.wait_until(PATIENCE, |told| lacks(told, for_a)),
        on_b.wait_until(PATIENCE, |told| lacks(told, for_b))
    );
    let (Some(at_a), Some(at_b)) = equal else {
        return Err(format!("A lacks {}, B lacks {}", has(for_a, &on_a), has(for_b, &on_b)).into());
    };
    let took = at_a.max(at_b).duration_since(begun);
    let sent = both_sent(&mut a, &mut b).await? - frames;
    report.value(format!("{CHANGED} + {CHANGED} changes: raw"), 1, raw as f64, "B");
    report.at_most_time(format!("{CHANGED} + {CHANGED} changed apart: equal after"), took, CATCH_UP_BAR);
    report.at_most("the same: frame bytes over raw changes", sent as f64 / raw as f64, CATCH_UP_BAR_BYTES, "x");

    // C knows B only; then it meets A, which went on without them.
    let mut c = Node::start(spec("c", 1)?).await?;
    c.connect_to(&b.endpoint_id().await?, &b.spec.mesh_address()).await?;
    let on_c = Replica::of(&mut c).await?;
    wait_for(&on_c, documents).await?;
    b.set_sync(false).await?;
    wait_alone(&mut a).await?;
    wait_alone(&mut c).await?;
    let (mut raw, mut expected) = (0, BTreeMap::new());
    for n in 0..DIFFERENT {
        // Spread over the whole store.
        let number = n * (documents / DIFFERENT);
        let (id, text) = (id(number), telemetry(number + 9_000_000));
        raw += History::new(&telemetry(number))?.edit(&text)?;
        a.put(&id, &text).await?;
        expected.insert(id, text);
    }
    let frames = both_sent(&mut a, &mut c).await?;
    let begun = Instant::now();
    c.connect_to(&a.endpoint_id().await?, &a.spec.mesh_address()).await?;
    let at = on_c.wait_until(PATIENCE, |told| lacks(told, &expected)).await.ok_or("the strangers never agreed")?;
    let sent = both_sent(&mut a, &mut c).await? - frames;
    report.value(format!("strangers, {DIFFERENT} different: equal after"), 1, millis(at.duration_since(begun)), "ms");
    report.value("the same: raw changes", 1, raw as f64, "B");
    let beyond = sent as f64 - raw as f64;
    report.at_most("the same: frame bytes beyond raw changes", beyond, STRANGER_BAR_BYTES, "B");
    report
        .note("two network namespaces and a router; UDP payload is what the interface counted less 42 bytes a packet");
    report.note(format!(
        "one scalar: {EDITS} edits, {ALONE:?} apart, less what the same connection cost when idle as long"
    ));
    Ok(report)
}

fn id(n: u64) -> String {
    format!("doc-{n:06}")
}

async fn fill(node: &Node, numbers: std::ops::Range<u64>) -> Result<(), Failure> {
    let mut writers = JoinSet::new();
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

async fn wait_for(replica: &Replica, documents: u64) -> Result<(), Failure> {
    let all = replica.wait_until(PATIENCE, |told| told.len() as u64 == documents).await;
    let there = replica.read(BTreeMap::len);
    all.map(drop).ok_or_else(|| format!("{there} of {documents} documents arrived").into())
}

async fn wait_alone(node: &mut Node) -> Result<(), Failure> {
    let deadline = Instant::now() + PATIENCE;
    while node.status().await?.connected_peers > 0 {
        if Instant::now() > deadline {
            return Err("a session did not end".into());
        }
        tokio::time::sleep(crate::node::POLL).await;
    }
    Ok(())
}

async fn latency(node: &mut Node, replica: &Replica) -> Result<Samples, Failure> {
    let mut samples = Samples::default();
    for n in 0..SAMPLES {
        let due = tokio::time::Instant::now() + PACE;
        let text = scalar(10_000 + n);
        let from = Instant::now();
        node.put("doc-000001", &text).await?;
        let at =
            replica.wait_until(PATIENCE, |told| told.get("doc-000001").is_some_and(|told| told.json == text)).await;
        samples.push(at.ok_or("an update never arrived")?.duration_since(from));
        tokio::time::sleep_until(due).await;
    }
    Ok(samples)
}

async fn measured(router: &Router, time: Duration) -> Result<u64, Failure> {
    let before = router.payload_bytes()?;
    tokio::time::sleep(time).await;
    Ok(router.payload_bytes()? - before)
}

async fn both_sent(a: &mut Node, b: &mut Node) -> Result<u64, Failure> {
    Ok(a.frames_sent().await? + b.frames_sent().await?)
}
