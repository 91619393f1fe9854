//! What a world supplies to a node: the three seams, and eyes on it.

use std::sync::Arc;

use iroh::{Endpoint, EndpointId};

use super::pause::Pause;
use super::plants::Plants;
use crate::mesh::AddressResolver;
use crate::store::Store;

/// Milliseconds since the Unix epoch. Only for stamps that people read; no decision depends on it.
pub type WallClock = Arc<dyn Fn() -> u64 + Send + Sync>;

/// Everything that differs between production and a simulation.
pub struct World {
    /// The opened store; it holds the identity that `endpoint` was bound with.
    pub store: Store,
    /// A bound endpoint, see [`crate::mesh::bind`].
    pub endpoint: Endpoint,
    /// Turns the text of a peer's address into transport addresses.
    pub resolver: Arc<dyn AddressResolver>,
    /// For stamps only.
    pub wall_clock: WallClock,
    /// Seeds actor ids and jitter. Must differ at every start.
    pub seed: [u8; 32],
    /// Is told what the node does; `None` in production.
    pub observer: Option<Arc<dyn Observer>>,
    /// Bugs to plant; [`Plants::default`] plants none.
    pub plants: Plants,
    /// Keeps the node from running now and then; `None` in production.
    pub pause: Option<Pause>,
}

/// Receives what a node does, as plain data, in order. Must not block.
pub trait Observer: Send + Sync {
    /// Called at the moment the thing happens.
    fn observe(&self, event: Observation);

    /// Whether [`Observer::frame`] is to be called: frames are too many to be told of unasked.
    fn follows_frames(&self) -> bool {
        false
    }

    /// Called for every frame that carries changes of a document, at the moment at which it is taken out of the outbox of a
    /// session, or has been received whole.
    fn frame(&self, frame: FrameSeen<'_>) {
        let _ = frame;
    }
}

/// A frame that carries changes of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameSeen<'a> {
    /// The other end.
    pub peer: EndpointId,
    /// `true`: to it; `false`: from it.
    pub sent: bool,
    /// Collection of the document.
    pub collection: &'a str,
    /// Its id.
    pub id: &'a str,
    /// The check that the frame begins with: the same at both ends.
    pub check: u32,
    /// Length of the payload.
    pub bytes: usize,
}

/// Something that a node did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
    /// A dial began.
    Dialing {
        /// Whom.
        peer: EndpointId,
        /// Counted from the last time a session was up.
        attempt: u32,
    },
    /// A session was admitted and both sides have said hello.
    SessionUp {
        /// With whom.
        peer: EndpointId,
        /// `true`: resumed from watermarks; `false`: the two sets were reconciled.
        resumed: bool,
    },
    /// A session ended.
    SessionDown {
        /// With whom.
        peer: EndpointId,
        /// Why, for people.
        reason: String,
    },
    /// A stranger, or a peer of another formation, was turned away.
    Refused {
        /// Whom.
        peer: EndpointId,
        /// Why, for people.
        reason: String,
    },
    /// A transaction became durable.
    Committed {
        /// Changes in it.
        changes: usize,
    },
}
