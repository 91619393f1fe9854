//! The timeline.

mod composites;
mod kinds;
mod matching;
mod nodes;
mod timing;

use std::ops::Range;

use serde_spanned::Spanned;

use super::super::raw::{Field, RawFault, RawScenario};
use super::super::units::format_duration;
use super::super::{End, Fault, FaultKind, Scenario, When};
use super::Lower;

use matching::Timeline;
pub(in super::super) use matching::fault_windows;

/// Every kind with the fields that it takes besides `at` and `when`.
pub(super) fn kinds() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    kinds::names().filter_map(|name| Some((name, kinds::fields(name)?)))
}

impl Lower<'_> {
    pub(super) fn faults(&mut self, raw: &RawScenario, scenario: &mut Scenario) {
        let ids = raw.fault.iter().filter_map(|fault| fault.get_ref().id.as_ref());
        let written = ids.map(|id| id.get_ref().clone()).collect();
        let mut timeline = Timeline { written, ..Timeline::default() };
        for (f, fault) in raw.fault.iter().enumerate() {
            let path = format!("fault[{f}]");
            if let Some(lowered) = self.fault(fault, f, &path, scenario) {
                self.follow(fault, &lowered, &path, scenario, &mut timeline);
                scenario.faults.push(lowered);
            }
        }
        // Whatever is wrong with an entry may be the reason why another has no end.
        if self.diagnostics.is_empty() {
            self.endless(timeline);
        }
    }

    fn fault(&mut self, raw: &Spanned<RawFault>, position: usize, path: &str, scenario: &Scenario) -> Option<Fault> {
        let whole = raw.span();
        let raw = raw.get_ref();
        let kind_name = raw.kind.get_ref().as_str();
        let Some(allowed) = kinds::fields(kind_name) else {
            self.unknown(raw.kind.span(), &format!("{path}.kind"), "fault kind", kind_name, kinds::names());
            return None;
        };
        self.foreign_fields(raw, kind_name, &allowed, path);
        let when = self.when(raw, path, scenario)?;
        let end = self.end(raw, path);
        let repeat = if allowed.contains(&"repeat") { self.repeat(raw, path, &when, end) } else { None };
        let kind = self.fault_kind(raw, path, whole, end, scenario)?;
        let id = match (&kind, &raw.id) {
            (FaultKind::Heal { ends }, _) => format!("heal-{ends}"),
            (FaultKind::Restart { node }, _) => format!("restart-{node}"),
            (_, None) => format!("{kind_name}-{position}"),
            (_, Some(id)) => self.name(id, &format!("{path}.id")),
        };
        let fault = Fault { id, when, end, repeat, kind };
        self.within_run(&fault, raw, path, scenario);
        Some(fault)
    }

    /// It begins and ends within the run, as far as can be told.
    fn within_run(&mut self, fault: &Fault, raw: &RawFault, path: &str, scenario: &Scenario) {
        let begins = match fault.when {
            When::At(at) | When::Within(_, at) => at,
            When::On { .. } => return,
        };
        if let Some(lasts) = fault.end.after() {
            let last = fault.repeat.map_or(begins, |repeat| begins + repeat.every * (repeat.times - 1));
            if last + lasts > scenario.duration {
                let message = format!("`{}` lasts until {}, beyond the end", fault.id, format_duration(last + lasts));
                let help = format!("the run ends at {}", format_duration(scenario.duration));
                self.error(span_of(&raw.lasts, &raw.kind), format!("{path}.for"), message, help);
            }
        }
    }

    /// Every fault names its heal.
    fn endless(&mut self, timeline: Timeline) {
        for (id, open) in timeline.open {
            let heal = match &open.node {
                Some(node) => format!("a fault with kind = \"restart\", node = \"{node}\""),
                None => format!("a fault with kind = \"heal\", ends = \"{id}\""),
            };
            let (message, help) = match open.may_last {
                false => (
                    format!("`{id}` never heals: the run ends divided and cannot converge"),
                    format!("add `for = \"…\"` to it, or {heal}"),
                ),
                true => (
                    format!("nothing says what ends `{id}`"),
                    format!("add `for = \"…\"` to it, or {heal}, or `for = \"ever\"` if it is meant to last"),
                ),
            };
            self.error(open.span, open.path, message, help);
        }
    }

    /// Fields of other kinds of fault.
    fn foreign_fields(&mut self, raw: &RawFault, kind: &str, allowed: &[&str], path: &str) {
        for (field, span) in kinds::given(raw) {
            if !allowed.contains(&field) {
                let message = format!("`{field}` means nothing in a fault of kind `{kind}`");
                let help = format!("it takes `at` or `when`, and {}", allowed.join(", "));
                self.error(span, format!("{path}.{field}"), message, help);
            }
        }
    }

    /// `for`. What neither ends by itself nor is meant to last must be ended by another entry.
    fn end(&mut self, raw: &RawFault, path: &str) -> End {
        match &raw.lasts {
            None => End::Entry,
            Some(word) if word.get_ref() == "ever" => End::Never,
            Some(_) => self.positive(&raw.lasts, &format!("{path}.for")).map_or(End::Entry, End::After),
        }
    }

    fn required<'r>(
        &mut self,
        field: &'r Field<String>,
        path: &str,
        name: &str,
        raw: &RawFault,
    ) -> Option<&'r Spanned<String>> {
        if field.is_none() {
            let message = format!("a `{}` needs `{name}`", raw.kind.get_ref());
            self.error(raw.kind.span(), format!("{path}.{name}"), message, format!("add `{name} = \"…\"`"));
        }
        field.as_ref()
    }

    fn required_number(&mut self, field: &Field<f64>, path: &str, name: &str, raw: &RawFault) -> Option<f64> {
        if field.is_none() {
            let message = format!("a `{}` needs `{name}`", raw.kind.get_ref());
            self.error(raw.kind.span(), format!("{path}.{name}"), message, format!("add `{name} = 0.05`"));
        }
        field.as_ref().map(|number| *number.get_ref())
    }

    fn one_group(
        &mut self,
        field: &Field<String>,
        path: &str,
        name: &str,
        raw: &RawFault,
        scenario: &Scenario,
    ) -> Option<String> {
        let group = self.required(field, path, name, raw)?;
        let known = self.known_group(group.get_ref(), group.span(), &format!("{path}.{name}"), scenario);
        known.then(|| group.get_ref().clone())
    }

    fn node(&mut self, raw: &RawFault, path: &str, scenario: &Scenario) -> Option<String> {
        let node = self.required(&raw.node, path, "node", raw)?;
        let nodes: Vec<String> = scenario
            .groups()
            .flat_map(|(_, group)| (0..group.count).map(move |n| format!("{}-{n}", group.name)))
            .collect();
        if !nodes.contains(node.get_ref()) {
            let known = nodes.iter().map(String::as_str);
            self.unknown(node.span(), &format!("{path}.node"), "node", node.get_ref(), known);
            return None;
        }
        Some(node.get_ref().clone())
    }
}

fn span_of(field: &Field<String>, fallback: &Spanned<String>) -> Range<usize> {
    field.as_ref().map_or(fallback.span(), Spanned::span)
}
