//! The watched agent: polls a UDS Remote Agent beside the node and keeps what it says as documents.
//!
//! `docs/agent.md` is the specification. The parts, in the order in which an answer passes them:
//!
//! - [`AgentSource`] gives the bytes of three answers. In production it is [`http::HttpAgent`]; a simulator has its own.
//! - [`answers`] reads them into types that cannot be wrong, [`documents`] says which documents they stand for.
//! - [`plan`] decides what to write. Everything up to here is pure: no clock, no socket, no store.
//! - `task` is the shell: it polls, and carries out what was decided.

pub mod answers;
pub mod documents;
mod figures;
pub mod http;
mod log;
pub mod plan;
mod task;
pub mod tls;

use std::future::Future;
use std::time::Duration;

use answers::AnswerError;

pub(crate) use figures::AgentFigures;
pub use figures::{AgentCounts, AgentStatus, Call, Failure};
pub(crate) use task::follow;

/// Where the agent itself is.
pub const PLATFORMS: &str = "platforms";

/// The body of an answer, or why there is none.
pub type Answer = Result<Vec<u8>, CallError>;

/// The answers of one poll.
#[derive(Debug, Clone)]
pub struct Answers {
    /// `GET /status`.
    pub status: Answer,
    /// `ListPackages`.
    pub packages: Answer,
    /// `ListPulledPackages`.
    pub pulled_packages: Answer,
}

impl Answers {
    /// The same trouble for every call.
    pub fn none(error: CallError) -> Self {
        Self { status: Err(error.clone()), packages: Err(error.clone()), pulled_packages: Err(error) }
    }
}

/// Something that can be polled: an agent, or what a simulator takes for one.
pub trait AgentSource: Send + 'static {
    /// Where it is, for people.
    fn address(&self) -> String;

    /// Asks all three calls. Returns within the time given, with an error for each call that was not answered by then.
    /// May be dropped at any moment.
    fn poll(&mut self, within: Duration) -> impl Future<Output = Answers> + Send;
}

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// There is no connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// The time was up.
    #[error("no answer within {within:?}")]
    TimedOut {
        /// The time.
        within: Duration,
    },
    /// The agent answered with an error. Has no text of the agent, which may be secret.
    #[error("the agent refuses: HTTP status {status}{}", code.as_ref().map_or_else(String::new, |code| format!(", {code}")))]
    Refused {
        /// HTTP status.
        status: u16,
        /// Code of Connect, such as `unimplemented`.
        code: Option<String>,
    },
    /// The answer says nothing.
    #[error(transparent)]
    Malformed(#[from] AnswerError),
    /// The answer is longer than the limit.
    #[error("the answer has more than {limit} bytes, which is the limit")]
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The answer is of another media type.
    #[error("the answer is not application/json: is this the agent?")]
    NotJson,
}

/// Why an agent cannot be watched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Two nodes could have documents of one id.
    #[error(
        "the node id {0:?} has a colon, and documents of its agent are named {{node id}}:{{package}}: choose a --node-id without"
    )]
    Colon(String),
    /// Ids would leave no room for a package.
    #[error("the node id {given:?} is not a document id: {source}; choose another --node-id")]
    Id {
        /// The node's id.
        given: String,
        /// Why.
        source: crate::core::key::KeyError,
    },
    /// There is one already.
    #[error("an agent is watched already; a node watches one")]
    Twice,
}

/// Checks that documents can be named after a node.
pub(crate) fn check_agent_id(id: &str) -> Result<(), WatchError> {
    if id.contains(':') {
        return Err(WatchError::Colon(id.into()));
    }
    let key = crate::core::key::DocKey::new(PLATFORMS, id);
    key.map(drop).map_err(|source| WatchError::Id { given: id.into(), source })
}
