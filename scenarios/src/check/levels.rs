//! Service levels: what `[expect]` asks for, against what was measured.

use std::time::Duration;

use super::{CheckResult, EVIDENCE, Verdict};
use crate::figures::{Cause, Dials, Figures, FirstByte, Reach, Recovery, Settled};
use crate::limits;
use crate::model::{Expect, LatencyLevel, RttBound};
use crate::report::{count, plural, span};

pub(super) fn check(expect: &Expect, figures: &Figures) -> Vec<CheckResult> {
    let mut results = Vec::new();
    if let Some(limit) = expect.converge_within {
        results.push(settled("converge-within", limit, figures, |_| true, |recovery| recovery.converged));
    }
    if let Some(limit) = expect.reconnect_within {
        let healed = |recovery: &Recovery| recovery.cause == Cause::Heal;
        results.push(settled("reconnect-within", limit, figures, healed, |recovery| recovery.reconnected));
    }
    if let Some(limit) = expect.first_byte_within {
        results.push(first_byte(limit, figures));
    }
    if let Some(limit) = expect.connected_within {
        results.push(connected(limit, figures));
    }
    if let Some(limit) = expect.dials_in_first_second_max {
        results.push(dials(limit, figures));
    }
    if let Some(limit) = expect.connected_latency_p50_max_ratio {
        results.push(ratio(limit, figures));
    }
    if let Some(limit) = expect.connected_p99_within {
        let (count, p99) = (figures.connected.count, figures.connected.p99);
        let detail = format!("p99 {} of {count} connected samples (limit {})", span(p99), span(limit));
        results.push(judged("connected-p99-within", count, p99 <= limit, detail));
    }
    if let Some(limit) = expect.bytes_per_operation_max {
        results.push(match figures.bytes_per_operation {
            Some(bytes) => {
                let detail = format!("{bytes:.0} bytes per operation (limit {limit:.0})");
                judged("bytes-per-operation", figures.operations.ok, bytes <= limit, detail)
            }
            None => too_little("bytes-per-operation", "no operation was acknowledged"),
        });
    }
    if let Some(limit) = expect.idle_bytes_per_second_max {
        results.push(match figures.idle_bytes_per_second {
            Some(bytes) => {
                let detail = format!("{bytes:.1} bytes per second and node when idle (limit {limit:.1})");
                judged("idle-bytes", limits::SAMPLES_MIN, bytes <= limit, detail)
            }
            None => too_little("idle-bytes", "the settle time is too short to measure idleness"),
        });
    }
    results.extend(expect.latency.iter().map(|level| latency(level, figures)));
    results
}

fn too_little(name: &str, why: &str) -> CheckResult {
    CheckResult::new(name, Verdict::Inconclusive, why)
}

fn judged(name: &str, samples: u64, good: bool, detail: String) -> CheckResult {
    if samples < limits::SAMPLES_MIN {
        let least = limits::SAMPLES_MIN;
        return too_little(name, &format!("{samples} samples, fewer than {least}: {detail}"));
    }
    CheckResult::new(name, if good { Verdict::Pass } else { Verdict::SloBreach }, detail)
}

/// The worst recovery against the limit. One that the next fault interrupted within the limit says
/// nothing; if none says anything, the level was not tested.
fn settled(
    name: &str,
    limit: Duration,
    figures: &Figures,
    counts: impl Fn(&Recovery) -> bool,
    of: impl Fn(&Recovery) -> Settled,
) -> CheckResult {
    let (mut worst, mut tested, mut late) = (Duration::ZERO, 0, Vec::new());
    for recovery in figures.recoveries.iter().filter(|recovery| counts(recovery)) {
        let (name, at) = (&recovery.name, recovery.at);
        match of(recovery) {
            Settled::Unmeasured => {}
            Settled::Nothing => tested += 1,
            Settled::After(after) => {
                tested += 1;
                worst = worst.max(after);
                if after > limit {
                    late.push(format!("{name} at {at}: took {}", span(after)));
                }
            }
            Settled::Interrupted { after, .. } if after <= limit => {}
            Settled::Interrupted { after, pending } => {
                tested += 1;
                late.push(format!("{name} at {at}: {pending} still missing after {}", span(after)));
            }
            Settled::Never { pending } => {
                tested += 1;
                late.push(format!("{name} at {at}: {pending} still missing at the end"));
            }
        }
    }
    if tested == 0 {
        return too_little(name, "nothing had to recover");
    }
    if late.is_empty() {
        let detail = format!("worst of {tested}: {} (limit {})", span(worst), span(limit));
        return CheckResult::new(name, Verdict::Pass, detail);
    }
    let detail = format!("{} of {tested} took longer than {}", late.len(), span(limit));
    let mut result = CheckResult::new(name, Verdict::SloBreach, detail);
    result.evidence = late.into_iter().take(EVIDENCE).collect();
    result
}

/// Each direction of each cut against the bound over its own link.
fn first_byte(limit: RttBound, figures: &Figures) -> CheckResult {
    let name = "first-byte-within";
    let (mut worst, mut tested, mut late) = (None, 0, Vec::new());
    for first in &figures.first_bytes {
        let bound = limit.over(first.round_trip);
        let FirstByte { fault, at, from, to, .. } = first;
        match first.after {
            Settled::Nothing | Settled::Unmeasured => {}
            Settled::Interrupted { after, .. } if after <= bound => {}
            Settled::After(after) => {
                tested += 1;
                let share = after.as_secs_f64() / bound.as_secs_f64();
                if worst.as_ref().is_none_or(|(most, _)| share > *most) {
                    let detail = format!("{} of {} ({from} to {to} after {fault})", span(after), span(bound));
                    worst = Some((share, detail));
                }
                if after > bound {
                    late.push(format!("{fault} at {at}, {from} to {to}: {}, not {}", span(after), span(bound)));
                }
            }
            Settled::Interrupted { after, .. } => {
                tested += 1;
                late.push(format!("{fault} at {at}, {from} to {to}: nothing for {}", span(after)));
            }
            Settled::Never { .. } => {
                tested += 1;
                late.push(format!("{fault} at {at}, {from} to {to}: nothing until the end"));
            }
        }
    }
    if tested == 0 {
        return too_little(name, "nothing waited for a cut to heal");
    }
    breached(name, late, tested, &limit.to_string(), || worst.map(|(_, detail)| detail).unwrap_or_default())
}

fn connected(limit: Duration, figures: &Figures) -> CheckResult {
    let name = "connected-within";
    if figures.reaches.is_empty() {
        return too_little(name, "the world records no sessions");
    }
    let (mut worst, mut tested, mut late) = (Duration::ZERO, 0, Vec::new());
    for Reach { name, at, joined } in &figures.reaches {
        match *joined {
            Settled::Nothing | Settled::Unmeasured => {}
            Settled::Interrupted { after, .. } if after <= limit => {}
            Settled::After(after) => {
                tested += 1;
                worst = worst.max(after);
                if after > limit {
                    late.push(format!("{name} at {at}: took {}", span(after)));
                }
            }
            Settled::Interrupted { after, .. } => {
                tested += 1;
                late.push(format!("{name} at {at}: still apart after {}", span(after)));
            }
            Settled::Never { .. } => {
                tested += 1;
                late.push(format!("{name} at {at}: apart until the end"));
            }
        }
    }
    breached(name, late, tested, &span(limit), || format!("{} (limit {})", span(worst), span(limit)))
}

fn breached(name: &str, late: Vec<String>, tested: u64, limit: &str, good: impl FnOnce() -> String) -> CheckResult {
    if late.is_empty() {
        return CheckResult::new(name, Verdict::Pass, format!("worst of {tested}: {}", good()));
    }
    let detail = format!("{} of {tested} took longer than {limit}", late.len());
    let mut result = CheckResult::new(name, Verdict::SloBreach, detail);
    result.evidence = late.into_iter().take(EVIDENCE).collect();
    result
}

fn dials(limit: u32, figures: &Figures) -> CheckResult {
    let name = "dials-in-first-second";
    let Some(worst) = figures.dials.iter().max_by_key(|dials| dials.most) else {
        return too_little(name, "no heal, or the world sees no dials");
    };
    let Dials { name: fault, node, most, all, .. } = worst;
    let detail = match most {
        0 => "nobody dialled".to_owned(),
        _ => format!("at most {most} by one node ({node} after {fault}, {all} by all; limit {limit})"),
    };
    CheckResult::new(name, if *most <= limit { Verdict::Pass } else { Verdict::SloBreach }, detail)
}

/// Not subject to [`limits::SAMPLES_MIN`]: a single command that comes too late is one too many.
fn latency(level: &LatencyLevel, figures: &Figures) -> CheckResult {
    let name = format!("latency of {}", level.collection);
    let Some(measured) = figures.collections.iter().find(|of| of.collection == level.collection) else {
        return too_little(&name, "no operation on it became visible anywhere");
    };
    let of = &measured.latency;
    let demands = [("p50", level.p50, of.p50), ("p99", level.p99, of.p99), ("max", level.max, of.max)];
    let demanded = demands.iter().filter_map(|(word, limit, value)| Some((word, (*limit)?, *value)));
    let told = demanded.clone().map(|(word, limit, value)| format!("{word} {} (limit {})", span(value), span(limit)));
    let mut detail = format!("{} of {}", told.collect::<Vec<_>>().join(", "), plural(of.count, "sample"));
    if measured.never > 0 {
        detail = format!("{detail}, {} never visible", count(measured.never));
    }
    let good = measured.never == 0 && demanded.clone().all(|(_, limit, value)| value <= limit);
    CheckResult::new(&name, if good { Verdict::Pass } else { Verdict::SloBreach }, detail)
}

fn ratio(limit: f64, figures: &Figures) -> CheckResult {
    let name = "connected-latency-ratio";
    let far = figures.pairs.iter().filter(|pair| pair.one_way >= limits::RATIO_DELAY_MIN);
    let enough = far.filter(|pair| pair.latency.count >= limits::SAMPLES_MIN);
    let judged = enough.filter_map(|pair| Some((pair.p50_ratio?, pair)));
    match judged.max_by(|(a, _), (b, _)| a.total_cmp(b)) {
        None => too_little(name, "too few connected operations between groups that are far apart"),
        Some((worst, pair)) => {
            let (a, b) = &pair.between;
            let detail = format!(
                "p50 {} is {worst:.2} x the one-way delay of {} ({a} - {b}; limit {limit:.2} x)",
                span(pair.latency.p50),
                span(pair.one_way)
            );
            let verdict = if worst <= limit { Verdict::Pass } else { Verdict::SloBreach };
            CheckResult::new(name, verdict, detail)
        }
    }
}
