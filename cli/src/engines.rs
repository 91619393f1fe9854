//! `ddil engines`: do the two simulators tell the same story?

use std::time::Duration;

use clap::Args;
use comfy_table::{ContentArrangement, Table, presets};
use peat_scenarios::Scenario;
use peat_scenarios::agreement::Agreement;
use peat_scenarios::check::Verdict;
use peat_scenarios::library::library;
use peat_scenarios::report::{Paint, Report, plural, span};
use peat_sim::turmoil::TICK;
use peat_sim::{Engine, RunOptions, SimError};
use serde_json::{Value, json};

use crate::args::Told;
use crate::exit::Exit;
use crate::output;
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, document, interrupt, panics};

/// Unless named, scenarios of up to so many nodes: the second engine has a runtime for each.
const NODES_MAX: u32 = 12;
/// And, unless asked for, of up to this length: a day takes the second engine a quarter of an hour.
const LENGTH_MAX: Duration = Duration::from_secs(40 * 60);

const AFTER: &str = "\
Whoever writes a simulator believes it. So there are two, with nothing in common but the
model of a link: `fabric`, one runtime from event to event, and `turmoil`, a runtime for
each host in ticks of a millisecond. Every scenario is run on both, under one seed. They
agree when every check has the same verdict and no two medians of latency are more than a
tick apart (and what chance makes of a median; waits in queues: a twentieth).

Examples:
  ddil engines                            some minutes on two processors
  ddil engines outage-1m my-island.toml
  ddil engines --long --json | jq '.scenarios[] | {name, apart_ns}'

Exit codes:
    0  they agree on every scenario, whatever its verdict
    1  they do not
    2  usage, or a scenario is invalid; nothing was run
    5  a run could not be carried out
  130  interrupted";

/// `ddil engines`.
#[derive(Debug, Args)]
#[command(after_help = AFTER)]
pub struct EnginesArgs {
    /// Shipped scenarios by name (see `ddil list`), and scenario files by path [default: the shipped ones
    /// of up to 12 nodes and 40 minutes]
    #[arg(value_name = "NAME|FILE")]
    pub scenarios: Vec<String>,

    /// Without names: also those that last longer
    #[arg(long, conflicts_with = "scenarios")]
    pub long: bool,

    /// Everything random follows from this number [default: each scenario's own]
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,

    /// Scenarios at once [default: one per processor]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1024))]
    pub jobs: Option<u32>,

    #[command(flatten)]
    pub told: Told,
}

/// Both runs of a scenario.
struct Compared {
    name: String,
    outcome: Result<(Agreement, [Duration; 2]), SimError>,
}

/// Runs every scenario on both engines.
pub fn engines(arguments: &EnginesArgs) -> Exit {
    let Some(scenarios) = chosen(arguments) else { return Exit::Usage };
    interrupt::watch();
    Meter::start("both engines".to_owned(), "the same again".to_owned(), !arguments.told.no_progress);
    let (mut compared, mut bad) = (Vec::new(), 0);
    let seed = |scenario: &Scenario| arguments.seed.unwrap_or(scenario.seed);
    let one = |scenario: &Scenario| compare(scenario, seed(scenario));
    peat_sim::crew(arguments.jobs, &scenarios, one, |done| {
        bad += u64::from(done.exit() != Exit::Pass);
        compared.push(done);
        Meter::count_of(compared.len() as u64, scenarios.len() as u64, "scenarios", bad, "not alike");
    });
    Meter::finish();
    panics::tell("a simulation");
    compared.sort_by(|one, other| one.name.cmp(&other.name));
    let exit = compared.iter().map(Compared::exit).min().unwrap_or(Exit::Pass);
    match arguments.told.json {
        true => output::print(&document::pretty(&json!({
            "exit_code": exit.code(),
            "scenarios": compared.iter().map(Compared::json).collect::<Vec<_>>(),
        }))),
        false => output::print(&text(&compared, exit, output::stdout_paint())),
    }
    exit
}

/// What is to be run; `None`: something cannot be, which was told.
fn chosen(arguments: &EnginesArgs) -> Option<Vec<Scenario>> {
    let turmoil = Engine::Turmoil.capabilities();
    let scenarios = |sources: Vec<Sourced>| sources.into_iter().map(|sourced| sourced.scenario);
    if !arguments.scenarios.is_empty() {
        let sources = source::find_all(&arguments.scenarios)?;
        return admission::admit(&sources, &turmoil).then(|| scenarios(sources).collect());
    }
    let names: Vec<String> = library().iter().map(|shipped| shipped.name.to_owned()).collect();
    let fit = |of: &Scenario| of.nodes() <= NODES_MAX && (arguments.long || of.duration <= LENGTH_MAX);
    let able = |scenario: &Scenario| match turmoil.admit(scenario) {
        Ok(()) => true,
        Err(unsupported) => {
            output::tell(&format!("left out: {unsupported}\n"));
            false
        }
    };
    Some(scenarios(source::find_all(&names)?).filter(fit).filter(able).collect())
}

fn compare(scenario: &Scenario, seed: u64) -> Compared {
    let on = |engine| peat_sim::run(scenario, RunOptions::seed(seed).engine(engine));
    let both = || {
        let (fabric, turmoil) = (on(Engine::Fabric)?, on(Engine::Turmoil)?);
        let agreement = Agreement::of(&Report::of(scenario, &fabric), &Report::of(scenario, &turmoil), TICK);
        Ok((agreement, [fabric.wall, turmoil.wall]))
    };
    Compared { name: scenario.name.clone(), outcome: both() }
}

impl Compared {
    fn exit(&self) -> Exit {
        match &self.outcome {
            Ok((agreement, _)) if agreement.holds() => Exit::Pass,
            Ok(_) => Exit::Fail,
            Err(_) => Exit::Infrastructure,
        }
    }

    fn json(&self) -> Value {
        match &self.outcome {
            Ok((agreement, wall)) => {
                let nanos = |wall: Duration| u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX);
                let mut told = json!(agreement);
                told["name"] = json!(self.name);
                told["agree"] = json!(agreement.holds());
                told["wall_ns"] = json!(wall.map(nanos));
                told
            }
            Err(error) => json!({ "name": self.name, "error": error.to_string() }),
        }
    }

    /// What is to be said beyond the row of the table.
    fn notes(&self) -> Vec<String> {
        let agreement = match &self.outcome {
            Ok((agreement, _)) => agreement,
            Err(error) => return vec![format!("{}: {error}", self.name)],
        };
        let checks = agreement.differing.iter().map(|check| {
            let [fabric, turmoil] = check.verdicts;
            format!("{}: {}: fabric {fabric}, turmoil {turmoil}", self.name, check.name)
        });
        let medians = agreement.distant.iter().map(|pair| {
            let (from, to) = &pair.between;
            let [first, second, allowed] = [pair.first, pair.second, pair.allowed].map(span);
            format!("{}: median {from} > {to}: fabric {first}, turmoil {second}, allowed {allowed}", self.name)
        });
        checks.chain(medians).collect()
    }
}

fn text(compared: &[Compared], exit: Exit, paint: Paint) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(["SCENARIO", "FABRIC", "IN", "TURMOIL", "IN", "MEDIANS APART", ""]);
    for one in compared {
        let Ok((agreement, wall)) = &one.outcome else {
            table.add_row([&one.name]);
            continue;
        };
        let ([fabric, turmoil], [quick, slow]) = (agreement.verdicts.map(Verdict::word), wall.map(rounded));
        let alike = if agreement.holds() { "agree" } else { "DIFFER" };
        table.add_row([&one.name, fabric, &quick, turmoil, &slow, &span(agreement.apart), alike]);
    }
    let mut out = output::rows(&table, paint);
    for note in compared.iter().flat_map(Compared::notes) {
        out += &format!("{note}\n");
    }
    let alike = compared.iter().filter(|one| one.exit() == Exit::Pass).count();
    let word = if exit == Exit::Pass { "agree" } else { "DIFFER" };
    out += &format!(
        "\n{word}: the engines tell the same story of {alike} of {}\n",
        plural(compared.len() as u64, "scenario")
    );
    out
}

/// Real time, to the millisecond.
fn rounded(wall: Duration) -> String {
    span(Duration::from_millis(u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)))
}
