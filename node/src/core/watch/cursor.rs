//! Where a reader goes on.
//!
//! Base64 (URL alphabet, no padding) of a postcard tuple: a format byte, the first 8 bytes of the store's epoch, the
//! fingerprint of the selection, the number up to which everything was told, and the numbers above it that were, each
//! as the distance from the one before. About 24 characters as a rule.

use std::collections::BTreeSet;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use super::super::wire::{Epoch, Seq};
use crate::limits;

const FORMAT: u8 = 1;

type Fields = (u8, [u8; 8], [u8; 4], Seq, Vec<Seq>);

/// Where a reader goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cursor {
    epoch: [u8; 8],
    fingerprint: [u8; 4],
    /// Everything up to here was told.
    pub through: Seq,
    /// So were these, all above.
    pub ahead: BTreeSet<Seq>,
}

/// Why a text is not a cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CursorError {
    /// Longer than any cursor.
    #[error("resume_cursor has {actual} bytes; a cursor has at most {limit}: give back one as an event carried it")]
    TooLong {
        /// Bytes that were given.
        actual: usize,
        /// The limit.
        limit: usize,
    },
    /// Not a cursor.
    #[error("resume_cursor is no cursor, but some other text: give back one as an event carried it, or none")]
    Content,
}

impl Cursor {
    /// After everything up to `through`, and `ahead`.
    pub fn new(epoch: &Epoch, fingerprint: [u8; 4], through: Seq, ahead: BTreeSet<Seq>) -> Self {
        Self { epoch: shortened(epoch), fingerprint, through, ahead }
    }

    /// Whether it was made of this store and this selection.
    pub fn is_of(&self, epoch: &Epoch, fingerprint: &[u8; 4]) -> bool {
        self.epoch == shortened(epoch) && self.fingerprint == *fingerprint
    }

    /// As text.
    pub fn encode(&self) -> String {
        let mut before = self.through;
        let distance = |seq: &Seq| seq - std::mem::replace(&mut before, *seq);
        let ahead = self.ahead.iter().map(distance).collect();
        let fields: Fields = (FORMAT, self.epoch, self.fingerprint, self.through, ahead);
        BASE64_URL_SAFE_NO_PAD.encode(postcard::to_stdvec(&fields).expect("no unserialisable types"))
    }

    /// Reads what a client gave back, which may be anything.
    pub fn parse(text: &str) -> Result<Self, CursorError> {
        if text.len() > limits::MAX_CURSOR_BYTES {
            return Err(CursorError::TooLong { actual: text.len(), limit: limits::MAX_CURSOR_BYTES });
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Content)?;
        let (fields, rest) = postcard::take_from_bytes::<Fields>(&bytes).map_err(|_| CursorError::Content)?;
        let (format, epoch, fingerprint, through, distances) = fields;
        if format != FORMAT || !rest.is_empty() || distances.len() > limits::MAX_WATCH_PLACES {
            return Err(CursorError::Content);
        }
        let mut ahead = BTreeSet::new();
        let mut last = through;
        for distance in distances {
            last = last.checked_add(distance).filter(|_| distance > 0).ok_or(CursorError::Content)?;
            ahead.insert(last);
        }
        Ok(Self { epoch, fingerprint, through, ahead })
    }
}

fn shortened(epoch: &Epoch) -> [u8; 8] {
    *epoch.first_chunk().expect("an epoch is longer")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_cursor_is_read_back_as_it_was(
            through in 0..u64::MAX / 2,
            ahead in prop::collection::btree_set(u64::MAX / 2..u64::MAX, 0..=limits::MAX_WATCH_PLACES),
        ) {
            let cursor = Cursor::new(&[7; 16], [1, 2, 3, 4], through, ahead);
            let text = cursor.encode();
            prop_assert!(text.len() <= limits::MAX_CURSOR_BYTES);
            prop_assert_eq!(Cursor::parse(&text), Ok(cursor));
        }

        #[test]
        fn anything_else_is_refused_or_harmless(text in "[A-Za-z0-9_-]{0,80}") {
            if let Ok(cursor) = Cursor::parse(&text) {
                prop_assert!(cursor.ahead.first().is_none_or(|first| *first > cursor.through));
            }
        }
    }
}
