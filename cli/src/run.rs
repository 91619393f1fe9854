//! `ddil run`: scenarios in, verdicts out.

use std::path::{Path, PathBuf};

use peat_k3d::process::Servers;
use peat_scenarios::check::Verdict;
use peat_scenarios::report::{Report, Summary, WIDTH};
use peat_scenarios::{RunRecord, Scenario, SimTime};
use peat_sim::{Event, RunOptions, SimError};
use serde_json::Value;

use crate::args::RunArgs;
use crate::document::{self, Document};
use crate::exit::Exit;
use crate::output::{self, BOLD, quoted, styled};
use crate::outputs::Judged;
use crate::place::World;
use crate::process::{self, Side};
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, clusters, interrupt, panics, plants};

const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// Columns of a time: `1h02m03.250s`, and one to the left of it.
const TIME_WIDTH: usize = 13;

/// What became of one scenario.
struct Outcome {
    name: String,
    seed: u64,
    verdict: Verdict,
    /// Trace hash, or why there is none.
    trace: String,
    json: Value,
    /// What summaries over all scenarios tell of it; `None` if it could not be run.
    summary: Option<Summary>,
    /// Could everything be written that was asked for?
    written: bool,
}

/// Runs every scenario; the gravest verdict is the exit code. If one of the arguments is not a scenario, or is one that
/// the world cannot run, nothing is run: better to know before the first ten minutes than after.
pub fn run(arguments: &RunArgs) -> Exit {
    let mut sources = Vec::new();
    let mut bad = 0;
    for argument in &arguments.scenarios {
        match source::find(argument) {
            Ok(sourced) => sources.push(sourced),
            Err(error) => {
                let gap = if bad > 0 { "\n" } else { "" };
                bad += 1;
                output::complain(&format!("{gap}{error}"));
            }
        }
    }
    if bad > 0 {
        return Exit::Usage;
    }
    let (sources, at) = match prepare(arguments, sources) {
        Ok(prepared) => prepared,
        Err(exit) => return exit,
    };
    if arguments.place.clusters.plan
        && let At::K3d(options) = &at
    {
        return clusters::print(&sources, arguments.seed, options, arguments.json);
    }
    let at = match at {
        At::Process { servers, .. } => match process::enter() {
            Side::Inside(data) => At::Process { data, servers },
            Side::Done(exit) => return exit,
            Side::Barred(why) => At::Nowhere(why),
        },
        at => at,
    };
    match &at {
        At::Docker(_) => interrupt::before_leaving(clusters::leave_containers),
        At::K3d(_) => interrupt::before_leaving(clusters::leave_clusters),
        At::Sim | At::Process { .. } | At::Nowhere(_) => {}
    }
    interrupt::watch();
    let mut outcomes = Vec::new();
    for (position, sourced) in sources.iter().enumerate() {
        if position > 0 && arguments.prints_text() {
            output::print("\n");
        }
        outcomes.push(Trial { arguments, at: &at, sourced, several: sources.len() > 1 }.hold());
    }
    let verdicts = outcomes.iter().map(|outcome| outcome.verdict);
    let exit = verdicts.clone().map(Exit::of).min().unwrap_or(Exit::Unclear);
    if arguments.json {
        let document = Document::new(verdicts, outcomes.iter().map(|outcome| outcome.json.clone()).collect());
        output::print(&document::pretty(&document));
    } else if outcomes.len() > 1 && arguments.prints_text() {
        output::print(&summary(&outcomes));
    }
    let summaries: Vec<Summary> = outcomes.iter().filter_map(|outcome| outcome.summary.clone()).collect();
    let written = arguments.outputs.write_all(&summaries) && outcomes.iter().all(|outcome| outcome.written);
    if written { exit } else { Exit::Usage }
}

/// Everything that can be known to be wrong before anything starts.
fn prepare(arguments: &RunArgs, sources: Vec<Sourced>) -> Result<(Vec<Sourced>, At), Exit> {
    let place = &arguments.place;
    let complain = |error: String| {
        output::complain(&error);
        Exit::Usage
    };
    place.check(arguments.engine).map_err(complain)?;
    let scaled: Result<Vec<Sourced>, String> = sources.into_iter().map(|sourced| place.scaled(sourced)).collect();
    let sources = scaled.map_err(complain)?;
    // Of clusters more can be said, and all of it at once.
    if place.world != World::K3d && !admission::admit(&sources, &place.capabilities(arguments.engine)) {
        return Err(Exit::Usage);
    }
    arguments.outputs.check(sources.len(), arguments.json).map_err(complain)?;
    let at = match place.world {
        World::Sim => At::Sim,
        World::Process => {
            let servers = process::servers(place).map_err(complain)?;
            if !process::admit(&sources, &servers) {
                return Err(Exit::Usage);
            }
            At::Process { data: PathBuf::new(), servers }
        }
        World::Docker if !clusters::needs_binary(place) => At::Docker(PathBuf::new()),
        World::Docker => At::Docker(process::node(place).map_err(complain)?),
        World::K3d => {
            // A plan can be printed before there is anything to run.
            let node = match !clusters::needs_binary(place) || place.clusters.plan {
                true => place.node.clone().unwrap_or_else(|| "target/release/peat-node".into()),
                false => process::node(place).map_err(complain)?,
            };
            let options = place.clusters.options(&node);
            if !clusters::admit(&sources, &options) {
                return Err(Exit::Usage);
            }
            At::K3d(options)
        }
    };
    Ok((sources, at))
}

/// Something that happened, for the log.
struct Line {
    at: SimTime,
    is_datagram: bool,
    text: String,
}

/// Where scenarios run.
enum At {
    Sim,
    Process {
        data: PathBuf,
        servers: Servers,
    },
    /// With the program of the nodes.
    Docker(PathBuf),
    K3d(peat_k3d::cluster::Options),
    /// The world cannot be made here.
    Nowhere(String),
}

/// One scenario on trial.
struct Trial<'a> {
    arguments: &'a RunArgs,
    at: &'a At,
    sourced: &'a Sourced,
    /// There are other scenarios.
    several: bool,
}

impl Trial<'_> {
    /// Runs it, prints and judges.
    fn hold(&self) -> Outcome {
        let (record, events) = match self.once() {
            Ok(done) => done,
            Err(error) => return self.not_run(&error),
        };
        self.log(&events);
        let report = Report::of(&self.sourced.scenario, &record);
        if self.arguments.prints_text() {
            output::print(&report.text(output::stdout_paint()));
        }
        let judged = Judged { scenario: &self.sourced.scenario, report: &report };
        Outcome {
            written: self.arguments.outputs.write_one(&judged, self.several),
            summary: self.arguments.outputs.any().then(|| report.summary()),
            name: record.meta.scenario.clone(),
            seed: record.meta.seed,
            verdict: report.verdict,
            trace: record.trace_hash.clone().unwrap_or_else(|| "no trace".to_owned()),
            json: document::judged(&report),
        }
    }

    fn once(&self) -> Result<(RunRecord, Vec<Line>), String> {
        let scenario = &self.sourced.scenario;
        Meter::start(scenario.name.clone(), self.reproduce(), !self.arguments.no_progress);
        let done = match self.at {
            At::Sim => self.simulate().map_err(|error| error.to_string()),
            At::Process { data, servers } => self.processes(data, servers),
            At::Docker(node) => {
                self.really(|what, watching| clusters::in_containers(&self.arguments.place, what, node, watching))
            }
            At::K3d(options) => {
                self.really(|what, watching| clusters::on_clusters(&self.arguments.place, what, options, watching))
            }
            At::Nowhere(why) => Err(why.clone()),
        };
        Meter::finish();
        panics::tell(&format!("the run of {}", scenario.name));
        let (mut record, lines) = done?;
        record.meta.time_scale = self.arguments.place.time_scale.unwrap_or(1.0);
        Ok((record, lines))
    }

    fn simulate(&self) -> Result<(RunRecord, Vec<Line>), SimError> {
        let scenario = &self.sourced.scenario;
        let mut options = RunOptions::seed(self.seed()).engine(self.arguments.engine.engine());
        options.source = self.source();
        options.progress = Some(Box::new(|progress| Meter::advance(&progress)));
        plants::plant(&self.arguments.plant, &mut options);
        if self.arguments.verbose == 0 {
            return peat_sim::run(scenario, options).map(|record| (record, Vec::new()));
        }
        let (record, events) = peat_sim::run_with_events(scenario, options)?;
        let line = |event: Event| Line { at: event.at, is_datagram: event.kind.is_datagram(), text: event.text };
        Ok((record, events.into_iter().map(line).collect()))
    }

    fn processes(&self, data: &Path, servers: &Servers) -> Result<(RunRecord, Vec<Line>), String> {
        self.really(|(scenario, seed, source), watching| {
            let program = std::env::current_exe().map_err(|error| error.to_string())?;
            let servers = servers.clone();
            let trial = peat_k3d::process::Trial { scenario, seed, source, servers, program: &program, data };
            peat_k3d::process::run(trial, watching).map_err(|error| error.to_string())
        })
    }

    /// In a real world.
    fn really(
        &self,
        run: impl FnOnce(
            (&Scenario, u64, String),
            peat_k3d::run::Watching<'_>,
        ) -> Result<(RunRecord, Vec<peat_k3d::run::Event>), String>,
    ) -> Result<(RunRecord, Vec<Line>), String> {
        let mut progress =
            |progress: peat_k3d::run::Progress| Meter::reach(progress.now, progress.end, &progress.phase);
        let watching = peat_k3d::run::Watching { progress: Some(&mut progress), events: self.arguments.verbose > 0 };
        let (record, events) = run((&self.sourced.scenario, self.seed(), self.source()), watching)?;
        let line = |event: peat_k3d::run::Event| Line { at: event.at, is_datagram: false, text: event.text };
        Ok((record, events.into_iter().map(line).collect()))
    }

    fn seed(&self) -> u64 {
        self.arguments.seed.unwrap_or(self.sourced.scenario.seed)
    }

    /// What was typed to name the scenario, and what else decides the run.
    fn source(&self) -> String {
        let mut typed = quoted(&self.sourced.argument);
        typed.push_str(self.arguments.engine.typed());
        typed.push_str(&self.arguments.place.typed());
        typed.push_str(&plants::typed(&self.arguments.plant));
        typed
    }

    /// The same line that a report gives ([`Report::reproduce`]), for runs that end without one.
    fn reproduce(&self) -> String {
        format!("ddil run {} --seed {}", self.source(), self.seed())
    }

    /// The events: for `-v` what an application or operator would notice, in lines as wide as a report; for
    /// `-vv` the datagrams too, and documents in full.
    fn log(&self, events: &[Line]) {
        let all = match self.arguments.verbose {
            0 => return,
            level => level > 1,
        };
        let paint = output::stderr_paint();
        let shown = events.iter().filter(|event| all || !event.is_datagram);
        let line = |event: &Line| {
            let text = if all { event.text.clone() } else { output::shortened(&event.text, WIDTH - TIME_WIDTH - 1) };
            format!("{} {text}\n", styled(paint, DIM, format_args!("{:>TIME_WIDTH$}", event.at)))
        };
        output::tell(&shown.map(line).collect::<String>());
    }

    fn not_run(&self, error: &str) -> Outcome {
        let (name, seed, reproduce) = (&self.sourced.scenario.name, self.seed(), self.reproduce());
        output::complain(&format!("error: {name} could not be run: {error}\nreproduce: {reproduce}\n"));
        Outcome {
            name: name.clone(),
            seed,
            verdict: Verdict::InfraError,
            trace: error.to_owned(),
            summary: None,
            written: true,
            json: document::not_run(name, &self.source(), seed, error, &reproduce),
        }
    }
}

/// One line for each scenario, after all the reports.
fn summary(outcomes: &[Outcome]) -> String {
    let paint = output::stdout_paint();
    let width = outcomes.iter().map(|outcome| outcome.name.len()).max().unwrap_or_default();
    let mut text = format!("\n{}\n", styled(paint, BOLD, "All scenarios"));
    for Outcome { name, seed, verdict, trace, .. } in outcomes {
        let word = styled(paint, verdict_style(*verdict), format_args!("{:<16}", verdict.word()));
        text.push_str(&format!("  {word} {name:<width$}  seed {seed:<6} {}\n", styled(paint, DIM, trace)));
    }
    text
}

fn verdict_style(verdict: Verdict) -> anstyle::Style {
    let colour = match Exit::of(verdict) {
        Exit::Pass => anstyle::AnsiColor::Green,
        Exit::Breach | Exit::Unclear => anstyle::AnsiColor::Yellow,
        Exit::Infrastructure => anstyle::AnsiColor::Magenta,
        Exit::Fail | Exit::Nondeterministic | Exit::Usage => anstyle::AnsiColor::Red,
    };
    BOLD.fg_color(Some(colour.into()))
}
