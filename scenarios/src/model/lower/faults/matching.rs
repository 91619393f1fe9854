//! Which end belongs to which beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::super::raw::RawFault;
use super::super::super::units::format_duration;
use super::super::super::{End, Fault, FaultKind, Scenario, When};
use super::super::Lower;
use super::span_of;

/// A fault that has begun and not ended.
pub(super) struct Open {
    pub(super) span: Range<usize>,
    pub(super) path: String,
    /// It may be there at the end of the run, if that is said.
    pub(super) may_last: bool,
    /// The node that is down, and that only a `restart` brings back.
    pub(super) node: Option<String>,
}

/// What the timeline left open so far.
#[derive(Default)]
pub(super) struct Timeline {
    /// By fault id.
    pub(super) open: BTreeMap<String, Open>,
    /// By node name: the id of the fault that took it down.
    pub(super) down: BTreeMap<String, String>,
    /// Ids of all entries, valid or not.
    pub(super) written: BTreeSet<String>,
}

impl Lower<'_> {
    /// Matches ends to beginnings, in order of declaration.
    pub(super) fn follow(
        &mut self,
        raw: &Spanned<RawFault>,
        fault: &Fault,
        path: &str,
        scenario: &Scenario,
        timeline: &mut Timeline,
    ) {
        let raw = raw.get_ref();
        let begun = |id: &str| scenario.faults.iter().find(|other| other.id == id && other.kind.begins());
        match &fault.kind {
            FaultKind::Heal { ends } => {
                let span = span_of(&raw.ends, &raw.kind);
                let heals = timeline.open.get(ends).is_some_and(|open| open.node.is_none());
                if heals {
                    timeline.open.remove(ends);
                    self.order(fault, begun(ends), span, path);
                    return;
                }
                match begun(ends) {
                    Some(other) => {
                        let why = match (&other.kind, other.end) {
                            (_, End::After(_)) => "it ends by itself (`for`)",
                            (_, End::Never) => "it is said to last (`for = \"ever\"`)",
                            (kind, _) if kind.stopped_node().is_some() => "a crash ends with kind = \"restart\"",
                            _ => "it has been healed already",
                        };
                        self.error(span, format!("{path}.ends"), format!("`{ends}` cannot be healed here"), why);
                    }
                    // It is there, but has an error of its own.
                    None if timeline.written.contains(ends) => {}
                    None => {
                        let healable = timeline.open.iter().filter(|(_, open)| open.node.is_none());
                        let known = healable.map(|(id, _)| id.as_str());
                        self.unknown(span, &format!("{path}.ends"), "open fault", ends, known);
                    }
                }
            }
            FaultKind::Restart { node } => {
                let span = span_of(&raw.node, &raw.kind);
                match timeline.down.remove(node) {
                    Some(crash) => {
                        timeline.open.remove(&crash);
                        self.order(fault, begun(&crash), span, path);
                    }
                    None => {
                        let message = format!("`{node}` has not crashed, or restarts by itself");
                        let help = "declare its crash, without `for`, before its restart";
                        self.error(span, format!("{path}.node"), message, help);
                    }
                }
            }
            kind => {
                if begun(&fault.id).is_some() {
                    let message = format!("there are two faults called `{}`", fault.id);
                    let span = span_of(&raw.id, &raw.kind);
                    self.error(span, format!("{path}.id"), message, "fault ids are unique");
                }
                if fault.end == End::Never && !kind.may_last() {
                    let message = format!("a `{}` cannot last: the run ends divided and cannot converge", kind.name());
                    let help = "say how long with `for`, or end it with a fault of kind \"heal\"";
                    self.error(span_of(&raw.lasts, &raw.kind), format!("{path}.for"), message, help);
                }
                let node = kind.stopped_node();
                if let Some((node, crash)) = node.and_then(|node| Some((node, timeline.down.get(node)?))) {
                    let message = format!("`{node}` is down already, by `{crash}`");
                    let help = "restart it first";
                    self.error(span_of(&raw.node, &raw.kind), format!("{path}.node"), message, help);
                    return;
                }
                if fault.end.after().is_some() {
                    return;
                }
                if let Some(node) = node {
                    timeline.down.insert(node.to_owned(), fault.id.clone());
                }
                if fault.end == End::Entry && !kind.is_composite() {
                    let open = Open {
                        span: raw.kind.span(),
                        path: path.to_owned(),
                        may_last: kind.may_last(),
                        node: node.map(str::to_owned),
                    };
                    timeline.open.insert(fault.id.clone(), open);
                }
            }
        }
    }

    fn order(&mut self, end: &Fault, begin: Option<&Fault>, span: Range<usize>, path: &str) {
        if let (When::At(end_at), Some(Fault { id, when: When::At(begin_at) | When::Within(_, begin_at), .. })) =
            (&end.when, begin)
            && end_at <= begin_at
        {
            let message = format!("`{id}` ends at {} before it begins", format_duration(*end_at));
            let help = format!("it begins at {}", format_duration(*begin_at));
            self.error(span, path, message, help);
        }
    }
}

/// See [`Scenario::fault_windows`].
pub(in super::super::super) fn fault_windows(
    faults: &[Fault],
    duration: Duration,
    id: &str,
) -> Option<Vec<(Duration, Duration)>> {
    let fault = faults.iter().find(|fault| fault.id == id && fault.kind.begins())?;
    let When::At(begin) = fault.when else {
        return None;
    };
    if let End::After(lasts) = fault.end {
        let (times, every) = fault.repeat.map_or((1, Duration::ZERO), |repeat| (repeat.times, repeat.every));
        let window = |n: u32| (begin + every * n, begin + every * n + lasts);
        return Some((0..times).map(window).collect());
    }
    let ends = |other: &&Fault| match &other.kind {
        FaultKind::Heal { ends } => ends == id,
        FaultKind::Restart { node } => fault.kind.stopped_node() == Some(node),
        _ => false,
    };
    let after = faults.iter().skip_while(|other| other.id != id);
    match after.into_iter().find(ends).map(|end| &end.when) {
        None => Some(vec![(begin, duration)]),
        Some(When::At(end)) => Some(vec![(begin, *end)]),
        Some(When::Within(..) | When::On { .. }) => None,
    }
}
