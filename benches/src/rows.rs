//! One file a row of the bar table.

pub(crate) mod blackhole;
pub(crate) mod flood;
pub(crate) mod kill;
pub(crate) mod latency;
pub(crate) mod strangers;
pub(crate) mod throughput;
