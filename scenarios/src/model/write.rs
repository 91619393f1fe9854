//! From a scenario to its file.

use serde_spanned::Spanned;

use super::raw::{
    Field, OneOrMany, RawBursts, RawCluster, RawContact, RawExpect, RawFault, RawGroup, RawLatency, RawLink,
    RawScenario, RawSchedule, RawShape, RawWorkload,
};
use super::units::{format_bandwidth, format_duration, format_signed_ms, format_size};
use super::{
    Composite, Contact, Discovery, End, Event, Expect, Fault, FaultKind, LatencyLevel, LinkSchedule, LinkShape,
    LinkSpec, Peering, Scenario, Trouble, When, Workload, WorkloadKind,
};
use crate::physics::Bursts;

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
    let links = scenario.links.iter().map(|link| here(raw_link(link)));
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

fn raw_link(link: &LinkSpec) -> RawLink {
    let of = shape(&link.shape);
    RawLink {
        between: pair(&link.between),
        profile: of.profile,
        latency: of.latency,
        jitter: of.jitter,
        loss: of.loss,
        bandwidth: of.bandwidth,
        queue: of.queue,
        spread: of.spread,
        reorder: of.reorder,
        discipline: of.discipline,
        duplicate: of.duplicate,
        corrupt: of.corrupt,
        mtu: of.mtu,
        peering: some(link.peering.name().to_owned()),
        bursts: of.bursts,
        schedule: of.schedule,
        forward: direction(&link.forward),
        back: direction(&link.back),
    }
}

fn direction(of: &Option<Box<LinkShape>>) -> Field<RawShape> {
    of.as_deref().and_then(|of| some(shape(of)))
}

fn shape(shape: &LinkShape) -> RawShape {
    let bursts = |of: Bursts| RawBursts { enter: here(of.enter), leave: here(of.leave), loss: some(of.loss) };
    RawShape {
        profile: shape.profile.and_then(|profile| some(profile.name().to_owned())),
        latency: shape.latency.and_then(span),
        jitter: shape.jitter.and_then(span),
        loss: shape.loss.and_then(some),
        bandwidth: shape.bandwidth_bps.and_then(|bps| some(format_bandwidth(bps))),
        queue: shape.queue_bytes.and_then(|bytes| some(format_size(bytes))),
        spread: shape.spread.and_then(|spread| some(spread.to_string())),
        reorder: shape.reorder.and_then(some),
        discipline: shape.discipline.and_then(|discipline| some(discipline.to_string())),
        duplicate: shape.duplicate.and_then(some),
        corrupt: shape.corrupt.and_then(some),
        mtu: shape.mtu.and_then(|mtu| some(format_size(mtu))),
        bursts: shape.bursts.and_then(|of| some(bursts(of))),
        schedule: shape.schedule.as_ref().and_then(|schedule| some(raw_schedule(schedule))),
    }
}

fn raw_schedule(schedule: &LinkSchedule) -> RawSchedule {
    let none = RawSchedule::default();
    let contact = |contact: &Contact| {
        here(RawContact {
            at: here(format_duration(contact.at)),
            lasts: here(format_duration(contact.lasts)),
            bandwidth: contact.bandwidth_bps.and_then(|bps| some(format_bandwidth(bps))),
            latency: contact.latency.and_then(span),
            loss: contact.loss.and_then(some),
        })
    };
    match schedule {
        LinkSchedule::Contacts { contacts, every } => {
            RawSchedule { contacts: some(contacts.iter().map(contact).collect()), every: every.and_then(span), ..none }
        }
        LinkSchedule::DutyCycle { up, every, offset } => RawSchedule {
            up: span(*up),
            every: span(*every),
            offset: (!offset.is_zero()).then(|| here(format_duration(*offset))),
            ..none
        },
        LinkSchedule::Trace(trace) => {
            RawSchedule { trace: some(trace.path().to_owned()), repeat: trace.repeats().then(|| here(true)), ..none }
        }
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
    let (link, forward, back) = match &fault.kind {
        FaultKind::Degrade { shape: replaced, forward, back, .. } => {
            (shape(replaced), direction(forward), direction(back))
        }
        _ => (RawShape::default(), None, None),
    };
    let (at, event) = match &fault.when {
        When::At(at) => (span(*at), None),
        When::Within(from, until) => (some(format!("{}..{}", format_duration(*from), format_duration(*until))), None),
        When::On { event, after } => (None, Some((event, *after))),
    };
    let when = event.and_then(|(event, _)| match event {
        Event::Converged => some("converged".to_owned()),
        Event::Writes { count, .. } => some(format!("writes:{count}")),
        Event::Session { .. } => some("session".to_owned()),
    });
    let of = event.and_then(|(event, _)| match event {
        Event::Converged => None,
        Event::Writes { of, .. } => of.clone().map(|of| here(OneOrMany::One(of))),
        Event::Session { of } => one_or_many(of),
    });
    let mut raw = RawFault {
        kind: here(fault.kind.name().to_owned()),
        id: fault.kind.begins().then(|| here(fault.id.clone())),
        at,
        when,
        of,
        after: event.filter(|(_, after)| !after.is_zero()).and_then(|(_, after)| span(after)),
        lasts: match fault.end {
            End::Entry => None,
            End::After(lasts) => span(lasts),
            End::Never => some("ever".to_owned()),
        },
        repeat: fault.repeat.and_then(|repeat| some(i64::from(repeat.times))),
        every: fault.repeat.and_then(|repeat| span(repeat.every)),
        between: None,
        from: None,
        to: None,
        group: None,
        groups: None,
        node: None,
        ends: None,
        profile: link.profile,
        latency: link.latency,
        jitter: link.jitter,
        loss: link.loss,
        bandwidth: link.bandwidth,
        queue: link.queue,
        spread: link.spread,
        reorder: link.reorder,
        discipline: link.discipline,
        duplicate: link.duplicate,
        corrupt: link.corrupt,
        mtu: link.mtu,
        bursts: link.bursts,
        forward,
        back,
        period: None,
        down: None,
        sync: None,
        by: None,
        rate: None,
        share: None,
        mule: None,
        stops: None,
        stay: None,
        travel: None,
        islands: None,
    };
    match &fault.kind {
        FaultKind::Partition { between }
        | FaultKind::DialOnlyPartition { between }
        | FaultKind::Reset { between }
        | FaultKind::Clog { between }
        | FaultKind::Degrade { between, .. } => raw.between = pair(between),
        FaultKind::Flap { between, period, down } => {
            raw.between = pair(between);
            raw.period = span(*period);
            raw.down = span(*down);
        }
        FaultKind::Bufferbloat { between, bandwidth_bps, queue_bytes } => {
            raw.between = pair(between);
            raw.bandwidth = some(format_bandwidth(*bandwidth_bps));
            raw.queue = some(format_size(*queue_bytes));
        }
        FaultKind::OneWayCut { from, to } => {
            raw.from = some(from.clone());
            raw.to = some(to.clone());
        }
        FaultKind::Blackout { group } => raw.group = some(group.clone()),
        FaultKind::Node { node, trouble } => {
            raw.node = some(node.clone());
            match trouble {
                Trouble::DiskSlow { sync } => raw.sync = span(*sync),
                Trouble::ClockJump { by_ms } => raw.by = some(format_signed_ms(*by_ms)),
                Trouble::ClockSkew { rate } => raw.rate = some(*rate),
                _ => {}
            }
        }
        FaultKind::Composite(composite) => raw_composite(composite, &mut raw),
        FaultKind::Restart { node } => raw.node = some(node.clone()),
        FaultKind::Heal { ends } => raw.ends = some(ends.clone()),
    }
    raw
}

fn raw_composite(composite: &Composite, raw: &mut RawFault) {
    match composite {
        Composite::Churn { group, every, down } => {
            raw.group = some(group.clone());
            raw.every = span(*every);
            raw.down = span(*down);
        }
        Composite::RollingOutage { groups } => raw.groups = list(groups),
        Composite::Swizzle { groups, share } => {
            raw.groups = list(groups);
            raw.share = some(*share);
        }
        Composite::ReconnectStorm { group } => raw.group = some(group.clone()),
        Composite::DataMule { mule, stops, stay, travel } => {
            raw.mule = some(mule.clone());
            raw.stops = list(stops);
            raw.stay = span(*stay);
            raw.travel = span(*travel);
        }
        Composite::IslandMerge { islands } => {
            let island = |names: &Vec<String>| names.iter().cloned().map(here).collect();
            raw.islands = some(islands.iter().map(island).collect());
        }
    }
}

fn list(names: &[String]) -> Field<Vec<Spanned<String>>> {
    some(names.iter().cloned().map(here).collect())
}

fn one_or_many(names: &[String]) -> Field<OneOrMany> {
    match names {
        [] => None,
        [one] => some(OneOrMany::One(one.clone())),
        many => some(OneOrMany::Many(many.to_vec())),
    }
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
