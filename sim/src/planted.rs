//! The suite of planted bugs: each with a small scenario under which it shows, and the check that must see it.
//!
//! A check that has never caught a bug is not trusted, and neither is a bug that no check sees: [`Suite::uncaught`] and
//! [`Suite::idle`] must both be empty. What is planted is in the nodes of this program only; in a node that is built for
//! production there is none of it ([`peat_node::node::Plants`]).

mod scenarios;

use std::collections::BTreeMap;

use peat_node::node::{Plant, Plants};
use peat_scenarios::check::{KNOWN, Known, Verdict, same_trace};
use peat_scenarios::report::Report;
use peat_scenarios::{RunRecord, Scenario};

use crate::{RunOptions, SimError};

/// A bug and the scenario that brings it out.
#[derive(Debug, Clone)]
pub struct Trial {
    /// The bug.
    pub plant: Plant,
    /// Where it shows.
    pub scenario: Scenario,
    /// The seed under which it does.
    pub seed: u64,
    /// The check that is there for it; others may see it too.
    pub by: &'static str,
}

/// One scenario under one seed, with and without the bug.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caught {
    /// The bug.
    pub plant: Plant,
    /// The name of the scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
    /// The check that is there for it.
    pub by: &'static str,
    /// The verdict with the bug.
    pub verdict: Verdict,
    /// The checks that accused the node, in their order, with the first line of what each found.
    pub checks: Vec<(String, String)>,
    /// The verdict without the bug.
    pub control: Verdict,
    /// The checks of the control that did not pass.
    pub alarms: Vec<String>,
}

impl Caught {
    /// Did the check that is there for it see it, and nobody see anything without it?
    pub fn is_good(&self) -> bool {
        self.control == Verdict::Pass && self.checks.iter().any(|(name, _)| family(name) == Some(self.by))
    }
}

/// All trials, in the order of the bugs.
pub fn trials() -> Vec<Trial> {
    Plant::ALL.iter().map(|plant| scenarios::trial(*plant)).collect()
}

impl Trial {
    /// Runs it with the bug and without.
    pub fn hold(&self) -> Result<Caught, SimError> {
        let (verdict, checks) = self.judged(Plants::of([self.plant]))?;
        let (control, alarms) = self.judged(Plants::default())?;
        let accusing = checks.into_iter().filter(|check| check.accuses());
        Ok(Caught {
            plant: self.plant,
            scenario: self.scenario.name.clone(),
            seed: self.seed,
            by: self.by,
            verdict,
            checks: accusing
                .map(|check| (check.name, check.evidence.into_iter().next().unwrap_or(check.detail)))
                .collect(),
            control,
            alarms: alarms.into_iter().filter(|check| check.verdict != Verdict::Pass).map(|check| check.name).collect(),
        })
    }

    fn judged(&self, plants: Plants) -> Result<(Verdict, Vec<peat_scenarios::check::CheckResult>), SimError> {
        let record = self.run(plants)?;
        let mut report = Report::of(&self.scenario, &record);
        if self.by == "determinism" {
            let again = self.run(plants)?;
            report.add(same_trace([&record, &again].into_iter().filter_map(|record| record.trace_hash.as_deref())));
        }
        Ok((report.verdict, report.checks))
    }

    fn run(&self, plants: Plants) -> Result<RunRecord, SimError> {
        crate::run(&self.scenario, RunOptions::seed(self.seed).plants(plants))
    }
}

/// Everything that was caught.
#[derive(Debug, Clone, Default)]
pub struct Suite(pub Vec<Caught>);

impl Suite {
    /// Bugs that the check which is there for them did not see, or whose control did not pass.
    pub fn uncaught(&self) -> Vec<&Caught> {
        self.0.iter().filter(|caught| !caught.is_good()).collect()
    }

    /// Checks that no bug set off.
    pub fn idle(&self) -> Vec<&'static str> {
        let by_check = self.by_check();
        KNOWN.iter().map(|known| known.name).filter(|name| !by_check.contains_key(name)).collect()
    }

    /// The bugs that each check saw.
    pub fn by_check(&self) -> BTreeMap<&'static str, Vec<Plant>> {
        let mut seen: BTreeMap<&str, Vec<Plant>> = BTreeMap::new();
        for caught in &self.0 {
            for name in caught.checks.iter().filter_map(|(name, _)| family(name)) {
                let plants = seen.entry(name).or_default();
                if plants.last() != Some(&caught.plant) {
                    plants.push(caught.plant);
                }
            }
        }
        seen
    }

    /// Whether every bug was caught, every check caught one, and every control passed.
    pub fn is_good(&self) -> bool {
        self.uncaught().is_empty() && self.idle().is_empty()
    }
}

fn family(name: &str) -> Option<&'static str> {
    Known::of(name).map(|known| known.name)
}
