//! Reads durable documents for the core.

use std::sync::Arc;

use redb::ReadableDatabase;

use super::handle::Handle;
use super::row::Row;
use super::tables::{META, SNAPSHOTS, TAIL};
use crate::core::batch::{DocumentStore, StoreReadError, Whole};
use crate::core::key::DocKey;
use crate::core::wire::Seq;

/// Reads durable documents. Each call sees the last commit.
pub struct StoreReader {
    handle: Arc<Handle>,
}

impl StoreReader {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle }
    }

    /// What there is of a document: its snapshot, and up to `most` changes from a number on.
    fn read(&self, key: &DocKey, from: Seq, most: usize) -> Result<Whole, redb::Error> {
        let (collection, id) = (key.collection(), key.id());
        self.handle.read(|db| {
            let txn = db.begin_read()?;
            let metas = txn.open_table(META)?;
            let Some(row) = metas.get((collection, id))? else { return Ok(Whole::default()) };
            let row = Row::decode(row.value())?;
            let mut whole = Whole::default();
            if row.content.is_some() {
                whole.snapshot = row.snapshot().map(<[u8]>::to_vec);
                let change = row.change().filter(|(seq, _)| *seq >= from);
                whole.tail.extend(change.map(|(seq, change)| (seq, change.to_vec())));
                return Ok(whole);
            }
            if row.meta.folded > 0 {
                let snapshot = txn.open_table(SNAPSHOTS)?.get((collection, id))?;
                whole.snapshot = snapshot.map(|value| value.value().to_vec());
            }
            if row.meta.tail_bytes > 0 && row.meta.seq >= from {
                let table = txn.open_table(TAIL)?;
                for row in table.range((collection, id, from)..=(collection, id, Seq::MAX))?.take(most) {
                    let (key, value) = row?;
                    whole.tail.push((key.value().2, value.value().to_vec()));
                }
            }
            Ok(whole)
        })
    }
}

impl DocumentStore for StoreReader {
    fn snapshot(&self, key: &DocKey) -> Result<Option<Vec<u8>>, StoreReadError> {
        Ok(self.read(key, Seq::MAX, 0).map_err(|e| failed("the snapshot", key, &e))?.snapshot)
    }

    fn tail(&self, key: &DocKey, from: Seq) -> Result<Vec<(Seq, Vec<u8>)>, StoreReadError> {
        Ok(self.read(key, from, usize::MAX).map_err(|e| failed("the changes", key, &e))?.tail)
    }

    fn first_in_tail(&self, key: &DocKey, from: Seq) -> Result<Option<Seq>, StoreReadError> {
        let first = self.read(key, from, 1).map_err(|e| failed("the changes", key, &e))?;
        Ok(first.tail.first().map(|(seq, _)| *seq))
    }

    fn whole(&self, key: &DocKey) -> Result<Whole, StoreReadError> {
        self.read(key, 0, usize::MAX).map_err(|e| failed("the document", key, &e))
    }
}

fn failed(what: &'static str, key: &DocKey, error: &redb::Error) -> StoreReadError {
    StoreReadError { what, key: key.to_string(), detail: error.to_string() }
}
