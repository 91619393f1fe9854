//! The command line: what can be asked, and the help that explains it.

use clap::{Args, ColorChoice, Parser, Subcommand};
use peat_sim::Plant;

use crate::engine::EngineChoice;
pub use crate::engines::EnginesArgs;
pub use crate::fidelity::FidelityArgs;
use crate::outputs::Outputs;
use crate::place::Place;
pub use crate::replay::ReplayArgs;
pub use crate::sweep::SweepArgs;

pub(crate) const EXIT_CODES: &str = "\
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
  ddil replay line-of-five --load  is one seed one run?
  ddil explain outage-1m           where did the time go, and what was possible?
  ddil diff old.json new.json      what changed?
  ddil fidelity outage-1m          does a real world do what was predicted?
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
  ddil run outage-1m --engine turmoil    the other simulator: the same verdict?
  ddil run my-island.toml --json | jq .verdict
  ddil run two-cluster-blackout --html blackout.html
  ddil run two-cluster-blackout --world process --time-scale 0.1
  ddil run my-island.toml --out reports/my-island
  ddil run -v line-of-five 2> events.log";

const RUN_ORDER: &str = "\
Of several scenarios the gravest decides, in the order 1, 6, 5, 4, 3, 0.";

const EXPLAIN_AFTER: &str = "\
Each operation at each replica: the time from acknowledged to visible, split without
remainder into outage wait, reconnect backoff, handshake, queueing, transfer,
retransmission and apply; and the physical bound, the earliest moment at which the
links, as they were, could have brought it.

Examples:
  ddil explain two-cluster-blackout
  ddil explain thin-link --seed 7 --slowest 3
  ddil explain outage-1m --json | jq .explanation.connected.ratio.p50

Exit codes:
    0  explained, whatever the verdict of the run
    2  usage, or the scenario is invalid; nothing was run
    5  infrastructure: it could not be run
  130  interrupted";

const DIFF_AFTER: &str = "\
OLD and NEW are files that `ddil run --json` or `ddil sweep --json` wrote, or `git:REV`:
a revision of the repository around the current folder, which is checked out into a
temporary folder, built with cargo and run. Runs are paired by scenario and seed. In
virtual time whatever differs was changed by somebody; --tolerance says otherwise.

Examples:
  ddil diff before.json after.json
  ddil diff git:main git:HEAD --scenario outage-1m --seeds 5
  ddil diff git:v0.1.0 today.json --markdown       the scenarios and seeds of the file
  ddil diff before.json after.json --fail-on-regression=5
  ddil diff a.json b.json --json | jq '.scenarios[].figures[] | select(.judgement == \"worse\")'

Exit codes:
    0  no verdict got worse
    1  a verdict got worse, or with --fail-on-regression a figure did
    2  usage, an unreadable document, or nothing in common
    5  infrastructure: a revision could not be built or run
  130  interrupted";

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

const PLANTS_AFTER: &str = "\
A check that has never caught a bug is not trusted. Each bug is a class of failure
that somebody has shipped; it is planted where it would be made, and a small
scenario is run that brings it out, and once more without the bug: the control. The
bugs are in the nodes of this program only. A node that is built for production has
none of this compiled in.

Examples:
  ddil plants                       who catches what
  ddil plants echo-loop stale-read
  ddil plants --json | jq -r '.bugs[] | [.bug, .verdict] | @tsv'
  ddil run line-of-five --plant dropped-change

Exit codes:
    0  every bug was caught, every check caught one, every control passed
    1  a bug was not caught, a check caught none, or a control did not pass
    2  usage
    5  a run could not be carried out
  130  interrupted";

const EMULATOR_AFTER: &str = "\
Without --measure it is a process of a world that `ddil run` starts itself: it reads
on stdin, a line of JSON each, what it is to be and what is to happen, answers on
stdout, and ends with its input. docs/worlds.md has the lines.

Examples:
  ddil emulator --measure

Exit codes:
    0  measured, and as exact as docs/worlds.md promises; or told to end
    3  measured, and not as exact as that
    5  it could not be done";

const LIST_AFTER: &str = "\
Examples:
  ddil list
  ddil list --json | jq -r '.[].name'";

const LINKS_AFTER: &str = "\
Any of them may be the `profile` of a link, and every number of it be overridden
there. Where two numbers stand, the first is up (from the group that the link names
first), the second down. docs/links.md has the model, plots and sources.

Examples:
  ddil links
  ddil links --json | jq '.[] | select(.name == \"geo\") | .forward'";

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
    Run(Box<RunArgs>),
    /// Run scenarios under many seeds, and show how their figures spread
    Sweep(SweepArgs),
    /// Run scenarios again and again, and say whether one seed is one run
    Replay(ReplayArgs),
    /// Run scenarios on both simulators, and say whether they tell the same story
    Engines(EnginesArgs),
    /// Judge and draw a saved run again
    Report(ReportArgs),
    /// Plant known bugs in the nodes, and show which check catches each
    Plants(PlantsArgs),
    /// Run a scenario and say where the time of its slowest operations went
    Explain(ExplainArgs),
    /// Compare two runs, or two revisions on the same seeds
    Diff(DiffArgs),
    /// Hold a real world against what the simulation predicted
    Fidelity(FidelityArgs),
    /// Show the shipped scenarios
    List(ListArgs),
    /// Show the named links and their numbers
    Links(LinksArgs),
    /// Validate scenario files without running them
    Check(CheckArgs),
    /// Write a commented scenario to begin with
    New(NewArgs),
    /// Print the JSON Schema of scenario files, for editors
    Schema(SchemaArgs),
    /// Be the links of a real world, or measure how well this machine can be
    Emulator(EmulatorArgs),
}

/// `ddil emulator`.
#[derive(Debug, Args)]
#[command(after_help = EMULATOR_AFTER)]
pub struct EmulatorArgs {
    /// Send datagrams through an emulator on this machine, and compare with the model
    #[arg(long)]
    pub measure: bool,

    /// Listen here for the one who says what to be, instead of on stdin
    #[arg(long, value_name = "IP:PORT", conflicts_with = "measure")]
    pub control: Option<std::net::SocketAddr>,

    /// With --measure: print one JSON document on stdout, and nothing else
    #[arg(long, requires = "measure")]
    pub json: bool,
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

    /// What runs them: `fabric` is the fast one, `turmoil` a second opinion on up to 50 nodes
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t)]
    pub engine: EngineChoice,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,

    /// Print what happened, with virtual times, on stderr; -vv: every detail
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub verbose: u8,

    /// No progress bar (there is none anyway when stderr is not a terminal)
    #[arg(long)]
    pub no_progress: bool,

    /// Where they run.
    #[command(flatten)]
    pub place: Place,

    /// Files.
    #[command(flatten)]
    pub outputs: Outputs,

    /// Plants a bug in every node, to prove that the checks can fail.
    #[arg(long, value_name = "BUG", hide = true, value_parser = crate::plants::parse)]
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

/// `ddil explain`.
#[derive(Debug, Args)]
#[command(after_help = EXPLAIN_AFTER)]
pub struct ExplainArgs {
    /// A shipped scenario by name (see `ddil list`), or a scenario file by path
    #[arg(value_name = "NAME|FILE")]
    pub scenario: String,

    /// Everything random follows from this number [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many of the slowest operations
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u32).range(0..=100_000))]
    pub slowest: u32,

    #[command(flatten)]
    pub told: Told,

    /// Plants a bug in every node, to prove that the checks can fail.
    #[arg(long, value_name = "BUG", hide = true, value_parser = crate::plants::parse)]
    pub plant: Vec<Plant>,
}

/// `ddil diff`.
#[derive(Debug, Args)]
#[command(after_help = DIFF_AFTER)]
pub struct DiffArgs {
    /// What was
    #[arg(value_name = "OLD")]
    pub old: String,

    /// What is
    #[arg(value_name = "NEW")]
    pub new: String,

    /// What two revisions run: a shipped name or a file; may be given several times
    #[arg(long, value_name = "NAME|FILE")]
    pub scenario: Vec<String>,

    /// Under how many seeds two revisions run it
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub seeds: u32,

    /// The first of those seeds
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from: u64,

    /// Runs at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,

    /// With which cargo profile revisions are built
    #[arg(long, value_name = "NAME", default_value = "release")]
    pub profile: String,

    /// A figure that differs by less than this many per cent has not changed
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0, value_parser = crate::diff::percent)]
    pub tolerance: f64,

    /// Exit with 1 if a figure got worse, too; with a number: by more than so many per cent
    #[arg(long, value_name = "PERCENT", num_args = 0..=1, require_equals = true, default_missing_value = "0")]
    #[arg(value_parser = crate::diff::percent)]
    pub fail_on_regression: Option<f64>,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long, conflicts_with = "markdown")]
    pub json: bool,

    /// Print Markdown, for a pull request
    #[arg(long)]
    pub markdown: bool,

    /// Do not tell what is going on
    #[arg(long)]
    pub no_progress: bool,
}

/// How what was found is told.
#[derive(Debug, Args)]
pub struct Told {
    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,

    /// No progress bar (there is none anyway when stderr is not a terminal)
    #[arg(long)]
    pub no_progress: bool,
}

/// `ddil plants`.
#[derive(Debug, Args)]
#[command(after_help = PLANTS_AFTER)]
pub struct PlantsArgs {
    /// Bugs by name [default: all of them]
    #[arg(value_name = "BUG", value_parser = crate::plants::parse)]
    pub bugs: Vec<Plant>,

    /// Runs at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,

    #[command(flatten)]
    pub told: Told,
}

/// `ddil list`.
#[derive(Debug, Args)]
#[command(after_help = LIST_AFTER)]
pub struct ListArgs {
    /// Print a JSON array
    #[arg(long)]
    pub json: bool,
}

/// `ddil links`.
#[derive(Debug, Args)]
#[command(after_help = LINKS_AFTER)]
pub struct LinksArgs {
    /// Print a JSON array with every parameter
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
