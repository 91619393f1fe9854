//! From what was written to what can be run: the only way to a [`Scenario`], for files and for the
//! builder. Goes on after an error, so that one pass reports everything that is wrong.

mod expect;
mod faults;
mod topology;
mod unknown;
mod workloads;

use std::ops::Range;
use std::time::Duration;

use serde_spanned::Spanned;

use super::error::{Diagnostic, Location, ScenarioError};
use super::raw::{Field, RawScenario};
use super::units::{
    BANDWIDTH_HELP, DURATION_HELP, SIZE_HELP, format_duration, parse_bandwidth, parse_duration, parse_size,
};
use super::{LinkShape, Peering, Scenario, builder, write};
use crate::limits;
use crate::plan;
use crate::profiles::Profile;
use crate::suggest::closest;

pub(super) use faults::fault_windows;

/// Every kind of fault, with the fields that it takes besides `at`, `when` and `after`.
pub(crate) fn fault_kinds() -> impl Iterator<Item = (&'static str, &'static [&'static str])> {
    faults::KINDS.into_iter()
}

/// Every kind of workload.
pub(crate) fn workload_kinds() -> impl Iterator<Item = &'static str> {
    workloads::KINDS.into_iter()
}

/// Every way of peering.
pub(crate) fn peerings() -> impl Iterator<Item = &'static str> {
    topology::PEERINGS.into_iter().map(Peering::name)
}

pub(super) fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
    let mut lower = Lower { source: Some(text), diagnostics: Vec::new() };
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
    let lower = Lower { source: None, diagnostics: Vec::new() };
    lower.finish("<builder>", &write::raw(scenario))
}

struct Lower<'a> {
    source: Option<&'a str>,
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
        let duration = self.run_length(&raw.duration);
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

    fn run_length(&mut self, raw: &Spanned<String>) -> Duration {
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

    /// The link fields that a `link` and a `degrade` fault share.
    fn shape(&mut self, raw: &ShapeFields<'_>, path: &str) -> LinkShape {
        let profile = raw.profile.as_ref().and_then(|name| {
            let found = Profile::find(name.get_ref());
            if found.is_none() {
                let known = Profile::ALL.map(Profile::name);
                self.unknown(name.span(), &format!("{path}.profile"), "profile", name.get_ref(), known);
            }
            found
        });
        let latency = self.delay(raw.latency, &format!("{path}.latency"));
        let jitter = self.delay(raw.jitter, &format!("{path}.jitter"));
        let loss = raw.loss.as_ref().map(|loss| {
            if !(0.0..=1.0).contains(loss.get_ref()) {
                let message = format!("a loss of {} is not a probability", loss.get_ref());
                let help = "0.0 (nothing) to 1.0 (everything); 1 % is 0.01";
                self.error(loss.span(), format!("{path}.loss"), message, help);
            }
            *loss.get_ref()
        });
        let bandwidth_bps = raw.bandwidth.as_ref().and_then(|text| {
            let path = format!("{path}.bandwidth");
            let (parse, help) = (parse_bandwidth, BANDWIDTH_HELP);
            self.amount(text, &path, "bandwidth", parse, limits::BANDWIDTH_MIN, help)
        });
        let queue_bytes = raw.queue.as_ref().and_then(|text| {
            let path = format!("{path}.queue");
            self.amount(text, &path, "queue", parse_size, limits::QUEUE_MIN, SIZE_HELP)
        });
        LinkShape { profile, latency, jitter, loss, bandwidth_bps, queue_bytes }
    }

    fn delay(&mut self, raw: &Field<String>, path: &str) -> Option<Duration> {
        let delay = self.optional(raw, path)?;
        if delay > limits::LATENCY_MAX {
            let message = format!("{} is too long for a link", format_duration(delay));
            let help = format!("at most {}", format_duration(limits::LATENCY_MAX));
            self.error(raw.as_ref().map_or(0..0, Spanned::span), path, message, help);
        }
        Some(delay)
    }

    fn amount(
        &mut self,
        raw: &Spanned<String>,
        path: &str,
        what: &str,
        parse: fn(&str) -> Option<u64>,
        least: u64,
        help: &str,
    ) -> Option<u64> {
        let amount = parse(raw.get_ref());
        match amount {
            None => {
                let message = format!("`{}` is not a {what}", raw.get_ref());
                self.error(raw.span(), path, message, help);
            }
            Some(amount) if amount < least => {
                let message = format!("a {what} of `{}` carries no QUIC datagram", raw.get_ref());
                self.error(raw.span(), path, message, format!("at least {least}; {help}"));
            }
            Some(_) => {}
        }
        amount
    }
}

struct ShapeFields<'a> {
    profile: &'a Field<String>,
    latency: &'a Field<String>,
    jitter: &'a Field<String>,
    loss: &'a Field<f64>,
    bandwidth: &'a Field<String>,
    queue: &'a Field<String>,
}
