//! What the API and tests talk to.

mod reads;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use iroh::EndpointId;

use super::error::{ConnectError, ReadError, SetCollectionError, WriteError};
use super::figures::{self, Figures, Gauge, NodeStatus, PeerStatus, SyncStats};
use super::plants::Plant;
use super::shared::{Shared, commit_now_or_later, lock};
use super::world::Observation;
use super::write::{Content, Write};
use crate::config::ClientLimits;
use crate::core::document::{JsonLimits, JsonObject};
use crate::core::documents::DocumentError;
use crate::core::engine::{Core, SetPolicyError};
use crate::core::key::DocKey;
use crate::core::policy::{Policy, Source};
use crate::core::wire::Seq;
use crate::limits;
use crate::mesh::AdmissionSnapshot;
use crate::mesh::allow_list::AllowList;
use crate::store::{Backup, BackupError};
use crate::watcher::{self, AgentFigures, AgentSource, WatchError};

pub use reads::{ListQuery, Page, ReadDocument, Wanted, Watching};

/// A running node, as the API sees it. Cheap to clone.
#[derive(Clone)]
pub struct NodeHandle {
    pub(super) shared: Arc<Shared>,
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

    /// Writes a JSON object; returns its version once it is durable. Unchanged content costs no write.
    pub async fn put(&self, collection: &str, doc_id: &str, json: &str) -> Result<String, WriteError> {
        self.write_one(Write { collection, doc_id, content: Content::Put(json), expected_version: None }, "").await
    }

    /// What clients may ask.
    pub fn limits(&self) -> &ClientLimits {
        &self.shared.limits
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
        let (now, limits) = ((self.shared.wall_clock)(), self.shared.limits.json());
        let write = move |core: &mut Core| {
            let (text, _) = core.render(&key).map_err(write_error)?;
            let json = JsonObject::parse(&edit(text)?, &limits).map_err(WriteError::from)?;
            let seq = core.put(&key, &json, now).map_err(write_error)?;
            Ok(((), seq))
        };
        self.write(write).await
    }

    /// Deletes; returns the version of the tombstone once that is durable. Deleting what is not there is a success.
    pub async fn delete(&self, collection: &str, doc_id: &str) -> Result<String, WriteError> {
        self.write_one(Write { collection, doc_id, content: Content::Delete, expected_version: None }, "").await
    }

    /// Writes (`Some`) and deletes (`None`) as one transaction; returns once it is durable, with how many of them changed
    /// anything. A document that is damaged is left as it is, and told in the log.
    pub(crate) async fn write_batch(&self, batch: Vec<(DocKey, Option<JsonObject>)>) -> Result<u64, WriteError> {
        let now = (self.shared.wall_clock)();
        self.write(move |core| {
            let before = core.documents().last();
            let mut last = before;
            for (key, json) in batch {
                let done = match json {
                    Some(json) => core.put(&key, &json, now),
                    None => core.delete(&key, now),
                };
                match done {
                    Ok(seq) => last = last.max(seq),
                    Err(error) => tracing::error!("{key} is left as it is: {error}"),
                }
            }
            Ok((core.documents().last() - before, last))
        })
        .await
    }

    /// Number of the last change of a document, durable or not; `None`: it was never written. Costs one look at the
    /// index, no document is loaded.
    pub(crate) fn version(&self, key: &DocKey) -> Option<Seq> {
        self.shared.with_core(|core| core.documents().index().get(key).map(|meta| meta.seq))
    }

    /// Watches an agent until the node stops, see [`crate::watcher`].
    pub fn watch_agent<S: AgentSource>(&self, source: S, interval: Duration) -> Result<(), WatchError> {
        watcher::check_agent_id(&self.shared.node_id)?;
        {
            let mut agent = lock(&self.shared.agent);
            if agent.is_some() {
                return Err(WatchError::Twice);
            }
            *agent = Some(AgentFigures { address: source.address(), ..AgentFigures::default() });
        }
        self.shared.spawn(watcher::follow(Arc::clone(&self.shared), self.clone(), source, interval));
        Ok(())
    }

    /// Sets how much history a collection keeps and what a delete means in it, for the whole formation; returns once
    /// that is durable here.
    pub async fn set_collection(&self, collection: &str, policy: Policy) -> Result<(), SetCollectionError> {
        let now = (self.shared.wall_clock)();
        self.write(|core| {
            core.set_policy(collection, &policy, now).map(|seq| ((), seq)).map_err(|error| match error {
                SetPolicyError::Policy(error) => SetCollectionError::Policy(error),
                SetPolicyError::Document(error) => write_error(error).into(),
            })
        })
        .await
    }

    /// The collections that have a policy, as this node knows them, by name.
    pub fn collections(&self) -> Vec<(String, Policy, Source)> {
        let owned = |(name, policy, source): (&str, Policy, Source)| (name.to_owned(), policy, source);
        self.shared.with_core(|core| core.documents().policies().all().map(owned).collect())
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

    /// Every row of this moment but the node's own key, in chunks; see [`crate::store::Restorer`].
    pub(crate) fn backup(&self) -> Result<Backup, BackupError> {
        let backup = self.shared.backups.begin()?;
        let snapshot = Arc::downgrade(&backup.snapshot());
        self.shared.spawn(async move {
            tokio::time::sleep(limits::BACKUP_TIME).await;
            if let Some(snapshot) = snapshot.upgrade() {
                snapshot.end();
            }
        });
        Ok(backup)
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

    /// Ends the sessions with these peers, as if the system had told that the path to them is gone, and says how many
    /// there were. They are dialled again as after any loss. For simulators.
    pub fn sever(&self, peers: &[EndpointId]) -> usize {
        self.shared.mesh.sever(peers)
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

    /// How full everything is that has a limit. For simulators, which look often: no copies, no system calls.
    pub fn gauges(&self) -> Vec<Gauge> {
        self.shared.with_core(|core| figures::gauges(core))
    }

    /// Makes a write and returns what it led to once everything up to the number is durable.
    pub(super) async fn write<T, E: From<WriteError>>(
        &self,
        write: impl FnOnce(&mut Core) -> Result<(T, Seq), E>,
    ) -> Result<T, E> {
        if self.shared.stopping.load(Ordering::SeqCst) {
            return Err(WriteError::ShuttingDown.into());
        }
        let not_durable = |why: Arc<str>| WriteError::NotDurable(why.to_string());
        self.shared.wait_for_room(limits::MAX_UNCOMMITTED_BYTES).await.map_err(not_durable)?;
        let (written, commit) = self.shared.with_core_uncommitted(write);
        if commit {
            commit_now_or_later(&self.shared);
        }
        let (written, seq) = written?;
        if !self.shared.plants.has(Plant::EarlyAck) {
            self.shared.wait_durable(seq).await.map_err(not_durable)?;
        }
        Ok(written)
    }

    /// What is not durable is not shown: after a crash it might never have been.
    async fn wait_visible(&self, seq: Seq) -> Result<(), ReadError> {
        if self.shared.plants.has(Plant::EarlyAck) {
            return Ok(());
        }
        self.shared.wait_durable(seq).await.map_err(|why| ReadError::Storage(why.to_string()))
    }
}

/// What the node writes for itself, whatever it lets its clients write.
pub(crate) const JSON_LIMITS: JsonLimits =
    JsonLimits { max_bytes: limits::MAX_DOCUMENT_BYTES, max_depth: limits::MAX_JSON_DEPTH };

pub(super) fn write_error(error: DocumentError) -> WriteError {
    match error {
        DocumentError::Refused(refusal) => WriteError::Refused(refusal),
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
