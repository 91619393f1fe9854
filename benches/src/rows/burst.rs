//! Bar 11 of the mesh: many updates of one document; the last one must be there at once, and most need never travel.

use std::time::{Duration, Instant};

use clap::Args;

use crate::node::Ground;
use crate::raw::History;
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::millis;
use crate::workload::scalar;
use crate::{Common, Failure};

const LAG_BAR: Duration = Duration::from_millis(100);
const BYTES_BAR: f64 = 2.0;
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Updates, one after the other, as fast as they are acknowledged
    #[arg(long, default_value_t = 2000, value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    updates: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { updates: 2000 }
    }
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let updates = options.updates;
    let mut report = Report::new("mesh 11", format!("{updates} updates of one document on A, the last one on B"));
    let ground = Ground::new(common)?;
    let (mut a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;
    let mut history = History::new(&scalar(0))?;
    a.put("one", &scalar(0)).await?;
    replica.wait_until(PATIENCE, |told| told.contains_key("one")).await.ok_or("the document never arrived")?;
    let before = a.frames_sent().await?;

    let (begin, mut raw) = (Instant::now(), 0);
    for n in 1..=updates {
        a.put("one", &scalar(n)).await?;
        raw += history.edit(&scalar(n))?;
    }
    let acknowledged = Instant::now();
    let last = scalar(updates);
    let arrived = replica.wait_until(PATIENCE, |told| told.get("one").is_some_and(|told| told.json == last)).await;
    let lag = arrived.map_or(PATIENCE, |at| at.saturating_duration_since(acknowledged));
    let sent = a.frames_sent().await? - before;
    let told = replica.read(|told| told.get("one").map_or(0, |told| told.times));

    let rate = updates as f64 / acknowledged.duration_since(begin).as_secs_f64();
    report.value("acknowledged updates", updates as usize, rate, "/s");
    report.value("raw changes", updates as usize, raw as f64, "B");
    report.value("frame bytes from A to B", 1, sent as f64, "B");
    report.value("versions that B\'s subscriber was told", 1, told as f64, "");
    report.at_most_time("last update on B after its acknowledgement", lag, LAG_BAR);
    report.at_most("frame bytes over raw changes", sent as f64 / raw as f64, BYTES_BAR, "x");
    report.value("last update on B after its acknowledgement", 1, millis(lag), "ms");
    report.note("a raw change is what Automerge encodes of one edit, as the node makes it");
    Ok(report)
}
