//! Named links. `docs/links.md` has them as a table with plots, the sources of their numbers, and what was chosen freely.
//!
//! Where the directions differ, *forward* is from the terminal to the network (up), as in
//! `between = ["ship", "shore"]`.

use std::sync::Arc;
use std::time::Duration;

use crate::model::Direction;
use crate::physics::{Bursts, LinkParams, Schedule, Spread, Windows};

/// A named link.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Profile {
    /// One switch.
    Lan,
    /// A continental path.
    Wan,
    /// A mobile network.
    Lte,
    /// A low-orbit constellation, kept simple: the same both ways.
    SatcomLeo,
    /// A low-orbit constellation as it was measured.
    StarlinkLeo,
    /// A geostationary satellite without chance: latencies on it can be read as multiples of the possible.
    SatcomGeo,
    /// A geostationary satellite with a narrow way up.
    Geo,
    /// A narrow low-orbit service with gaps.
    IridiumLike,
    /// A narrow-band radio.
    TacticalRadio,
    /// A mobile mesh of wide-band radios.
    TacticalMesh,
    /// A short-wave radio.
    HfRadio,
    /// A vehicle that carries data, and is in reach for a while.
    Mule,
}

impl Profile {
    /// Every profile, from near to far.
    pub const ALL: [Profile; 12] = [
        Profile::Lan,
        Profile::Wan,
        Profile::Lte,
        Profile::SatcomLeo,
        Profile::StarlinkLeo,
        Profile::SatcomGeo,
        Profile::Geo,
        Profile::IridiumLike,
        Profile::TacticalRadio,
        Profile::TacticalMesh,
        Profile::HfRadio,
        Profile::Mule,
    ];

    /// The name in scenario files.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Lan => "lan",
            Profile::Wan => "wan",
            Profile::Lte => "lte",
            Profile::SatcomLeo => "satcom-leo",
            Profile::StarlinkLeo => "starlink-leo",
            Profile::SatcomGeo => "satcom-geo",
            Profile::Geo => "geo",
            Profile::IridiumLike => "iridium-like",
            Profile::TacticalRadio => "tactical-radio",
            Profile::TacticalMesh => "tactical-mesh",
            Profile::HfRadio => "hf-radio",
            Profile::Mule => "mule",
        }
    }

    /// What it is, in a few words.
    pub const fn purpose(self) -> &'static str {
        match self {
            Profile::Lan => "one switch and two kernels",
            Profile::Wan => "a continental path",
            Profile::Lte => "a mobile network with deep buffers",
            Profile::SatcomLeo => "a low-orbit constellation, kept simple",
            Profile::StarlinkLeo => "a low-orbit constellation, as measured",
            Profile::SatcomGeo => "a geostationary satellite without chance",
            Profile::Geo => "a geostationary terminal with a narrow way up",
            Profile::IridiumLike => "a narrow low-orbit service with gaps",
            Profile::TacticalRadio => "a narrow-band, time-slotted radio",
            Profile::TacticalMesh => "a mobile mesh of wide-band radios, several hops",
            Profile::HfRadio => "a short-wave radio beyond the horizon",
            Profile::Mule => "a vehicle that is in reach now and then",
        }
    }

    /// The profile called `name`.
    pub fn find(name: &str) -> Option<Profile> {
        Profile::ALL.into_iter().find(|profile| profile.name() == name)
    }

    /// What the link is like, forward.
    pub fn params(self) -> LinkParams {
        self.params_of(Direction::Forward)
    }

    /// What the link is like in one direction.
    pub fn params_of(self, direction: Direction) -> LinkParams {
        const KIB: u64 = 1024;
        let by = |up: u64, down: u64| match direction {
            Direction::Forward => up,
            Direction::Back => down,
        };
        match self {
            Profile::Lan => link(250, 50, 0.0, 1_000_000_000, 1_024 * KIB),
            Profile::Wan => link(25_000, 2_000, 0.000_1, 100_000_000, 512 * KIB),
            Profile::Lte => link(35_000, 15_000, 0.005, 10_000_000, 512 * KIB),
            Profile::SatcomLeo => link(25_000, 10_000, 0.005, 20_000_000, 512 * KIB),
            Profile::StarlinkLeo => LinkParams {
                spread: Spread::Normal,
                reorder: false,
                bursts: Some(Bursts { enter: 0.000_5, leave: 0.05, loss: 0.5 }),
                ..link(10_000, 15_000, 0.0, by(15_000_000, 150_000_000), by(256 * KIB, 2_048 * KIB))
            },
            Profile::SatcomGeo => link(300_000, 0, 0.0, 2_000_000, 128 * KIB),
            Profile::Geo => LinkParams {
                spread: Spread::Normal,
                reorder: false,
                bursts: Some(Bursts { enter: 0.000_2, leave: 0.1, loss: 1.0 }),
                ..link(270_000, 30_000, 0.0, by(2_000_000, 20_000_000), by(256 * KIB, 1_024 * KIB))
            },
            Profile::IridiumLike => LinkParams {
                spread: Spread::Pareto { shape: 2.5 },
                reorder: false,
                bursts: Some(Bursts { enter: 0.005, leave: 0.2, loss: 0.5 }),
                schedule: duty_cycle(510, 540),
                ..link(250_000, 100_000, 0.0, 176_000, 64 * KIB)
            },
            Profile::TacticalRadio => link(80_000, 40_000, 0.03, 64_000, 8 * KIB),
            Profile::TacticalMesh => LinkParams {
                spread: Spread::Pareto { shape: 2.2 },
                bursts: Some(Bursts { enter: 0.01, leave: 0.15, loss: 0.8 }),
                duplicate: 0.001,
                mtu: Some(1_400),
                ..link(30_000, 20_000, 0.01, 1_000_000, 64 * KIB)
            },
            Profile::HfRadio => LinkParams {
                spread: Spread::Normal,
                reorder: false,
                bursts: Some(Bursts { enter: 0.02, leave: 0.3, loss: 1.0 }),
                ..link(700_000, 500_000, 0.0, 9_600, 8 * KIB)
            },
            Profile::Mule => {
                LinkParams { schedule: duty_cycle(150, 1_800), ..link(2_000, 5_000, 0.01, 2_500_000, 128 * KIB) }
            }
        }
    }
}

impl std::fmt::Display for Profile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

fn link(latency_us: u64, jitter_us: u64, loss: f64, bps: u64, queue_bytes: u64) -> LinkParams {
    LinkParams {
        latency: Duration::from_micros(latency_us),
        jitter: Duration::from_micros(jitter_us),
        loss,
        bandwidth_bps: Some(bps),
        queue_bytes,
        ..LinkParams::PERFECT
    }
}

fn duty_cycle(up_s: u64, every_s: u64) -> Option<Arc<Schedule>> {
    let windows = Windows::duty_cycle(Duration::from_secs(up_s), Duration::from_secs(every_s), Duration::ZERO);
    Some(Arc::new(Schedule::Windows(windows.expect("invariant: up for less than the period"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits;

    #[test]
    fn names_are_unique_and_found() {
        for profile in Profile::ALL {
            assert_eq!(Profile::find(profile.name()), Some(profile));
        }
    }

    #[test]
    fn every_profile_is_a_link_that_a_file_could_describe() {
        for profile in Profile::ALL {
            for direction in [Direction::Forward, Direction::Back] {
                let params = profile.params_of(direction);
                assert!(params.latency + params.jitter <= limits::LATENCY_MAX, "{profile}");
                assert!(params.bandwidth_bps.is_some_and(|bps| bps >= limits::BANDWIDTH_MIN), "{profile}");
                assert!(params.queue_bytes >= limits::QUEUE_MIN, "{profile}");
                assert!(params.mtu.is_none_or(|mtu| mtu as u64 >= limits::MTU_MIN), "{profile}");
            }
        }
    }

    #[test]
    fn the_profiles_of_old_scenarios_are_the_same_both_ways() {
        for profile in [Profile::Lan, Profile::Wan, Profile::Lte, Profile::SatcomLeo, Profile::SatcomGeo] {
            assert_eq!(profile.params_of(Direction::Forward), profile.params_of(Direction::Back));
        }
    }
}
