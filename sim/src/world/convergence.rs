//! Do all running nodes hold the same documents?

use std::collections::BTreeMap;

use peat_scenarios::SimTime;

use crate::host::Host;
use crate::journal::Journal;
use crate::trace::Kind;

/// Remembers what was seen last, so that a quiet mesh costs nothing.
pub(super) struct Convergence {
    equal: bool,
    /// Events of applications and nodes that had happened then.
    seen: Option<u64>,
}

impl Default for Convergence {
    fn default() -> Self {
        // Empty nodes are equal, and that is no convergence worth a line.
        Self { equal: true, seen: None }
    }
}

impl Convergence {
    /// True when every host that runs serves, and all hold the same changes. Not before the first document
    /// was seen: that empty nodes are equal is not what a timeline waits for.
    pub(super) fn look(&mut self, now: SimTime, hosts: &[Host], journal: &Journal) -> bool {
        let (events, written) = {
            let journal = journal.lock();
            (journal.trace.application_events(), !journal.record.visibility.is_empty())
        };
        if !written {
            return false;
        }
        if self.seen == Some(events) {
            return self.equal;
        }
        self.seen = Some(events);
        let equal = all_equal(hosts);
        if equal != self.equal {
            self.equal = equal;
            let mut journal = journal.lock();
            let text = if equal { "all nodes hold the same" } else { "nodes differ" };
            if equal {
                journal.record.convergences.push(now);
            }
            journal.trace.add(now, Kind::Convergence, &[text.as_bytes()], || text.to_owned());
        }
        equal
    }
}

fn all_equal(hosts: &[Host]) -> bool {
    let mut first: BTreeMap<&str, [u8; 32]> = BTreeMap::new();
    for host in hosts.iter().filter(|host| host.is_running()) {
        let Some((node, _)) = host.ready() else { return false };
        let digest = node.heads_digest();
        if *first.entry(&host.spec().formation).or_insert(digest) != digest {
            return false;
        }
    }
    true
}
