//! Requests to read and to watch, taken apart, and answers put together.

use connectrpc::ConnectError as Status;
use peat_proto::server::*;

use crate::core::filter::{Comparison, Filter as Condition, FilterError, Path, Scalar};
use crate::core::watch::Selection;
use crate::limits;
use crate::node::{Change, ChangeEvent, ListQuery, Page, ReadDocument, ReadError, Wanted, Watching};

pub(super) fn wanted(request: &GetDocumentRequestView<'_>) -> Wanted {
    Wanted {
        collection: request.collection.into(),
        doc_id: request.doc_id.into(),
        min_version: request.min_version.into(),
    }
}

pub(super) fn wanted_many(request: &GetDocumentsRequest) -> Vec<Wanted> {
    let wanted = |of: &DocumentRef| Wanted {
        collection: of.collection.clone(),
        doc_id: of.doc_id.clone(),
        min_version: of.min_version.clone(),
    };
    request.documents.iter().map(wanted).collect()
}

pub(super) fn documents(readings: Vec<ReadDocument>, asked: usize) -> GetDocumentsResponse {
    let left_out = (asked - readings.len()) as u32;
    GetDocumentsResponse { documents: readings.into_iter().map(content).collect(), left_out, ..Default::default() }
}

pub(super) fn list_query(request: &ListDocumentsRequest) -> Result<ListQuery, Status> {
    let wanted = |of: &DocumentVersion| Wanted {
        collection: request.collection.clone(),
        doc_id: of.doc_id.clone(),
        min_version: of.version.clone(),
    };
    Ok(ListQuery {
        collection: request.collection.clone(),
        selection: selection(vec![], &request.doc_id_prefix, request.filter.as_option())?,
        page_size: request.page_size,
        page_token: request.page_token.clone(),
        include_content: request.include_content,
        after: request.after.iter().map(wanted).collect(),
        wait_ms: request.wait_ms,
    })
}

pub(super) fn listed(page: Page) -> ListDocumentsResponse {
    ListDocumentsResponse {
        doc_ids: page.ids,
        next_page_token: page.next_page_token,
        documents: page.documents.into_iter().map(content).collect(),
        ..Default::default()
    }
}

pub(super) fn watching(request: SubscribeRequest) -> Result<Watching, Status> {
    Ok(Watching {
        selection: selection(request.collections, &request.doc_id_prefix, request.filter.as_option())?,
        markers: request.markers,
        resume_cursor: request.resume_cursor,
    })
}

pub(super) fn change(event: ChangeEvent) -> DocumentChange {
    let (change_type, json_data) = match event.change {
        Change::Upsert(text) => (ChangeType::Upsert, Some(text)),
        Change::Delete => (ChangeType::Delete, None),
        Change::Left => (ChangeType::Left, None),
        Change::SnapshotEnd => (ChangeType::SnapshotEnd, None),
        Change::Reset => (ChangeType::Reset, None),
    };
    DocumentChange {
        collection: event.collection,
        doc_id: event.doc_id,
        change_type: change_type.into(),
        json_data,
        version: event.version,
        cursor: event.cursor,
        ..Default::default()
    }
}

fn content(reading: ReadDocument) -> DocumentContent {
    DocumentContent {
        collection: reading.collection,
        doc_id: reading.doc_id,
        json_data: reading.text,
        version: reading.version.encode(),
        ..Default::default()
    }
}

fn selection(collections: Vec<String>, prefix: &str, filter: Option<&Filter>) -> Result<Selection, Status> {
    if prefix.len() > limits::MAX_DOC_ID_BYTES {
        return Err(ReadError::Prefix { actual: prefix.len(), limit: limits::MAX_DOC_ID_BYTES }.into());
    }
    let filter = filter.map(|filter| condition(filter, 1)).transpose().map_err(ReadError::from)?;
    if let Some(filter) = &filter {
        filter.validate().map_err(ReadError::from)?;
    }
    Ok(Selection { collections: collections.into_iter().collect(), doc_id_prefix: prefix.into(), filter })
}

/// Reads a filter. Its depth was bounded by the decoder; ours is smaller, and checked before going deeper.
fn condition(filter: &Filter, depth: usize) -> Result<Condition, FilterError> {
    if depth > limits::MAX_FILTER_DEPTH {
        return Err(FilterError::TooDeep { actual: depth, limit: limits::MAX_FILTER_DEPTH });
    }
    if filter.filters.len() > limits::MAX_FILTER_CONDITIONS {
        return Err(FilterError::TooMany { limit: limits::MAX_FILTER_CONDITIONS });
    }
    let below = || filter.filters.iter().map(|filter| condition(filter, depth + 1)).collect::<Result<Vec<_>, _>>();
    let operands = |op, wanted| FilterError::Operands { op, wanted, actual: filter.filters.len() };
    let compare = |comparison| {
        if !filter.filters.is_empty() {
            return Err(operands("a comparison", "none, or join them with FILTER_OP_AND"));
        }
        Ok(Condition::Compare(Path::parse(&filter.path)?, comparison, Scalar::parse(&filter.value_json)?))
    };
    let op = filter.op.as_known().ok_or(FilterError::Operator { given: filter.op.to_i32() })?;
    match op {
        FilterOp::Unspecified => Err(FilterError::Operator { given: 0 }),
        FilterOp::Equal => compare(Comparison::Equal),
        FilterOp::NotEqual => compare(Comparison::NotEqual),
        FilterOp::Less => compare(Comparison::Less),
        FilterOp::LessOrEqual => compare(Comparison::LessOrEqual),
        FilterOp::Greater => compare(Comparison::Greater),
        FilterOp::GreaterOrEqual => compare(Comparison::GreaterOrEqual),
        FilterOp::Exists => Ok(Condition::Exists(Path::parse(&filter.path)?)),
        FilterOp::And | FilterOp::Or if filter.filters.is_empty() => {
            Err(operands("FILTER_OP_AND or FILTER_OP_OR", "at least one"))
        }
        FilterOp::And => Ok(Condition::And(below()?)),
        FilterOp::Or => Ok(Condition::Or(below()?)),
        FilterOp::Not if filter.filters.len() != 1 => Err(operands("FILTER_OP_NOT", "exactly one")),
        FilterOp::Not => Ok(Condition::Not(Box::new(below()?.remove(0)))),
    }
}
