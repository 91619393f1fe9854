//! The state of every replica at the end, as an application would read it.

use std::collections::BTreeMap;

use peat_node::NodeHandle;
use peat_scenarios::drive::{self, Client};
use peat_scenarios::plan::{NodeIndex, NodeSpec};
use peat_scenarios::record::ReplicaState;

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
                match drive::documents(client, &shared.collections, &shared.journal).await {
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
