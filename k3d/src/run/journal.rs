//! What a run in real time writes down, by the one clock that there is: the runner's.

use std::cell::RefCell;
use std::rc::Rc;

use hdrhistogram::Histogram;
use peat_scenarios::drive::{Doing, Logbook};
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::{RunRecord, SimTime};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Event;
use crate::emulator::nanos;

/// The journal of a run, shared by everything in it. A run is one thread. Cheap to clone.
#[derive(Clone)]
pub(super) struct Journal {
    inner: Rc<RefCell<Inner>>,
    stirred: Rc<Notify>,
    begun: Rc<Notify>,
}

struct Inner {
    record: RunRecord,
    /// When scenario time began; `None`: it has not.
    zero: Option<Instant>,
    /// Kept only if somebody wants to read them.
    events: Option<Vec<Event>>,
    /// How long nodes take to answer a question, in nanoseconds.
    calls: Histogram<u64>,
}

impl Journal {
    pub(super) fn new(record: RunRecord, keep: bool) -> Self {
        let inner = Inner { record, zero: None, events: keep.then(Vec::new), calls: nanos() };
        Self { inner: Rc::new(RefCell::new(inner)), stirred: Rc::default(), begun: Rc::default() }
    }

    /// Scenario time begins now.
    pub(super) fn start_clock(&self) {
        self.inner.borrow_mut().zero = Some(Instant::now());
        self.begun.notify_waiters();
    }

    /// Waits until scenario time begins.
    pub(super) async fn started(&self) {
        let begun = self.begun.notified();
        if self.inner.borrow().zero.is_none() {
            begun.await;
        }
    }

    pub(super) fn now(&self) -> SimTime {
        self.inner.borrow().now()
    }

    /// Told whenever something happened that the timeline may wait for.
    pub(super) fn stirred(&self) -> &Notify {
        &self.stirred
    }

    /// Adds a line that is about no node, or about the world.
    pub(super) fn tell(&self, line: &str) {
        let mut inner = self.inner.borrow_mut();
        let at = inner.now();
        if let Some(events) = &mut inner.events {
            events.push(Event { at, text: line.to_owned() });
        }
    }

    /// Adds a line about a node.
    pub(super) fn tell_of(&self, node: NodeIndex, line: &str) {
        let mut guard = self.inner.borrow_mut();
        let inner = &mut *guard;
        let at = inner.now();
        if let Some(events) = &mut inner.events {
            events.push(Event { at, text: format!("{} {line}", inner.record.topology.name(node)) });
        }
    }

    /// Trouble of the world itself.
    pub(super) fn infra(&self, problem: &str) {
        self.tell(problem);
        self.inner.borrow_mut().record.infra_errors.push(problem.to_owned());
    }

    /// What is wrong with a node itself: the log of a report shows it, the verdict comes from what the node then lacks.
    pub(super) fn trouble(&self, node: NodeIndex, what: &str) {
        self.tell_of(node, what);
        let mut inner = self.inner.borrow_mut();
        let now = inner.now();
        let name = inner.record.topology.name(node).to_owned();
        inner.record.logs.entry(name).or_default().push(format!("{now} {what}"));
    }

    /// A node took so long to answer a question.
    pub(super) fn called(&self, took: std::time::Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        self.inner.borrow_mut().calls.saturating_record(nanos);
    }

    /// The record and the events, and how long nodes took to answer. Whoever writes later writes for nobody.
    pub(super) fn take(&self) -> (RunRecord, Vec<Event>, Histogram<u64>) {
        let mut inner = self.inner.borrow_mut();
        let events = inner.events.take().unwrap_or_default();
        (inner.record.clone(), events, inner.calls.clone())
    }
}

impl Inner {
    /// Never beyond the end: what is read after it is read of that moment.
    fn now(&self) -> SimTime {
        self.zero.map_or(SimTime::ZERO, |zero| SimTime::from(zero.elapsed()).min(self.record.meta.duration))
    }
}

impl Logbook for Journal {
    fn write<T>(&self, entry: impl FnOnce(&mut RunRecord, SimTime) -> T) -> T {
        let mut inner = self.inner.borrow_mut();
        let now = inner.now();
        entry(&mut inner.record, now)
    }

    fn note(&self, _doing: Doing, node: NodeIndex, line: &str) {
        self.tell_of(node, line);
    }

    fn instant(&self, at: SimTime) -> Instant {
        self.inner.borrow().zero.unwrap_or_else(Instant::now) + at.as_duration()
    }

    fn stir(&self) {
        self.stirred.notify_one();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use peat_scenarios::model::Workload;
    use peat_scenarios::{Scenario, plan};

    use super::*;

    /// Of two nodes, the first of which dials, whose story has begun.
    pub(in super::super) fn journal() -> Journal {
        let scenario = Scenario::builder("pair")
            .purpose("two nodes")
            .duration(Duration::from_secs(60))
            .cluster("c", |cluster| cluster.group("a", 2))
            .workload(Workload::heartbeat(["a"], Duration::from_secs(30)))
            .build()
            .unwrap();
        let plan = plan::expand(&scenario, 1);
        let journal = Journal::new(RunRecord::new(&scenario, &plan, "pair", "process", ""), true);
        assert_eq!(journal.now(), SimTime::ZERO, "nothing has begun");
        journal.start_clock();
        journal
    }

    #[test]
    fn events_and_troubles_are_told_with_the_name_of_the_node() {
        let journal = journal();
        journal.trouble(NodeIndex(1), "ended by itself");
        journal.infra("no room");
        let (record, events, _) = journal.take();
        assert_eq!(
            events.iter().map(|event| event.text.as_str()).collect::<Vec<_>>(),
            ["a-1 ended by itself", "no room"]
        );
        assert_eq!(record.infra_errors, ["no room"]);
        assert_eq!(record.logs["a-1"].len(), 1);
    }
}
