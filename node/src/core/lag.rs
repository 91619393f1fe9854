//! How far peers are behind: in changes, and in seconds.
//!
//! Acknowledgements carry numbers, people ask for time. So the moments at which our numbers became durable are kept,
//! once for the node and not once for each peer: a bounded list of marks that is dense for the last seconds and
//! thins out with age. An age read from it is never too small, and too large by at most
//! [`limits::LAG_RESOLUTION`] and an eighth of itself.
//!
//! The figures are as fresh as the peer's last acknowledgement, which is lazy ([`limits::ACK_DELAY`]): a peer that
//! has everything shows a lag for that long and a round trip after each change.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use super::batch::PeerId;
use super::session::Now;
use super::wire::Seq;
use crate::limits;

/// Numbers from `first` up to the next mark became durable at `at` or later.
#[derive(Debug, Clone, Copy)]
struct Mark {
    first: Seq,
    at: Now,
}

/// What a peer had when its last session ended.
#[derive(Debug, Clone, Copy)]
struct Left {
    has: Seq,
    /// Its place in the order of departures.
    place: u64,
}

/// How far a peer is behind, as far as it has told.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Lag {
    /// Numbers of ours from the oldest change that it wants and has not acknowledged to the newest: at least as many as
    /// it lacks.
    pub changes: u64,
    /// Age of the oldest of them; zero if there is none. Of changes older than this run of the node only the time
    /// since its start is counted.
    pub age: Duration,
}

/// What a peer has not acknowledged of what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lacking {
    /// It has acknowledged nothing yet, and may have everything.
    Unknown,
    /// It has everything.
    Nothing,
    /// Changes within these numbers; others between them may be of no concern to it.
    Numbers {
        /// The first.
        oldest: Seq,
        /// The last.
        newest: Seq,
    },
}

impl Lacking {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Unknown, _) | (_, Self::Unknown) => Self::Unknown,
            (Self::Nothing, one) | (one, Self::Nothing) => one,
            (Self::Numbers { oldest, newest }, Self::Numbers { oldest: from, newest: upto }) => {
                Self::Numbers { oldest: oldest.min(from), newest: newest.max(upto) }
            }
        }
    }
}

/// When our numbers became durable, and what peers that are away had.
#[derive(Debug)]
pub struct LagRecord {
    /// Ascending in both fields; never empty.
    marks: VecDeque<Mark>,
    left: BTreeMap<PeerId, Left>,
    departures: u64,
}

impl Default for LagRecord {
    fn default() -> Self {
        // What was durable at the start counts from then.
        Self { marks: VecDeque::from([Mark { first: 0, at: Duration::ZERO }]), left: BTreeMap::new(), departures: 0 }
    }
}

impl LagRecord {
    /// The numbers from `first` on became durable.
    pub fn committed(&mut self, first: Seq, now: Now) {
        let newest = self.marks.back().expect("never empty");
        if first <= newest.first || now < newest.at + limits::LAG_RESOLUTION {
            return;
        }
        self.marks.push_back(Mark { first, at: now });
        if self.marks.len() > limits::MAX_LAG_MARKS {
            self.thin(now);
        }
    }

    /// Lag of somebody who has everything up to `has`, when we have everything up to `durable`.
    pub fn of(&self, has: Seq, durable: Seq, now: Now) -> Lag {
        if has >= durable {
            return Lag::default();
        }
        // The mark before the first that begins later than the oldest missing number.
        let after = self.marks.partition_point(|mark| mark.first <= has + 1);
        let mark = self.marks[after.saturating_sub(1)];
        Lag { changes: durable - has, age: now.saturating_sub(mark.at) }
    }

    /// Lag of a peer that is here; `None`: not known yet.
    pub fn of_present(&self, lacking: Lacking, now: Now) -> Option<Lag> {
        match lacking {
            Lacking::Unknown => None,
            Lacking::Nothing => Some(Lag::default()),
            Lacking::Numbers { oldest, newest } => Some(self.of(oldest.saturating_sub(1), newest, now)),
        }
    }

    /// A session ended: the peer's lag goes on growing from what it had. Which peers are remembered is bounded;
    /// those that have been away longest are forgotten first.
    pub fn left(&mut self, peer: PeerId, has: Seq) {
        self.departures += 1;
        self.left.insert(peer, Left { has, place: self.departures });
        if self.left.len() > limits::MAX_LAG_PEERS {
            let longest = self.left.iter().min_by_key(|(_, left)| left.place).map(|(peer, _)| *peer);
            longest.and_then(|peer| self.left.remove(&peer));
        }
    }

    /// What a peer had when its last session of this run ended.
    pub fn had(&self, peer: &PeerId) -> Option<Seq> {
        self.left.get(peer).map(|left| left.has)
    }

    /// Drops the mark that is least missed: the one whose neighbours are nearest for their age. The first and the
    /// last stay. Its numbers go to the mark before it, so that no age becomes too small.
    fn thin(&mut self, now: Now) {
        let cost = |i: usize| {
            let gap = (self.marks[i + 1].at - self.marks[i - 1].at).as_nanos();
            let age = (now - self.marks[i - 1].at).as_nanos().max(1);
            (gap, age)
        };
        let victim = (1..self.marks.len() - 1).min_by(|&a, &b| {
            let ((gap_a, age_a), (gap_b, age_b)) = (cost(a), cost(b));
            // gap / age, without division; both sides stay far below 2^128.
            (gap_a * age_b).cmp(&(gap_b * age_a))
        });
        self.marks.remove(victim.expect("more than two marks"));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn whoever_has_everything_is_not_behind() {
        let mut record = LagRecord::default();
        record.committed(1, SECOND);
        assert_eq!(record.of(5, 5, SECOND * 9), Lag::default());
        assert_eq!(record.of(6, 5, SECOND * 9), Lag::default(), "an acknowledgement may be ahead of what we look at");
    }

    #[test]
    fn the_age_is_that_of_the_oldest_missing_change() {
        let mut record = LagRecord::default();
        record.committed(1, SECOND * 10);
        record.committed(4, SECOND * 20);
        record.committed(5, SECOND * 30);
        let at = SECOND * 31;
        assert_eq!(record.of(0, 6, at), Lag { changes: 6, age: SECOND * 21 });
        assert_eq!(record.of(2, 6, at), Lag { changes: 4, age: SECOND * 21 });
        assert_eq!(record.of(3, 6, at), Lag { changes: 3, age: SECOND * 11 });
        assert_eq!(record.of(5, 6, at), Lag { changes: 1, age: SECOND });
    }

    #[test]
    fn what_is_older_than_the_start_counts_from_the_start() {
        let mut record = LagRecord::default();
        record.committed(101, SECOND * 5);
        assert_eq!(record.of(40, 110, SECOND * 8), Lag { changes: 70, age: SECOND * 8 });
    }

    #[test]
    fn peers_that_are_away_are_remembered_within_bounds() {
        let mut record = LagRecord::default();
        let peer = |i: usize| {
            let mut id = [0; 32];
            id[..8].copy_from_slice(&(i as u64).to_be_bytes());
            id
        };
        for i in 0..=limits::MAX_LAG_PEERS {
            record.left(peer(i), i as u64);
        }
        assert_eq!(record.had(&peer(0)), None, "it has been away longest");
        assert_eq!(record.had(&peer(limits::MAX_LAG_PEERS)), Some(limits::MAX_LAG_PEERS as u64));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// However commits are spread over time, from microseconds to days apart, no age is too small, none is too
        /// large by more than is promised, and the memory is bounded.
        #[test]
        fn ages_are_never_too_small_and_only_a_little_too_large(
            exponents in prop::collection::vec(0.0f64..8.0, 1..40),
            repeat in 1usize..60,
        ) {
            let mut record = LagRecord::default();
            let (mut now, mut when) = (Duration::ZERO, vec![Duration::ZERO]);
            for exponent in exponents.iter().cycle().take(exponents.len() * repeat) {
                now += Duration::from_secs_f64(10f64.powf(exponent - 4.0));
                record.committed(when.len() as u64, now);
                when.push(now);
            }
            now += SECOND;
            let durable = when.len() as u64 - 1;
            prop_assert!(record.marks.len() <= limits::MAX_LAG_MARKS);
            for has in 0..durable {
                let told = record.of(has, durable, now);
                let truth = now - when[has as usize + 1];
                prop_assert_eq!(told.changes, durable - has);
                prop_assert!(told.age >= truth, "{:?} instead of {:?}", told.age, truth);
                // The mark that covers a number may be the one before it by the whole gap between two commits, so
                // what is promised is measured against the commit before it.
                let latest = truth + limits::LAG_RESOLUTION;
                prop_assert!(told.age <= latest + latest / 8, "{:?} instead of {:?}", told.age, truth);
            }
        }
    }
}
