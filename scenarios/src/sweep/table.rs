//! What a person reads.

use std::collections::BTreeMap;

use super::Sweep;
use crate::check::Verdict;
use crate::report::{Paint, WIDTH, line, plural, push, span, table, wrap};

/// Seeds that did not pass and are listed; of the others only the number is told.
const BAD_SEEDS: usize = 20;

pub(super) fn render(sweep: &Sweep, verdict: Verdict, paint: Paint) -> String {
    let mut out = String::new();
    let scenario = &sweep.scenario;
    line(&mut out, &paint.bold(&scenario.name));
    wrap(&scenario.purpose, WIDTH).iter().for_each(|row| line(&mut out, &paint.dim(row)));
    let seeds = match (sweep.runs.first(), sweep.runs.last()) {
        (Some(first), Some(last)) => format!("seeds {} to {}", first.seed, last.seed),
        _ => "no seeds".to_owned(),
    };
    let runs = plural(sweep.runs.len() as u64, "run");
    let (length, world) = (span(scenario.duration), &sweep.world);
    line(&mut out, &format!("{seeds} · world {world} · {runs} of {length} of scenario time"));
    line(&mut out, &format!("\n{}", paint.bold(&format!("Figures over {}", plural(sweep.runs.len() as u64, "seed")))));
    spreads(&mut out, sweep);
    line(&mut out, &format!("\n{}", paint.bold("Verdicts")));
    verdicts(&mut out, sweep, paint);
    let word = paint.verdict(verdict, verdict.word());
    let breaches: Vec<String> =
        sweep.spreads().into_iter().filter(|spread| !spread.holds()).map(|spread| spread.name).collect();
    let why = match (verdict, breaches.as_slice()) {
        (Verdict::SloBreach, names) => format!(": beyond the bound at p99: {}", names.join(", ")),
        _ => String::new(),
    };
    line(&mut out, &format!("\n{word}  {}{why}", plural(sweep.runs.len() as u64, "seed")));
    out
}

fn spreads(out: &mut String, sweep: &Sweep) {
    let mut table = table(["figure", "bound", "min", "p50", "p99", "max", "beyond"], 6);
    for spread in sweep.spreads() {
        let show = |value: f64| spread.unit.show(value);
        let bound = spread.limit.map_or_else(|| "-".to_owned(), show);
        let beyond = match spread.limit {
            Some(_) => spread.late.to_string(),
            None => String::new(),
        };
        let [min, p50, p99, max] = [spread.min, spread.p50, spread.p99, spread.max].map(show);
        table.add_row([spread.name.clone(), bound, min, p50, p99, max, beyond]);
    }
    push(out, &table);
}

fn verdicts(out: &mut String, sweep: &Sweep, paint: Paint) {
    let mut counts: BTreeMap<Verdict, u64> = BTreeMap::new();
    sweep.runs.iter().for_each(|run| *counts.entry(run.verdict).or_default() += 1);
    for (verdict, number) in counts.iter().rev() {
        let word = paint.verdict(*verdict, &format!("{:<16}", verdict.word()));
        line(out, &format!("  {word} {}", plural(*number, "seed")));
    }
    let bad: Vec<_> = sweep.bad().collect();
    for run in bad.iter().take(BAD_SEEDS) {
        let word = paint.verdict(run.verdict, run.verdict.word());
        let text = format!("seed {}  {word}  {}", run.seed, run.failed.join(", "));
        wrap(&text, WIDTH - 4).iter().for_each(|row| line(out, &format!("    {row}")));
        line(out, &format!("      reproduce: {}", paint.bold(&run.reproduce)));
    }
    if bad.len() > BAD_SEEDS {
        line(out, &format!("    … and {} more", bad.len() - BAD_SEEDS));
    }
}
