//! What a person, or a program, is told about a run.
//!
//! [`Report::text`] is for a terminal 100 columns wide; [`Report::json`] has the same content with
//! documented names. Colours are the caller's choice: [`Paint::Plain`] writes none.

mod curves;
mod events;
mod figures;
mod format;
mod html;
mod json;
mod junit;
mod markdown;
mod perfetto;
mod qlog;
mod saved;
#[cfg(test)]
mod tests;
mod timeline;

use std::time::Duration;

use anstyle::{AnsiColor, Style};

pub use format::{bytes, count, plural, span};
pub(crate) use format::{line, push, table, wrap};
pub(crate) use html::escape;
pub use json::JsonReport;
pub use junit::junit;
pub(crate) use markdown::cell;
pub use markdown::markdown;
pub use saved::{SavedError, SavedRun};

use crate::check::{self, CheckResult, Verdict};
use crate::figures::{Figures, measure};
use crate::model::Scenario;
use crate::record::{RunMeta, RunRecord};
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

    /// In the colour of a verdict.
    pub fn verdict(self, verdict: Verdict, text: &str) -> String {
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
    /// Those of the checks that looked at more than this run.
    across: Vec<CheckResult>,
}

/// A judged run without its record, which may be large: for what is told of many runs together.
#[derive(Debug, Clone)]
pub struct Summary {
    /// What was run, where.
    pub meta: RunMeta,
    /// How many nodes.
    pub nodes: usize,
    /// Real time that the run took.
    pub wall: Duration,
    /// Hash over the trace, if the world has one.
    pub trace_hash: Option<String>,
    /// What to type to see the same run again.
    pub reproduce: String,
    /// What was measured.
    pub figures: Figures,
    /// What was checked.
    pub checks: Vec<CheckResult>,
    /// The whole.
    pub verdict: Verdict,
}

impl<'a> Report<'a> {
    /// Measures and judges a run.
    pub fn of(scenario: &Scenario, record: &'a RunRecord) -> Self {
        let judged = record.judged();
        let figures = measure(&judged);
        let checks = check::evaluate(scenario, &judged, &figures);
        let verdict = check::overall(&checks);
        let measures = measures(&scenario.expect, &figures);
        Report { record, figures, checks, verdict, measures, across: Vec::new() }
    }

    /// What summaries over many runs tell of this one.
    pub fn summary(&self) -> Summary {
        Summary {
            meta: self.record.meta.clone(),
            nodes: self.record.topology.nodes.len(),
            wall: self.record.wall,
            trace_hash: self.record.trace_hash.clone(),
            reproduce: self.reproduce(),
            figures: self.figures.clone(),
            checks: self.checks.clone(),
            verdict: self.verdict,
        }
    }

    /// Adds the result of a check that looks at more than one run, such as
    /// [`check::same_trace`].
    pub fn add(&mut self, result: CheckResult) {
        self.checks.push(result.clone());
        self.across.push(result);
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
        let scale = match meta.time_scale {
            1.0 => String::new(),
            scale => format!(", told in {scale} of its time"),
        };
        let told = format!(
            "seed {} · world {world} · {} in {} · {} of scenario time in {}{}{scale}",
            meta.seed,
            plural(nodes as u64, "node"),
            plural(clusters.len() as u64, "cluster"),
            span(meta.duration.as_duration()),
            span(record.wall),
            times_real(meta.duration.as_duration(), record.wall)
        );
        format::wrap(&told, WIDTH).iter().for_each(|row| line(out, row));
        if let Some(precision) = &record.precision {
            format::wrap(&precision.to_string(), WIDTH).iter().for_each(|row| line(out, row));
        }
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

/// `, 512x real time`: how much faster than life a run was; nothing for worlds that take real time.
fn times_real(scenario: Duration, wall: Duration) -> String {
    let factor = scenario.as_secs_f64() / wall.as_secs_f64().max(1e-9);
    match factor {
        factor if factor >= 9.95 => format!(", {}x real time", count(factor.round() as u64)),
        factor if factor >= 1.05 => format!(", {factor:.1}x real time"),
        _ => String::new(),
    }
}

fn heading(out: &mut String, paint: Paint, title: &str) {
    line(out, &format!("\n{}", paint.bold(title)));
}
