//! The operator's view of a node.
//!
//! - [`ledger`] and [`traffic`] count what happens; [`crate::node::Figures`] is everything that can be measured.

pub mod cli;
pub mod ledger;
pub mod listener;
pub mod metrics;
pub mod traffic;
