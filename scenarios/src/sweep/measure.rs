//! The figures of a run that are worth comparing over seeds, with what the scenario allows.

use std::time::Duration;

use serde::{Deserialize, Serialize, Serializer};

use crate::figures::{Cause, Figures, Settled};
use crate::limits;
use crate::model::Expect;
use crate::report::{bytes, count, span};

/// One figure of one run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measure {
    /// Its name.
    pub name: String,
    /// What the numbers mean.
    pub unit: Unit,
    /// The figure; infinite: never.
    #[serde(serialize_with = "or_never")]
    pub value: f64,
    /// What the scenario allows.
    pub limit: Option<f64>,
    /// Which way is better.
    pub better: Better,
    /// Whether a sweep shows how it spreads; the others are there to be compared with those of another run.
    #[serde(skip)]
    pub headline: bool,
}

/// Which way a figure is better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Better {
    /// The less the better.
    #[default]
    Less,
    /// The more the better.
    More,
    /// It depends on what was asked for.
    Neither,
}

/// What a number means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Unit {
    /// Seconds.
    Seconds,
    /// A multiple of the possible.
    Ratio,
    /// A number of things.
    Count,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// A difference that says nothing, however large a share of a small number it is: the simulator's clock ticks
    /// in milliseconds, one dial in a second more is chance, a header is some dozens of bytes.
    pub(crate) const fn step(self) -> f64 {
        match self {
            Unit::Seconds => 0.001,
            Unit::Ratio => 0.01,
            Unit::Count => 1.0,
            Unit::Bytes => 100.0,
        }
    }

    /// A number as people read it.
    pub fn show(self, value: f64) -> String {
        match self {
            _ if value.is_infinite() => "never".to_owned(),
            Unit::Seconds => span(Duration::from_secs_f64(value.max(0.0))),
            Unit::Ratio => format!("{value:.2} x"),
            Unit::Count => count(value as u64),
            Unit::Bytes => bytes(value),
        }
    }
}

/// JSON knows no infinity: what never happened is `null`.
pub(crate) fn or_never<S: Serializer>(value: &f64, to: S) -> Result<S::Ok, S::Error> {
    value.is_finite().then_some(value).serialize(to)
}

/// Everything comparable, in order of the report.
pub(crate) fn measures(expect: &Expect, figures: &Figures) -> Vec<Measure> {
    let mut out = Vec::new();
    let mut add = |name: &str, unit, value: Option<f64>, limit: Option<f64>| {
        let measure =
            |value| Measure { name: name.to_owned(), unit, value, limit, better: Better::Less, headline: true };
        out.extend(value.map(measure));
    };
    let seconds = |limit: Option<Duration>| limit.map(|limit| limit.as_secs_f64());

    // Of several links the one that is nearest to its own bound, or else the slowest.
    let bound = |round_trip| expect.first_byte_within.map(|bound| bound.over(round_trip).as_secs_f64());
    let firsts = figures.first_bytes.iter().filter_map(|first| Some((after(first.after)?, bound(first.round_trip))));
    let share = |(value, limit): &(f64, Option<f64>)| value / limit.unwrap_or(1.0);
    let worst = firsts.max_by(|one, other| share(one).total_cmp(&share(other)));
    add("first byte", Unit::Seconds, worst.map(|(value, _)| value), worst.and_then(|(_, limit)| limit));

    let latest = |of: &mut dyn Iterator<Item = Settled>| of.filter_map(after).max_by(f64::total_cmp);
    // As the service level has it: who starts while its links are cut cannot find anybody.
    let healed = figures.recoveries.iter().filter(|recovery| recovery.cause == Cause::Heal);
    let reconnected = latest(&mut healed.map(|recovery| recovery.reconnected));
    add("reconnected", Unit::Seconds, reconnected, seconds(expect.reconnect_within));
    let converged = latest(&mut figures.recoveries.iter().map(|recovery| recovery.converged));
    add("converged", Unit::Seconds, converged, seconds(expect.converge_within));
    let joined = latest(&mut figures.reaches.iter().map(|reach| reach.joined));
    add("joined by sessions", Unit::Seconds, joined, seconds(expect.connected_within));
    let dials = figures.dials.iter().map(|dials| dials.most).max();
    add("dials in a second", Unit::Count, dials.map(f64::from), expect.dials_in_first_second_max.map(f64::from));

    let far = figures.pairs.iter().filter(|pair| pair.one_way >= limits::RATIO_DELAY_MIN);
    let ratio = far.filter_map(|pair| pair.p50_ratio).max_by(f64::total_cmp);
    add("connected p50", Unit::Ratio, ratio, expect.connected_latency_p50_max_ratio);
    let p99 = (figures.connected.count > 0).then_some(figures.connected.p99.as_secs_f64());
    add("connected p99", Unit::Seconds, p99, seconds(expect.connected_p99_within));
    for level in &expect.latency {
        let of = figures.collections.iter().find(|of| of.collection == level.collection);
        let demands = [("p50", level.p50), ("p99", level.p99), ("max", level.max)];
        for (word, limit) in demands.into_iter().filter(|(_, limit)| limit.is_some()) {
            let value = of.map(|of| match (of.never, word) {
                (1.., _) => f64::INFINITY,
                (0, "p50") => of.latency.p50.as_secs_f64(),
                (0, "p99") => of.latency.p99.as_secs_f64(),
                (0, _) => of.latency.max.as_secs_f64(),
            });
            add(&format!("{} {word}", level.collection), Unit::Seconds, value, seconds(limit));
        }
    }
    add("bytes per operation", Unit::Bytes, figures.bytes_per_operation, expect.bytes_per_operation_max);
    add("idle bytes per second", Unit::Bytes, figures.idle_bytes_per_second, expect.idle_bytes_per_second_max);
    let known: Vec<String> = out.iter().map(|measure| measure.name.clone()).collect();
    out.extend(details(figures).into_iter().filter(|detail| !known.contains(&detail.name)));
    out
}

/// What is worth comparing between two runs beyond the headlines.
fn details(figures: &Figures) -> Vec<Measure> {
    let mut out = Vec::new();
    let mut add = |name: String, unit, value: f64, better| {
        out.push(Measure { name, unit, value, limit: None, better, headline: false });
    };
    let kinds = [
        ("connected latency", figures.connected),
        ("outage latency", figures.outage),
        ("latency from the heal", figures.outage_from_heal),
    ];
    let pairs = figures.pairs.iter().map(|pair| (format!("{} - {}", pair.between.0, pair.between.1), pair.latency));
    let collections = figures.collections.iter().map(|of| (of.collection.clone(), of.latency));
    let kinds = kinds.into_iter().map(|(name, of)| (name.to_owned(), of));
    for (name, of) in kinds.chain(pairs).chain(collections).filter(|(_, of)| of.count > 0) {
        for (word, value) in [("p50", of.p50), ("p99", of.p99), ("max", of.max)] {
            add(format!("{name} {word}"), Unit::Seconds, value.as_secs_f64(), Better::Less);
        }
    }
    let operations = figures.operations;
    let counts = [
        ("acknowledged", operations.ok, Better::More),
        ("refused", operations.refused, Better::Less),
        ("unknown", operations.unknown, Better::Less),
        ("skipped", operations.skipped, Better::Neither),
        ("never visible", figures.never_visible, Better::Less),
        ("datagrams", figures.datagrams, Better::Less),
        ("datagrams dropped", figures.datagrams_dropped, Better::Neither),
    ];
    for (name, value, better) in counts {
        add(name.to_owned(), Unit::Count, value as f64, better);
    }
    add("bytes".to_owned(), Unit::Bytes, figures.bytes as f64, Better::Less);
    for direction in &figures.directions {
        let name = match direction.from == direction.to {
            true => format!("bytes inside {}", direction.from),
            false => format!("bytes {} to {}", direction.from, direction.to),
        };
        add(name, Unit::Bytes, direction.sent.bytes as f64, Better::Less);
    }
    out
}

/// Seconds; infinite for never, `None` for what says nothing.
fn after(settled: Settled) -> Option<f64> {
    match settled {
        Settled::After(after) => Some(after.as_secs_f64()),
        Settled::Never { .. } => Some(f64::INFINITY),
        // At least that: the next fault came first.
        Settled::Interrupted { after, .. } => Some(after.as_secs_f64()),
        Settled::Nothing | Settled::Unmeasured => None,
    }
}
