//! The sans-IO core: no tokio, no sockets, no clock, no threads, no OS randomness.
//!
//! [`engine::Core`] is the whole. The life of a change: a client puts JSON, [`document`] turns it into a minimal
//! Automerge change, [`documents`] numbers it and queues its rows in a [`batch`]; when the store has made
//! the batch durable, the change is acknowledged, shown to every [`watch`], and marked in the [`outbox`] of every
//! [`session`] but the one it came by. [`wire`] has the frames, [`reconcile`] brings strangers together,
//! [`reconnect`] decides whom to dial and when.

pub mod batch;
pub mod cache;
pub mod class;
pub mod document;
pub mod documents;
pub mod engine;
pub mod fair;
pub mod filter;
pub mod index;
pub mod interest;
pub mod key;
pub mod lag;
pub mod lane;
pub mod membership;
pub mod outbox;
mod planted;
pub mod policy;
pub mod receipts;
pub mod reconcile;
pub mod reconnect;
pub mod relay_url;
pub mod send_window;
pub mod session;
pub mod texts;
pub mod topology;
pub mod transaction;
pub mod version;
pub mod watch;
pub mod wire;

#[cfg(test)]
mod tests;
