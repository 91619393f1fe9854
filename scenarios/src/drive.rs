//! What the application beside a node does, the same in every world: issues the planned operations one after the other,
//! watches every collection, and reads what is there at the end.
//!
//! It speaks to a node through its public API, with a tonic client on whatever connection the world has, and writes down
//! what it does in the world's [`Logbook`]. Time is the logbook's and tokio's: in a simulation both are virtual.
//!
//! Behind the feature `drive`: whoever only reads scenarios and records needs neither tonic nor tokio.

mod replica;
mod watch;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use peat_proto::client::peat_sidecar_client::PeatSidecarClient;
use peat_proto::client::{ChangeType, DeleteDocumentRequest, GetDocumentRequest, PutDocumentRequest, SubscribeRequest};
use tokio::time::Instant;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::plan::{Action, NodeIndex, PlannedOp, apply_edit, registers};
use crate::record::{Outcome, RunRecord};
use crate::time::SimTime;

pub use replica::documents;
pub use watch::{Bookmark, watch};

/// The client as tonic makes it.
pub type Client = PeatSidecarClient<Channel>;

/// What an application does, for logs and traces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Doing {
    /// Issues an operation.
    Invokes,
    /// Knows how one ended.
    Completes,
    /// Is shown something.
    Sees,
}

/// Where an application writes down what it does, and by whose time it does it. Cheap to clone.
pub trait Logbook: Clone {
    /// Changes the record at the present moment. Never called from within itself.
    fn write<T>(&self, entry: impl FnOnce(&mut RunRecord, SimTime) -> T) -> T;

    /// Adds a line about a node, at the present moment.
    fn note(&self, doing: Doing, node: NodeIndex, line: &str);

    /// The moment `at` on tokio's clock; now, if it is over.
    fn instant(&self, at: SimTime) -> Instant;

    /// An operation has ended: the timeline may wait for that.
    fn stir(&self);
}

/// An application gives an operation up after this time; it may have happened.
const DEADLINE: Duration = Duration::from_secs(5);

/// The operations of a node that were not issued yet, in order. It outlives the lives of the node.
#[derive(Clone)]
pub struct Agenda(Arc<Mutex<VecDeque<PlannedOp>>>);

impl Agenda {
    /// In the order in which they are to be issued.
    pub fn new(operations: impl IntoIterator<Item = PlannedOp>) -> Self {
        Self(Arc::new(Mutex::new(operations.into_iter().collect())))
    }

    fn next(&self) -> Option<PlannedOp> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).front().cloned()
    }

    fn take(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
    }
}

/// Issues what is on the agenda, each at its time or as soon as the one before has ended. Without a client
/// (the node is down) operations are skipped. Dropped in the middle of an operation, it leaves that one
/// unknown: it may have happened.
///
/// What an agent does is not the application's doing: it happens at its time, and nobody waits for it.
pub async fn drive(agenda: Agenda, client: Option<Client>, journal: impl Logbook) {
    let mut reports = FuturesUnordered::new();
    while let Some(planned) = agenda.next() {
        let due = tokio::time::sleep_until(journal.instant(planned.at));
        tokio::select! {
            biased;
            () = due => {}
            Some(()) = reports.next() => continue,
        }
        agenda.take();
        match &client {
            Some(client) if matches!(planned.action, Action::Report { .. }) => {
                let (client, journal) = (client.clone(), journal.clone());
                reports.push(async move { issue(&planned, client, &journal).await });
            }
            // It happens all the same, and may be seen by a later life of the node.
            None if matches!(planned.action, Action::Report { .. }) => {
                journal.write(|record, now| record.begin(&planned, now));
            }
            Some(client) => issue(&planned, client.clone(), &journal).await,
            None => {
                journal.write(|record, now| record.skip(&planned, now));
                let text = format!("skips operation {}: the node is down", planned.op.0);
                journal.note(Doing::Completes, planned.node, &text);
            }
        }
    }
    while reports.next().await.is_some() {}
}

async fn issue(planned: &PlannedOp, client: Client, journal: &impl Logbook) {
    let number = planned.op.0;
    journal.note(Doing::Invokes, planned.node, &format!("operation {number}: {}", describe(&planned.action)));
    let slot = journal.write(|record, now| record.begin(planned, now));
    let writing = |read: &str, json: &str| {
        journal.note(Doing::Invokes, planned.node, &format!("operation {number} writes {json}"));
        journal.write(|record, _| {
            record.reading(slot, read);
            record.writing(slot, json);
        });
    };
    // How soon a node notices is for the checks to say.
    let deadline = if matches!(planned.action, Action::Report { .. }) { Duration::MAX } else { DEADLINE };
    let outcome = match tokio::time::timeout(deadline, perform(&planned.action, client, writing)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(status)) => judge(&status),
        Err(_deadline) => Outcome::Unknown,
    };
    // First the record: its time is when the answer was there.
    journal.write(|record, now| record.finish(slot, now, outcome.clone()));
    journal.note(Doing::Completes, planned.node, &format!("operation {number}: {outcome:?}"));
    journal.stir();
}

fn describe(action: &Action) -> String {
    match action {
        Action::Put { key, json } => format!("put {key} {json}"),
        Action::Edit { key, edit } => format!("edit {key} by {} to {}", edit.author, edit.counter),
        Action::Delete { key } => format!("delete {key}"),
        Action::Report { key, json: Some(json) } => format!("agent has {key} {json}"),
        Action::Report { key, json: None } => format!("agent lost {key}"),
    }
}

async fn perform(action: &Action, mut client: Client, mut writing: impl FnMut(&str, &str)) -> Result<Outcome, Status> {
    let (collection, doc_id) = (action.key().collection.to_string(), action.key().id.to_string());
    match action {
        Action::Put { json, .. } => {
            client
                .put_document(PutDocumentRequest {
                    collection,
                    doc_id,
                    json_data: json.to_string(),
                    ..Default::default()
                })
                .await?;
        }
        Action::Delete { .. } => {
            client.delete_document(DeleteDocumentRequest { collection, doc_id, ..Default::default() }).await?;
        }
        Action::Edit { edit, .. } => loop {
            let request =
                GetDocumentRequest { collection: collection.clone(), doc_id: doc_id.clone(), ..Default::default() };
            let current = client.get_document(request).await?.into_inner();
            let Some(text) = current.json_data else {
                return Ok(Outcome::Skipped);
            };
            let json_data = match apply_edit(&text, edit) {
                Ok(json) => json,
                // The node handed out a document that no workload wrote. The checks will say so.
                Err(error) => return Ok(Outcome::Refused(format!("the document cannot be edited: {error}"))),
            };
            writing(&text, &json_data);
            // Whoever reads, decides and writes must not put back what came in between.
            let expected_version = Some(current.version).filter(|version| !version.is_empty());
            let (collection, doc_id) = (collection.clone(), doc_id.clone());
            let put = PutDocumentRequest { collection, doc_id, json_data, expected_version, ..Default::default() };
            match client.put_document(put).await {
                Err(status) if status.code() == Code::Aborted => continue,
                answered => drop(answered?),
            }
            break;
        },
        Action::Report { json, .. } => return shown(client, collection, doc_id, json.as_deref()).await,
    }
    Ok(Outcome::Ok)
}

/// Waits until the node shows a package as its agent has it, or a later version of it.
async fn shown(mut client: Client, collection: String, id: String, json: Option<&str>) -> Result<Outcome, Status> {
    let wanted = json.map(registers);
    // The stream begins with what is there: of what is not, nothing is said.
    let mut stream = client
        .subscribe(SubscribeRequest { collections: vec![collection.clone()], ..Default::default() })
        .await?
        .into_inner();
    let request = GetDocumentRequest { collection, doc_id: id.clone(), ..Default::default() };
    if wanted.is_none() && client.get_document(request).await?.into_inner().json_data.is_none() {
        return Ok(Outcome::Ok);
    }
    while let Some(change) = stream.message().await? {
        if change.doc_id != id {
            continue;
        }
        let deleted = change.change_type() == ChangeType::Delete;
        let held = registers(change.json_data.as_deref().unwrap_or_default());
        let done = match &wanted {
            None => deleted,
            Some(wanted) => !deleted && wanted.iter().all(|(name, counter)| held.get(name) >= Some(counter)),
        };
        if done {
            return Ok(Outcome::Ok);
        }
    }
    Ok(Outcome::Unknown)
}

/// A refusal is certain only where the node looked at the request and would not have it.
fn judge(status: &Status) -> Outcome {
    match status.code() {
        Code::InvalidArgument
        | Code::NotFound
        | Code::AlreadyExists
        | Code::PermissionDenied
        | Code::Unauthenticated
        | Code::FailedPrecondition
        | Code::ResourceExhausted
        | Code::OutOfRange
        | Code::Unimplemented => Outcome::Refused(format!("{:?}: {}", status.code(), status.message())),
        _ => Outcome::Unknown,
    }
}
