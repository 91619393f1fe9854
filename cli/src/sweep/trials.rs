//! The runs of a sweep, or of a shard of it, several at a time.

use std::cmp::Reverse;

use peat_scenarios::check::Verdict;
use peat_scenarios::report::Report;
use peat_scenarios::sweep::{SweepEntry, SweepPlan, SweptRun, Trial};
use peat_sim::RunOptions;

use super::SweepArgs;
use crate::output::quoted;
use crate::progress::Meter;
use crate::{panics, plants};

/// What is to be run.
pub(super) struct Trials<'a> {
    pub(super) arguments: &'a SweepArgs,
    pub(super) plan: &'a SweepPlan,
}

impl Trials<'_> {
    /// Every run of the plan, or of the shard that was asked for, with the position of its scenario. Scenarios take turns, so
    /// that an interrupted sweep has tried all; the costly ones come first in each turn, so that no processor waits long for the
    /// last of them.
    pub(super) fn all(&self) -> Vec<(usize, SweptRun)> {
        let shard = self.arguments.shard;
        let mut mine: Vec<Trial> =
            self.plan.trials().filter(|trial| shard.is_none_or(|shard| shard.holds(*trial))).collect();
        // Sessions times time: what a scenario costs grows with both.
        let cost = |entry: usize| {
            let scenario = &self.plan.entries[entry].scenario;
            u64::from(scenario.nodes()).pow(2).saturating_mul(scenario.duration.as_secs())
        };
        mine.sort_by_key(|trial| (trial.seed, Reverse(cost(trial.entry))));
        let entries = &self.plan.entries;
        let part = shard.map(|shard| format!(" --shard {shard}")).unwrap_or_default();
        let (again, label) = match entries.as_slice() {
            [entry] => {
                let SweepPlan { runs, from, .. } = self.plan;
                let typed = self.typed(entry);
                let again = format!("ddil sweep {typed} --seeds {runs} --from {from}{part}");
                (again, format!("{} sweep", entry.scenario.name))
            }
            several => ("the same again".to_owned(), format!("sweep of {} scenarios", several.len())),
        };
        Meter::start(label, again, !self.arguments.told.no_progress);
        let things = if entries.len() == 1 { "seeds" } else { "runs" };
        let (mut runs, mut bad) = (Vec::new(), 0);
        let one = |trial: &Trial| (trial.entry, self.one(&self.plan.entries[trial.entry], trial.seed));
        peat_sim::crew(self.arguments.jobs, &mine, one, |(entry, run)| {
            bad += u64::from(run.verdict != Verdict::Pass);
            runs.push((entry, run));
            Meter::count_of(runs.len() as u64, mine.len() as u64, things, bad, "not passed");
        });
        Meter::finish();
        panics::tell("a simulation");
        runs
    }

    fn one(&self, entry: &SweepEntry, seed: u64) -> SweptRun {
        let mut options = RunOptions::seed(seed).engine(self.arguments.engine.engine());
        options.source = self.typed(entry);
        plants::plant(&self.arguments.plant, &mut options);
        match peat_sim::run(&entry.scenario, options) {
            Ok(record) => SweptRun::judged(&entry.scenario, &Report::of(&entry.scenario, &record)),
            Err(error) => {
                let again = format!("ddil run {} --seed {seed}", self.typed(entry));
                SweptRun::not_run(seed, error.to_string(), again)
            }
        }
    }

    /// What was typed to name the scenario, and what else decides a run.
    fn typed(&self, entry: &SweepEntry) -> String {
        quoted(&entry.source) + &self.plan.options
    }
}
