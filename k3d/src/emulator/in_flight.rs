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
    waiting: BinaryHeap<Reverse<Flight>>,
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
struct Flight {
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
            self.waiting.push(Reverse(Flight { due: copy.at, sequence: self.launched, sent: now, from, to, payload }));
        }
    }

    /// When the next datagram arrives.
    pub fn next(&self) -> Option<SimTime> {
        self.waiting.peek().map(|Reverse(copy)| copy.due)
    }

    /// The next datagram that has arrived by `now`. Those that a cut took on their way are gone without a word.
    pub fn arrived(&mut self, now: SimTime) -> Option<Arrival> {
        while self.next()? <= now {
            let Reverse(Flight { due, sent, from, to, payload, .. }) = self.waiting.pop()?;
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

impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (self.due, self.sequence).cmp(&(other.due, other.sequence))
    }
}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Flight {}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use peat_scenarios::Scenario;
    use peat_scenarios::model::{LinkShape, LinkSpec, Workload};
    use peat_scenarios::plan;
    use proptest::prelude::*;

    use super::*;

    const A: NodeIndex = NodeIndex(0);
    const B: NodeIndex = NodeIndex(1);
    const FAULT: FaultIndex = FaultIndex(0);

    fn topology(shape: LinkShape) -> Topology {
        let scenario = Scenario::builder("pair")
            .purpose("two nodes")
            .duration(Duration::from_secs(60))
            .cluster("c", |cluster| cluster.group("a", 1).group("b", 1))
            .link(LinkSpec::shaped("a", "b", shape))
            .workload(Workload::heartbeat(["a"], Duration::from_secs(30)));
        plan::expand(&scenario.build().unwrap(), 1).topology
    }

    prop_compose! {
        fn shapes()(
            latency in 0u64..50, jitter in 0u64..50, loss in 0.0..0.5, duplicate in 0.0..0.5, corrupt in 0.0..0.5,
            bandwidth in prop::option::of(100_000u64..100_000_000),
        ) -> LinkShape {
            LinkShape {
                latency: Some(Duration::from_millis(latency)),
                jitter: Some(Duration::from_millis(jitter)),
                loss: Some(loss),
                duplicate: Some(duplicate),
                corrupt: Some(corrupt),
                bandwidth_bps: bandwidth,
                queue_bytes: Some(100_000),
                ..LinkShape::default()
            }
        }
    }

    #[derive(Debug, Clone)]
    enum Doing {
        Send(usize),
        Look,
        Cut,
        Clog,
        Heal,
    }

    fn doings() -> impl Strategy<Value = Vec<(u64, Doing)>> {
        let doing = prop_oneof![
            8 => (1usize..1_400).prop_map(Doing::Send),
            4 => Just(Doing::Look),
            1 => Just(Doing::Cut),
            1 => Just(Doing::Clog),
            2 => Just(Doing::Heal),
        ];
        prop::collection::vec((1u64..20_000, doing), 1..200)
    }

    proptest! {
        /// Whatever happens: each copy arrives when the model said, whole but for the bits that the link flipped, in order of time, and
        /// nothing is lost count of.
        #[test]
        fn what_arrives_is_what_the_model_says(shape in shapes(), doings in doings()) {
            let topology = topology(shape);
            let (mut in_flight, mut model) = (InFlight::new(&topology, 7), Network::new(&topology, 7));
            let (mut now, mut due, mut arrived) = (SimTime::ZERO, Vec::new(), Vec::new());
            let both = |of: fn(FaultIndex, Vec<(NodeIndex, NodeIndex)>) -> Step| of(FAULT, vec![(A, B)]);
            for (number, (gap, doing)) in doings.into_iter().enumerate() {
                now += Duration::from_micros(gap);
                let step = match doing {
                    Doing::Send(size) => {
                        let mut payload = vec![0x40; size];
                        payload[0] = 0x40 | (number as u8 & 0x3f);
                        let sent = model.send(now, A, B, &payload);
                        prop_assert_eq!(in_flight.offer(now, A, B, &payload), sent);
                        if let Sent::Offered(fate) = sent {
                            due.extend(fate.deliveries().map(|copy| (copy.at, now, size)));
                        }
                        continue;
                    }
                    Doing::Look => {
                        while let Some(arrival) = in_flight.arrived(now) {
                            prop_assert!(arrival.due <= now);
                            arrived.push((arrival.due, arrival.payload.len()));
                        }
                        continue;
                    }
                    Doing::Cut => both(|fault, pairs| Step::LinksDown { fault, pairs }),
                    Doing::Clog => both(|fault, pairs| Step::Clog { fault, pairs }),
                    Doing::Heal => both(|fault, pairs| Step::Heal { fault, pairs }),
                };
                // Copies that are due before a step are looked at before it, as the emulator does.
                while let Some(arrival) = in_flight.arrived(now) {
                    arrived.push((arrival.due, arrival.payload.len()));
                }
                let cut = matches!(step, Step::LinksDown { .. });
                due.retain(|(at, ..)| !cut || *at <= now);
                in_flight.apply(now, &step);
                model.apply(now, &step);
                for (_, payload) in model.take_released() {
                    let fate = model.offer(now, A, B, payload.len());
                    due.extend(fate.deliveries().map(|copy| (copy.at, now, payload.len())));
                }
            }
            while let Some(arrival) = in_flight.arrived(SimTime::MAX) {
                arrived.push((arrival.due, arrival.payload.len()));
            }
            let mut expected: Vec<_> = due.into_iter().map(|(at, _, size)| (at, size)).collect();
            expected.sort_by_key(|(at, _)| *at);
            let mut seen = arrived.clone();
            seen.sort_by_key(|(at, _)| *at);
            prop_assert_eq!(seen.iter().map(|(at, _)| at).collect::<Vec<_>>(), expected.iter().map(|(at, _)| at).collect::<Vec<_>>());
            let counters = in_flight.counters(&[(A, B)]);
            prop_assert_eq!(counters.arrived, arrived.len() as u64);
            prop_assert_eq!(counters.offered + counters.duplicated, counters.dropped() + counters.arrived + counters.in_flight());
            prop_assert_eq!(counters.in_flight(), 0);
        }
    }

    #[test]
    fn a_datagram_of_a_link_that_corrupts_has_flipped_bits() {
        let shape = LinkShape { latency: Some(Duration::ZERO), corrupt: Some(1.0), ..LinkShape::default() };
        let mut in_flight = InFlight::new(&topology(shape), 1);
        in_flight.offer(SimTime::ZERO, A, B, &[0; 100]);
        let arrival = in_flight.arrived(SimTime::MAX).unwrap();
        let flipped: u32 = arrival.payload.iter().map(|byte| byte.count_ones()).sum();
        assert!((1..=4).contains(&flipped), "{flipped}");
    }
}
