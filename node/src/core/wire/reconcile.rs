//! What two strangers say to each other to learn which documents differ. `docs/protocol.md` has the layout,
//! [`super::super::reconcile`] the meaning.

use serde::{Deserialize, Serialize};

use super::FrameError;
use crate::limits;

/// Short salted name of one version of one document: 24 bits of its key, then 40 bits of key and heads. Two
/// versions of a document share the first part, so the two sides of a difference find each other by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Id(#[serde(with = "postcard::fixint::le")] pub u64);

/// Short salted hash of one change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Mark(#[serde(with = "postcard::fixint::le")] pub u64);

/// Which documents a statement is about, and how they are named in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cut {
    /// Drawn by one side, so that nobody can make documents whose names collide.
    #[serde(with = "postcard::fixint::le")]
    pub salt: u64,
    /// The documents are cut into 2^bits parts by their salted keys.
    pub bits: u8,
    /// Which of the parts.
    pub index: u16,
    /// Names of versions are drawn anew with each attempt at a part; the parts stay.
    pub attempt: u8,
}

/// A cell of a sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cell {
    /// Names in the cell, less those that an average cell has.
    pub deviation: i32,
    /// Exclusive or of the names.
    #[serde(with = "postcard::fixint::le")]
    pub ids: u64,
    /// Exclusive or of their checks.
    #[serde(with = "postcard::fixint::le")]
    pub checks: u32,
}

/// A set of names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Set {
    /// All of them, ascending.
    Ids(Vec<Id>),
    /// A sketch, from which a small difference can be read.
    Cells(Vec<Cell>),
}

/// What the sender has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Told {
    /// Of which documents.
    pub cut: Cut,
    /// How many these are.
    pub count: u64,
    /// Their names.
    pub set: Set,
}

/// What one side knows of the other's version of a document that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Recall {
    /// All of it: the sender's version is newer, and it will send the rest.
    Ahead,
    /// Not all of it. These changes the sender has; it awaits what is missing before it sends anything.
    Behind(Vec<Mark>),
}

/// The turn of the side whose set is read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tell {
    /// One for each pair of the turn before, in its order.
    pub recalls: Vec<Recall>,
    /// What was asked for.
    pub told: Option<Told>,
}

/// A document that both have, in different versions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pair {
    /// The receiver's version.
    pub id: Id,
    /// More of its key: that the names of two documents begin alike happens.
    #[serde(with = "postcard::fixint::le")]
    pub tag: u32,
    /// The heads of the sender's version; empty: too many to list.
    pub heads: Vec<Mark>,
}

/// How a set is to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// As a list.
    Ids,
    /// As a sketch of this many cells.
    Cells(u32),
}

/// What is due after a [`Read`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Next {
    /// Nothing but the recalls, if there are pairs.
    Last,
    /// The recalls; more pairs follow.
    More,
    /// The recalls, and this set.
    Ask(Cut, Form),
}

/// The turn of the side that reads the other's set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Read {
    /// How documents are named here.
    pub cut: Cut,
    /// Documents that only the receiver has, ascending: they are to be sent whole.
    pub wants: Vec<Id>,
    /// Documents that both have, ascending.
    pub pairs: Vec<Pair>,
    /// What is due now.
    pub next: Next,
}

/// A turn of reconciliation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Turn {
    /// What the sender has.
    Tell(Tell),
    /// What the sender found to differ.
    Read(Read),
}

impl Turn {
    /// Checks what a peer sent against the limits. Names of documents that do not exist are no error: a document
    /// may have changed meanwhile.
    pub(super) fn validate(&self) -> Result<(), FrameError> {
        match self {
            Self::Tell(Tell { recalls, told }) => {
                at_most("recalls", recalls.len(), limits::MAX_RECONCILE_PAIRS)?;
                for recall in recalls {
                    if let Recall::Behind(marks) = recall {
                        at_most("marks of a document", marks.len(), limits::MAX_RECONCILE_MARKS)?;
                    }
                }
                told.as_ref().map_or(Ok(()), Told::validate)
            }
            Self::Read(Read { cut, wants, pairs, next }) => {
                cut.validate()?;
                at_most("wants", wants.len(), limits::MAX_RECONCILE_IDS)?;
                ascending("wants", wants.iter().copied())?;
                at_most("pairs", pairs.len(), limits::MAX_RECONCILE_PAIRS)?;
                ascending("pairs", pairs.iter().map(|pair| pair.id))?;
                for pair in pairs {
                    at_most("heads of a document", pair.heads.len(), limits::MAX_RECONCILE_MARKS)?;
                }
                match next {
                    Next::Last => Ok(()),
                    Next::More if pairs.is_empty() => Err(wrong("more is to follow nothing")),
                    Next::More => Ok(()),
                    Next::Ask(cut, form) => {
                        cut.validate()?;
                        match form {
                            Form::Ids => Ok(()),
                            Form::Cells(cells) => cell_count(*cells as usize),
                        }
                    }
                }
            }
        }
    }
}

impl Told {
    fn validate(&self) -> Result<(), FrameError> {
        self.cut.validate()?;
        match &self.set {
            Set::Ids(ids) => {
                at_most("ids", ids.len(), limits::MAX_RECONCILE_IDS)?;
                ascending("ids", ids.iter().copied())
            }
            Set::Cells(cells) => cell_count(cells.len()),
        }
    }
}

impl Cut {
    fn validate(&self) -> Result<(), FrameError> {
        at_most("bits of a part", usize::from(self.bits), usize::from(limits::MAX_RECONCILE_PART_BITS))?;
        at_most("index of a part", usize::from(self.index), (1 << self.bits) - 1)
    }
}

fn cell_count(cells: usize) -> Result<(), FrameError> {
    at_most("cells", cells, limits::MAX_RECONCILE_CELLS)?;
    if cells < limits::MIN_RECONCILE_CELLS {
        return Err(wrong(format!("{cells} cells; the least are {}", limits::MIN_RECONCILE_CELLS)));
    }
    Ok(())
}

fn at_most(what: &str, actual: usize, limit: usize) -> Result<(), FrameError> {
    if actual > limit { Err(wrong(format!("{what}: {actual}; the limit is {limit}"))) } else { Ok(()) }
}

fn ascending(what: &str, ids: impl Iterator<Item = Id>) -> Result<(), FrameError> {
    if ids.is_sorted_by(|a, b| a < b) { Ok(()) } else { Err(wrong(format!("{what} are not ascending"))) }
}

fn wrong(detail: impl Into<String>) -> FrameError {
    FrameError::Reconcile(detail.into())
}

#[cfg(test)]
mod tests {
    use super::super::{Control, Ordinal};
    use super::*;

    const CUT: Cut = Cut { salt: 0x0807_0605_0403_0201, bits: 1, index: 1, attempt: 2 };

    fn content(turn: Turn) -> Vec<u8> {
        let control = Control::Reconcile(turn);
        let payload = control.encode(&mut Ordinal::default());
        assert_eq!(Control::decode(&payload, &mut Ordinal::default()), Ok(control));
        payload[4..].to_vec()
    }

    fn refused(turn: Turn) {
        let payload = Control::Reconcile(turn.clone()).encode(&mut Ordinal::default());
        let decoded = Control::decode(&payload, &mut Ordinal::default());
        assert!(matches!(decoded, Err(FrameError::Reconcile(_))), "{turn:?}: {decoded:?}");
    }

    #[test]
    fn turns_are_laid_out_as_documented() {
        let cut = [1, 2, 3, 4, 5, 6, 7, 8, 1, 1, 2];
        let cells = vec![Cell { deviation: -1, ids: 1, checks: 2 }; 16];
        let told = Some(Told { cut: CUT, count: 300, set: Set::Cells(cells) });
        let recalls = vec![Recall::Ahead, Recall::Behind(vec![Mark(9)])];
        let cell = [1, 1, 0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0];
        let expected = [&[1, 0, 2, 0, 1, 1, 9, 0, 0, 0, 0, 0, 0, 0, 1], &cut[..], &[0xac, 2, 1, 16], &cell.repeat(16)];
        assert_eq!(content(Turn::Tell(Tell { recalls, told })), expected.concat());

        let pairs = vec![Pair { id: Id(4), tag: 6, heads: vec![Mark(5)] }];
        let next = Next::Ask(CUT, Form::Cells(300));
        let read = Read { cut: CUT, wants: vec![Id(3)], pairs, next };
        let expected = [
            &[1, 1],
            &cut[..],
            &[1, 3, 0, 0, 0, 0, 0, 0, 0],
            &[1, 4, 0, 0, 0, 0, 0, 0, 0, 6, 0, 0, 0, 1, 5, 0, 0, 0, 0, 0, 0, 0],
            &[2],
            &cut[..],
            &[1, 0xac, 2],
        ];
        assert_eq!(content(Turn::Read(read)), expected.concat());
    }

    #[test]
    fn turns_that_cannot_be_are_refused() {
        let read = Read { cut: CUT, wants: vec![], pairs: vec![], next: Next::Last };
        let pair = |id| Pair { id: Id(id), tag: 0, heads: vec![] };
        for bad in [
            Read { wants: vec![Id(2), Id(1)], ..read.clone() },
            Read { wants: vec![Id(1), Id(1)], ..read.clone() },
            Read { pairs: vec![pair(2), pair(1)], ..read.clone() },
            Read { pairs: (0..=limits::MAX_RECONCILE_PAIRS as u64).map(pair).collect(), ..read.clone() },
            Read { next: Next::More, ..read.clone() },
            Read { next: Next::Ask(CUT, Form::Cells(3)), ..read.clone() },
            Read { next: Next::Ask(CUT, Form::Cells(u32::MAX)), ..read.clone() },
            Read { next: Next::Ask(Cut { index: 2, ..CUT }, Form::Ids), ..read.clone() },
            Read { cut: Cut { bits: 200, ..CUT }, ..read.clone() },
        ] {
            refused(Turn::Read(bad));
        }
        let told = |set| Turn::Tell(Tell { recalls: vec![], told: Some(Told { cut: CUT, count: 1, set }) });
        refused(told(Set::Ids(vec![Id(2), Id(1)])));
        refused(told(Set::Cells(vec![])));
        let marks = vec![Mark(0); limits::MAX_RECONCILE_MARKS + 1];
        refused(Turn::Tell(Tell { recalls: vec![Recall::Behind(marks)], told: None }));
    }
}
