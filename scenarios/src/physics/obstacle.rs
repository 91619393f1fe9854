//! What stands in the way of datagrams before they reach a link: faults that look at a datagram, or keep it.
//!
//! A [`super::Link`] knows sizes and times only. A dial-only partition must see whether a datagram opens a connection,
//! and a clog must give back later what it was given: both are done here, in front of it.

use std::collections::{BTreeMap, VecDeque};

use crate::limits;
use crate::plan::{FaultIndex, NodeIndex};
use crate::record::FaultEffect;

/// From, to.
pub(super) type Pair = (NodeIndex, NodeIndex);

/// The first bit of a QUIC datagram with a long header: Initial, 0-RTT, Handshake, Retry (RFC 8999, section 5.1). All
/// that an open connection sends has a short header.
const LONG_HEADER: u8 = 0x80;

/// What becomes of a datagram in front of its link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Passage {
    /// On to the link.
    Open,
    /// Kept until the heal.
    Held,
    /// Gone.
    Refused,
}

/// All obstacles of a network.
#[derive(Debug, Clone, Default)]
pub(super) struct Obstacles {
    clogs: BTreeMap<Pair, Vec<FaultIndex>>,
    dial_cuts: BTreeMap<Pair, Vec<FaultIndex>>,
    /// Faults that make queues, whose length is looked at.
    bloats: BTreeMap<Pair, Vec<FaultIndex>>,
    held: BTreeMap<Pair, VecDeque<Vec<u8>>>,
    held_bytes: BTreeMap<Pair, usize>,
    effects: BTreeMap<FaultIndex, FaultEffect>,
}

impl Obstacles {
    pub(super) fn clog(&mut self, fault: FaultIndex, pairs: &[Pair]) {
        add(&mut self.clogs, fault, pairs);
    }

    pub(super) fn cut_dials(&mut self, fault: FaultIndex, pairs: &[Pair]) {
        add(&mut self.dial_cuts, fault, pairs);
    }

    pub(super) fn bloat(&mut self, fault: FaultIndex, pairs: &[Pair]) {
        add(&mut self.bloats, fault, pairs);
    }

    /// `fault` is over. What only it held is let go, in the order in which it was held on each pair.
    pub(super) fn heal(&mut self, fault: FaultIndex) -> Vec<(Pair, Vec<u8>)> {
        for of in [&mut self.clogs, &mut self.dial_cuts, &mut self.bloats] {
            of.values_mut().for_each(|faults| faults.retain(|by| *by != fault));
            of.retain(|_, faults| !faults.is_empty());
        }
        let free: Vec<Pair> = self.held.keys().filter(|pair| !self.clogs.contains_key(pair)).copied().collect();
        let mut released = Vec::new();
        for pair in free {
            self.held_bytes.remove(&pair);
            released.extend(self.held.remove(&pair).into_iter().flatten().map(|payload| (pair, payload)));
        }
        released
    }

    /// Costs nothing while there are no obstacles.
    pub(super) fn meet(&mut self, pair: Pair, payload: &[u8]) -> Passage {
        if let Some(faults) = self.dial_cuts.get(&pair)
            && payload.first().is_some_and(|first| first & LONG_HEADER != 0)
        {
            for fault in faults {
                self.effects.entry(*fault).or_default().datagrams_blocked += 1;
            }
            return Passage::Refused;
        }
        let Some(faults) = self.clogs.get(&pair) else { return Passage::Open };
        let bytes = self.held_bytes.entry(pair).or_default();
        if *bytes + payload.len() > limits::CLOG_BYTES {
            for fault in faults {
                self.effects.entry(*fault).or_default().datagrams_blocked += 1;
            }
            return Passage::Refused;
        }
        *bytes += payload.len();
        self.held.entry(pair).or_default().push_back(payload.to_vec());
        for fault in faults {
            self.effects.entry(*fault).or_default().datagrams_held += 1;
        }
        Passage::Held
    }

    /// Is a queue on this pair looked at?
    pub(super) fn watches_queue(&self, pair: Pair) -> bool {
        self.bloats.contains_key(&pair)
    }

    /// A datagram was queued for so long.
    pub(super) fn queued(&mut self, pair: Pair, wait: std::time::Duration) {
        for fault in self.bloats.get(&pair).into_iter().flatten() {
            let effect = self.effects.entry(*fault).or_default();
            effect.queue_wait = effect.queue_wait.max(wait);
        }
    }

    /// What a fault did here.
    pub(super) fn effect(&self, fault: FaultIndex) -> FaultEffect {
        self.effects.get(&fault).cloned().unwrap_or_default()
    }
}

fn add(to: &mut BTreeMap<Pair, Vec<FaultIndex>>, fault: FaultIndex, pairs: &[Pair]) {
    for pair in pairs {
        let faults = to.entry(*pair).or_default();
        if !faults.contains(&fault) {
            faults.push(fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: FaultIndex = FaultIndex(0);
    const B: FaultIndex = FaultIndex(1);
    const WAY: Pair = (NodeIndex(0), NodeIndex(1));
    const BACK: Pair = (NodeIndex(1), NodeIndex(0));

    #[test]
    fn a_clog_gives_back_in_order_what_it_was_given_once_the_last_has_healed() {
        let mut obstacles = Obstacles::default();
        obstacles.clog(A, &[WAY]);
        obstacles.clog(B, &[WAY]);
        for payload in [b"one".as_slice(), b"two"] {
            assert_eq!(obstacles.meet(WAY, payload), Passage::Held);
        }
        assert_eq!(obstacles.meet(BACK, b"back"), Passage::Open);
        assert!(obstacles.heal(A).is_empty());
        assert_eq!(obstacles.heal(B), [(WAY, b"one".to_vec()), (WAY, b"two".to_vec())]);
        assert_eq!(obstacles.meet(WAY, b"three"), Passage::Open);
        assert_eq!((obstacles.effect(A).datagrams_held, obstacles.effect(B).datagrams_held), (2, 2));
    }

    #[test]
    fn a_clog_holds_only_so_much() {
        let mut obstacles = Obstacles::default();
        obstacles.clog(A, &[WAY]);
        let half = vec![0; limits::CLOG_BYTES / 2];
        let met: Vec<Passage> = (0..3).map(|_| obstacles.meet(WAY, &half)).collect();
        assert_eq!(met, [Passage::Held, Passage::Held, Passage::Refused]);
        assert_eq!(obstacles.effect(A).datagrams_blocked, 1);
    }

    #[test]
    fn a_dial_cut_stops_only_what_opens_a_connection() {
        let mut obstacles = Obstacles::default();
        obstacles.cut_dials(A, &[WAY]);
        assert_eq!(obstacles.meet(WAY, &[0xc3, 1]), Passage::Refused);
        assert_eq!(obstacles.meet(WAY, &[0x43, 1]), Passage::Open);
        assert_eq!(obstacles.effect(A).datagrams_blocked, 1);
        obstacles.heal(A);
        assert_eq!(obstacles.meet(WAY, &[0xc3, 1]), Passage::Open);
    }
}
