//! The data of the page: everything in it that differs from run to run.

use std::time::Duration;

use serde::Serialize;

use super::columns::{self, FlightColumns, Operations, millis, short};
use super::finding::{Finding, Places};
use crate::check::Verdict;
use crate::figures::{Cause, Percentiles, Sample, Settled, arrivals};
use crate::plan::FaultClass;
use crate::record::{Life, RunRecord, TRAFFIC_SLICE};
use crate::report::Report;
use crate::report::curves::Curves;
use crate::report::figures::{settled, worst};
use crate::report::format::{bytes, count, plural, span};

/// Log lines shown of a node, and of all, and characters of a line.
const LOG_LINES: usize = 200;
const LOG_LINES_ALL: usize = 2_000;
const LOG_CHARS: usize = 300;
/// Rows of a table: a flapping link heals a thousand times.
const ROWS: usize = 200;
/// Buckets per factor of ten of a latency.
const BUCKETS: f64 = 8.0;

/// Times are milliseconds of the run unless a column says otherwise.
#[derive(Debug, Serialize)]
pub(super) struct Page<'a> {
    title: &'a str,
    purpose: &'a str,
    verdict: Verdict,
    seed: u64,
    world: String,
    reproduce: String,
    trace: Option<&'a str>,
    wall: String,
    duration: f64,
    writes_end: f64,
    program: &'static str,
    groups: Vec<Group<'a>>,
    nodes: Vec<Node<'a>>,
    checks: Vec<Check<'a>>,
    tiles: Vec<Tile>,
    faults: Vec<Fault<'a>>,
    /// Triples: ms, node, 0 started, 1 crashed, 2 restarted.
    lives: Vec<f64>,
    sessions: Vec<Vec<f64>>,
    dials: Vec<f64>,
    operations: Operations,
    flights: FlightColumns,
    curves: CurveColumns,
    traffic: Traffic<'a>,
    latency: Vec<Latency>,
    pairs: Vec<[String; 7]>,
    recoveries: Vec<Recovery<'a>>,
    directions: Vec<[String; 5]>,
    logs: Vec<(&'a str, Vec<String>)>,
    /// What was left out, for people.
    notes: Vec<String>,
}

#[derive(Debug, Serialize)]
struct Group<'a> {
    name: &'a str,
    cluster: &'a str,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    group: u32,
    /// How many it holds at the end; none of a node that is down then.
    documents: Option<usize>,
    received: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    name: &'a str,
    verdict: Verdict,
    detail: &'a str,
    findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
struct Tile {
    label: &'static str,
    value: String,
    note: String,
}

#[derive(Debug, Serialize)]
struct Fault<'a> {
    name: &'a str,
    class: FaultClass,
    text: &'a str,
    at: Option<f64>,
    end: Option<f64>,
    /// What it did.
    did: String,
    /// How it is drawn: `cut`, `degrade`, `crash` (its nodes are down) or `disk` (something about a node that runs).
    family: &'static str,
    nodes: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct CurveColumns {
    step: f64,
    total: Vec<u32>,
    missing: Vec<Vec<u32>>,
    /// Milliseconds.
    age: Vec<Vec<u64>>,
}

#[derive(Debug, Serialize)]
struct Traffic<'a> {
    step: f64,
    bytes: Vec<u64>,
    classes: Vec<(&'a str, &'a [u64])>,
}

#[derive(Debug, Serialize)]
struct Latency {
    name: &'static str,
    count: u64,
    /// Milliseconds.
    p50: f64,
    p90: f64,
    p99: f64,
    max: f64,
    /// Number of the first bucket; bucket `b` begins at 10^(b/8) µs.
    first: usize,
    buckets: Vec<u32>,
}

#[derive(Debug, Serialize)]
struct Recovery<'a> {
    cause: Cause,
    name: &'a str,
    at: f64,
    reconnected: String,
    converged: String,
    /// How long it took, if it came to an end.
    took: Option<f64>,
}

impl<'a> Page<'a> {
    pub(super) fn of(report: &'a Report<'a>) -> Self {
        let (record, figures) = (report.record, &report.figures);
        let (meta, topology) = (&record.meta, &record.topology);
        let (samples, never) = arrivals(record);
        let places = Places::of(record);
        let curves = Curves::of(record, &samples, &never);
        let operations = Operations::of(record, &samples, &never);
        let (sessions, sessions_cut) = columns::sessions(record);
        let (dials, dials_of) = columns::dials(record);
        let check = |result: &'a crate::check::CheckResult| Check {
            name: &result.name,
            verdict: result.verdict,
            detail: &result.detail,
            findings: places.findings(result),
        };
        let final_of = |node| record.finals.iter().find(|replica| replica.node == node);
        let received = |index: usize| record.traffic.received_by_node.get(index).map(|count| count.bytes);
        Page {
            title: &meta.scenario,
            purpose: &meta.purpose,
            verdict: report.verdict,
            seed: meta.seed,
            world: match meta.engine.as_str() {
                "" => meta.world.clone(),
                engine => format!("{}/{engine}", meta.world),
            },
            reproduce: report.reproduce(),
            trace: record.trace_hash.as_deref(),
            // The page shows it last of the facts: how exactly it was measured follows.
            wall: match &record.precision {
                None => span(record.wall),
                Some(precision) => format!("{} · {precision}", span(record.wall)),
            },
            duration: millis(meta.duration),
            writes_end: millis(meta.writes_end),
            program: concat!("ddil ", env!("CARGO_PKG_VERSION")),
            groups: topology.groups.iter().map(|group| Group { name: &group.name, cluster: &group.cluster }).collect(),
            nodes: topology
                .nodes
                .iter()
                .map(|node| Node {
                    name: &node.name,
                    group: node.group,
                    documents: final_of(node.index).filter(|of| of.running).map(|of| of.docs.len()),
                    received: received(node.index.index()),
                })
                .collect(),
            checks: report.checks.iter().map(check).collect(),
            tiles: tiles(report),
            faults: record.faults.iter().map(|fault| of_fault(record, fault)).collect(),
            lives: lives(record),
            sessions,
            dials,
            notes: notes(record, &operations, sessions_cut, dials_of),
            operations,
            flights: FlightColumns::of(record),
            curves: CurveColumns {
                step: curves.step.as_secs_f64() * 1e3,
                total: curves.total,
                missing: curves.missing,
                age: curves.age.iter().map(|node| node.iter().map(|age| age.as_millis() as u64).collect()).collect(),
            },
            traffic: Traffic {
                step: TRAFFIC_SLICE.as_secs_f64() * 1e3,
                bytes: record.traffic.by_slice.iter().map(|slice| slice.bytes).collect(),
                classes: record.traffic.by_class.iter().map(|of| (of.class.as_str(), &of.by_slice[..])).collect(),
            },
            latency: latencies(report, &samples),
            pairs: pairs(report),
            recoveries: figures.recoveries.iter().take(ROWS).map(of_recovery).collect(),
            directions: directions(report),
            logs: logs(record),
        }
    }
}

fn of_fault<'a>(record: &RunRecord, fault: &'a crate::record::FaultRecord) -> Fault<'a> {
    let pairs = fault.spec.pairs.iter().flat_map(|(a, b)| [a.0, b.0]);
    let mut nodes: Vec<u32> = pairs.chain(fault.spec.node.map(|node| node.0)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    let end = fault.healed.or(fault.applied.map(|_| record.meta.duration));
    Fault {
        name: &fault.spec.name,
        class: fault.spec.class,
        text: &fault.spec.description,
        at: fault.applied.map(millis),
        end: end.map(millis),
        did: fault.effect.words(),
        family: family(fault.spec.class),
        nodes,
    }
}

fn family(class: FaultClass) -> &'static str {
    match class {
        FaultClass::Cut | FaultClass::Reset | FaultClass::Clog | FaultClass::DialCut => "cut",
        FaultClass::Degrade | FaultClass::Bloat => "degrade",
        FaultClass::Crash | FaultClass::TornWrite | FaultClass::UnsyncedLoss | FaultClass::DataLoss => "crash",
        FaultClass::Pause | FaultClass::DiskFull | FaultClass::DiskSlow | FaultClass::ReadError | FaultClass::Clock => {
            "disk"
        }
    }
}

fn lives(record: &RunRecord) -> Vec<f64> {
    let code = |event| match event {
        Life::Started => 0.0,
        Life::Crashed => 1.0,
        Life::Restarted => 2.0,
    };
    record.lives.iter().flat_map(|life| [millis(life.at), life.node.0.into(), code(life.event)]).collect()
}

fn of_recovery(of: &crate::figures::Recovery) -> Recovery<'_> {
    let took = match of.converged {
        Settled::After(after) => Some(after.as_secs_f64() * 1e3),
        Settled::Interrupted { after, .. } => Some(after.as_secs_f64() * 1e3),
        Settled::Nothing | Settled::Unmeasured | Settled::Never { .. } => None,
    };
    Recovery {
        cause: of.cause,
        name: &of.name,
        at: millis(of.at),
        reconnected: settled(of.reconnected),
        converged: settled(of.converged),
        took,
    }
}

fn tiles(report: &Report<'_>) -> Vec<Tile> {
    let figures = &report.figures;
    let mut tiles = Vec::new();
    let mut tile = |label, value: String, note: String| tiles.push(Tile { label, value, note });
    let many = figures.recoveries.len();
    let of = if many > 1 { format!("worst of {many} recoveries") } else { "after the recovery".to_owned() };
    if let Some(converged) = worst(figures.recoveries.iter().map(|recovery| recovery.converged)) {
        tile("Converged", settled(converged), of.clone());
    }
    if let Some(reconnected) = worst(figures.recoveries.iter().map(|recovery| recovery.reconnected)) {
        tile("Reconnected", settled(reconnected), of);
    }
    let latency = |of: &Percentiles| match of.count {
        0 => ("–".to_owned(), "no samples".to_owned()),
        samples => (span(of.p50), format!("p99 {} · {} samples", span(of.p99), count(samples))),
    };
    let (value, note) = latency(&figures.connected);
    tile("Sync latency, connected", value, note);
    if figures.outage_from_heal.count > 0 {
        let (value, note) = latency(&figures.outage_from_heal);
        tile("Latency from the heal", value, note);
    }
    let operations = &figures.operations;
    let others = [("refused", operations.refused), ("unknown", operations.unknown), ("skipped", operations.skipped)];
    let others = others.into_iter().filter(|(_, number)| *number > 0).map(|(word, number)| format!("{number} {word}"));
    let others = others.collect::<Vec<_>>().join(", ");
    let missing = (figures.never_visible > 0).then(|| format!("{} never visible", figures.never_visible));
    let note = [others, missing.unwrap_or_default()].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>();
    let note = if note.is_empty() { "all acknowledged".to_owned() } else { note.join(", ") };
    tile("Writes acknowledged", count(operations.ok), note);
    let dropped = format!("{} · {} dropped", plural(figures.datagrams, "datagram"), count(figures.datagrams_dropped));
    tile("Traffic", bytes(figures.bytes as f64), dropped);
    if let Some(per_operation) = figures.bytes_per_operation {
        let idle = figures.idle_bytes_per_second.map(|idle| format!("idle {idle:.0} B/s a node"));
        tile("Per write", bytes(per_operation), idle.unwrap_or_else(|| "all links, keep-alives included".to_owned()));
    }
    tiles
}

fn latencies(report: &Report<'_>, samples: &[Sample]) -> Vec<Latency> {
    let figures = &report.figures;
    let connected = samples.iter().filter(|sample| sample.connected).map(|sample| sample.latency);
    let outage = samples.iter().filter(|sample| !sample.connected);
    let series = [
        ("connected", &figures.connected, connected.collect::<Vec<_>>()),
        ("outage-spanning", &figures.outage, outage.clone().map(|sample| sample.latency).collect()),
        ("from the heal", &figures.outage_from_heal, outage.filter_map(|sample| sample.from_heal).collect()),
    ];
    let ms = |of: Duration| (of.as_secs_f64() * 1e6).round() / 1e3;
    let series = series.into_iter().filter(|(_, of, _)| of.count > 0).map(|(name, of, latencies)| {
        let bucket = |latency: &Duration| ((latency.as_micros().max(1) as f64).log10() * BUCKETS) as usize;
        let first = latencies.iter().map(bucket).min().unwrap_or_default();
        let last = latencies.iter().map(bucket).max().unwrap_or_default();
        let mut buckets = vec![0; last - first + 1];
        latencies.iter().for_each(|latency| buckets[bucket(latency) - first] += 1);
        let (p50, p90, p99, max) = (ms(of.p50), ms(of.p90), ms(of.p99), ms(of.max));
        Latency { name, count: of.count, p50, p90, p99, max, first, buckets }
    });
    series.collect()
}

fn pairs(report: &Report<'_>) -> Vec<[String; 7]> {
    let row = |pair: &crate::figures::PairLatency| {
        let (a, b) = &pair.between;
        let of = &pair.latency;
        let name = if a == b { format!("inside {a}") } else { format!("{a} – {b}") };
        let ratio = pair.p50_ratio.map(|ratio| format!("{ratio:.2} ×")).unwrap_or_default();
        [name, count(of.count), span(pair.one_way), span(of.p50), span(of.p99), span(of.max), ratio]
    };
    report.figures.pairs.iter().take(ROWS).map(row).collect()
}

fn directions(report: &Report<'_>) -> Vec<[String; 5]> {
    let row = |of: &crate::figures::Direction| {
        let name = if of.from == of.to { format!("inside {}", of.from) } else { format!("{} → {}", of.from, of.to) };
        let (sent, received) = (bytes(of.sent.bytes as f64), bytes(of.received.bytes as f64));
        [name, sent, received, count(of.sent.datagrams), count(of.received.datagrams)]
    };
    report.figures.directions.iter().take(ROWS).map(row).collect()
}

fn logs(record: &RunRecord) -> Vec<(&str, Vec<String>)> {
    let mut room = LOG_LINES_ALL;
    let of_node = record.logs.iter().map(|(node, lines)| {
        let shown = lines.len().min(LOG_LINES).min(room);
        room -= shown;
        (node.as_str(), lines[lines.len() - shown..].iter().map(|line| short(line, LOG_CHARS)).collect())
    });
    of_node.filter(|(_, lines): &(_, Vec<String>)| !lines.is_empty()).collect()
}

fn notes(record: &RunRecord, operations: &Operations, sessions_cut: bool, dials_of: usize) -> Vec<String> {
    let mut notes = Vec::new();
    let flights = &record.flights;
    if flights.datagrams > 0 {
        let left_out = match flights.left_out {
            0 => String::new(),
            left_out => format!(
                "; {} datagrams in flights below {} are left out",
                count(left_out),
                bytes(flights.least_bytes as f64)
            ),
        };
        notes.push(format!(
            "Datagrams: {} in {} flights, merged within {}{left_out}.",
            count(flights.datagrams - flights.left_out.min(flights.datagrams)),
            count(flights.list.len() as u64),
            span(flights.merged_within)
        ));
    } else {
        notes.push("This world did not record its datagrams.".to_owned());
    }
    if operations.one_of() > 1 {
        notes.push(format!("Documents: one of {} writes is drawn.", operations.one_of()));
    }
    if record.traffic.by_class.is_empty() {
        notes.push("This world does not count bytes by class.".to_owned());
    }
    if sessions_cut {
        notes.push(format!("Sessions: the first {} are drawn.", count(columns::SESSIONS as u64)));
    }
    if dials_of > 1 {
        notes.push(format!("Dials: one of {dials_of} is drawn."));
    }
    notes
}
