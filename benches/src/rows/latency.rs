//! Row 5: put on A until the subscriber of B has it, one document at a time, against the floor.

use std::time::{Duration, Instant};

use clap::Args;

use crate::floor::Floor;
use crate::node::{Ground, Node, POLL};
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::telemetry;
use crate::{Common, Failure};

/// Documents before the first that counts: sockets, caches and files reach their working size.
const WARM_UP: u64 = 20;
/// A document that did not come within this time after the last put does not come.
const PATIENCE: Duration = Duration::from_secs(10);
/// The floor without pauses needs no more than this many.
const BACK_TO_BACK: usize = 200;
const P50_BAR: f64 = 3.0;
const P99_BAR: f64 = 10.0;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Documents, one at a time
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    documents: u64,
    /// Milliseconds from one put to the next
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(3..=10_000))]
    pace_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { documents: 200, pace_ms: 20 }
    }
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let mut report = Report::new("5", "put on A to Subscribe on B, one document at a time");
    let ground = Ground::new(common)?;
    let mut floor = Floor::start(ground.path()).await?;
    let (mut a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;
    for n in 0..WARM_UP {
        a.put(&format!("warm-{n}"), &telemetry(n)).await?;
    }
    replica.wait_until(PATIENCE, |told| told.len() as u64 == WARM_UP).await.ok_or("the warm-up never arrived")?;

    // In each period: the put, then a third later the floor's round trip, then its commit. Whatever else
    // the machine does hits all three alike.
    let pace = Duration::from_millis(options.pace_ms);
    let (mut acknowledged, mut round_trip, mut commit) = (Samples::default(), Samples::default(), Samples::default());
    let mut sent = Vec::new();
    let begin = tokio::time::Instant::now() + pace;
    for n in 0..options.documents {
        let due = begin + pace * n as u32;
        tokio::time::sleep_until(due).await;
        let (id, json) = (format!("doc-{n:06}"), telemetry(WARM_UP + n));
        let from = Instant::now();
        a.put(&id, &json).await?;
        acknowledged.push(from.elapsed());
        sent.push((id, json, from));
        tokio::time::sleep_until(due + pace / 3).await;
        round_trip.push(floor.round_trip().await?);
        tokio::time::sleep_until(due + pace * 2 / 3).await;
        commit.push(floor.commit().await?);
    }
    let all = (WARM_UP + options.documents) as usize;
    replica.wait_until(PATIENCE, |told| told.len() >= all).await;
    // One that comes twice would come now.
    tokio::time::sleep(POLL * 10).await;

    let mut arrival = Samples::default();
    let (mut wrong, mut repeated) = (0, 0);
    replica.read(|told| {
        for (id, json, from) in &sent {
            let Some(told) = told.get(id) else { continue };
            arrival.push(told.at.duration_since(*from));
            wrong += usize::from(told.json != *json);
        }
        repeated = told.values().filter(|told| told.times > 1).count();
    });
    let floor_p50 = round_trip.halved().p50() + commit.p50();
    report.times("put on A to subscriber on B", &arrival);
    report.times("put acknowledged by A", &acknowledged);
    report.times("floor: half an iroh round trip, 200 B, paced", &round_trip.halved());
    report.times("floor: durable redb commit, paced", &commit);
    report.times("half an iroh round trip, back to back", &floor.round_trips(BACK_TO_BACK).await?.halved());
    report.times("durable redb commit, back to back", &floor.commits(BACK_TO_BACK).await?);
    report.value("floor: sum of the two paced medians", sent.len(), millis(floor_p50), "ms");
    report.value("p50 as a multiple of the floor", arrival.len(), ratio(arrival.p50(), floor_p50), "x");
    report.value("p99 as a multiple of the floor", arrival.len(), ratio(arrival.percentile(99), floor_p50), "x");

    report.at_most("documents that never arrived", (sent.len() - arrival.len()) as f64, 0.0, "");
    report.at_most("documents with other content", wrong as f64, 0.0, "");
    report.at_most("documents that arrived more than once", repeated as f64, 0.0, "");
    report.at_most_time("p50 against 3 times the floor", arrival.p50(), floor_p50.mul_f64(P50_BAR));
    report.at_most_time("p99 against 10 times the floor", arrival.percentile(99), floor_p50.mul_f64(P99_BAR));
    report.note(format!(
        "a put every {} ms after {WARM_UP} that do not count; floor and puts take turns in the same {} ms",
        options.pace_ms, options.pace_ms
    ));
    report.note("both bars use one floor: p50 of half the paced round trip + p50 of the paced commit");
    drop::<[Node; 2]>([a, b]);
    Ok(report)
}

fn ratio(figure: Duration, floor: Duration) -> f64 {
    figure.as_secs_f64() / floor.as_secs_f64()
}
