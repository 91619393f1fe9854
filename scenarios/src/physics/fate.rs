//! What becomes of an offered datagram, and the counts of it.

use serde::{Deserialize, Serialize};

use crate::time::SimTime;

/// Why a datagram did not arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DropCause {
    /// A fault cut the link.
    Down,
    /// The link's schedule has no contact now, or the contact ends before the datagram would be sent.
    NoContact,
    /// Longer than the link's MTU.
    TooBig,
    /// No room to wait for serialisation.
    QueueFull,
    /// The queue's discipline (CoDel, RED) dropped it to keep the queue short.
    Early,
    /// Lost on the medium, each datagram for itself.
    Loss,
    /// Lost on the medium, in a burst.
    Burst,
}

/// What becomes of an offered datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It reaches the far end, once or twice, unless the link is cut meanwhile: ask [`super::Link::arrives`] then,
    /// for each copy.
    Deliver(Deliveries),
    /// It is gone.
    Drop(DropCause),
}

impl Fate {
    /// The copies that set out; none of a dropped datagram.
    pub fn deliveries(self) -> impl Iterator<Item = Delivery> {
        let (first, second) = match self {
            Fate::Deliver(Deliveries { first, duplicate }) => (Some(first), duplicate),
            Fate::Drop(_) => (None, None),
        };
        first.into_iter().chain(second)
    }
}

/// The copies of a datagram that set out for the far end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deliveries {
    /// The datagram.
    pub first: Delivery,
    /// The copy that the link made of it. It may arrive before the first.
    pub duplicate: Option<Delivery>,
}

/// One copy of a datagram on its way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Delivery {
    /// The moment of arrival.
    pub at: SimTime,
    /// It arrives with flipped bits: apply this to its payload.
    pub corruption: Option<Corruption>,
}

/// Which bits of a payload flip: a function of one draw from the link's random stream, so that the fate of a datagram
/// is decided when it is offered, and whoever carries the payload needs no randomness of his own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Corruption(pub(super) u64);

/// Most bits that flip in one datagram: what slips through a radio's forward error correction is a few bits.
const FLIPPED_BITS_MAX: u64 = 4;

impl Corruption {
    /// Flips one to four bits of the payload, at least one of them for good: no bit flips twice. An empty payload stays
    /// as it is.
    pub fn flip(self, payload: &mut [u8]) {
        let bits = payload.len() as u64 * 8;
        if bits == 0 {
            return;
        }
        let mut state = self.0;
        let mut flipped = [u64::MAX; FLIPPED_BITS_MAX as usize];
        for position in 0..=(self.0 % FLIPPED_BITS_MAX) as usize {
            let bit = split_mix(&mut state) % bits;
            if !flipped.contains(&bit) {
                flipped[position] = bit;
                payload[(bit / 8) as usize] ^= 1 << (bit % 8);
            }
        }
    }
}

/// SplitMix64 (Steele, Lea, Flood 2014): spreads one draw over several positions.
fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// What a link did so far. At any time, with what is still in flight:
///
/// `offered + duplicated = dropped() + arrived + in_flight()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LinkCounters {
    /// Datagrams offered.
    pub offered: u64,
    /// Copies put on their way to the far end.
    pub delivered: u64,
    /// Datagrams refused because a fault had cut the link.
    pub down: u64,
    /// Datagrams lost on the medium, each for itself.
    pub loss: u64,
    /// Datagrams that found the queue full.
    pub queue_full: u64,
    /// Copies that were in flight when the link was cut.
    pub killed: u64,
    /// Payload bytes offered, without IP and UDP headers.
    pub offered_bytes: u64,
    /// Payload bytes put on their way, without IP and UDP headers.
    pub delivered_bytes: u64,
    /// Datagrams that no contact of the schedule carried.
    #[serde(default)]
    pub no_contact: u64,
    /// Datagrams longer than the MTU.
    #[serde(default)]
    pub too_big: u64,
    /// Datagrams that the queue's discipline dropped.
    #[serde(default)]
    pub early: u64,
    /// Datagrams lost on the medium in bursts.
    #[serde(default)]
    pub burst: u64,
    /// Second copies that the link made.
    #[serde(default)]
    pub duplicated: u64,
    /// Copies put on their way with flipped bits.
    #[serde(default)]
    pub corrupted: u64,
    /// Copies that reached the far end.
    #[serde(default)]
    pub arrived: u64,
}

impl LinkCounters {
    /// Counts a drop.
    pub(super) fn drop(&mut self, cause: DropCause) {
        *match cause {
            DropCause::Down => &mut self.down,
            DropCause::NoContact => &mut self.no_contact,
            DropCause::TooBig => &mut self.too_big,
            DropCause::QueueFull => &mut self.queue_full,
            DropCause::Early => &mut self.early,
            DropCause::Loss => &mut self.loss,
            DropCause::Burst => &mut self.burst,
        } += 1;
    }

    /// Everything that did not arrive, for whatever reason.
    pub fn dropped(&self) -> u64 {
        self.down + self.no_contact + self.too_big + self.queue_full + self.early + self.loss + self.burst + self.killed
    }

    /// Copies that are on their way: neither arrived nor killed.
    pub fn in_flight(&self) -> u64 {
        self.delivered.saturating_sub(self.arrived + self.killed)
    }

    /// What cuts alone took: refused while down, and killed in flight.
    pub fn cut(&self) -> u64 {
        self.down + self.killed
    }

    /// Adds the counts of another link.
    pub fn add(&mut self, other: &LinkCounters) {
        for (own, other) in self.each_mut().into_iter().zip(other.each()) {
            *own += other;
        }
    }

    /// Every count, for what holds of all of them.
    pub fn each(&self) -> [u64; COUNTS] {
        let mut copy = *self;
        copy.each_mut().map(|count| *count)
    }

    /// Takes the structure apart without a rest, so that a new count cannot be forgotten.
    fn each_mut(&mut self) -> [&mut u64; COUNTS] {
        macro_rules! all {
            ($($count:ident),*) => {{
                let LinkCounters { $($count),* } = self;
                [$($count),*]
            }};
        }
        all!(
            offered,
            delivered,
            down,
            loss,
            queue_full,
            killed,
            offered_bytes,
            delivered_bytes,
            no_contact,
            too_big,
            early,
            burst,
            duplicated,
            corrupted,
            arrived
        )
    }
}

/// Counts of a [`LinkCounters`].
const COUNTS: usize = 15;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn corruption_always_changes_a_payload_by_one_to_four_bits(draw: u64, payload in prop::collection::vec(any::<u8>(), 1..200)) {
            let mut corrupted = payload.clone();
            Corruption(draw).flip(&mut corrupted);
            let flipped: u32 = payload.iter().zip(&corrupted).map(|(a, b)| (a ^ b).count_ones()).sum();
            prop_assert!((1..=4).contains(&flipped), "{flipped} bits");
        }
    }

    #[test]
    fn nothing_flips_in_an_empty_payload() {
        Corruption(7).flip(&mut []);
    }
}
