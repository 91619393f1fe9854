//! The state of every replica at the end, as an application would read it.

use std::collections::BTreeMap;

use peat_node::NodeHandle;
use peat_proto::client::{GetDocumentRequest, ListDocumentsRequest};
use peat_scenarios::plan::{DocKey, NodeIndex, NodeSpec};
use peat_scenarios::record::{FinalDoc, ReplicaState};
use tonic::Status;

use crate::client::Client;
use crate::host::{Host, Shared};
use crate::journal::Journal;
use crate::life::trouble;
use crate::trace::Kind;

/// A host at the end.
pub(crate) struct Replica {
    spec: NodeSpec,
    running: bool,
    ready: Option<(NodeHandle, Client)>,
}

impl Replica {
    pub(super) fn of(host: &Host) -> Self {
        Self { spec: host.spec().clone(), running: host.is_running(), ready: host.ready() }
    }
}

/// Reads every host into the record.
///
/// A node that ought to run and does not serve counts as running and empty: that it came back from a crash
/// with nothing is the nodes' failure and not the world's, so the checks must see it.
pub(crate) async fn read(replicas: Vec<Replica>, shared: Shared) {
    for Replica { spec, running, ready } in replicas {
        let mut state = ReplicaState { node: spec.index, running, docs: BTreeMap::new() };
        match ready {
            Some((handle, client)) => {
                let digest = handle.heads_digest();
                match documents(client, &shared).await {
                    Ok(docs) => {
                        state.docs = docs;
                        note(&shared.journal, spec.index, &state, &digest);
                    }
                    Err(status) => {
                        trouble(&shared.journal, &spec, &format!("its documents cannot be read: {status}"));
                    }
                }
            }
            None if running => trouble(&shared.journal, &spec, "was started but does not serve"),
            None => {}
        }
        shared.journal.lock().record.finals.push(state);
    }
}

async fn documents(mut client: Client, shared: &Shared) -> Result<BTreeMap<DocKey, FinalDoc>, Status> {
    let mut docs = BTreeMap::new();
    for collection in shared.collections.iter() {
        let request = ListDocumentsRequest { collection: collection.clone(), ..Default::default() };
        for doc_id in client.list_documents(request).await?.into_inner().doc_ids {
            let request =
                GetDocumentRequest { collection: collection.clone(), doc_id: doc_id.clone(), ..Default::default() };
            // A document that is listed and not found was deleted in between.
            let read = client.get_document(request).await?.into_inner();
            let Some(json) = read.json_data else { continue };
            let mut journal = shared.journal.lock();
            let key = journal.record.key(collection, &doc_id);
            let json = Some(journal.record.intern(&json));
            // The version names the heads.
            docs.insert(key, FinalDoc { json, heads: Some(read.version) });
        }
    }
    Ok(docs)
}

fn note(journal: &Journal, node: NodeIndex, state: &ReplicaState, digest: &[u8; 32]) {
    let mut hasher = blake3::Hasher::new();
    hasher.update(digest);
    for (key, doc) in &state.docs {
        hasher.update(key.to_string().as_bytes());
        hasher.update(doc.json.as_deref().unwrap_or_default().as_bytes());
    }
    let text = format!("ends with {} documents, {}", state.docs.len(), &hasher.finalize().to_hex()[..16]);
    journal.note(Kind::Final, node, &text);
}
