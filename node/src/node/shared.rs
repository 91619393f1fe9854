//! What every task of a node shares: the core behind its lock, who waits for what, and the clock.
//!
//! One lock guards the core; it is held for one input at a time and never across an await. A task that
//! gave an input calls [`Shared::with_core`], which wakes whoever has something new afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use iroh::EndpointId;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::error::ReadError;
use super::pause::Pause;
use super::plants::{Plant, Plants};
use super::world::{FrameSeen, Observation, Observer, WallClock};
use crate::config::ClientLimits;
use crate::core::batch::{Batch, PeerId};
use crate::core::document::NOBODY;
use crate::core::documents::Superseded;
use crate::core::engine::{Core, Wakes};
use crate::core::key::DocKey;
use crate::core::session::{Now, SessionId};
use crate::core::watch::WatchId;
use crate::core::wire::{self, Seq};
use crate::limits;
use crate::mesh::Mesh;
use crate::ops::ledger::Ledger;
use crate::ops::traffic::{Traffic, TrafficClass};
use crate::store::{Backups, CommitFailed, Committer};
use crate::watcher::AgentFigures;

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

/// Wakes the tasks of one session.
#[derive(Debug, Default)]
pub(crate) struct SessionWake {
    pub control: Notify,
    pub data: Notify,
    /// The peer has said hello.
    pub greeted: Notify,
}

pub(crate) struct Shared {
    /// What clients may ask.
    pub limits: ClientLimits,
    pub node_id: String,
    pub app_id: String,
    /// The file of the store; `None` in a world without files.
    pub store_file: Option<PathBuf>,
    core: Mutex<Core>,
    /// What of the core waits for the disk, so that a writer need not lock it to find out that there is room.
    uncommitted_bytes: AtomicUsize,
    pub committer: Committer,
    pub backups: Backups,
    durable: Mutex<Durable>,
    /// Told whenever `durable` changes. A `Notify` wakes in order; a `watch` channel would wake in an order that
    /// depends on how many runtimes the process has made.
    durable_changed: Notify,
    pub commit: Notify,
    /// Told whenever the node stops being ready.
    pub health_changed: Notify,
    /// Held while a batch is committed on a thread that blocks.
    turn: Mutex<()>,
    session_wakes: Mutex<BTreeMap<SessionId, Arc<SessionWake>>>,
    watch_wakes: Mutex<BTreeMap<WatchId, Arc<Notify>>>,
    pub mesh: Mesh,
    pub rng: Mutex<ChaCha8Rng>,
    pub traffic: Traffic,
    pub ledger: Mutex<Ledger>,
    /// How the watched agent is; `None`: none is watched.
    pub agent: Mutex<Option<AgentFigures>>,
    pub stopping: AtomicBool,
    /// Cancelled when the node stops.
    pub stop: CancellationToken,
    tasks: Mutex<Option<JoinSet<()>>>,
    started: Instant,
    pub wall_clock: WallClock,
    observer: Option<Arc<dyn Observer>>,
    pub plants: Plants,
    pause: Option<Pause>,
}

/// What [`Shared`] is made of.
pub(crate) struct Parts {
    pub node_id: String,
    pub app_id: String,
    pub store_file: Option<PathBuf>,
    pub core: Core,
    pub committer: Committer,
    pub backups: Backups,
    pub limits: ClientLimits,
    pub mesh: Mesh,
    pub rng: ChaCha8Rng,
    pub wall_clock: WallClock,
    pub observer: Option<Arc<dyn Observer>>,
    pub plants: Plants,
    pub pause: Option<Pause>,
}

impl Shared {
    pub fn new(parts: Parts) -> Self {
        let through = parts.core.documents().durable();
        Self {
            node_id: parts.node_id,
            app_id: parts.app_id,
            store_file: parts.store_file,
            core: Mutex::new(parts.core),
            uncommitted_bytes: AtomicUsize::new(0),
            committer: parts.committer,
            backups: parts.backups,
            limits: parts.limits,
            durable: Mutex::new(Durable { through, failed: None, lost: vec![] }),
            durable_changed: Notify::new(),
            commit: Notify::new(),
            health_changed: Notify::new(),
            turn: Mutex::new(()),
            session_wakes: Mutex::default(),
            watch_wakes: Mutex::default(),
            mesh: parts.mesh,
            rng: Mutex::new(parts.rng),
            traffic: Traffic::default(),
            ledger: Mutex::default(),
            agent: Mutex::default(),
            stopping: AtomicBool::new(false),
            stop: CancellationToken::new(),
            tasks: Mutex::new(Some(JoinSet::new())),
            started: Instant::now(),
            wall_clock: parts.wall_clock,
            observer: parts.observer,
            plants: parts.plants,
            pause: parts.pause,
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
        let (result, commit) = self.with_core_uncommitted(input);
        if commit {
            self.commit.notify_one();
        }
        result
    }

    /// The same, but leaves it to the caller to see to a commit if there is something to commit, see
    /// [`commit_now_or_later`].
    pub fn with_core_uncommitted<T>(&self, input: impl FnOnce(&mut Core) -> T) -> (T, bool) {
        let mut core = lock(&self.core);
        let result = input(&mut core);
        let wakes = core.take_wakes();
        self.uncommitted_bytes.store(core.documents().uncommitted_bytes(), Ordering::Release);
        drop(core);
        let commit = wakes.commit;
        self.wake(wakes);
        (result, commit)
    }

    fn wake(&self, wakes: Wakes) {
        for Superseded { key, writer } in &wakes.superseded {
            if *writer == NOBODY {
                tracing::warn!(
                    "{key} was begun anew by members that did not know of the history here: their version is in force, and \
                     what it lacks was added to it from here"
                );
                continue;
            }
            let writer = peer_name(writer);
            tracing::warn!(
                "{key} was created here and on node {writer}; that node's version is in force and this node is not its \
                 writer any more: let one node write each document of a collection of class latest"
            );
        }
        if !wakes.sessions.is_empty() {
            let sessions = lock(&self.session_wakes);
            let mut ids: Vec<SessionId> = wakes.sessions.into_iter().collect();
            if self.plants.has(Plant::UnstableOrder) {
                // Where memory lies differs between processes, how often was asked between runs in one of them: neither
                // is the simulator's to rule.
                static ASKED: AtomicUsize = AtomicUsize::new(0);
                let address = std::ptr::from_ref(self) as u64 >> 4;
                let asked = ASKED.fetch_add(1, Ordering::Relaxed) as u64;
                // Spread over all bits: the order hangs on the low ones.
                let key = address ^ asked.wrapping_mul(0xd6e8_feb8_6659_fd93);
                ids.sort_by_key(|id| (id ^ key).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32));
            }
            for wake in ids.iter().filter_map(|id| sessions.get(id)) {
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

    /// Wakes the control writers of sessions.
    pub fn wake_control(&self, ids: &BTreeSet<SessionId>) {
        let sessions = lock(&self.session_wakes);
        for wake in ids.iter().filter_map(|id| sessions.get(id)) {
            wake.control.notify_one();
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

    /// Wakes a reader whenever a document has changed durably, until dropped.
    pub fn wait_for_change(self: &Arc<Self>, key: DocKey) -> Result<ChangeWait, ReadError> {
        let waiting = self.with_core(|core| core.wait_count());
        if waiting >= limits::MAX_READ_WAITS {
            return Err(ReadError::TooMany {
                what: "reads that wait for a version",
                actual: waiting + 1,
                limit: limits::MAX_READ_WAITS,
                remedy: "try again, or subscribe",
            });
        }
        let id = self.with_core(|core| core.open_wait(key.clone()));
        Ok(ChangeWait { id, key, wake: self.register_watch(id), shared: Arc::clone(self) })
    }

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

    /// Runs a task that the node owns: it ends when the node is dropped.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        if let Some(tasks) = lock(&self.tasks).as_mut() {
            while tasks.try_join_next().is_some() {}
            match &self.pause {
                None => tasks.spawn(task),
                Some(pause) => tasks.spawn(pause.hold(task)),
            };
        }
    }

    /// Takes all tasks away; from now on none can be started.
    pub fn take_tasks(&self) -> Option<JoinSet<()>> {
        lock(&self.tasks).take()
    }

    pub fn observe(&self, event: Observation) {
        lock(&self.ledger).observe(&event, self.now());
        if let Some(observer) = &self.observer {
            observer.observe(event);
        }
    }

    /// Tells whoever follows frames of the payload of one. If nobody does, that costs a look at a pointer.
    pub fn observe_frame(&self, peer: EndpointId, sent: bool, payload: &[u8]) {
        let Some(observer) = self.observer.as_ref().filter(|observer| observer.follows_frames()) else { return };
        if let Some((check, key)) = wire::label(payload) {
            let (collection, id, bytes) = (key.collection(), key.id(), payload.len());
            observer.frame(FrameSeen { peer, sent, collection, id, check, bytes });
        }
    }

    /// A dial led to no session.
    pub fn dial_failed(&self, peer: PeerId, reason: &str) {
        lock(&self.ledger).dial_failed(peer, reason, self.now());
    }

    pub fn count_sent(&self, class: TrafficClass, bytes: usize) {
        self.traffic.count_sent(class, bytes);
    }

    pub fn count_received(&self, class: TrafficClass, bytes: usize) {
        self.traffic.count_received(class, bytes);
    }
}

/// An endpoint id as operators know it.
fn peer_name(id: &PeerId) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A reader that waits for a change of one document.
pub(crate) struct ChangeWait {
    id: WatchId,
    key: DocKey,
    wake: Arc<Notify>,
    shared: Arc<Shared>,
}

impl ChangeWait {
    /// The document has changed since the last call. Cancel safe.
    pub async fn notified(&self) {
        self.wake.notified().await;
    }
}

impl Drop for ChangeWait {
    fn drop(&mut self) {
        lock(&self.shared.watch_wakes).remove(&self.id);
        self.shared.with_core(|core| core.close_wait(&self.key, self.id));
    }
}

/// Locks; a poisoned lock means that a task panicked in the middle of a change, after which nothing can be trusted.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("a panic left the node's state half changed")
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
