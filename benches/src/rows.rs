//! One file a row of the bar table.

pub(crate) mod blackhole;
pub(crate) mod burst;
pub(crate) mod compare;
pub(crate) mod flood;
pub(crate) mod kill;
pub(crate) mod latency;
pub(crate) mod reads;
pub(crate) mod size;
pub(crate) mod slow_peer;
pub(crate) mod slow_reader;
pub(crate) mod strangers;
pub(crate) mod throughput;
pub(crate) mod updates;
pub(crate) mod writes;
