//! Real worlds: the same scenarios on processes, on containers and on clusters of this machine.
//!
//! What differs between them is a [`ground`]; the [`run`] is the same on each, and the links between nodes are those of the
//! [`emulator`] everywhere.

#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod adapter;
pub mod emulator;
pub mod ground;
pub mod process;
pub mod run;
