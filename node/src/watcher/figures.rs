//! What operators see of the watched agent.

use std::time::Duration;

use super::CallError;
use super::plan::State;
use crate::core::session::Now;

/// A call of a poll.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// `GET /status`.
    Status,
    /// `ListPackages`.
    Packages,
    /// `ListPulledPackages`.
    PulledPackages,
}

impl Call {
    /// Every call.
    pub const ALL: [Self; 3] = [Self::Status, Self::Packages, Self::PulledPackages];

    /// As in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Packages => "list-packages",
            Self::PulledPackages => "list-pulled-packages",
        }
    }
}

/// Why a call gave nothing, or not everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, or no answer in time.
    Unreachable,
    /// An error of the agent.
    Refused,
    /// An answer that could not be read, or not in full.
    Malformed,
}

impl Failure {
    /// Every failure.
    pub const ALL: [Self; 3] = [Self::Unreachable, Self::Refused, Self::Malformed];

    /// As in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
        }
    }

    pub(super) fn of(error: &CallError) -> Self {
        match error {
            CallError::Unreachable(_) | CallError::TimedOut { .. } => Self::Unreachable,
            CallError::Refused { .. } => Self::Refused,
            CallError::Malformed(_) | CallError::TooLarge { .. } | CallError::NotJson => Self::Malformed,
        }
    }
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AgentCounts {
    /// Polls that gave everything.
    pub polls_good: u64,
    /// Polls that did not.
    pub polls_failed: u64,
    /// Calls that failed, by call and failure.
    pub calls_failed: [[u64; Failure::ALL.len()]; Call::ALL.len()],
    /// Documents that were written.
    pub written: u64,
    /// Documents that were removed.
    pub removed: u64,
    /// Documents that the agent has at present.
    pub documents: u64,
    /// Items of the last poll that no document could be made of.
    pub skipped: u64,
    /// Annotations of the last poll that were left out.
    pub annotations_left_out: u64,
}

/// What the task writes down.
#[derive(Debug, Clone, Default)]
pub(crate) struct AgentFigures {
    pub address: String,
    pub state: State,
    pub counts: AgentCounts,
    /// When a poll last gave everything.
    pub last_good: Option<Now>,
    pub last_error: Option<(String, Now)>,
}

impl AgentFigures {
    /// With ages instead of moments.
    pub fn status(&self, now: Now) -> AgentStatus {
        AgentStatus {
            address: self.address.clone(),
            state: self.state,
            counts: self.counts,
            last_good_age: self.last_good.map(|at| now.saturating_sub(at)),
            last_error: self.last_error.as_ref().map(|(what, at)| (what.clone(), now.saturating_sub(*at))),
        }
    }
}

/// How the watched agent is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentStatus {
    /// Where it is.
    pub address: String,
    /// What the mesh is told.
    pub state: State,
    /// Counts since the start.
    pub counts: AgentCounts,
    /// How long ago a poll gave everything; `None`: not in this run.
    pub last_good_age: Option<Duration>,
    /// What went wrong last, and how long ago.
    pub last_error: Option<(String, Duration)>,
}
