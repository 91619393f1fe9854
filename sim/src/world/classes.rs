//! What nodes count as sent in each class of traffic, read at the end of every slice.

use std::collections::BTreeMap;

use peat_scenarios::SimTime;
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::record::TRAFFIC_SLICE;

use crate::host::Host;
use crate::journal::Journal;

/// Remembers what each node said last, as it counts from its start.
#[derive(Default)]
pub(super) struct Classes {
    told: BTreeMap<(NodeIndex, usize), u64>,
    due: Option<SimTime>,
}

impl Classes {
    /// Reads all nodes if a slice is over. It only reads: a run with it is the same run, hash and all.
    pub(super) fn look(&mut self, now: SimTime, hosts: &[Host], journal: &Journal) {
        let due = *self.due.get_or_insert(SimTime::from(TRAFFIC_SLICE));
        if now >= due {
            hosts.iter().for_each(|host| self.read(due, host, journal));
            let slice = SimTime::from(TRAFFIC_SLICE).as_nanos();
            self.due = Some(SimTime::from_nanos((now.as_nanos() / slice + 1) * slice));
        }
    }

    /// Reads one node, at the latest before it crashes: what it counts dies with it.
    pub(super) fn read(&mut self, now: SimTime, host: &Host, journal: &Journal) {
        let Some((node, _)) = host.ready() else { return };
        let mut journal = journal.lock();
        for (position, (class, bytes)) in node.sync_stats().by_class.into_iter().enumerate() {
            let told = self.told.entry((host.spec().index, position)).or_default();
            // A node that was started again counts from zero.
            let more = if bytes.sent >= *told { bytes.sent - *told } else { bytes.sent };
            *told = bytes.sent;
            if more > 0 {
                journal.record.class_bytes(now, class.name(), more);
            }
        }
    }

    /// The node is gone, and its counts with it.
    pub(super) fn forget(&mut self, host: &Host) {
        let node = host.spec().index;
        self.told.retain(|(of, _), _| *of != node);
    }
}
