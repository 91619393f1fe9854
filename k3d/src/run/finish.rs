//! The end of a run: the state of every replica, as an application would read it, and what was counted.

use std::collections::BTreeMap;
use std::time::Duration;

use peat_scenarios::RunRecord;
use peat_scenarios::drive::{self, Logbook as _};
use peat_scenarios::record::{Precision, ReplicaState};

use super::host::READ_WITHIN;
use super::{Event, World};
use crate::emulator::Tally;
use crate::ground::{Ground, GroundError};

/// After the links have closed: what was received is committed and shown by then.
const COMES_TO_REST: Duration = Duration::from_millis(300);
/// Lines of each node's log that go into the record.
const LOG_LINES: usize = 40;
/// When 1 of 100 datagrams comes later than this, it is this machine whose latency would be judged and not the mesh: a tenth of the
/// dial interval of a node.
const LATE_MAX: Duration = Duration::from_millis(130);

impl<G: Ground> World<G> {
    pub(super) async fn finish(&mut self) -> (RunRecord, Vec<Event>) {
        let tally = self.links.end().await;
        tokio::time::sleep(COMES_TO_REST).await;
        self.read_replicas().await;
        self.hosts.iter_mut().for_each(super::Host::silence);
        self.counted = None;
        for spec in &self.plan.topology.nodes {
            let log = self.ground.log(spec.index).await;
            let last = log.len().saturating_sub(LOG_LINES);
            let journal = &self.shared.journal;
            journal.write(|record, _| {
                record.logs.entry(spec.name.clone()).or_default().extend(log[last..].iter().cloned());
            });
        }
        let (mut record, events, calls) = self.shared.journal.take();
        match tally {
            Ok(tally) => account(&mut record, tally, |quantile| calls.value_at_quantile(quantile)),
            Err(GroundError(problem)) => record.infra_errors.push(problem),
        }
        // Looks are rare and find what was before.
        record.sessions.sort_by_key(|event| event.at);
        record.dials.sort_by_key(|event| event.at);
        (record, events)
    }

    /// A node that ought to run and does not serve counts as running and empty: that it came back from a crash with nothing
    /// is its own failure and not the world's, so the checks must see it.
    async fn read_replicas(&mut self) {
        let journal = &self.shared.journal;
        for host in &self.hosts {
            let node = host.spec.index;
            let mut state = ReplicaState { node, running: host.is_running(), docs: BTreeMap::new() };
            match host.client() {
                Some(client) => {
                    let reading = drive::documents(client, &self.shared.collections, journal);
                    match tokio::time::timeout(READ_WITHIN, reading).await {
                        Ok(Ok(docs)) => state.docs = docs,
                        Ok(Err(status)) => journal.trouble(node, &format!("its documents cannot be read: {status}")),
                        Err(_deadline) => journal.trouble(node, "its documents cannot be read: no answer in time"),
                    }
                }
                None if host.is_running() => journal.trouble(node, "was started but does not serve"),
                None => {}
            }
            if !self.ground.shows_heads(node) {
                state.docs.values_mut().for_each(|doc| doc.heads = None);
            }
            journal.tell_of(node, &format!("ends with {} documents", state.docs.len()));
            journal.write(|record, _| record.finals.push(state));
        }
    }
}

/// What was counted, and what it says of the world itself.
fn account(record: &mut RunRecord, tally: Tally, call: impl Fn(f64) -> u64) {
    let by_class = std::mem::take(&mut record.traffic.by_class);
    record.traffic = tally.traffic;
    record.traffic.by_class = by_class;
    record.flights = tally.flights;
    let strays = tally.strays;
    let precision = Precision {
        call_p50: Duration::from_nanos(call(0.5)),
        call_p99: Duration::from_nanos(call(0.99)),
        late_p50: Duration::from_nanos(tally.late_p50_ns),
        late_p99: Duration::from_nanos(tally.late_p99_ns),
        late_max: Duration::from_nanos(tally.late_max_ns),
        datagrams: tally.handed_on,
        lost: strays.not_taken + strays.overflows,
    };
    record.precision = Some(precision);
    if strays.from_strangers > 0 {
        let line = format!("{} datagrams came from nobody that the emulator knows", strays.from_strangers);
        record.logs.entry("emulator".into()).or_default().push(line);
    }
    if strays.overflows > 0 {
        record.infra_errors.push(format!("the link emulator had no room for {} datagrams", strays.overflows));
    }
    if precision.late_p99 > LATE_MAX {
        let late = precision.late_p99;
        record.infra_errors.push(format!(
            "the link emulator handed 1 of 100 datagrams on {late:?} or more late (the limit is {LATE_MAX:?}): this machine is too busy"
        ));
    }
}
