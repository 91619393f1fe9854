//! The calendar of one host: what the node beside it reads when it asks for the date.
//!
//! Only the calendar can be out. The monotonic clock, which every timer goes by, runs alike everywhere: a machine whose
//! crystal is off by 50 ppm is 4 s off after a day, and no timer of a node is that precise.
//!
//! Everything in a node that reads the calendar reads it here ([`peat_node::node::World`]'s `wall_clock`). QUIC and TLS
//! read the thread's, which is the same for all hosts; nothing there depends on it, since keys are raw and have no dates.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peat_scenarios::model::Trouble;
use peat_scenarios::plan::FaultIndex;
use peat_scenarios::record::FaultEffect;

use crate::clock::SimClock;
use crate::hooks;

/// The calendar of a host. It outlives the lives of the host, as the clock of a board does. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Calendar {
    clock: SimClock,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    out: BTreeMap<FaultIndex, Out>,
    effects: BTreeMap<FaultIndex, FaultEffect>,
}

enum Out {
    Jumped { by_ms: i64 },
    Skewed { rate: f64, since: Duration },
}

impl Out {
    fn offset_ms(&self, now: Duration) -> i64 {
        match self {
            Out::Jumped { by_ms } => *by_ms,
            Out::Skewed { rate, since } => (now.saturating_sub(*since).as_millis() as f64 * rate) as i64,
        }
    }
}

impl Calendar {
    pub(crate) fn new(clock: SimClock) -> Self {
        Self { clock, state: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Milliseconds since 1970, as the node is told.
    pub(crate) fn read(&self) -> u64 {
        self.read_at(hooks::EPOCH, self.clock.elapsed())
    }

    fn read_at(&self, epoch: Duration, now: Duration) -> u64 {
        let mut state = self.lock();
        let state = &mut *state;
        let offset: i64 = state.out.values().map(|out| out.offset_ms(now)).sum();
        for (fault, out) in &state.out {
            let effect = state.effects.entry(*fault).or_default();
            effect.clock_readings += 1;
            let own = out.offset_ms(now);
            if own.abs() > effect.clock_offset_ms.abs() {
                effect.clock_offset_ms = own;
            }
        }
        let true_ms = u64::try_from((epoch + now).as_millis()).unwrap_or(u64::MAX);
        true_ms.saturating_add_signed(offset)
    }

    /// The calendar is out from now on.
    pub(crate) fn begin(&self, fault: FaultIndex, trouble: Trouble) {
        let out = match trouble {
            Trouble::ClockJump { by_ms } => Out::Jumped { by_ms },
            Trouble::ClockSkew { rate } => Out::Skewed { rate, since: self.clock.elapsed() },
            _ => return,
        };
        self.lock().out.insert(fault, out);
    }

    /// Somebody sets it right.
    pub(crate) fn end(&self, fault: FaultIndex) {
        self.lock().out.remove(&fault);
    }

    /// What a fault did to readers.
    pub(crate) fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.lock().effects.get(&fault).cloned().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jumps_and_skews_add_up_and_only_what_was_read_counts() {
        let clock = Calendar::new(SimClock::Tokio);
        let seconds = Duration::from_secs;
        let (jump, skew) = (FaultIndex(0), FaultIndex(1));
        assert_eq!(clock.read_at(seconds(1_000), seconds(10)), 1_010_000);
        clock.begin(jump, Trouble::ClockJump { by_ms: -5_000 });
        clock.lock().out.insert(skew, Out::Skewed { rate: 0.5, since: seconds(10) });
        assert_eq!(clock.read_at(seconds(1_000), seconds(12)), 1_012_000 - 5_000 + 1_000);
        clock.end(jump);
        assert_eq!(clock.read_at(seconds(1_000), seconds(14)), 1_014_000 + 2_000);
        assert_eq!((clock.effect(jump).clock_readings, clock.effect(jump).clock_offset_ms), (1, -5_000));
        assert_eq!((clock.effect(skew).clock_readings, clock.effect(skew).clock_offset_ms), (2, 2_000));
    }
}
