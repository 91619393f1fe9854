//! Which documents a reader with a filter has been given and not been told to forget.

use std::collections::BTreeSet;

use crate::limits;

/// What a reader has, by hashes of keys. Not exact: it may claim that a reader has what it does not, in which case the
/// reader is told to forget what it never had. It never claims the opposite, but for keys that share all 64 bits.
#[derive(Debug, Default)]
pub struct View {
    /// What is true of every document that is no exception.
    has: bool,
    exceptions: BTreeSet<u64>,
}

impl View {
    /// Of a reader that has nothing.
    pub fn empty() -> Self {
        Self::default()
    }

    /// Of a reader of whom nothing is known.
    pub fn unknown() -> Self {
        Self { has: true, exceptions: BTreeSet::new() }
    }

    /// Keys that are remembered.
    #[cfg(test)]
    pub fn len(&self) -> usize {
        self.exceptions.len()
    }

    /// Whether the reader may have a document.
    pub fn may_have(&self, place: u64) -> bool {
        self.has != self.exceptions.contains(&place)
    }

    /// The reader was given a document, or told to forget it.
    pub fn set(&mut self, place: u64, has: bool) {
        if has == self.has {
            self.exceptions.remove(&place);
            return;
        }
        if self.exceptions.len() >= limits::MAX_WATCH_VIEW && !self.exceptions.contains(&place) {
            *self = Self::unknown();
            if has {
                return;
            }
        }
        self.exceptions.insert(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_reader_has_is_never_denied_however_much_it_is() {
        let mut view = View::empty();
        let many = limits::MAX_WATCH_VIEW as u64 + 10;
        assert!(!view.may_have(1));
        (0..many).for_each(|place| view.set(place, true));
        assert!((0..many).all(|place| view.may_have(place)));
        (0..many).for_each(|place| view.set(place, false));
        assert!(!view.may_have(many - 1), "what was told last is known");
        assert!(view.len() <= limits::MAX_WATCH_VIEW);
    }

    #[test]
    fn of_an_unknown_reader_anything_may_be_had_until_it_is_told_to_forget_it() {
        let mut view = View::unknown();
        assert!(view.may_have(7));
        view.set(7, false);
        assert!(!view.may_have(7) && view.may_have(8));
        view.set(7, true);
        assert!(view.may_have(7));
    }
}
