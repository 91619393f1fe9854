//! The tables.

use std::time::Duration;

use comfy_table::Table;

use super::format::{bytes, count, span, sparkline};
use super::{Paint, line, table};
use crate::figures::{Cause, Direction, Figures, Percentiles, Recovery, Settled};
use crate::record::RunRecord;

/// Columns of the traffic curve.
const CURVE: usize = 72;

pub(super) fn render(record: &RunRecord, figures: &Figures, paint: Paint) -> String {
    let mut out = String::new();
    latency(&mut out, figures);
    recoveries(&mut out, figures);
    directions(&mut out, figures);
    totals(&mut out, record, figures, paint);
    out
}

fn push(out: &mut String, table: &Table) {
    super::push(out, table);
    out.push('\n');
}

fn latency(out: &mut String, figures: &Figures) {
    let mut table = table(["sync latency", "samples", "p50", "p90", "p99", "max", "one way", "p50 ratio"], 7);
    let row = |name: String, of: &Percentiles, one_way: String, ratio: String| {
        let cells = match of.count {
            0 => ["-", "-", "-", "-"].map(str::to_owned),
            _ => [of.p50, of.p90, of.p99, of.max].map(span),
        };
        let mut row = vec![name, count(of.count)];
        row.extend(cells);
        row.extend([one_way, ratio]);
        row
    };
    let plain = |name: &str, of: &Percentiles| row(name.to_owned(), of, String::new(), String::new());
    table.add_row(plain("connected", &figures.connected));
    for pair in &figures.pairs {
        let (a, b) = &pair.between;
        let name = if a == b { format!("  inside {a}") } else { format!("  {a} - {b}") };
        let ratio = pair.p50_ratio.map(|ratio| format!("{ratio:.2} x")).unwrap_or_default();
        table.add_row(row(name, &pair.latency, span(pair.one_way), ratio));
    }
    table.add_row(plain("outage-spanning", &figures.outage));
    table.add_row(plain("  from the heal", &figures.outage_from_heal));
    push(out, &table);
}

fn recoveries(out: &mut String, figures: &Figures) {
    /// A flapping link heals dozens of times: the first ones, then a count.
    const ROWS: usize = 12;
    if figures.recoveries.is_empty() {
        return;
    }
    let mut table = table(["recovery", "at", "first byte", "reconnected", "converged"], 4);
    for recovery in figures.recoveries.iter().take(ROWS) {
        let cause = match recovery.cause {
            Cause::Heal => "heal of",
            Cause::Restart => "restart after",
            Cause::Join => "join of",
        };
        table.add_row([
            format!("{cause} {}", recovery.name),
            recovery.at.to_string(),
            first_byte(figures, recovery),
            settled(recovery.reconnected),
            settled(recovery.converged),
        ]);
    }
    push(out, &table);
    if figures.recoveries.len() > ROWS {
        out.pop();
        line(out, &format!("  … and {} more\n", figures.recoveries.len() - ROWS));
        out.push('\n');
    }
}

/// The later of the directions.
fn first_byte(figures: &Figures, recovery: &Recovery) -> String {
    let of = figures.first_bytes.iter().filter(|first| first.at == recovery.at && first.fault == recovery.name);
    let latest = of.max_by_key(|first| match first.after {
        Settled::After(after) => (0, after),
        Settled::Interrupted { after, .. } => (1, after),
        Settled::Never { .. } => (2, Duration::ZERO),
        Settled::Nothing | Settled::Unmeasured => (0, Duration::ZERO),
    });
    latest.map_or_else(|| "-".to_owned(), |first| settled(first.after))
}

/// What went over each direction; of a single group it is the total again.
fn directions(out: &mut String, figures: &Figures) {
    const ROWS: usize = 12;
    if figures.directions.len() < 2 {
        return;
    }
    let mut table = table(["traffic", "sent", "arrived", "datagrams"], 3);
    for direction in figures.directions.iter().take(ROWS) {
        let Direction { from, to, sent, received } = direction;
        let name = if from == to { format!("inside {from}") } else { format!("{from} to {to}") };
        table.add_row([name, bytes(sent.bytes as f64), bytes(received.bytes as f64), count(sent.datagrams)]);
    }
    push(out, &table);
}

pub(super) fn settled(settled: Settled) -> String {
    match settled {
        Settled::Nothing => "at once".to_owned(),
        Settled::Unmeasured => "-".to_owned(),
        Settled::After(after) => span(after),
        Settled::Interrupted { after, .. } => format!("interrupted at {}", span(after)),
        Settled::Never { pending } => format!("never ({} missing)", count(pending)),
    }
}

/// The worst of some recoveries: whatever never came to an end, else the longest.
pub(super) fn worst(settled: impl Iterator<Item = Settled>) -> Option<Settled> {
    settled.max_by_key(|settled| match settled {
        Settled::Nothing | Settled::Unmeasured => (0, Duration::ZERO),
        Settled::After(after) => (1, *after),
        Settled::Interrupted { after, .. } => (2, *after),
        Settled::Never { .. } => (3, Duration::ZERO),
    })
}

fn totals(out: &mut String, record: &RunRecord, figures: &Figures, paint: Paint) {
    let operations = &figures.operations;
    let mut text = format!("{} acknowledged", count(operations.ok));
    let others = [("refused", operations.refused), ("unknown", operations.unknown), ("skipped", operations.skipped)];
    for (word, number) in others.into_iter().filter(|(_, number)| *number > 0) {
        text.push_str(&format!(", {} {word}", count(number)));
    }
    if figures.never_visible > 0 {
        text.push_str(&format!(", {} never visible at a replica", count(figures.never_visible)));
    }
    line(out, &format!("  operations  {text}"));
    let per_operation = figures.bytes_per_operation.map(|b| format!(", {} per operation", bytes(b)));
    line(
        out,
        &format!(
            "  traffic     {} in {} datagrams, {} of them dropped{}",
            bytes(figures.bytes as f64),
            count(figures.datagrams),
            count(figures.datagrams_dropped),
            per_operation.unwrap_or_default()
        ),
    );
    let curve: Vec<u64> = record.traffic.by_slice.iter().map(|slice| slice.bytes).collect();
    if !curve.is_empty() {
        line(out, &format!("  {}   {}", paint.dim("over time"), sparkline(&curve, CURVE)));
    }
    if let Some(idle) = figures.idle_bytes_per_second {
        line(out, &format!("  idle        {idle:.1} bytes per second and node after the last write settled"));
    }
}
