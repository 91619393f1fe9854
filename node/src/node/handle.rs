//! What the API and tests talk to.

mod reads;

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::error::{ConnectError, ReadError, WriteError};
use super::figures::{self, Figures, NodeStatus, PeerStatus, SyncStats};
use super::shared::{Shared, commit_now_or_later};
use super::world::Observation;
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::documents::DocumentError;
use crate::core::engine::Core;
use crate::core::key::DocKey;
use crate::core::wire::Seq;
use crate::limits;
use crate::mesh::AdmissionSnapshot;
use crate::mesh::allow_list::AllowList;

pub use reads::{ListQuery, Page, Reading, Wanted, Watching};

/// A running node, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    shared: Arc<Shared>,
}

/// Where a node is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Opening its store.
    Initializing,
    /// Serving; nothing is being transferred.
    Ready,
    /// Serving, and at least one peer is being brought up to date.
    Syncing,
    /// Stopping.
    ShuttingDown,
}

impl NodeHandle {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Writes a JSON object; returns once it is durable. Unchanged content costs no write.
    pub async fn put(&self, collection: &str, doc_id: &str, json: &str) -> Result<(), WriteError> {
        let key = DocKey::new(collection, doc_id)?;
        let json = JsonObject::parse(json, &JSON_LIMITS)?;
        let now = (self.shared.wall_clock)();
        self.write(move |core| core.put(&key, &json, now).map_err(write_error)).await
    }

    /// Writes what `edit` makes of the present text (`None`: there is no live document); returns once it
    /// is durable. Nobody's write comes between the read and the write. `edit` sees writes that are not
    /// durable yet: should one of them be lost, this one is lost with it.
    ///
    /// `edit` and the parser run under the node's one lock, some milliseconds for the largest document:
    /// `edit` must only compute. Rejected: read, write and try again if the heads have moved, which is
    /// more to get right and starves under load.
    pub async fn modify<E: From<WriteError>>(
        &self,
        collection: &str,
        doc_id: &str,
        edit: impl FnOnce(Option<String>) -> Result<String, E>,
    ) -> Result<(), E> {
        let key = DocKey::new(collection, doc_id).map_err(WriteError::from)?;
        let now = (self.shared.wall_clock)();
        self.write(move |core| {
            let (text, _) = core.render(&key).map_err(write_error)?;
            let json = JsonObject::parse(&edit(text)?, &JSON_LIMITS).map_err(WriteError::from)?;
            Ok(core.put(&key, &json, now).map_err(write_error)?)
        })
        .await
    }

    /// Deletes; returns once the tombstone is durable. Deleting what is not there is a success.
    pub async fn delete(&self, collection: &str, doc_id: &str) -> Result<(), WriteError> {
        let key = DocKey::new(collection, doc_id)?;
        let now = (self.shared.wall_clock)();
        self.write(move |core| core.delete(&key, now).map_err(write_error)).await
    }

    /// Declares a peer wanted: it is dialled now, and again whenever it is lost, also after a restart.
    /// Returns once the wish is durable, not once the peer answers.
    pub async fn connect_peer(
        &self,
        endpoint_id: &str,
        addresses: Vec<String>,
        relay_url: &str,
    ) -> Result<(), ConnectError> {
        self.shared.mesh.connect_peer(&self.shared, endpoint_id, addresses, relay_url).await
    }

    /// Withdraws the wish, closes the session, and refuses the peer until it is wanted again.
    pub async fn disconnect_peer(&self, endpoint_id: &str) -> Result<(), ConnectError> {
        self.shared.mesh.disconnect_peer(&self.shared, endpoint_id).await
    }

    /// Wanted peers and those that came by themselves, sorted by endpoint id.
    pub fn list_peers(&self) -> Vec<PeerStatus> {
        figures::peers(&self.shared)
    }

    /// Name, address, phase, and what the store holds.
    pub fn status(&self) -> NodeStatus {
        figures::status(&self.shared)
    }

    /// Everything that can be measured, for metrics. Holds the core's lock for one look at each session, whatever
    /// the number of documents.
    pub fn figures(&self) -> Figures {
        figures::figures(&self.shared)
    }

    /// Why the node is not ready to serve; `None`: it is.
    pub fn unready(&self) -> Option<String> {
        figures::unready(&self.shared)
    }

    /// Waits until the node is ready, or no longer, whichever it was not.
    pub async fn readiness_change(&self, was_ready: bool) {
        loop {
            let changed = self.shared.health_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if self.unready().is_none() != was_ready {
                return;
            }
            changed.await;
        }
    }

    /// Resumes synchronising and catches up.
    pub async fn start_sync(&self) {
        self.shared.mesh.set_active(true, self.shared.now());
    }

    /// Stops the flow both ways until [`NodeHandle::start_sync`].
    pub async fn stop_sync(&self) {
        self.shared.mesh.set_active(false, self.shared.now());
        self.shared.mesh.close_all(crate::mesh::CloseCode::Stopped);
    }

    /// Traffic counters.
    pub fn sync_stats(&self) -> SyncStats {
        figures::sync_stats(&self.shared)
    }

    /// Puts another allow-list in force: sessions with peers that it does not have are closed at once, and they are
    /// refused and not dialled from now on. `None`: everyone who has the key may take part.
    pub fn set_allow_list(&self, list: Option<AllowList>) {
        for peer in self.shared.mesh.set_allow_list(list, self.shared.now()) {
            let reason = crate::mesh::CloseCode::Revoked.reason();
            tracing::warn!(peer = %peer.fmt_short(), "{reason}");
            self.shared.observe(Observation::Refused { peer, reason: reason.into() });
        }
    }

    /// What became of everyone who knocked at the mesh, since the start.
    pub fn admissions(&self) -> AdmissionSnapshot {
        self.shared.mesh.admission_snapshot()
    }

    /// A digest over every document's key and heads: equal on two nodes exactly when both hold the same
    /// changes. For tests and simulators. Costs one addition a document.
    pub fn heads_digest(&self) -> [u8; 32] {
        let (count, sum) = self.shared.with_core(|core| core.documents().index().fingerprint());
        *blake3::hash(&[&count.to_le_bytes()[..], &sum.to_le_bytes()[..]].concat()).as_bytes()
    }

    async fn write<E: From<WriteError>>(&self, write: impl FnOnce(&mut Core) -> Result<Seq, E>) -> Result<(), E> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(WriteError::ShuttingDown.into());
        }
        let not_durable = |why: Arc<str>| WriteError::NotDurable(why.to_string());
        self.shared.wait_for_room(limits::MAX_UNCOMMITTED_BYTES).await.map_err(not_durable)?;
        let (seq, commit) = self.shared.with_core_uncommitted(write);
        if commit {
            commit_now_or_later(&self.shared);
        }
        let seq = seq?;
        if self.shared.plants.acknowledges_early() {
            return Ok(());
        }
        Ok(self.shared.wait_durable(seq).await.map_err(not_durable)?)
    }

    /// What is not durable is not shown: after a crash it might never have been.
    async fn wait_visible(&self, seq: Seq) -> Result<(), ReadError> {
        if self.shared.plants.acknowledges_early() {
            return Ok(());
        }
        self.shared.wait_durable(seq).await.map_err(|why| ReadError::Storage(why.to_string()))
    }
}

const JSON_LIMITS: JsonLimits = JsonLimits { max_bytes: limits::MAX_DOCUMENT_BYTES, max_depth: limits::MAX_JSON_DEPTH };

fn write_error(error: DocumentError) -> WriteError {
    match error {
        DocumentError::Damaged { key, source } => WriteError::Damaged { key, detail: source.to_string() },
        other => WriteError::NotDurable(other.to_string()),
    }
}

pub(super) fn read_error(error: DocumentError) -> ReadError {
    match error {
        DocumentError::Damaged { key, source } => ReadError::Damaged { key, detail: source.to_string() },
        other => ReadError::Storage(other.to_string()),
    }
}
