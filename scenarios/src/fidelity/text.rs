//! What a person reads, on a terminal and in a pull request.

use super::{Component, Fidelity, PhaseRows, Row, Standing};
use crate::report::{Paint, WIDTH, cell, line, plural, push, table, wrap};

/// Components that are named of one difference.
const NAMED: usize = 4;

impl Standing {
    /// For people.
    pub const fn word(self) -> &'static str {
        match self {
            Standing::Within => "within",
            Standing::TooFew => "too few",
            Standing::Explained => "explained",
            Standing::Tail => "tail",
            Standing::Outside => "OUTSIDE",
        }
    }
}

impl Fidelity {
    /// For a terminal.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        line(&mut out, &paint.bold(&self.scenario));
        wrap(&self.purpose, WIDTH).iter().for_each(|row| line(&mut out, &paint.dim(row)));
        line(
            &mut out,
            &format!("seed {} · predicted by {} · held against {}", self.seed, self.sim.name, self.real.name),
        );
        if let Some(precision) = &self.real.precision {
            wrap(&precision.to_string(), WIDTH).iter().for_each(|row| line(&mut out, row));
        }
        for phase in &self.phases {
            line(&mut out, &format!("\n{}", paint.bold(&phase.title())));
            if phase.rows.is_empty() {
                line(&mut out, "  nothing that both sides measured");
                continue;
            }
            let mut table = table(["figure", "predicted", "measured", "error", "band", ""], 4);
            for row in &phase.rows {
                table.add_row(row.cells());
            }
            push(&mut out, &table);
            for row in phase.rows.iter().filter(|row| !row.components.is_empty()) {
                wrap(&row.why(), WIDTH - 4).iter().for_each(|row| line(&mut out, &format!("    {row}")));
            }
        }
        if !self.unmatched.is_empty() {
            let told = format!("on one side only: {}", self.unmatched.join(", "));
            out.push('\n');
            wrap(&told, WIDTH).iter().for_each(|row| line(&mut out, row));
        }
        line(&mut out, &format!("\n{}", self.summary(paint)));
        out
    }

    /// One line.
    fn summary(&self, paint: Paint) -> String {
        let told = [Standing::Within, Standing::Explained, Standing::Tail, Standing::TooFew, Standing::Outside].map(
            |standing| {
                let rows = self.rows(standing);
                (rows > 0).then(|| format!("{rows} {}", standing.word()))
            },
        );
        let mut told: Vec<String> = told.into_iter().flatten().collect();
        if self.sim.verdict != self.real.verdict {
            told.push("another verdict".to_owned());
        }
        let (sim, real) = (self.sim.verdict, self.real.verdict);
        let verdicts = format!("{} > {}", paint.verdict(sim, sim.word()), paint.verdict(real, real.word()));
        let rows: usize = self.phases.iter().map(|phase| phase.rows.len()).sum();
        let good = if self.holds() { "as predicted" } else { "NOT AS PREDICTED" };
        format!("{good}: {verdicts}, {}: {}", plural(rows as u64, "figure"), told.join(", "))
    }
}

impl PhaseRows {
    pub(super) fn title(&self) -> String {
        format!("{}  {} to {}", self.name, self.from, self.until)
    }
}

impl Row {
    pub(super) fn cells(&self) -> Vec<String> {
        let error = self.error().map_or_else(|| "-".to_owned(), |error| format!("{:+.1} %", error * 100.0));
        vec![
            self.measure.clone(),
            self.unit.show(self.sim),
            self.unit.show(self.real),
            error,
            format!("± {}", self.unit.show(self.allowed)),
            self.standing.word().to_owned(),
        ]
    }

    /// `sync latency p50: +3.10 ms = commits on the way +2.60 ms, the rest +0.50 ms`, the greatest first.
    pub(super) fn why(&self) -> String {
        let signed = |value: f64| {
            let sign = if value < 0.0 { '-' } else { '+' };
            format!("{sign}{}", self.unit.show(value.abs()))
        };
        let mut components: Vec<&Component> = self.components.iter().filter(|component| component.known).collect();
        components.sort_by(|a, b| b.difference().abs().total_cmp(&a.difference().abs()));
        let (named, others) = components.split_at(components.len().min(NAMED));
        let mut parts: Vec<String> =
            named.iter().map(|component| format!("{} {}", component.name, signed(component.difference()))).collect();
        if !others.is_empty() {
            let sum: f64 = others.iter().map(|component| component.difference()).sum();
            parts.push(format!("{} {}", plural(others.len() as u64, "other part"), signed(sum)));
        }
        let rest = self.components.iter().filter(|component| !component.known);
        parts.extend(rest.map(|rest| format!("{} {}", rest.name, signed(rest.difference()))));
        format!("{}: {} = {}", self.measure, signed(self.real - self.sim), parts.join(", "))
    }
}

/// For a pull request: a line for each scenario, then its phases.
pub fn markdown(all: &[Fidelity]) -> String {
    let good = all.iter().filter(|one| one.holds()).count();
    let mut out = format!("## {good} of {} as predicted\n\n", plural(all.len() as u64, "scenario"));
    for one in all {
        let purpose = cell(&one.purpose);
        line(&mut out, &format!("### {}\n\n{purpose}\n\n{}", cell(&one.scenario), one.summary(Paint::Plain)));
        out.push('\n');
        line(&mut out, &format!("| {} to {} | predicted | measured | error | band | |", one.sim.name, one.real.name));
        line(&mut out, "|---|---:|---:|---:|---:|---|");
        for phase in &one.phases {
            line(&mut out, &format!("| **{}** | | | | | |", cell(&phase.title())));
            for row in &phase.rows {
                let cells: Vec<String> = row.cells().iter().map(|text| cell(text)).collect();
                line(&mut out, &format!("| {} |", cells.join(" | ")));
            }
        }
        let split = one.phases.iter().flat_map(|phase| phase.rows.iter().map(move |row| (phase, row)));
        let mut split = split.filter(|(_, row)| !row.components.is_empty()).peekable();
        if split.peek().is_some() {
            out.push('\n');
        }
        for (phase, row) in split {
            line(&mut out, &format!("- {}, {}", cell(&phase.name), cell(&row.why())));
        }
        if !one.unmatched.is_empty() {
            line(&mut out, &format!("\nOn one side only: {}.", cell(&one.unmatched.join(", "))));
        }
        out.push('\n');
    }
    out
}
