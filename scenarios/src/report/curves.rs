//! How far behind everybody is, over time.
//!
//! A write is *missing* at a replica from its acknowledgement at the origin to the first event that shows it there,
//! and not before the replica was first started. The
//! *age* of a replica is that of the oldest write that is missing there: what a person at that node does not know yet.

use std::time::Duration;

use crate::figures::{Missing, Sample};
use crate::plan::NodeIndex;
use crate::record::{Life, RunRecord};
use crate::time::SimTime;

/// Points of a curve: one for every two pixels of a usual screen.
const POINTS: u64 = 480;
/// And of all curves of one kind together: 300 nodes have full curves, 10,000 have 15 points each.
const POINTS_ALL: u64 = 150_000;

/// Curves over equal shares of the run; a point is the greatest value in its share.
#[derive(Debug, Clone)]
pub(super) struct Curves {
    /// Length of a share.
    pub(super) step: Duration,
    /// Writes missing at each node.
    pub(super) missing: Vec<Vec<u32>>,
    /// Age of the oldest of them.
    pub(super) age: Vec<Vec<Duration>>,
    /// Pairs of write and replica that are missing, over all nodes.
    pub(super) total: Vec<u32>,
}

/// While something is missing: where, from when, to when, and since when it is there elsewhere.
struct Gap {
    node: NodeIndex,
    from: SimTime,
    to: SimTime,
    since: SimTime,
}

impl Curves {
    pub(super) fn of(record: &RunRecord, samples: &[Sample], never: &[Missing]) -> Self {
        let end = record.meta.duration.as_nanos().max(1);
        let points = POINTS.min(POINTS_ALL / record.topology.nodes.len().max(1) as u64).clamp(2, end.max(2));
        let (step, points) = (end.div_ceil(points), points as usize);
        let committed = |operation: usize| record.operations[operation].completed.unwrap_or_default();
        // Nobody misses anything at a node that has not begun to be.
        let mut starts = vec![SimTime::ZERO; record.topology.nodes.len()];
        for life in record.lives.iter().filter(|life| life.event == Life::Started) {
            starts[life.node.index()] = life.at;
        }
        let gap = |node: NodeIndex, since: SimTime, to: SimTime| Gap {
            node,
            from: since.max(starts[node.index()]),
            to,
            since,
        };
        let seen = samples.iter().map(|sample| {
            let since = committed(sample.operation);
            gap(sample.replica, since, since + sample.latency)
        });
        let unseen = never.iter().map(|of| gap(of.replica, committed(of.operation), record.meta.duration));
        let gaps: Vec<Gap> = seen.chain(unseen).filter(|gap| gap.to > gap.from).collect();
        let nodes = record.topology.nodes.len();
        let mut by_node: Vec<Vec<(SimTime, i32)>> = vec![Vec::new(); nodes];
        let mut all = Vec::with_capacity(gaps.len() * 2);
        let mut age = vec![vec![Duration::ZERO; points]; nodes];
        for gap in &gaps {
            for event in [(gap.from, 1), (gap.to, -1)] {
                by_node[gap.node.index()].push(event);
                all.push(event);
            }
            let (first, last) = (gap.from.as_nanos() / step, (gap.to.as_nanos() - 1) / step);
            for point in first..=last.min(points as u64 - 1) {
                let upto = SimTime::from_nanos(((point + 1) * step).min(gap.to.as_nanos()));
                let place = &mut age[gap.node.index()][point as usize];
                *place = (*place).max(upto.since(gap.since));
            }
        }
        Curves {
            step: Duration::from_nanos(step),
            missing: by_node.into_iter().map(|events| greatest(events, step, points)).collect(),
            age,
            total: greatest(all, step, points),
        }
    }
}

/// The greatest running sum in each share.
fn greatest(mut events: Vec<(SimTime, i32)>, step: u64, points: usize) -> Vec<u32> {
    // What ends at a moment ends before what begins then.
    events.sort_unstable();
    let mut curve = vec![0; points];
    let mut events = events.into_iter().peekable();
    let mut running: i32 = 0;
    for (point, greatest) in curve.iter_mut().enumerate() {
        let until = SimTime::from_nanos((point as u64 + 1).saturating_mul(step));
        let mut most = running;
        while let Some((_, change)) = events.next_if(|(at, _)| *at < until) {
            running += change;
            most = most.max(running);
        }
        *greatest = u32::try_from(most).unwrap_or(0);
    }
    curve
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::figures::arrivals;
    use crate::testing::good;

    #[test]
    fn in_an_outage_the_age_grows_with_time_and_ends_with_the_heal() {
        let (_, record) = good();
        let (samples, never) = arrivals(&record);
        let curves = Curves::of(&record, &samples, &never);
        let point = |secs: u64| (Duration::from_secs(secs).as_nanos() / curves.step.as_nanos()) as usize;
        // The outage lasts from 180 s to 300 s, and everybody writes every 20 or 30 s.
        for node in 0..4 {
            assert!(curves.age[node][point(100)] < Duration::from_secs(1), "{:?}", curves.age[node][point(100)]);
            let age = curves.age[node][point(299)];
            assert!((Duration::from_secs(90)..Duration::from_secs(123)).contains(&age), "{age:?}");
            assert_eq!(curves.missing[node][point(400) + 3].min(1), curves.total[point(400) + 3].min(1));
            assert!(curves.missing[node][point(290)] >= 10);
        }
        assert!(curves.total[point(290)] >= 40);
        assert_eq!(curves.total[point(590)], 0);
    }

    #[test]
    fn what_never_arrives_is_missing_to_the_end() {
        let (_, mut record) = good();
        let lost = record.operations.iter().find(|op| op.key.id.starts_with("alpha-0-w2")).unwrap().key.clone();
        record.visibility.retain(|event| event.key != lost || event.node.0 != 3);
        let (samples, never) = arrivals(&record);
        let curves = Curves::of(&record, &samples, &never);
        assert_eq!(curves.missing[3].last(), Some(&1));
        assert_eq!(curves.missing[2].last(), Some(&0));
    }
}
