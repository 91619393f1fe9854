//! The file as written: texts with their positions, nothing judged yet.
//!
//! Entries of different kinds share one structure with optional fields: serde loses positions
//! inside tagged enums, and a field that does not belong to its kind deserves a better message
//! than "unknown field".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_spanned::Spanned;

/// An optional field that knows where it was written.
pub(super) type Field<T> = Option<Spanned<T>>;

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawScenario {
    pub(super) name: Spanned<String>,
    pub(super) purpose: Spanned<String>,
    pub(super) duration: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) settle: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) seed: Field<i64>,
    #[serde(default)]
    pub(super) cluster: Vec<Spanned<RawCluster>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) link: Vec<Spanned<RawLink>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) workload: Vec<Spanned<RawWorkload>>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) fault: Vec<Spanned<RawFault>>,
    #[serde(default)]
    pub(super) expect: RawExpect,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawCluster {
    pub(super) name: Spanned<String>,
    #[serde(default)]
    pub(super) group: Vec<RawGroup>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawGroup {
    pub(super) name: Spanned<String>,
    pub(super) count: Spanned<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) joins_at: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) interest: Field<Vec<Spanned<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) formation: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discovery: Field<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) classes: BTreeMap<String, Spanned<String>>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) history: BTreeMap<String, Spanned<String>>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLink {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) between: Field<Vec<Spanned<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jitter: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bandwidth: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spread: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reorder: Field<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discipline: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicate: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrupt: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtu: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) peering: Field<String>,
    // Tables last: TOML wants what is no table first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bursts: Field<RawBursts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Field<RawSchedule>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forward: Field<RawShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) back: Field<RawShape>,
}

/// What a link is like, in one direction of it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawShape {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jitter: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bandwidth: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spread: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reorder: Field<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discipline: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicate: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrupt: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtu: Field<String>,
    // Tables last: TOML wants what is no table first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bursts: Field<RawBursts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedule: Field<RawSchedule>,
}

impl RawShape {
    pub(super) fn is_empty(&self) -> bool {
        toml::to_string(self).is_ok_and(|text| text.trim().is_empty())
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawBursts {
    pub(super) enter: Spanned<f64>,
    pub(super) leave: Spanned<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Field<f64>,
}

/// One of `contacts`, `up` and `trace`, and what belongs to it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawSchedule {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) up: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) offset: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) trace: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeat: Field<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contacts: Field<Vec<Spanned<RawContact>>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawContact {
    pub(super) at: Spanned<String>,
    #[serde(rename = "for")]
    pub(super) lasts: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bandwidth: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Field<f64>,
}

/// `"alpha"` or `["alpha", "bravo"]`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(untagged, expecting = "a group name or a list of group names")]
pub(super) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawWorkload {
    pub(super) kind: Spanned<String>,
    pub(super) on: Spanned<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) start: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) until: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) only_during: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) collection: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) documents: Field<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) contended_by: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) versions: Field<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) away_from: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) away_for: Field<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawFault {
    pub(super) kind: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) at: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) when: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) after: Field<String>,
    #[serde(rename = "for", skip_serializing_if = "Option::is_none")]
    pub(super) lasts: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) repeat: Field<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) every: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) between: Field<Vec<Spanned<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) from: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) to: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) group: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) node: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) ends: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) profile: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) latency: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) jitter: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) loss: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bandwidth: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) queue: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) spread: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reorder: Field<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) discipline: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) duplicate: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) corrupt: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mtu: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) of: Field<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) groups: Field<Vec<Spanned<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) period: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) down: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sync: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) by: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) share: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mule: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stops: Field<Vec<Spanned<String>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) stay: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) travel: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) islands: Field<Vec<Vec<Spanned<String>>>>,
    // Tables last: TOML wants what is no table first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bursts: Field<RawBursts>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) forward: Field<RawShape>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) back: Field<RawShape>,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawExpect {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) converge_within: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) reconnect_within: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) first_byte_within: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connected_within: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) dials_in_first_second_max: Field<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connected_latency_p50_max_ratio: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) connected_p99_within: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) bytes_per_operation_max: Field<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) idle_bytes_per_second_max: Field<f64>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) latency: Vec<Spanned<RawLatency>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawLatency {
    pub(super) collection: Spanned<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p50: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) p99: Field<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) max: Field<String>,
}
