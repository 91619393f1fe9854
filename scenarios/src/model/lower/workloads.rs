//! Workloads.

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::super::raw::{Field, OneOrMany, RawScenario, RawWorkload};
use super::super::units::format_duration;
use super::super::{Away, Scenario, Workload, WorkloadKind};
use super::Lower;
use crate::limits;

pub(super) const KINDS: [&str; 7] = ["heartbeat", "put", "edit", "delete", "burst", "command", "agent"];

impl Lower<'_> {
    pub(super) fn workloads(&mut self, raw: &RawScenario, scenario: &mut Scenario) {
        for (w, workload) in raw.workload.iter().enumerate() {
            let path = format!("workload[{w}]");
            if let Some(workload) = self.workload(workload.get_ref(), &path, scenario) {
                scenario.workloads.push(workload);
            }
        }
    }

    fn workload(&mut self, raw: &RawWorkload, path: &str, scenario: &Scenario) -> Option<Workload> {
        let on = self.groups(&raw.on, path, scenario);
        let last = scenario.duration.saturating_sub(scenario.settle);
        let start = self.optional(&raw.start, &format!("{path}.start")).unwrap_or_default();
        let until = self.optional(&raw.until, &format!("{path}.until"));
        let bound = format!(
            "the run ends at {}, and in the last {} (`settle`) nothing is written",
            format_duration(scenario.duration),
            format_duration(scenario.settle)
        );
        if start >= last {
            let span = span_of(&raw.start, &raw.kind);
            self.error(span, format!("{path}.start"), "the workload starts after the end", bound.as_str());
        }
        if let Some(until) = until {
            let span = span_of(&raw.until, &raw.kind);
            if until > last {
                self.error(span, format!("{path}.until"), "the workload lasts too long", bound);
            } else if until <= start {
                let message = "the workload ends before it starts";
                self.error(span, format!("{path}.until"), message, "`until` must be later than `start`");
            }
        }
        let only_during = self.only_during(&raw.only_during, path, scenario);
        let kind = self.workload_kind(raw, path, scenario)?;
        self.one_formation(raw, path, scenario, &on, &kind);
        Some(Workload { on, start, until, only_during, kind })
    }

    /// Documents that several nodes write cannot be shared between formations: they would be two, of one name.
    fn one_formation(
        &mut self,
        raw: &RawWorkload,
        path: &str,
        scenario: &Scenario,
        on: &[String],
        kind: &WorkloadKind,
    ) {
        let other = match kind {
            WorkloadKind::Edit { .. } => None,
            WorkloadKind::Delete { contended_by, .. } => contended_by.as_ref(),
            WorkloadKind::Command { to, .. } => Some(to),
            _ => return,
        };
        let formation = |name: &String| {
            let found = scenario.groups().find(|(_, group)| group.name == *name);
            found.and_then(|(_, group)| group.formation.as_deref())
        };
        let mut names = on.iter().chain(other);
        let first = names.next().map(formation);
        if names.any(|name| Some(formation(name)) != first) {
            let message = "the groups of the workload are of several formations, and share documents";
            self.error(raw.on.span(), format!("{path}.on"), message, "one workload for each formation");
        }
    }

    fn workload_kind(&mut self, raw: &RawWorkload, path: &str, scenario: &Scenario) -> Option<WorkloadKind> {
        let kind = raw.kind.get_ref().as_str();
        if !KINDS.contains(&kind) {
            self.unknown(raw.kind.span(), &format!("{path}.kind"), "workload", kind, KINDS);
            return None;
        }
        let (shared, delete, burst) = (kind == "edit" || kind == "delete", kind == "delete", kind == "burst");
        let agent = kind == "agent";
        let given = [
            ("collection", raw.collection.as_ref().map(Spanned::span), kind != "heartbeat" && !agent),
            ("documents", raw.documents.as_ref().map(Spanned::span), shared || burst || agent),
            ("versions", raw.versions.as_ref().map(Spanned::span), burst),
            ("to", raw.to.as_ref().map(Spanned::span), kind == "command"),
            ("from", raw.from.as_ref().map(Spanned::span), delete),
            ("away_from", raw.away_from.as_ref().map(Spanned::span), agent),
            ("away_for", raw.away_for.as_ref().map(Spanned::span), agent),
            ("only_during", raw.only_during.as_ref().map(Spanned::span), !agent),
            ("contended_by", raw.contended_by.as_ref().map(Spanned::span), delete),
        ];
        for (field, span, allowed) in given {
            if let (Some(span), false) = (span, allowed) {
                let message = format!("`{field}` means nothing in a workload of kind `{kind}`");
                self.error(span, format!("{path}.{field}"), message, "remove the line, or change `kind`");
            }
        }
        let default = if kind == "heartbeat" { limits::HEARTBEAT_EVERY } else { limits::OPERATION_EVERY };
        let every = self.every(&raw.every, path, default);
        let collection =
            |fallback: &str| raw.collection.as_ref().map_or_else(|| fallback.to_owned(), |name| name.get_ref().clone());
        if let Some(name) = &raw.collection {
            self.collection(name, &format!("{path}.collection"));
        }
        let default = match kind {
            "burst" => limits::BURST_DOCUMENTS,
            "agent" => limits::AGENT_PACKAGES,
            _ => limits::SHARED_DOCUMENTS,
        };
        let most = if agent { limits::AGENT_PACKAGES_MAX } else { limits::DOCUMENTS };
        let documents = self.count(&raw.documents, &format!("{path}.documents"), "documents", default, most);
        let versions = self.count(&raw.versions, &format!("{path}.versions"), "versions", 1, limits::VERSIONS);
        let from = self.optional(&raw.from, &format!("{path}.from"));
        if let (Some(from), Some(raw)) = (from, &raw.from)
            && from >= scenario.duration.saturating_sub(scenario.settle)
        {
            let message = "the deletes begin after the end";
            let help = format!("the run ends at {}", format_duration(scenario.duration));
            self.error(raw.span(), format!("{path}.from"), message, help);
        }
        let contended_by = raw.contended_by.as_ref().and_then(|name| {
            let path = format!("{path}.contended_by");
            let known = self.known_group(name.get_ref(), name.span(), &path, scenario);
            known.then(|| name.get_ref().clone())
        });
        let to = match (kind, &raw.to) {
            ("command", None) => {
                let help = "add `to = \"…\"`, the group whose nodes get the commands";
                self.error(raw.kind.span(), format!("{path}.to"), "a `command` needs `to`", help);
                return None;
            }
            (_, Some(name)) if self.known_group(name.get_ref(), name.span(), &format!("{path}.to"), scenario) => {
                name.get_ref().clone()
            }
            _ => String::new(),
        };
        Some(match kind {
            "heartbeat" => WorkloadKind::Heartbeat { every },
            "put" => WorkloadKind::Put { every, collection: collection("tracks") },
            "edit" => WorkloadKind::Edit { every, collection: collection("plans"), documents },
            "burst" => WorkloadKind::Burst { collection: collection("telemetry"), documents, versions, every },
            "command" => WorkloadKind::Command { every, collection: collection("commands"), to },
            "agent" => WorkloadKind::Agent { every, documents, away: self.away(raw, path, scenario)? },
            _ => {
                let collection = collection("orders");
                WorkloadKind::Delete { every, collection, documents, from, contended_by }
            }
        })
    }

    /// When the agents do not answer; `None` after an error.
    fn away(&mut self, raw: &RawWorkload, path: &str, scenario: &Scenario) -> Option<Option<Away>> {
        let from = self.optional(&raw.away_from, &format!("{path}.away_from"));
        let lasts = self.optional(&raw.away_for, &format!("{path}.away_for"));
        let (span, field) = match (&raw.away_from, &raw.away_for) {
            (None, None) => return Some(None),
            (Some(from), None) => (from.span(), "away_from"),
            (_, Some(lasts)) => (lasts.span(), "away_for"),
        };
        let last = scenario.duration.saturating_sub(scenario.settle);
        let path = format!("{path}.{field}");
        match (from, lasts) {
            (Some(from), Some(lasts)) if from + lasts <= last => Some(Some(Away { from, lasts })),
            (Some(_), Some(_)) => {
                let help = format!("they must answer again by {}, when `settle` begins", format_duration(last));
                self.error(span, path, "the agents are away for too long", help);
                None
            }
            _ => {
                self.error(span, path, "half a time", "`away_from` and `away_for` go together");
                None
            }
        }
    }

    fn groups(&mut self, raw: &Spanned<OneOrMany>, path: &str, scenario: &Scenario) -> Vec<String> {
        let path = format!("{path}.on");
        let names = match raw.get_ref() {
            OneOrMany::One(name) => std::slice::from_ref(name),
            OneOrMany::Many(names) => names.as_slice(),
        };
        if names.is_empty() {
            self.error(raw.span(), path.as_str(), "no group runs the workload", "name at least one group");
        }
        for (position, name) in names.iter().enumerate() {
            let span = self.within(raw.span(), name);
            self.known_group(name, span.clone(), &path, scenario);
            if names[..position].contains(name) {
                let message = format!("group `{name}` is named twice");
                self.error(span, path.as_str(), message, "name each group once");
            }
        }
        names.to_vec()
    }

    /// Where a quoted text stands inside a span: untagged values carry no position of their own.
    fn within(&self, span: Range<usize>, text: &str) -> Range<usize> {
        let quoted = format!("\"{text}\"");
        let offset = self.source.and_then(|source| source.get(span.clone())?.find(&quoted));
        offset.map_or(span.clone(), |offset| span.start + offset..span.start + offset + quoted.len())
    }

    fn every(&mut self, raw: &Field<String>, path: &str, default: Duration) -> Duration {
        let Some(every) = self.optional(raw, &format!("{path}.every")) else {
            return default;
        };
        if every < limits::EVERY_MIN {
            let help = format!("at least {}", format_duration(limits::EVERY_MIN));
            let span = raw.as_ref().map_or(0..0, Spanned::span);
            self.error(span, format!("{path}.every"), "that is too often", help);
            return default;
        }
        every
    }

    fn count(&mut self, raw: &Field<i64>, path: &str, what: &str, default: u32, most: u32) -> u32 {
        let Some(raw) = raw else {
            return default;
        };
        match u32::try_from(*raw.get_ref()) {
            Ok(count) if (1..=most).contains(&count) => count,
            _ => {
                let message = format!("{} {what} are out of bounds", raw.get_ref());
                self.error(raw.span(), path, message, format!("1 to {most}"));
                default
            }
        }
    }

    fn only_during(&mut self, raw: &Field<String>, path: &str, scenario: &Scenario) -> Option<String> {
        let raw = raw.as_ref()?;
        let path = format!("{path}.only_during");
        let id = raw.get_ref();
        if !scenario.faults.iter().any(|fault| fault.id == *id && fault.kind.begins()) {
            let known = scenario.faults.iter().filter(|fault| fault.kind.begins());
            self.unknown(raw.span(), &path, "fault", id, known.map(|fault| fault.id.as_str()));
            return None;
        }
        if scenario.fault_windows(id).is_none() {
            let message = format!("nobody can know beforehand when `{id}` happens");
            let help = "a workload can follow only faults that begin and end at times, not on convergence";
            self.error(raw.span(), path, message, help);
            return None;
        }
        Some(id.clone())
    }
}

fn span_of(field: &Field<String>, fallback: &Spanned<String>) -> Range<usize> {
    field.as_ref().map_or(fallback.span(), Spanned::span)
}
