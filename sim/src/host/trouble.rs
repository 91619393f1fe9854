//! What happens to a host besides a plain crash.

use peat_scenarios::model::Trouble;
use peat_scenarios::plan::{FaultClass, FaultIndex, NodeIndex};
use peat_scenarios::record::FaultEffect;

use super::{Engine, Host};
use crate::life::identity;

impl Host {
    /// Something begins to ail it.
    pub(crate) fn suffer(&mut self, fault: FaultIndex, trouble: Trouble, engine: &mut impl Engine) {
        match trouble {
            Trouble::Crash => drop(self.crash(engine)),
            Trouble::DataLoss => {
                if self.crash(engine) {
                    self.disk.wipe(fault);
                }
            }
            Trouble::TornWrite
            | Trouble::UnsyncedLoss
            | Trouble::DiskFull
            | Trouble::DiskSlow { .. }
            | Trouble::ReadError => self.disk.begin(fault, trouble, self.shared.journal.stirred()),
            Trouble::ClockJump { .. } | Trouble::ClockSkew { .. } => self.calendar.begin(fault, trouble),
            Trouble::Pause => {
                if let Some(alive) = &self.alive {
                    alive.pause.begin();
                    self.shared.net.pause(self.spec.index);
                }
            }
        }
    }

    /// It is over.
    pub(crate) fn recover(&mut self, fault: FaultIndex, class: FaultClass) {
        self.disk.end(fault);
        self.calendar.end(fault);
        if let (FaultClass::Pause, Some(alive)) = (class, &self.alive) {
            // What came meanwhile lies there before the first task goes on.
            self.shared.net.resume(self.spec.index);
            alive.pause.end();
        }
    }

    /// What a fault has done so far.
    pub(crate) fn effect(&self, fault: FaultIndex, class: FaultClass) -> FaultEffect {
        let mut effect = self.disk.effect(fault);
        effect.add(&self.calendar.effect(fault));
        if class == FaultClass::Pause {
            effect.datagrams_held = self.shared.net.held(self.spec.index);
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
        let Some((node, _)) = self.ready() else { return 0 };
        let peers: Vec<_> = peers.iter().map(|peer| identity(self.shared.seed, *peer).public()).collect();
        node.sever(&peers) as u64
    }
}
