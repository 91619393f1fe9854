//! `peat-node`: a mesh sidecar that keeps JSON documents in an Automerge store, serves them to the
//! application beside it, and synchronises them with its peers over iroh QUIC, with no central server.
//!
//! The crate is a sans-IO [`core`] in a thin shell. The core takes time, randomness and bytes as
//! arguments and returns what is to be sent, stored and told; the shell ([`store`], [`mesh`], [`api`],
//! tied together by [`node`]) executes that. A *world* (the `peat-node` binary, or a simulator) supplies
//! the three seams: a datagram transport, a storage backend, and a clock with a seed.
//!
//! `docs/architecture.md` has the bird's-eye view, `docs/protocol.md` the bytes on the wire.

pub mod api;
pub mod config;
pub mod core;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;
pub mod limits;
pub mod mesh;
pub mod node;
pub mod ops;
pub mod store;
pub mod watcher;

pub use node::{Node, NodeHandle};
