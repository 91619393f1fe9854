//! The phases of a run: as long as the same faults last, it is one.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::record::RunRecord;
use crate::time::SimTime;

/// Shorter, and it is a moment: two faults that begin together do so one after the other in a real world.
const LEAST: Duration = Duration::from_millis(200);

/// Phases that are told; a churn of a thousand crashes is judged over the whole run.
const MOST: usize = 40;

/// A stretch of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Phase {
    /// What lasts, or what was over when it began; numbered when it comes again.
    pub(super) name: String,
    pub(super) from: SimTime,
    pub(super) until: SimTime,
}

impl Phase {
    /// All of it.
    pub(super) fn whole(record: &RunRecord) -> Self {
        Phase { name: "the whole run".to_owned(), from: SimTime::ZERO, until: record.meta.duration }
    }

    pub(super) fn contains(&self, at: SimTime) -> bool {
        self.from <= at && at < self.until
    }

    pub(super) fn length(&self) -> Duration {
        self.until.since(self.from)
    }
}

/// Between what begins and ends, in order.
pub(super) fn phases(record: &RunRecord) -> Vec<Phase> {
    let mut turns: Vec<(SimTime, usize, bool)> = Vec::new();
    for (position, fault) in record.faults.iter().enumerate() {
        turns.extend(fault.applied.map(|at| (at, position, true)));
        turns.extend(fault.applied.and(fault.healed).map(|at| (at, position, false)));
    }
    turns.sort();
    let name = |position: usize| record.faults[position].spec.name.as_str();
    let (mut active, mut last) = (BTreeSet::new(), None);
    let mut found: Vec<Phase> = Vec::new();
    let mut from = SimTime::ZERO;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    let mut end = |from: SimTime, until: SimTime, active: &BTreeSet<usize>, last: Option<usize>| {
        let mut told = match (active.is_empty(), last) {
            (false, _) => active.iter().map(|fault| name(*fault)).collect::<Vec<_>>().join(" + "),
            (true, Some(fault)) => format!("after {}", name(fault)),
            (true, None) => "before any fault".to_owned(),
        };
        let times = seen.entry(told.clone()).or_default();
        *times += 1;
        if *times > 1 {
            told = format!("{told} ({times})");
        }
        Phase { name: told, from, until }
    };
    for (at, fault, begins) in turns {
        if at.since(from) >= LEAST {
            found.push(end(from, at, &active, last));
        }
        from = at;
        if begins {
            active.insert(fault);
        } else {
            active.remove(&fault);
            last = Some(fault);
        }
    }
    if record.meta.duration.since(from) >= LEAST {
        found.push(end(from, record.meta.duration, &active, last));
    }
    found.truncate(MOST);
    found
}
