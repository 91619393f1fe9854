//! Row 6: puts by parallel clients on A, until B has them all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use crate::floor::Disk;
use crate::node::{Ground, put};
use crate::process::cpu_time;
use crate::replica::{Replica, lacks};
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::telemetry;
use crate::{Common, Failure};

const RATE_BAR_PER_S: f64 = 3000.0;
const LAG_BAR: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(30);
/// Commits before and again after, for the figure beside.
const COMMITS: usize = 100;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Puts in all, each a document of its own
    #[arg(long, default_value_t = 5000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    puts: u64,
    /// Clients, each with a connection of its own and one put under way
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    clients: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { puts: 5000, clients: 8 }
    }
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { puts, clients } = *options;
    let mut report = Report::new("6", format!("{puts} puts by {clients} clients on A, all on B"));
    let ground = Ground::new(common)?;
    let mut disk = Disk::open(ground.path())?;
    let mut commit = disk.commits(COMMITS).await?;
    let (a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;

    let expected: BTreeMap<String, String> = (0..puts).map(|n| (id(n), telemetry(n))).collect();
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(a.spec.api.connect().await?);
    }
    let cpu = || [a.process.cpu_time(), b.process.cpu_time(), cpu_time("self")];
    let cpu_before = cpu();
    let begin = Instant::now();
    let mut writers = JoinSet::new();
    for (which, mut client) in (0..clients).zip(connections) {
        writers.spawn(async move {
            let mut acknowledged = Samples::default();
            for n in (which..puts).step_by(clients as usize) {
                let json = telemetry(n);
                let from = Instant::now();
                put(&mut client, &id(n), &json).await?;
                acknowledged.push(from.elapsed());
            }
            Ok::<_, tonic::Status>(acknowledged)
        });
    }
    let mut acknowledged = Samples::default();
    while let Some(done) = writers.join_next().await {
        acknowledged.extend(done??);
    }
    let last_acknowledged = Instant::now();
    let complete = replica.wait_until(PATIENCE, |told| told.len() >= expected.len()).await;
    let behind = replica.read(|told| lacks(told, &expected));
    let last_arrival = replica.read(|told| told.values().map(|told| told.at).max());
    let cpu_after = cpu();
    commit.extend(disk.commits(COMMITS).await?);

    let took = last_acknowledged.duration_since(begin);
    let rate = puts as f64 / took.as_secs_f64();
    let lag = match (complete, last_arrival) {
        (Some(_), Some(at)) => at.saturating_duration_since(last_acknowledged),
        _ => PATIENCE,
    };
    report.value("acknowledged puts", acknowledged.len(), rate, "/s");
    report.times("put acknowledged by A", &acknowledged);
    report.value("last acknowledgement to last document on B", expected.len() - behind, millis(lag), "ms");
    // These depend less than the rate on what else the machine does: 2 cores are 2,000,000 µs a second.
    for (who, (before, after)) in ["A", "B", "the clients"].into_iter().zip(cpu_before.into_iter().zip(cpu_after)) {
        if let (Some(before), Some(after)) = (before, after) {
            let micros = after.saturating_sub(before).as_secs_f64() * 1e6 / puts as f64;
            report.value(format!("processor time of {who} per put"), puts as usize, micros, "µs");
        }
    }
    report.times("durable redb commit of one row, back to back", &commit);
    report.at_most("documents that B lacks or has otherwise", behind as f64, 0.0, "");
    report.at_most_time("all on B after the last acknowledgement", lag, LAG_BAR);
    report.at_least("acknowledged puts", rate, RATE_BAR_PER_S, "/s");
    report
        .note("the clients, both nodes and all else share this machine's cores; the commit is timed before and after");
    Ok(report)
}

fn id(n: u64) -> String {
    format!("doc-{n:06}")
}
