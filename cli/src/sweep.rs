//! `ddil sweep`: one scenario under many seeds.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

use peat_scenarios::check::Verdict;
use peat_scenarios::report::Report;
use peat_scenarios::sweep::{Sweep, SweptRun};
use peat_sim::RunOptions;
use serde_json::json;

use crate::args::{Plant, SweepArgs};
use crate::exit::Exit;
use crate::output::{self, quoted};
use crate::progress::Meter;
use crate::source::{self, Sourced};
use crate::{admission, document, interrupt, panics};

/// Runs every seed and prints how the figures spread; the gravest verdict is the exit code.
#[expect(clippy::disallowed_methods, reason = "how long the sweep takes in real time")]
pub fn sweep(arguments: &SweepArgs) -> Exit {
    let sourced = match source::find(&arguments.scenario) {
        Ok(sourced) => sourced,
        Err(error) => {
            output::complain(&error.to_string());
            return Exit::Usage;
        }
    };
    if !admission::admit(std::slice::from_ref(&sourced), &peat_sim::Engine::default().capabilities()) {
        return Exit::Usage;
    }
    let Some(last) = arguments.from.checked_add(u64::from(arguments.seeds) - 1) else {
        let text = format!("error: there are no {} seeds from {} on\n", arguments.seeds, arguments.from);
        output::complain(&format!("{text}  = help: the greatest seed is {}\n", u64::MAX));
        return Exit::Usage;
    };
    interrupt::watch();
    let began = Instant::now();
    let trials = Trials { arguments, sourced: &sourced };
    let runs = trials.all(arguments.from..=last);
    let sweep = Sweep::new(&sourced.scenario, "sim/fabric", began.elapsed(), runs);
    let verdicts = sweep.verdicts();
    let verdict = verdicts.into_iter().min_by_key(|verdict| Exit::of(*verdict)).unwrap_or(Verdict::Inconclusive);
    match arguments.json {
        true => output::print(&document::pretty(&json!({
            "verdict": verdict,
            "exit_code": Exit::of(verdict).code(),
            "scenario": sourced.scenario.name,
            "source": arguments.scenario,
            "seeds": { "from": arguments.from, "count": arguments.seeds },
            "wall_ns": u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX),
            "figures": sweep.spreads(),
            "runs": sweep.runs(),
        }))),
        false => output::print(&sweep.text(verdict, output::stdout_paint())),
    }
    Exit::of(verdict)
}

/// The runs of a sweep.
struct Trials<'a> {
    arguments: &'a SweepArgs,
    sourced: &'a Sourced,
}

impl Trials<'_> {
    /// Every seed once, as many at a time as was asked. In no order.
    fn all(&self, seeds: std::ops::RangeInclusive<u64>) -> Vec<SweptRun> {
        let processors = || thread::available_parallelism().map_or(1, usize::from);
        let jobs = self.arguments.jobs.map_or_else(processors, |jobs| jobs as usize);
        let total = u64::from(self.arguments.seeds);
        let again = format!("ddil sweep {} --seeds {total} --from {}", self.source(), seeds.start());
        Meter::start(format!("{} sweep", self.sourced.scenario.name), again, !self.arguments.no_progress);
        let taken = AtomicU64::new(0);
        let (done, finished) = mpsc::channel();
        let runs = thread::scope(|scope| {
            for _ in 0..jobs.min(self.arguments.seeds as usize) {
                let (done, taken, first) = (done.clone(), &taken, *seeds.start());
                scope.spawn(move || {
                    loop {
                        let position = taken.fetch_add(1, Ordering::Relaxed);
                        // The receiver is gone when this process is about to end.
                        if position >= total || done.send(self.one(first + position)).is_err() {
                            return;
                        }
                    }
                });
            }
            drop(done);
            let (mut runs, mut bad) = (Vec::new(), 0);
            for run in finished {
                bad += u64::from(run.verdict != Verdict::Pass);
                runs.push(run);
                Meter::count(runs.len() as u64, total, bad);
            }
            runs
        });
        Meter::finish();
        for note in panics::take() {
            output::complain(&format!(
                "error: panic in a simulation of {}\n  --> {note}\n",
                self.sourced.scenario.name
            ));
        }
        runs
    }

    fn one(&self, seed: u64) -> SweptRun {
        let scenario = &self.sourced.scenario;
        let mut options = RunOptions::seed(seed);
        options.source = self.source();
        Plant::all(&self.arguments.plant, &mut options);
        match peat_sim::run(scenario, options) {
            Ok(record) => SweptRun::judged(scenario, &Report::of(scenario, &record)),
            Err(error) => {
                SweptRun::not_run(seed, error.to_string(), format!("ddil run {} --seed {seed}", self.source()))
            }
        }
    }

    /// What was typed to name the scenario, and what else decides a run.
    fn source(&self) -> String {
        quoted(&self.arguments.scenario) + &Plant::typed(&self.arguments.plant)
    }
}
