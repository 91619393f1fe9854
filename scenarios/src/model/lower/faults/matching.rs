//! Which end belongs to which beginning.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::super::raw::RawFault;
use super::super::super::units::format_duration;
use super::super::super::{Fault, FaultKind, Scenario, When};
use super::super::Lower;
use super::span_of;

/// A fault that has begun and not ended, in order of declaration.
pub(super) struct Open {
    pub(super) span: Range<usize>,
    pub(super) path: String,
    pub(super) cut: bool,
}

/// What the timeline left open so far.
#[derive(Default)]
pub(super) struct Timeline {
    /// By fault id.
    pub(super) links: BTreeMap<String, Open>,
    /// By node name: the id of the crash.
    pub(super) crashed: BTreeMap<String, String>,
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
                if timeline.links.remove(ends).is_none() {
                    match begun(ends) {
                        Some(other) => {
                            let why = match (&other.kind, other.lasts) {
                                (FaultKind::Crash { .. }, _) => "a crash ends with kind = \"restart\"",
                                (_, Some(_)) => "it ends by itself (`for`)",
                                _ => "it has been healed already",
                            };
                            self.error(span, format!("{path}.ends"), format!("`{ends}` cannot be healed here"), why);
                        }
                        // It is there, but has an error of its own.
                        None if timeline.written.contains(ends) => {}
                        None => {
                            let known = timeline.links.keys().map(String::as_str);
                            self.unknown(span, &format!("{path}.ends"), "open fault", ends, known);
                        }
                    }
                } else {
                    self.order(fault, begun(ends), span, path);
                }
            }
            FaultKind::Restart { node } => {
                let span = span_of(&raw.node, &raw.kind);
                match timeline.crashed.remove(node) {
                    Some(crash) => self.order(fault, begun(&crash), span, path),
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
                if let FaultKind::Crash { node } = kind {
                    if let Some(crash) = timeline.crashed.get(node) {
                        let message = format!("`{node}` is down already, by `{crash}`");
                        let help = "restart it first";
                        self.error(span_of(&raw.node, &raw.kind), format!("{path}.node"), message, help);
                    } else if fault.lasts.is_none() {
                        timeline.crashed.insert(node.clone(), fault.id.clone());
                    }
                } else if fault.lasts.is_none() {
                    let cut = !matches!(kind, FaultKind::Degrade { .. });
                    let open = Open { span: raw.kind.span(), path: path.to_owned(), cut };
                    timeline.links.insert(fault.id.clone(), open);
                }
            }
        }
    }

    fn order(&mut self, end: &Fault, begin: Option<&Fault>, span: Range<usize>, path: &str) {
        if let (When::At(end_at), Some(Fault { id, when: When::At(begin_at), .. })) = (end.when, begin)
            && end_at <= *begin_at
        {
            let message = format!("`{id}` ends at {} before it begins", format_duration(end_at));
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
    if let Some(lasts) = fault.lasts {
        let (times, every) = fault.repeat.map_or((1, Duration::ZERO), |repeat| (repeat.times, repeat.every));
        let window = |n: u32| (begin + every * n, begin + every * n + lasts);
        return Some((0..times).map(window).collect());
    }
    let ends = |other: &&Fault| match (&other.kind, &fault.kind) {
        (FaultKind::Heal { ends }, _) => ends == id,
        (FaultKind::Restart { node }, FaultKind::Crash { node: crashed }) => node == crashed,
        _ => false,
    };
    let after = faults.iter().skip_while(|other| other.id != id);
    match after.into_iter().find(ends).map(|end| end.when) {
        None => Some(vec![(begin, duration)]),
        Some(When::At(end)) => Some(vec![(begin, end)]),
        Some(When::Converged { .. }) => None,
    }
}
