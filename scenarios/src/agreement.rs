//! Do two simulators tell the same story? The same scenario and seed on both: the same verdict of every check, and medians of
//! latency within a tick of the coarser one.
//!
//! Medians, because what physics draws at random (loss, jitter) it draws for other datagrams when two of them change places
//! within a tick. What that does to a single operation shows in the tail.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use crate::check::Verdict;
use crate::figures::{GroupPair, PairLatency};
use crate::report::Report;

/// What nodes and applications may add to the way of a link that has no queue, in ticks.
const TICKS_OF_NODES: u32 = 20;
/// Medians of waits in queues may be apart by this part.
const QUEUED_SHARE: u32 = 20;
/// Percentiles are kept to three digits.
const DIGITS_SHARE: u32 = 1000;

/// Two runs of one scenario and seed, held against each other.
#[derive(Debug, Clone, Serialize)]
pub struct Agreement {
    /// The verdicts of the two.
    pub verdicts: [Verdict; 2],
    /// Checks that both judged, and not alike.
    pub differing: Vec<DifferingCheck>,
    /// Pairs of groups whose medians are farther apart than they may be.
    pub distant: Vec<DistantMedians>,
    /// The greatest distance of two medians.
    #[serde(rename = "apart_ns", with = "crate::physics::nanos")]
    pub apart: Duration,
}

/// A check that judged the two runs differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DifferingCheck {
    /// Its name.
    pub name: String,
    /// What it said of each.
    pub verdicts: [Verdict; 2],
}

/// Latency between two groups that is not the same in both.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DistantMedians {
    /// The groups.
    pub between: GroupPair,
    /// Median of the first run.
    #[serde(rename = "first_ns", with = "crate::physics::nanos")]
    pub first: Duration,
    /// Median of the second run.
    #[serde(rename = "second_ns", with = "crate::physics::nanos")]
    pub second: Duration,
    /// How far apart they may be.
    #[serde(rename = "allowed_ns", with = "crate::physics::nanos")]
    pub allowed: Duration,
}

impl Agreement {
    /// Holds two reports of one scenario and seed against each other. `tick`: that of the coarser simulator.
    pub fn of(first: &Report<'_>, second: &Report<'_>, tick: Duration) -> Self {
        let verdicts = |report: &Report<'_>| {
            report.checks.iter().map(|check| (check.name.clone(), check.verdict)).collect::<BTreeMap<String, Verdict>>()
        };
        let others = verdicts(second);
        // Whether a check has anything to judge may hang on a tick: whether the last of a run is quiet for a whole slice.
        let both = verdicts(first).into_iter().filter_map(|(name, one)| Some((others.get(&name)?, name, one)));
        let differing = both.filter(|(other, _, one)| *other != one);
        let differing = differing.map(|(other, name, one)| DifferingCheck { name, verdicts: [one, *other] }).collect();
        let (mut distant, mut apart) = (Vec::new(), Duration::ZERO);
        for one in &first.figures.pairs {
            let Some(other) = second.figures.pairs.iter().find(|other| other.between == one.between) else { continue };
            let (mine, theirs, allowed) = (one.latency.p50, other.latency.p50, allowed(one, tick));
            apart = apart.max(mine.abs_diff(theirs));
            if mine.abs_diff(theirs) > allowed {
                let between = one.between.clone();
                distant.push(DistantMedians { between, first: mine, second: theirs, allowed });
            }
        }
        Self { verdicts: [first.verdict, second.verdict], differing, distant, apart }
    }

    /// Whether it is the same story.
    pub fn holds(&self) -> bool {
        self.verdicts[0] == self.verdicts[1] && self.differing.is_empty() && self.distant.is_empty()
    }
}

fn allowed(pair: &PairLatency, tick: Duration) -> Duration {
    let p50 = pair.latency.p50;
    // Where a link draws lots, a tick decides which datagram draws which: three standard errors of a median, as the samples spread.
    let chance = 3.0 * pair.latency.p90.saturating_sub(p50).as_secs_f64() / (pair.latency.count.max(1) as f64).sqrt();
    // Where the wait in a queue is what is measured, it decides which datagram finds it full, and what is sent again.
    let queued = p50 > 2 * pair.one_way + TICKS_OF_NODES * tick;
    tick + p50 / if queued { QUEUED_SHARE } else { DIGITS_SHARE } + Duration::from_secs_f64(chance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::RunRecord;
    use crate::testing::good;

    const TICK: Duration = Duration::from_millis(1);

    fn beside(change: impl FnOnce(&mut RunRecord)) -> Agreement {
        let (scenario, record) = good();
        let mut other = record.clone();
        change(&mut other);
        Agreement::of(&Report::of(&scenario, &record), &Report::of(&scenario, &other), TICK)
    }

    fn told_later(by: Duration) -> Agreement {
        beside(|record| record.visibility.iter_mut().for_each(|event| event.at += by))
    }

    #[test]
    fn a_run_agrees_with_itself_and_with_one_that_is_half_a_tick_later() {
        let same = told_later(Duration::ZERO);
        assert!(same.holds() && same.apart.is_zero(), "{same:?}");
        let near = told_later(TICK / 2);
        assert!(near.holds() && !near.apart.is_zero(), "{near:?}");
    }

    #[test]
    fn later_medians_do_not_agree() {
        let late = told_later(Duration::from_millis(30));
        assert!(!late.holds() && !late.distant.is_empty(), "{late:?}");
        assert!(late.apart >= Duration::from_millis(25), "{late:?}");
    }

    #[test]
    fn another_verdict_of_one_check_does_not_agree_and_is_named() {
        let lost = beside(|record| record.finals[0].docs.clear());
        assert!(!lost.holds());
        assert!(lost.differing.iter().any(|check| check.verdicts == [Verdict::Pass, Verdict::Fail]), "{lost:?}");
    }
}
