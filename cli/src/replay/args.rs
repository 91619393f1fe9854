//! What `ddil replay` can be asked.

use clap::Args;

use crate::args::Told;
use crate::engine::EngineChoice;

const AFTER: &str = "\
The first run is in this process, the second in another one, and so on in turn. Each
run gives a hash over every datagram, every event of an application and every draw of
entropy. Where two differ, the first event in which they part is shown.

Examples:
  ddil replay two-cluster-blackout
  ddil replay crash-during-partition --times 20 --load
  ddil replay outage-1m --engine turmoil --json | jq '.replays[].same'

Exit codes:
    0  every run was the first one over again, whatever its verdict
    2  usage, or the scenario is invalid; nothing was run
    5  a run could not be carried out
    6  one seed gave two different runs
  130  interrupted";

/// `ddil replay`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct ReplayArgs {
    /// Shipped scenarios by name (see `ddil list`), and scenario files by path
    #[arg(value_name = "NAME|FILE", required = true)]
    pub scenarios: Vec<String>,

    /// Everything random follows from this number [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// How many runs
    #[arg(long, value_name = "N", default_value_t = 2, value_parser = clap::value_parser!(u32).range(2..=10_000))]
    pub times: u32,

    /// Every other run has to share its processors with threads that never rest
    #[arg(long)]
    pub load: bool,

    /// What runs them: `fabric` is the fast one, `turmoil` a second opinion on up to 50 nodes
    #[arg(long, value_name = "ENGINE", value_enum, default_value_t)]
    pub engine: EngineChoice,

    #[command(flatten)]
    pub told: Told,

    /// Lets the real clock into every run, to prove that it is noticed.
    #[arg(long, hide = true)]
    pub leak: bool,

    /// This is a child: compare with this hash, see `replay/child.rs`.
    #[arg(long, value_name = "HASH", hide = true)]
    pub child: Option<String>,
}
