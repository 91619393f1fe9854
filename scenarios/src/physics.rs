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
//! A datagram offered to a link that is up waits behind what is queued, is serialised at the
//! bandwidth of the link, may be lost on the medium (it has used the bandwidth by then), and
//! arrives one latency, plus a uniform share of the jitter, later. Jitter larger than the spacing
//! of datagrams reorders them. A queue that is full drops the newcomer (drop-tail). A link that
//! goes down also kills what is in flight: a blackout does not let the last second through.

mod link;
mod network;
mod obstacle;
#[cfg(test)]
mod properties;

pub use link::{DropCause, Fate, Link, LinkCounters, LinkParams, UDP_HEADER_BYTES};
pub use network::{Network, Sent};

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
