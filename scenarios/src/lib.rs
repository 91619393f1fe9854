//! What a DDIL scenario *means*, independent of the world it runs in.
//!
//! A scenario is a topology of node groups, the links between them, workloads, a timeline of
//! faults and expectations. This crate reads and validates it ([`model`]), expands it into concrete
//! operations and steps ([`plan`]), says what a link does with a datagram ([`physics`]), defines
//! what a world writes down while it runs ([`record`]), judges that record ([`check`]), measures it
//! ([`figures`]) and tells a person about it ([`report`]).
//!
//! # The life of a run
//!
//! ```text
//! library/*.toml ──Scenario──▶ plan::expand ──Plan──▶ a world ──RunRecord──▶ check + figures ──▶ report
//!                                                 (sim, process, k3d)
//! ```
//!
//! Nothing here reads a clock, draws OS randomness or does I/O: time, seeds and file texts are
//! arguments. Every world therefore agrees on what was asked and on what counts as an answer.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod agreement;
pub mod capability;
pub mod check;
pub mod diff;
#[cfg(feature = "drive")]
pub mod drive;
pub mod explain;
pub mod fidelity;
pub mod figures;
pub mod head;
pub mod library;
pub mod limits;
pub mod model;
pub mod physics;
pub mod plan;
pub mod profiles;
pub mod record;
pub mod report;
pub mod schema;
mod suggest;
pub mod sweep;
#[cfg(test)]
mod testing;
pub mod time;

pub use capability::{Capabilities, Capability, Unsupported};
pub use model::{Scenario, ScenarioError};
pub use plan::{NodeIndex, OpId, Plan};
pub use record::RunRecord;
pub use time::SimTime;
