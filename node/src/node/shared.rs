//! What every task of a node shares: the core behind its lock, who waits for what, and the clock.
//!
//! One lock guards the core; it is held for one input at a time and never across an await. A task that
//! gave an input calls [`Shared::with_core`], which wakes whoever has something new afterwards.

mod committing;

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use iroh::EndpointId;
use rand_chacha::ChaCha8Rng;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

pub(crate) use committing::{commit, commit_loop, commit_now_or_later};

use self::committing::Durable;
use super::error::ReadError;
use super::pause::Pause;
use super::plants::{Plant, Plants};
use super::world::{FrameSeen, Observation, Observer, WallClock};
use crate::config::ClientLimits;
use crate::core::batch::PeerId;
use crate::core::document::NOBODY;
use crate::core::documents::Superseded;
use crate::core::engine::{Core, Wakes};
use crate::core::key::DocKey;
use crate::core::session::{Now, SessionId};
use crate::core::watch::WatchId;
use crate::core::wire;
use crate::limits;
use crate::mesh::Mesh;
use crate::ops::ledger::Ledger;
use crate::ops::traffic::{Traffic, TrafficClass};
use crate::store::{Backups, Committer};
use crate::watcher::AgentFigures;

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
