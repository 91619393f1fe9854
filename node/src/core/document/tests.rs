//! Tests of the document layer, one file a concern.

#![allow(clippy::unwrap_used)]

mod bases;
mod bombs;
mod conflicts;
mod first;
mod hostile;
mod merging;
mod model;
mod parsing;
mod properties;
mod rules;
mod windows;

use automerge::Change;

use super::*;

fn parse(text: &str) -> JsonObject {
    JsonObject::parse(text, &JsonLimits::default()).unwrap()
}

fn actor(number: u8) -> ActorId {
    ActorId::from([number; 16])
}

/// Replica number `number`, empty.
fn replica(number: u8) -> Document {
    Document::new(actor(number))
}

/// Replica number `number` with the history of `other`.
///
/// Loaded as from the store; a peer must come to the same by [`Document::apply`].
fn copy(number: u8, other: &Document) -> Document {
    let snapshot = other.save();
    let loaded = Document::load(actor(number), Some(&snapshot), std::iter::empty()).unwrap();
    let mut applied = replica(number);
    applied.apply(&snapshot).unwrap();
    assert!(Document::travels_whole(&snapshot));
    assert_eq!(applied.heads(), loaded.heads());
    loaded
}

fn put(document: &mut Document, text: &str) -> Option<Vec<u8>> {
    document.put(&parse(text), 1_700_000_000).unwrap()
}

fn rendered(document: &Document) -> String {
    document.render().unwrap()
}

/// Exchanges everything between all of them, each pair both ways.
fn converge(documents: &mut [&mut Document]) {
    for _ in 0..2 {
        for from in 0..documents.len() {
            for to in 0..documents.len() {
                let changes = documents[from].changes_since(&documents[to].heads()).concat();
                documents[to].apply(&changes).unwrap();
            }
        }
    }
    for pair in documents.windows(2) {
        assert_eq!(pair[0].heads(), pair[1].heads());
        assert_eq!(pair[0].render(), pair[1].render());
        assert_eq!(pair[0].presence(), pair[1].presence());
    }
}
