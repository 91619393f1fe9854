//! What a world in real time knows of its own error.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::report::{count, span};

/// How exactly a world measured. All times of its record are of one clock, the runner's: a node's clock is never read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Precision {
    /// Time from a question to a node's API until its answer, where there is nothing to do for it: median, over the run. An event
    /// that a node tells of is noted about half of it late.
    #[serde(rename = "call_p50_ns", with = "crate::physics::nanos")]
    pub call_p50: Duration,
    /// 99th percentile: the clock error of a single event is hardly ever more.
    #[serde(rename = "call_p99_ns", with = "crate::physics::nanos")]
    pub call_p99: Duration,
    /// How much later than the model of its link says a datagram was handed on: median.
    #[serde(rename = "late_p50_ns", with = "crate::physics::nanos")]
    pub late_p50: Duration,
    /// 99th percentile.
    #[serde(rename = "late_p99_ns", with = "crate::physics::nanos")]
    pub late_p99: Duration,
    /// The worst.
    #[serde(rename = "late_max_ns", with = "crate::physics::nanos")]
    pub late_max: Duration,
    /// Datagrams that were handed on.
    pub datagrams: u64,
    /// Datagrams that were lost otherwise than by the model: the system had no room for them.
    pub lost: u64,
}

impl fmt::Display for Precision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "clock error {} (p99 {}) · links late by {} (p99 {}, at most {}) over {} datagrams",
            span(self.call_p50 / 2),
            span(self.call_p99),
            span(self.late_p50),
            span(self.late_p99),
            span(self.late_max),
            count(self.datagrams),
        )?;
        match self.lost {
            0 => Ok(()),
            lost => write!(f, " · {} lost on the way to the model", count(lost)),
        }
    }
}
