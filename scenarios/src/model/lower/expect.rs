//! Service levels.

use std::collections::BTreeSet;

use serde_spanned::Spanned;

use super::super::raw::{Field, RawExpect, RawLatency};
use super::super::{Expect, LatencyLevel, RttBound};
use super::Lower;
use crate::limits;

const BOUND_HELP: &str = "a duration, round trips of the link, or both: \"3s\", \"4rtt\", \"2s + 2rtt\"";

impl Lower<'_> {
    pub(super) fn expect(&mut self, raw: &RawExpect) -> Expect {
        let ratio = self.figure(&raw.connected_latency_p50_max_ratio, "connected_latency_p50_max_ratio", 1.0);
        Expect {
            converge_within: self.positive(&raw.converge_within, "expect.converge_within"),
            reconnect_within: self.positive(&raw.reconnect_within, "expect.reconnect_within"),
            first_byte_within: self.bound(&raw.first_byte_within, "expect.first_byte_within"),
            connected_within: self.positive(&raw.connected_within, "expect.connected_within"),
            dials_in_first_second_max: self.most(&raw.dials_in_first_second_max, "expect.dials_in_first_second_max"),
            connected_latency_p50_max_ratio: ratio,
            connected_p99_within: self.positive(&raw.connected_p99_within, "expect.connected_p99_within"),
            bytes_per_operation_max: self.figure(&raw.bytes_per_operation_max, "bytes_per_operation_max", 0.0),
            idle_bytes_per_second_max: self.figure(&raw.idle_bytes_per_second_max, "idle_bytes_per_second_max", 0.0),
            latency: self.latencies(&raw.latency),
        }
    }

    fn figure(&mut self, raw: &Field<f64>, field: &str, least: f64) -> Option<f64> {
        let raw = raw.as_ref()?;
        let figure = *raw.get_ref();
        if !figure.is_finite() || figure < least {
            let message = format!("{figure} can never be met");
            self.error(raw.span(), format!("expect.{field}"), message, format!("at least {least}"));
        }
        Some(figure)
    }

    fn bound(&mut self, raw: &Field<String>, path: &str) -> Option<RttBound> {
        let raw = raw.as_ref()?;
        let bound = RttBound::parse(raw.get_ref()).filter(|bound| *bound != RttBound::default());
        if bound.is_none() {
            self.error(raw.span(), path, format!("`{}` is not a bound", raw.get_ref()), BOUND_HELP);
        }
        bound
    }

    fn most(&mut self, raw: &Field<i64>, path: &str) -> Option<u32> {
        let raw = raw.as_ref()?;
        let most = u32::try_from(*raw.get_ref()).ok();
        if most.is_none() {
            let message = format!("{} is not a count", raw.get_ref());
            self.error(raw.span(), path, message, "0 or more");
        }
        most
    }

    fn latencies(&mut self, raw: &[Spanned<RawLatency>]) -> Vec<LatencyLevel> {
        let mut seen = BTreeSet::new();
        let mut levels = Vec::new();
        for (position, entry) in raw.iter().enumerate() {
            let path = format!("expect.latency[{position}]");
            let (span, entry) = (entry.span(), entry.get_ref());
            let collection = self.collection(&entry.collection, &format!("{path}.collection"));
            if !seen.insert(collection.clone()) {
                let message = format!("the latency of `{collection}` is bounded twice");
                let help = "one entry per collection, with `p50`, `p99` and `max` as needed";
                self.error(entry.collection.span(), format!("{path}.collection"), message, help);
            }
            let level = LatencyLevel {
                collection,
                p50: self.positive(&entry.p50, &format!("{path}.p50")),
                p99: self.positive(&entry.p99, &format!("{path}.p99")),
                max: self.positive(&entry.max, &format!("{path}.max")),
            };
            if entry.p50.is_none() && entry.p99.is_none() && entry.max.is_none() {
                self.error(span, path, "nothing is demanded of it", "give `p50`, `p99` or `max`");
            }
            levels.push(level);
        }
        levels
    }

    /// A name that a node takes for a collection.
    pub(super) fn collection(&mut self, raw: &Spanned<String>, path: &str) -> String {
        let name = raw.get_ref();
        if name.is_empty() || name.len() > limits::NAME_CHARS {
            let help = format!("1 to {} characters", limits::NAME_CHARS);
            self.error(raw.span(), path, "that is not a collection", help);
        }
        name.clone()
    }
}
