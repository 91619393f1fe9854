//! What every task of a node shares: the core behind its lock, who waits for what, and the clock.
//!
//! One lock guards the core; it is held for one input at a time and never across an await. A task that
//! gave an input calls [`Shared::with_core`], which wakes whoever has something new afterwards.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::world::{Observation, Observer, Plants, WallClock};
use crate::core::engine::{Core, Wakes};
use crate::core::session::{Now, SessionId};
use crate::core::watch::WatchId;
use crate::core::wire::Seq;
use crate::mesh::Mesh;
use crate::store::Committer;

/// How far the store has come.
#[derive(Debug, Clone, Default)]
pub(crate) struct Durable {
    /// Every change numbered up to here is durable.
    pub through: Seq,
    /// Why nothing more will be, if so.
    pub failed: Option<Arc<str>>,
}

/// Wakes the tasks of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionWake {
    pub control: Notify,
    pub data: Notify,
    /// The peer has said hello.
    pub greeted: Notify,
}

/// Traffic since start.
#[derive(Debug, Default)]
pub(crate) struct Traffic {
    pub sent: AtomicU64,
    pub received: AtomicU64,
}

pub(crate) struct Shared {
    pub node_id: String,
    core: Mutex<Core>,
    pub committer: Committer,
    durable: Mutex<Durable>,
    /// Told whenever `durable` changes. A `Notify` wakes in order; a `watch` channel would wake in an order that
    /// depends on how many runtimes the process has made.
    durable_changed: Notify,
    pub commit: Notify,
    session_wakes: Mutex<BTreeMap<SessionId, Arc<SessionWake>>>,
    watch_wakes: Mutex<BTreeMap<WatchId, Arc<Notify>>>,
    pub mesh: Mesh,
    pub rng: Mutex<ChaCha8Rng>,
    pub traffic: Traffic,
    pub stopping: AtomicBool,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
    tasks: Mutex<Option<JoinSet<()>>>,
    started: Instant,
    pub wall_clock: WallClock,
    observer: Option<Arc<dyn Observer>>,
    pub plants: Plants,
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub node_id: String,
    pub core: Core,
    pub committer: Committer,
    pub mesh: Mesh,
    pub rng: ChaCha8Rng,
    pub wall_clock: WallClock,
    pub observer: Option<Arc<dyn Observer>>,
    pub plants: Plants,
}

impl Shared {
    pub fn new(parts: Parts) -> Self {
        let through = parts.core.documents().durable();
        Self {
            node_id: parts.node_id,
            core: Mutex::new(parts.core),
            committer: parts.committer,
            durable: Mutex::new(Durable { through, failed: None }),
            durable_changed: Notify::new(),
            commit: Notify::new(),
            session_wakes: Mutex::default(),
            watch_wakes: Mutex::default(),
            mesh: parts.mesh,
            rng: Mutex::new(parts.rng),
            traffic: Traffic::default(),
            stopping: AtomicBool::new(false),
            stop: CancellationToken::new(),
            tasks: Mutex::new(Some(JoinSet::new())),
            started: Instant::now(),
            wall_clock: parts.wall_clock,
            observer: parts.observer,
            plants: parts.plants,
        }
    }

    /// Time since the node started.
    pub fn now(&self) -> Now {
        self.started.elapsed()
    }

    /// The instant of a time since the node started.
    pub fn instant(&self, now: Now) -> Instant {
        self.started + now
    }

    /// Gives the core an input, then wakes whoever has something new.
    pub fn with_core<T>(&self, input: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = lock(&self.core);
        let result = input(&mut core);
        let wakes = core.take_wakes();
        drop(core);
        self.wake(wakes);
        result
    }

    fn wake(&self, wakes: Wakes) {
        if wakes.commit {
            self.commit.notify_one();
        }
        if !wakes.sessions.is_empty() {
            let sessions = lock(&self.session_wakes);
            for wake in wakes.sessions.iter().filter_map(|id| sessions.get(id)) {
                wake.control.notify_one();
                wake.data.notify_one();
            }
        }
        if !wakes.watches.is_empty() {
            let watches = lock(&self.watch_wakes);
            for wake in wakes.watches.iter().filter_map(|id| watches.get(id)) {
                wake.notify_one();
            }
        }
    }

    /// Lets a session be woken; forget it with [`Shared::forget_session`].
    pub fn register_session(&self, id: SessionId) -> Arc<SessionWake> {
        let wake = Arc::new(SessionWake::default());
        lock(&self.session_wakes).insert(id, Arc::clone(&wake));
        wake
    }

    pub fn forget_session(&self, id: SessionId) {
        lock(&self.session_wakes).remove(&id);
        self.with_core(|core| core.close_session(id));
    }

    /// Lets a subscription be woken; forget it with [`Shared::forget_watch`].
    pub fn register_watch(&self, id: WatchId) -> Arc<Notify> {
        let wake = Arc::new(Notify::new());
        lock(&self.watch_wakes).insert(id, Arc::clone(&wake));
        wake
    }

    pub fn forget_watch(&self, id: WatchId) {
        lock(&self.watch_wakes).remove(&id);
        self.with_core(|core| core.close_watch(id));
    }

    /// Waits until everything numbered up to `seq` is durable; an error if it never will be.
    pub async fn wait_durable(&self, seq: Seq) -> Result<(), Arc<str>> {
        loop {
            let changed = self.durable_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            let Durable { through, failed } = self.durable();
            if through >= seq {
                return Ok(());
            }
            if let Some(why) = failed {
                return Err(why);
            }
            changed.await;
        }
    }

    /// How far the store has come.
    pub fn durable(&self) -> Durable {
        lock(&self.durable).clone()
    }

    fn set_durable(&self, set: impl FnOnce(&mut Durable)) {
        set(&mut lock(&self.durable));
        self.durable_changed.notify_waiters();
    }

    /// Waits until less than the limit waits for the disk: memory stays bounded however fast it comes in.
    pub async fn wait_for_room(&self, limit: usize) -> Result<(), Arc<str>> {
        loop {
            let changed = self.durable_changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            if let Some(why) = self.durable().failed {
                return Err(why);
            }
            if self.with_core(|core| core.documents().uncommitted_bytes()) <= limit {
                return Ok(());
            }
            changed.await;
        }
    }

    /// Runs a task that the node owns: it ends when the node is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.tasks).as_mut() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    /// Takes all tasks away; from now on none can be started.
    pub fn take_tasks(&self) -> Option<JoinSet<()>> {
        lock(&self.tasks).take()
    }

    pub fn observe(&self, event: Observation) {
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }

    pub fn count_sent(&self, bytes: usize) {
        self.traffic.sent.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub fn count_received(&self, bytes: usize) {
        self.traffic.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }
}

/// Locks; a poisoned lock means that a task panicked in the middle of a change, after which nothing can be trusted.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic left the node's state half changed")
}

/// Makes whatever queued while the last batch was synced durable in one transaction, for ever.
pub(crate) async fn commit_loop(shared: Arc<Shared>) {
    /// The planted bug's write-behind delay.
    const WRITE_BEHIND: Duration = Duration::from_secs(1);
    loop {
        shared.commit.notified().await;
        if shared.plants.acknowledges_early() {
            tokio::time::sleep(WRITE_BEHIND).await;
        }
        while let Some(batch) = shared.with_core(Core::take_batch) {
            if !commit(&shared, batch).await {
                return;
            }
        }
    }
}

/// Commits one batch and tells everyone. Returns whether the store still works.
pub(crate) async fn commit(shared: &Shared, batch: crate::core::batch::Batch) -> bool {
    let (last, changes) = (batch.last, batch.changes);
    match shared.committer.commit(batch).await {
        Ok(()) => {
            let now = shared.now();
            shared.observe(Observation::Committed { changes });
            shared.with_core(|core| core.committed(last, now));
            shared.set_durable(|durable| durable.through = last);
            true
        }
        Err(error) => {
            tracing::error!("the store failed: {error}; writes are refused until a restart");
            shared.with_core(Core::commit_failed);
            shared.set_durable(|durable| durable.failed = Some(error.to_string().into()));
            shared.mesh.close_all(crate::mesh::CloseCode::StoreFailed);
            false
        }
    }
}
