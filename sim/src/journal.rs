//! What a run writes down: the record that is judged, and the trace that is hashed. Always together, so
//! that nothing can be in the one and not in the other.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peat_scenarios::drive::{Doing, Logbook};
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::{RunRecord, SimTime};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::clock::SimClock;
use crate::trace::{Kind, Trace};

/// The journal of a run, shared by everything in it. Never held across an `await`.
#[derive(Clone)]
pub(crate) struct Journal {
    inner: Arc<Mutex<Inner>>,
    stirred: Arc<Notify>,
}

pub(crate) struct Inner {
    pub(crate) record: RunRecord,
    pub(crate) trace: Trace,
    clock: SimClock,
    /// What the clock showed when scenario time began.
    zero: Duration,
    names: Vec<Arc<str>>,
}

impl Journal {
    pub(crate) fn new(record: RunRecord, trace: Trace, clock: SimClock) -> Self {
        let names = record.topology.nodes.iter().map(|node| node.name.as_str().into()).collect();
        let zero = clock.elapsed();
        let inner = Inner { record, trace, clock, zero, names };
        Self { inner: Arc::new(Mutex::new(inner)), stirred: Arc::new(Notify::new()) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, Inner> {
        // One thread: a poisoned lock means that the run is being torn down by a panic anyway.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Told whenever something happened that a timeline may wait for: an operation ended, a session came up, the power
    /// is to be cut. Whoever does not wait for that does not listen.
    pub(crate) fn stirred(&self) -> &Arc<Notify> {
        &self.stirred
    }

    /// Scenario time begins now.
    pub(crate) fn start_clock(&self) {
        let mut inner = self.lock();
        inner.zero = inner.clock.elapsed();
    }

    pub(crate) fn now(&self) -> SimTime {
        self.lock().now()
    }

    /// The moment `at` on the clock of the current runtime; now, if it is over.
    pub(crate) fn instant(&self, at: SimTime) -> Instant {
        let inner = self.lock();
        inner.clock.instant(inner.zero + at.as_duration())
    }

    /// Adds an event that is in the trace only.
    pub(crate) fn note(&self, kind: Kind, node: NodeIndex, text: &str) {
        let mut inner = self.lock();
        let now = inner.now();
        inner.note(now, kind, node, text);
    }
}

impl Logbook for Journal {
    fn write<T>(&self, entry: impl FnOnce(&mut RunRecord, SimTime) -> T) -> T {
        let mut inner = self.lock();
        let now = inner.now();
        entry(&mut inner.record, now)
    }

    fn note(&self, doing: Doing, node: NodeIndex, line: &str) {
        let kind = match doing {
            Doing::Invokes => Kind::Invoked,
            Doing::Completes => Kind::Completed,
            Doing::Sees => Kind::Visible,
        };
        Journal::note(self, kind, node, line);
    }

    fn instant(&self, at: SimTime) -> Instant {
        Journal::instant(self, at)
    }

    fn stir(&self) {
        self.stirred.notify_one();
    }
}

impl Inner {
    pub(crate) fn now(&self) -> SimTime {
        SimTime::from(self.clock.elapsed().saturating_sub(self.zero))
    }

    /// Adds an event about a node to the trace.
    pub(crate) fn note(&mut self, at: SimTime, kind: Kind, node: NodeIndex, text: &str) {
        let name = self.name(node);
        self.trace.add(at, kind, &[&node.0.to_le_bytes(), text.as_bytes()], || format!("{name} {text}"));
    }

    pub(crate) fn name(&self, node: NodeIndex) -> Arc<str> {
        self.names[node.index()].clone()
    }
}
