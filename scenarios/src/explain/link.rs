//! What a link does to the first thing that is handed to it. The one place in which [`crate::explain`] knows what a
//! link is like.

use std::time::Duration;

use crate::physics::{LinkParams, Spread, UDP_HEADER_BYTES};
use crate::time::SimTime;

/// When a link that is up, idle and lucky brings `size` payload bytes that are handed to it at `at`; `None`: never.
/// What is handed over later never arrives earlier, and what is larger never either. More than one datagram takes counts
/// as the largest that fits: a frame is cut to pieces by QUIC.
pub(super) fn earliest_arrival(params: &LinkParams, at: SimTime, size: usize) -> Option<SimTime> {
    let fits = params.mtu.map_or(usize::MAX, |mtu| mtu.saturating_sub(UDP_HEADER_BYTES));
    params.earliest_arrival(at, size.min(fits)).filter(|at| *at < SimTime::MAX)
}

/// How long such a link may take by its own nature for what is handed to it at `at`, without anything queued before: what
/// took longer, waited. `None`: its delays have no end that would tell them from waiting.
pub(super) fn longest_flight(params: &LinkParams, at: SimTime, size: usize) -> Option<Duration> {
    let spread = match params.spread {
        Spread::Uniform => params.jitter,
        Spread::Normal => params.jitter * 2,
        Spread::Pareto { .. } => return None,
    };
    Some(earliest_arrival(params, at, size)?.since(at) + spread)
}

/// The next stretch from `at` on, before `end`, in which the schedule of a link has no contact.
pub(super) fn next_gap(params: &LinkParams, at: SimTime, end: SimTime) -> Option<(SimTime, SimTime)> {
    let schedule = params.schedule.as_ref()?;
    let mut from = at;
    while schedule.in_contact(from) {
        from = schedule.next_change(from).filter(|change| *change < end)?;
    }
    let mut to = from;
    while to < end && !schedule.in_contact(to) {
        to = schedule.next_change(to).unwrap_or(end);
    }
    Some((from, to.min(end)))
}
