//! A copy of a store's documents while a node runs on it: every row as of one moment, in chunks, and a store made of them.
//!
//! The node's private key is not among the rows, since whoever may read documents may not become the node. A store made of them has an
//! identity of its own, and an epoch of its own, since its change numbers go on independently.

use std::ops::Bound::{Excluded, Unbounded};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable};
use serde::{Deserialize, Serialize};

use super::handle::Handle;
use super::tables::{self, FORMAT, META, SNAPSHOTS, TAIL};
use super::{Store, StoreError};
use crate::limits;

/// A row, or what stands around the rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
enum Row {
    /// Begins a backup: the store's format, and the last change number in use.
    Begin { format: u32, last: u64 },
    /// Of table `meta`.
    Meta(String, String, #[serde(with = "serde_bytes")] Vec<u8>),
    /// Of table `snapshots`.
    Snapshot(String, String, #[serde(with = "serde_bytes")] Vec<u8>),
    /// Of table `tail`.
    Change(String, String, u64, #[serde(with = "serde_bytes")] Vec<u8>),
    /// Ends a backup; without it there is one that was cut short.
    End { rows: u64 },
}

/// Why a backup cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// One at a time: each keeps pages from being used again.
    #[error("another backup is being made; try again when it is done")]
    Busy,
    /// The reader was too slow.
    #[error("the backup was not taken within {:?}", limits::BACKUP_TIME)]
    Late,
    /// The store was opened anew meanwhile.
    #[error("the store failed while the backup was made; make another")]
    Interrupted,
    /// A row.
    #[error("the store cannot be read: {0}")]
    Store(String),
}

impl From<redb::Error> for BackupError {
    fn from(error: redb::Error) -> Self {
        Self::Store(error.to_string())
    }
}

/// Makes backups of a store.
pub(crate) struct Backups {
    handle: Arc<Handle>,
    busy: Arc<AtomicBool>,
}

/// A backup that is being made. Dropping it ends it.
pub(crate) struct Backup {
    handle: Arc<Handle>,
    generation: u64,
    /// Also held by whoever ends it when it takes too long.
    snapshot: Arc<Snapshot>,
    next: Next,
    rows: u64,
}

/// The moment that is copied; `None`: it took too long.
pub(crate) struct Snapshot {
    txn: Mutex<Option<ReadTransaction>>,
    busy: Arc<AtomicBool>,
}

enum Next {
    Begin,
    Meta(Option<(String, String)>),
    Snapshots(Option<(String, String)>),
    Tail(Option<(String, String, u64)>),
    Done,
}

impl Backups {
    pub(super) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, busy: Arc::default() }
    }

    /// Begins a backup of this moment.
    pub(crate) fn begin(&self) -> Result<Backup, BackupError> {
        if self.busy.swap(true, Ordering::AcqRel) {
            return Err(BackupError::Busy);
        }
        let generation = self.handle.generation();
        let txn = self.handle.read(|db: &Database| Ok(db.begin_read()?)).inspect_err(|_| {
            self.busy.store(false, Ordering::Release);
        })?;
        let snapshot = Arc::new(Snapshot { txn: Mutex::new(Some(txn)), busy: Arc::clone(&self.busy) });
        Ok(Backup { handle: Arc::clone(&self.handle), generation, snapshot, next: Next::Begin, rows: 0 })
    }
}

impl Snapshot {
    /// Lets go of the moment, however far the copy has come.
    pub(crate) fn end(&self) {
        if self.txn.lock().unwrap_or_else(PoisonError::into_inner).take().is_some() {
            self.busy.store(false, Ordering::Release);
        }
    }
}

impl Drop for Backup {
    fn drop(&mut self) {
        self.snapshot.end();
    }
}

impl Backup {
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshot)
    }

    /// The next chunk; `None` after the last.
    pub(crate) fn chunk(&mut self) -> Result<Option<Vec<u8>>, BackupError> {
        let mut chunk = Chunk::default();
        let snapshot = Arc::clone(&self.snapshot);
        let guard = snapshot.txn.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(self.next, Next::Done) {
            return Ok(None);
        }
        let txn = guard.as_ref().ok_or(BackupError::Late)?;
        if self.handle.generation() != self.generation {
            return Err(BackupError::Interrupted);
        }
        let read = super::handle::guarded(|| self.read(txn, &mut chunk)).flatten();
        // Only what was read while nothing had changed is true.
        if self.handle.generation() != self.generation {
            return Err(BackupError::Interrupted);
        }
        read?;
        Ok(Some(postcard::to_stdvec(&chunk.rows).expect("rows have no unserialisable types")))
    }

    fn read(&mut self, txn: &ReadTransaction, chunk: &mut Chunk) -> Result<(), redb::Error> {
        while !chunk.is_full() {
            match &mut self.next {
                Next::Begin => {
                    chunk.push(Row::Begin { format: FORMAT, last: tables::last(txn)? }, 0);
                    self.next = Next::Meta(None);
                }
                Next::Meta(after) => {
                    if chunk.fill_by_document(&txn.open_table(META)?, after, Row::Meta)? {
                        self.next = Next::Snapshots(None);
                    }
                }
                Next::Snapshots(after) => {
                    if chunk.fill_by_document(&txn.open_table(SNAPSHOTS)?, after, Row::Snapshot)? {
                        self.next = Next::Tail(None);
                    }
                }
                Next::Tail(after) => {
                    if chunk.fill_by_change(&txn.open_table(TAIL)?, after)? {
                        chunk.push(Row::End { rows: self.rows + chunk.rows.len() as u64 }, 0);
                        self.next = Next::Done;
                    }
                }
                Next::Done => break,
            }
        }
        self.rows += chunk.rows.len() as u64;
        Ok(())
    }
}

/// Rows that go into one message.
#[derive(Default)]
struct Chunk {
    rows: Vec<Row>,
    bytes: usize,
}

impl Chunk {
    fn is_full(&self) -> bool {
        self.bytes >= limits::BACKUP_CHUNK_BYTES
    }

    fn push(&mut self, row: Row, value_bytes: usize) {
        /// A key and what stands around it, roughly.
        const ROW_BYTES: usize = 64;
        self.rows.push(row);
        self.bytes += ROW_BYTES + value_bytes;
    }

    /// Rows of a table with one for each document, from the one after `after`, which is moved; returns whether that was all.
    fn fill_by_document(
        &mut self,
        table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
        after: &mut Option<(String, String)>,
        row: fn(String, String, Vec<u8>) -> Row,
    ) -> Result<bool, redb::Error> {
        let from = after.as_ref().map_or(Unbounded, |(c, id)| Excluded((c.as_str(), id.as_str())));
        let mut rest = table.range::<(&str, &str)>((from, Unbounded))?;
        while !self.is_full() {
            let Some(found) = rest.next() else { return Ok(true) };
            let (key, value) = found?;
            let (collection, id) = (key.value().0.to_owned(), key.value().1.to_owned());
            self.push(row(collection.clone(), id.clone(), value.value().to_vec()), value.value().len());
            *after = Some((collection, id));
        }
        Ok(false)
    }

    /// The same for the table with a row for each change.
    fn fill_by_change(
        &mut self,
        table: &impl ReadableTable<(&'static str, &'static str, u64), &'static [u8]>,
        after: &mut Option<(String, String, u64)>,
    ) -> Result<bool, redb::Error> {
        let from = after.as_ref().map_or(Unbounded, |(c, id, seq)| Excluded((c.as_str(), id.as_str(), *seq)));
        let mut rest = table.range::<(&str, &str, u64)>((from, Unbounded))?;
        while !self.is_full() {
            let Some(found) = rest.next() else { return Ok(true) };
            let (key, value) = found?;
            let (collection, id, seq) = key.value();
            let (collection, id) = (collection.to_owned(), id.to_owned());
            let row = Row::Change(collection.clone(), id.clone(), seq, value.value().to_vec());
            self.push(row, value.value().len());
            *after = Some((collection, id, seq));
        }
        Ok(false)
    }
}

/// Makes a store of chunks.
pub struct Restorer<'a> {
    store: &'a Store,
    rows: u64,
    state: State,
}

#[derive(PartialEq)]
enum State {
    Fresh,
    Begun,
    Ended,
}

impl<'a> Restorer<'a> {
    /// Into a store that is new.
    pub fn new(store: &'a Store) -> Self {
        Self { store, rows: 0, state: State::Fresh }
    }

    /// Takes a chunk and makes it durable.
    pub fn take(&mut self, chunk: &[u8]) -> Result<(), StoreError> {
        let bad = |what: &str| StoreError::at(&self.store.at, "made of a backup", &what);
        let rows: Vec<Row> =
            postcard::from_bytes(chunk).map_err(|e| bad(&format!("a chunk is no part of one: {e}")))?;
        for row in &rows {
            match row {
                Row::Begin { format, .. } if *format != FORMAT => {
                    return Err(StoreError::Format { at: "the other end".into(), found: *format, known: FORMAT });
                }
                Row::Begin { .. } if self.state == State::Fresh => self.state = State::Begun,
                Row::End { rows } if self.state == State::Begun && *rows == self.rows => self.state = State::Ended,
                Row::Begin { .. } | Row::End { .. } => return Err(bad("chunks are missing")),
                _ if self.state != State::Begun => return Err(bad("chunks are missing")),
                _ => {}
            }
            self.rows += 1;
        }
        let written = self.store.handle.write(|db| write(db, &rows));
        written.map_err(|e| StoreError::at(&self.store.at, "written", &e))
    }

    /// All of it has come.
    pub fn finish(self) -> Result<(), StoreError> {
        if self.state == State::Ended {
            return Ok(());
        }
        Err(StoreError::at(&self.store.at, "made of a backup", &"the backup was cut short"))
    }
}

fn write(db: &Database, rows: &[Row]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let (mut meta, mut snapshots) = (txn.open_table(META)?, txn.open_table(SNAPSHOTS)?);
        let mut tail = txn.open_table(TAIL)?;
        for row in rows {
            match row {
                Row::Begin { last, .. } => {
                    txn.open_table(tables::INFO)?.insert("last", &last.to_le_bytes()[..])?;
                }
                Row::Meta(collection, id, value) => {
                    meta.insert((collection.as_str(), id.as_str()), &value[..])?;
                }
                Row::Snapshot(collection, id, value) => {
                    snapshots.insert((collection.as_str(), id.as_str()), &value[..])?;
                }
                Row::Change(collection, id, seq, value) => {
                    tail.insert((collection.as_str(), id.as_str(), *seq), &value[..])?;
                }
                Row::End { .. } => {}
            }
        }
    }
    Ok(txn.commit()?)
}
