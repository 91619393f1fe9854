//! Weighted fair queueing between the classes of a session.
//!
//! Strict priority starves: a stream of commands would stop telemetry for as long as it lasts. Here each class has a
//! virtual clock that runs at the inverse of its weight, and the class whose clock is furthest behind is next
//! (start-time fair queueing, Goyal, Vin and Cheng 1996). A class that wakes up starts at the present virtual time: it
//! gets no credit for its silence, and is at once before every class that has sent more.

use super::class::{Class, PerClass};

/// Who is next.
#[derive(Debug, Default)]
pub struct Fair {
    /// Bytes sent over weight, scaled.
    clocks: PerClass<u64>,
    /// The clock of the class that was served last.
    now: u64,
}

/// Keeps the division by the weight exact enough for frames of a few bytes.
const SCALE: u64 = 64;

impl Fair {
    /// The class to serve next among those with something to send.
    pub fn next(&mut self, has_work: impl Fn(Class) -> bool) -> Option<Class> {
        let next = Class::ALL.into_iter().filter(|class| has_work(*class)).min_by_key(|class| {
            // The order of classes breaks ties.
            self.clocks[class.index()].max(self.now)
        })?;
        self.now = self.clocks[next.index()].max(self.now);
        Some(next)
    }

    /// A class was given this many bytes of the link.
    pub fn served(&mut self, class: Class, bytes: usize) {
        let clock = &mut self.clocks[class.index()];
        *clock = (*clock).max(self.now) + bytes as u64 * SCALE / class.weight();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn serve(fair: &mut Fair, busy: &[Class], bytes: usize) -> Class {
        let class = fair.next(|class| busy.contains(&class)).expect("somebody is busy");
        fair.served(class, bytes);
        class
    }

    #[test]
    fn shares_follow_weights_and_nobody_starves() {
        let mut fair = Fair::default();
        let mut sent = PerClass::<u64>::default();
        for _ in 0..2900 {
            sent[serve(&mut fair, &Class::ALL, 100).index()] += 1;
        }
        for class in Class::ALL {
            let due = class.weight() * 100;
            assert!(sent[class.index()].abs_diff(due) <= 2, "{class}: {} of {due}", sent[class.index()]);
        }
    }

    #[test]
    fn a_command_overtakes_a_backlog_at_once() {
        let mut fair = Fair::default();
        for _ in 0..1000 {
            serve(&mut fair, &[Class::Telemetry], 1000);
        }
        assert_eq!(serve(&mut fair, &[Class::Telemetry, Class::Command], 200), Class::Command);
    }

    #[test]
    fn silence_earns_no_credit() {
        let mut fair = Fair::default();
        (0..1000).for_each(|_| drop(serve(&mut fair, &[Class::State], 1000)));
        // The blob class was silent all the time; it must not now hold the link until it has caught up.
        let blobs = (0..90).filter(|_| serve(&mut fair, &[Class::State, Class::Blob], 1000) == Class::Blob).count();
        assert!((9..=11).contains(&blobs), "{blobs} of 90 at a weight of 1 to 8");
    }
}
