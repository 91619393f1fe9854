//! What a step of the timeline does, and what the fault did by its end.

use std::collections::BTreeMap;

use peat_scenarios::SimTime;
use peat_scenarios::model::Trouble;
use peat_scenarios::plan::{FaultClass, FaultIndex, NodeIndex, Step};
use peat_scenarios::record::FaultEffect;

use super::World;
use crate::host::Engine;
use crate::trace::Kind;

impl World {
    pub(super) fn take(&mut self, now: SimTime, step: &Step, engine: &mut impl Engine) {
        let index = step.fault();
        let fault = &self.plan.faults[index.index()];
        let counters = self.shared.net.counters(&fault.pairs);
        let verb = if step.begins() { "begins" } else { "ends" };
        let text = format!("{} {verb}: {}", fault.name, fault.description);
        let effect = if step.begins() { FaultEffect::default() } else { self.effect(index) };
        {
            let mut journal = self.shared.journal.lock();
            journal.trace.add(now, Kind::Step, &[&index.0.to_le_bytes(), text.as_bytes()], || text.clone());
            if step.begins() {
                journal.record.fault_applied(index, now, counters);
            } else {
                journal.record.effect(index).add(&effect);
                journal.record.fault_healed(index, now, counters);
            }
        }
        if step.begins() {
            self.lasting.insert(index.0, fault.description.clone());
        } else {
            self.lasting.remove(&index.0);
        }
        self.shared.net.apply(now, step);
        match step {
            Step::Reset { pairs, .. } => {
                let told = self.sever(pairs);
                self.shared.journal.lock().record.effect(index).sessions_reset += told;
            }
            Step::Crash { node, .. } => self.suffer(index, *node, Trouble::Crash, engine),
            Step::Trouble { node, trouble, .. } => self.suffer(index, *node, *trouble, engine),
            Step::Recover { node, .. } => {
                let class = self.class(index);
                self.hosts[node.index()].recover(index, class);
            }
            Step::Restart { node, .. } => {
                let class = self.class(index);
                self.hosts[node.index()].recover(index, class);
                let held = self.down.get_mut(node).is_some_and(|holders| {
                    holders.remove(&index);
                    !holders.is_empty()
                });
                if !held {
                    self.hosts[node.index()].start(engine);
                }
            }
            Step::LinksDown { .. }
            | Step::Clog { .. }
            | Step::DialCut { .. }
            | Step::Degrade { .. }
            | Step::Heal { .. } => {}
        }
    }

    fn class(&self, fault: FaultIndex) -> FaultClass {
        self.plan.faults[fault.index()].class
    }

    fn suffer(&mut self, fault: FaultIndex, node: NodeIndex, trouble: Trouble, engine: &mut impl Engine) {
        let host = &mut self.hosts[node.index()];
        // What it counted goes with it.
        self.classes.read(self.shared.journal.now(), host, &self.shared.journal);
        host.suffer(fault, trouble, engine);
        if !host.is_running() {
            self.classes.forget(host);
        }
        // Also of a node that was down already: it stays so until the last of them is over.
        if matches!(trouble, Trouble::Crash | Trouble::DataLoss) {
            self.down.entry(node).or_default().insert(fault);
        }
    }

    /// Hosts whose power fails in the middle of a sync do so at that moment.
    pub(super) fn cut_powers(&mut self, engine: &mut impl Engine) {
        for host in &mut self.hosts {
            if let Some(fault) = host.has_tripped() {
                self.classes.read(self.shared.journal.now(), host, &self.shared.journal);
                host.crash(engine);
                self.classes.forget(host);
                self.down.entry(host.spec().index).or_default().insert(fault);
            }
        }
    }

    /// Tells both ends of every session over these links that it is over; how many ends there were.
    fn sever(&self, pairs: &[(NodeIndex, NodeIndex)]) -> u64 {
        let mut peers: BTreeMap<NodeIndex, Vec<NodeIndex>> = BTreeMap::new();
        for &(from, to) in pairs {
            peers.entry(from).or_default().push(to);
        }
        peers.iter().map(|(node, peers)| self.hosts[node.index()].sever(peers)).sum()
    }

    /// What a fault has done so far, as far as the record does not see it.
    fn effect(&self, fault: FaultIndex) -> FaultEffect {
        let mut effect = self.shared.net.effect(fault);
        let spec = &self.plan.faults[fault.index()];
        if let Some(node) = spec.node {
            effect.add(&self.hosts[node.index()].effect(fault, spec.class));
        }
        effect
    }

    /// The run ends while faults last.
    pub(super) fn close_lasting(&mut self) {
        for index in self.lasting.keys().map(|index| FaultIndex(*index)) {
            let counters = self.shared.net.counters(&self.plan.faults[index.index()].pairs);
            let effect = self.effect(index);
            let mut journal = self.shared.journal.lock();
            let now = journal.now();
            journal.record.effect(index).add(&effect);
            journal.record.fault_lasting(index, now, counters);
        }
    }
}
