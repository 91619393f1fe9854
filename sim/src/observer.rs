//! What nodes say about themselves, written into the journal.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use iroh::EndpointId;
use peat_node::node::{FrameSeen, Observation, Observer};
use peat_scenarios::plan::NodeIndex;
use peat_scenarios::record::transfer::Frame;

use crate::journal::Journal;
use crate::trace::Kind;

/// Who is behind which endpoint id.
pub(crate) type Directory = Arc<BTreeMap<EndpointId, NodeIndex>>;

/// Listens to one life of one node.
pub(crate) struct LifeObserver {
    node: NodeIndex,
    journal: Journal,
    directory: Directory,
    /// False once this life has crashed: what its destructors say was never said.
    alive: AtomicBool,
}

impl LifeObserver {
    pub(crate) fn new(node: NodeIndex, journal: Journal, directory: Directory) -> Arc<Self> {
        Arc::new(Self { node, journal, directory, alive: AtomicBool::new(true) })
    }

    pub(crate) fn silence(&self) {
        self.alive.store(false, Ordering::Relaxed);
    }
}

impl Observer for LifeObserver {
    fn observe(&self, event: Observation) {
        if !self.alive.load(Ordering::Relaxed) {
            return;
        }
        let mut journal = self.journal.lock();
        let now = journal.now();
        let session = match &event {
            Observation::SessionUp { peer, .. } => Some((*peer, true)),
            Observation::SessionDown { peer, .. } => Some((*peer, false)),
            _ => None,
        };
        if let Some((peer, up)) = session
            && let Some(&peer) = self.directory.get(&peer)
        {
            journal.record.session(now, self.node, peer, up);
            if up {
                self.journal.stirred().notify_one();
            }
        }
        if let Observation::Dialing { peer, .. } = &event
            && let Some(&peer) = self.directory.get(peer)
        {
            journal.record.dial(now, self.node, peer);
        }
        let name = |peer: &EndpointId| match self.directory.get(peer) {
            Some(&node) => journal.name(node).to_string(),
            None => peer.fmt_short().to_string(),
        };
        let text = match &event {
            Observation::Dialing { peer, attempt } => format!("dials {}, attempt {attempt}", name(peer)),
            Observation::SessionUp { peer, resumed: true } => format!("session with {} resumed", name(peer)),
            Observation::SessionUp { peer, resumed: false } => {
                format!("session with {} reconciled", name(peer))
            }
            Observation::SessionDown { peer, reason } => format!("session with {} lost: {reason}", name(peer)),
            Observation::Refused { peer, reason } => format!("refused {}: {reason}", name(peer)),
            Observation::Committed { changes } => format!("committed {changes} changes"),
        };
        journal.note(now, Kind::Node, self.node, &text);
    }

    fn follows_frames(&self) -> bool {
        self.alive.load(Ordering::Relaxed) && self.journal.lock().record.transfers.is_some()
    }

    /// In the record only: the trace of a run is the same whether anybody looks at its frames or not.
    fn frame(&self, frame: FrameSeen<'_>) {
        let Some(&peer) = self.directory.get(&frame.peer) else { return };
        let ends = if frame.sent { (self.node, peer) } else { (peer, self.node) };
        let FrameSeen { collection, id, check, bytes, .. } = frame;
        let mut journal = self.journal.lock();
        let now = journal.now();
        journal.record.frame(now, ends, frame.sent, Frame { collection, id, check, bytes });
    }
}
