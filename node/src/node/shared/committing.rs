//! How changes become durable: who commits, who waits for it, and what happens when the disk refuses.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Duration;

use super::{Shared, lock};
use crate::core::batch::Batch;
use crate::core::engine::Core;
use crate::core::wire::Seq;
use crate::limits;
use crate::node::plants::Plant;
use crate::node::world::Observation;
use crate::store::CommitFailed;

/// How far the store has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    /// Every change numbered up to here is durable.
    pub through: Seq,
    /// Why nothing more can be made so at present, if so.
    pub failed: Option<Arc<str>>,
    /// Changes that were taken back, ascending: their numbers are not used again in this life, so whoever waits for one is told even if
    /// the store has recovered since.
    pub lost: Vec<Lost>,
}

/// A run of changes that were never durable.
#[derive(Debug, Clone)]
pub(crate) struct Lost {
    after: Seq,
    through: Seq,
    why: Arc<str>,
}

impl Durable {
    /// What became of a change; `None`: nothing yet.
    fn outcome(&self, seq: Seq) -> Option<Result<(), Arc<str>>> {
        if let Some(lost) = self.lost.iter().rev().find(|lost| (lost.after + 1..=lost.through).contains(&seq)) {
            return Some(Err(Arc::clone(&lost.why)));
        }
        if self.through >= seq {
            return Some(Ok(()));
        }
        self.failed.clone().map(Err)
    }
}

impl Shared {
    /// Waits until everything numbered up to `seq` is durable; an error if it never will be.
    pub async fn wait_durable(&self, seq: Seq) -> Result<(), Arc<str>> {
        loop {
            let changed = self.durable_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let outcome = lock(&self.durable).outcome(seq);
            match outcome {
                Some(outcome) => return outcome,
                None => changed.await,
            }
        }
    }

    /// How far the store has come.
    pub fn durable(&self) -> Durable {
        lock(&self.durable).clone()
    }

    fn set_durable(&self, set: impl FnOnce(&mut Durable)) {
        let changed = {
            let mut durable = lock(&self.durable);
            let was = durable.failed.is_some();
            set(&mut durable);
            durable.failed.is_some() != was
        };
        if changed {
            self.health_changed.notify_waiters();
        }
        self.durable_changed.notify_waiters();
    }

    /// Waits until less than the limit waits for the disk: memory stays bounded however fast it comes in.
    pub async fn wait_for_room(&self, limit: usize) -> Result<(), Arc<str>> {
        loop {
            let changed = self.durable_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let failed = lock(&self.durable).failed.clone();
            if let Some(why) = failed {
                return Err(why);
            }
            if self.uncommitted_bytes.load(Ordering::Acquire) <= limit {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Takes back everything that is not durable, and tells those who wait for it. Afterwards nothing can be made durable for the reason
    /// given, or anything if there is none.
    fn take_back(&self, why: &str, failed: Option<Arc<str>>) {
        self.with_core(|core| {
            core.commit_failed();
            let last = core.documents().last();
            // Under the core's lock: nobody gets a number in between.
            self.set_durable(|durable| {
                let after = durable.through;
                match durable.lost.last_mut() {
                    Some(lost) if lost.after == after => lost.through = last,
                    _ if last > after => durable.lost.push(Lost { after, through: last, why: why.into() }),
                    _ => {}
                }
                durable.failed = failed;
            });
        });
        self.mesh.close_all(crate::mesh::CloseCode::StoreFailed);
    }
}

/// Makes whatever queued while the last batch was synced durable in one transaction, until the node stops.
pub(crate) async fn commit_loop(shared: Arc<Shared>) {
    /// The planted bug's write-behind delay.
    const WRITE_BEHIND: Duration = Duration::from_secs(1);
    let _guard = FailIfPanicking(&shared);
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = shared.committer.broken() => {
                if recover(&shared).await.is_none() {
                    return;
                }
            }
            () = shared.commit.notified() => {}
        }
        if shared.plants.has(Plant::EarlyAck) {
            tokio::time::sleep(WRITE_BEHIND).await;
        }
        if shared.committer.blocks() {
            while commit_here(&shared, lock(&shared.turn)) {}
        } else {
            while let Some(batch) = shared.with_core(Core::take_batch) {
                commit(&shared, batch).await;
            }
        }
    }
}

/// Commits what is pending on this thread if nobody else is committing, and otherwise leaves it to the commit loop. A
/// lone writer is spared two hand-overs between threads, which cost more than a fast disk; many writers
/// still share one transaction, which queues while another is synced.
pub(crate) fn commit_now_or_later(shared: &Shared) {
    use tokio::runtime::{Handle, RuntimeFlavor};
    let may_block = shared.committer.blocks()
        && !shared.plants.has(Plant::EarlyAck)
        && Handle::current().runtime_flavor() == RuntimeFlavor::MultiThread;
    if may_block && let Ok(turn) = shared.turn.try_lock() {
        tokio::task::block_in_place(|| commit_here(shared, turn));
        if shared.with_core(|core| core.documents().is_all_durable()) {
            return;
        }
    }
    shared.commit.notify_one();
}

/// Commits one batch on this thread. Returns whether there was one.
fn commit_here(shared: &Shared, turn: MutexGuard<'_, ()>) -> bool {
    let Some(batch) = shared.with_core_uncommitted(Core::take_batch).0 else { return false };
    let done = shared.committer.commit_here(&batch);
    finish_commit(shared, batch.last, batch.changes, done);
    drop(turn);
    true
}

/// Opens the store anew until it can be written to; `None`: the node stops first. In between it is read as far as that is possible.
async fn recover(shared: &Shared) -> Option<()> {
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return None,
            () = tokio::time::sleep(pause) => {}
        }
        let through = shared.durable().through;
        let recovered = {
            // Nobody commits meanwhile; where commits do not block only this loop does.
            let _turn = lock(&shared.turn);
            if shared.durable().lost.len() < limits::MAX_FAILED_COMMITS {
                let recovered = shared.committer.recover(through);
                if recovered.is_ok() {
                    shared.take_back("the store failed before it was durable", None);
                }
                recovered
            } else {
                Err(CommitFailed("it failed too often; restart".into()))
            }
        };
        match recovered {
            Ok(()) => {
                tracing::info!("the store can be written to again");
                return Some(());
            }
            Err(error) => {
                let why: Arc<str> = error.to_string().into();
                // Where the one that failed was not a batch, nobody else has told.
                if shared.durable().failed.is_none() {
                    shared.take_back(&why, Some(Arc::clone(&why)));
                }
                pause = (pause * 2).clamp(limits::STORE_RETRY_FIRST, limits::STORE_RETRY_LAST);
                tracing::warn!("the store cannot be written to: {why}; trying again in {pause:?}");
            }
        }
    }
}

/// Writers must not wait for ever for a loop that is gone.
struct FailIfPanicking<'a>(&'a Shared);

impl Drop for FailIfPanicking<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.set_durable(|durable| durable.failed = Some("the commit loop panicked".into()));
        }
    }
}

/// Commits one batch.
pub(crate) async fn commit(shared: &Shared, batch: Batch) {
    let (last, changes) = (batch.last, batch.changes);
    let done = shared.committer.commit(batch).await;
    finish_commit(shared, last, changes, done);
}

/// Tells everyone what became of a batch.
fn finish_commit(shared: &Shared, last: Seq, changes: usize, done: Result<(), CommitFailed>) {
    match done {
        Ok(()) => {
            let now = shared.now();
            shared.observe(Observation::Committed { changes });
            shared.with_core_uncommitted(|core| core.committed(last, now));
            shared.set_durable(|durable| durable.through = last);
        }
        Err(error) => {
            let why = error.to_string();
            tracing::error!("the store failed: {why}; writes are refused until it can be written to");
            shared.take_back(&why, Some(why.as_str().into()));
        }
    }
}
