//! A subscription, as the API sees it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::error::ReadError;
use super::handle::read_error;
use super::shared::Shared;
use crate::core::watch::{Cursor, Next, Selection, Told, WatchEvent, WatchId};

/// What happened to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It now has this content (compact JSON).
    Upsert(String),
    /// It is gone.
    Delete,
    /// It no longer matches the filter.
    Left,
    /// No document: everything that was there when the subscription began has been told.
    SnapshotEnd,
    /// No document: the stream starts over.
    Reset,
}

/// One event of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// Collection of the document; empty if there is none.
    pub collection: String,
    /// Id of the document; empty if there is none.
    pub doc_id: String,
    /// What happened.
    pub change: Change,
    /// Version of the document, as a token.
    pub version: String,
    /// Where a reader that has taken this event goes on.
    pub cursor: String,
}

impl From<WatchEvent> for ChangeEvent {
    fn from(event: WatchEvent) -> Self {
        let cursor = event.cursor.encode();
        let (key, change, version) = match event.told {
            Told::Upsert { key, text, version } => (Some(key), Change::Upsert(text), version.encode()),
            Told::Delete { key, version } => (Some(key), Change::Delete, version.encode()),
            Told::Left { key, version } => (Some(key), Change::Left, version.encode()),
            Told::SnapshotEnd => (None, Change::SnapshotEnd, String::new()),
            Told::Reset => (None, Change::Reset, String::new()),
        };
        let (collection, doc_id) =
            key.map(|key| (key.collection().to_owned(), key.id().to_owned())).unwrap_or_default();
        Self { collection, doc_id, change, version, cursor }
    }
}

/// The current matching documents, then their changes, with no gap and no duplicate between the two, or what came after
/// a cursor. A reader that is slower than the writers gets the latest version of each document: the subscription holds
/// a position, never a queue of events.
pub struct Subscription {
    id: WatchId,
    wake: Arc<Notify>,
    shared: Arc<Shared>,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, selection: Selection, markers: bool, cursor: Option<Cursor>) -> Self {
        let id = shared.with_core(|core| core.open_watch(selection, markers, cursor));
        Self { id, wake: shared.register_watch(id), shared }
    }

    /// The next event; `None` once the node has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<ChangeEvent, ReadError>> {
        loop {
            if self.shared.stop.is_cancelled() {
                return None;
            }
            match self.shared.with_core(|core| core.next_event(self.id)) {
                Ok(Next::Event(event)) => return Some(Ok(event.into())),
                Ok(Next::More) => {
                    tokio::task::yield_now().await;
                    continue;
                }
                Ok(Next::Idle) => {}
                Err(error) => return Some(Err(read_error(error))),
            }
            tokio::select! {
                biased;
                () = self.shared.stop.cancelled() => return None,
                () = self.wake.notified() => {}
            }
        }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.forget_watch(self.id);
    }
}
