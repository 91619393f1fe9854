//! `ddil fidelity`: what the simulation predicted beside what a real world did.
//!
//! Both sides are runs of this program, in processes of their own: a real world enters namespaces, engines and clusters
//! with its process, and its record is all that is wanted here.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use clap::Args;
use peat_scenarios::check::Verdict;
use peat_scenarios::fidelity::{Fidelity, markdown};
use peat_scenarios::report::SavedRun;

use crate::exit::Exit;
use crate::output::{self, reason};
use crate::place::{World, scale};
use crate::{document, interrupt, report, source};

const AFTER: &str = "\
Each scenario is run in `sim` and in a real world, under the same seed, and the two are
laid side by side phase by phase. Connected latency may differ by 15 % or 2 ms,
convergence and reconnect after a heal by 20 %, bytes by 20 %. What differs by more is
split into its parts: outage wait, reconnect backoff, handshake, commits, classes of
traffic; docs/fidelity.md has them all.

Examples:
  ddil fidelity two-cluster-blackout --world process --time-scale 0.1
  ddil fidelity outage-1m line-of-five --html fidelity.html
  ddil fidelity --sim predicted.json --real measured.json     two runs that --record saved

Exit codes:
    0  the same verdict, and every figure within its band or explained
    2  usage, an unreadable record, or two runs that are not of one plan
    3  a figure beyond its band that nothing explains, or another verdict
    5  infrastructure: a side could not be run
  130  interrupted";

/// `ddil fidelity`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct FidelityArgs {
    /// Shipped scenarios by name (see `ddil list`), and scenario files by path
    #[arg(value_name = "NAME|FILE", required_unless_present = "sim")]
    pub scenarios: Vec<String>,

    /// Everything random follows from this number [default: the scenario's own]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// The real world, as for `ddil run`: process, docker or k3d
    #[arg(long, value_name = "WORLD", default_value = World::Process.name(), value_parser = World::real)]
    pub world: World,

    /// Tell the story in this part of its time, on both sides
    #[arg(long, value_name = "F", value_parser = scale)]
    pub time_scale: Option<f64>,

    /// The program of the nodes, as for `ddil run`
    #[arg(long, value_name = "PATH")]
    pub node: Option<String>,

    /// Predictions that were saved, in place of running them
    #[arg(long, value_name = "RECORD", num_args = 1.., requires = "real", conflicts_with_all = NOT_WITH_RECORDS)]
    pub sim: Vec<PathBuf>,

    /// The real runs that they are held against, in the same order
    #[arg(long, value_name = "RECORD", num_args = 1.., requires = "sim")]
    pub real: Vec<PathBuf>,

    /// Keep the records of both sides there, as SCENARIO.sim.json and SCENARIO.WORLD.json
    #[arg(long, value_name = "DIR", conflicts_with = "sim")]
    pub out: Option<PathBuf>,

    /// One self-contained page
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,

    /// Tables for a pull request
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,

    /// Print one JSON document on stdout, and nothing else
    #[arg(long)]
    pub json: bool,
}

const NOT_WITH_RECORDS: [&str; 5] = ["scenarios", "seed", "world", "time_scale", "node"];

/// The folder of records that nobody asked to keep.
static LITTER: Mutex<Option<PathBuf>> = Mutex::new(None);

/// Why there is nothing to lay side by side.
enum Trouble {
    Usage(String),
    Infrastructure(String),
}

/// Runs or reads both sides and tells how far apart they are.
pub fn fidelity(arguments: &FidelityArgs) -> Exit {
    let all = match sides(arguments) {
        Ok(all) => all,
        Err(Trouble::Usage(text)) => {
            output::complain(&format!("error: {text}\n"));
            return Exit::Usage;
        }
        Err(Trouble::Infrastructure(text)) => {
            output::complain(&format!("error: {text}\n"));
            return Exit::Infrastructure;
        }
    };
    let mut written = true;
    let files = [(&arguments.html, Fidelity::html(&all)), (&arguments.markdown, markdown(&all))];
    for (path, text) in files {
        let Some(path) = path else { continue };
        if let Err(error) = fs::write(path, text) {
            written = false;
            output::complain(&format!("error: cannot write `{}`: {}\n", path.display(), reason(&error)));
        }
    }
    if arguments.json {
        let good = all.iter().all(Fidelity::holds);
        output::print(&document::pretty(&serde_json::json!({ "as_predicted": good, "scenarios": all })));
    } else {
        let texts: Vec<String> = all.iter().map(|one| one.text(output::stdout_paint())).collect();
        output::print(&texts.join("\n"));
    }
    match (written, all.iter().all(Fidelity::holds)) {
        (false, _) => Exit::Usage,
        (true, true) => Exit::Pass,
        (true, false) => Exit::Breach,
    }
}

fn sides(arguments: &FidelityArgs) -> Result<Vec<Fidelity>, Trouble> {
    if !arguments.sim.is_empty() {
        if arguments.sim.len() != arguments.real.len() {
            let (sim, real) = (arguments.sim.len(), arguments.real.len());
            return Err(Trouble::Usage(format!(
                "--sim names {sim} records and --real {real}: each prediction needs its run"
            )));
        }
        return arguments.sim.iter().zip(&arguments.real).map(|(sim, real)| compared(sim, real)).collect();
    }
    // Better to know before the first ten minutes than after.
    let mut names = Vec::new();
    for typed in &arguments.scenarios {
        let found = source::find(typed);
        let plain = |text: String| text.trim_start_matches("error: ").trim_end().to_owned();
        names.push(found.map_err(|error| Trouble::Usage(plain(error.to_string())))?.scenario.name);
    }
    let folder = folder(arguments)?;
    let done = arguments.scenarios.iter().zip(&names).map(|(typed, name)| {
        let record = |world: World| folder.join(format!("{name}.{}.json", world.name()));
        let (sim, real) = (record(World::Sim), record(arguments.world));
        // What a world cannot do it refuses before anything starts.
        run(arguments, typed, arguments.world, &real)?;
        run(arguments, typed, World::Sim, &sim)?;
        compared(&sim, &real)
    });
    let all = done.collect();
    clear();
    all
}

fn folder(arguments: &FidelityArgs) -> Result<PathBuf, Trouble> {
    let folder = arguments.out.clone().unwrap_or_else(|| {
        let folder = std::env::temp_dir().join(format!("ddil-fidelity-{}", std::process::id()));
        *LITTER.lock().unwrap_or_else(PoisonError::into_inner) = Some(folder.clone());
        interrupt::before_leaving(clear);
        interrupt::watch();
        folder
    });
    let made = fs::create_dir_all(&folder);
    made.map_err(|error| Trouble::Usage(format!("cannot make `{}`: {}", folder.display(), reason(&error))))?;
    Ok(folder)
}

fn clear() {
    if let Some(folder) = LITTER.lock().unwrap_or_else(PoisonError::into_inner).take() {
        let _ = fs::remove_dir_all(folder);
    }
}

/// One side, in a process of its own. Its verdict is in its record.
fn run(arguments: &FidelityArgs, typed: &str, world: World, record: &Path) -> Result<(), Trouble> {
    let program = std::env::current_exe();
    let program = program.map_err(|error| Trouble::Infrastructure(format!("cannot find ddil: {}", reason(&error))))?;
    let mut command = Command::new(program);
    command.args(["run", typed, "--record"]).arg(record).stdin(Stdio::null()).stdout(Stdio::null());
    if let Some(seed) = arguments.seed {
        command.args(["--seed", &seed.to_string()]);
    }
    if let Some(scale) = arguments.time_scale {
        command.args(["--time-scale", &scale.to_string()]);
    }
    if world != World::Sim {
        command.args(["--world", world.name()]);
        if let Some(node) = &arguments.node {
            command.args(["--node", node]);
        }
    }
    let ended = command.status();
    interrupt::wait_if_it_happened();
    let ended = ended.map_err(|error| Trouble::Infrastructure(format!("cannot run ddil: {}", reason(&error))))?;
    // What it had to say it has said on stderr.
    match ended.code() {
        Some(2) => Err(Trouble::Usage(format!("{typed} cannot be run in world {}", world.name()))),
        _ if record.exists() => Ok(()),
        _ => Err(Trouble::Infrastructure(format!("{typed} was not run in world {}: {ended}", world.name()))),
    }
}

fn compared(sim: &Path, real: &Path) -> Result<Fidelity, Trouble> {
    let (sim, real) = (read(sim)?, read(real)?);
    let (sim_verdict, real_verdict) = (sim.report().verdict, real.report().verdict);
    if real_verdict == Verdict::InfraError {
        let trouble = real.record.infra_errors.first().cloned().unwrap_or_default();
        return Err(Trouble::Infrastructure(format!("the real run says nothing about the nodes: {trouble}")));
    }
    let compared = Fidelity::of((&sim.record, sim_verdict), (&real.record, real_verdict));
    compared.map_err(|error| Trouble::Usage(error.to_string()))
}

fn read(path: &Path) -> Result<SavedRun, Trouble> {
    let path = path.to_string_lossy();
    report::read(&path).map_err(|error| {
        let help = "  = help: `ddil run NAME --record FILE` makes such a file";
        Trouble::Usage(format!("`{path}`: {error}\n{help}"))
    })
}
