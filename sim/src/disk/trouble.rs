//! What can go wrong with a disk besides a power cut.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use peat_scenarios::model::Trouble;
use peat_scenarios::plan::FaultIndex;
use peat_scenarios::record::FaultEffect;
use tokio::sync::Notify;

use super::{Disk, Loss};

/// `EIO` and `ENOSPC` on Linux: a node must not care, but people read them in its log.
const INPUT_OUTPUT: i32 = 5;
const NO_SPACE: i32 = 28;

/// What ails a disk now, and what that did.
#[derive(Default)]
pub(super) struct Troubles {
    lasting: BTreeMap<FaultIndex, Trouble>,
    effects: BTreeMap<FaultIndex, FaultEffect>,
    /// The power fails in the next sync.
    pub(super) armed: Option<(FaultIndex, Loss)>,
    /// It has.
    pub(super) tripped: bool,
    /// Told at that moment.
    pub(super) alarm: Option<Arc<Notify>>,
}

impl Troubles {
    fn count(&mut self, what: impl Fn(&Trouble) -> bool, add: impl Fn(&mut FaultEffect)) -> bool {
        let of: Vec<FaultIndex> = self.lasting.iter().filter(|(_, trouble)| what(trouble)).map(|(f, _)| *f).collect();
        of.iter().for_each(|fault| add(self.effects.entry(*fault).or_default()));
        !of.is_empty()
    }

    /// May something be written?
    pub(super) fn writing(&mut self) -> io::Result<()> {
        match self.count(|trouble| *trouble == Trouble::DiskFull, |effect| effect.writes_refused += 1) {
            true => Err(io::Error::from_raw_os_error(NO_SPACE)),
            false => Ok(()),
        }
    }

    /// May something be read?
    pub(super) fn reading(&mut self) -> io::Result<()> {
        match self.count(|trouble| *trouble == Trouble::ReadError, |effect| effect.reads_refused += 1) {
            true => Err(io::Error::from_raw_os_error(INPUT_OUTPUT)),
            false => Ok(()),
        }
    }

    /// How much longer a sync takes.
    pub(super) fn syncing(&mut self) -> Duration {
        self.count(|trouble| matches!(trouble, Trouble::DiskSlow { .. }), |effect| effect.syncs_delayed += 1);
        let longer = self.lasting.values().map(|trouble| match trouble {
            Trouble::DiskSlow { sync } => *sync,
            _ => Duration::ZERO,
        });
        longer.sum()
    }

    pub(super) fn lost(&mut self, fault: FaultIndex, torn: u64, lost: u64) {
        let effect = self.effects.entry(fault).or_default();
        effect.bytes_torn += torn;
        effect.bytes_lost += lost;
    }
}

impl Disk {
    /// Something begins to ail the disk. A torn write and an unsynced loss wait for the next sync: `alarm` is told then,
    /// and the power is to be cut at that moment ([`Disk::has_tripped`]).
    pub(crate) fn begin(&self, fault: FaultIndex, trouble: Trouble, alarm: &Arc<Notify>) {
        let mut platter = self.lock();
        let troubles = &mut platter.troubles;
        match trouble {
            Trouble::TornWrite => troubles.armed = Some((fault, Loss::Torn)),
            Trouble::UnsyncedLoss => troubles.armed = Some((fault, Loss::Unsynced)),
            other => drop(troubles.lasting.insert(fault, other)),
        }
        troubles.alarm = Some(Arc::clone(alarm));
    }

    /// It is over.
    pub(crate) fn end(&self, fault: FaultIndex) {
        let mut platter = self.lock();
        platter.troubles.lasting.remove(&fault);
        platter.troubles.armed.take_if(|(by, _)| *by == fault);
    }

    /// True while something lasts that may keep a store from being opened.
    pub(crate) fn ails(&self) -> bool {
        !self.lock().troubles.lasting.is_empty()
    }

    /// True while the next sync is to be the last.
    pub(crate) fn is_armed(&self) -> bool {
        self.lock().troubles.armed.is_some()
    }

    /// The fault that cuts the power now.
    pub(crate) fn has_tripped(&self) -> Option<FaultIndex> {
        let platter = self.lock();
        platter.troubles.armed.filter(|_| platter.troubles.tripped).map(|(fault, _)| fault)
    }

    /// Everything on it is gone.
    pub(crate) fn wipe(&self, fault: FaultIndex) {
        let mut platter = self.lock();
        let bytes = platter.durable.stored_bytes();
        platter.wipe();
        platter.troubles.lost(fault, 0, bytes);
    }

    /// What a fault did here.
    pub(crate) fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.lock().troubles.effects.get(&fault).cloned().unwrap_or_default()
    }
}
