//! `ddil plants`: proves the checks. Every planted bug is run, and the table says who caught it.

use std::time::{Duration, Instant};

use comfy_table::{ContentArrangement, Table, presets};
use peat_scenarios::check::{KNOWN, Verdict};
use peat_scenarios::report::{Paint, WIDTH, plural, span};
use peat_sim::planted::{Caught, Suite, Trial, trials};
use peat_sim::{Plant, Plants, RunOptions, SimError};
use serde_json::{Value, json};

use crate::args::PlantsArgs;
use crate::exit::Exit;
use crate::output::{self, BOLD, styled};
use crate::progress::Meter;
use crate::{document, interrupt, panics};

/// Reads the name of a bug.
pub fn parse(name: &str) -> Result<Plant, String> {
    let found = Plant::ALL.iter().find(|plant| plant.name() == name);
    found.copied().ok_or_else(|| {
        let names: Vec<&str> = Plant::ALL.iter().map(|plant| plant.name()).collect();
        format!("there is no such bug; there are {}", names.join(", "))
    })
}

/// Plants them all in the nodes of a run.
pub fn plant(plants: &[Plant], options: &mut RunOptions) {
    options.plants = Plants::of(plants.iter().copied());
}

/// The options that plant them, each after a space.
pub fn typed(plants: &[Plant]) -> String {
    plants.iter().map(|plant| format!(" --plant {}", plant.name())).collect()
}

/// Holds every trial and prints who caught what.
#[expect(clippy::disallowed_methods, reason = "how long the suite takes in real time")]
pub fn plants(arguments: &PlantsArgs) -> Exit {
    let wanted = |trial: &Trial| arguments.bugs.is_empty() || arguments.bugs.contains(&trial.plant);
    let chosen: Vec<Trial> = trials().into_iter().filter(wanted).collect();
    interrupt::watch();
    let began = Instant::now();
    let suite = match hold(&chosen, arguments) {
        Ok(suite) => suite,
        Err(error) => {
            panics::tell("a simulation");
            output::complain(&format!("error: {error}\n"));
            return Exit::Infrastructure;
        }
    };
    // A part of the bugs cannot set off all of the checks.
    let whole = arguments.bugs.is_empty();
    let good = suite.uncaught().is_empty() && (!whole || suite.idle().is_empty());
    let verdict = if good { Verdict::Pass } else { Verdict::Fail };
    match arguments.told.json {
        true => output::print(&document::pretty(&as_json(&suite, verdict, whole, began.elapsed()))),
        false => output::print(&text(&suite, verdict, whole, began.elapsed(), output::stdout_paint())),
    }
    Exit::of(verdict)
}

/// As many at a time as was asked; afterwards in the order of the bugs.
fn hold(trials: &[Trial], arguments: &PlantsArgs) -> Result<Suite, SimError> {
    Meter::start("planted bugs".to_owned(), "ddil plants".to_owned(), !arguments.told.no_progress);
    let (mut held, mut bad) = (Vec::new(), 0);
    peat_sim::crew(arguments.jobs, trials, Trial::hold, |outcome| {
        bad += u64::from(!outcome.as_ref().is_ok_and(Caught::is_good));
        held.push(outcome);
        Meter::count_of(held.len() as u64, trials.len() as u64, "bugs", bad, "not caught");
    });
    Meter::finish();
    let mut caught = held.into_iter().collect::<Result<Vec<Caught>, SimError>>()?;
    caught.sort_by_key(|caught| caught.plant);
    Ok(Suite(caught))
}

fn as_json(suite: &Suite, verdict: Verdict, whole: bool, wall: Duration) -> Value {
    let bug = |caught: &Caught| {
        let checks = caught.checks.iter().map(|(name, finding)| json!({ "name": name, "finding": finding }));
        json!({
            "bug": caught.plant.name(),
            "story": caught.plant.story(),
            "scenario": caught.scenario,
            "seed": caught.seed,
            "verdict": caught.verdict,
            "expected": caught.by,
            "caught_by": checks.collect::<Vec<_>>(),
            "control": caught.control,
            "control_failed": caught.alarms,
            "good": caught.is_good(),
        })
    };
    let by_check = suite.by_check();
    let check = |name: &str| {
        let bugs = by_check.get(name).into_iter().flatten().map(|plant| plant.name());
        json!({ "check": name, "caught": bugs.collect::<Vec<_>>() })
    };
    json!({
        "verdict": verdict,
        "exit_code": Exit::of(verdict).code(),
        "bugs": suite.0.iter().map(bug).collect::<Vec<_>>(),
        "checks": KNOWN.iter().map(|known| check(known.name)).collect::<Vec<_>>(),
        "checks_without_a_bug": if whole { suite.idle() } else { Vec::new() },
        "wall_ns": u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX),
    })
}

fn text(suite: &Suite, verdict: Verdict, whole: bool, wall: Duration, paint: Paint) -> String {
    let row = |bug: &str, scenario: &str, seed: &str, verdict: &str, control: &str| {
        format!("{bug:<22} {scenario:<23} {seed:>4}  {verdict:<16}  {control}").trim_end().to_owned() + "\n"
    };
    let mut out = styled(paint, BOLD, row("BUG", "SCENARIO", "SEED", "VERDICT", "CONTROL").trim_end()) + "\n";
    for caught in &suite.0 {
        let checks: Vec<&str> = caught.checks.iter().map(|(name, _)| name.as_str()).collect();
        let checks =
            if checks.is_empty() { "caught by nobody".to_owned() } else { format!("caught by {}", checks.join(", ")) };
        let control = match caught.alarms.is_empty() {
            true => caught.control.word().to_owned(),
            false => format!("{}: {}", caught.control.word(), caught.alarms.join(", ")),
        };
        let (seed, verdict) = (caught.seed.to_string(), caught.verdict.word());
        out.push_str(&row(caught.plant.name(), &caught.scenario, &seed, verdict, &control));
        out.push_str(&format!("  {}\n  {checks}\n", caught.plant.story()));
    }
    if whole {
        let by_check = suite.by_check();
        let mut table = new_table(["CHECK", "BUGS THAT IT CAUGHT"]);
        for known in KNOWN {
            let bugs: Vec<&str> = by_check.get(known.name).into_iter().flatten().map(|plant| plant.name()).collect();
            let bugs = if bugs.is_empty() { "none".to_owned() } else { bugs.join(", ") };
            table.add_row([known.name.to_owned(), bugs]);
        }
        out.push('\n');
        out.push_str(&output::rows(&table, paint));
    }
    let bugs = plural(suite.0.len() as u64, "bug");
    let uncaught: Vec<&str> = suite.uncaught().into_iter().map(|caught| caught.plant.name()).collect();
    let mut summary = match uncaught.as_slice() {
        [] => format!("{bugs}, each caught by the check that is there for it, none without it"),
        names => format!("{bugs}, not as they should be: {}", names.join(", ")),
    };
    match suite.idle().as_slice() {
        _ if !whole => {}
        [] => summary.push_str(&format!("; {} have caught one", plural(KNOWN.len() as u64, "check"))),
        names => summary.push_str(&format!("; checks that caught none: {}", names.join(", "))),
    }
    out.push_str(&format!("\n{}  {summary}; {}\n", paint.verdict(verdict, verdict.word()), span(wall)));
    out
}

fn new_table<const N: usize>(header: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    table.set_width(u16::try_from(WIDTH).unwrap_or(u16::MAX)).set_header(header);
    if let Some(column) = table.column_mut(0) {
        column.set_padding((0, 1));
    }
    table
}
