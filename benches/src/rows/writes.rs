//! Bar 1 of the documents: durable puts on one node, one by one from many clients, and many in one request.

use std::time::{Duration, Instant};

use clap::Args;
use peat_proto::client::{DocumentWrite, PutDocumentsRequest};
use tokio::task::JoinSet;

use crate::floor::Disk;
use crate::node::{Ground, Node, put};
use crate::process::cpu_time;
use crate::report::Report;
use crate::stats::Samples;
use crate::workload::{COLLECTION, telemetry};
use crate::{Common, Failure};

const PUTS_BAR_PER_S: f64 = 5000.0;
const BATCHES_BAR_PER_S: f64 = 8000.0;
const P99_BAR: Duration = Duration::from_millis(20);
/// Commits of the floor, before each run and again after it.
const COMMITS: usize = 50;
/// A batch sizes itself: with 64 clients there are at most 64 documents in it.
const ROWS: [u64; 2] = [1, 64];

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Puts, each a document of its own
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    puts: u64,
    /// Clients that put one document at a time, each with a connection of its own
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u64).range(1..=256))]
    clients: u64,
    /// Documents of one PutDocuments
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    batch: u64,
    /// Clients that write that many at a time
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..=256))]
    batch_clients: u64,
    /// Runs, each on a new store; the median counts
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=100))]
    runs: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { puts: 20_000, clients: 64, batch: 100, batch_clients: 2, runs: 5 }
    }
}

/// What one run came to.
struct Outcome {
    per_s: f64,
    /// Of each request.
    acknowledged: Samples,
    /// Of the node and of the clients, per document.
    cpu_us: [f64; 2],
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { puts, clients, batch, batch_clients, runs } = *options;
    let title = format!("{puts} puts by {clients} clients, and by PutDocuments of {batch}, on one node, {runs} runs");
    let mut report = Report::new("documents 1", title);
    let mut floor = ROWS.map(|_| Samples::default());
    let (mut single, mut batched) = (Vec::new(), Vec::new());
    for _ in 0..runs {
        let ground = Ground::new(common)?;
        let mut disk = Disk::open(ground.path())?;
        let node = Node::start(ground.spec("a")?).await?;
        measure_floor(&mut disk, &mut floor).await?;
        single.push(measure(&node, puts, clients, 1).await?);
        batched.push(measure(&node, puts, batch_clients, batch).await?);
        measure_floor(&mut disk, &mut floor).await?;
    }
    let each = [("put", single, PUTS_BAR_PER_S), ("PutDocuments", batched, BATCHES_BAR_PER_S)];
    for (what, mut outcomes, bar) in each {
        outcomes.sort_by(|a, b| a.per_s.total_cmp(&b.per_s));
        let (worst, best) = (outcomes[0].per_s, outcomes[outcomes.len() - 1].per_s);
        let median = &outcomes[outcomes.len() / 2];
        report.value(format!("documents by {what}, median run"), puts as usize, median.per_s, "/s");
        report.value(format!("documents by {what}, worst run"), puts as usize, worst, "/s");
        report.value(format!("documents by {what}, best run"), puts as usize, best, "/s");
        report.times(format!("{what} acknowledged, median run"), &median.acknowledged);
        let [node, rest] = median.cpu_us;
        report.value(format!("processor time of the node per document by {what}"), puts as usize, node, "µs");
        report.value(format!("processor time of the clients per document by {what}"), puts as usize, rest, "µs");
        report.at_least(format!("documents by {what}"), median.per_s, bar, "/s");
        report.at_most_time(format!("{what} acknowledged, p99"), median.acknowledged.percentile(99), P99_BAR);
    }
    for (rows, commits) in ROWS.iter().zip(&floor) {
        report.times(format!("floor: durable redb commit of {rows} rows, back to back"), commits);
    }
    report.note("the node and the clients share this machine's cores; the floor is timed before and after each run");
    Ok(report)
}

async fn measure_floor(disk: &mut Disk, floor: &mut [Samples; 2]) -> Result<(), Failure> {
    for (rows, commits) in ROWS.iter().zip(floor) {
        for _ in 0..COMMITS {
            commits.push(disk.commit_rows(*rows).await?);
        }
    }
    Ok(())
}

/// Writes `puts` documents, `batch` at a time.
async fn measure(node: &Node, puts: u64, clients: u64, batch: u64) -> Result<Outcome, Failure> {
    let mut connections = Vec::new();
    for _ in 0..clients {
        connections.push(node.spec.api.connect().await?);
    }
    let cpu = || [node.process.cpu_time(), cpu_time("self")];
    let before = cpu();
    let begin = Instant::now();
    let mut writers = JoinSet::new();
    for (which, mut client) in (0..clients).zip(connections) {
        writers.spawn(async move {
            let mut acknowledged = Samples::default();
            for first in (which * batch..puts).step_by((clients * batch) as usize) {
                let ids = first..(first + batch).min(puts);
                if batch == 1 {
                    let json = telemetry(first);
                    let from = Instant::now();
                    put(&mut client, &format!("one-{first:06}"), &json).await?;
                    acknowledged.push(from.elapsed());
                    continue;
                }
                let documents = ids.map(|n| DocumentWrite {
                    collection: COLLECTION.into(),
                    doc_id: format!("many-{n:06}"),
                    json_data: telemetry(n),
                    ..Default::default()
                });
                let request = PutDocumentsRequest { documents: documents.collect(), ..Default::default() };
                let from = Instant::now();
                client.put_documents(request).await?;
                acknowledged.push(from.elapsed());
            }
            Ok::<_, tonic::Status>(acknowledged)
        });
    }
    let mut acknowledged = Samples::default();
    while let Some(done) = writers.join_next().await {
        acknowledged.extend(done??);
    }
    let per_s = puts as f64 / begin.elapsed().as_secs_f64();
    let after = cpu();
    let spent = |which: usize| match (before[which], after[which]) {
        (Some(before), Some(after)) => after.saturating_sub(before).as_secs_f64() * 1e6 / puts as f64,
        _ => f64::NAN,
    };
    Ok(Outcome { per_s, acknowledged, cpu_us: [spent(0), spent(1)] })
}
