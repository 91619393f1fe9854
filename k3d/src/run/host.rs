//! A node of the run, its lives, and the application beside it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::Future;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use futures::future;
use peat_proto::client::peat_sidecar_client::PeatSidecarClient;
use peat_proto::client::{ConnectPeerRequest, DisconnectPeerRequest, GetStatusRequest};
use peat_scenarios::drive::{self, Agenda, Bookmark, Client, Logbook as _};
use peat_scenarios::plan::{NodeIndex, NodeSpec};
use peat_scenarios::record::{Life, RestartSnapshot};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tonic::transport::Endpoint;

use super::journal::Journal;
use super::sessions::{self, Directory};

/// Between two attempts to reach an API that is not there yet.
const KNOCK_EVERY: Duration = Duration::from_millis(5);
/// A node that does not answer a question within this is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Reading what a node holds, for the whole of it.
pub(super) const READ_WITHIN: Duration = Duration::from_secs(60);
/// A wish that could not be told to a node is told again after this.
const TELL_AGAIN: Duration = Duration::from_millis(200);

/// A task that ends with its owner.
pub(super) struct Owned(tokio::task::AbortHandle);

impl Owned {
    pub(super) fn spawn(task: impl Future<Output = ()> + 'static) -> Self {
        Self(tokio::task::spawn_local(task).abort_handle())
    }
}

impl Drop for Owned {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A node serves: it was asked who it is, and after a restart what it holds.
pub(super) struct Serving {
    pub(super) node: NodeIndex,
    /// 64 hex digits.
    pub(super) endpoint_id: String,
}

/// What the tasks of all hosts share.
#[derive(Clone)]
pub(super) struct Shared {
    pub(super) journal: Journal,
    pub(super) directory: Directory,
    /// Every collection that the plan writes to.
    pub(super) collections: Rc<[String]>,
    /// The timeline waits for a session.
    pub(super) wants_sessions: Rc<Cell<bool>>,
    pub(super) serving: UnboundedSender<Serving>,
}

/// A machine with a node on it.
pub(super) struct Host {
    pub(super) spec: NodeSpec,
    shared: Shared,
    agenda: Agenda,
    bookmark: Bookmark,
    /// Counts from one with the first start.
    lives: u32,
    running: bool,
    ready: Rc<RefCell<Option<Client>>>,
    /// Whatever is done for it at the moment.
    task: Option<Owned>,
    /// Wishes that it is being told.
    telling: BTreeMap<NodeIndex, Owned>,
    /// Who it is, or was when it last served.
    pub(super) endpoint_id: Option<String>,
    /// Who it was before it lost everything.
    pub(super) former: Option<String>,
}

impl Host {
    pub(super) fn new(spec: NodeSpec, agenda: Agenda, shared: Shared) -> Self {
        Self {
            spec,
            shared,
            agenda,
            bookmark: Bookmark::default(),
            lives: 0,
            running: false,
            ready: Rc::default(),
            task: None,
            telling: BTreeMap::new(),
            endpoint_id: None,
            former: None,
        }
    }

    pub(super) fn is_new(&self) -> bool {
        self.lives == 0
    }

    /// From a start to the next crash, whether it serves or not.
    pub(super) fn is_running(&self) -> bool {
        self.running
    }

    /// A client, if it serves.
    pub(super) fn client(&self) -> Option<Client> {
        self.ready.borrow().clone()
    }

    /// Skips what its application would have done, until it lives.
    pub(super) fn darken(&mut self) {
        self.ready.borrow_mut().take();
        self.telling.clear();
        let skipping = drive::drive(self.agenda.clone(), None, self.shared.journal.clone());
        self.task = Some(Owned::spawn(skipping));
    }

    /// Its process was started, and serves at `api` sooner or later.
    pub(super) fn live(&mut self, api: String) {
        let restarted = self.lives > 0;
        self.lives += 1;
        self.running = true;
        self.life(if restarted { Life::Restarted } else { Life::Started });
        let (shared, node) = (self.shared.clone(), self.spec.index);
        let (agenda, bookmark, ready) = (self.agenda.clone(), self.bookmark.clone(), self.ready.clone());
        self.task = Some(Owned::spawn(async move {
            let (client, endpoint_id) = reach(&api).await;
            if restarted {
                snapshot(node, client.clone(), &shared).await;
            }
            // Whoever listens is gone only when the run is over.
            let _ = shared.serving.send(Serving { node, endpoint_id });
            *ready.borrow_mut() = Some(client.clone());
            let journal = shared.journal;
            journal.started().await;
            let watching = drive::watch(node, client.clone(), journal.clone(), bookmark);
            let sessions =
                sessions::watch(node, client.clone(), journal.clone(), shared.directory, shared.wants_sessions);
            future::join3(watching, drive::drive(agenda, Some(client), journal), sessions).await;
        }));
    }

    /// Its process is gone.
    pub(super) fn die(&mut self) {
        self.darken();
        self.running = false;
        self.life(Life::Crashed);
    }

    /// Its process is gone, and nobody knows why: it ought to run.
    pub(super) fn fall(&mut self, how: &str) {
        self.darken();
        self.shared.journal.trouble(self.spec.index, &format!("ended by itself: {how}"));
    }

    /// It has nothing any more, not even who it was.
    pub(super) fn forget(&mut self) {
        self.former = self.endpoint_id.take();
    }

    /// Tells it where a peer is, for as long as that takes. `gone`: who that peer was before.
    pub(super) fn introduce(&mut self, peer: NodeIndex, endpoint_id: &str, address: String, gone: Option<String>) {
        let Some(mut client) = self.client() else { return };
        let (endpoint_id, journal, node) = (endpoint_id.to_owned(), self.shared.journal.clone(), self.spec.index);
        let telling = async move {
            loop {
                if let Some(endpoint_id) = gone.clone() {
                    // What it is not told it notices.
                    let _ = client.disconnect_peer(DisconnectPeerRequest { endpoint_id }).await;
                }
                let addresses = vec![address.clone()];
                let wish = ConnectPeerRequest { endpoint_id: endpoint_id.clone(), addresses, ..Default::default() };
                match client.connect_peer(wish).await {
                    Ok(_) => return,
                    Err(status) => journal.trouble(node, &format!("cannot be told of a peer: {status}")),
                }
                tokio::time::sleep(TELL_AGAIN).await;
            }
        };
        self.telling.insert(peer, Owned::spawn(telling));
    }

    /// Nothing more is done for it.
    pub(super) fn silence(&mut self) {
        self.task = None;
        self.telling.clear();
    }

    fn life(&self, event: Life) {
        let node = self.spec.index;
        self.shared.journal.write(|record, now| record.life(now, node, event));
        self.shared.journal.tell_of(node, &format!("{event:?}").to_lowercase());
    }
}

/// Waits until a node serves, for as long as that takes.
async fn reach(api: &str) -> (Client, String) {
    loop {
        if let Ok(endpoint) = Endpoint::from_shared(api.to_owned())
            && let Ok(Ok(channel)) = tokio::time::timeout(ANSWER_WITHIN, endpoint.connect()).await
        {
            let mut client = PeatSidecarClient::new(channel);
            let asked = tokio::time::timeout(ANSWER_WITHIN, client.get_status(GetStatusRequest {})).await;
            if let Ok(Ok(status)) = asked {
                return (client, status.into_inner().endpoint_addr);
            }
        }
        tokio::time::sleep(KNOCK_EVERY).await;
    }
}

/// What a restarted node holds while the emulator still keeps everybody from speaking to it.
async fn snapshot(node: NodeIndex, client: Client, shared: &Shared) {
    let began = Instant::now();
    let reading = drive::documents(client, &shared.collections, &shared.journal);
    match tokio::time::timeout(READ_WITHIN, reading).await {
        Ok(Ok(docs)) => {
            let docs = docs.into_iter().filter_map(|(key, doc)| Some((key, Arc::clone(doc.json.as_ref()?))));
            let docs = docs.collect();
            shared.journal.write(|record, at| record.restart_snapshots.push(RestartSnapshot { node, at, docs }));
            shared.journal.tell_of(node, &format!("was read after its start, in {:?}", began.elapsed()));
        }
        Ok(Err(status)) => shared.journal.trouble(node, &format!("its documents cannot be read: {status}")),
        Err(_deadline) => shared.journal.trouble(node, "its documents cannot be read: no answer in time"),
    }
}
