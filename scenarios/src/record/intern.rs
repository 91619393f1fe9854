//! One copy of each text.

use std::collections::BTreeSet;
use std::sync::Arc;

/// Hands out one shared copy of each text. A document version seen by six replicas, and the key of
/// every event, cost one allocation.
#[derive(Debug, Clone, Default)]
pub struct Interner {
    texts: BTreeSet<Arc<str>>,
}

impl Interner {
    /// The shared copy of `text`.
    pub fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return known.clone();
        }
        let fresh: Arc<str> = text.into();
        self.texts.insert(fresh.clone());
        fresh
    }
}
