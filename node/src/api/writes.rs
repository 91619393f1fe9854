//! What is told of a document and of the limits, as messages.

use peat_proto::server::*;

use crate::config::ClientLimits;
use crate::core::document::{Author, Conflict, Contender, Deletion};
use crate::core::documents::Reading;
use crate::limits;

/// What a name may consist of, for people.
const NAME_CHARACTERS: &str = "any Unicode text without control characters (U+0000 to U+001F, U+007F to U+009F), \
                               compared byte by byte";

pub(super) fn reading(reading: Reading) -> GetDocumentResponse {
    GetDocumentResponse {
        json_data: reading.text,
        version: reading.version.encode(),
        conflicts: reading.conflicts.into_iter().map(conflict).collect(),
        deleted: reading.deletion.map(deletion).into(),
        more_conflicts: reading.more_conflicts,
        ..Default::default()
    }
}

fn conflict(conflict: Conflict) -> FieldConflict {
    let values = conflict.values.into_iter().map(contender).collect();
    FieldConflict { path: conflict.path, values, ..Default::default() }
}

fn contender(contender: Contender) -> ConflictingValue {
    let by = name(contender.by);
    ConflictingValue { json_data: contender.json, by, at_ms: contender.at_ms, ..Default::default() }
}

fn deletion(deletion: Deletion) -> DocumentDeletion {
    DocumentDeletion { by: name(deletion.by), at_ms: deletion.at_ms, ..Default::default() }
}

fn name(author: Option<Author>) -> String {
    author.map(|author| author.to_string()).unwrap_or_default()
}

pub(super) fn limits(limits: &ClientLimits) -> GetLimitsResponse {
    let bounded = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    GetLimitsResponse {
        max_document_bytes: bounded(limits.document_bytes),
        max_document_depth: bounded(limits.document_depth),
        max_request_bytes: bounded(limits.request_bytes),
        max_collection_bytes: bounded(limits::MAX_COLLECTION_BYTES),
        max_doc_id_bytes: bounded(limits::MAX_DOC_ID_BYTES),
        name_characters: NAME_CHARACTERS.into(),
        max_put_documents: bounded(limits.put_documents),
        max_idempotency_key_bytes: bounded(limits::MAX_IDEMPOTENCY_KEY_BYTES),
        idempotency_keys: bounded(limits::MAX_RECEIPTS),
        idempotency_seconds: u32::try_from(limits::RECEIPT_AGE.as_secs()).unwrap_or(u32::MAX),
        min_integer: i64::MIN,
        max_integer: u64::MAX,
        max_conflicts: bounded(limits::CONFLICTS.conflicts),
        max_subscriptions: bounded(limits::MAX_SUBSCRIPTIONS),
        max_subscribed_collections: bounded(limits::MAX_SUBSCRIBED_COLLECTIONS),
        max_documents_read: bounded(limits::MAX_DOCUMENTS_READ),
        max_page_documents: bounded(limits::MAX_PAGE_DOCUMENTS),
        max_wait_ms: u32::try_from(limits::MAX_READ_WAIT.as_millis()).unwrap_or(u32::MAX),
        max_answer_bytes: bounded(limits::MAX_ANSWER_BYTES),
        max_filter_conditions: bounded(limits::MAX_FILTER_CONDITIONS),
        max_filter_depth: bounded(limits::MAX_FILTER_DEPTH),
        ..Default::default()
    }
}
