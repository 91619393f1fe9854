//! Two builds of the node, measured in turns: does a change make it slower?
//!
//! No bar in milliseconds would hold on a machine that others share. Here both builds run at the same time, their
//! documents take turns within the same ten milliseconds, and what is judged is the ratio ([`crate::ratio`]).

use std::fmt::Write;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use clap::Args;
use tokio::task::JoinSet;

use crate::node::{Ground, Node, put};
use crate::ratio::{BLOCKS_MIN, Judgement, Ratio};
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::telemetry;
use crate::{Common, Failure};

/// Documents before the first that counts.
const WARM_UP: u64 = 20;
/// A document that did not come within this time after the last put does not come.
const PATIENCE: Duration = Duration::from_secs(20);
/// Blocks of the documents that come one at a time.
const BLOCKS: usize = 20;
/// Connections that put at once.
const CLIENTS: usize = 8;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// The node to compare with
    #[arg(long, value_name = "FILE")]
    base: PathBuf,
    /// Documents of each, one at a time
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(40..=100_000))]
    documents: u64,
    /// Milliseconds from one put to the next put of the same node
    #[arg(long, default_value_t = 16, value_parser = clap::value_parser!(u64).range(4..=10_000))]
    pace_ms: u64,
    /// Batches of each, by parallel clients
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u64).range(BLOCKS_MIN as u64..=1_000))]
    batches: u64,
    /// Documents of a batch
    #[arg(long, default_value_t = 400, value_parser = clap::value_parser!(u64).range(8..=100_000))]
    batch: u64,
    /// How much longer it may take, in per cent
    #[arg(long, value_name = "PERCENT", default_value_t = 15, value_parser = clap::value_parser!(u32).range(0..=1_000))]
    allowed: u32,
    /// Write a table for a pull request
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
    /// Stop the new node for so long while it has a put: to prove that a slower node is noticed
    #[arg(long, value_name = "MICROSECONDS", hide = true, default_value_t = 0)]
    planted_pause_us: u64,
}

/// One build: two nodes and what the second one's application is told.
struct Side {
    a: Node,
    _b: Node,
    replica: Replica,
    acknowledged: Vec<Duration>,
    sent: Vec<(String, Instant)>,
    batches: Vec<Duration>,
    pause: Duration,
    _ground: Ground,
}

impl Side {
    async fn start(common: &Common, program: Option<&PathBuf>, pause: Duration) -> Result<Self, Failure> {
        let mut common = common.clone();
        if let Some(program) = program {
            common.node = Some(program.clone());
        }
        let ground = Ground::new(&common)?;
        let (mut a, mut b) = ground.pair().await?;
        let replica = Replica::of(&mut b).await?;
        for n in 0..WARM_UP {
            a.put(&format!("warm-{n}"), &telemetry(n)).await?;
        }
        replica.wait_until(PATIENCE, |told| told.len() as u64 == WARM_UP).await.ok_or("the warm-up never arrived")?;
        let (acknowledged, sent, batches) = Default::default();
        Ok(Side { a, _b: b, replica, acknowledged, sent, batches, pause, _ground: ground })
    }

    async fn one(&mut self, n: u64) -> Result<(), Failure> {
        let (id, json) = (format!("doc-{n:06}"), telemetry(WARM_UP + n));
        let from = Instant::now();
        match self.pause.is_zero() {
            true => self.a.put(&id, &json).await?,
            false => {
                let process = self.a.process.id();
                signal(process, "-STOP")?;
                let going_on = async {
                    tokio::time::sleep(self.pause).await;
                    signal(process, "-CONT")
                };
                let mut client = self.a.client.clone();
                let (put, resumed) = tokio::join!(put(&mut client, &id, &json), going_on);
                resumed?;
                put?;
            }
        }
        self.acknowledged.push(from.elapsed());
        self.sent.push((id, from));
        Ok(())
    }

    /// Documents by parallel clients, until the last one is on the other node.
    async fn batch(&mut self, number: u64, documents: u64) -> Result<(), Failure> {
        let before = self.replica.read(|told| told.len());
        let from = Instant::now();
        if !self.pause.is_zero() {
            signal(self.a.process.id(), "-STOP")?;
            // A batch has as many waits as a client has documents.
            std::thread::sleep(self.pause * (documents as u32 / CLIENTS as u32));
            signal(self.a.process.id(), "-CONT")?;
        }
        let mut clients = JoinSet::new();
        for which in 0..CLIENTS as u64 {
            let mut client = self.a.client.clone();
            clients.spawn(async move {
                for n in (which..documents).step_by(CLIENTS) {
                    put(&mut client, &format!("batch-{number:04}-{n:06}"), &telemetry(n)).await?;
                }
                Ok::<_, tonic::Status>(())
            });
        }
        while let Some(done) = clients.join_next().await {
            done??;
        }
        let all = before + documents as usize;
        let arrived = self.replica.wait_until(PATIENCE, |told| told.len() >= all).await;
        self.batches.push(arrived.ok_or("a batch never arrived")?.duration_since(from));
        Ok(())
    }

    /// From each put to the event at the other node.
    fn arrivals(&self) -> Result<Vec<Duration>, Failure> {
        let told = |told: &std::collections::BTreeMap<String, crate::replica::Told>| {
            let arrival = |(id, from): &(String, Instant)| Some(told.get(id)?.at.duration_since(*from));
            self.sent.iter().map(arrival).collect::<Option<Vec<_>>>()
        };
        self.replica.read(told).ok_or_else(|| "a document never arrived".into())
    }
}

fn signal(process: u32, signal: &str) -> Result<(), Failure> {
    let sent = Command::new("kill").args([signal, &process.to_string()]).status()?;
    sent.success().then_some(()).ok_or_else(|| format!("kill {signal} failed").into())
}

/// One line of the comparison.
struct Line {
    what: &'static str,
    base: Vec<Duration>,
    new: Vec<Duration>,
    blocks: usize,
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let mut report = Report::new("compare", "two builds of the node in turns");
    let mut base = Side::start(common, Some(&options.base), Duration::ZERO).await?;
    let mut new = Side::start(common, None, Duration::from_micros(options.planted_pause_us)).await?;
    let half = Duration::from_millis(options.pace_ms) / 2;
    let mut due = tokio::time::Instant::now() + half;
    for n in 0..options.documents {
        // Who goes first changes, or one would always find the disk as the other has left it.
        let order = if n % 2 == 0 { [&mut base, &mut new] } else { [&mut new, &mut base] };
        for side in order {
            tokio::time::sleep_until(due).await;
            side.one(n).await?;
            due = (due + half).max(tokio::time::Instant::now());
        }
    }
    let all = (WARM_UP + options.documents) as usize;
    for side in [&base, &new] {
        side.replica.wait_until(PATIENCE, |told| told.len() >= all).await.ok_or("documents never arrived")?;
    }
    let (base_arrivals, new_arrivals) = (base.arrivals()?, new.arrivals()?);
    for number in 0..options.batches {
        let order = if number % 2 == 0 { [&mut base, &mut new] } else { [&mut new, &mut base] };
        for side in order {
            side.batch(number, options.batch).await?;
        }
    }
    let lines = [
        Line { what: "put acknowledged", base: base.acknowledged, new: new.acknowledged, blocks: BLOCKS },
        Line { what: "put on A to subscriber on B", base: base_arrivals, new: new_arrivals, blocks: BLOCKS },
        Line {
            what: "batch by 8 clients, until all are on B",
            base: base.batches,
            new: new.batches,
            blocks: options.batches as usize,
        },
    ];
    let allowed = f64::from(options.allowed) / 100.0;
    let mut regressions = 0;
    let mut table = String::from(
        "| real processes, in turns | base p50 | new p50 | new / base | interval | |\n|---|---:|---:|---:|---:|---|\n",
    );
    for Line { what, base, new, blocks } in &lines {
        let ratio = Ratio::of(base, new, *blocks).ok_or("too few samples for a ratio")?;
        let (base, new) = (Samples::from(base.as_slice()), Samples::from(new.as_slice()));
        report.times(format!("{what}: base"), &base);
        report.times(format!("{what}: new"), &new);
        report.value(format!("{what}: new / base"), base.len(), ratio.value, "x");
        report.at_most(format!("{what}: lower end of new / base"), ratio.low, 1.0 + allowed, "x");
        let (Ratio { value, low, high }, judgement) = (ratio, ratio.judge(allowed));
        regressions += usize::from(judgement == Judgement::Regression);
        let (base, new) = (millis(base.p50()), millis(new.p50()));
        let row = format!(
            "| {what} | {base:.2} ms | {new:.2} ms | {value:.2} x | {low:.2} to {high:.2} | {} |",
            judgement.word()
        );
        writeln!(table, "{row}")?;
    }
    writeln!(
        table,
        "\n{regressions} of {} took more than {} % longer, interval included; load average before: {}",
        lines.len(),
        options.allowed,
        report.load_before
    )?;
    if let Some(path) = &options.markdown {
        std::fs::write(path, table)?;
    }
    report.note("both builds run at once and take turns within each period; ratios are medians over blocks, intervals those of the sign test at 95 %");
    Ok(report)
}
