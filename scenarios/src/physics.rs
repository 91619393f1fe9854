//! Link physics: one pure model, `(now, size, rng) -> what becomes of the datagram`.
//!
//! Every world uses this model, in process or in a user-space UDP emulator, so prediction and
//! measurement speak about the same link.
//!
//! - [`Link`] is one direction of one path between two nodes.
//! - [`Network`] holds every link of a plan, each with its own random stream, and applies the
//!   timeline's link steps to them. A world that uses it needs no physics of its own.
//!
//! # The model
//!
//! What happens to a datagram, in this order; `docs/links.md` has all of it with its theory.
//!
//! 1. A link that a fault cut refuses it, and so does one whose [`Schedule`] has no contact. Longer than the MTU: gone.
//! 2. It waits behind what is queued. A queue that is full drops the newcomer; CoDel or RED may drop it before.
//! 3. It is serialised at the bandwidth, which a schedule may change meanwhile.
//! 4. It may be lost on the medium, for itself or in a burst; it has used the bandwidth by then.
//! 5. It arrives one latency plus a share of the jitter later, perhaps twice, perhaps with flipped bits.
//!
//! A link that a fault cuts also kills what is in flight: a blackout does not let the last second through. A contact that
//! ends does: what was sent within it arrives.

mod fate;
mod link;
mod network;
mod obstacle;
mod params;
#[cfg(test)]
mod properties;
mod queue;
mod random;
mod schedule;

pub use fate::{Corruption, Deliveries, Delivery, DropCause, Fate, LinkCounters};
pub use link::Link;
pub use network::{Network, Sent};
pub use params::{Bursts, LinkParams, Spread, UDP_HEADER_BYTES};
pub use queue::{CoDel, Discipline, Red};
pub use schedule::{Conditions, Opportunities, Schedule, TraceError, TraceProblem, Windows, parse_csv, parse_mahimahi};

/// Serialises a `Duration` as whole nanoseconds.
pub(crate) mod nanos {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(value: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(value.as_nanos()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_nanos)
    }
}
