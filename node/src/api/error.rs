//! What each error of the node means to a client. Nothing here is `internal`: that code is kept for
//! bugs of ours, and a client that sees it should report one.

use connectrpc::ConnectError as Status;

use super::typed::RecordError;
use crate::core::documents::Refusal;
use crate::core::policy::PolicyError;
use crate::node::{ConnectError, ReadError, SetCollectionError, WriteError};
use crate::store::BackupError;

impl From<WriteError> for Status {
    fn from(error: WriteError) -> Self {
        let message = error.to_string();
        match error {
            WriteError::Item { index, error } => {
                let mut status = Self::from(*error);
                status.message = status.message.map(|message| format!("documents[{index}]: {message}"));
                status
            }
            WriteError::Key(_)
            | WriteError::Version(_)
            | WriteError::KeyReused(_)
            | WriteError::Count { .. }
            | WriteError::Twice { .. } => Status::invalid_argument(message),
            // Its positions are those within the document, not within a request that may be JSON too.
            WriteError::Json(_) => Status::invalid_argument(format!("the document is not acceptable: {message}")),
            WriteError::Refused(Refusal::Reserved { .. }) => Status::invalid_argument(message),
            WriteError::Refused(_) => Status::failed_precondition(message),
            WriteError::Patch(_) => Status::invalid_argument(format!("the patch is not acceptable: {message}")),
            WriteError::Patched(_) => Status::invalid_argument(format!("the patch does not fit: {message}")),
            // Somebody else was faster: to be decided anew by whoever can. Not `failed_precondition`, which means that
            // trying again is of no use.
            WriteError::Changed(_) => Status::aborted(message),
            WriteError::Exists(_) => Status::already_exists(message),
            WriteError::NotDurable(_) | WriteError::ShuttingDown => Status::unavailable(message),
            WriteError::Damaged { .. } => Status::data_loss(message),
        }
    }
}

impl From<SetCollectionError> for Status {
    fn from(error: SetCollectionError) -> Self {
        let message = error.to_string();
        match error {
            SetCollectionError::Policy(PolicyError::TooMany { .. }) => Status::resource_exhausted(message),
            SetCollectionError::Policy(_) => Status::invalid_argument(message),
            SetCollectionError::Write(error) => error.into(),
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
            | ConnectError::RelayUrl { .. } => Status::invalid_argument(message),
            ConnectError::NoRelay { .. } => Status::failed_precondition(message),
            ConnectError::TooMany { .. } => Status::resource_exhausted(message),
            ConnectError::NotDurable(_) => Status::unavailable(message),
        }
    }
}

impl From<BackupError> for Status {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        match error {
            BackupError::Busy => Status::resource_exhausted(message),
            BackupError::Late => Status::deadline_exceeded(message),
            BackupError::Interrupted | BackupError::Store(_) => Status::unavailable(message),
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
