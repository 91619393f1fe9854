//! A document as it was, to go back to should a change prove to be unacceptable when it is half applied.
//!
//! A copy costs as much as the history is long, and most changes are one field. So a long document keeps one copy for many
//! changes, and those that were applied since: to go back, which only a broken or hostile peer makes necessary, is to
//! apply them again. **Rejected**: a copy for each change (with 10,000 in the history most of what applying one costs); reading the
//! store again (what is not durable yet is not there).

use automerge::{Automerge, Change};

use super::incoming::guarded;

/// Changes that a copy serves for. Going back applies as many at most.
const MAX_LATER: usize = 64;

/// A copy of a document, and what was applied to it since.
#[derive(Debug, Clone)]
pub(super) struct Spare {
    doc: Automerge,
    later: Vec<Change>,
}

impl Spare {
    /// Of this moment.
    pub(super) fn of(doc: &Automerge) -> Self {
        Self { doc: doc.clone(), later: vec![] }
    }

    /// Notes changes that the document has now; `None`: a new copy costs less than to keep so many.
    pub(super) fn with(mut self, changes: &[Change]) -> Option<Self> {
        self.later.extend_from_slice(changes);
        (self.later.len() <= MAX_LATER).then_some(self)
    }

    /// The document without what was not noted.
    pub(super) fn restore(&self) -> Result<Automerge, String> {
        guarded(|| {
            let mut doc = self.doc.clone();
            doc.apply_changes(self.later.clone()).map_err(|error| error.to_string())?;
            Ok(doc)
        })
        .flatten()
    }
}
