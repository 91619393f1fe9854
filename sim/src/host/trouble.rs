//! What happens to a host besides a plain crash.

use peat_scenarios::model::Trouble;
use peat_scenarios::plan::{FaultClass, FaultIndex, NodeIndex};
use peat_scenarios::record::FaultEffect;

use super::{Host, State, identity, slot};

impl Host {
    /// Something begins to ail it.
    pub(crate) fn suffer(&mut self, fault: FaultIndex, trouble: Trouble) {
        match trouble {
            Trouble::Crash => drop(self.crash()),
            Trouble::DataLoss => {
                if self.crash() {
                    self.disk.wipe(fault);
                }
            }
            Trouble::TornWrite
            | Trouble::UnsyncedLoss
            | Trouble::DiskFull
            | Trouble::DiskSlow { .. }
            | Trouble::ReadError => self.disk.begin(fault, trouble, self.shared.journal.stirred()),
            Trouble::ClockJump { .. } | Trouble::ClockSkew { .. } => self.clock.begin(fault, trouble),
            Trouble::Pause => {
                if let State::Alive(alive) = &self.state {
                    alive.pause.begin();
                    self.shared.fabric.pause(self.spec.index);
                }
            }
        }
    }

    /// It is over.
    pub(crate) fn recover(&mut self, fault: FaultIndex, class: FaultClass) {
        self.disk.end(fault);
        self.clock.end(fault);
        if let (FaultClass::Pause, State::Alive(alive)) = (class, &self.state) {
            // What came meanwhile lies there before the first task goes on.
            self.shared.fabric.resume(self.spec.index);
            alive.pause.end();
        }
    }

    /// What a fault has done so far.
    pub(crate) fn effect(&self, fault: FaultIndex, class: FaultClass) -> FaultEffect {
        let mut effect = self.disk.effect(fault);
        effect.add(&self.clock.effect(fault));
        if class == FaultClass::Pause {
            effect.datagrams_held = self.shared.fabric.held(self.spec.index);
        }
        effect
    }

    /// True while the next sync of its disk is to be the last.
    pub(crate) fn is_armed(&self) -> bool {
        self.disk.is_armed()
    }

    /// The fault by which the power fails now, in the middle of a sync.
    pub(crate) fn has_tripped(&self) -> Option<FaultIndex> {
        self.disk.has_tripped()
    }

    /// The system tells the node that the paths to these hosts are gone; how many sessions that ended.
    pub(crate) fn sever(&self, peers: &[NodeIndex]) -> u64 {
        let State::Alive(alive) = &self.state else { return 0 };
        let Some((node, _)) = slot(&alive.ready) else { return 0 };
        let peers: Vec<_> = peers.iter().map(|peer| identity(self.shared.seed, *peer).public()).collect();
        node.sever(&peers) as u64
    }
}
