//! A summary for a pull request or a chat.

use super::Summary;
use super::figures::{settled, worst};
use super::format::{bytes, count, span};
use crate::check::{CheckResult, Verdict};
use crate::figures::{Cause, Percentiles, Recovery, Settled};

/// One text over some runs: a line for each, the findings of those that did not pass, the figures in folds.
pub fn markdown(runs: &[Summary]) -> String {
    let passed = runs.iter().filter(|run| run.verdict == Verdict::Pass).count();
    let mut out = match runs {
        [one] => format!("## {} {}: {}\n\n", mark(one.verdict), cell(&one.meta.scenario), one.verdict),
        many => format!("## {} of {} scenarios passed\n\n", passed, many.len()),
    };
    out.push_str("| | scenario | verdict | converged | reconnected | connected p50 | p99 | bytes per write | seed |\n");
    out.push_str("|---|---|---|---|---|---|---|---|---|\n");
    for run in runs {
        out.push_str(&row(run));
    }
    for run in runs {
        if run.verdict != Verdict::Pass {
            out.push_str(&findings(run));
        }
    }
    for run in runs {
        out.push_str(&fold(run));
    }
    out
}

fn mark(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Pass => "✅",
        Verdict::Fail | Verdict::Nondeterministic => "❌",
        Verdict::SloBreach | Verdict::Inconclusive | Verdict::Vacuous => "⚠️",
        Verdict::InfraError => "🛠️",
    }
}

fn row(run: &Summary) -> String {
    let (figures, meta) = (&run.figures, &run.meta);
    let last = |of: fn(&Recovery) -> Settled| worst(figures.recoveries.iter().map(of)).map_or("–".to_owned(), settled);
    let latency = |of: &Percentiles, value| if of.count > 0 { span(value) } else { "–".to_owned() };
    let cells = [
        mark(run.verdict).to_owned(),
        cell(&meta.scenario),
        run.verdict.word().to_owned(),
        last(|recovery| recovery.converged),
        last(|recovery| recovery.reconnected),
        latency(&figures.connected, figures.connected.p50),
        latency(&figures.connected, figures.connected.p99),
        figures.bytes_per_operation.map_or_else(|| "–".to_owned(), bytes),
        meta.seed.to_string(),
    ];
    format!("| {} |\n", cells.join(" | "))
}

fn findings(run: &Summary) -> String {
    let mut out = format!("\n### {} {}\n\n", mark(run.verdict), cell(&run.meta.scenario));
    let bad = run.checks.iter().filter(|result| result.verdict != Verdict::Pass);
    for CheckResult { name, verdict, detail, evidence } in bad {
        out.push_str(&format!("- **{}** {verdict}: {}\n", cell(name), cell(detail)));
        evidence.iter().for_each(|finding| out.push_str(&format!("  - {}\n", cell(finding))));
    }
    out.push_str(&format!("\n```console\n{}\n```\n", run.reproduce.replace(['\n', '`'], " ")));
    out
}

fn fold(run: &Summary) -> String {
    let (figures, meta) = (&run.figures, &run.meta);
    let name = cell(&meta.scenario);
    let mut out = format!("\n<details><summary>{name}: figures and {} checks</summary>\n\n", run.checks.len());
    let nodes = count(run.nodes as u64);
    let time = span(meta.duration.as_duration());
    out.push_str(&format!(
        "{}\n\n{nodes} nodes, {time} of scenario time, seed {}.\n\n",
        cell(&meta.purpose),
        meta.seed
    ));
    out.push_str("| sync latency | samples | p50 | p90 | p99 | max |\n|---|---:|---:|---:|---:|---:|\n");
    let kinds = [
        ("connected", &figures.connected),
        ("outage-spanning", &figures.outage),
        ("from the heal", &figures.outage_from_heal),
    ];
    for (name, of) in kinds.into_iter().filter(|(_, of)| of.count > 0) {
        let values = [of.p50, of.p90, of.p99, of.max].map(span).join(" | ");
        out.push_str(&format!("| {name} | {} | {values} |\n", count(of.count)));
    }
    if !figures.recoveries.is_empty() {
        out.push_str("\n| recovery | at | reconnected | converged |\n|---|---:|---:|---:|\n");
    }
    for recovery in figures.recoveries.iter().take(12) {
        let cause = match recovery.cause {
            Cause::Heal => "heal of",
            Cause::Restart => "restart after",
            Cause::Join => "join of",
        };
        let (reconnected, converged) = (settled(recovery.reconnected), settled(recovery.converged));
        out.push_str(&format!(
            "| {cause} {} | {} | {reconnected} | {converged} |\n",
            cell(&recovery.name),
            recovery.at
        ));
    }
    out.push_str("\n| check | verdict | |\n|---|---|---|\n");
    for result in &run.checks {
        out.push_str(&format!("| {} | {} | {} |\n", cell(&result.name), result.verdict, cell(&result.detail)));
    }
    out.push_str("\n</details>\n");
    out
}

/// Text that is shown as it is: neither Markdown nor HTML, on one line, in a cell of a table or not.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            // A mention would tell people of it, a number would link to an issue.
            '@' => out.push_str("&#64;"),
            '#' => out.push_str("&#35;"),
            '\n' | '\r' => out.push(' '),
            '\\' | '`' | '*' | '_' | '[' | ']' | '|' | '~' | '!' => {
                out.push('\\');
                out.push(c);
            }
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Report;
    use crate::testing::good;

    #[test]
    fn a_summary_of_one_run_and_of_two() {
        let (scenario, record) = good();
        let mut broken = record.clone();
        broken.meta.scenario = "a|b<img>".to_owned();
        let key = record.operations.iter().find(|op| op.key.id.starts_with("alpha-0-w2")).unwrap().key.clone();
        broken.finals[2].docs.remove(&key);
        let (one, other) = (Report::of(&scenario, &record), Report::of(&scenario, &broken));
        insta::assert_snapshot!("one", markdown(&[one.summary()]));
        insta::assert_snapshot!("two", markdown(&[one.summary(), other.summary()]));
    }
}
