//! What each error of the node means to a client. Nothing here is `internal`: that code is kept for
//! bugs of ours, and a client that sees it should report one.

use connectrpc::ConnectError as Status;

use super::typed::RecordError;
use crate::node::{ConnectError, ReadError, WriteError};

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::Key(_) => Status::invalid_argument(message),
            // Its positions are those within the document, not within a request that may be JSON too.
            WriteError::Json(_) => Status::invalid_argument(format!("the document is not acceptable: {message}")),
            WriteError::NotDurable(_) | WriteError::ShuttingDown => Status::unavailable(message),
            WriteError::Damaged { .. } => Status::data_loss(message),
        }
    }
}

impl From<ReadError> for Status {
    fn from(error: ReadError) -> Self {
        let message = error.to_string();
        match error {
            ReadError::Key(_)
            | ReadError::Version { .. }
            | ReadError::WaitTooLong { .. }
            | ReadError::PageSize { .. }
            | ReadError::Prefix { .. }
            | ReadError::PageToken
            | ReadError::PageTokenOfAnother
            | ReadError::Cursor(_)
            | ReadError::Filter(_) => Status::invalid_argument(message),
            ReadError::NotYet { .. } => Status::deadline_exceeded(message),
            ReadError::Storage(_) => Status::unavailable(message),
            ReadError::Damaged { .. } => Status::data_loss(message),
            ReadError::TooMany { .. } | ReadError::ListTooLarge { .. } => Status::resource_exhausted(message),
        }
    }
}

impl From<ConnectError> for Status {
    fn from(error: ConnectError) -> Self {
        let message = error.to_string();
        match error {
            ConnectError::EndpointId { .. }
            | ConnectError::Itself(_)
            | ConnectError::Address { .. }
            | ConnectError::NoAddress
            | ConnectError::RelayUnsupported => Status::invalid_argument(message),
            ConnectError::TooMany { .. } => Status::resource_exhausted(message),
            ConnectError::NotDurable(_) => Status::unavailable(message),
        }
    }
}

impl From<RecordError> for Status {
    fn from(error: RecordError) -> Self {
        Status::invalid_argument(error.to_string())
    }
}

/// A stream that ended because the node did. An error, since a clean end would tell the reader that it
/// has seen everything.
pub(super) fn stopped() -> Status {
    Status::unavailable("the node is shutting down; subscribe again after its restart")
}
