//! `ddil emulator --measure`: what the emulator promises, and whether it keeps it on this machine.

use std::fmt;
use std::io;
use std::time::Duration;

use peat_scenarios::model::{LinkShape, LinkSpec};
use peat_scenarios::physics::UDP_HEADER_BYTES;
use serde::Serialize;

use super::{Load, run};

/// Median of what it adds to the delay of a link.
const ADDED_P50_MAX: Duration = Duration::from_micros(300);
/// 99th percentile of it.
const ADDED_P99_MAX: Duration = Duration::from_millis(2);
/// Loss, rate and delay may differ from the model by so much of it.
const ERROR_MAX: f64 = 0.02;
/// The rate at which the delay is measured.
const STEADY_PER_SECOND: u64 = 2_000;
/// Datagrams over which loss, rate and delay are compared with the model.
const DATAGRAMS: u64 = 100_000;
/// Payload of a full packet.
const BYTES: usize = 1_200;
/// Datagrams that may be lost of 1,000 for a rate to count as carried.
const LOST_PER_MILLE: u64 = 1;
/// Rates that are tried one after the other, until one is too much.
const RATES: [u64; 9] = [5_000, 10_000, 20_000, 30_000, 40_000, 60_000, 80_000, 120_000, 160_000];

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Measured {
    /// Each figure.
    pub rows: Vec<Row>,
    /// Every figure that has a bound keeps it.
    pub good: bool,
}

/// One figure.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// What.
    pub name: &'static str,
    /// In this unit.
    pub unit: &'static str,
    /// What the model says, if it says something.
    pub model: Option<f64>,
    /// What was seen.
    pub seen: f64,
    /// The promise, for people.
    pub bound: String,
    /// Is it kept?
    pub good: bool,
}

impl Row {
    fn at_most(name: &'static str, seen: Duration, most: Duration) -> Self {
        let bound = format!("at most {} ms", millis(most));
        Row { name, unit: "ms", model: None, seen: millis(seen), bound, good: seen <= most }
    }

    fn against(name: &'static str, unit: &'static str, model: f64, seen: f64) -> Self {
        let error = (seen / model - 1.0).abs();
        let bound = format!("within {:.0} %, is {:.2} %", ERROR_MAX * 100.0, error * 100.0);
        Row { name, unit, model: Some(model), seen, bound, good: error <= ERROR_MAX }
    }

    fn plain(name: &'static str, unit: &'static str, seen: f64) -> Self {
        Row { name, unit, model: None, seen, bound: String::new(), good: true }
    }
}

/// Sends datagrams through links of several kinds on this machine's loopback, for about 40 seconds.
pub fn measure() -> io::Result<Measured> {
    let mut rows = Vec::new();
    steady(&mut rows)?;
    random(&mut rows)?;
    narrow(&mut rows)?;
    saturate(&mut rows)?;
    Ok(Measured { good: rows.iter().all(|row| row.good), rows })
}

fn steady(rows: &mut Vec<Row>) -> io::Result<()> {
    let latency = Some(Duration::from_millis(10));
    let link = LinkSpec::shaped("a", "b", LinkShape { latency, ..LinkShape::default() });
    let load = Load { datagrams: STEADY_PER_SECOND * 10, bytes: BYTES, per_second: STEADY_PER_SECOND };
    let outcome = run(link, 1, load)?;
    let added = |quantile| Duration::from_nanos(outcome.delays.value_at_quantile(quantile));
    rows.push(Row::at_most("added latency, median, at 2,000 a second", added(0.5), ADDED_P50_MAX));
    rows.push(Row::at_most("added latency, 99th percentile", added(0.99), ADDED_P99_MAX));
    rows.push(Row::plain("added latency, the worst of 20,000", "ms", millis(added(1.0))));
    let late = Duration::from_nanos(outcome.lateness.value_at_quantile(0.99));
    rows.push(Row::plain("of that by its own account, 99th percentile", "ms", millis(late)));
    Ok(())
}

fn random(rows: &mut Vec<Row>) -> io::Result<()> {
    let (latency, jitter, loss) = (Duration::from_millis(20), Duration::from_millis(10), 0.2);
    let shape = LinkShape { latency: Some(latency), jitter: Some(jitter), loss: Some(loss), ..LinkShape::default() };
    let load = Load { datagrams: DATAGRAMS, bytes: BYTES, per_second: 10_000 };
    let outcome = run(LinkSpec::shaped("a", "b", shape), 1, load)?;
    let lost = 1.0 - outcome.received as f64 / outcome.sent as f64;
    rows.push(Row::against("loss over 100,000 datagrams", "%", loss * 100.0, lost * 100.0));
    let mean = latency + jitter / 2;
    let seen = outcome.delays.mean() / 1e6 + millis(latency);
    rows.push(Row::against("mean delay with 10 ms of jitter", "ms", millis(mean), seen));
    Ok(())
}

fn narrow(rows: &mut Vec<Row>) -> io::Result<()> {
    const BPS: u64 = 100_000_000;
    let shape = LinkShape {
        latency: Some(Duration::from_millis(1)),
        bandwidth_bps: Some(BPS),
        // Room for what the sender is ahead in the end.
        queue_bytes: Some(64 << 20),
        ..LinkShape::default()
    };
    let wire_bits = ((BYTES + UDP_HEADER_BYTES) * 8) as u64;
    // A twentieth more than it carries.
    let load = Load { datagrams: DATAGRAMS, bytes: BYTES, per_second: BPS / wire_bits * 21 / 20 };
    let outcome = run(LinkSpec::shaped("a", "b", shape), 1, load)?;
    let bits = outcome.received.saturating_sub(1) as f64 * wire_bits as f64;
    let seen = bits / outcome.flowed.as_secs_f64().max(1e-9);
    rows.push(Row::against("rate over 100,000 datagrams", "Mbit/s", BPS as f64 / 1e6, seen / 1e6));
    Ok(())
}

fn saturate(rows: &mut Vec<Row>) -> io::Result<()> {
    let (mut carried, mut fastest) = (0, 0.0f64);
    for per_second in RATES {
        let link = LinkSpec::shaped("a", "b", LinkShape { latency: Some(Duration::ZERO), ..LinkShape::default() });
        let outcome = run(link, 1, Load { datagrams: per_second, bytes: BYTES, per_second })?;
        let seen = outcome.received.saturating_sub(1) as f64 / outcome.flowed.as_secs_f64().max(1e-9);
        fastest = fastest.max(seen);
        let lost = outcome.sent - outcome.received.min(outcome.sent);
        // Neither lost, nor sent or carried more slowly than asked for.
        if lost * 1_000 > outcome.sent * LOST_PER_MILLE || seen < per_second as f64 * 0.95 {
            break;
        }
        carried = per_second;
    }
    rows.push(Row::plain("carries without loss, datagrams of 1,200 bytes", "/s", carried as f64));
    rows.push(Row::plain("that is", "Mbit/s", carried as f64 * (BYTES * 8) as f64 / 1e6));
    rows.push(Row::plain("at most seen at the far end", "/s", fastest));
    Ok(())
}

fn millis(span: Duration) -> f64 {
    span.as_secs_f64() * 1e3
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mark = if row.good { "✔" } else { "✘" };
            let model = row.model.map(|model| format!(" of {model:.2}")).unwrap_or_default();
            let figure = format!("{:.3}{model} {}", row.seen, row.unit);
            writeln!(f, "  {mark} {:<46} {figure:>26}  {}", row.name, row.bound)?;
        }
        let word = if self.good { "as exact as promised" } else { "not as exact as promised: is this machine busy?" };
        writeln!(f, "{word}")
    }
}
