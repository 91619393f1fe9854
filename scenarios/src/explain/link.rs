//! What a link does to the first thing that is handed to it. The one place in which [`crate::explain`] knows what a
//! link is like.

use std::time::Duration;

use crate::physics::LinkParams;
use crate::time::SimTime;

/// When a link that is up, idle and lucky brings `size` payload bytes that are handed to it at `at`; `None`: never.
/// What is handed over later never arrives earlier, and what is larger never either.
pub(super) fn earliest_arrival(params: &LinkParams, at: SimTime, size: usize) -> Option<SimTime> {
    Some(at + params.serialisation(size) + params.latency).filter(|at| *at < SimTime::MAX)
}

/// How long such a link may take by its own nature, without anything queued before: what took longer, waited.
pub(super) fn longest_flight(params: &LinkParams, size: usize) -> Duration {
    params.serialisation(size) + params.latency + params.jitter
}
