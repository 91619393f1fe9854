//! API 3 and 5: many updates of few documents must cost no more with each update, in time, memory and disk.

use std::time::{Duration, Instant};

use clap::{Args, ValueEnum};
use peat_proto::client::{DeletionPolicy, HistoryClass, SetCollectionRequest};
use tokio::task::JoinSet;

use crate::node::{Ground, Node, put};
use crate::replica::Replica;
use crate::report::Report;
use crate::workload::{COLLECTION, scalar, telemetry};
use crate::{Common, Failure};

const MEGABYTE: f64 = 1e6;
const RATE_BAR: f64 = 2000.0;
const SLOWER_BAR: f64 = 1.5;
const STORE_BAR_MB: f64 = 5.0;
/// Memory is flat if what is taken in the second half grows by no more than this: the allocator's, not the node's.
const GROWTH_BAR_MB: f64 = 3.0;
const PATIENCE: Duration = Duration::from_secs(60);

/// How much history the collection keeps.
#[derive(ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum History {
    Full,
    Latest,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// History class of the collection, set by SetCollection on A
    #[arg(long, value_enum, default_value = "latest")]
    history: History,
    /// Updates in all
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(1000..=100_000_000))]
    updates: u64,
    /// Documents that they are spread over
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    documents: u64,
    /// Clients that update at once, each one document after the other
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=1000))]
    clients: u64,
}

/// What a node takes at a moment.
struct Weight {
    memory_mb: f64,
    file_mb: f64,
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { history, updates, documents, clients } = options.clone();
    let one = documents == 1;
    let row = if one { "api 3" } else { "api 5" };
    let title = format!("{updates} updates of {documents} documents on A, class {history:?}, {clients} clients");
    let mut report = Report::new(row, title);
    let ground = Ground::new(common)?;
    let (mut a, mut b) = ground.pair().await?;
    let class = if history == History::Latest { HistoryClass::Latest } else { HistoryClass::Full };
    let policy = SetCollectionRequest {
        collection: COLLECTION.into(),
        history: class.into(),
        deletion_policy: DeletionPolicy::Keep.into(),
        retention_seconds: 0,
        ..Default::default()
    };
    a.client.set_collection(policy).await?;
    let replica = Replica::of(&mut b).await?;
    // One document is told scalars, so that its last value is known by its number; others are told telemetry.
    let text = |n: u64| if one { scalar(n) } else { telemetry(n) };
    let id = |n: u64| format!("d{}", n % documents);

    let mut api = Vec::new();
    for _ in 0..clients {
        api.push(a.spec.api.connect().await?);
    }
    let mut idle = api;
    let mut running = JoinSet::new();
    let (mut next, mut done) = (0, 0);
    let step = updates / 20;
    let (begin, mut stamps, mut weights) = (Instant::now(), Vec::with_capacity(updates as usize), Vec::new());
    while done < updates {
        while next < updates
            && let Some(mut client) = idle.pop()
        {
            let (id, text) = (id(next), text(next));
            running.spawn(async move { put(&mut client, &id, &text).await.map(|()| client) });
            next += 1;
        }
        let client = running.join_next().await.ok_or("nothing is running")???;
        idle.push(client);
        done += 1;
        stamps.push(begin.elapsed());
        if done % step == 0 {
            weights.push((weigh(&mut a).await?, weigh(&mut b).await?));
        }
    }
    let took = begin.elapsed();
    let last: Vec<(String, String)> = (updates.saturating_sub(documents)..updates).map(|n| (id(n), text(n))).collect();
    // Clients race each other, so with several of them any of the last versions of a document may be its last.
    let mut expected = Vec::new();
    for (id, text) in last {
        expected.push((id.clone(), if clients == 1 { Some(text) } else { a.get(&id).await? }));
    }
    let equal = replica
        .wait_until(PATIENCE, |told| {
            expected.iter().all(|(id, text)| told.get(id).map(|told| &told.json) == text.as_ref())
        })
        .await;
    weights.push((weigh(&mut a).await?, weigh(&mut b).await?));

    let rate = updates as f64 / took.as_secs_f64();
    let ends = (updates / 10).min(1000) as usize;
    let first = stamps[ends - 1];
    let tail = took - stamps[stamps.len() - ends];
    report.value("updates a second", updates as usize, rate, "/s");
    report.at_most("last 1,000 over the first 1,000", tail.as_secs_f64() / first.as_secs_f64(), SLOWER_BAR, "x");
    if one {
        report.at_least("updates a second", rate, RATE_BAR, "/s");
    }
    report.at_least("documents on B that are as on A", f64::from(u8::from(equal.is_some())), 1.0, "all");
    if history == History::Latest {
        for (name, of) in [("A", 0), ("B", 1)] {
            let of = |pair: &(Weight, Weight)| {
                if of == 0 { (pair.0.memory_mb, pair.0.file_mb) } else { (pair.1.memory_mb, pair.1.file_mb) }
            };
            let half = weights.len() / 2;
            let highest = weights[half..].iter().map(|pair| of(pair).0).fold(0.0, f64::max);
            let (memory_at_half, file_at_half) = of(&weights[half]);
            let (memory, file) = of(weights.last().ok_or("nothing was weighed")?);
            report.value(format!("memory of {name} at half"), 1, memory_at_half, "MB");
            report.value(format!("memory of {name} in the end"), 1, memory, "MB");
            report.value(format!("store of {name} at half"), 1, file_at_half, "MB");
            report.at_most(format!("store of {name} in the end"), file, STORE_BAR_MB, "MB");
            report.at_most(format!("growth of {name} in the last half"), highest - memory_at_half, GROWTH_BAR_MB, "MB");
        }
    }
    Ok(report)
}

async fn weigh(node: &mut Node) -> Result<Weight, Failure> {
    let memory = node.process.memory_bytes().ok_or("the node's memory cannot be read")?;
    let file = node.status().await?.store.and_then(|store| store.file_bytes).unwrap_or(0);
    Ok(Weight { memory_mb: memory as f64 / MEGABYTE, file_mb: file as f64 / MEGABYTE })
}
