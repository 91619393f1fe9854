//! What the application beside a node does: issues the planned operations one after the other, and watches
//! every collection.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::stream::{FuturesUnordered, StreamExt as _};
use peat_proto::client::{ChangeType, DeleteDocumentRequest, GetDocumentRequest, PutDocumentRequest, SubscribeRequest};
use peat_scenarios::plan::{Action, NodeIndex, PlannedOp, apply_edit, registers};
use peat_scenarios::record::Outcome;
use tonic::{Code, Status};

use crate::client::Client;
use crate::journal::Journal;
use crate::trace::Kind;

/// An application gives an operation up after this time; it may have happened.
const DEADLINE: Duration = Duration::from_secs(5);
/// A broken stream is opened again after this time.
const RESUBSCRIBE: Duration = Duration::from_millis(100);

/// The operations of a node that were not issued yet, in order. It outlives the lives of the node.
#[derive(Clone)]
pub(crate) struct Agenda(Arc<Mutex<VecDeque<PlannedOp>>>);

impl Agenda {
    pub(crate) fn new(operations: impl IntoIterator<Item = PlannedOp>) -> Self {
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
pub(crate) async fn drive(agenda: Agenda, client: Option<Client>, journal: Journal) {
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
                let mut journal = journal.lock();
                let now = journal.now();
                journal.record.begin(&planned, now);
            }
            Some(client) => issue(&planned, client.clone(), &journal).await,
            None => {
                let mut journal = journal.lock();
                let now = journal.now();
                journal.record.skip(&planned, now);
                let text = format!("skips operation {}: the node is down", planned.op.0);
                journal.note(now, Kind::Completed, planned.node, &text);
            }
        }
    }
    while reports.next().await.is_some() {}
}

async fn issue(planned: &PlannedOp, client: Client, journal: &Journal) {
    let number = planned.op.0;
    let slot = {
        let mut journal = journal.lock();
        let now = journal.now();
        journal.note(now, Kind::Invoked, planned.node, &format!("operation {number}: {}", describe(&planned.action)));
        journal.record.begin(planned, now)
    };
    let writing = |read: &str, json: &str| {
        let mut journal = journal.lock();
        let now = journal.now();
        journal.record.reading(slot, read);
        journal.note(now, Kind::Invoked, planned.node, &format!("operation {number} writes {json}"));
        journal.record.writing(slot, json);
    };
    // How soon a node notices is for the checks to say.
    let deadline = if matches!(planned.action, Action::Report { .. }) { Duration::MAX } else { DEADLINE };
    let outcome = match tokio::time::timeout(deadline, perform(&planned.action, client, writing)).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(status)) => judge(&status),
        Err(_deadline) => Outcome::Unknown,
    };
    let stirred = journal.stirred().clone();
    let mut journal = journal.lock();
    let now = journal.now();
    journal.note(now, Kind::Completed, planned.node, &format!("operation {number}: {outcome:?}"));
    journal.record.finish(slot, now, outcome);
    stirred.notify_one();
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

async fn perform(action: &Action, mut client: Client, writing: impl FnOnce(&str, &str)) -> Result<Outcome, Status> {
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
        Action::Edit { edit, .. } => {
            let request =
                GetDocumentRequest { collection: collection.clone(), doc_id: doc_id.clone(), ..Default::default() };
            let Some(current) = client.get_document(request).await?.into_inner().json_data else {
                return Ok(Outcome::Skipped);
            };
            let json_data = match apply_edit(&current, edit) {
                Ok(json) => json,
                // The node handed out a document that no workload wrote. The checks will say so.
                Err(error) => return Ok(Outcome::Refused(format!("the document cannot be edited: {error}"))),
            };
            writing(&current, &json_data);
            client.put_document(PutDocumentRequest { collection, doc_id, json_data, ..Default::default() }).await?;
        }
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

/// Where a subscriber goes on, over all lives of its node.
pub(crate) type Bookmark = Arc<Mutex<String>>;

/// Records what the node's Subscribe stream shows, for as long as it is polled. It goes on where it was, also in the
/// next life of the node: a cursor that skips something leaves the record short of it.
pub(crate) async fn watch(node: NodeIndex, mut client: Client, journal: Journal, bookmark: Bookmark) {
    loop {
        let ended = follow(node, &mut client, &journal, &bookmark).await;
        journal.note(Kind::Visible, node, &format!("subscription ended: {ended}"));
        tokio::time::sleep(RESUBSCRIBE).await;
    }
}

async fn follow(node: NodeIndex, client: &mut Client, journal: &Journal, bookmark: &Bookmark) -> String {
    let resume_cursor = bookmark.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let opened = client.subscribe(SubscribeRequest { resume_cursor, ..Default::default() }).await;
    let mut stream = match opened {
        Ok(response) => response.into_inner(),
        Err(status) => return status.to_string(),
    };
    loop {
        let change = match stream.message().await {
            Ok(Some(change)) => change,
            Ok(None) => return "the node closed it".into(),
            Err(status) => return status.to_string(),
        };
        *bookmark.lock().unwrap_or_else(PoisonError::into_inner) = change.cursor.clone();
        let mut journal = journal.lock();
        let now = journal.now();
        if change.change_type() == ChangeType::Reset {
            journal.note(now, Kind::Visible, node, "the stream starts over");
            continue;
        }
        let json = match change.change_type() {
            ChangeType::Delete => None,
            _ => Some(change.json_data.as_deref().unwrap_or_default()),
        };
        journal.record.see(now, node, &change.collection, &change.doc_id, json);
        let text = match json {
            Some(json) => format!("sees {}/{} {json}", change.collection, change.doc_id),
            None => format!("sees {}/{} deleted", change.collection, change.doc_id),
        };
        journal.note(now, Kind::Visible, node, &text);
    }
}
