//! Two sides of the same scenarios and seeds, figure by figure.
//!
//! A side is what `ddil run --json` or `ddil sweep --json` printed ([`Side::read`]). Runs are paired by scenario and
//! seed. In virtual time the same code gives the same figures to the last digit, so whatever differs was changed by
//! somebody; nothing is noise unless the caller says so (`tolerance`).

mod side;
#[cfg(test)]
mod tests;
mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use side::{Side, SideError};

use crate::check::Verdict;
use crate::sweep::{Better, Unit};
use side::{Figure, Run};

/// What differs between two sides.
#[derive(Debug, Clone, Serialize)]
pub struct Diff {
    /// What the old side is called.
    pub old: String,
    /// What the new side is called.
    pub new: String,
    /// Share of a figure that it may differ by without having changed.
    pub tolerance: f64,
    /// Per scenario, by name.
    pub scenarios: Vec<ScenarioDiff>,
    /// Runs of the old side only.
    pub only_old: Vec<RunName>,
    /// Runs of the new side only.
    pub only_new: Vec<RunName>,
}

/// Names a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct RunName {
    /// The scenario.
    pub scenario: String,
    /// The seed.
    pub seed: u64,
}

/// One scenario on both sides.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioDiff {
    /// Its name.
    pub scenario: String,
    /// Seeds that both sides ran.
    pub seeds: u64,
    /// Seeds whose runs are the same to the last datagram.
    pub same_traces: u64,
    /// Seeds whose verdict or failed checks changed.
    pub verdicts: Vec<VerdictChange>,
    /// Every figure that both sides have.
    pub figures: Vec<FigureDiff>,
    /// Figures that only one side has.
    pub unmatched: Vec<String>,
}

/// A run that is judged in another way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct VerdictChange {
    /// Its seed.
    pub seed: u64,
    /// What it was.
    pub old: Verdict,
    /// What it is.
    pub new: Verdict,
    /// Checks that did not fail before.
    pub broken: Vec<String>,
    /// Checks that do not fail any more.
    pub mended: Vec<String>,
}

impl VerdictChange {
    /// Is it worse now? The same verdict with other checks is not better, and worse only if none was mended.
    pub fn is_worse(&self) -> bool {
        let (old, new) = (gravity(self.old), gravity(self.new));
        new > old || (new == old && !self.broken.is_empty() && self.mended.is_empty())
    }
}

/// One figure on both sides, over the seeds that have it on both.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FigureDiff {
    /// Its name.
    pub name: String,
    /// What its numbers mean.
    pub unit: Unit,
    /// Which way is better.
    pub better: Better,
    /// Median over the seeds, nearest rank; infinite: never.
    #[serde(serialize_with = "crate::sweep::or_never")]
    pub old: f64,
    /// The same of the new side.
    #[serde(serialize_with = "crate::sweep::or_never")]
    pub new: f64,
    /// Seeds on which it improved.
    pub improved: u64,
    /// Seeds on which it got worse; of a figure with no better way, on which it changed.
    pub worsened: u64,
    /// What to make of it.
    pub judgement: Judgement,
}

/// What to make of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Judgement {
    /// It is the same on every seed.
    Same,
    /// The median improved, or on more seeds than not.
    Better,
    /// The median got worse, or on more seeds than not.
    Worse,
    /// It differs, and neither way is better.
    Changed,
}

/// How grave a verdict is, beside others.
fn gravity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Pass => 0,
        Verdict::SloBreach => 1,
        Verdict::Inconclusive | Verdict::Vacuous => 2,
        Verdict::InfraError => 3,
        Verdict::Nondeterministic => 4,
        Verdict::Fail => 5,
    }
}

impl Diff {
    /// Compares two sides. `tolerance` is a share: 0.05 ignores what differs by less than 5 %.
    pub fn of(old: &Side, new: &Side, tolerance: f64) -> Self {
        let (olds, news) = (old.by_name(), new.by_name());
        let mut pairs: BTreeMap<&str, Vec<(u64, &Run, &Run)>> = BTreeMap::new();
        for (name, run) in &olds {
            if let Some(other) = news.get(name) {
                pairs.entry(&run.scenario).or_default().push((name.seed, run, other));
            }
        }
        let scenarios = pairs.into_iter().map(|(scenario, pairs)| ScenarioDiff::of(scenario, &pairs, tolerance));
        let only = |here: &BTreeMap<RunName, &Run>, there: &BTreeMap<RunName, &Run>| {
            here.keys().filter(|name| !there.contains_key(name)).cloned().collect()
        };
        Diff {
            old: old.label.clone(),
            new: new.label.clone(),
            tolerance,
            scenarios: scenarios.collect(),
            only_old: only(&olds, &news),
            only_new: only(&news, &olds),
        }
    }

    /// Verdicts that got worse.
    pub fn worse_verdicts(&self) -> usize {
        self.scenarios.iter().flat_map(|of| &of.verdicts).filter(|change| change.is_worse()).count()
    }

    /// Figures of this judgement, over all scenarios.
    pub fn figures(&self, judgement: Judgement) -> usize {
        self.scenarios.iter().flat_map(|of| &of.figures).filter(|figure| figure.judgement == judgement).count()
    }

    /// Figures that got worse by more than a share of what they were, and by more than their unit's least step: what a
    /// pull request should be stopped for, where whatever changed is only told.
    pub fn regressions(&self, share: f64) -> Vec<(&str, &FigureDiff)> {
        let figures =
            self.scenarios.iter().flat_map(|of| of.figures.iter().map(|figure| (of.scenario.as_str(), figure)));
        figures.filter(|(_, figure)| figure.is_worse_by(share)).collect()
    }

    /// Is there anything that both sides ran?
    pub fn is_empty(&self) -> bool {
        self.scenarios.is_empty()
    }
}

impl ScenarioDiff {
    fn of(scenario: &str, pairs: &[(u64, &Run, &Run)], tolerance: f64) -> Self {
        let names = |of: &Run| of.figures.iter().map(|figure| figure.name.clone()).collect::<Vec<_>>();
        let mut order: Vec<String> = Vec::new();
        for name in pairs.iter().flat_map(|(_, old, new)| [names(old), names(new)]).flatten() {
            if !order.contains(&name) {
                order.push(name);
            }
        }
        let (mut figures, mut unmatched) = (Vec::new(), Vec::new());
        for name in order {
            let both = pairs.iter().filter_map(|(_, old, new)| Some((old.figure(&name)?, new.figure(&name)?)));
            match FigureDiff::of(&name, &both.collect::<Vec<_>>(), tolerance) {
                Some(figure) => figures.push(figure),
                None => unmatched.push(name),
            }
        }
        let same = pairs.iter().filter(|(_, old, new)| old.trace_hash.is_some() && old.trace_hash == new.trace_hash);
        ScenarioDiff {
            scenario: scenario.to_owned(),
            seeds: pairs.len() as u64,
            same_traces: same.count() as u64,
            verdicts: pairs.iter().filter_map(|(seed, old, new)| verdict(*seed, old, new)).collect(),
            figures,
            unmatched,
        }
    }
}

fn verdict(seed: u64, old: &Run, new: &Run) -> Option<VerdictChange> {
    let only = |here: &BTreeSet<String>, there: &BTreeSet<String>| here.difference(there).cloned().collect();
    let change = VerdictChange {
        seed,
        old: old.verdict,
        new: new.verdict,
        broken: only(&new.failed, &old.failed),
        mended: only(&old.failed, &new.failed),
    };
    let differs = change.old != change.new || !change.broken.is_empty() || !change.mended.is_empty();
    differs.then_some(change)
}

impl FigureDiff {
    /// With a share of 0 everything that is worse is.
    fn is_worse_by(&self, share: f64) -> bool {
        let enough = (self.new - self.old).abs() > self.unit.step().max(share * self.old.abs());
        self.judgement == Judgement::Worse && (share == 0.0 || enough)
    }

    /// `None`: no seed has it on both sides.
    fn of(name: &str, pairs: &[(&Figure, &Figure)], tolerance: f64) -> Option<Self> {
        let (first, _) = pairs.first()?;
        let (unit, better) = (first.unit, first.better);
        let change = |old: f64, new: f64| Change::of(old, new, better, tolerance);
        let changes: Vec<Change> = pairs.iter().map(|(old, new)| change(old.value, new.value)).collect();
        let count = |of: Change| changes.iter().filter(|change| **change == of).count() as u64;
        let (improved, worsened) = (count(Change::Better), count(Change::Worse) + count(Change::Other));
        let old = median(pairs.iter().map(|(old, _)| old.value));
        let new = median(pairs.iter().map(|(_, new)| new.value));
        let judgement = match (better, change(old, new), improved, worsened) {
            (_, _, 0, 0) => Judgement::Same,
            (Better::Neither, ..) => Judgement::Changed,
            (_, Change::Better, ..) => Judgement::Better,
            (_, Change::Worse, ..) => Judgement::Worse,
            (_, _, improved, worsened) if improved > worsened => Judgement::Better,
            (_, _, improved, worsened) if improved < worsened => Judgement::Worse,
            _ => Judgement::Changed,
        };
        Some(FigureDiff { name: name.to_owned(), unit, better, old, new, improved, worsened, judgement })
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Better,
    Worse,
    Other,
}

impl Change {
    fn of(old: f64, new: f64, better: Better, tolerance: f64) -> Self {
        let both_never = old.is_infinite() && new.is_infinite();
        if both_never || old == new || (new - old).abs() <= tolerance * old.abs() {
            return Change::None;
        }
        match better {
            Better::Neither => Change::Other,
            Better::Less if new < old => Change::Better,
            Better::More if new > old => Change::Better,
            Better::Less | Better::More => Change::Worse,
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len().div_ceil(2).saturating_sub(1)).copied().unwrap_or_default()
}
