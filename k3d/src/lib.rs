//! Real worlds: the same scenarios on processes, on containers and on clusters.
//!
//! Nodes are reached through their public API alone, so any server that speaks it can be put on trial.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adapter;
pub mod emulator;
pub mod process;
