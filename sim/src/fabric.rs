//! The engine `fabric`: one event-driven runtime for everything.
//!
//! One heap of datagrams in flight, ordered by (time of arrival, sequence), and one task that sleeps until
//! the first of them is due. No ticks: an idle network costs nothing, and virtual time jumps from event to
//! event. Every host is a set of tasks in the one runtime.
//!
//! The clock has a grain of one millisecond (tokio's timers): a datagram arrives on the first tick at or
//! after the moment that physics gives it.

mod engine;
#[cfg(test)]
#[allow(clippy::disallowed_methods)]
mod tests;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use iroh::endpoint::transports::CustomTransport;
use peat_scenarios::SimTime;
use peat_scenarios::plan::NodeIndex;
use tokio::sync::Notify;

use crate::net::{Carrier, Flight, Net};

pub(crate) use engine::{SETTLE, run};

/// Carries what is in flight. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Fabric {
    net: Net,
    heap: Arc<Mutex<Heap>>,
    wake: Arc<Notify>,
}

impl std::fmt::Debug for Fabric {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fabric")
    }
}

#[derive(Default)]
struct Heap {
    flights: BinaryHeap<Reverse<Flight>>,
    /// When the task will look next.
    next: Option<SimTime>,
}

impl Heap {
    /// The first flight that is due.
    fn pop_due(&mut self, now: SimTime) -> Option<Flight> {
        let Reverse(first) = self.flights.peek()?;
        if first.arrives_at > now {
            return None;
        }
        self.flights.pop().map(|Reverse(flight)| flight)
    }
}

impl Carrier for Fabric {
    fn carry(&self, flight: Flight) {
        let mut heap = self.lock();
        let arrives_at = flight.arrives_at;
        heap.flights.push(Reverse(flight));
        if heap.next.is_none_or(|next| arrives_at < next) {
            heap.next = Some(arrives_at);
            self.wake.notify_one();
        }
    }
}

impl Fabric {
    pub(crate) fn new(net: Net) -> Self {
        Self { net, heap: Arc::default(), wake: Arc::new(Notify::new()) }
    }

    fn lock(&self) -> MutexGuard<'_, Heap> {
        self.heap.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The transport to bind the endpoint of a life to.
    pub(crate) fn transport(&self, host: NodeIndex, life: u32) -> Arc<dyn CustomTransport> {
        self.net.transport(host, life, Arc::new(self.clone()))
    }

    /// Delivers, for as long as it is polled.
    pub(crate) async fn run(self) {
        loop {
            let next = self.deliver_due();
            match next {
                Some(at) => {
                    let due = self.net.journal().instant(at);
                    tokio::select! {
                        biased;
                        () = self.wake.notified() => {}
                        () = tokio::time::sleep_until(due) => {}
                    }
                }
                None => self.wake.notified().await,
            }
        }
    }

    /// Delivers what is due and says when to look again.
    fn deliver_due(&self) -> Option<SimTime> {
        let now = self.net.journal().now();
        loop {
            // Not held while it lands: that wakes whoever reads.
            let due = self.lock().pop_due(now);
            match due {
                Some(flight) => self.net.land(flight),
                None => break,
            }
        }
        let mut heap = self.lock();
        heap.next = heap.flights.peek().map(|Reverse(first)| first.arrives_at);
        heap.next
    }
}
