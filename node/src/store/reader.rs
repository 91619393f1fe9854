//! Reads durable documents for the core.

use std::sync::Arc;

use redb::ReadableDatabase;

use super::handle::Handle;
use super::tables::{SNAPSHOTS, TAIL};
use crate::core::batch::{DocumentStore, StoreReadError};
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

    fn read_snapshot(&self, key: &DocKey) -> Result<Option<Vec<u8>>, redb::Error> {
        self.handle.read(|db| {
            let table = db.begin_read()?.open_table(SNAPSHOTS)?;
            Ok(table.get((key.collection(), key.id()))?.map(|value| value.value().to_vec()))
        })
    }

    fn read_tail(&self, key: &DocKey, from: Seq, most: usize) -> Result<Vec<(Seq, Vec<u8>)>, redb::Error> {
        let (collection, id) = (key.collection(), key.id());
        self.handle.read(|db| {
            let table = db.begin_read()?.open_table(TAIL)?;
            table
                .range((collection, id, from)..=(collection, id, Seq::MAX))?
                .take(most)
                .map(|row| {
                    let (key, value) = row?;
                    Ok((key.value().2, value.value().to_vec()))
                })
                .collect()
        })
    }
}

impl DocumentStore for StoreReader {
    fn snapshot(&self, key: &DocKey) -> Result<Option<Vec<u8>>, StoreReadError> {
        self.read_snapshot(key).map_err(|e| failed("the snapshot", key, &e))
    }

    fn tail(&self, key: &DocKey, from: Seq) -> Result<Vec<(Seq, Vec<u8>)>, StoreReadError> {
        self.read_tail(key, from, usize::MAX).map_err(|e| failed("the changes", key, &e))
    }

    fn first_in_tail(&self, key: &DocKey, from: Seq) -> Result<Option<Seq>, StoreReadError> {
        let first = self.read_tail(key, from, 1).map_err(|e| failed("the changes", key, &e))?;
        Ok(first.first().map(|(seq, _)| *seq))
    }
}

fn failed(what: &'static str, key: &DocKey, error: &redb::Error) -> StoreReadError {
    StoreReadError { what, key: key.to_string(), detail: error.to_string() }
}
