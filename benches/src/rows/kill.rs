//! Row 8: kill -9 in the middle of writing; what was acknowledged is there, on disk and later on the peer.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use clap::Args;
use rand::RngExt;
use tokio::task::JoinSet;

use crate::node::{Ground, Node, put};
use crate::replica::{Replica, lacks};
use crate::report::Report;
use crate::stats::Samples;
use crate::workload::telemetry;
use crate::{Common, Failure};

const PATIENCE: Duration = Duration::from_secs(30);
/// The kill comes at a random moment of this many milliseconds.
const KILL_AFTER_MS: std::ops::Range<u64> = 300..1200;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Kills, one after another on the same data
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=1000))]
    rounds: u64,
    /// Clients that write until the node is gone
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=256))]
    writers: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 5, writers: 8 }
    }
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let Options { rounds, writers } = *options;
    let mut report = Report::new("8", format!("kill -9 of A under {writers} writers, {rounds} times"));
    let ground = Ground::new(common)?;
    let (mut a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;

    // Everything that was ever acknowledged, over all rounds. Each put is a document of its own, so one
    // that was written but not acknowledged may be there or not.
    let mut acknowledged = BTreeMap::new();
    let (mut restart, mut catch_up) = (Samples::default(), Samples::default());
    let (mut lost_on_a, mut lost_on_b, mut rounds_mid_write) = (0, 0, 0);
    for round in 0..rounds {
        let before = acknowledged.len();
        let mut tasks = JoinSet::new();
        for writer in 0..writers {
            let mut client = a.spec.api.connect().await?;
            tasks.spawn(async move {
                let mut mine = Vec::new();
                for n in 0u64.. {
                    let id = format!("doc-{round}-{writer}-{n:06}");
                    let json = telemetry(round * 100_000_000 + writer * 1_000_000 + n);
                    // The first that is not acknowledged is the kill: it may have happened.
                    if put(&mut client, &id, &json).await.is_err() {
                        break;
                    }
                    mine.push((id, json));
                }
                mine
            });
        }
        let pause = Duration::from_millis(rand::rng().random_range(KILL_AFTER_MS));
        tokio::time::sleep(pause).await;
        let spec = a.kill();
        while let Some(mine) = tasks.join_next().await {
            acknowledged.extend(mine?);
        }
        rounds_mid_write += usize::from(acknowledged.len() > before);

        let from = Instant::now();
        a = Node::start(spec).await?;
        restart.push(from.elapsed());
        lost_on_a += absent(&mut a, &acknowledged).await?;
        let there = replica.wait_until(PATIENCE, |told| lacks(told, &acknowledged) == 0).await;
        if let Some(at) = there {
            catch_up.push(at.saturating_duration_since(from));
        }
        lost_on_b += replica.read(|told| lacks(told, &acknowledged));
    }
    // Once more, straight from the peer's store and not from what its subscriber was told.
    lost_on_b += absent(&mut b, &acknowledged).await?;

    report.value("acknowledged writes", rounds as usize, acknowledged.len() as f64, "");
    report.times("restart until A answers", &restart);
    report.times("restart until B has everything acknowledged", &catch_up);
    report.at_most("acknowledged writes that A lacks", lost_on_a as f64, 0.0, "");
    report.at_most("acknowledged writes that B lacks", lost_on_b as f64, 0.0, "");
    report.at_least("kills in the middle of writing", rounds_mid_write as f64, rounds as f64, "");
    report.note("every acknowledged document is read back with its content after each restart, from A and through B's subscription");
    Ok(report)
}

/// How many of the documents a node does not have as they were written.
async fn absent(node: &mut Node, expected: &BTreeMap<String, String>) -> Result<usize, Failure> {
    let mut absent = 0;
    for (id, json) in expected {
        absent += usize::from(node.get(id).await?.as_ref() != Some(json));
    }
    Ok(absent)
}
