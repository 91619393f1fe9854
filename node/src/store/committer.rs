//! Makes batches durable: on a thread in production, inline in a simulation.

use std::sync::{Arc, mpsc};

use redb::Database;
use tokio::sync::oneshot;

use super::tables::{self, Intent};
use super::{CommitMode, Durability};
use crate::core::batch::{Batch, PeerId};

/// The batch is not durable, and never will be.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct CommitFailed(pub String);

enum Work {
    Batch(Batch),
    Intent(PeerId, Intent),
}

impl Work {
    fn carry_out(&self, db: &Database) -> Result<(), CommitFailed> {
        let done = match self {
            Self::Batch(batch) => tables::commit(db, batch),
            Self::Intent(peer, intent) => tables::set_intent(db, peer, intent),
        };
        done.map_err(|e| CommitFailed(e.to_string()))
    }
}

type Job = (Work, oneshot::Sender<Result<(), CommitFailed>>);

/// Writes batches, one after another.
#[derive(Clone)]
pub struct Committer {
    how: How,
}

#[derive(Clone)]
enum How {
    /// The thread ends when every committer is gone.
    Thread(mpsc::Sender<Job>),
    Inline(Arc<Database>, Arc<dyn Durability>),
}

impl Committer {
    pub(super) fn new(db: Arc<Database>, mode: CommitMode) -> Self {
        let how = match mode {
            CommitMode::Inline(disk) => How::Inline(db, disk),
            CommitMode::Thread => {
                let (jobs, work) = mpsc::channel::<Job>();
                std::thread::Builder::new()
                    .name("peat-commit".into())
                    .spawn(move || {
                        for (work, done) in work {
                            // Nobody waits any more after a shutdown; the write is durable all the same.
                            let _ = done.send(work.carry_out(&db));
                        }
                    })
                    .expect("a process can start one thread");
                How::Thread(jobs)
            }
        };
        Self { how }
    }

    /// Returns once the batch is durable.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitFailed> {
        self.run(Work::Batch(batch)).await
    }

    /// Returns once the intent is durable.
    pub async fn keep_intent(&self, peer: PeerId, intent: Intent) -> Result<(), CommitFailed> {
        self.run(Work::Intent(peer, intent)).await
    }

    async fn run(&self, work: Work) -> Result<(), CommitFailed> {
        match &self.how {
            How::Inline(db, disk) => {
                work.carry_out(db)?;
                tokio::time::sleep(disk.until_durable()).await;
                Ok(())
            }
            How::Thread(jobs) => {
                let (done, result) = oneshot::channel();
                let gone = || CommitFailed("the commit thread is gone".into());
                jobs.send((work, done)).map_err(|_| gone())?;
                result.await.map_err(|_| gone())?
            }
        }
    }
}
