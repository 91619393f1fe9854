//! Set reconciliation for peers with no common watermark.
//!
//! One side *tells* what it has: short salted names of its documents' versions, as a list or as a sketch
//! ([`sketch`]) that is as large as the difference, not as the set. The other side *reads* the difference. It sends what
//! only it has, asks for what only the peer has, and for what both have it says which heads it has; the teller
//! answers whether it knows them. `docs/protocol.md` has the messages and their order.
//!
//! Nothing is remembered of the documents between messages, so live changes go on meanwhile: one changes the name of
//! its document, which is then found by its key ([`View::resolve`]) and compared as it is now.
//!
//! **Cost.** Bytes follow the difference: about 50 for a document that differs, 1.7 KB when nothing does. Each
//! message is one or two passes over the index, of some 10 ms for 100,000 documents. Rejected: ranges of keys
//! with fingerprints, which cost twenty times the bytes (`docs/adr/0006-reconciliation.md`).

mod names;
mod reader;
mod sketch;
mod teller;
#[cfg(test)]
mod tests;

use self::names::Namer;
use self::reader::Reader;
use self::teller::Teller;

pub use self::names::{History, Marks, View};
pub use self::sketch::{Difference, Sketch};

use super::key::DocKey;
use super::wire::{Cut, Form, Tell, Turn};
use crate::limits;

/// One side of a reconciliation.
#[derive(Debug)]
pub struct Reconcile {
    /// What this side salts names with.
    salt: u64,
    role: Role,
}

#[derive(Debug)]
enum Role {
    /// Awaits the peer's first message.
    Waiting,
    /// Told the peer something; it may read, or rather tell us.
    Opening(Teller),
    /// The peer reads.
    Telling(Teller),
    /// The peer tells.
    Reading(Reader),
    /// All is said.
    Done,
}

/// Why a reconciliation message is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// The peer said something that is not due.
    #[error("{0} is not due")]
    NotDue(&'static str),
    /// The peer told something else than what it was asked for.
    #[error("the peer told of another part or in another form than was asked for")]
    NotAsked,
    /// The peer answered to more or fewer pairs than there were.
    #[error("{actual} recalls for {expected} pairs")]
    Recalls {
        /// Pairs that we sent.
        expected: usize,
        /// Recalls that came.
        actual: usize,
    },
    /// The peer makes us say more than two honest sides ever would.
    #[error("{turns} turns; the limit for {documents} documents is {limit}")]
    TooLong {
        /// Messages of the peer.
        turns: usize,
        /// Documents that we have.
        documents: u64,
        /// The limit.
        limit: usize,
    },
    /// The peer asks for a list that no message holds.
    #[error(
        "a list of {documents} documents; the limit is {}: a part of them must be asked for",
        limits::MAX_RECONCILE_IDS
    )]
    TooMany {
        /// Documents of the part.
        documents: usize,
    },
    /// No sketch of the largest size can be read, time and again.
    #[error("a difference of {documents} documents could not be read in {attempts} attempts")]
    Unreadable {
        /// Documents that the peer tells of.
        documents: u64,
        /// How often it was tried.
        attempts: u8,
    },
}

/// What a message led to.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Documents to send, with what the peer has of them.
    pub send: Vec<(DocKey, Marks)>,
    /// Documents of which the peer has something that we lack and is going to send: what it lacks of them is to
    /// be sent after that, when it is known what its heads mean.
    pub expect: Vec<(DocKey, Marks)>,
    /// Our next message, if it is due.
    pub reply: Option<Turn>,
    /// Whether all is said, for this side.
    pub done: bool,
}

impl Reconcile {
    /// The side that begins; also returns its first message. `salt` must be unpredictable for other members.
    pub fn begin(view: &View<'_>, salt: u64) -> (Self, Turn) {
        let count = view.count();
        let form = if count <= limits::RECONCILE_OPENING_IDS {
            Form::Ids
        } else {
            Form::Cells(limits::RECONCILE_OPENING_CELLS as u32)
        };
        let cut = Cut { salt, bits: 0, index: 0, attempt: 0 };
        let told = teller::tell(view, &Namer::new(cut), form).expect("a list this short is told");
        let turn = Turn::Tell(Tell { recalls: vec![], told: Some(told) });
        (Self { salt, role: Role::Opening(Teller::default()) }, turn)
    }

    /// The side that waits for the first message.
    pub fn wait(salt: u64) -> Self {
        Self { salt, role: Role::Waiting }
    }

    /// Answers a message. Costs a few passes over the documents and loading at most
    /// [`limits::MAX_RECONCILE_PAIRS`] of them.
    pub fn receive(&mut self, view: &View<'_>, turn: Turn) -> Result<Outcome, ReconcileError> {
        let mut outcome = Outcome::default();
        self.role = match (std::mem::replace(&mut self.role, Role::Done), turn) {
            (Role::Waiting, Turn::Tell(Tell { recalls, told: Some(told) })) if recalls.is_empty() => {
                match Reader::open(view, self.salt, told, &mut outcome)? {
                    Ok(reader) => Role::Reading(reader),
                    Err(teller) => Role::Telling(teller),
                }
            }
            (Role::Opening(_), Turn::Tell(Tell { recalls, told: Some(told) })) if recalls.is_empty() => {
                Role::Reading(Reader::take_over(view, told, &mut outcome)?)
            }
            (Role::Reading(mut reader), Turn::Tell(Tell { recalls, told })) => {
                reader.receive(view, recalls, told, &mut outcome)?;
                Role::Reading(reader)
            }
            (Role::Opening(mut teller) | Role::Telling(mut teller), Turn::Read(read)) => {
                teller.receive(view, read, &mut outcome)?;
                Role::Telling(teller)
            }
            (_, Turn::Tell(_)) => return Err(ReconcileError::NotDue("telling")),
            (_, Turn::Read(_)) => return Err(ReconcileError::NotDue("reading")),
        };
        if outcome.done {
            self.role = Role::Done;
        }
        Ok(outcome)
    }
}
