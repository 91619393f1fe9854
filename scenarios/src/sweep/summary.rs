//! Several scenarios at a glance: a row for each, and every run that did not pass.

use super::Sweep;
use crate::check::Verdict;
use crate::report::{Paint, WIDTH, line, plural, table, wrap};

/// Bad runs that are listed; of the others only the number is told.
const BAD_RUNS: usize = 40;

/// For a terminal; with each sweep its verdict, and the gravest of them.
pub fn summary(sweeps: &[(&Sweep, Verdict)], verdict: Verdict, paint: Paint) -> String {
    let mut out = String::new();
    let mut table = table(["scenario", "runs", "passed", "late", "failed", "other", "verdict"], 5);
    let number = |sweep: &Sweep, of: &dyn Fn(Verdict) -> bool| sweep.runs.iter().filter(|run| of(run.verdict)).count();
    let mut runs = 0;
    for (sweep, verdict) in sweeps {
        runs += sweep.runs.len();
        let passed = number(sweep, &|verdict| verdict == Verdict::Pass);
        let late = number(sweep, &|verdict| verdict == Verdict::SloBreach);
        let failed = number(sweep, &|verdict| verdict == Verdict::Fail);
        let other = sweep.runs.len() - passed - late - failed;
        let numbers = [sweep.runs.len(), passed, late, failed, other].map(|number| number.to_string());
        let [all, passed, late, failed, other] = numbers;
        let name = sweep.scenario.name.clone();
        table.add_row([name, all, passed, late, failed, other, verdict.word().to_owned()]);
    }
    for (position, row) in table.to_string().lines().enumerate() {
        line(&mut out, &if position == 0 { paint.bold(row.trim_end()) } else { row.trim_end().to_owned() });
    }
    let bad: Vec<_> = sweeps.iter().flat_map(|(sweep, _)| sweep.bad().map(|run| (&sweep.scenario.name, run))).collect();
    if !bad.is_empty() {
        line(&mut out, &format!("\n{}", paint.bold("Not passed")));
    }
    for (name, run) in bad.iter().take(BAD_RUNS) {
        let word = paint.verdict(run.verdict, run.verdict.word());
        let text = format!("{name} seed {}  {word}  {}", run.seed, run.failed.join(", "));
        wrap(&text, WIDTH - 4).iter().for_each(|row| line(&mut out, &format!("  {row}")));
        line(&mut out, &format!("    reproduce: {}", paint.bold(&run.reproduce)));
    }
    if bad.len() > BAD_RUNS {
        line(&mut out, &format!("  … and {} more", bad.len() - BAD_RUNS));
    }
    let word = paint.verdict(verdict, verdict.word());
    let (runs, of) = (plural(runs as u64, "run"), plural(sweeps.len() as u64, "scenario"));
    line(&mut out, &format!("\n{word}  {runs} of {of}"));
    out
}
