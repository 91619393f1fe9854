//! A subscription, as the API sees it.

use std::sync::Arc;

use tokio::sync::Notify;

use super::error::ReadError;
use super::handle::read_error;
use super::shared::Shared;
use crate::core::watch::WatchId;

/// What happened to a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It now has this content (compact JSON).
    Upsert(String),
    /// It is gone.
    Delete,
}

/// One event of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeEvent {
    /// Collection of the document.
    pub collection: String,
    /// Id of the document.
    pub doc_id: String,
    /// What happened.
    pub change: Change,
}

/// The current matching documents, then their changes, with no gap and no duplicate between the two.
/// A reader that is slower than the writers gets the latest version of each document: the
/// subscription holds which documents are dirty, never a queue of events.
pub struct Subscription {
    id: WatchId,
    wake: Arc<Notify>,
    shared: Arc<Shared>,
}

impl Subscription {
    pub(super) fn new(shared: Arc<Shared>, collections: Vec<String>) -> Self {
        let id = shared.with_core(|core| core.open_watch(collections));
        Self { id, wake: shared.register_watch(id), shared }
    }

    /// The next event; `None` once the node has stopped. Cancel safe.
    pub async fn next(&mut self) -> Option<Result<ChangeEvent, ReadError>> {
        loop {
            if self.shared.stop.is_cancelled() {
                return None;
            }
            match self.shared.with_core(|core| core.next_event(self.id)) {
                Ok(Some(event)) => {
                    return Some(Ok(ChangeEvent {
                        collection: event.key.collection().to_owned(),
                        doc_id: event.key.id().to_owned(),
                        change: event.text.map_or(Change::Delete, Change::Upsert),
                    }));
                }
                Ok(None) => {}
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
