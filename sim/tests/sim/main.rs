//! Scenarios on the real node in virtual time. One binary: linking the whole stack once is enough.

#![allow(clippy::unwrap_used)]

mod agents;
mod engines;
mod explain;
mod faults;
mod gossip;
mod guests;
mod interest;
mod judged;
mod library;
mod planted;
mod replay;
mod sources;
mod stories;
