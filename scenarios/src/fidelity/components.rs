//! What a difference is made of.
//!
//! Of a simulation every hop is known; of a real world only what its nodes and its emulator tell. So both sides are split
//! into what both know, and what the machine adds is taken from what it did to other things at the same time: a commit from the
//! writes that were acknowledged, the clock and the links from the world's own account of its precision.

use serde::Serialize;

use super::phase::Phase;
use super::side::{Measured, Sorted};
use crate::explain::{Explained, Part};
use crate::figures::{Recovery, Settled};
use crate::record::DialEvent;
use crate::time::SimTime;

/// One thing that a figure is made of, in the figure's unit.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Component {
    /// What it is.
    pub name: String,
    /// In the simulation.
    pub sim: f64,
    /// In the real world.
    pub real: f64,
    /// Whether something else measured it; false for what is left over.
    pub known: bool,
}

impl Component {
    /// What nothing accounts for.
    pub(super) fn rest(rest: f64) -> Self {
        Component { name: "the rest".to_owned(), sim: 0.0, real: rest, known: false }
    }

    /// How much of the difference is its.
    pub fn difference(&self) -> f64 {
        self.real - self.sim
    }
}

/// What there is of both sides.
#[derive(Debug, Clone, Copy)]
pub(super) struct Both<T> {
    pub(super) sim: T,
    pub(super) real: T,
}

impl<T> Both<T> {
    fn map<U>(self, each: impl Fn(T) -> U) -> Both<U> {
        Both { sim: each(self.sim), real: each(self.real) }
    }
}

impl Both<f64> {
    fn component(self, name: impl Into<String>) -> Component {
        Component { name: name.into(), sim: self.sim, real: self.real, known: true }
    }
}

pub(super) fn of_latency(measured: Both<&Measured<'_>>, arrivals: Both<&Sorted<'_>>, quantile: f64) -> Vec<Component> {
    if see_frames(measured) {
        let around = arrivals.map(|sorted| sorted.around(quantile));
        return Part::ALL.map(|part| around.map(|of| mean(of, part)).component(part.name())).to_vec();
    }
    // Without frames an arrival is split as if it had come straight from its origin, to which there need not be a session.
    // What was connected all the time waited for none.
    on_the_way(measured, arrivals, quantile)
}

/// Of the time from the heal: the way to the session that was last before the end, and what came after it.
pub(super) fn of_recovery(measured: Both<&Measured<'_>>, recovery: Both<&Recovery>, converged: bool) -> Vec<Component> {
    let ended = |measured: &Measured<'_>, recovery: &Recovery| match converged {
        true => measured.last_after(recovery.at).map(|arrival| arrival.visible),
        false => match recovery.reconnected {
            Settled::After(after) => Some(recovery.at + after),
            _ => None,
        },
    };
    let (Some(sim), Some(real)) = (ended(measured.sim, recovery.sim), ended(measured.real, recovery.real)) else {
        return Vec::new();
    };
    let sim = session(measured.sim, recovery.sim.at, sim);
    let real = session(measured.real, recovery.real.at, real);
    let mut components = vec![
        Both { sim: sim.0, real: real.0 }.component(Part::Backoff.name()),
        Both { sim: sim.1, real: real.1 }.component(Part::Handshake.name()),
    ];
    // A session is up before anything crosses it. Where frames are seen, nothing of the machine's is on the way.
    let last = (measured.sim.last_after(recovery.sim.at), measured.real.last_after(recovery.real.at));
    if let (true, false, (Some(sim), Some(real))) = (converged, see_frames(measured), last) {
        let arrivals = Both { sim: &Sorted::one(sim), real: &Sorted::one(real) };
        components.extend(on_the_way(measured, arrivals, 0.5));
    }
    components
}

/// Seconds from a heal until the dial that led to the last session before a moment, and from there until that session.
fn session(measured: &Measured<'_>, healed: SimTime, until: SimTime) -> (f64, f64) {
    let record = measured.record;
    let ups = record.sessions.iter().filter(|event| event.up && healed <= event.at && event.at <= until);
    let Some(up) = ups.max_by_key(|event| event.at) else { return (0.0, 0.0) };
    let led = |dial: &&DialEvent| {
        let between = [(up.node, up.peer), (up.peer, up.node)].contains(&(dial.node, dial.peer));
        between && healed <= dial.at && dial.at <= up.at
    };
    let dialled = record.dials.iter().filter(led).map(|dial| dial.at).max().unwrap_or(up.at);
    (dialled.since(healed).as_secs_f64(), up.at.since(dialled).as_secs_f64())
}

/// By class of traffic, and what is none of any class.
pub(super) fn of_bytes(measured: Both<&Measured<'_>>, phase: Both<&Phase>) -> Vec<Component> {
    let classes =
        Both { sim: measured.sim.classes_per_second(phase.sim), real: measured.real.classes_per_second(phase.real) };
    if classes.sim.is_empty() || classes.real.is_empty() {
        return Vec::new();
    }
    let mut names: Vec<&String> = classes.sim.iter().chain(&classes.real).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let of_class =
        |of: &[(String, f64)], class: &str| of.iter().find(|(name, _)| name == class).map_or(0.0, |(_, bytes)| *bytes);
    let both = Both { sim: &classes.sim, real: &classes.real };
    let named = |class: &String| both.map(|of| of_class(of, class)).component(format!("frames of class {class}"));
    let mut components: Vec<Component> = names.into_iter().map(named).collect();
    let beyond = |measured: &Measured<'_>, phase: &Phase, classes: &[(String, f64)]| {
        measured.bytes_per_second(phase).unwrap_or_default() - classes.iter().map(|(_, of)| of).sum::<f64>()
    };
    let around = Both {
        sim: beyond(measured.sim, phase.sim, &classes.sim),
        real: beyond(measured.real, phase.real, &classes.real),
    };
    components.push(around.component("QUIC around the frames"));
    components
}

fn see_frames(measured: Both<&Measured<'_>>) -> bool {
    [measured.sim, measured.real].iter().all(|of| of.record.transfers.is_some())
}

/// What the machine adds on the way of an arrival, where no frames are seen.
fn on_the_way(measured: Both<&Measured<'_>>, arrivals: Both<&Sorted<'_>>, quantile: f64) -> Vec<Component> {
    let Both { sim, real } = measured;
    let hops = sim.hops(arrivals.sim.around(quantile)).max(real.hops(arrivals.real.around(quantile))).max(1.0);
    // One of the commits on the way as it comes, the others as they usually are.
    let usual = sim.commit_p50();
    let commits = hops * usual;
    let slower = real.delay(arrivals.sim, quantile, usual) + (hops - 1.0) * (real.commit_p50() - usual);
    let in_the_tail = quantile > 0.9;
    // An event is noted half a call late, and so is the acknowledgement that it is measured from.
    let clock = |measured: &Measured<'_>| {
        let beyond = measured.record.precision.map_or(0.0, |of| of.call_p99.saturating_sub(of.call_p50).as_secs_f64());
        if in_the_tail { beyond } else { 0.0 }
    };
    // Of several datagrams in a row one is as late as one of a hundred, hardly two of them.
    let late = |measured: &Measured<'_>| {
        measured.record.precision.map_or(0.0, |of| {
            let worst = if in_the_tail { of.late_p99 } else { of.late_p50 };
            of.late_p50.as_secs_f64() * (hops - 1.0) + worst.as_secs_f64()
        })
    };
    vec![
        Both { sim: commits, real: commits + slower }.component("commits on the way"),
        measured.map(clock).component("clock error"),
        measured.map(late).component("late links"),
    ]
}

fn mean(arrivals: &[&Explained], part: Part) -> f64 {
    let sum: f64 = arrivals.iter().map(|arrival| arrival.parts.of(part).as_secs_f64()).sum();
    sum / arrivals.len().max(1) as f64
}
