//! Makes batches durable.

use std::sync::Arc;

use redb::{Database, ReadableDatabase};

use super::tables::{self, Intent, MemberRow};
use super::{CommitMode, Durability};
use crate::core::batch::{Batch, PeerId};

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
    db: Arc<Database>,
    mode: CommitMode,
}

impl Committer {
    pub(super) fn new(db: Arc<Database>, mode: CommitMode) -> Self {
        Self { db, mode }
    }

    /// Whether [`Committer::commit`] blocks its thread while the disk syncs, and so wants one of its own.
    pub fn blocks(&self) -> bool {
        matches!(self.mode, CommitMode::Thread)
    }

    /// Bytes of the file's pages in memory; bounded by [`crate::limits::STORE_CACHE_BYTES`].
    pub fn page_cache_bytes(&self) -> usize {
        self.db.cache_stats().used_bytes()
    }

    /// Returns once the batch is durable. Blocks the thread if [`Committer::blocks`].
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitFailed> {
        self.commit_here(&batch)?;
        self.wait().await;
        Ok(())
    }

    /// Syncs the batch on this thread. On a simulated disk it is durable only some time later.
    pub fn commit_here(&self, batch: &Batch) -> Result<(), CommitFailed> {
        Ok(tables::commit(&self.db, batch)?)
    }

    /// Returns once the intent is durable. Never blocks: it is called by requests, and may have to wait for a
    /// batch that is being synced.
    #[expect(clippy::disallowed_methods, reason = "only where commits block, which no simulated store's do")]
    pub async fn keep_intent(&self, peer: PeerId, intent: Intent) -> Result<(), CommitFailed> {
        if self.blocks() {
            let db = Arc::clone(&self.db);
            let kept = tokio::task::spawn_blocking(move || tables::set_intent(&db, &peer, &intent)).await;
            return Ok(kept.map_err(|e| CommitFailed(e.to_string()))??);
        }
        tables::set_intent(&self.db, &peer, &intent)?;
        self.wait().await;
        Ok(())
    }

    /// The same for rows of members.
    #[expect(clippy::disallowed_methods, reason = "only where commits block, which no simulated store's do")]
    pub async fn keep_members(&self, rows: Vec<(PeerId, Option<MemberRow>)>) -> Result<(), CommitFailed> {
        if self.blocks() {
            let db = Arc::clone(&self.db);
            let kept = tokio::task::spawn_blocking(move || tables::set_members(&db, &rows)).await;
            return Ok(kept.map_err(|e| CommitFailed(e.to_string()))??);
        }
        tables::set_members(&self.db, &rows)?;
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
