//! `ddil replay`: is one seed one run?
//!
//! The first run is in this process. The others take turns between processes of their own and this one; with
//! `--load` those in other processes have to share their processors with threads that never rest. A run in a
//! child compares itself with the first and, only if it is another one, writes its events to its standard output,
//! where this process looks for the first that differs.

mod args;
mod child;
mod load;

use peat_scenarios::check::Verdict;
use peat_scenarios::report::{Paint, Report, span};
use peat_sim::{Event, RunOptions, SimError, first_difference};
use serde_json::{Value, json};

use crate::document;
use crate::exit::Exit;
use crate::output::{self, quoted, styled};
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, interrupt, panics};

pub use args::ReplayArgs;

/// Events shown before the first one in which two runs differ: enough to see whose turn it was.
const EVENTS_BEFORE: usize = 3;
/// And after it, of each run.
const EVENTS_AFTER: usize = 2;

/// Replays every scenario; the gravest outcome is the exit code.
pub fn replay(arguments: &ReplayArgs) -> Exit {
    let mut sources = Vec::new();
    for argument in &arguments.scenarios {
        match source::find(argument) {
            Ok(sourced) => sources.push(sourced),
            Err(error) => {
                output::complain(&error.to_string());
                return Exit::Usage;
            }
        }
    }
    if !admission::admit(&sources, &arguments.engine.capabilities()) {
        return Exit::Usage;
    }
    if let Some(expected) = &arguments.child {
        return child::run(arguments, &sources[0], expected);
    }
    interrupt::watch();
    let outcomes: Vec<Outcome> = sources.iter().map(|sourced| Replay { arguments, sourced }.compare()).collect();
    let exit = outcomes.iter().map(|outcome| outcome.exit).min().unwrap_or(Exit::Unclear);
    if arguments.told.json {
        let replays: Vec<&Value> = outcomes.iter().map(|outcome| &outcome.json).collect();
        output::print(&document::pretty(&json!({ "exit_code": exit.code(), "replays": replays })));
    }
    exit
}

struct Outcome {
    exit: Exit,
    json: Value,
}

/// One scenario, several times.
struct Replay<'a> {
    arguments: &'a ReplayArgs,
    sourced: &'a Sourced,
}

/// A run that is not the first one over again.
struct Parted {
    /// Counted from one.
    time: u32,
    hash: String,
    lines: Vec<String>,
}

impl Replay<'_> {
    fn compare(&self) -> Outcome {
        match self.runs() {
            Ok(outcome) => outcome,
            Err(error) => {
                let name = &self.sourced.scenario.name;
                output::complain(&format!("error: {name} could not be run: {error}\n"));
                let json = json!({ "scenario": name, "seed": self.seed(), "error": error });
                Outcome { exit: Exit::Infrastructure, json }
            }
        }
    }

    fn runs(&self) -> Result<Outcome, String> {
        let (first, events) = self.here(1).map_err(|error| error.to_string())?;
        let hash = first.trace_hash.clone().unwrap_or_default();
        let verdict = Report::of(&self.sourced.scenario, &first).verdict;
        let mut parted = Vec::new();
        for time in 2..=self.arguments.times {
            // The second in a process of its own: two runs are enough to have tried that.
            let other = match time % 2 {
                0 => child::compare(self, time, &hash, &events)?,
                _ => self.compare_here(time, &hash, &events).map_err(|error| error.to_string())?,
            };
            parted.extend(other);
        }
        if !self.arguments.told.json {
            output::print(&self.text(verdict, first.wall, &hash, &parted));
        }
        let exit = if parted.is_empty() { Exit::Pass } else { Exit::Nondeterministic };
        let json = json!({
            "scenario": self.sourced.scenario.name,
            "seed": self.seed(),
            "engine": self.arguments.engine.engine().name(),
            "runs": self.arguments.times,
            "load": self.arguments.load,
            "same": parted.is_empty(),
            "trace_hash": hash,
            "verdict": verdict,
            "parted": parted.iter().map(|other| json!({
                "run": other.time, "trace_hash": other.hash, "events": other.lines,
            })).collect::<Vec<_>>(),
            "reproduce": self.reproduce(),
        });
        Ok(Outcome { exit, json })
    }

    /// A run in this process, with its events.
    fn here(&self, time: u32) -> Result<(peat_scenarios::RunRecord, Vec<Event>), SimError> {
        let label = format!("{} {time}/{}", self.sourced.scenario.name, self.arguments.times);
        Meter::start(label, self.reproduce(), !self.arguments.told.no_progress);
        let mut options = options(self.arguments, self.sourced);
        options.progress = Some(Box::new(|progress| Meter::advance(&progress)));
        let done = peat_sim::run_with_events(&self.sourced.scenario, options);
        Meter::finish();
        panics::tell("the simulation");
        done
    }

    fn compare_here(&self, time: u32, hash: &str, events: &[Event]) -> Result<Option<Parted>, SimError> {
        let (record, others) = self.here(time)?;
        let other = record.trace_hash.unwrap_or_default();
        if other == hash {
            return Ok(None);
        }
        let at = first_difference(events, &others).unwrap_or(events.len());
        let others = others.iter().skip(at).take(1 + EVENTS_AFTER).map(Event::to_string).collect();
        let lines = parting(events, at, time, others);
        Ok(Some(Parted { time, hash: other, lines }))
    }

    fn seed(&self) -> u64 {
        seed(self.arguments, self.sourced)
    }

    fn reproduce(&self) -> String {
        let (name, seed, times) = (quoted(&self.sourced.argument), self.seed(), self.arguments.times);
        let load = if self.arguments.load { " --load" } else { "" };
        let leak = if self.arguments.leak { " --leak" } else { "" };
        format!("ddil replay {name} --seed {seed} --times {times}{load}{leak}{}", self.arguments.engine.typed())
    }

    fn text(&self, verdict: Verdict, wall: std::time::Duration, hash: &str, parted: &[Parted]) -> String {
        let paint = output::stdout_paint();
        let (scenario, times) = (&self.sourced.scenario, self.arguments.times);
        let engine = self.arguments.engine.engine().name();
        let under = if self.arguments.load { ", every other one under load" } else { "" };
        let mut text = format!(
            "{} {} seed {}, engine {engine}: {times} runs{under}, ",
            mark(paint, parted.is_empty()),
            scenario.name,
            self.seed()
        );
        let Some(first) = parted.first() else {
            text.push_str(&format!("one trace hash {hash} ({verdict}, {} a run)\n", span(wall)));
            return text;
        };
        text.push_str(&format!("{} of them not the first\n", parted.len()));
        text.push_str(&format!("  run 1   {hash}\n"));
        for other in parted {
            text.push_str(&format!("  run {:<3} {}\n", other.time, other.hash));
        }
        text.push_str(&format!("runs 1 and {} part here:\n", first.time));
        for line in &first.lines {
            text.push_str(&format!("  {line}\n"));
        }
        text.push_str(&format!("reproduce: {}\n", self.reproduce()));
        text
    }
}

fn mark(paint: Paint, good: bool) -> String {
    let (mark, colour) = if good { ("✔", anstyle::AnsiColor::Green) } else { ("✘", anstyle::AnsiColor::Red) };
    styled(paint, anstyle::Style::new().bold().fg_color(Some(colour.into())), mark).to_string()
}

fn seed(arguments: &ReplayArgs, sourced: &Sourced) -> u64 {
    arguments.seed.unwrap_or(sourced.scenario.seed)
}

fn options(arguments: &ReplayArgs, sourced: &Sourced) -> RunOptions {
    let mut options = RunOptions::seed(seed(arguments, sourced)).engine(arguments.engine.engine());
    options.source = quoted(&sourced.argument);
    options.leak = arguments.leak;
    options
}

/// What both runs did before they parted, and what each did then.
fn parting(events: &[Event], at: usize, time: u32, others: Vec<String>) -> Vec<String> {
    let at = at.min(events.len());
    let both = events[at.saturating_sub(EVENTS_BEFORE)..at].iter().map(|event| format!("both:  {event}"));
    let ours = events[at..].iter().take(1 + EVENTS_AFTER).map(Event::to_string).collect();
    both.chain(side("run 1", ours)).chain(side(&format!("run {time}"), others)).collect()
}

fn side(who: &str, events: Vec<String>) -> Vec<String> {
    match events.is_empty() {
        true => vec![format!("{who}: (over)")],
        false => events.into_iter().map(|event| format!("{who}: {event}")).collect(),
    }
}
