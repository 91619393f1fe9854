//! Row 10: a flood of handshakes with a wrong key at A, while honest documents go from A to B.
//!
//! Quiet and flooded stretches take turns, so that whatever else the machine does hits both alike. The flood comes from a
//! process of its own at the lowest priority: on another machine it would not take A's processor either.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use iroh::endpoint::presets;
use iroh::{Endpoint, EndpointAddr, EndpointId, RelayMode, TransportAddr};
use peat_node::mesh::ALPN;
use serde::{Deserialize, Serialize};

use crate::node::{Ground, Node};
use crate::process::Process;
use crate::replica::Replica;
use crate::report::Report;
use crate::stats::{Samples, millis};
use crate::workload::telemetry;
use crate::{Common, Failure};

const WARM_UP: u64 = 20;
/// The flood has reached its pace, and A knows who it is, after this time.
const SETTLING: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(10);
/// Flooded against quiet.
const BAR: f64 = 2.0;
const RATE_BAR: f64 = 1000.0;
/// Beyond what as many documents cost in quiet stretches. The first handshakes alone make room for 8 MiB.
const GROWTH_BAR_MIB: f64 = 24.0;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Stretches of each kind
    #[arg(long, default_value_t = 4, value_parser = clap::value_parser!(u64).range(1..=100))]
    rounds: u64,
    /// Documents in a stretch
    #[arg(long, default_value_t = 250, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    documents: u64,
    /// Milliseconds from one put to the next
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(3..=10_000))]
    pace_ms: u64,
    #[command(flatten)]
    knock: Knocking,
}

impl Default for Options {
    fn default() -> Self {
        Self { rounds: 4, documents: 250, pace_ms: 20, knock: Knocking::default() }
    }
}

/// How the flood knocks.
#[derive(Args, Clone, Debug)]
pub(crate) struct Knocking {
    /// Handshakes begun per second
    #[arg(long, default_value_t = 1100, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    rate: u64,
    /// Endpoints that they come from, each with a socket and an endpoint id of its own
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u64).range(1..=1000))]
    endpoints: u64,
    /// Milliseconds after which one that is not answered is given up
    #[arg(long, default_value_t = 300, value_parser = clap::value_parser!(u64).range(10..=10_000))]
    patience_ms: u64,
}

impl Default for Knocking {
    fn default() -> Self {
        Self { rate: 1100, endpoints: 8, patience_ms: 300 }
    }
}

/// What the process of the flood says every second.
#[derive(Serialize, Deserialize, Clone, Copy, Default, Debug)]
struct Knocked {
    millis: u64,
    begun: u64,
    /// The TLS handshake was completed.
    shaken: u64,
    /// Refused with a reason.
    refused: u64,
}

/// `two-nodes knock`, the process of the flood.
#[derive(Args, Clone, Debug)]
pub(crate) struct Knock {
    target: EndpointId,
    port: u16,
    #[command(flatten)]
    how: Knocking,
}

pub(crate) async fn run(common: &Common, options: &Options) -> Result<Report, Failure> {
    let mut report = Report::new("mesh 7", "wrong-key handshakes at A while documents go from A to B");
    let ground = Ground::new(common)?;
    let (mut a, mut b) = ground.pair().await?;
    let replica = Replica::of(&mut b).await?;
    let pace = Duration::from_millis(options.pace_ms);
    let mut next = 0;
    let (mut quiet, mut flooded) = (Samples::default(), Samples::default());
    let mut knocked = Vec::new();
    let mut cpu = Duration::ZERO;
    stretch(&mut a, &replica, &mut next, WARM_UP, pace).await?;
    let memory = |a: &Node| a.process.memory_bytes().unwrap_or_default() as f64 / f64::from(1 << 20);
    let (before, mut growth) = (memory(&a), 0.0);
    for _ in 0..options.rounds {
        let at_first = memory(&a);
        quiet.extend(stretch(&mut a, &replica, &mut next, options.documents, pace).await?);
        let in_between = memory(&a);
        let flood = Flood::start(&mut a, &options.knock).await?;
        tokio::time::sleep(SETTLING).await;
        let (from, cpu_before) = (flood.so_far(), a.process.cpu_time().unwrap_or_default());
        flooded.extend(stretch(&mut a, &replica, &mut next, options.documents, pace).await?);
        cpu += a.process.cpu_time().unwrap_or_default() - cpu_before;
        knocked.push(flood.since(from));
        growth += (memory(&a) - in_between) - (in_between - at_first);
    }
    let after = memory(&a);
    let sessions = a.status().await?.connected_peers;

    let sum = |of: fn(&Knocked) -> u64| knocked.iter().map(of).sum::<u64>() as f64;
    let seconds = sum(|k| k.millis) / 1e3;
    report.times("put on A to subscriber on B, quiet", &quiet);
    report.times("put on A to subscriber on B, flooded", &flooded);
    let samples = flooded.len();
    let ratio = |percent| flooded.percentile(percent).as_secs_f64() / quiet.percentile(percent).as_secs_f64();
    report.value("handshakes begun per second", knocked.len(), sum(|k| k.begun) / seconds, "/s");
    report.value("of these, TLS completed", knocked.len(), sum(|k| k.shaken) / seconds, "/s");
    report.value("of these, refused with a reason", knocked.len(), sum(|k| k.refused) / seconds, "/s");
    report.value("A's processor during the flood", knocked.len(), cpu.as_secs_f64() / seconds * 100.0, "% of a core");
    report.value("A's memory before", 1, before, "MiB");
    report.value("A's memory after", 1, after, "MiB");
    report.value("p50, flooded less quiet", samples, millis(flooded.p50()) - millis(quiet.p50()), "ms");

    let lost = 2 * options.rounds * options.documents - (quiet.len() + flooded.len()) as u64;
    report.at_most("p50, flooded against quiet", ratio(50), BAR, "x");
    report.at_most("p99, flooded against quiet", ratio(99), BAR, "x");
    report.at_least("handshakes begun per second", sum(|k| k.begun) / seconds, RATE_BAR, "/s");
    report.at_most("documents that never arrived", lost as f64, 0.0, "");
    report.at_most("growth of A's memory by the flood", growth, GROWTH_BAR_MIB, "MiB");
    report.at_most("sessions of A beyond the honest one", f64::from(sessions) - 1.0, 0.0, "");
    report.note(format!(
        "{} stretches of {} documents each, quiet and flooded in turn; the flood comes from {} sockets",
        options.rounds, options.documents, options.knock.endpoints
    ));
    report.note(
        "the flood runs on the same machine at the lowest priority; what it takes from the nodes counts against us",
    );
    Ok(report)
}

/// Puts documents at a pace and waits until all are there.
async fn stretch(
    a: &mut Node,
    replica: &Replica,
    next: &mut u64,
    documents: u64,
    pace: Duration,
) -> Result<Samples, Failure> {
    let begin = tokio::time::Instant::now() + pace;
    let mut sent = Vec::new();
    for n in 0..documents {
        tokio::time::sleep_until(begin + pace * n as u32).await;
        let id = format!("doc-{:06}", *next);
        let json = telemetry(*next);
        *next += 1;
        let from = Instant::now();
        a.put(&id, &json).await?;
        sent.push((id, from));
    }
    let all = *next as usize;
    replica.wait_until(PATIENCE, |told| told.len() >= all).await;
    let mut arrival = Samples::default();
    replica.read(|told| {
        for (id, from) in &sent {
            if let Some(told) = told.get(id) {
                arrival.push(told.at.duration_since(*from));
            }
        }
    });
    Ok(arrival)
}

/// A flood under way. Dropping it ends it.
struct Flood {
    _process: Process,
    latest: Arc<std::sync::Mutex<Knocked>>,
}

impl Flood {
    async fn start(a: &mut Node, how: &Knocking) -> Result<Self, Failure> {
        let port = a.spec.mesh_address().rsplit_once(':').map(|(_, port)| port.to_owned()).ok_or("no port")?;
        let mut command = Command::new("nice");
        command.args(["-n", "19"]).arg(std::env::current_exe()?).args(["knock", &a.endpoint_id().await?, &port]);
        for (flag, value) in [("--rate", how.rate), ("--endpoints", how.endpoints), ("--patience-ms", how.patience_ms)]
        {
            command.args([flag, &value.to_string()]);
        }
        let mut process = Process::start(command.stdin(Stdio::null()).stdout(Stdio::piped()))?;
        let mut lines = BufReader::new(process.stdout().ok_or("the flood has no output")?).lines();
        let latest = Arc::new(std::sync::Mutex::new(Knocked::default()));
        let to = Arc::clone(&latest);
        // It ends with the process.
        std::thread::spawn(move || {
            while let Some(Ok(line)) = lines.next() {
                if let Ok(knocked) = serde_json::from_str(&line) {
                    *to.lock().expect("no writer panics") = knocked;
                }
            }
        });
        Ok(Self { _process: process, latest })
    }

    fn so_far(&self) -> Knocked {
        *self.latest.lock().expect("no writer panics")
    }

    fn since(&self, from: Knocked) -> Knocked {
        let now = self.so_far();
        Knocked {
            millis: now.millis - from.millis,
            begun: now.begun - from.begun,
            shaken: now.shaken - from.shaken,
            refused: now.refused - from.refused,
        }
    }
}

#[derive(Default)]
struct Counters {
    shaken: AtomicU64,
    refused: AtomicU64,
}

/// Knocks until its parent kills it.
pub(crate) async fn knock(options: &Knock) -> Result<(), Failure> {
    let address = TransportAddr::Ip(([127, 0, 0, 1], options.port).into());
    let target = EndpointAddr::from_parts(options.target, [address]);
    let mut endpoints = Vec::new();
    for _ in 0..options.how.endpoints {
        endpoints.push(Endpoint::builder(presets::Minimal).relay_mode(RelayMode::Disabled).bind().await?);
    }
    let counters = Arc::new(Counters::default());
    let patience = Duration::from_millis(options.how.patience_ms);
    let (began, mut begun, mut told) = (Instant::now(), 0u64, 0);
    let mut ticks = tokio::time::interval(Duration::from_millis(5));
    loop {
        ticks.tick().await;
        let elapsed = began.elapsed();
        let due = (elapsed.as_secs_f64() * options.how.rate as f64) as u64;
        while begun < due {
            let endpoint = endpoints[(begun % options.how.endpoints) as usize].clone();
            let (target, counters) = (target.clone(), Arc::clone(&counters));
            tokio::spawn(async move {
                let _ = tokio::time::timeout(patience, knock_once(endpoint, target, &counters)).await;
            });
            begun += 1;
        }
        if elapsed.as_millis() / 100 > told {
            told = elapsed.as_millis() / 100;
            let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
            let (shaken, refused) = (of(&counters.shaken), of(&counters.refused));
            let knocked = Knocked { millis: elapsed.as_millis() as u64, begun, shaken, refused };
            println!("{}", serde_json::to_string(&knocked)?);
        }
    }
}

async fn knock_once(endpoint: Endpoint, target: EndpointAddr, counters: &Counters) -> Result<(), Failure> {
    let connection = endpoint.connect(target, ALPN).await?;
    counters.shaken.fetch_add(1, Ordering::Relaxed);
    let (mut send, mut receive) = connection.open_bi().await?;
    // An offer of version 1 with one proof, which is noise: docs/protocol.md.
    let mut offer = vec![43, 1, 1];
    offer.extend([7; 8]);
    offer.push(1);
    offer.extend([9; 32]);
    send.write_all(&offer).await?;
    let mut answer = [0; 3];
    receive.read_exact(&mut answer).await?;
    if answer == [2, 0, 1] {
        counters.refused.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
