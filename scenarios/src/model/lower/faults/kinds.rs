//! Which kinds of fault there are, and those of links.

use std::ops::Range;

use serde_spanned::Spanned;

use super::super::super::raw::{Field, RawFault, RawShape};
use super::super::super::units::{BANDWIDTH_HELP, SIZE_HELP, format_duration, parse_bandwidth, parse_size};
use super::super::super::{End, FaultKind, LinkShape, Scenario};
use super::super::Lower;
use crate::limits;

/// Each kind with the fields that it takes besides `at` or `when`, `id` and `for`.
const KINDS: [(&str, &[&str]); 27] = [
    ("partition", &["repeat", "every", "between"]),
    ("one-way-cut", &["repeat", "every", "from", "to"]),
    ("blackout", &["repeat", "every", "group"]),
    ("dial-only-partition", &["repeat", "every", "between"]),
    ("reset", &["repeat", "every", "between"]),
    ("clog", &["repeat", "every", "between"]),
    ("flap", &["between", "period", "down"]),
    ("degrade", DEGRADE_FIELDS),
    ("bufferbloat", &["repeat", "every", "between", "bandwidth", "queue"]),
    ("crash", &["repeat", "every", "node"]),
    ("torn-write", &["repeat", "every", "node"]),
    ("unsynced-loss", &["repeat", "every", "node"]),
    ("data-loss", &["repeat", "every", "node"]),
    ("pause", &["repeat", "every", "node"]),
    ("disk-full", &["repeat", "every", "node"]),
    ("disk-slow", &["repeat", "every", "node", "sync"]),
    ("read-error", &["repeat", "every", "node"]),
    ("clock-jump", &["repeat", "every", "node", "by"]),
    ("clock-skew", &["repeat", "every", "node", "rate"]),
    ("churn", &["group", "every", "down"]),
    ("rolling-outage", &["groups"]),
    ("swizzle", &["groups", "share"]),
    ("reconnect-storm", &["group"]),
    ("data-mule", &["mule", "stops", "stay", "travel"]),
    ("island-merge", &["islands"]),
    ("heal", &["ends"]),
    ("restart", &["node"]),
];

const DEGRADE_FIELDS: &[&str] = &[
    "repeat",
    "every",
    "between",
    "profile",
    "latency",
    "jitter",
    "spread",
    "reorder",
    "loss",
    "bursts",
    "bandwidth",
    "queue",
    "discipline",
    "duplicate",
    "corrupt",
    "mtu",
    "forward",
    "back",
];

/// Every kind.
pub(super) fn names() -> impl Iterator<Item = &'static str> {
    KINDS.iter().map(|(name, _)| *name)
}

/// What a kind takes besides `at` and `when`; `None`: there is no such kind.
pub(super) fn fields(kind: &str) -> Option<Vec<&'static str>> {
    let (_, own) = KINDS.iter().find(|(name, _)| *name == kind)?;
    let common: &[&str] = if matches!(kind, "heal" | "restart") { &[] } else { &["id", "for"] };
    Some([common, own].concat())
}

/// The fields that are given and not common to all kinds.
pub(super) fn given(raw: &RawFault) -> Vec<(&'static str, Range<usize>)> {
    fn span<T>(name: &'static str, field: &Option<Spanned<T>>) -> Option<(&'static str, Range<usize>)> {
        Some((name, field.as_ref()?.span()))
    }
    let given = [
        span("id", &raw.id),
        span("for", &raw.lasts),
        span("every", &raw.every),
        span("from", &raw.from),
        span("to", &raw.to),
        span("group", &raw.group),
        span("groups", &raw.groups),
        span("node", &raw.node),
        span("ends", &raw.ends),
        span("profile", &raw.profile),
        span("latency", &raw.latency),
        span("jitter", &raw.jitter),
        span("bandwidth", &raw.bandwidth),
        span("queue", &raw.queue),
        span("spread", &raw.spread),
        span("reorder", &raw.reorder),
        span("bursts", &raw.bursts),
        span("discipline", &raw.discipline),
        span("duplicate", &raw.duplicate),
        span("corrupt", &raw.corrupt),
        span("mtu", &raw.mtu),
        span("forward", &raw.forward),
        span("back", &raw.back),
        span("between", &raw.between),
        span("repeat", &raw.repeat),
        span("loss", &raw.loss),
        span("period", &raw.period),
        span("down", &raw.down),
        span("sync", &raw.sync),
        span("by", &raw.by),
        span("rate", &raw.rate),
        span("share", &raw.share),
        span("mule", &raw.mule),
        span("stops", &raw.stops),
        span("stay", &raw.stay),
        span("travel", &raw.travel),
        span("islands", &raw.islands),
    ];
    given.into_iter().flatten().collect()
}

impl Lower<'_> {
    pub(super) fn fault_kind(
        &mut self,
        raw: &RawFault,
        path: &str,
        whole: Range<usize>,
        end: End,
        scenario: &Scenario,
    ) -> Option<FaultKind> {
        Some(match raw.kind.get_ref().as_str() {
            "partition" => FaultKind::Partition { between: self.linked(raw, path, whole, scenario)? },
            "dial-only-partition" => FaultKind::DialOnlyPartition { between: self.linked(raw, path, whole, scenario)? },
            "reset" => FaultKind::Reset { between: self.linked(raw, path, whole, scenario)? },
            "clog" => FaultKind::Clog { between: self.linked(raw, path, whole, scenario)? },
            "flap" => {
                let between = self.linked(raw, path, whole, scenario)?;
                self.flap(raw, path, between, end)?
            }
            "degrade" => {
                let between = self.linked(raw, path, whole.clone(), scenario)?;
                let shape = self.shape(&raw.shape(), path);
                let forward = self.degraded_direction(&raw.forward, &format!("{path}.forward"), &between);
                let back = self.degraded_direction(&raw.back, &format!("{path}.back"), &between);
                if shape == LinkShape::default() && forward.is_none() && back.is_none() {
                    let help = "give a profile, latency, jitter, loss, bandwidth, queue or another field of a link";
                    self.error(whole, path, "nothing says what the link becomes", help);
                }
                FaultKind::Degrade { between, shape, forward, back }
            }
            "bufferbloat" => {
                let between = self.linked(raw, path, whole, scenario)?;
                let bandwidth = self.required(&raw.bandwidth, path, "bandwidth", raw)?;
                let (least, at) = (limits::BANDWIDTH_MIN, format!("{path}.bandwidth"));
                let bandwidth_bps = self.amount(bandwidth, &at, "bandwidth", parse_bandwidth, least, BANDWIDTH_HELP)?;
                let queue_bytes = match &raw.queue {
                    None => limits::BLOATED_QUEUE,
                    Some(text) => {
                        let at = format!("{path}.queue");
                        self.amount(text, &at, "queue", parse_size, limits::QUEUE_MIN, SIZE_HELP)?
                    }
                };
                FaultKind::Bufferbloat { between, bandwidth_bps, queue_bytes }
            }
            "one-way-cut" => {
                let from = self.one_group(&raw.from, path, "from", raw, scenario)?;
                let to = self.one_group(&raw.to, path, "to", raw, scenario)?;
                self.routed(raw, path, scenario, &(from.clone(), to.clone()));
                FaultKind::OneWayCut { from, to }
            }
            "blackout" => FaultKind::Blackout { group: self.one_group(&raw.group, path, "group", raw, scenario)? },
            "heal" => FaultKind::Heal { ends: self.required(&raw.ends, path, "ends", raw)?.get_ref().clone() },
            "restart" => FaultKind::Restart { node: self.node(raw, path, scenario)? },
            "churn" | "rolling-outage" | "swizzle" | "reconnect-storm" | "data-mule" | "island-merge" => {
                FaultKind::Composite(self.composite(raw, path, end, scenario)?)
            }
            _ => {
                let node = self.node(raw, path, scenario)?;
                FaultKind::Node { node, trouble: self.trouble(raw, path)? }
            }
        })
    }

    /// Two groups that a link joins.
    fn linked(
        &mut self,
        raw: &RawFault,
        path: &str,
        whole: Range<usize>,
        scenario: &Scenario,
    ) -> Option<(String, String)> {
        let between = self.pair(&raw.between, path, whole, scenario)?;
        self.routed(raw, path, scenario, &between);
        Some(between)
    }

    fn flap(&mut self, raw: &RawFault, path: &str, between: (String, String), end: End) -> Option<FaultKind> {
        let lasts = self.whole_span(raw, path, end);
        self.required(&raw.period, path, "period", raw)?;
        self.required(&raw.down, path, "down", raw)?;
        let period = self.positive(&raw.period, &format!("{path}.period"))?;
        let down = self.positive(&raw.down, &format!("{path}.down"))?;
        if down >= period {
            let message = format!("down for {} of each {}", format_duration(down), format_duration(period));
            let help = "`down` must be shorter than `period`; for a link that stays down take a partition";
            self.error(super::span_of(&raw.down, &raw.kind), format!("{path}.down"), message, help);
            return None;
        }
        let lasts = lasts?;
        let drops = lasts.as_nanos().div_ceil(period.as_nanos());
        if drops > u128::from(limits::REPEAT) || lasts < down {
            let message = format!("the link would drop {drops} times");
            let help = format!("`for` holds 1 to {} periods", limits::REPEAT);
            self.error(super::span_of(&raw.period, &raw.kind), format!("{path}.period"), message, help);
            return None;
        }
        Some(FaultKind::Flap { between, period, down })
    }

    fn degraded_direction(
        &mut self,
        raw: &Field<RawShape>,
        path: &str,
        (a, b): &(String, String),
    ) -> Option<Box<LinkShape>> {
        let given = raw.as_ref()?;
        if a == b {
            let help = "no node of a group is before another; say it in the fault itself, for both directions";
            self.error(given.span(), path, "a link inside a group is the same in both directions", help);
        }
        if let Some(schedule) = &given.get_ref().schedule {
            let help = "its link keeps its own; a fault has `at`, `for` and `repeat`";
            self.error(schedule.span(), format!("{path}.schedule"), "a degradation has no schedule", help);
        }
        self.direction(raw, path)
    }

    /// A fault between groups without a link can never bite. Not asked while a link may be missing
    /// only because of another error.
    pub(super) fn routed(&mut self, raw: &RawFault, path: &str, scenario: &Scenario, (a, b): &(String, String)) {
        if !self.diagnostics.is_empty() {
            return;
        }
        let joins = |(x, y): &(String, String)| (x == a && y == b) || (x == b && y == a);
        if a != b && !scenario.links.iter().any(|link| joins(&link.between)) {
            let message = format!("there is no link between `{a}` and `{b}`");
            self.error(raw.kind.span(), path, message, "add a [[link]] between them, or name groups that have one");
        }
    }
}
