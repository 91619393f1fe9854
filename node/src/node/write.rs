//! Writes that are more than one put: several at once, conditional, merged into what is there, carried out once.

use super::error::WriteError;
use super::handle::{NodeHandle, write_error};
use crate::core::document::JsonObject;
use crate::core::key::{DocKey, check_idempotency_key};
use crate::core::receipts::{Fingerprint, RequestName};
use crate::core::transaction::{Edit, Operation, OperationError, Rejection, Transaction, Twice};
use crate::core::version::Version;

/// What to make of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content<'a> {
    /// This JSON object.
    Put(&'a str),
    /// What is there with this merge patch applied.
    Patch(&'a str),
    /// Nothing.
    Delete,
}

/// One write, as a client asks for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Write<'a> {
    /// Collection of the document.
    pub collection: &'a str,
    /// Its id.
    pub doc_id: &'a str,
    /// What to make of it.
    pub content: Content<'a>,
    /// Only if it has this version; empty: only if it is not there.
    pub expected_version: Option<&'a str>,
}

impl NodeHandle {
    /// Makes one write; returns the version of the document once it is durable. With an `idempotency_key` that is not
    /// empty a repetition is not carried out again, but gets the answer of the first.
    pub async fn write_one(&self, write: Write<'_>, idempotency_key: &str) -> Result<String, WriteError> {
        let method = match write.content {
            Content::Put(_) => "PutDocument",
            Content::Patch(_) => "PatchDocument",
            Content::Delete => "DeleteDocument",
        };
        let operation = self.operation(&write)?;
        let versions = self.transact(method, &[write], vec![operation], idempotency_key).await;
        Ok(versions.map_err(|(_, error)| error)?.swap_remove(0))
    }

    /// Makes all writes, each of another document, or none; returns their versions once all are durable, which takes one
    /// commit.
    pub async fn write_all(&self, writes: &[Write<'_>], idempotency_key: &str) -> Result<Vec<String>, WriteError> {
        let limit = self.limits().put_documents;
        if writes.is_empty() || writes.len() > limit {
            return Err(WriteError::Count { actual: writes.len(), limit });
        }
        let of = |index: usize| move |error| WriteError::Item { index, error: Box::new(error) };
        let operations = writes.iter().enumerate().map(|(index, write)| self.operation(write).map_err(of(index)));
        let operations = operations.collect::<Result<_, _>>()?;
        let versions = self.transact("PutDocuments", writes, operations, idempotency_key).await;
        versions.map_err(|(index, error)| match index {
            Some(index) => of(index)(error),
            None => error,
        })
    }

    fn operation(&self, write: &Write<'_>) -> Result<Operation, WriteError> {
        let limits = self.limits().json();
        let key = DocKey::new(write.collection, write.doc_id)?;
        let edit = match write.content {
            Content::Put(text) => Edit::Put(JsonObject::parse(text, &limits)?),
            Content::Patch(text) => Edit::Patch(JsonObject::parse(text, &limits).map_err(WriteError::Patch)?, limits),
            Content::Delete => Edit::Delete,
        };
        let expected = write.expected_version.map(Version::parse).transpose()?;
        Ok(Operation { key, edit, expected })
    }

    /// An error comes with the index of the write that it is about, if it is about one.
    async fn transact(
        &self,
        method: &str,
        writes: &[Write<'_>],
        operations: Vec<Operation>,
        idempotency_key: &str,
    ) -> Result<Vec<String>, (Option<usize>, WriteError)> {
        let name = match idempotency_key {
            "" => None,
            key => {
                check_idempotency_key(key).map_err(|error| (None, error.into()))?;
                Some(RequestName { key: key.to_owned(), fingerprint: fingerprint(method, writes) })
            }
        };
        let transaction = Transaction::new(operations, name)
            .map_err(|Twice { first, second }| (Some(second), WriteError::Twice { first }))?;
        let (wall_clock, now) = ((self.shared.wall_clock)(), self.shared.now());
        let write = move |core: &mut crate::core::engine::Core| {
            let written = core.write(&transaction, wall_clock, now).map_err(refused)?;
            Ok((written.versions, written.seq))
        };
        self.write(write).await.map_err(|Refused(index, error)| (index, error))
    }
}

fn fingerprint(method: &str, writes: &[Write<'_>]) -> Fingerprint {
    let fields = writes.iter().flat_map(|write| {
        let content = match write.content {
            Content::Put(text) | Content::Patch(text) => Some(text),
            Content::Delete => None,
        };
        [Some(write.collection), Some(write.doc_id), content, write.expected_version]
    });
    Fingerprint::of(method, fields)
}

/// Which write cannot be made, and why.
struct Refused(Option<usize>, WriteError);

impl From<WriteError> for Refused {
    fn from(error: WriteError) -> Self {
        Self(None, error)
    }
}

fn refused(rejection: Rejection) -> Refused {
    match rejection {
        Rejection::KeyReused(error) => Refused(None, error.into()),
        Rejection::Operation { index, cause } => Refused(
            Some(index),
            match cause {
                OperationError::Changed(mismatch) => WriteError::Changed(mismatch),
                OperationError::Exists(mismatch) => WriteError::Exists(mismatch),
                OperationError::Patched(error) => WriteError::Patched(error),
                OperationError::Document(error) => write_error(error),
            },
        ),
    }
}
