//! What `ddil sweep` can be asked.

use std::path::PathBuf;

use clap::Args;
use peat_scenarios::sweep::Shard;
use peat_sim::Plant;

use crate::args::{EXIT_CODES, Told};
use crate::engine::EngineChoice;

const AFTER: &str = "\
What one seed passes, the next may not. Runs are spread over threads; each is the
run that `ddil run --seed` gives. Invariants are judged on every seed, service levels
on the 99th percentile over the seeds (nearest rank: with fewer than 100 seeds every
one of them counts).

Examples:
  ddil sweep outage-1m                        seeds 1 to 100
  ddil sweep outage-24h --seeds 5
  ddil sweep my-island.toml --seeds 1000 --from 5000 --jobs 2
  ddil sweep --library --except two-hundred-spokes --seeds 1000
  ddil sweep outage-1m --engine turmoil --seeds 10
  ddil sweep outage-1m --json | jq '.figures[] | {name, p99}'

On several machines, and as an Indexed Job on Kubernetes (docs/deploy.md):
  ddil sweep outage-1m --seeds 5000 --shard 0/64 --result 0.json    here, 1/64 there …
  ddil sweep --merge *.json                   the report of all, as if never shared out";

const ORDER: &str = "\
Of several seeds the gravest decides, in the order 1, 6, 5, 4, 3, 0. A shard does not
judge: 0 when all of its runs were carried out, 5 when one could not be.";

/// `ddil sweep`.
#[derive(Debug, Args)]
#[command(after_help = format!("{AFTER}\n\n{EXIT_CODES}\n\n{ORDER}"))]
pub struct SweepArgs {
    /// Shipped scenarios by name (see `ddil list`), and scenario files by path
    #[arg(value_name = "NAME|FILE", required_unless_present_any = ["library", "merge"])]
    pub scenarios: Vec<String>,

    /// All shipped scenarios
    #[arg(long, conflicts_with = "scenarios")]
    pub library: bool,

    /// Not these, of the shipped ones
    #[arg(long, value_name = "NAME", requires = "library")]
    pub except: Vec<String>,

    /// How many seeds; with several scenarios: how many runs, spread over them evenly
    #[arg(long, value_name = "N", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub seeds: u32,

    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub from: u64,

    /// What runs them, as for `ddil run`
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t)]
    pub engine: EngineChoice,

    /// Runs at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,

    /// Run the I-th of N parts only, counted from 0, and print its result, a line of JSON
    #[arg(long, value_name = "I/N")]
    pub shard: Option<Shard>,

    /// Write the result of the shard to a file
    #[arg(long, value_name = "FILE", requires = "shard")]
    pub result: Option<PathBuf>,

    /// Run nothing: put results of shards together (files, folders of *.json, `-`: stdin)
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with_all = NOT_WITH_MERGE)]
    pub merge: Vec<PathBuf>,

    #[command(flatten)]
    pub told: Told,

    /// Plants a bug in every node, to prove that the checks can fail.
    #[arg(long, value_name = "BUG", hide = true, value_parser = crate::plants::parse)]
    pub plant: Vec<Plant>,
}

const NOT_WITH_MERGE: [&str; 8] = ["scenarios", "library", "seeds", "from", "engine", "jobs", "shard", "plant"];
