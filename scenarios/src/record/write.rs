//! How a world fills a record.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::transfer::{Flight, Frame, FrameEvent, Loss};
use super::{
    Change, ClassTraffic, Count, DialEvent, FaultEffect, FaultRecord, HighMark, Interner, Life, LifeEvent, OpKind,
    OpRecord, Outcome, RunMeta, RunRecord, SessionEvent, TRAFFIC_SLICE, Traffic, Visible,
};
use crate::model::Scenario;
use crate::physics::LinkCounters;
use crate::plan::{Action, DocKey, FaultClass, FaultIndex, NodeIndex, Plan, PlannedOp, Topology, registers};
use crate::time::SimTime;

/// Names an operation that was begun; see [`RunRecord::begin`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OpSlot(usize);

impl RunRecord {
    /// An empty record of a run that is about to begin. `source` is what the person typed to name
    /// the scenario; it goes into the reproduce line.
    pub fn new(scenario: &Scenario, plan: &Plan, source: &str, world: &str, engine: &str) -> Self {
        RunRecord {
            meta: RunMeta {
                scenario: scenario.name.clone(),
                source: source.to_owned(),
                purpose: scenario.purpose.clone(),
                seed: plan.seed,
                world: world.to_owned(),
                engine: engine.to_owned(),
                duration: plan.duration,
                writes_end: plan.writes_end,
                time_scale: 1.0,
            },
            topology: plan.topology.clone(),
            operations: Vec::with_capacity(plan.operations.len()),
            visibility: Vec::new(),
            faults: plan
                .faults
                .iter()
                .map(|spec| FaultRecord {
                    spec: spec.clone(),
                    applied: None,
                    healed: None,
                    at_apply: LinkCounters::default(),
                    at_heal: LinkCounters::default(),
                    effect: FaultEffect::default(),
                })
                .collect(),
            sessions: Vec::new(),
            dials: Vec::new(),
            lives: Vec::new(),
            restart_snapshots: Vec::new(),
            convergences: Vec::new(),
            gauges: Vec::new(),
            traffic: Traffic::default(),
            flights: Default::default(),
            finals: Vec::new(),
            trace_hash: None,
            wall: Duration::ZERO,
            logs: Default::default(),
            infra_errors: Vec::new(),
            transfers: None,
            precision: None,
            interner: Interner::default(),
            acknowledged: BTreeMap::new(),
            class_totals: BTreeMap::new(),
        }
    }

    /// The shared copy of a text.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        self.interner.intern(text)
    }

    /// The shared key of a document.
    pub fn key(&mut self, collection: &str, id: &str) -> DocKey {
        DocKey { collection: self.intern(collection), id: self.intern(id) }
    }

    /// An operation is issued at `now`. Until [`RunRecord::finish`] its outcome is `Unknown`, which
    /// is the truth when the world ends or the node dies in between.
    ///
    /// For an edit, begin before GetDocument and hand the text that goes to PutDocument to
    /// [`RunRecord::writing`] *before* sending it.
    pub fn begin(&mut self, planned: &PlannedOp, now: SimTime) -> OpSlot {
        let key = self.key(&planned.action.key().collection, &planned.action.key().id);
        let (kind, json, writes) = match &planned.action {
            Action::Put { json, .. } => {
                let own = registers(json);
                (OpKind::Put, Some(self.intern(json)), own)
            }
            Action::Edit { edit, .. } => (OpKind::Edit, None, edit.registers()),
            Action::Delete { .. } | Action::Report { json: None, .. } => (OpKind::Delete, None, Default::default()),
            Action::Report { json: Some(json), .. } => (OpKind::Put, Some(self.intern(json)), registers(json)),
        };
        let writes = writes.into_iter().map(|(name, counter)| (self.intern(&name), counter)).collect();
        self.operations.push(OpRecord {
            op: planned.op,
            node: planned.node,
            kind,
            key,
            invoked: now,
            completed: None,
            outcome: Outcome::Unknown,
            json,
            read: None,
            writes,
        });
        OpSlot(self.operations.len() - 1)
    }

    /// What GetDocument gave an edit.
    pub fn reading(&mut self, slot: OpSlot, json: &str) {
        let json = self.intern(json);
        self.operations[slot.0].read = Some(json);
    }

    /// Something in a node is as full as this. Only the fullest sample is kept.
    pub fn gauge(&mut self, at: SimTime, node: NodeIndex, name: &str, value: u64, limit: u64) {
        let share = |value: u64, limit: u64| value as f64 / limit.max(1) as f64;
        match self.gauges.binary_search_by(|mark| (mark.node, &*mark.name).cmp(&(node, name))) {
            Ok(place) => {
                let mark = &mut self.gauges[place];
                if share(value, limit) > share(mark.value, mark.limit) {
                    (mark.at, mark.value, mark.limit) = (at, value, limit);
                }
            }
            Err(place) => {
                let name = self.intern(name);
                self.gauges.insert(place, HighMark { node, name, at, value, limit });
            }
        }
    }

    /// The full text that an edit is about to hand to PutDocument.
    pub fn writing(&mut self, slot: OpSlot, json: &str) {
        let json = self.intern(json);
        self.operations[slot.0].json = Some(json);
    }

    /// The end of an operation is known at `now`.
    pub fn finish(&mut self, slot: OpSlot, now: SimTime, outcome: Outcome) {
        let operation = &mut self.operations[slot.0];
        if outcome == Outcome::Ok {
            *self.acknowledged.entry(self.topology.node(operation.node).group).or_default() += 1;
        }
        operation.completed = Some(now);
        operation.outcome = outcome;
    }

    /// How many writes were acknowledged so far, at all nodes or those of one group.
    pub fn acknowledged(&self, group: Option<u32>) -> u64 {
        match group {
            Some(group) => self.acknowledged.get(&group).copied().unwrap_or_default(),
            None => self.acknowledged.values().sum(),
        }
    }

    /// An operation was not issued at all: its node is not running.
    pub fn skip(&mut self, planned: &PlannedOp, now: SimTime) {
        let slot = self.begin(planned, now);
        self.finish(slot, now, Outcome::Skipped);
    }

    /// A Subscribe event at `node`: `Some(json)` for UPSERT, `None` for DELETE.
    pub fn see(&mut self, now: SimTime, node: NodeIndex, collection: &str, id: &str, json: Option<&str>) {
        let key = self.key(collection, id);
        let change = match json {
            Some(json) => Change::Upsert(self.intern(json)),
            None => Change::Delete,
        };
        self.visibility.push(Visible { at: now, node, key, change });
    }

    /// A session came up or went down at one end.
    pub fn session(&mut self, at: SimTime, node: NodeIndex, peer: NodeIndex, up: bool) {
        self.sessions.push(SessionEvent { at, node, peer, up });
    }

    /// A node began to dial another.
    pub fn dial(&mut self, at: SimTime, node: NodeIndex, peer: NodeIndex) {
        self.dials.push(DialEvent { at, node, peer });
    }

    /// A node started, crashed or restarted.
    pub fn life(&mut self, at: SimTime, node: NodeIndex, event: Life) {
        self.lives.push(LifeEvent { at, node, event });
    }

    /// A fault begins. `counters`: those of its links, [`crate::physics::Network::counters`] of the
    /// spec's pairs.
    pub fn fault_applied(&mut self, fault: FaultIndex, now: SimTime, counters: LinkCounters) {
        let record = &mut self.faults[fault.index()];
        record.applied = Some(now);
        record.at_apply = counters;
        record.at_heal = counters;
    }

    /// A fault ends.
    pub fn fault_healed(&mut self, fault: FaultIndex, now: SimTime, counters: LinkCounters) {
        self.faults[fault.index()].healed = Some(now);
        self.fault_lasting(fault, now, counters);
    }

    /// What a fault did up to `now`, when it ends or the run does.
    pub fn fault_lasting(&mut self, fault: FaultIndex, now: SimTime, counters: LinkCounters) {
        let record = &mut self.faults[fault.index()];
        record.at_heal = counters;
        let Some(applied) = record.applied else { return };
        let (before, after, effect) = (&record.at_apply, &record.at_heal, &mut record.effect);
        match record.spec.class {
            FaultClass::Cut | FaultClass::Reset => {
                effect.datagrams_blocked = after.cut().saturating_sub(before.cut());
            }
            FaultClass::Degrade | FaultClass::Bloat => {
                effect.datagrams_carried = after.offered.saturating_sub(before.offered);
            }
            FaultClass::Pause => effect.node_paused = now.since(applied),
            class if class.stops() => {
                // A node that was down already did not go down.
                let mut crashes = self.lives.iter().filter(|life| {
                    Some(life.node) == record.spec.node && life.event == Life::Crashed && life.at >= applied
                });
                effect.node_down = crashes.next_back().map_or(Duration::ZERO, |crash| now.since(crash.at));
            }
            _ => {}
        }
        let directions = u32::try_from(record.spec.pairs.len()).unwrap_or(u32::MAX);
        effect.links_held = now.since(applied).saturating_mul(directions);
        // In order of issue.
        let issued = |at: SimTime| self.operations.partition_point(|operation| operation.invoked < at);
        let meanwhile = issued(now).saturating_sub(issued(applied));
        self.faults[fault.index()].effect.operations = meanwhile as u64;
    }

    /// For what only the world can count of a fault.
    pub fn effect(&mut self, fault: FaultIndex) -> &mut FaultEffect {
        &mut self.faults[fault.index()].effect
    }

    /// A datagram of `bytes` payload was sent; `dropped` when the link did not take it.
    pub fn datagram(&mut self, now: SimTime, from: NodeIndex, to: NodeIndex, bytes: usize, dropped: bool) {
        self.traffic.offered(&self.topology, now, (from, to), bytes, dropped);
    }

    /// The same datagram for the drawings: when it will arrive, or `None` when the link did not take it.
    pub fn flight(&mut self, now: SimTime, from: NodeIndex, to: NodeIndex, bytes: usize, arrives: Option<SimTime>) {
        self.flights.add(now, from, to, bytes, arrives);
    }

    /// A node counts `bytes` more of a class as sent than when it was asked last, which was in the slice that ends at
    /// `now`.
    pub fn class_bytes(&mut self, now: SimTime, class: &str, bytes: u64) {
        let slice = (now.as_nanos().saturating_sub(1) / SimTime::from(TRAFFIC_SLICE).as_nanos()) as usize;
        let classes = &mut self.traffic.by_class;
        let position = classes.iter().position(|known| known.class == class).unwrap_or_else(|| {
            classes.push(ClassTraffic { class: class.to_owned(), by_slice: Vec::new() });
            classes.len() - 1
        });
        let slices = &mut classes[position].by_slice;
        if slices.len() <= slice {
            slices.resize(slice + 1, 0);
        }
        slices[slice] += bytes;
    }

    /// For worlds that only see what a node counts since its start; `sum` is that of `node`. A node that was started again counts
    /// from zero.
    pub fn class_total(&mut self, now: SimTime, node: NodeIndex, class: &str, sum: u64) {
        let told = self.class_totals.entry((node, class.to_owned())).or_default();
        let more = if sum >= *told { sum - *told } else { sum };
        *told = sum;
        if more > 0 {
            self.class_bytes(now, class, more);
        }
    }

    /// A frame with changes of a document left an outbox (`sent`), or was received. Kept if transfers are.
    pub fn frame(&mut self, at: SimTime, ends: (NodeIndex, NodeIndex), sent: bool, frame: Frame<'_>) {
        let Some(mut transfers) = self.transfers.take() else { return };
        let (key, check) = (self.key(frame.collection, frame.id), frame.check);
        let bytes = u32::try_from(frame.bytes).unwrap_or(u32::MAX);
        transfers.frames.push(FrameEvent { at, from: ends.0, to: ends.1, sent, key, check, bytes });
        self.transfers = Some(transfers);
    }

    /// What became of a datagram that was handed to its link at `sent`. Kept if transfers are.
    pub fn flew(&mut self, sent: SimTime, from: NodeIndex, to: NodeIndex, bytes: usize, arrived: Option<SimTime>) {
        let Some(transfers) = &mut self.transfers else { return };
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        match arrived {
            Some(arrived) => transfers.flights.push(Flight { sent, arrived, from, to, bytes }),
            None => transfers.losses.push(Loss { sent, from, to }),
        }
    }

    /// A datagram of `bytes` payload reached its receiver.
    pub fn arrived(&mut self, from: NodeIndex, to: NodeIndex, bytes: usize) {
        self.traffic.arrived(&self.topology, (from, to), bytes);
    }
}

/// For worlds that count where the links are, away from the record.
impl Traffic {
    /// A datagram of `bytes` payload was given to the link between `ends`; `dropped` when it did not take it.
    pub fn offered(
        &mut self,
        topology: &Topology,
        now: SimTime,
        ends: (NodeIndex, NodeIndex),
        bytes: usize,
        dropped: bool,
    ) {
        let groups = (topology.node(ends.0).group, topology.node(ends.1).group);
        let slice = (now.as_nanos() / SimTime::from(TRAFFIC_SLICE).as_nanos()) as usize;
        if self.by_slice.len() <= slice {
            self.by_slice.resize(slice + 1, Count::default());
        }
        let by_group = self.by_group.entry(groups).or_default();
        for count in [&mut self.sent, by_group, &mut self.by_slice[slice]] {
            count.datagrams += 1;
            count.bytes += bytes as u64;
        }
        self.dropped += u64::from(dropped);
    }

    /// A datagram of `bytes` payload reached the other end.
    pub fn arrived(&mut self, topology: &Topology, ends: (NodeIndex, NodeIndex), bytes: usize) {
        let groups = (topology.node(ends.0).group, topology.node(ends.1).group);
        if self.received_by_node.is_empty() {
            self.received_by_node.resize(topology.nodes.len(), Count::default());
        }
        let by_group = self.received_by_group.entry(groups).or_default();
        for count in [by_group, &mut self.received_by_node[ends.1.index()]] {
            count.datagrams += 1;
            count.bytes += bytes as u64;
        }
    }
}
