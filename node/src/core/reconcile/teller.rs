//! The side whose set is read. It remembers nothing but how often it was asked.

use super::super::wire::{Form, Id, Next, Read, Recall, Set, Tell, Told, Turn};
use super::names::{Found, Namer, Version, marks};
use super::{Marks, Outcome, ReconcileError, Sketch, View};
use crate::limits;

/// What the teller knows.
#[derive(Debug, Default)]
pub(super) struct Teller {
    turns: usize,
}

impl Teller {
    pub(super) fn receive(&mut self, view: &View<'_>, read: Read, outcome: &mut Outcome) -> Result<(), ReconcileError> {
        self.count_turn(view)?;
        let Read { cut, wants, pairs, next } = read;
        let namer = Namer::new(cut);
        for found in view.resolve(&namer, &wants) {
            outcome.send.push((found.version.key.clone(), Marks::none()));
        }
        let ids: Vec<Id> = pairs.iter().map(|pair| pair.id).collect();
        let mut recalls = vec![Recall::Behind(vec![]); pairs.len()];
        let mut loaded_bytes = 0;
        for Found { at, exact, version } in view.resolve(&namer, &ids) {
            let Version { key, meta, tag, .. } = version;
            if tag != pairs[at].tag {
                // Another document than the peer's. If it was named all the same, the peer lacks it.
                outcome.send.extend(exact.then(|| (key.clone(), Marks::none())));
                continue;
            }
            let heads = Marks::new(cut.salt, pairs[at].heads.clone());
            loaded_bytes += meta.snapshot_bytes + meta.tail_bytes;
            recalls[at] = if loaded_bytes <= limits::MAX_RECONCILE_LOAD_BYTES {
                view.history.recall(key, &heads)
            } else {
                let points = meta.checkpoints.iter().flat_map(|point| &point.heads);
                Recall::Behind(marks(cut.salt, meta.heads.iter().chain(points)))
            };
            let list = if recalls[at] == Recall::Ahead { &mut outcome.send } else { &mut outcome.expect };
            list.push((key.clone(), heads));
        }
        let told = match next {
            Next::Ask(cut, form) => Some(tell(view, &Namer::new(cut), form)?),
            Next::More | Next::Last => None,
        };
        outcome.done = next == Next::Last;
        if !outcome.done || !recalls.is_empty() {
            outcome.reply = Some(Turn::Tell(Tell { recalls, told }));
        }
        Ok(())
    }

    /// A turn costs us passes over all documents, and the peer next to nothing.
    fn count_turn(&mut self, view: &View<'_>) -> Result<(), ReconcileError> {
        self.turns += 1;
        let documents = view.index.len() as u64;
        let limit = limits::RECONCILE_TURNS + documents as usize / limits::RECONCILE_TURN_DOCUMENTS;
        if self.turns > limit {
            return Err(ReconcileError::TooLong { turns: self.turns, documents, limit });
        }
        Ok(())
    }
}

/// What we have of a cut.
pub(super) fn tell(view: &View<'_>, namer: &Namer, form: Form) -> Result<Told, ReconcileError> {
    let cut = namer.cut();
    match form {
        Form::Ids => {
            let ids = names(view, namer);
            if ids.len() > limits::MAX_RECONCILE_IDS {
                return Err(ReconcileError::TooMany { documents: ids.len() });
            }
            Ok(Told { cut, count: ids.len() as u64, set: Set::Ids(ids) })
        }
        Form::Cells(cells) => {
            let mut sketch = Sketch::new(cells as usize);
            let mut count = 0;
            for id in view.ids(namer) {
                sketch.add(id);
                count += 1;
            }
            Ok(Told { cut, count, set: Set::Cells(sketch.to_wire(count)) })
        }
    }
}

/// All names of a cut, ascending.
pub(super) fn names(view: &View<'_>, namer: &Namer) -> Vec<Id> {
    let mut ids: Vec<Id> = view.ids(namer).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
