//! Who tells the time of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::hooks;

/// The clock of a run, the same for every host of it. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) enum SimClock {
    /// The paused clock of the one runtime that the run has.
    Tokio,
    /// The clock of a `turmoil::Sim`. Every host of it has a runtime with a paused clock of its own, all of
    /// them a little apart; what they agree on is how much time has passed in the simulation.
    Turmoil(Passed),
}

/// How much time has passed in a `turmoil::Sim`, for those outside of its hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Passed(Arc<AtomicU64>);

impl Passed {
    pub(crate) fn set(&self, elapsed: Duration) {
        self.0.store(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn get(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

impl SimClock {
    /// Virtual time since the simulation began; scenario time begins later.
    pub(crate) fn elapsed(&self) -> Duration {
        match self {
            SimClock::Tokio => hooks::elapsed(),
            SimClock::Turmoil(passed) => match ::turmoil::sim_elapsed() {
                Some(elapsed) => {
                    passed.set(elapsed);
                    elapsed
                }
                None => passed.get(),
            },
        }
    }

    /// The moment on the clock of the current runtime at which [`SimClock::elapsed`] will be this; now, if it
    /// is over.
    pub(crate) fn instant(&self, elapsed: Duration) -> Instant {
        Instant::now() + elapsed.saturating_sub(self.elapsed())
    }
}
