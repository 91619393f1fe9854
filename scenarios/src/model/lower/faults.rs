//! The timeline.

mod matching;

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::raw::{Field, RawFault, RawScenario};
use super::super::units::format_duration;
use super::super::{Fault, FaultKind, LinkShape, Repeat, Scenario, When};
use super::{Lower, ShapeFields};
use crate::limits;

use matching::Timeline;
pub(in super::super) use matching::fault_windows;

/// Each kind with the fields that it takes besides `at`, `when` and `after`.
pub(super) const KINDS: [(&str, &[&str]); 7] = [
    ("partition", &["id", "for", "repeat", "every", "between"]),
    ("one-way-cut", &["id", "for", "repeat", "every", "from", "to"]),
    ("blackout", &["id", "for", "repeat", "every", "group"]),
    (
        "degrade",
        &["id", "for", "repeat", "every", "between", "profile", "latency", "jitter", "loss", "bandwidth", "queue"],
    ),
    ("crash", &["id", "for", "repeat", "every", "node"]),
    ("heal", &["ends"]),
    ("restart", &["node"]),
];

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
        if !self.diagnostics.is_empty() {
            return;
        }
        for (id, open) in timeline.links {
            if open.cut {
                let message = format!("`{id}` never heals: the run ends divided and cannot converge");
                let help = format!("add `for = \"…\"` to it, or a fault with kind = \"heal\", ends = \"{id}\"");
                self.error(open.span, open.path, message, help);
            }
        }
    }

    fn fault(&mut self, raw: &Spanned<RawFault>, position: usize, path: &str, scenario: &Scenario) -> Option<Fault> {
        let whole = raw.span();
        let raw = raw.get_ref();
        let kind_name = raw.kind.get_ref().as_str();
        let Some((_, allowed)) = KINDS.iter().find(|(name, _)| *name == kind_name) else {
            let known = KINDS.iter().map(|(name, _)| *name);
            self.unknown(raw.kind.span(), &format!("{path}.kind"), "fault kind", kind_name, known);
            return None;
        };
        self.foreign_fields(raw, kind_name, allowed, path);
        let when = self.when(raw, path, scenario)?;
        let lasts = self.positive(&raw.lasts, &format!("{path}.for"));
        let repeat = self.repeat(raw, path, when, lasts);
        let kind = self.fault_kind(raw, path, whole, scenario)?;
        let id = match (&kind, &raw.id) {
            (FaultKind::Heal { ends }, _) => format!("heal-{ends}"),
            (FaultKind::Restart { node }, _) => format!("restart-{node}"),
            (_, None) => format!("{kind_name}-{position}"),
            (_, Some(id)) => self.name(id, &format!("{path}.id")),
        };
        let fault = Fault { id, when, lasts, repeat, kind };
        if let (Some(lasts), When::At(at)) = (lasts, when) {
            let last = fault.repeat.map_or(at, |repeat| at + repeat.every * (repeat.times - 1));
            if last + lasts > scenario.duration {
                let message = format!("`{}` lasts until {}, beyond the end", fault.id, format_duration(last + lasts));
                let help = format!("the run ends at {}", format_duration(scenario.duration));
                self.error(span_of(&raw.lasts, &raw.kind), format!("{path}.for"), message, help);
            }
        }
        Some(fault)
    }

    /// Fields of other kinds of fault.
    fn foreign_fields(&mut self, raw: &RawFault, kind: &str, allowed: &[&str], path: &str) {
        let texts = [
            ("id", &raw.id),
            ("for", &raw.lasts),
            ("every", &raw.every),
            ("from", &raw.from),
            ("to", &raw.to),
            ("group", &raw.group),
            ("node", &raw.node),
            ("ends", &raw.ends),
            ("profile", &raw.profile),
            ("latency", &raw.latency),
            ("jitter", &raw.jitter),
            ("bandwidth", &raw.bandwidth),
            ("queue", &raw.queue),
        ];
        let mut given: Vec<_> =
            texts.into_iter().filter_map(|(name, field)| Some((name, field.as_ref()?.span()))).collect();
        given.extend(raw.between.as_ref().map(|field| ("between", field.span())));
        given.extend(raw.repeat.as_ref().map(|field| ("repeat", field.span())));
        given.extend(raw.loss.as_ref().map(|field| ("loss", field.span())));
        for (field, span) in given {
            if !allowed.contains(&field) {
                let message = format!("`{field}` means nothing in a fault of kind `{kind}`");
                let help = format!("it takes `at` or `when`, and {}", allowed.join(", "));
                self.error(span, format!("{path}.{field}"), message, help);
            }
        }
    }

    fn when(&mut self, raw: &RawFault, path: &str, scenario: &Scenario) -> Option<When> {
        match (&raw.at, &raw.when) {
            (Some(text), None) => {
                if let Some(after) = &raw.after {
                    let help = "`after` counts from convergence; write the moment into `at`";
                    self.error(after.span(), format!("{path}.after"), "`after` needs `when`", help);
                }
                let at = self.duration(text, &format!("{path}.at"))?;
                if at >= scenario.duration {
                    let message = format!("{} is beyond the end", text.get_ref());
                    let help = format!("the run ends at {}", format_duration(scenario.duration));
                    self.error(text.span(), format!("{path}.at"), message, help);
                }
                Some(When::At(at))
            }
            (None, Some(event)) if event.get_ref() == "converged" => {
                if let Some((_, choosy)) = scenario.groups().find(|(_, group)| !group.interest.is_empty()) {
                    let message = format!("nodes with an interest, as those of `{}`, never hold the same", choosy.name);
                    self.error(event.span(), format!("{path}.when"), message, "give it a time with `at`");
                }
                let after = self.optional(&raw.after, &format!("{path}.after")).unwrap_or_default();
                Some(When::Converged { after })
            }
            (None, Some(event)) => {
                self.unknown(event.span(), &format!("{path}.when"), "event", event.get_ref(), ["converged"]);
                None
            }
            (Some(_), Some(event)) => {
                let help = "keep one of them";
                self.error(event.span(), format!("{path}.when"), "both `at` and `when` are given", help);
                None
            }
            (None, None) => {
                let help = "add `at = \"5m\"` or `when = \"converged\"`";
                self.error(raw.kind.span(), path, "nothing says when it happens", help);
                None
            }
        }
    }

    fn repeat(&mut self, raw: &RawFault, path: &str, when: When, lasts: Option<Duration>) -> Option<Repeat> {
        let (times, every) = match (&raw.repeat, &raw.every) {
            (None, None) => return None,
            (Some(times), Some(every)) => (times, every),
            (Some(times), None) => {
                self.error(times.span(), format!("{path}.repeat"), "`repeat` needs `every`", "add `every = \"1m\"`");
                return None;
            }
            (None, Some(every)) => {
                self.error(every.span(), format!("{path}.every"), "`every` needs `repeat`", "add `repeat = 5`");
                return None;
            }
        };
        let spacing = self.duration(every, &format!("{path}.every"))?;
        let count = u32::try_from(*times.get_ref()).ok().filter(|n| (1..=limits::REPEAT).contains(n));
        let Some(count) = count else {
            let message = format!("{} repetitions are out of bounds", times.get_ref());
            self.error(times.span(), format!("{path}.repeat"), message, format!("1 to {}", limits::REPEAT));
            return None;
        };
        if !matches!(when, When::At(_)) {
            let message = "a fault on convergence cannot repeat";
            self.error(times.span(), format!("{path}.repeat"), message, "give it a time with `at`");
        }
        match lasts {
            None => {
                let message = "a fault that repeats must end by itself";
                self.error(times.span(), format!("{path}.repeat"), message, "add `for`, shorter than `every`");
            }
            Some(lasts) if lasts >= spacing => {
                let message =
                    format!("it would begin again before it ends ({} of {})", format_duration(lasts), every.get_ref());
                self.error(every.span(), format!("{path}.every"), message, "`every` must be longer than `for`");
            }
            Some(_) => {}
        }
        Some(Repeat { times: count, every: spacing })
    }

    fn fault_kind(
        &mut self,
        raw: &RawFault,
        path: &str,
        whole: Range<usize>,
        scenario: &Scenario,
    ) -> Option<FaultKind> {
        Some(match raw.kind.get_ref().as_str() {
            "partition" => {
                let between = self.pair(&raw.between, path, whole, scenario)?;
                self.routed(raw, path, scenario, &between);
                FaultKind::Partition { between }
            }
            "degrade" => {
                let between = self.pair(&raw.between, path, whole.clone(), scenario)?;
                self.routed(raw, path, scenario, &between);
                let shape = self.shape(&ShapeFields::of_fault(raw), path);
                if shape == LinkShape::default() {
                    let help = "give a profile, latency, jitter, loss, bandwidth or queue";
                    self.error(whole, path, "nothing says what the link becomes", help);
                }
                FaultKind::Degrade { between, shape }
            }
            "one-way-cut" => {
                let from = self.one_group(&raw.from, path, "from", raw, scenario)?;
                let to = self.one_group(&raw.to, path, "to", raw, scenario)?;
                self.routed(raw, path, scenario, &(from.clone(), to.clone()));
                FaultKind::OneWayCut { from, to }
            }
            "blackout" => FaultKind::Blackout { group: self.one_group(&raw.group, path, "group", raw, scenario)? },
            "crash" => FaultKind::Crash { node: self.node(raw, path, scenario)? },
            "restart" => FaultKind::Restart { node: self.node(raw, path, scenario)? },
            _ => {
                let ends = self.required(&raw.ends, path, "ends", raw)?;
                FaultKind::Heal { ends: ends.get_ref().clone() }
            }
        })
    }

    /// A fault between groups without a link can never bite. Not asked while a link may be missing
    /// only because of another error.
    fn routed(&mut self, raw: &RawFault, path: &str, scenario: &Scenario, (a, b): &(String, String)) {
        if !self.diagnostics.is_empty() {
            return;
        }
        let joins = |(x, y): &(String, String)| (x == a && y == b) || (x == b && y == a);
        if a != b && !scenario.links.iter().any(|link| joins(&link.between)) {
            let message = format!("there is no link between `{a}` and `{b}`");
            self.error(raw.kind.span(), path, message, "add a [[link]] between them, or name groups that have one");
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

impl<'a> ShapeFields<'a> {
    fn of_fault(raw: &'a RawFault) -> Self {
        ShapeFields {
            profile: &raw.profile,
            latency: &raw.latency,
            jitter: &raw.jitter,
            loss: &raw.loss,
            bandwidth: &raw.bandwidth,
            queue: &raw.queue,
        }
    }
}

fn span_of(field: &Field<String>, fallback: &Spanned<String>) -> Range<usize> {
    field.as_ref().map_or(fallback.span(), Spanned::span)
}
