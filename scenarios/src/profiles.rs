//! Named links. The numbers are one direction; both directions are the same.
//!
//! | profile | latency | jitter | loss | bandwidth | queue | why |
//! |---|---|---|---|---|---|---|
//! | `lan` | 250 µs | 50 µs | 0 | 1 Gbit/s | 1 MiB | one switch and two kernels; a shallow switch buffer |
//! | `wan` | 25 ms | 2 ms | 0.01 % | 100 Mbit/s | 512 KiB | 50 ms round trip, a continental path; queue of about 40 ms |
//! | `lte` | 35 ms | 15 ms | 0.5 % | 10 Mbit/s up | 512 KiB | 70 ms round trip with scheduler jitter; carriers buffer deeply (about 400 ms) |
//! | `satcom-leo` | 25 ms | 10 ms | 0.5 % | 20 Mbit/s | 512 KiB | 550 km shell and ground segment; losses at beam and satellite changes |
//! | `satcom-geo` | 300 ms | 0 | 0 | 2 Mbit/s | 128 KiB | 35,786 km up and down twice is 240 ms at least, the rest is the modem; jitter and loss 0 so that a latency can be read as a multiple of the possible (add `loss` to the link for rain) |
//! | `tactical-radio` | 80 ms | 40 ms | 3 % | 64 kbit/s | 8 KiB | narrow-band time-slotted radio; about one second of queue |

use std::time::Duration;

use crate::model::Direction;
use crate::physics::LinkParams;

/// A named link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// One switch.
    Lan,
    /// A continental path.
    Wan,
    /// A mobile network.
    Lte,
    /// A low-orbit constellation.
    SatcomLeo,
    /// A geostationary satellite.
    SatcomGeo,
    /// A narrow-band radio.
    TacticalRadio,
}

impl Profile {
    /// Every profile, in order of the table.
    pub const ALL: [Profile; 6] =
        [Profile::Lan, Profile::Wan, Profile::Lte, Profile::SatcomLeo, Profile::SatcomGeo, Profile::TacticalRadio];

    /// The name in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Lte => "lte",
            Profile::SatcomLeo => "satcom-leo",
            Profile::SatcomGeo => "satcom-geo",
            Profile::TacticalRadio => "tactical-radio",
        }
    }

    /// The profile called `name`.
    pub fn find(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What the link is like in one direction.
    pub fn params_of(self, direction: Direction) -> LinkParams {
        let _ = direction;
        self.params()
    }

    /// What the link is like.
    pub const fn params(self) -> LinkParams {
        const KIB: u64 = 1024;
        match self {
            Profile::Lan => link(250, 50, 0.0, 1_000_000_000, 1_024 * KIB),
            Profile::Wan => link(25_000, 2_000, 0.000_1, 100_000_000, 512 * KIB),
            Profile::Lte => link(35_000, 15_000, 0.005, 10_000_000, 512 * KIB),
            Profile::SatcomLeo => link(25_000, 10_000, 0.005, 20_000_000, 512 * KIB),
            Profile::SatcomGeo => link(300_000, 0, 0.0, 2_000_000, 128 * KIB),
            Profile::TacticalRadio => link(80_000, 40_000, 0.03, 64_000, 8 * KIB),
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

const fn link(latency_us: u64, jitter_us: u64, loss: f64, bps: u64, queue_bytes: u64) -> LinkParams {
    LinkParams {
        latency: Duration::from_micros(latency_us),
        jitter: Duration::from_micros(jitter_us),
        loss,
        bandwidth_bps: Some(bps),
        queue_bytes,
        ..LinkParams::PERFECT
    }
}
