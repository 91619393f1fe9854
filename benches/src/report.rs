//! What a measurement says: figures, bars, and remarks; for people and as JSON.

use std::fmt;
use std::time::Duration;

use comfy_table::presets::ASCII_BORDERS_ONLY_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::{Deserialize, Serialize};

use crate::stats::{Samples, millis};

/// The outcome of one row of the bar table.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Name of the row.
    pub row: String,
    /// What was measured.
    pub title: String,
    pub figures: Vec<Figure>,
    pub bars: Vec<Bar>,
    /// What a reader should know to trust the figures.
    pub notes: Vec<String>,
    /// Load average over the last minute when it began: other work on the machine.
    pub load_before: String,
}

/// One measured quantity.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    pub what: String,
    pub samples: usize,
    pub unit: String,
    /// The value, or the median of several.
    pub value: f64,
    pub p90: Option<f64>,
    pub p99: Option<f64>,
    pub max: Option<f64>,
}

/// One figure against its bar.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Bar {
    pub what: String,
    pub measured: f64,
    pub limit: f64,
    /// Whether more is better.
    pub at_least: bool,
    pub unit: String,
    pub pass: bool,
}

impl Report {
    pub(crate) fn new(row: impl Into<String>, title: impl Into<String>) -> Self {
        let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let load_before = load.split(' ').next().unwrap_or_default().to_owned();
        Self { row: row.into(), title: title.into(), figures: vec![], bars: vec![], notes: vec![], load_before }
    }

    /// Whether every bar was held.
    pub(crate) fn holds(&self) -> bool {
        self.bars.iter().all(|bar| bar.pass)
    }

    /// Adds a distribution in milliseconds.
    pub(crate) fn times(&mut self, what: impl Into<String>, samples: &Samples) {
        self.figures.push(Figure {
            what: what.into(),
            samples: samples.len(),
            unit: "ms".into(),
            value: millis(samples.p50()),
            p90: Some(millis(samples.percentile(90))),
            p99: Some(millis(samples.percentile(99))),
            max: Some(millis(samples.percentile(100))),
        });
    }

    /// Adds a single value that `samples` observations went into.
    pub(crate) fn value(&mut self, what: impl Into<String>, samples: usize, value: f64, unit: &str) {
        let (what, unit) = (what.into(), unit.into());
        self.figures.push(Figure { what, samples, unit, value, p90: None, p99: None, max: None });
    }

    /// Bar: no more than this.
    pub(crate) fn at_most(&mut self, what: impl Into<String>, measured: f64, limit: f64, unit: &str) {
        let (what, unit, pass) = (what.into(), unit.into(), measured <= limit);
        self.bars.push(Bar { what, measured, limit, at_least: false, unit, pass });
    }

    /// Bar: no longer than this.
    pub(crate) fn at_most_time(&mut self, what: impl Into<String>, measured: Duration, limit: Duration) {
        self.at_most(what, millis(measured), millis(limit), "ms");
    }

    /// Bar: no less than this.
    pub(crate) fn at_least(&mut self, what: impl Into<String>, measured: f64, limit: f64, unit: &str) {
        let (what, unit, pass) = (what.into(), unit.into(), measured >= limit);
        self.bars.push(Bar { what, measured, limit, at_least: true, unit, pass });
    }

    pub(crate) fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "row {}: {}  (load average before: {})", self.row, self.title, self.load_before)?;
        let mut table = plain(&["measure", "samples", "value or p50", "p90", "p99", "max", ""], 1..6);
        for figure in &self.figures {
            let cell = |value: Option<f64>| value.map(short).unwrap_or_default();
            table.add_row([
                figure.what.clone(),
                figure.samples.to_string(),
                short(figure.value),
                cell(figure.p90),
                cell(figure.p99),
                cell(figure.max),
                figure.unit.clone(),
            ]);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "{}", bars(self.bars.iter().map(|bar| (None, bar))))?;
        for note in &self.notes {
            writeln!(f, "  - {note}")?;
        }
        Ok(())
    }
}

/// All bars of all rows.
pub(crate) fn summary(reports: &[Report]) -> String {
    let all = reports.iter().flat_map(|report| report.bars.iter().map(|bar| (Some(&*report.row), bar)));
    format!("summary\n{}", bars(all))
}

fn bars<'a>(bars: impl Iterator<Item = (Option<&'a str>, &'a Bar)>) -> Table {
    let mut table = plain(&["bar", "measured", "limit", "", "verdict"], 1..3);
    for (row, bar) in bars {
        let sign = if bar.at_least { "≥" } else { "≤" };
        let what = row.map_or(bar.what.clone(), |row| format!("{row}  {}", bar.what));
        let verdict = if bar.pass { "PASS" } else { "MISS" };
        table.add_row([
            what,
            short(bar.measured),
            format!("{sign} {}", short(bar.limit)),
            bar.unit.clone(),
            verdict.to_owned(),
        ]);
    }
    table
}

fn plain(header: &[&str], right: std::ops::Range<usize>) -> Table {
    let mut table = Table::new();
    table.load_style(ASCII_BORDERS_ONLY_CONDENSED).set_header(header.to_vec());
    for column in right {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    table
}

/// Three significant digits or the whole number.
fn short(value: f64) -> String {
    match value.abs() {
        _ if value.fract() == 0.0 => format!("{value:.0}"),
        v if v >= 100.0 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}
