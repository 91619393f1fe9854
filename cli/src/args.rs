//! The command line: what can be asked, and the help that explains it.

use clap::{Args, ColorChoice, Parser, Subcommand, ValueEnum};

use crate::outputs::Outputs;

const EXIT_CODES: &str = "\
Exit codes:
    0  pass
    1  an invariant is broken
    2  usage, or the scenario is invalid; nothing was run
    3  correct, but a service level of the scenario is missed
    4  inconclusive, or a fault that disturbed nothing
    5  infrastructure: the world failed, not the nodes
    6  nondeterminism: one seed gave two different runs
  130  interrupted";

const ABOUT_AFTER: &str = "\
A scenario scripts who is there, how they are linked, who writes what, what goes
wrong and when, and what is expected. It is run on the code of the real node; the
outcome is a verdict with figures.

Examples:
  ddil list                        what can be run
  ddil run two-cluster-blackout    run it in virtual time, seconds for half an hour
  ddil sweep outage-1m             does it hold under a hundred seeds?
  ddil check my-island.toml        is this file a scenario?
  ddil new my-island               a scenario to begin with

Exit codes are in `ddil run --help`.";

const RUN_EXAMPLES: &str = "\
Whole nodes, with real QUIC between them, run in virtual time: half an hour of a
mesh takes seconds, and the same seed gives the same run. A failure comes with its
seed and the line that reproduces it.

Examples:
  ddil run two-cluster-blackout
  ddil run two-cluster-blackout --seed 7
  ddil run crash-during-partition --repeat 20    one seed, 20 runs, one trace hash
  ddil run my-island.toml --json | jq .verdict
  ddil run two-cluster-blackout --html blackout.html
  ddil run my-island.toml --out reports/my-island
  ddil run -v line-of-five 2> events.log";

const SWEEP_AFTER: &str = "\
What one seed passes, the next may not. Runs are spread over threads; each is the
run that `ddil run --seed` gives. Invariants are judged on every seed, service levels
on the 99th percentile over the seeds (nearest rank: with fewer than 100 seeds every
one of them counts).

Examples:
  ddil sweep outage-1m                        seeds 1 to 100
  ddil sweep outage-24h --seeds 5
  ddil sweep my-island.toml --seeds 1000 --from 5000 --jobs 2
  ddil sweep outage-1m --json | jq '.figures[] | {name, p99}'";

const RUN_ORDER: &str = "\
Of several scenarios the gravest decides, in the order 1, 6, 5, 4, 3, 0.";

const SWEEP_ORDER: &str = "\
Of several seeds the gravest decides, in the order 1, 6, 5, 4, 3, 0.";

const CHECK_AFTER: &str = "\
Everything that is wrong with a file is told in one pass: where, what, and what is
allowed.

Examples:
  ddil check my-island.toml
  ddil check scenarios/library/*.toml

Exit codes:
  0  every file is a valid scenario
  2  at least one is not";

const REPORT_AFTER: &str = "\
The run is judged anew, by the checks of this program, and every report that
`ddil run` can write can be made of it. Without any option the text is printed.

Examples:
  ddil run two-cluster-blackout --record blackout.json
  ddil report blackout.json
  ddil report blackout.json --html blackout.html --markdown -

Exit codes are those of `ddil run`.";

const NEW_AFTER: &str = "\
The file runs as it is; its comments say what to change. An existing file is left
alone. docs/scenarios.md teaches the rest in ten minutes.

Examples:
  ddil new my-island && ddil run my-island.toml";

const SCHEMA_AFTER: &str = "\
Editors with a TOML plugin complete and check scenario files by it. The first line
of a file names it:
  #:schema scenario.schema.json

Examples:
  ddil schema > scenario.schema.json";

const LIST_AFTER: &str = "\
Examples:
  ddil list
  ddil list --json | jq -r '.[].name'";

/// Puts mesh nodes on trial under denied, degraded, intermittent and limited links
#[derive(Debug, Parser)]
#[command(name = "ddil", version, max_term_width = 100, after_help = ABOUT_AFTER, subcommand_required = true)]
#[command(arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,

    /// Colours: `auto` means on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: ColorChoice,
}

/// The subcommands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run scenarios and judge them
    Run(RunArgs),
    /// Run one scenario under many seeds, and show how its figures spread
    Sweep(SweepArgs),
    /// Judge and draw a saved run again
    Report(ReportArgs),
    /// Show the shipped scenarios
    List(ListArgs),
    /// Validate scenario files without running them
    Check(CheckArgs),
    /// Write a commented scenario to begin with
    New(NewArgs),
    /// Print the JSON Schema of scenario files, for editors
    Schema(SchemaArgs),
}

/// `ddil run`.
#[derive(Debug, Args)]
#[command(after_help = format!("{RUN_EXAMPLES}\n\n{EXIT_CODES}\n\n{RUN_ORDER}"))]
pub struct RunArgs {
    /// Shipped scenarios by name (see `ddil list`), and scenario files by path
    #[arg(value_name = "NAME|FILE", required = true)]
    pub scenarios: Vec<String>,

    /// Everything random follows from this number [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Run each N times with one seed; the trace hashes must agree
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub repeat: u32,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,

    /// Print what happened, with virtual times, on stderr; -vv: every detail
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// No progress bar (there is none anyway when stderr is not a terminal)
    #[arg(long)]
    pub no_progress: bool,

    /// Files.
    #[command(flatten)]
    pub outputs: Outputs,

    /// Plants a bug in every node, to prove that the checks can fail.
    #[arg(long, value_name = "BUG", hide = true)]
    pub plant: Vec<Plant>,
}

impl RunArgs {
    /// Is the text report wanted on stdout?
    pub fn prints_text(&self) -> bool {
        !self.json && !self.outputs.take_stdout()
    }
}

/// `ddil report`.
#[derive(Debug, Args)]
#[command(after_help = REPORT_AFTER)]
pub struct ReportArgs {
    /// A run that `ddil run --record` saved
    #[arg(value_name = "RECORD")]
    pub file: String,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,

    /// Files.
    #[command(flatten)]
    pub outputs: Outputs,
}

/// `ddil schema`.
#[derive(Debug, Args)]
#[command(after_help = SCHEMA_AFTER)]
pub struct SchemaArgs {}

/// `ddil new`.
#[derive(Debug, Args)]
#[command(after_help = NEW_AFTER)]
pub struct NewArgs {
    /// What to call it: lower-case letters, digits and dashes; the file is NAME.toml
    #[arg(value_name = "NAME")]
    pub name: String,
}

/// `ddil sweep`.
#[derive(Debug, Args)]
#[command(after_help = format!("{SWEEP_AFTER}\n\n{EXIT_CODES}\n\n{SWEEP_ORDER}"))]
pub struct SweepArgs {
    /// A shipped scenario by name (see `ddil list`), or a scenario file by path
    #[arg(value_name = "NAME|FILE")]
    pub scenario: String,

    /// How many seeds
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub seeds: u32,

    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from: u64,

    /// Runs at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,

    /// No progress bar (there is none anyway when stderr is not a terminal)
    #[arg(long)]
    pub no_progress: bool,

    /// Plants a bug in every node, to prove that the checks can fail.
    #[arg(long, value_name = "BUG", hide = true)]
    pub plant: Vec<Plant>,
}

/// A bug to plant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Plant {
    /// Some of the changes that came from a peer are not relayed to the others.
    DropRelayedChange,
    /// No tombstone is loaded at start.
    ForgetTombstone,
    /// A write is acknowledged when it is queued.
    AckBeforeDurable,
}

impl Plant {
    /// Plants them all.
    pub fn all(plants: &[Plant], options: &mut peat_sim::RunOptions) {
        for plant in plants {
            match plant {
                Plant::DropRelayedChange => options.plants.drop_relayed_changes = true,
                Plant::ForgetTombstone => options.plants.forget_tombstones_at_restart = true,
                Plant::AckBeforeDurable => options.plants.acknowledge_before_durable = true,
            }
        }
    }

    /// The options that plant them, each after a space.
    pub fn typed(plants: &[Plant]) -> String {
        let values = plants.iter().filter_map(clap::ValueEnum::to_possible_value);
        values.map(|value| format!(" --plant {}", value.get_name())).collect()
    }
}

/// `ddil list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER)]
pub struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `ddil check`.
#[derive(Debug, Args)]
#[command(after_help = CHECK_AFTER)]
pub struct CheckArgs {
    /// Scenario files
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<String>,
}
