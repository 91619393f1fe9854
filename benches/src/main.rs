//! `two-nodes`: puts figures on real `peat-node` processes and holds them against the bars.
//!
//! Everything goes through the public API. Nothing here is a unit test: the figures depend on the machine,
//! so each run measures the machine's own floor beside them. `docs/benchmarks.md` has the method.

// Real time on a real machine is the point here; nothing of this runs in a simulation.
#![allow(clippy::disallowed_methods)]

mod floor;
mod namespaces;
mod node;
mod process;
mod ratio;
mod raw;
mod replica;
mod report;
mod rows;
mod stats;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

use report::Report;

/// A bar was missed.
const MISSED: u8 = 3;
/// The measurement itself failed.
const INFRASTRUCTURE: u8 = 5;

/// Whatever keeps a measurement from being made. Never used for a bad figure: those are misses.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures real peat-node processes on this machine and holds the figures against the bars.
///
/// Exit codes: 0 all bars held, 3 a bar was missed, 2 usage, 5 the measurement could not be made.
#[derive(Parser)]
#[command(name = "two-nodes", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    what: What,
    #[command(flatten)]
    common: Common,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// Print one JSON array instead of tables
    #[arg(long, global = true)]
    json: bool,
    /// Where the data directories go; its disk is the one that is measured
    #[arg(long, global = true, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    dir: PathBuf,
    /// The node to measure [default: peat-node beside this program]
    #[arg(long, global = true, value_name = "FILE")]
    node: Option<PathBuf>,
    /// Keep data directories and logs, and say where they are
    #[arg(long, global = true)]
    keep: bool,
}

#[derive(Subcommand, Clone, Debug)]
enum What {
    /// Row 5: put on A until B's subscriber has it, one document at a time
    Latency(rows::latency::Options),
    /// Row 6: puts by parallel clients on A until all are on B
    Throughput(rows::throughput::Options),
    /// Row 7: a black hole between two nodes that both go on writing. Needs Linux namespaces
    Blackhole(rows::blackhole::Options),
    /// Row 8: kill -9 in the middle of writing, restart
    Kill(rows::kill::Options),
    /// Row 9: a wrong shared key and another app-id
    Strangers(rows::strangers::Options),
    /// Mesh 9 and 10: what changes and reconnects cost with 100,000 documents. Needs Linux namespaces
    Size(rows::size::Options),
    /// Mesh 11: a burst of updates of one document
    Burst(rows::burst::Options),
    /// Mesh 6: a peer that takes nothing for ten minutes
    SlowPeer(rows::slow_peer::Options),
    /// Mesh 7: 1,000 wrong-key handshakes a second at A while documents go from A to B
    Flood(rows::flood::Options),
    /// API 3 and 5: many updates of few documents. API 3 is `--documents 1 --updates 10000`, with either class
    Updates(rows::updates::Options),
    /// Documents 1: durable puts by 64 clients, and by PutDocuments of 100
    Writes(rows::writes::Options),
    /// Documents 2 and 4: reads of 100,000 documents, and what they cost
    Reads(rows::reads::Options),
    /// Documents 6: a subscriber that takes one event a second during 50,000 updates
    SlowReader(rows::slow_reader::Options),
    /// Two builds of the node in turns: is the new one slower? For `ci/latency`
    Compare(rows::compare::Options),
    /// Rows 5 to 9 with their defaults
    All,
    /// The other end of the floor's round trip
    #[command(hide = true)]
    Echo,
    /// The flood of row 10
    #[command(hide = true)]
    Knock(rows::flood::Knock),
    /// `blackhole`, already inside its namespaces
    #[command(hide = true)]
    BlackholeInside(rows::blackhole::Options),
    /// `size`, already inside its namespaces
    #[command(hide = true)]
    SizeInside(rows::size::Options),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(cli) {
        Ok(code) => code,
        Err(failure) => {
            eprintln!("two-nodes: {failure}");
            ExitCode::from(INFRASTRUCTURE)
        }
    }
}

fn run(cli: Cli) -> Result<ExitCode, Failure> {
    let Cli { what, common } = cli;
    if let What::Echo = what {
        // As the node: two workers.
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?.block_on(floor::echo())?;
        return Ok(ExitCode::SUCCESS);
    }
    if let What::Knock(options) = &what {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        runtime.block_on(rows::flood::knock(options))?;
        return Ok(ExitCode::SUCCESS);
    }
    // One thread: the two cores belong to the nodes.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let reports = runtime.block_on(async {
        tokio::select! {
            // Dropping the measurement kills its nodes and removes their directories.
            signal = tokio::signal::ctrl_c() => {
                signal?;
                Err("interrupted".into())
            }
            reports = measure(what, &common) => reports,
        }
    })?;
    if common.json {
        println!("{}", serde_json::to_string_pretty(&reports)?);
    } else if reports.len() > 1 {
        println!("{}", report::summary(&reports));
    }
    let held = reports.iter().all(Report::holds);
    Ok(if held { ExitCode::SUCCESS } else { ExitCode::from(MISSED) })
}

async fn measure(what: What, common: &Common) -> Result<Vec<Report>, Failure> {
    let each = match what {
        What::All => vec![
            What::Latency(Default::default()),
            What::Throughput(Default::default()),
            What::Blackhole(Default::default()),
            What::Kill(Default::default()),
            What::Strangers(Default::default()),
            What::Flood(Default::default()),
        ],
        one => vec![one],
    };
    let mut reports = Vec::new();
    for what in each {
        let report = match &what {
            What::Latency(options) => rows::latency::run(common, options).await?,
            What::Throughput(options) => rows::throughput::run(common, options).await?,
            What::Blackhole(options) => rows::blackhole::run(common, options).await?,
            What::BlackholeInside(options) => rows::blackhole::run_inside(common, options).await?,
            What::Kill(options) => rows::kill::run(common, options).await?,
            What::Strangers(options) => rows::strangers::run(common, options).await?,
            What::Size(options) => rows::size::run(common, options).await?,
            What::SizeInside(options) => rows::size::run_inside(common, options).await?,
            What::Burst(options) => rows::burst::run(common, options).await?,
            What::SlowPeer(options) => rows::slow_peer::run(common, options).await?,
            What::Flood(options) => rows::flood::run(common, options).await?,
            What::Updates(options) => rows::updates::run(common, options).await?,
            What::Writes(options) => rows::writes::run(common, options).await?,
            What::Reads(options) => rows::reads::run(common, options).await?,
            What::SlowReader(options) => rows::slow_reader::run(common, options).await?,
            What::Compare(options) => rows::compare::run(common, options).await?,
            What::All | What::Echo | What::Knock(_) => unreachable!("handled above"),
        };
        if !common.json {
            println!("{report}");
        }
        reports.push(report);
    }
    Ok(reports)
}
