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
    fn new(name: impl Into<String>, sim: f64, real: f64) -> Self {
        Component { name: name.into(), sim, real, known: true }
    }

    /// What nothing accounts for.
    pub(super) fn rest(rest: f64) -> Self {
        Component { name: "the rest".to_owned(), sim: 0.0, real: rest, known: false }
    }

    /// How much of the difference is its.
    pub fn difference(&self) -> f64 {
        self.real - self.sim
    }
}

pub(super) fn of_latency(
    a: &Measured<'_>,
    mine: &Sorted<'_>,
    b: &Measured<'_>,
    theirs: &Sorted<'_>,
    quantile: f64,
) -> Vec<Component> {
    if both_see_frames(a, b) {
        return parts(mine.around(quantile), theirs.around(quantile), &Part::ALL);
    }
    // Without frames an arrival is split as if it had come straight from its origin, to which there need not be a session.
    // What was connected all the time waited for none.
    on_the_way(a, mine, b, theirs, quantile)
}

/// Of the time from the heal: the way to the session that was last before the end, and what came after it.
pub(super) fn of_recovery(
    (a, mine): (&Measured<'_>, &Recovery),
    (b, theirs): (&Measured<'_>, &Recovery),
    converged: bool,
) -> Vec<Component> {
    let ends = |measured: &Measured<'_>, recovery: &Recovery| match converged {
        true => measured.last_after(recovery.at).map(|arrival| arrival.visible),
        false => match recovery.reconnected {
            Settled::After(after) => Some(recovery.at + after),
            _ => None,
        },
    };
    let (Some(mine_ends), Some(theirs_ends)) = (ends(a, mine), ends(b, theirs)) else { return Vec::new() };
    let (sim, real) = (session(a, mine.at, mine_ends), session(b, theirs.at, theirs_ends));
    let mut components = vec![
        Component::new(Part::Backoff.name(), sim.0, real.0),
        Component::new(Part::Handshake.name(), sim.1, real.1),
    ];
    // A session is up before anything crosses it.
    if let (true, Some(mine), Some(theirs)) = (converged, a.last_after(mine.at), b.last_after(theirs.at)) {
        components.extend(on_the_way(a, &Sorted::one(mine), b, &Sorted::one(theirs), 0.5));
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
pub(super) fn of_bytes(a: &Measured<'_>, mine: &Phase, b: &Measured<'_>, theirs: &Phase) -> Vec<Component> {
    let (classes, others) = (a.classes_per_second(mine), b.classes_per_second(theirs));
    if classes.is_empty() || others.is_empty() {
        return Vec::new();
    }
    let value =
        |of: &[(String, f64)], class: &str| of.iter().find(|(name, _)| name == class).map_or(0.0, |(_, of)| *of);
    let mut names: Vec<&String> = classes.iter().chain(&others).map(|(name, _)| name).collect();
    names.sort_unstable();
    names.dedup();
    let mut components: Vec<Component> = names
        .into_iter()
        .map(|class| Component::new(format!("frames of class {class}"), value(&classes, class), value(&others, class)))
        .collect();
    let beyond = |measured: &Measured<'_>, phase: &Phase, classes: &[(String, f64)]| {
        measured.bytes_per_second(phase).unwrap_or_default() - classes.iter().map(|(_, of)| of).sum::<f64>()
    };
    let (sim, real) = (beyond(a, mine, &classes), beyond(b, theirs, &others));
    components.push(Component::new("QUIC around the frames", sim, real));
    components
}

fn parts(mine: &[&Explained], theirs: &[&Explained], of: &[Part]) -> Vec<Component> {
    of.iter().map(|part| Component::new(part.name(), mean(mine, *part), mean(theirs, *part))).collect()
}

fn both_see_frames(a: &Measured<'_>, b: &Measured<'_>) -> bool {
    a.record.transfers.is_some() && b.record.transfers.is_some()
}

/// What the machine adds on the way of an arrival, where no frames are seen.
fn on_the_way(
    a: &Measured<'_>,
    mine: &Sorted<'_>,
    b: &Measured<'_>,
    theirs: &Sorted<'_>,
    quantile: f64,
) -> Vec<Component> {
    if both_see_frames(a, b) {
        return Vec::new();
    }
    let hops = a.hops(mine.around(quantile)).max(b.hops(theirs.around(quantile))).max(1.0);
    // One of the commits on the way as it comes, the others as they usually are.
    let usual = a.commit_p50();
    let commits = hops * usual;
    let slower = b.delay(mine, quantile, usual) + (hops - 1.0) * (b.commit_p50() - usual);
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
        Component::new("commits on the way", commits, commits + slower),
        Component::new("clock error", clock(a), clock(b)),
        Component::new("late links", late(a), late(b)),
    ]
}

fn mean(arrivals: &[&Explained], part: Part) -> f64 {
    let sum: f64 = arrivals.iter().map(|arrival| arrival.parts.of(part).as_secs_f64()).sum();
    sum / arrivals.len().max(1) as f64
}
