//! The shell of the watcher: polls, has [`plan`] decide, writes, and keeps the figures.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rand::RngExt as _;
use serde_json::Value;

use super::answers::{DeployedPackage, Registry, StatusAnswer};
use super::documents::{self, AGENT_ID, Collection, Fields, Listing, id_prefix};
use super::figures::{Call, Failure};
use super::log::TroubleLog;
use super::plan::{Change, Edit, Health, Plan, Platform, Reports, State, Stored, overlay, plan};
use super::{AgentSource, Answer, Answers, CallError, PLATFORMS};
use crate::core::document::JsonObject;
use crate::core::key::DocKey;
use crate::core::wire::Seq;
use crate::limits;
use crate::node::{JSON_LIMITS, NodeHandle, Plant, ReadError, Shared, WriteError, lock};

/// Polls the agent and writes what it says, until the node stops.
pub(crate) async fn follow<S: AgentSource>(shared: Arc<Shared>, node: NodeHandle, source: S, interval: Duration) {
    let stop = shared.stop.clone();
    let watch = Watch { agent_id: shared.node_id.clone(), shared, node, interval };
    tokio::select! {
        biased;
        () = stop.cancelled() => {}
        () = watch.run(source) => {}
    }
}

struct Watch {
    agent_id: String,
    shared: Arc<Shared>,
    node: NodeHandle,
    interval: Duration,
}

/// What is logged of, each with a minute of its own.
#[derive(Default)]
struct Logs {
    calls: [TroubleLog; Call::ALL.len()],
    store: TroubleLog,
    skipped: TroubleLog,
    rivals: TroubleLog,
}

impl Watch {
    async fn run<S: AgentSource>(self, mut source: S) {
        let address = source.address();
        let mut logs = Logs::default();
        let mut health = Health::default();
        let mut state = None;
        let mut view = loop {
            match View::load(&self.node, &self.agent_id).await {
                Ok(view) => break view,
                Err(error) => {
                    logs.store_trouble("the documents of the agent cannot be read", &error.to_string(), &self.shared);
                    tokio::time::sleep(self.interval).await;
                }
            }
        };
        tracing::info!("watching the agent at {address} every {:?}", self.interval);
        loop {
            let began = self.shared.now();
            let within = self.interval.mul_f64(limits::AGENT_POLL_PART).min(limits::AGENT_POLL_TIMEOUT);
            let answers = source.poll(within).await;
            let reports = read(&self.agent_id, answers);
            let rivals = match view.refresh(&self.node).await {
                Ok(rivals) => rivals,
                Err(error) => {
                    logs.store_trouble("the documents of the agent cannot be read", &error.to_string(), &self.shared);
                    0
                }
            };
            let now_ms = (self.shared.wall_clock)();
            let mut decided = plan(&self.agent_id, &view.stored(), &reports, &health, now_ms);
            if self.shared.plants.has(Plant::StuckPackage) {
                decided.edits.retain(|edit| edit.change != Change::Delete);
            }
            health = decided.health;
            if state != Some(decided.state) {
                self.tell(state, decided.state, &address);
                state = Some(decided.state);
            }
            logs.report(&self.shared, &address, &reports, &decided, rivals);
            let (state, no_room) = (decided.state, decided.no_room);
            let done = self.carry_out(decided.edits, &mut view).await;
            let written = done.unwrap_or_else(|error| {
                logs.store_trouble("what the agent says cannot be written", &error.to_string(), &self.shared);
                Written::default()
            });
            self.count(&reports, state, no_room, written, &view);
            tokio::time::sleep_until(self.shared.instant(self.next_poll(began))).await;
        }
    }

    /// An interval after the last one began, give or take the jitter; and a pause in any case.
    fn next_poll(&self, began: Duration) -> Duration {
        let part = lock(&self.shared.rng).random_range(-limits::AGENT_POLL_JITTER..=limits::AGENT_POLL_JITTER);
        let pause = self.interval.mul_f64(1.0 - limits::AGENT_POLL_PART);
        (began + self.interval.mul_f64(1.0 + part)).max(self.shared.now() + pause.mul_f64(limits::AGENT_POLL_JITTER))
    }

    fn tell(&self, before: Option<State>, now: State, address: &str) {
        match now {
            State::Ok if before.is_none() => {}
            State::Ok => tracing::info!("the agent at {address} is well again"),
            State::Degraded => tracing::warn!("the agent at {address} is degraded: it does not answer every call"),
            State::Stale => tracing::warn!("the agent at {address} stopped answering: it is marked as stale"),
        }
    }

    async fn carry_out(&self, edits: Vec<Edit>, view: &mut View) -> Result<Written, WriteError> {
        let mut written = Written::default();
        let mut rest = edits.into_iter().peekable();
        while rest.peek().is_some() {
            let mut batch = Batch::default();
            for edit in rest.by_ref().take(limits::AGENT_WRITE_BATCH) {
                self.add(edit, &mut batch);
            }
            let changed = self.node.write_batch(batch.writes).await?;
            if let Some(platform) = batch.platform {
                self.put_platform(platform).await?;
                written.documents += 1;
                view.platform = None;
            }
            let removed = batch.removed.len() as u64;
            written.removed += removed;
            written.documents += changed.saturating_sub(removed);
            view.take(batch.put, batch.removed);
        }
        Ok(written)
    }

    fn add(&self, edit: Edit, batch: &mut Batch) {
        // Ids were checked when the documents were named.
        let Ok(key) = DocKey::new(edit.collection, edit.id) else { return };
        match edit.change {
            Change::Platform(platform) => batch.platform = Some(platform),
            Change::Delete => {
                batch.writes.push((key.clone(), None));
                batch.removed.push(key);
            }
            Change::Put(fields) => {
                // Bounded texts in a fixed shape: nothing of it is beyond a limit of documents.
                let Ok(json) = JsonObject::parse(&Value::Object(fields.clone()).to_string(), &JSON_LIMITS) else {
                    return;
                };
                batch.writes.push((key.clone(), Some(json)));
                batch.put.push((key, fields));
            }
        }
    }

    async fn put_platform(&self, ours: Platform) -> Result<(), WriteError> {
        let id = self.agent_id.clone();
        let edit = move |text: Option<String>| {
            let current = text.and_then(|text| serde_json::from_str(&text).ok());
            Ok::<_, WriteError>(Value::Object(overlay(current.as_ref(), &id, &ours)).to_string())
        };
        self.node.modify(PLATFORMS, &self.agent_id, edit).await
    }

    fn count(&self, reports: &Reports, state: State, no_room: u32, written: Written, view: &View) {
        let now = self.shared.now();
        let mut agent = lock(&self.shared.agent);
        let Some(agent) = agent.as_mut() else { return };
        agent.state = state;
        for (call, failure, why) in failures(reports) {
            agent.counts.calls_failed[call as usize][failure as usize] += 1;
            agent.last_error = Some((format!("{}: {why}", call.name()), now));
        }
        if reports.is_good() {
            agent.counts.polls_good += 1;
            agent.last_good = Some(now);
        } else {
            agent.counts.polls_failed += 1;
        }
        agent.counts.written += written.documents;
        agent.counts.removed += written.removed;
        agent.counts.documents = view.count();
        let listings = || reports.listings.iter().flatten();
        agent.counts.skipped = u64::from(no_room) + listings().map(|listing| u64::from(listing.skipped)).sum::<u64>();
        agent.counts.annotations_left_out = listings().map(|listing| u64::from(listing.annotations_left_out)).sum();
    }
}

/// What one step writes.
#[derive(Default)]
struct Batch {
    writes: Vec<(DocKey, Option<JsonObject>)>,
    put: Vec<(DocKey, Fields)>,
    removed: Vec<DocKey>,
    platform: Option<Platform>,
}

/// What was written.
#[derive(Debug, Clone, Copy, Default)]
struct Written {
    documents: u64,
    removed: u64,
}

/// From bytes to documents.
fn read(agent_id: &str, answers: Answers) -> Reports {
    fn parsed<T>(
        answer: Answer,
        parse: impl FnOnce(&[u8]) -> Result<T, super::answers::AnswerError>,
    ) -> Result<T, CallError> {
        Ok(parse(&answer?)?)
    }
    let deployed = parsed(answers.packages, DeployedPackage::parse_list);
    let pulled = parsed(answers.pulled_packages, Registry::parse_list);
    Reports {
        status: parsed(answers.status, StatusAnswer::parse),
        listings: [
            deployed.map(|packages| documents::deployments(agent_id, packages)),
            pulled.map(|registries| documents::packages(agent_id, &registries)),
        ],
    }
}

/// The calls that gave nothing, or not everything, and why.
fn failures(reports: &Reports) -> impl Iterator<Item = (Call, Failure, String)> {
    const PARTLY: &str = "some of the answer cannot be read; what was known of that is kept";
    let of_list = |call, listing: &Result<Listing, CallError>| match listing {
        Err(error) => Some((call, Failure::of(error), error.to_string())),
        Ok(listing) => (!listing.whole).then(|| (call, Failure::Malformed, PARTLY.to_owned())),
    };
    let status = match &reports.status {
        Err(error) => Some((Call::Status, Failure::of(error), error.to_string())),
        Ok(status) => (!status.is_whole()).then(|| (Call::Status, Failure::Malformed, PARTLY.to_owned())),
    };
    let [packages, pulled] = &reports.listings;
    [status, of_list(Call::Packages, packages), of_list(Call::PulledPackages, pulled)].into_iter().flatten()
}

impl Logs {
    fn report(&mut self, shared: &Shared, address: &str, reports: &Reports, decided: &Plan, rivals: usize) {
        let now = shared.now();
        for (call, _, why) in failures(reports) {
            if let Some(suppressed) = self.calls[call as usize].note(now) {
                let again = again(suppressed);
                tracing::warn!("the agent at {address}: {}: {why}; the documents are kept{again}", call.name());
            }
        }
        let listings = || reports.listings.iter().flatten();
        let skipped = decided.no_room + listings().map(|listing| listing.skipped).sum::<u32>();
        if skipped > 0
            && let Some(suppressed) = self.skipped.note(now)
        {
            let limit = limits::MAX_AGENT_DOCUMENTS;
            let again = again(suppressed);
            tracing::warn!(
                "the agent at {address}: {skipped} packages have no document: their names are no document ids or there twice, \
                 or there are more than {limit}{again}"
            );
        }
        if rivals > 0
            && let Some(suppressed) = self.rivals.note(now)
        {
            let again = again(suppressed);
            tracing::warn!(
                "{rivals} documents of this node's agent were changed by somebody else: is its node id given to two nodes?{again}"
            );
        }
    }

    fn store_trouble(&mut self, what: &str, why: &str, shared: &Shared) {
        if let Some(suppressed) = self.store.note(shared.now()) {
            tracing::error!("{what}: {why}{}", again(suppressed));
        }
    }
}

fn again(suppressed: u64) -> String {
    if suppressed == 0 { String::new() } else { format!(" ({suppressed} times more since this was last logged)") }
}

/// A document as it was last seen in the store.
#[derive(Debug, Clone)]
struct Seen {
    /// Number of its last change then; `None`: it was just written, and has not been read back.
    version: Option<Seq>,
    fields: Fields,
}

/// The documents of the agent: a copy that is refreshed where the store has moved on, so that a quiet poll loads none.
#[derive(Debug, Default)]
struct View {
    agent_id: String,
    platform: Option<Seen>,
    listings: [BTreeMap<String, Seen>; Collection::ALL.len()],
}

impl View {
    /// Finds what this node wrote in an earlier life. Reads the names of both collections once.
    async fn load(node: &NodeHandle, agent_id: &str) -> Result<Self, ReadError> {
        let mut view = Self { agent_id: agent_id.into(), ..Self::default() };
        let prefix = id_prefix(agent_id);
        for (collection, listing) in Collection::ALL.into_iter().zip(&mut view.listings) {
            for id in node.list(collection.name()).await?.into_iter().filter(|id| id.starts_with(&prefix)) {
                let Some(seen) = see(node, collection.name(), &id).await? else { continue };
                // An application may have documents of its own under such names.
                if seen.fields.get(AGENT_ID).and_then(Value::as_str) == Some(agent_id) {
                    listing.insert(id, seen);
                }
            }
        }
        Ok(view)
    }

    /// Returns how many documents others have changed.
    async fn refresh(&mut self, node: &NodeHandle) -> Result<usize, ReadError> {
        let version = node.version(&DocKey::new(PLATFORMS, self.agent_id.as_str())?);
        if self.platform.as_ref().is_none_or(|seen| seen.version != version) {
            self.platform = see(node, PLATFORMS, &self.agent_id).await?;
        }
        let mut rivals = 0;
        for (collection, listing) in Collection::ALL.into_iter().zip(&mut self.listings) {
            let mut moved = Vec::new();
            for (id, seen) in listing.iter() {
                let key = DocKey::new(collection.name(), id.as_str())?;
                if seen.version.is_none() || node.version(&key) != seen.version {
                    rivals += usize::from(seen.version.is_some());
                    moved.push(id.clone());
                }
            }
            for id in moved {
                match see(node, collection.name(), &id).await? {
                    Some(seen) => listing.insert(id, seen),
                    None => listing.remove(&id),
                };
            }
        }
        Ok(rivals)
    }

    fn stored(&self) -> Stored {
        let fields = |listing: &BTreeMap<String, Seen>| {
            listing.iter().map(|(id, seen)| (id.clone(), seen.fields.clone())).collect()
        };
        Stored {
            platform: self.platform.as_ref().map(|seen| seen.fields.clone()),
            listings: self.listings.each_ref().map(fields),
        }
    }

    fn take(&mut self, put: Vec<(DocKey, Fields)>, removed: Vec<DocKey>) {
        for (key, fields) in put {
            if let Some(listing) = self.of(&key) {
                listing.insert(key.id().into(), Seen { version: None, fields });
            }
        }
        for key in removed {
            if let Some(listing) = self.of(&key) {
                listing.remove(key.id());
            }
        }
    }

    fn of(&mut self, key: &DocKey) -> Option<&mut BTreeMap<String, Seen>> {
        let at = Collection::ALL.iter().position(|collection| collection.name() == key.collection())?;
        self.listings.get_mut(at)
    }

    fn count(&self) -> u64 {
        self.listings.iter().map(|listing| listing.len() as u64).sum()
    }
}

async fn see(node: &NodeHandle, collection: &'static str, id: &str) -> Result<Option<Seen>, ReadError> {
    let version = node.version(&DocKey::new(collection, id)?);
    let text = node.get(collection, id).await?;
    // The store has objects only.
    Ok(text.and_then(|text| Some(Seen { version, fields: serde_json::from_str(&text).ok()? })))
}
