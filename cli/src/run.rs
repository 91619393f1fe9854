//! `ddil run`: scenarios in, verdicts out.

use peat_scenarios::RunRecord;
use peat_scenarios::check::{self, CheckResult, Verdict};
use peat_scenarios::report::{Report, WIDTH};
use peat_sim::{Event, RunOptions, SimError, first_difference};
use serde_json::Value;

use crate::args::{Plant, RunArgs};
use crate::document::{self, Document};
use crate::exit::Exit;
use crate::output::{self, quoted, styled};
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, interrupt, panics};

const BOLD: anstyle::Style = anstyle::Style::new().bold();
const DIM: anstyle::Style = anstyle::Style::new().dimmed();

/// Columns of a time: `1h02m03.250s`, and one to the left of it.
const TIME_WIDTH: usize = 13;

/// Events shown before the first one in which two runs of one seed differ: enough to see whose turn it was.
const EVENTS_BEFORE: usize = 3;

/// What became of one scenario.
struct Outcome {
    name: String,
    seed: u64,
    verdict: Verdict,
    /// Trace hash, or why there is none.
    trace: String,
    json: Value,
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
    if bad > 0 || !admission::admit(&sources, &peat_sim::Engine::default().capabilities()) {
        return Exit::Usage;
    }
    interrupt::watch();
    let mut outcomes = Vec::new();
    for (position, sourced) in sources.iter().enumerate() {
        if position > 0 && !arguments.json {
            output::print("\n");
        }
        outcomes.push(Trial { arguments, sourced }.hold());
    }
    let verdicts = outcomes.iter().map(|outcome| outcome.verdict);
    let exit = verdicts.clone().map(Exit::of).min().unwrap_or(Exit::Unclear);
    if arguments.json {
        let document = Document::new(verdicts, outcomes.iter().map(|outcome| outcome.json.clone()).collect());
        output::print(&document::pretty(&document));
    } else if outcomes.len() > 1 {
        output::print(&summary(&outcomes));
    }
    exit
}

/// One scenario on trial.
struct Trial<'a> {
    arguments: &'a RunArgs,
    sourced: &'a Sourced,
}

impl Trial<'_> {
    /// Runs it as often as was asked, prints and judges.
    fn hold(&self) -> Outcome {
        let mut first: Option<(RunRecord, Vec<Event>)> = None;
        let mut hashes: Vec<String> = Vec::new();
        let mut parting = None;
        for time in 1..=self.arguments.repeat {
            let (record, events) = match self.once(time) {
                Ok(done) => done,
                Err(error) => return self.not_run(&error),
            };
            hashes.extend(record.trace_hash.clone());
            match &first {
                None => {
                    self.log(&events);
                    first = Some((record, events));
                }
                Some((_, original)) if parting.is_none() => parting = Parting::find(original, &events, time),
                Some(_) => {}
            }
        }
        let (record, _) = first.expect("invariant: a scenario is run at least once");
        let mut report = Report::of(&self.sourced.scenario, &record);
        if self.arguments.repeat > 1 {
            report.add(determinism(&hashes, parting));
        }
        if !self.arguments.json {
            output::print(&report.text(output::stdout_paint()));
        }
        Outcome {
            name: record.meta.scenario.clone(),
            seed: record.meta.seed,
            verdict: report.verdict,
            trace: record.trace_hash.clone().unwrap_or_else(|| "no trace".to_owned()),
            json: document::judged(&report),
        }
    }

    fn once(&self, time: u32) -> Result<(RunRecord, Vec<Event>), SimError> {
        let scenario = &self.sourced.scenario;
        let label = match self.arguments.repeat {
            1 => scenario.name.clone(),
            of => format!("{} {time}/{of}", scenario.name),
        };
        Meter::start(label, self.reproduce(), !self.arguments.no_progress);
        let mut options = RunOptions::seed(self.seed());
        options.source = self.source();
        options.progress = Some(Box::new(|progress| Meter::advance(&progress)));
        Plant::all(&self.arguments.plant, &mut options);
        let keep = self.arguments.verbose > 0 || self.arguments.repeat > 1;
        let done = match keep {
            true => peat_sim::run_with_events(scenario, options),
            false => peat_sim::run(scenario, options).map(|record| (record, Vec::new())),
        };
        Meter::finish();
        for note in panics::take() {
            output::complain(&format!("error: panic in the simulation of {}\n  --> {note}\n", scenario.name));
        }
        done
    }

    fn seed(&self) -> u64 {
        self.arguments.seed.unwrap_or(self.sourced.scenario.seed)
    }

    /// What was typed to name the scenario, and what else decides the run.
    fn source(&self) -> String {
        let mut typed = quoted(&self.sourced.argument);
        if self.arguments.repeat > 1 {
            typed.push_str(&format!(" --repeat {}", self.arguments.repeat));
        }
        typed.push_str(&Plant::typed(&self.arguments.plant));
        typed
    }

    /// The same line that a report gives ([`Report::reproduce`]), for runs that end without one.
    fn reproduce(&self) -> String {
        format!("ddil run {} --seed {}", self.source(), self.seed())
    }

    /// The events: for `-v` what an application or operator would notice, in lines as wide as a report; for
    /// `-vv` the datagrams too, and documents in full.
    fn log(&self, events: &[Event]) {
        let all = match self.arguments.verbose {
            0 => return,
            level => level > 1,
        };
        let paint = output::stderr_paint();
        let shown = events.iter().filter(|event| all || !event.kind.is_datagram());
        let line = |event: &Event| {
            let text = if all { event.text.clone() } else { output::shortened(&event.text, WIDTH - TIME_WIDTH - 1) };
            format!("{} {text}\n", styled(paint, DIM, format_args!("{:>TIME_WIDTH$}", event.at)))
        };
        output::tell(&shown.map(line).collect::<String>());
    }

    fn not_run(&self, error: &SimError) -> Outcome {
        let (name, seed, reproduce) = (&self.sourced.scenario.name, self.seed(), self.reproduce());
        output::complain(&format!("error: {name} could not be run: {error}\nreproduce: {reproduce}\n"));
        Outcome {
            name: name.clone(),
            seed,
            verdict: Verdict::InfraError,
            trace: error.to_string(),
            json: document::not_run(name, &self.source(), seed, &error.to_string(), &reproduce),
        }
    }
}

/// Where two runs of one seed parted.
struct Parting {
    time: u32,
    lines: Vec<String>,
}

impl Parting {
    fn find(original: &[Event], events: &[Event], time: u32) -> Option<Self> {
        let at = first_difference(original, events)?;
        let show = |who: &str, event: Option<&Event>| match event {
            Some(event) => format!("{who}: {event}"),
            None => format!("{who}: (over)"),
        };
        let before = original[at.saturating_sub(EVENTS_BEFORE)..at].iter().map(|event| show("both", Some(event)));
        let parted = [show("run 1", original.get(at)), show(&format!("run {time}"), events.get(at))];
        Some(Parting { time, lines: before.chain(parted).collect() })
    }
}

fn determinism(hashes: &[String], parting: Option<Parting>) -> CheckResult {
    let mut result = check::same_trace(hashes.iter().map(String::as_str));
    if let Some(Parting { time, lines }) = parting {
        result.evidence.push(format!("runs 1 and {time} part here:"));
        result.evidence.extend(lines);
    }
    result
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
