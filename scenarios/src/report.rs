//! What a person, or a program, is told about a run.
//!
//! [`Report::text`] is for a terminal 100 columns wide; [`Report::json`] has the same content with
//! documented names. Colours are the caller's choice: [`Paint::Plain`] writes none.

mod figures;
mod format;
mod json;
#[cfg(test)]
mod tests;
mod timeline;

use std::fmt::Write;

use anstyle::{AnsiColor, Style};

pub(crate) use format::wrap;
pub use format::{bytes, count, plural, span};
pub use json::JsonReport;

use crate::check::{self, CheckResult, Verdict};
use crate::figures::{Figures, measure};
use crate::model::Scenario;
use crate::record::RunRecord;
use crate::sweep::{Measure, measures};

/// Width of a text report.
pub const WIDTH: usize = 100;

/// Whether to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// No escape codes.
    Plain,
    /// ANSI colours.
    Colour,
}

impl Paint {
    fn paint(self, style: Style, text: &str) -> String {
        match self {
            Paint::Plain => text.to_owned(),
            Paint::Colour => format!("{style}{text}{style:#}"),
        }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint(Style::new().bold(), text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint(Style::new().dimmed(), text)
    }

    pub(crate) fn verdict(self, verdict: Verdict, text: &str) -> String {
        let colour = match verdict {
            Verdict::Pass => AnsiColor::Green,
            Verdict::Fail | Verdict::Nondeterministic => AnsiColor::Red,
            Verdict::SloBreach | Verdict::Inconclusive | Verdict::Vacuous => AnsiColor::Yellow,
            Verdict::InfraError => AnsiColor::Magenta,
        };
        self.paint(Style::new().bold().fg_color(Some(colour.into())), text)
    }
}

/// A judged run.
#[derive(Debug, Clone)]
pub struct Report<'a> {
    /// What happened.
    pub record: &'a RunRecord,
    /// What was measured.
    pub figures: Figures,
    /// What was checked.
    pub checks: Vec<CheckResult>,
    /// The whole.
    pub verdict: Verdict,
    /// The figures one by one, to be compared with those of other runs.
    pub measures: Vec<Measure>,
}

impl<'a> Report<'a> {
    /// Measures and judges a run.
    pub fn of(scenario: &Scenario, record: &'a RunRecord) -> Self {
        let figures = measure(record);
        let checks = check::evaluate(scenario, record, &figures);
        let verdict = check::overall(&checks);
        let measures = measures(&scenario.expect, &figures);
        Report { record, figures, checks, verdict, measures }
    }

    /// Adds the result of a check that looks at more than one run, such as
    /// [`check::same_trace`].
    pub fn add(&mut self, result: CheckResult) {
        self.checks.push(result);
        self.verdict = check::overall(&self.checks);
    }

    /// What to type to see the same run again.
    pub fn reproduce(&self) -> String {
        let meta = &self.record.meta;
        format!("ddil run {} --seed {}", meta.source, meta.seed)
    }

    /// For a terminal.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        self.header(&mut out, paint);
        heading(&mut out, paint, "What happened");
        out.push_str(&timeline::render(self.record, &self.figures, paint));
        heading(&mut out, paint, "Verdict");
        for result in &self.checks {
            self.check(&mut out, paint, result);
        }
        heading(&mut out, paint, "Figures");
        out.push_str(&figures::render(self.record, &self.figures, paint));
        self.footer(&mut out, paint);
        out
    }

    fn header(&self, out: &mut String, paint: Paint) {
        let (record, meta) = (self.record, &self.record.meta);
        let nodes = record.topology.nodes.len();
        let mut clusters: Vec<&str> = record.topology.groups.iter().map(|group| group.cluster.as_str()).collect();
        clusters.dedup();
        line(out, &paint.bold(&meta.scenario));
        for row in format::wrap(&meta.purpose, WIDTH) {
            line(out, &paint.dim(&row));
        }
        let world = match meta.engine.as_str() {
            "" => meta.world.clone(),
            engine => format!("{}/{engine}", meta.world),
        };
        line(
            out,
            &format!(
                "seed {} · world {world} · {} in {} · {} of scenario time in {}",
                meta.seed,
                plural(nodes as u64, "node"),
                plural(clusters.len() as u64, "cluster"),
                span(meta.duration.as_duration()),
                span(record.wall)
            ),
        );
    }

    fn check(&self, out: &mut String, paint: Paint, result: &CheckResult) {
        let mark = if result.verdict == Verdict::Pass { "✔" } else { "✘" };
        let word = paint.verdict(result.verdict, &format!("{mark} {:<12}", result.verdict));
        // A verdict longer than its column pushes the rest; the two such words are rare enough.
        let indent = 2 + 2 + 12 + 1 + 24 + 1;
        let mut rows = format::wrap(&result.detail, WIDTH - indent).into_iter();
        line(out, &format!("  {word} {:<24} {}", result.name, rows.next().unwrap_or_default()));
        rows.for_each(|row| line(out, &format!("{:indent$}{row}", "")));
        for finding in &result.evidence {
            let mut rows = format::wrap(finding, WIDTH - 8).into_iter();
            line(out, &format!("      {} {}", paint.dim("·"), rows.next().unwrap_or_default()));
            rows.for_each(|row| line(out, &format!("        {row}")));
        }
    }

    fn footer(&self, out: &mut String, paint: Paint) {
        out.push('\n');
        if self.verdict != Verdict::Pass {
            for (node, lines) in &self.record.logs {
                heading(out, paint, &format!("Last log lines of {node}"));
                lines.iter().for_each(|text| line(out, &format!("  {text}")));
            }
        }
        if let Some(hash) = &self.record.trace_hash {
            line(out, &format!("trace {hash}"));
        }
        let word = paint.verdict(self.verdict, self.verdict.word());
        if self.verdict == Verdict::Pass {
            line(out, &format!("{word}  {} checks", self.checks.len()));
            return;
        }
        let bad = self.checks.iter().filter(|result| result.verdict != Verdict::Pass).count();
        line(out, &format!("{word}  {bad} of {} checks, seed {}", self.checks.len(), self.record.meta.seed));
        line(out, &format!("reproduce: {}", paint.bold(&self.reproduce())));
    }
}

fn heading(out: &mut String, paint: Paint, title: &str) {
    line(out, &format!("\n{}", paint.bold(title)));
}

fn line(out: &mut String, text: &str) {
    writeln!(out, "{}", text.trim_end()).expect("invariant: writing to a String cannot fail");
}
