//! How peers are found that nobody named. `docs/discovery.md` is the specification.
//!
//! Each way of discovery is a task that tells the mesh, whenever it changes, the whole of what it knows at that
//! moment ([`Mesh::set_found`](super::Mesh::set_found)); it never dials. Who of those found is wanted, and when it
//! is dialled, is decided where operator intent is (ADR 3).

mod dns;
pub(super) mod identify;
mod mdns;

use std::sync::Arc;

use super::admission::FormationKey;
use crate::config::{Discovery, Formation};
use crate::node::Shared;

/// A way of discovery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Source {
    /// DNS-SD on the local network.
    Mdns,
    /// A host name with many addresses.
    Dns,
    /// What connected peers know.
    #[allow(dead_code, reason = "not available yet")]
    Gossip,
}

/// Starts the ways of discovery that are on; none is by default.
pub(super) fn spawn_tasks(shared: &Arc<Shared>, discovery: Discovery, formation: &Formation) {
    // The formation's own key first.
    let keys = || -> Vec<FormationKey> { vec![shared.mesh.key.clone()] };
    if let Some(name) = discovery.dns {
        shared.spawn(dns::follow(Arc::clone(shared), name, discovery.interval, keys()));
    }
    if discovery.mdns {
        // Taken here, so that a stop waits for the goodbye even if it comes before the task has run.
        let withdrawing = shared.mesh.withdrawing.token();
        let task = mdns::announce_and_browse(Arc::clone(shared), formation.app_id.clone(), keys());
        shared.spawn(async move {
            task.await;
            drop(withdrawing);
        });
    }
}

/// What is worth a line in the log: only what differs from the last thing that was said.
#[derive(Debug, Default)]
struct NewsLog(Option<String>);

impl NewsLog {
    fn is_news(&mut self, what: &str) -> bool {
        if self.0.as_deref() == Some(what) {
            return false;
        }
        self.0 = Some(what.into());
        true
    }
}
