//! From what was written to what can be run: the only way to a [`Scenario`], for files and for the
//! builder. Goes on after an error, so that one pass reports everything that is wrong.

mod expect;
mod faults;
mod link;
mod topology;
mod unknown;
mod workloads;

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::error::{Diagnostic, Location, ScenarioError};
use super::raw::{Field, RawScenario};
use super::units::{DURATION_HELP, format_duration, parse_duration};
use super::{LinkSchedule, Peering, Scenario, Trace, builder, write};
use crate::limits;
use crate::plan;
use crate::suggest::closest;

pub(super) use faults::fault_windows;

/// Gives the text of a file beside the scenario, or says why it cannot.
type Files<'a> = &'a dyn Fn(&str) -> Result<String, String>;

/// Every kind of fault, with the fields that it takes besides `at` and `when`.
pub(crate) fn fault_kinds() -> impl Iterator<Item = (&'static str, Vec<&'static str>)> {
    faults::kinds()
}

/// Every kind of workload.
pub(crate) fn workload_kinds() -> impl Iterator<Item = &'static str> {
    workloads::KINDS.into_iter()
}

/// Every way of peering.
pub(crate) fn peerings() -> impl Iterator<Item = &'static str> {
    topology::PEERINGS.into_iter().map(Peering::name)
}

pub(super) fn parse(file: &str, text: &str, files: Files<'_>) -> Result<Scenario, ScenarioError> {
    let mut lower = Lower { source: Some(text), files, run_length: limits::DURATION_MAX, diagnostics: Vec::new() };
    if text.len() > limits::FILE_BYTES {
        let message = format!("the file has {} bytes", text.len());
        lower.error(0..0, "", message, format!("at most {} are read", limits::FILE_BYTES));
        return Err(lower.failed(file));
    }
    let mut read = text.to_owned();
    loop {
        let error = match toml::from_str::<RawScenario>(&read) {
            Ok(raw) => return lower.finish(file, &raw),
            Err(error) => error,
        };
        // The field that an unknown one was meant to be is missing for that reason.
        if !lower.explained(&error) {
            lower.syntax(text, &error);
        }
        if lower.diagnostics.len() >= limits::DIAGNOSTICS || !unknown::blank_out(&mut read, &error) {
            return Err(lower.failed(file));
        }
    }
}

pub(super) fn validate(scenario: &Scenario) -> Result<Scenario, ScenarioError> {
    let traces = traces(scenario);
    // What the traces of a scenario that was built in Rust say is in the scenario.
    let files = |path: &str| {
        let found = traces.iter().find(|trace| trace.path() == path);
        found.map(|trace| trace.text().to_owned()).ok_or_else(|| "it is not in the scenario".to_owned())
    };
    let lower = Lower { source: None, files: &files, run_length: limits::DURATION_MAX, diagnostics: Vec::new() };
    lower.finish("<builder>", &write::raw(scenario))
}

fn traces(scenario: &Scenario) -> Vec<&Trace> {
    let mut traces = Vec::new();
    for link in &scenario.links {
        let shapes = [Some(&link.shape), link.forward.as_deref(), link.back.as_deref()];
        for schedule in shapes.into_iter().flatten().filter_map(|shape| shape.schedule.as_ref()) {
            if let LinkSchedule::Trace(trace) = schedule {
                traces.push(trace);
            }
        }
    }
    traces
}

struct Lower<'a> {
    source: Option<&'a str>,
    files: Files<'a>,
    /// Known once the duration has been read.
    run_length: Duration,
    diagnostics: Vec<Diagnostic>,
}

impl Lower<'_> {
    fn error(
        &mut self,
        span: Range<usize>,
        path: impl Into<String>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let help: String = help.into();
        self.diagnostics.push(Diagnostic {
            location: self.source.map(|source| Location::of(source, span)),
            path: path.into(),
            message: message.into(),
            help: (!help.is_empty()).then_some(help),
        });
    }

    fn failed(mut self, file: &str) -> ScenarioError {
        self.diagnostics.sort_by_key(|diagnostic| diagnostic.location.as_ref().map(|at| (at.line, at.column)));
        ScenarioError { file: file.to_owned(), diagnostics: self.diagnostics }
    }

    /// A missing field that an unknown one was taken for already.
    fn explained(&self, error: &toml::de::Error) -> bool {
        let Some(missing) = error.message().strip_prefix("missing field ") else { return false };
        let help = format!("did you mean {missing}?");
        self.diagnostics.iter().any(|diagnostic| diagnostic.help.as_deref() == Some(&help))
    }

    /// What the TOML reader itself refused: syntax, types, unknown and missing fields.
    fn syntax(&mut self, text: &str, error: &toml::de::Error) {
        let span = error.span().unwrap_or(0..0);
        let message = error.message().trim().replace('\n', ": ");
        let table = text[..span.start.min(text.len())]
            .lines()
            .rev()
            .chain(text[span.start.min(text.len())..].lines().next())
            .find_map(|line| line.trim().strip_prefix('[')?.split(']').next())
            .map(|header| header.trim_matches('[').to_owned());
        let mut quoted = message.split('`').skip(1).step_by(2);
        let help = match (message.starts_with("unknown field"), quoted.next()) {
            (true, Some(wrong)) => match closest(wrong, quoted) {
                Some(right) => format!("did you mean `{right}`?"),
                None => String::new(),
            },
            _ => String::new(),
        };
        self.error(span, table.unwrap_or_default(), message, help);
    }

    fn finish(mut self, file: &str, raw: &RawScenario) -> Result<Scenario, ScenarioError> {
        let name = self.name(&raw.name, "name");
        if raw.purpose.get_ref().trim().is_empty() || raw.purpose.get_ref().contains('\n') {
            let help = "say in one line what the scenario is there to show";
            self.error(raw.purpose.span(), "purpose", "the purpose must be one line", help);
        }
        let duration = self.read_run_length(&raw.duration);
        self.run_length = duration;
        let settle = match &raw.settle {
            Some(settle) => self.duration(settle, "settle").unwrap_or_default(),
            None => builder::default_settle(duration),
        };
        if settle >= duration {
            let span = raw.settle.as_ref().map_or(raw.duration.span(), Spanned::span);
            let message = "the settle time leaves no time to write";
            self.error(span, "settle", message, "it must be shorter than the duration");
        }
        let seed = match &raw.seed {
            None => 1,
            Some(seed) => u64::try_from(*seed.get_ref()).unwrap_or_else(|_| {
                let message = format!("{} is not a seed", seed.get_ref());
                self.error(seed.span(), "seed", message, "0 to 9223372036854775807");
                0
            }),
        };
        let mut scenario = Scenario {
            name,
            purpose: raw.purpose.get_ref().clone(),
            duration,
            settle: settle.min(duration),
            seed,
            clusters: Vec::new(),
            links: Vec::new(),
            workloads: Vec::new(),
            faults: Vec::new(),
            expect: self.expect(&raw.expect),
        };
        self.clusters(raw, &mut scenario);
        self.links(raw, &mut scenario);
        self.faults(raw, &mut scenario);
        self.workloads(raw, &mut scenario);
        if !self.diagnostics.is_empty() {
            return Err(self.failed(file));
        }
        let operations = plan::estimate(&scenario);
        if operations > limits::OPERATIONS {
            let message = format!("the workloads make about {operations} operations");
            let help = format!("at most {} are run; raise `every` or shorten the run", limits::OPERATIONS);
            let first = raw.workload.first().map_or(0..0, Spanned::span);
            self.error(first, "workload", message, help);
            return Err(self.failed(file));
        }
        Ok(scenario)
    }

    fn read_run_length(&mut self, raw: &Spanned<String>) -> Duration {
        let fallback = limits::DURATION_MAX;
        let Some(duration) = self.duration(raw, "duration") else {
            return fallback;
        };
        if duration < limits::DURATION_MIN || duration > limits::DURATION_MAX {
            let message = format!("a run of {} is out of bounds", raw.get_ref());
            let (min, max) = (limits::DURATION_MIN, limits::DURATION_MAX);
            let help = format!("{} to {}", format_duration(min), format_duration(max));
            self.error(raw.span(), "duration", message, help);
            return fallback;
        }
        duration
    }

    /// A name that is a DNS label, as the nodes of real clusters need.
    fn name(&mut self, raw: &Spanned<String>, path: &str) -> String {
        let name = raw.get_ref();
        let good = name.starts_with(|first: char| first.is_ascii_lowercase())
            && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && !name.ends_with('-')
            && name.len() <= limits::NAME_CHARS;
        if !good {
            let help = format!(
                "lower-case letters, digits and `-`, beginning with a letter, at most {} characters",
                limits::NAME_CHARS
            );
            self.error(raw.span(), path, format!("`{name}` is not a name"), help);
        }
        name.clone()
    }

    fn duration(&mut self, raw: &Spanned<String>, path: &str) -> Option<Duration> {
        let parsed = parse_duration(raw.get_ref());
        if parsed.is_none() {
            let message = format!("`{}` is not a duration", raw.get_ref());
            self.error(raw.span(), path, message, DURATION_HELP);
        }
        parsed
    }

    fn optional(&mut self, raw: &Field<String>, path: &str) -> Option<Duration> {
        raw.as_ref().and_then(|raw| self.duration(raw, path))
    }

    /// A duration that bounds or spaces something: zero makes no sense.
    fn positive(&mut self, raw: &Field<String>, path: &str) -> Option<Duration> {
        let span = self.optional(raw, path)?;
        if span.is_zero() {
            let at = raw.as_ref().map_or(0..0, Spanned::span);
            self.error(at, path, "zero is not a span of time", DURATION_HELP);
            return None;
        }
        Some(span)
    }

    fn unknown<'b>(
        &mut self,
        span: Range<usize>,
        path: &str,
        what: &str,
        wrong: &str,
        known: impl IntoIterator<Item = &'b str>,
    ) {
        let mut known: Vec<&str> = known.into_iter().collect();
        known.dedup();
        let list = match known.len() {
            0 => format!("there is no {what}"),
            1..=12 => format!("known: {}", known.join(", ")),
            more => format!("known: {}, and {} more", known[..12].join(", "), more - 12),
        };
        let help = match closest(wrong, known.iter().copied()) {
            Some(right) => format!("did you mean `{right}`? {list}"),
            None => list,
        };
        self.error(span, path, format!("unknown {what} `{wrong}`"), help);
    }
}
