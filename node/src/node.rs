//! The node: one core behind one lock, and the tasks that carry out what it decides.

mod error;
mod figures;
mod handle;
mod pause;
mod plants;
mod shared;
mod subscription;
#[cfg(test)]
pub(crate) mod testing;
mod world;
mod write;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use tokio::sync::oneshot;

pub use error::{ConnectError, ReadError, SetCollectionError, StartError, WriteError};
pub use figures::{
    Figures, Gauge, HomeRelay, NodeStatus, Path, PathKind, PeerLink, PeerStatus, StoreFigures, SyncStats,
};
pub(crate) use handle::JSON_LIMITS;
pub use handle::{ListQuery, NodeHandle, Page, Phase, ReadDocument, Wanted, Watching};
pub use pause::{Held, Pause};
pub use plants::{Plant, Plants};
pub(crate) use shared::{SessionWake, Shared, commit_now_or_later, lock};
pub use subscription::{Change, ChangeEvent, Subscription};
pub use world::{FrameSeen, Observation, Observer, WallClock, World};
pub use write::{Content, Write};

use crate::config::NodeConfig;
use crate::core::batch::PeerId;
use crate::core::document::{ACTOR_BYTES, actor_of};
use crate::core::documents::DocumentError;
use crate::core::engine::Core;
use crate::limits;
use crate::mesh::{CloseCode, Mesh};
use shared::{Parts, commit, commit_loop};

/// A running node. Dropping it stops every task it owns at once, as a crash would; [`Node::shutdown`]
/// stops it with nothing left undone.
pub struct Node {
    handle: NodeHandle,
    shared: Arc<Shared>,
    /// Resolves when the commit thread, if there is one, has let go of the store.
    committing: Option<oneshot::Receiver<()>>,
}

impl Node {
    /// Starts a node over an opened store and a bound endpoint. Returns once it is ready to serve:
    /// dialling peers goes on in the background and never delays the start.
    pub async fn start(config: NodeConfig, world: World) -> Result<Self, StartError> {
        let mut rng = ChaCha8Rng::from_seed(world.seed);
        let mut actor = actor_of(world.endpoint.id().as_bytes(), rng.random());
        if world.plants.has(Plant::ReusedActor) {
            actor = actor_of(&[0; 32], [0; ACTOR_BYTES]);
        }
        let incarnation = rng.random();
        let stored = world.store.stored()?;
        let intents = world.store.intents()?;
        let members = world.store.members()?;
        // A stream of its own: what is drawn otherwise must not depend on it.
        let mut secrets = rng.clone();
        secrets.set_stream(1);
        let core = Core::new(
            Box::new(world.store.reader()),
            stored,
            actor,
            secrets.random(),
            config.traffic.clone(),
            world.plants,
        );
        let store_file = world.store.file().map(Into::into);
        let mesh = Mesh::new(&config, world.endpoint, world.resolver, incarnation).planted(world.plants);
        let shared = Arc::new(Shared::new(Parts {
            node_id: config.node_id,
            app_id: config.formation.app_id.clone(),
            store_file,
            core,
            committer: world.store.committer(),
            backups: world.store.backups(),
            limits: config.limits,
            mesh,
            rng,
            wall_clock: world.wall_clock,
            observer: world.observer,
            plants: world.plants,
            pause: world.pause,
        }));
        shared.mesh.load_intents(intents, config.peers, shared.now())?;
        shared.mesh.load_members(&shared, members);
        let committing = spawn_commit_loop(&shared)?;
        crate::mesh::spawn_tasks(&shared, config.discovery, config.relays, &config.formation);
        shared.spawn(collect(Arc::clone(&shared)));
        if config.auto_sync {
            shared.mesh.set_active(true, shared.now());
        }
        Ok(Self { handle: NodeHandle::new(Arc::clone(&shared)), shared, committing })
    }

    /// What the API, and a test, talks to.
    pub fn handle(&self) -> &NodeHandle {
        &self.handle
    }

    /// Refuses new writes, makes everything accepted durable, closes sessions with a goodbye.
    pub async fn shutdown(mut self) {
        let shared = Arc::clone(&self.shared);
        shared.stopping.store(true, Ordering::SeqCst);
        shared.health_changed.notify_waiters();
        let last = shared.with_core(|core| core.documents().last());
        // What a failure took back was told to those who wrote it.
        if let Err(why) = shared.wait_durable(last).await
            && shared.durable().failed.is_some()
        {
            tracing::error!("stopping with writes that were never acknowledged and are not durable: {why}");
        }
        shared.mesh.keep_members(&shared, true).await;
        shared.mesh.set_active(false, shared.now());
        shared.mesh.close_all(CloseCode::Goodbye);
        shared.stop.cancel();
        shared.mesh.withdrawing.close();
        if tokio::time::timeout(limits::SHUTDOWN_GRACE, shared.mesh.withdrawing.wait()).await.is_err() {
            tracing::warn!("the announcement of this node could not be withdrawn in time");
        }
        // Before the endpoint, which would wait for an attempt to dial a peer that does not answer.
        if let Some(mut tasks) = shared.take_tasks() {
            tasks.shutdown().await;
        }
        let closed = tokio::time::timeout(limits::SHUTDOWN_GRACE, shared.mesh.endpoint().close()).await;
        if closed.is_err() {
            tracing::warn!("some peers did not take the goodbye in time");
        }
        if let Some(ended) = self.committing.take() {
            // An error says that the thread has ended, too.
            let _ = ended.await;
        }
        // Watermarks that no change was committed with.
        if let Some(batch) = shared.with_core(Core::take_last_batch) {
            commit(&shared, batch).await;
        }
    }
}

/// Where commits block they have a thread of their own, which runs the same loop.
fn spawn_commit_loop(shared: &Arc<Shared>) -> Result<Option<oneshot::Receiver<()>>, StartError> {
    let task = commit_loop(Arc::clone(shared));
    if !shared.committer.blocks() {
        shared.spawn(task);
        return Ok(None);
    }
    let runtime = tokio::runtime::Handle::current();
    let (end, ended) = oneshot::channel::<()>();
    let thread = std::thread::Builder::new().name("peat-commit".into());
    thread
        .spawn(move || {
            runtime.block_on(task);
            drop(end);
        })
        .map_err(StartError::Thread)?;
    Ok(Some(ended))
}

impl Drop for Node {
    fn drop(&mut self) {
        self.shared.stop.cancel();
        // Dropping the set aborts every task.
        drop(self.shared.take_tasks());
    }
}

/// Gives up what collections need no more, time and again until the node stops: old tombstones, and histories beyond their
/// window.
async fn collect(shared: Arc<Shared>) {
    loop {
        tokio::select! {
            biased;
            () = shared.stop.cancelled() => return,
            () = tokio::time::sleep(limits::COLLECT_INTERVAL) => {}
        }
        let (members, retired) = shared.mesh.known_members();
        let now_ms = (shared.wall_clock)();
        match shared.with_core(|core| core.forget_tombstones(&members, &retired, now_ms)) {
            Ok(0) => {}
            Ok(forgotten) => tracing::debug!("forgot {forgotten} tombstones that are old and that every member has"),
            Err(error) => tracing::warn!("tombstones cannot be forgotten: {error}"),
        }
        match begin_windows(&shared, &members, &retired, now_ms).await {
            Ok(0) => {}
            Ok(begun) => tracing::debug!("began {begun} documents anew whose history was beyond their window"),
            Err(error) => tracing::warn!("a document beyond its window cannot be begun anew: {error}"),
        }
    }
}

/// A few at a time, so that nobody waits for all of them.
async fn begin_windows(
    shared: &Shared,
    members: &BTreeSet<PeerId>,
    retired: &BTreeSet<PeerId>,
    now_ms: u64,
) -> Result<usize, DocumentError> {
    shared.with_core(|core| core.find_windows(members, retired, now_ms))?;
    let mut all = 0;
    loop {
        match shared.with_core(|core| core.begin_windows())? {
            0 => return Ok(all),
            begun => all += begun,
        }
        tokio::task::yield_now().await;
    }
}
