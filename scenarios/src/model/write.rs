//! From a scenario to its file.

use serde_spanned::Spanned;

use super::raw::{
    Field, OneOrMany, RawCluster, RawExpect, RawFault, RawGroup, RawLatency, RawLink, RawScenario, RawWorkload,
};
use super::units::{format_bandwidth, format_duration, format_size};
use super::{
    Discovery, Expect, Fault, FaultKind, LatencyLevel, LinkShape, Peering, Scenario, When, Workload, WorkloadKind,
};

pub(super) fn to_toml(scenario: &Scenario) -> String {
    toml::to_string(&raw(scenario)).expect("invariant: every field of a scenario has a TOML form")
}

/// No position: the value did not come from a file.
fn here<T>(value: T) -> Spanned<T> {
    Spanned::new(0..0, value)
}

fn some<T>(value: T) -> Field<T> {
    Some(here(value))
}

fn span(value: std::time::Duration) -> Field<String> {
    some(format_duration(value))
}

fn pair(between: &(String, String)) -> Field<Vec<Spanned<String>>> {
    some(vec![here(between.0.clone()), here(between.1.clone())])
}

pub(super) fn raw(scenario: &Scenario) -> RawScenario {
    let clusters = scenario.clusters.iter().map(|cluster| {
        let groups = cluster.groups.iter().map(|group| RawGroup {
            name: here(group.name.clone()),
            count: here(i64::from(group.count)),
            joins_at: group.joins_at.and_then(span),
            interest: match group.interest.is_empty() {
                true => None,
                false => some(group.interest.iter().map(|selector| here(selector.to_string())).collect()),
            },
            formation: group.formation.clone().map(here),
            discovery: match group.discovery {
                Discovery::None => None,
                other => some(other.name().to_owned()),
            },
            classes: group.classes.iter().map(|(name, class)| (name.clone(), here(class.name().to_owned()))).collect(),
            history: group.history.iter().map(|(name, kept)| (name.clone(), here(kept.to_string()))).collect(),
        });
        here(RawCluster { name: here(cluster.name.clone()), group: groups.collect() })
    });
    let links = scenario.links.iter().map(|link| {
        let mut raw = shape(&link.shape);
        raw.between = pair(&link.between);
        raw.peering = some(link.peering.name().to_owned());
        here(raw)
    });
    RawScenario {
        name: here(scenario.name.clone()),
        purpose: here(scenario.purpose.clone()),
        duration: here(format_duration(scenario.duration)),
        settle: span(scenario.settle),
        // TOML integers are signed; a larger seed comes back as the validation's complaint.
        seed: some(i64::try_from(scenario.seed).unwrap_or(-1)),
        cluster: clusters.collect(),
        link: links.collect(),
        workload: scenario.workloads.iter().map(|workload| here(raw_workload(workload))).collect(),
        fault: scenario.faults.iter().map(|fault| here(raw_fault(fault))).collect(),
        expect: raw_expect(&scenario.expect),
    }
}

fn shape(shape: &LinkShape) -> RawLink {
    RawLink {
        profile: shape.profile.and_then(|profile| some(profile.name().to_owned())),
        latency: shape.latency.and_then(span),
        jitter: shape.jitter.and_then(span),
        loss: shape.loss.and_then(some),
        bandwidth: shape.bandwidth_bps.and_then(|bps| some(format_bandwidth(bps))),
        queue: shape.queue_bytes.and_then(|bytes| some(format_size(bytes))),
        ..RawLink::default()
    }
}

fn raw_workload(workload: &Workload) -> RawWorkload {
    let mut raw = RawWorkload {
        kind: here(workload.kind.name().to_owned()),
        on: here(match workload.on.as_slice() {
            [one] => OneOrMany::One(one.clone()),
            many => OneOrMany::Many(many.to_vec()),
        }),
        start: span(workload.start),
        until: workload.until.and_then(span),
        only_during: workload.only_during.clone().and_then(some),
        every: None,
        collection: None,
        documents: None,
        from: None,
        contended_by: None,
        versions: None,
        to: None,
        away_from: None,
        away_for: None,
    };
    match &workload.kind {
        WorkloadKind::Heartbeat { every } => raw.every = span(*every),
        WorkloadKind::Put { every, collection } => {
            raw.every = span(*every);
            raw.collection = some(collection.clone());
        }
        WorkloadKind::Edit { every, collection, documents } => {
            raw.every = span(*every);
            raw.collection = some(collection.clone());
            raw.documents = some(i64::from(*documents));
        }
        WorkloadKind::Delete { every, collection, documents, from, contended_by } => {
            raw.every = span(*every);
            raw.collection = some(collection.clone());
            raw.documents = some(i64::from(*documents));
            raw.from = from.and_then(span);
            raw.contended_by = contended_by.clone().and_then(some);
        }
        WorkloadKind::Burst { collection, documents, versions, every } => {
            raw.every = span(*every);
            raw.collection = some(collection.clone());
            raw.documents = some(i64::from(*documents));
            raw.versions = some(i64::from(*versions));
        }
        WorkloadKind::Command { every, collection, to } => {
            raw.every = span(*every);
            raw.collection = some(collection.clone());
            raw.to = some(to.clone());
        }
        WorkloadKind::Agent { every, documents, away } => {
            raw.every = span(*every);
            raw.documents = some(i64::from(*documents));
            raw.away_from = away.and_then(|away| span(away.from));
            raw.away_for = away.and_then(|away| span(away.lasts));
        }
    }
    raw
}

fn raw_fault(fault: &Fault) -> RawFault {
    let link = match &fault.kind {
        FaultKind::Degrade { shape: replaced, .. } => shape(replaced),
        _ => RawLink::default(),
    };
    let (at, when, after) = match fault.when {
        When::At(at) => (span(at), None, None),
        When::Converged { after } if after.is_zero() => (None, some("converged".to_owned()), None),
        When::Converged { after } => (None, some("converged".to_owned()), span(after)),
    };
    let mut raw = RawFault {
        kind: here(fault.kind.name().to_owned()),
        id: fault.kind.begins().then(|| here(fault.id.clone())),
        at,
        when,
        after,
        lasts: fault.lasts.and_then(span),
        repeat: fault.repeat.and_then(|repeat| some(i64::from(repeat.times))),
        every: fault.repeat.and_then(|repeat| span(repeat.every)),
        between: None,
        from: None,
        to: None,
        group: None,
        node: None,
        ends: None,
        profile: link.profile,
        latency: link.latency,
        jitter: link.jitter,
        loss: link.loss,
        bandwidth: link.bandwidth,
        queue: link.queue,
    };
    match &fault.kind {
        FaultKind::Partition { between } | FaultKind::Degrade { between, .. } => {
            raw.between = pair(between);
        }
        FaultKind::OneWayCut { from, to } => {
            raw.from = some(from.clone());
            raw.to = some(to.clone());
        }
        FaultKind::Blackout { group } => raw.group = some(group.clone()),
        FaultKind::Crash { node } | FaultKind::Restart { node } => raw.node = some(node.clone()),
        FaultKind::Heal { ends } => raw.ends = some(ends.clone()),
    }
    raw
}

fn raw_expect(expect: &Expect) -> RawExpect {
    RawExpect {
        converge_within: expect.converge_within.and_then(span),
        reconnect_within: expect.reconnect_within.and_then(span),
        first_byte_within: expect.first_byte_within.and_then(|bound| some(bound.to_string())),
        connected_within: expect.connected_within.and_then(span),
        dials_in_first_second_max: expect.dials_in_first_second_max.and_then(|most| some(i64::from(most))),
        connected_latency_p50_max_ratio: expect.connected_latency_p50_max_ratio.and_then(some),
        connected_p99_within: expect.connected_p99_within.and_then(span),
        bytes_per_operation_max: expect.bytes_per_operation_max.and_then(some),
        idle_bytes_per_second_max: expect.idle_bytes_per_second_max.and_then(some),
        latency: expect.latency.iter().map(latency).collect(),
    }
}

fn latency(level: &LatencyLevel) -> Spanned<RawLatency> {
    here(RawLatency {
        collection: here(level.collection.clone()),
        p50: level.p50.and_then(span),
        p99: level.p99.and_then(span),
        max: level.max.and_then(span),
    })
}

impl Peering {
    /// The word in scenario files.
    pub fn name(self) -> &'static str {
        match self {
            Peering::Full => "full",
            Peering::Gateway => "gateway",
            Peering::Ring => "ring",
            Peering::None => "none",
        }
    }
}

impl WorkloadKind {
    /// The word in scenario files.
    pub fn name(&self) -> &'static str {
        match self {
            WorkloadKind::Heartbeat { .. } => "heartbeat",
            WorkloadKind::Put { .. } => "put",
            WorkloadKind::Edit { .. } => "edit",
            WorkloadKind::Delete { .. } => "delete",
            WorkloadKind::Burst { .. } => "burst",
            WorkloadKind::Command { .. } => "command",
            WorkloadKind::Agent { .. } => "agent",
        }
    }
}
