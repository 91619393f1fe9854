//! What passed between nodes on the way of each document: enough to say where the time of an operation went.
//!
//! A world writes it down only when it was asked to ([`crate::explain`]): a run of half an hour makes tens of
//! thousands of entries.

use serde::{Deserialize, Serialize};

use crate::plan::{DocKey, NodeIndex};
use crate::time::SimTime;

/// Frames and datagrams of a run, each in order of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Transfers {
    /// Frames that carry a document, at both ends.
    pub frames: Vec<FrameEvent>,
    /// Datagrams that reached their receiver, in order of arrival.
    pub flights: Vec<Flight>,
    /// Datagrams that did not.
    pub losses: Vec<Loss>,
}

/// A node took a frame out of its outbox and handed it to its connection, or received one whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameEvent {
    /// When.
    pub at: SimTime,
    /// Who sends.
    pub from: NodeIndex,
    /// Who receives.
    pub to: NodeIndex,
    /// True at the sender.
    pub sent: bool,
    /// The document that it carries changes of.
    pub key: DocKey,
    /// Its check: with sender, receiver and document it tells which frame that was sent is the one received.
    pub check: u32,
    /// Its length.
    pub bytes: u32,
}

/// A frame that carries changes of a document, see [`RunRecord::frame`].
#[derive(Debug, Clone, Copy)]
pub struct Frame<'a> {
    /// Collection of the document.
    pub collection: &'a str,
    /// Its id.
    pub id: &'a str,
    /// The frame's check.
    pub check: u32,
    /// The frame's length.
    pub bytes: usize,
}

/// A datagram that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Flight {
    /// When it was handed to the link.
    pub sent: SimTime,
    /// When it was received.
    pub arrived: SimTime,
    /// Who sent it.
    pub from: NodeIndex,
    /// Who received it.
    pub to: NodeIndex,
    /// Payload.
    pub bytes: u32,
}

/// A datagram that did not arrive, for whatever reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loss {
    /// When it was handed to the link.
    pub sent: SimTime,
    /// Who sent it.
    pub from: NodeIndex,
    /// Who did not get it.
    pub to: NodeIndex,
}
