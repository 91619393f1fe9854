//! Makes batches durable.

use std::sync::Arc;

use redb::ReadableDatabase;

use super::handle::Handle;
use super::tables::{self, Intent, MemberRow};
use super::{CommitMode, Durability};
use crate::core::batch::{Batch, PeerId};
use crate::core::wire::Seq;

/// The batch is not durable, and never will be.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CommitFailed(pub String);

impl From<redb::Error> for CommitFailed {
    fn from(error: redb::Error) -> Self {
        Self(error.to_string())
    }
}

/// Writes batches, one after another.
#[derive(Clone)]
pub struct Committer {
    handle: Arc<Handle>,
    mode: CommitMode,
}

impl Committer {
    pub(super) fn new(handle: Arc<Handle>, mode: CommitMode) -> Self {
        Self { handle, mode }
    }

    /// Whether [`Committer::commit`] blocks its thread while the disk syncs, and so wants one of its own.
    pub fn blocks(&self) -> bool {
        matches!(self.mode, CommitMode::Thread)
    }

    /// Bytes of the file's pages in memory; bounded by [`crate::limits::STORE_CACHE_BYTES`].
    pub fn page_cache_bytes(&self) -> usize {
        self.handle.read(|db| Ok(db.cache_stats().used_bytes())).unwrap_or_default()
    }

    /// Returns once the batch is durable. Blocks the thread if [`Committer::blocks`].
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitFailed> {
        self.commit_here(&batch)?;
        self.wait().await;
        Ok(())
    }

    /// Syncs the batch on this thread. On a simulated disk it is durable only some time later.
    pub fn commit_here(&self, batch: &Batch) -> Result<(), CommitFailed> {
        Ok(self.handle.write(|db| tables::commit(db, batch))?)
    }

    /// Returns once a write has failed, also one of those below.
    pub async fn broken(&self) {
        self.handle.broken().await;
    }

    /// Opens the database anew after a commit has failed. An error says why nothing can be written yet. Blocks the thread. `last` is the
    /// last change number that is durable.
    pub fn recover(&self, last: Seq) -> Result<(), CommitFailed> {
        self.handle.reopen(last).map_err(|error| CommitFailed(error.to_string()))
    }

    /// Returns once the intent is durable. Never blocks: it is called by requests, and may have to wait for a
    /// batch that is being synced.
    #[expect(clippy::disallowed_methods, reason = "only where commits block, which no simulated store's do")]
    pub async fn keep_intent(&self, peer: PeerId, intent: Intent) -> Result<(), CommitFailed> {
        if self.blocks() {
            let handle = Arc::clone(&self.handle);
            let kept =
                tokio::task::spawn_blocking(move || handle.write(|db| tables::set_intent(db, &peer, &intent))).await;
            return Ok(kept.map_err(|e| CommitFailed(e.to_string()))??);
        }
        self.handle.write(|db| tables::set_intent(db, &peer, &intent))?;
        self.wait().await;
        Ok(())
    }

    /// The same for rows of members.
    #[expect(clippy::disallowed_methods, reason = "only where commits block, which no simulated store's do")]
    pub async fn keep_members(&self, rows: Vec<(PeerId, Option<MemberRow>)>) -> Result<(), CommitFailed> {
        if self.blocks() {
            let handle = Arc::clone(&self.handle);
            let kept = tokio::task::spawn_blocking(move || handle.write(|db| tables::set_members(db, &rows))).await;
            return Ok(kept.map_err(|e| CommitFailed(e.to_string()))??);
        }
        self.handle.write(|db| tables::set_members(db, &rows))?;
        self.wait().await;
        Ok(())
    }

    async fn wait(&self) {
        if let CommitMode::Inline(disk) = &self.mode {
            let disk: &dyn Durability = &**disk;
            tokio::time::sleep(disk.until_durable()).await;
        }
    }
}
