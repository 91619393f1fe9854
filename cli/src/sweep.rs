//! `ddil sweep`: scenarios under many seeds.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use peat_scenarios::check::Verdict;
use peat_scenarios::library::library;
use peat_scenarios::report::Report;
use peat_scenarios::sweep::{Sweep, SweptRun, summary};
use peat_sim::RunOptions;
use serde_json::{Value, json};

use crate::args::SweepArgs;
use crate::exit::Exit;
use crate::output::{self, quoted};
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, document, interrupt, panics, plants};

/// Runs every seed and prints how the figures spread; the gravest verdict is the exit code.
#[expect(clippy::disallowed_methods, reason = "how long the sweep takes in real time")]
pub fn sweep(arguments: &SweepArgs) -> Exit {
    let Some(sources) = sources(arguments) else { return Exit::Usage };
    if !admission::admit(&sources, &peat_sim::Engine::default().capabilities()) {
        return Exit::Usage;
    }
    if arguments.from.checked_add(u64::from(arguments.seeds) - 1).is_none() {
        let text = format!("error: there are no {} seeds from {} on\n", arguments.seeds, arguments.from);
        output::complain(&format!("{text}  = help: the greatest seed is {}\n", u64::MAX));
        return Exit::Usage;
    }
    interrupt::watch();
    let began = Instant::now();
    let trials = Trials { arguments, sources: &sources };
    let runs = trials.all();
    let wall = began.elapsed();
    let sweeps: Vec<Sweep> = sources
        .iter()
        .zip(runs)
        .map(|(sourced, (spent, runs))| {
            let wall = if sources.len() == 1 { wall } else { spent };
            Sweep::new(&sourced.scenario, "sim/fabric", wall, runs)
        })
        .collect();
    let gravest = |verdicts: Vec<Verdict>| verdicts.into_iter().min_by_key(|verdict| Exit::of(*verdict));
    let of = |sweep: &Sweep| gravest(sweep.verdicts()).unwrap_or(Verdict::Inconclusive);
    let verdict = gravest(sweeps.iter().map(of).collect()).unwrap_or(Verdict::Inconclusive);
    let judged: Vec<(&Sweep, Verdict)> = sweeps.iter().map(|sweep| (sweep, of(sweep))).collect();
    match (arguments.json, judged.as_slice(), sources.as_slice()) {
        (true, [(sweep, verdict)], [sourced]) => {
            output::print(&document::pretty(&trials.document(sweep, *verdict, sourced, wall)));
        }
        (true, ..) => {
            let all = judged.iter().zip(&sources);
            let documents =
                all.map(|((sweep, verdict), sourced)| trials.document(sweep, *verdict, sourced, sweep.wall()));
            output::print(&document::pretty(&json!({
                "verdict": verdict,
                "exit_code": Exit::of(verdict).code(),
                "wall_ns": nanos(wall),
                "scenarios": documents.collect::<Vec<_>>(),
            })));
        }
        (false, [(sweep, verdict)], _) => output::print(&sweep.text(*verdict, output::stdout_paint())),
        (false, ..) => output::print(&summary(&judged, verdict, wall, output::stdout_paint())),
    }
    Exit::of(verdict)
}

/// What is to be swept; `None`: something is not a scenario, which was told.
fn sources(arguments: &SweepArgs) -> Option<Vec<Sourced>> {
    if let Some(stranger) = arguments.except.iter().find(|name| library().iter().all(|shipped| shipped.name != **name))
    {
        output::complain(&format!("error: there is no shipped scenario `{stranger}` to leave out\n"));
        return None;
    }
    let shipped = library().iter().map(|shipped| shipped.name.to_owned());
    let shipped: Vec<String> = shipped.filter(|name| !arguments.except.contains(name)).collect();
    let names = if arguments.library { &shipped } else { &arguments.scenarios };
    let mut sources = Vec::new();
    let mut good = true;
    for name in names {
        match source::find(name) {
            Ok(sourced) => sources.push(sourced),
            Err(error) => {
                good = false;
                output::complain(&error.to_string());
            }
        }
    }
    good.then_some(sources)
}

fn nanos(span: Duration) -> u64 {
    u64::try_from(span.as_nanos()).unwrap_or(u64::MAX)
}

/// The runs of a sweep.
struct Trials<'a> {
    arguments: &'a SweepArgs,
    sources: &'a [Sourced],
}

/// The runs of each scenario, and how long they took together.
type Swept = Vec<(Duration, Vec<SweptRun>)>;

impl Trials<'_> {
    /// Every seed once, as many at a time as was asked. Scenarios take turns, so that an interrupted sweep has tried all;
    /// the costly ones come first in each turn, so that no processor waits long for the last of them.
    fn all(&self) -> Swept {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.arguments.jobs.map_or_else(processors, |jobs| jobs as usize);
        let (total, kinds) = (self.arguments.seeds as usize, self.sources.len());
        let again = match self.sources {
            [sourced] => format!("ddil sweep {} --seeds {total} --from {}", self.typed(sourced), self.arguments.from),
            _ => "the same again".to_owned(),
        };
        let label = match self.sources {
            [sourced] => format!("{} sweep", sourced.scenario.name),
            several => format!("sweep of {} scenarios", several.len()),
        };
        Meter::start(label, again, !self.arguments.no_progress);
        // Sessions times time: what a scenario costs grows with both.
        let cost = |kind: usize| {
            let scenario = &self.sources[kind].scenario;
            u64::from(scenario.nodes()).pow(2).saturating_mul(scenario.duration.as_secs())
        };
        let mut turn: Vec<usize> = (0..kinds).collect();
        turn.sort_by_key(|kind| std::cmp::Reverse(cost(*kind)));
        let taken = AtomicUsize::new(0);
        let (done, finished) = mpsc::channel();
        let runs = thread::scope(|scope| {
            for _ in 0..jobs.min(total) {
                let (done, taken, turn) = (done.clone(), &taken, &turn);
                scope.spawn(move || {
                    loop {
                        let position = taken.fetch_add(1, Ordering::Relaxed);
                        if position >= total {
                            return;
                        }
                        let (kind, seed) = (turn[position % kinds], self.arguments.from + (position / kinds) as u64);
                        // The receiver is gone when this process is about to end.
                        if done.send((kind, self.one(&self.sources[kind], seed))).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(done);
            let (mut runs, mut bad) = (BTreeMap::<usize, (Duration, Vec<SweptRun>)>::new(), 0);
            for (count, (kind, (wall, run))) in (1..).zip(finished) {
                bad += u64::from(run.verdict != Verdict::Pass);
                let (spent, of_kind) = runs.entry(kind).or_default();
                *spent += wall;
                of_kind.push(run);
                let things = if kinds == 1 { "seeds" } else { "runs" };
                Meter::count_of(count, total as u64, things, bad, "not passed");
            }
            runs
        });
        Meter::finish();
        for note in panics::take() {
            output::complain(&format!("error: panic in a simulation\n  --> {note}\n"));
        }
        let mut runs = runs;
        (0..kinds).map(|kind| runs.remove(&kind).unwrap_or_default()).collect()
    }

    #[expect(clippy::disallowed_methods, reason = "how long a run takes in real time")]
    fn one(&self, sourced: &Sourced, seed: u64) -> (Duration, SweptRun) {
        let began = Instant::now();
        let mut options = RunOptions::seed(seed);
        options.source = self.typed(sourced);
        plants::plant(&self.arguments.plant, &mut options);
        let run = match peat_sim::run(&sourced.scenario, options) {
            Ok(record) => SweptRun::judged(&sourced.scenario, &Report::of(&sourced.scenario, &record)),
            Err(error) => {
                let again = format!("ddil run {} --seed {seed}", self.typed(sourced));
                SweptRun::not_run(seed, error.to_string(), again)
            }
        };
        (began.elapsed(), run)
    }

    fn document(&self, sweep: &Sweep, verdict: Verdict, sourced: &Sourced, wall: Duration) -> Value {
        json!({
            "verdict": verdict,
            "exit_code": Exit::of(verdict).code(),
            "scenario": sourced.scenario.name,
            "source": sourced.argument,
            "seeds": { "from": self.arguments.from, "count": sweep.runs().len() },
            "wall_ns": nanos(wall),
            "figures": sweep.spreads(),
            "runs": sweep.runs(),
        })
    }

    /// What was typed to name the scenario, and what else decides a run.
    fn typed(&self, sourced: &Sourced) -> String {
        quoted(&sourced.argument) + &plants::typed(&self.arguments.plant)
    }
}
