//! What a step of the timeline does, and what the fault did by its end.

use peat_scenarios::SimTime;
use peat_scenarios::drive::Logbook as _;
use peat_scenarios::model::Trouble;
use peat_scenarios::plan::{FaultClass, FaultIndex, NodeIndex, Step};
use peat_scenarios::record::FaultEffect;

use super::World;
use crate::ground::{Ground, GroundError};

impl<G: Ground> World<G> {
    pub(super) async fn take(&mut self, step: &Step) -> Result<(), GroundError> {
        let index = step.fault();
        let fault = self.plan.faults[index.index()].clone();
        let begins = step.begins();
        // Before the links change: what the fault has done is in the counts until now.
        let effect = if begins { FaultEffect::default() } else { self.effect(index).await? };
        let counters = self.links.counters(&fault.pairs).await?;
        let touches_links = matches!(
            step,
            Step::LinksDown { .. }
                | Step::Clog { .. }
                | Step::DialCut { .. }
                | Step::Degrade { .. }
                | Step::Heal { .. }
        );
        if touches_links {
            self.links.apply(step).await?;
        }
        self.shared.journal.write(|record, now| match begins {
            true => record.fault_applied(index, now, counters),
            false => {
                record.effect(index).add(&effect);
                record.fault_healed(index, now, counters);
            }
        });
        let verb = if begins { "begins" } else { "ends" };
        self.shared.journal.tell(&format!("{} {verb}: {}", fault.name, fault.description));
        match begins {
            true => drop(self.lasting.insert(index.0, fault.description.clone())),
            false => drop(self.lasting.remove(&index.0)),
        }
        match step {
            Step::Crash { node, .. } => self.suffer(index, *node, Trouble::Crash).await?,
            Step::Trouble { node, trouble, .. } => self.suffer(index, *node, *trouble).await?,
            Step::Recover { node, .. } if fault.class == FaultClass::Pause => {
                let others = self.paused.get_mut(node).is_some_and(|faults| {
                    faults.remove(&index);
                    !faults.is_empty()
                });
                if !others && self.hosts[node.index()].is_running() {
                    self.ground.resume(*node).await?;
                }
            }
            Step::Restart { node, .. } => {
                let held = self.down.get_mut(node).is_some_and(|holders| {
                    holders.remove(&index);
                    !holders.is_empty()
                });
                if !held && !self.hosts[node.index()].is_running() {
                    self.start(*node).await?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    async fn suffer(&mut self, fault: FaultIndex, node: NodeIndex, trouble: Trouble) -> Result<(), GroundError> {
        // Also of a node that was down already: it stays so until the last of them is over.
        if matches!(trouble, Trouble::Crash | Trouble::DataLoss) {
            self.down.entry(node).or_default().insert(fault);
        }
        match trouble {
            Trouble::Crash => self.stop(node).await?,
            Trouble::DataLoss => {
                if self.hosts[node.index()].is_running() {
                    self.stop(node).await?;
                    let lost = self.ground.wipe(node).await?;
                    self.hosts[node.index()].forget();
                    self.convergence.forget(node);
                    self.shared.journal.write(|record, _| record.effect(fault).bytes_lost += lost);
                }
            }
            Trouble::Pause => {
                self.paused.entry(node).or_default().insert(fault);
                let before = self.received_by(node).await?;
                self.before_pause.insert(fault, before);
                if self.hosts[node.index()].is_running() {
                    self.ground.pause(node).await?;
                }
            }
            // A world that cannot do it has refused the scenario.
            other => return Err(GroundError(format!("{} is none of the faults of this world", other.name()))),
        }
        Ok(())
    }

    async fn stop(&mut self, node: NodeIndex) -> Result<(), GroundError> {
        if !self.hosts[node.index()].is_running() {
            return Ok(());
        }
        self.ground.kill(node).await?;
        self.hosts[node.index()].die();
        Ok(())
    }

    /// Datagrams that the links brought to a node so far.
    async fn received_by(&mut self, node: NodeIndex) -> Result<u64, GroundError> {
        let ways = self.ways_of(node).into_iter().filter(|(_, to)| *to == node).collect::<Vec<_>>();
        Ok(self.links.counters(&ways).await?.arrived)
    }

    /// What a fault has done so far, as far as the record does not see it.
    async fn effect(&mut self, fault: FaultIndex) -> Result<FaultEffect, GroundError> {
        let mut effect = self.links.effect(fault).await?;
        let spec = &self.plan.faults[fault.index()];
        if let (FaultClass::Pause, Some(node)) = (spec.class, spec.node) {
            let before = self.before_pause.get(&fault).copied().unwrap_or_default();
            effect.datagrams_held = self.received_by(node).await?.saturating_sub(before);
        }
        Ok(effect)
    }

    /// The run ends while faults last.
    pub(super) async fn close_lasting(&mut self) -> Result<(), GroundError> {
        for index in self.lasting.keys().copied().map(FaultIndex).collect::<Vec<_>>() {
            let effect = self.effect(index).await?;
            let pairs = self.plan.faults[index.index()].pairs.clone();
            let counters = self.links.counters(&pairs).await?;
            self.shared.journal.write(|record, now: SimTime| {
                record.effect(index).add(&effect);
                record.fault_lasting(index, now, counters);
            });
        }
        Ok(())
    }
}
