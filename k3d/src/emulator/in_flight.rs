//! What is on its way: the part of the emulator that has neither sockets nor a clock.

use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;

use bytes::Bytes;
use peat_scenarios::SimTime;
use peat_scenarios::physics::{Fate, LinkCounters, Network, Sent};
use peat_scenarios::plan::{FaultIndex, NodeIndex, Step, Topology};
use peat_scenarios::record::FaultEffect;

/// Datagrams that may be in flight at once, over all links; more are dropped and counted. At 1,452 bytes each that is
/// 380 MB: a hundred links of 100 Mbit/s with 300 ms of delay.
pub const MAX_FLIGHTS: usize = 1 << 18;

/// All links, and what they carry at the moment.
pub struct InFlight {
    network: Network,
    waiting: BinaryHeap<Reverse<Copy>>,
    launched: u64,
    overflows: u64,
}

/// A datagram that has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Who sent it.
    pub from: NodeIndex,
    /// Whom it is for.
    pub to: NodeIndex,
    /// When it arrives by the model. What is delivered later than this is the emulator's own error.
    pub due: SimTime,
    /// What it says.
    pub payload: Bytes,
}

/// One copy of a datagram on its way.
struct Copy {
    due: SimTime,
    sequence: u64,
    sent: SimTime,
    from: NodeIndex,
    to: NodeIndex,
    payload: Bytes,
}

impl InFlight {
    /// All links up and idle.
    pub fn new(topology: &Topology, seed: u64) -> Self {
        Self { network: Network::new(topology, seed), waiting: BinaryHeap::new(), launched: 0, overflows: 0 }
    }

    /// A datagram was sent. `now` must not go backwards.
    pub fn offer(&mut self, now: SimTime, from: NodeIndex, to: NodeIndex, payload: &[u8]) -> Sent {
        let sent = self.network.send(now, from, to, payload);
        if let Sent::Offered(fate) = sent {
            self.launch(now, (from, to), payload, fate);
        }
        sent
    }

    fn launch(&mut self, now: SimTime, (from, to): (NodeIndex, NodeIndex), payload: &[u8], fate: Fate) {
        for copy in fate.deliveries() {
            self.launched += 1;
            if self.waiting.len() >= MAX_FLIGHTS {
                self.overflows += 1;
                continue;
            }
            let payload = match copy.corruption {
                None => Bytes::copy_from_slice(payload),
                Some(corruption) => {
                    let mut flipped = payload.to_vec();
                    corruption.flip(&mut flipped);
                    flipped.into()
                }
            };
            self.waiting.push(Reverse(Copy { due: copy.at, sequence: self.launched, sent: now, from, to, payload }));
        }
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<SimTime> {
        self.waiting.peek().map(|Reverse(copy)| copy.due)
    }

    /// The next datagram that has arrived by `now`. Those that a cut took on their way are gone without a word.
    pub fn arrived(&mut self, now: SimTime) -> Option<Arrival> {
        while self.next()? <= now {
            let Reverse(Copy { due, sent, from, to, payload, .. }) = self.waiting.pop()?;
            if self.network.arrives(from, to, sent) {
                return Some(Arrival { from, to, due, payload });
            }
        }
        None
    }

    /// Applies what a step of the timeline does to links, and sends on what a clog let go.
    pub fn apply(&mut self, now: SimTime, step: &Step) {
        self.network.apply(now, step);
        for ((from, to), payload) in self.network.take_released() {
            let fate = self.network.offer(now, from, to, payload.len());
            self.launch(now, (from, to), &payload, fate);
        }
    }

    /// Counts of the links between `pairs`, added up.
    pub fn counters(&self, pairs: &[(NodeIndex, NodeIndex)]) -> LinkCounters {
        self.network.counters(pairs)
    }

    /// What a fault did in front of the links.
    pub fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.network.effect(fault)
    }

    /// Datagrams that found [`MAX_FLIGHTS`] on their way: the run says nothing about the nodes then.
    pub fn overflows(&self) -> u64 {
        self.overflows
    }
}

impl Ord for Copy {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for Copy {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Copy {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Copy {}
