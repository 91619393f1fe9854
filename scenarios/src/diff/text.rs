//! What a person reads, on a terminal and in a pull request.

use std::fmt::Write;

use super::{Diff, FigureDiff, Judgement, ScenarioDiff, VerdictChange};
use crate::report::{Paint, line, plural, push, table};

/// Seeds with another verdict that are listed per scenario.
const VERDICTS: usize = 20;

impl Judgement {
    const fn word(self) -> &'static str {
        match self {
            Judgement::Same => "same",
            Judgement::Better => "better",
            Judgement::Worse => "worse",
            Judgement::Changed => "changed",
        }
    }
}

impl Diff {
    /// For a terminal.
    pub fn text(&self, paint: Paint) -> String {
        let mut out = String::new();
        line(&mut out, &format!("{} > {}", self.old, self.new));
        for scenario in &self.scenarios {
            line(&mut out, &format!("\n{}", paint.bold(&scenario.scenario)));
            line(&mut out, &paint.dim(&scenario.traces()));
            for change in scenario.verdicts.iter().take(VERDICTS) {
                line(&mut out, &format!("  {}", change.told(paint)));
            }
            if scenario.verdicts.len() > VERDICTS {
                line(&mut out, &format!("  … and {} more seeds", scenario.verdicts.len() - VERDICTS));
            }
            let mut table = table(scenario.head(), 3);
            let changed: Vec<&FigureDiff> = scenario.changed().collect();
            for figure in &changed {
                table.add_row(scenario.row(figure));
            }
            if !changed.is_empty() {
                push(&mut out, &table);
            }
            line(&mut out, &format!("  {}", scenario.rest(changed.len())));
        }
        for (side, runs) in [(&self.old, &self.only_old), (&self.new, &self.only_new)] {
            if let Some(first) = runs.first() {
                let runs = plural(runs.len() as u64, "run");
                line(&mut out, &format!("\nonly {side} has {runs}: {} seed {}, …", first.scenario, first.seed));
            }
        }
        line(&mut out, &format!("\n{}", self.summary()));
        out
    }

    /// For a pull request.
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        line(&mut out, &format!("**{}** (`{}` → `{}`)", self.summary(), self.old, self.new));
        for scenario in &self.scenarios {
            line(&mut out, &format!("\n### {}\n\n{}\n", scenario.scenario, scenario.traces()));
            for change in &scenario.verdicts {
                line(&mut out, &format!("- {}", change.told(Paint::Plain)));
            }
            let changed: Vec<&FigureDiff> = scenario.changed().collect();
            if !changed.is_empty() {
                if !scenario.verdicts.is_empty() {
                    out.push('\n');
                }
                line(&mut out, &format!("| {} |", scenario.head().join(" | ")));
                let rules = scenario
                    .head()
                    .iter()
                    .enumerate()
                    .map(|(at, _)| if (1..4).contains(&at) { "---:" } else { "---" })
                    .collect::<Vec<_>>();
                line(&mut out, &format!("| {} |", rules.join(" | ")));
                for figure in &changed {
                    line(&mut out, &format!("| {} |", scenario.row(figure).join(" | ")));
                }
                out.push('\n');
            }
            line(&mut out, &scenario.rest(changed.len()));
        }
        out
    }

    /// One line.
    pub fn summary(&self) -> String {
        let parts = [
            (self.worse_verdicts(), "verdict", "worse"),
            (self.figures(Judgement::Worse), "figure", "worse"),
            (self.figures(Judgement::Better), "figure", "better"),
            (self.figures(Judgement::Changed), "figure", "changed"),
        ];
        let parts = parts.into_iter().filter(|(number, ..)| *number > 0);
        let told: Vec<String> =
            parts.map(|(number, what, how)| format!("{} {how}", plural(number as u64, what))).collect();
        match (told.is_empty(), self.scenarios.iter().all(|of| of.same_traces == of.seeds)) {
            (false, _) => told.join(", "),
            (true, true) => "the same, to the last datagram".to_owned(),
            (true, false) => "no figure changed, though the runs are not the same".to_owned(),
        }
    }
}

impl ScenarioDiff {
    fn changed(&self) -> impl Iterator<Item = &FigureDiff> {
        self.figures.iter().filter(|figure| figure.judgement != Judgement::Same)
    }

    fn traces(&self) -> String {
        let same = match self.same_traces {
            0 if self.seeds == 1 => "another trace".to_owned(),
            1 if self.seeds == 1 => "the same trace".to_owned(),
            same => format!("the same trace on {same}"),
        };
        format!("{} · {same}", plural(self.seeds, "seed"))
    }

    fn head(&self) -> Vec<&'static str> {
        let mut head = vec!["figure", "old", "new", "change", ""];
        if self.seeds > 1 {
            head.push("seeds");
        }
        head
    }

    fn row(&self, figure: &FigureDiff) -> Vec<String> {
        let mut row = vec![
            figure.name.clone(),
            figure.unit.show(figure.old),
            figure.unit.show(figure.new),
            figure.change(),
            figure.judgement.word().to_owned(),
        ];
        if self.seeds > 1 {
            row.push(match (figure.improved, figure.worsened, figure.judgement) {
                (_, changed, Judgement::Changed) if figure.improved == 0 => format!("{changed} changed"),
                (0, worse, _) => format!("{worse} worse"),
                (better, 0, _) => format!("{better} better"),
                (better, worse, _) => format!("{worse} worse, {better} better"),
            });
        }
        row
    }

    fn rest(&self, changed: usize) -> String {
        let same = self.figures.len() - changed;
        let mut text = match changed {
            0 => format!("all {} are the same", plural(same as u64, "figure")),
            _ if same == 0 => "no other figure is on both sides".to_owned(),
            _ if same == 1 => "1 other figure is the same".to_owned(),
            _ => format!("{} are the same", plural(same as u64, "other figure")),
        };
        if !self.unmatched.is_empty() {
            let _ = write!(text, "; on one side only: {}", self.unmatched.join(", "));
        }
        text
    }
}

impl FigureDiff {
    /// `+12.3 %`, or nothing where there is nothing to compare it with.
    fn change(&self) -> String {
        let share = (self.new - self.old) / self.old.abs();
        match share.is_finite() {
            true if share == 0.0 => "-".to_owned(),
            true => format!("{:+.1} %", share * 100.0),
            false => "-".to_owned(),
        }
    }
}

impl VerdictChange {
    fn told(&self, paint: Paint) -> String {
        let word = |verdict: crate::check::Verdict| paint.verdict(verdict, verdict.word());
        let mut text = format!("seed {}  {} > {}", self.seed, word(self.old), word(self.new));
        for (how, checks) in [("broken", &self.broken), ("mended", &self.mended)] {
            if !checks.is_empty() {
                let _ = write!(text, "  {how}: {}", checks.join(", "));
            }
        }
        text
    }
}
