//! What a node shows, as it shows it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use peat_proto::client::{ChangeType, SubscribeRequest};

use super::{Client, Doing, Logbook};
use crate::plan::NodeIndex;

/// A broken stream is opened again after this time.
const RESUBSCRIBE: Duration = Duration::from_millis(100);

/// Where a subscriber goes on, over all lives of its node.
pub type Bookmark = Arc<Mutex<String>>;

/// Records what the node's Subscribe stream shows, for as long as it is polled. It goes on where it was, also in the
/// next life of the node: a cursor that skips something leaves the record short of it.
pub async fn watch(node: NodeIndex, mut client: Client, journal: impl Logbook, bookmark: Bookmark) {
    loop {
        let ended = follow(node, &mut client, &journal, &bookmark).await;
        journal.note(Doing::Sees, node, &format!("subscription ended: {ended}"));
        tokio::time::sleep(RESUBSCRIBE).await;
    }
}

async fn follow(node: NodeIndex, client: &mut Client, journal: &impl Logbook, bookmark: &Bookmark) -> String {
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
        if change.change_type() == ChangeType::Reset {
            journal.note(Doing::Sees, node, "the stream starts over");
            continue;
        }
        let json = match change.change_type() {
            ChangeType::Delete => None,
            _ => Some(change.json_data.as_deref().unwrap_or_default()),
        };
        journal.write(|record, now| record.see(now, node, &change.collection, &change.doc_id, json));
        let text = match json {
            Some(json) => format!("sees {}/{} {json}", change.collection, change.doc_id),
            None => format!("sees {}/{} deleted", change.collection, change.doc_id),
        };
        journal.note(Doing::Sees, node, &text);
    }
}
