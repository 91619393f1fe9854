//! What a sweep runs, and which part of it a shard is.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits;
use crate::model::Scenario;

/// What a whole sweep runs.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepPlan {
    /// World and engine, `sim/fabric`.
    pub world: String,
    /// Options that decide a run besides scenario and seed, as they are typed after its name.
    pub options: String,
    /// The first seed.
    pub from: u64,
    /// How many runs there are, over all scenarios.
    pub runs: u32,
    /// What is swept, in the order of the command line.
    pub entries: Vec<SweepEntry>,
}

/// One scenario of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepEntry {
    /// What was typed to name it.
    pub source: String,
    /// What it says.
    pub scenario: Scenario,
}

/// One run of a sweep: which of its scenarios, under which seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trial {
    /// Position in [`SweepPlan::entries`].
    pub entry: usize,
    /// The seed.
    pub seed: u64,
    /// How many seeds of the scenario come before it.
    round: u64,
}

impl SweepPlan {
    /// Every run, scenarios in turn, so that a sweep that is interrupted has tried all.
    pub fn trials(&self) -> impl Iterator<Item = Trial> {
        let entries = self.entries.len().max(1) as u64;
        (0..u64::from(self.runs)).map(move |position| {
            let round = position / entries;
            Trial { entry: (position % entries) as usize, seed: self.from + round, round }
        })
    }
}

/// A part of a sweep: the `index`-th of `of`, counted from 0 as Kubernetes counts the pods of an Indexed Job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Shard {
    /// Which one.
    pub index: u32,
    /// How many there are.
    pub of: u32,
}

impl Shard {
    /// Does this shard run it? Each trial belongs to exactly one shard of a number, and each shard gets its share of
    /// every scenario: dealt by position alone, 40 scenarios on 40 shards would put the dearest on one of them.
    pub fn holds(self, trial: Trial) -> bool {
        (trial.entry as u64 + trial.round) % u64::from(self.of.max(1)) == u64::from(self.index)
    }
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let number = |text: &str| text.parse::<u32>().ok();
        let Some((Some(index), Some(of))) = text.split_once('/').map(|(index, of)| (number(index), number(of))) else {
            return Err("a shard is INDEX/NUMBER, such as 0/64".to_owned());
        };
        if !(1..=limits::SHARDS).contains(&of) {
            return Err(format!("there are 1 to {} shards, not {of}", limits::SHARDS));
        }
        if index >= of {
            return Err(format!("the {of} shards are 0 to {}, and there is no {index}", of - 1));
        }
        Ok(Shard { index, of })
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}
