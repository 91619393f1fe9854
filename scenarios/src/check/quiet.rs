//! After convergence nothing flows but what keeps sessions alive.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{CheckResult, Findings};
use crate::plan::NodeIndex;
use crate::record::{Count, RunRecord, TRAFFIC_SLICE};
use crate::report::{count, plural};
use crate::time::SimTime;

/// From the last thing that happened to the beginning of the quiet: lazy acknowledgements and claims are due 2.5 s after
/// what they are about, at each of a few hops.
const AFTERMATH: Duration = Duration::from_secs(5);

/// Datagrams that a session may cost in a slice of ten seconds: a keep-alive each 3 s from both ends, on the connection and
/// on its path, each acknowledged, is 28; what is left is for a lost one, a probe of the path, or gossip.
const DATAGRAMS_PER_SESSION: u64 = 60;

/// Datagrams of a dial that leads to nothing, or to a refusal: a handshake with its retransmissions.
const DATAGRAMS_PER_DIAL: u64 = 16;

/// Each whole slice of the quiet time against what its sessions and dials may cost. `None` when there is no such slice.
pub(super) fn check(record: &RunRecord) -> Option<CheckResult> {
    let slice = SimTime::from(TRAFFIC_SLICE).as_nanos();
    let begins = last_event(record)? + AFTERMATH;
    let (first, last) = (begins.as_nanos().div_ceil(slice), record.meta.duration.as_nanos() / slice);
    if record.traffic.by_slice.is_empty() || first >= last {
        return None;
    }
    let sessions = sessions(record);
    let mut findings = Findings::default();
    let mut most = 0;
    for at in first..last {
        let sent = record.traffic.by_slice.get(at as usize).copied().unwrap_or_default();
        let (from, to) = (SimTime::from_nanos(at * slice), SimTime::from_nanos((at + 1) * slice));
        let dials = record.dials.iter().filter(|dial| (from..to).contains(&dial.at)).count() as u64;
        let allowed = sessions * DATAGRAMS_PER_SESSION + dials * DATAGRAMS_PER_DIAL;
        most = most.max(sent.datagrams);
        if sent.datagrams > allowed {
            let Count { datagrams, bytes } = sent;
            let (datagrams, bytes, allowed) = (count(datagrams), count(bytes), count(allowed));
            findings.add(|| format!("{from} to {to}: {datagrams} datagrams of {bytes} bytes, {allowed} are due"));
        }
    }
    let slices = plural(last - first, "slice");
    let good = format!("at most {} datagrams in {slices} of 10 s, {}", count(most), plural(sessions, "session"));
    Some(CheckResult::from_findings("quiescence", findings, "slices of 10 s with traffic that nobody needs", good))
}

/// When anything last happened that may have consequences; `None` where that cannot be known.
fn last_event(record: &RunRecord) -> Option<SimTime> {
    if record.sessions.is_empty() {
        return None;
    }
    let operations = record.operations.iter().map(|operation| operation.completed.unwrap_or(operation.invoked));
    let faults = record.faults.iter().flat_map(|fault| [fault.applied, fault.healed]).flatten();
    let moments = operations
        .chain(faults)
        .chain(record.visibility.last().map(|event| event.at))
        .chain(record.sessions.iter().map(|event| event.at))
        .chain(record.lives.iter().map(|life| life.at));
    moments.chain([record.meta.writes_end]).max()
}

/// Pairs with a session at the end, by the word of either end.
fn sessions(record: &RunRecord) -> u64 {
    let mut up: BTreeMap<(NodeIndex, NodeIndex), bool> = BTreeMap::new();
    for event in &record.sessions {
        up.insert((event.node.min(event.peer), event.node.max(event.peer)), event.up);
    }
    up.values().filter(|up| **up).count() as u64
}
