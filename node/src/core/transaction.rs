//! Several writes that are made together or not at all.

use std::collections::BTreeMap;

use super::document::{JsonError, JsonLimits, JsonObject};
use super::documents::DocumentError;
use super::key::DocKey;
use super::receipts::{KeyReused, RequestName};
use super::version::Version;
use super::wire::Seq;

/// What to make of a document.
#[derive(Debug, Clone)]
pub enum Edit {
    /// Exactly this.
    Put(JsonObject),
    /// What is there, with this merged into it, as long as the result is within the limits.
    Patch(JsonObject, JsonLimits),
    /// Nothing.
    Delete,
}

/// One write.
#[derive(Debug, Clone)]
pub struct Operation {
    /// Of which document.
    pub key: DocKey,
    /// What to make of it.
    pub edit: Edit,
    /// Only if it has this version now; the version of no change stands for no live document.
    pub expected: Option<Version>,
}

/// Writes of different documents.
#[derive(Debug, Clone)]
pub struct Transaction {
    operations: Vec<Operation>,
    /// Carry it out once only.
    pub name: Option<RequestName>,
}

/// Two operations write the same document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Twice {
    /// The first of them.
    pub first: usize,
    /// The second.
    pub second: usize,
}

impl Transaction {
    /// Refuses two writes of one document: which of them should win?
    pub fn new(operations: Vec<Operation>, name: Option<RequestName>) -> Result<Self, Twice> {
        let mut seen = BTreeMap::new();
        for (second, operation) in operations.iter().enumerate() {
            if let Some(first) = seen.insert(&operation.key, second) {
                return Err(Twice { first, second });
            }
        }
        Ok(Self { operations, name })
    }

    /// The writes, each of a document of its own.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }
}

/// What a transaction led to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// Versions of the documents afterwards, in the order of the operations.
    pub versions: Vec<String>,
    /// What must be durable before anybody is told.
    pub seq: Seq,
}

/// Why nothing was written.
#[derive(Debug, thiserror::Error)]
pub enum Rejection {
    /// One of the writes cannot be made.
    #[error("operation {index}: {cause}")]
    Operation {
        /// Which.
        index: usize,
        /// Why.
        cause: OperationError,
    },
    /// The request was another one before.
    #[error(transparent)]
    KeyReused(#[from] KeyReused),
}

/// Why a write cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum OperationError {
    /// The document has another version than was expected.
    #[error("{0}")]
    Changed(VersionMismatch),
    /// There is a document where none was expected.
    #[error("{0}")]
    Exists(VersionMismatch),
    /// A patch would make the document too large or too deep.
    #[error(transparent)]
    Patched(#[from] JsonError),
    /// The document cannot be read or written.
    #[error(transparent)]
    Document(#[from] DocumentError),
}

/// The version that was expected is not the one that is there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionMismatch {
    /// Of which document.
    pub key: DocKey,
    /// The version that it has, empty if nobody ever wrote it.
    pub current: String,
}

impl std::fmt::Display for VersionMismatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.current.as_str() {
            "" => write!(f, "{} was never written here", self.key),
            current => write!(f, "{} has version {current} now", self.key),
        }
    }
}
