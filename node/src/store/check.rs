//! Looks whether a store is whole: `peat-node check`.

use std::collections::BTreeSet;

use automerge::ActorId;
use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata};
use serde::Serialize;

use super::handle::Handle;
use super::row::Row;
use super::tables::{self, META, SNAPSHOTS, TAIL};
use super::{Store, StoreError, receipts};
use crate::core::document::Document;
use crate::core::index::Meta;
use crate::core::key::DocKey;
use crate::core::wire::Seq;
use crate::limits;

/// What a check found.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Checked {
    /// Documents that are not deleted.
    pub documents: u64,
    /// Documents that are.
    pub tombstones: u64,
    /// Change rows that are not folded.
    pub change_rows: u64,
    /// Bytes of snapshots and change rows.
    pub bytes: u64,
    /// Last change number in use.
    pub last_change: u64,
    /// What is wrong, the first [`limits::MAX_CHECK_PROBLEMS`].
    pub problems: Vec<Problem>,
    /// How much is wrong.
    pub problem_count: u64,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Table, and row if there is one.
    pub place: String,
    /// What.
    pub problem: String,
}

impl Checked {
    /// Nothing is wrong.
    pub fn is_sound(&self) -> bool {
        self.problem_count == 0
    }

    fn add(&mut self, place: impl ToString, problem: impl ToString) {
        self.problem_count += 1;
        if self.problems.len() < limits::MAX_CHECK_PROBLEMS {
            self.problems.push(Problem { place: place.to_string(), problem: problem.to_string() });
        }
    }
}

impl Store {
    /// Verifies every page, every row, and that every document loads and is what the index says. Nothing else may use the store
    /// meanwhile. Memory is bounded by the largest document and 200 bytes for each. What it finds is in the result; an
    /// error is a store that cannot be looked at.
    pub fn check(&self) -> Result<Checked, StoreError> {
        let mut checked = Checked::default();
        match self.handle.alone(Database::check_integrity) {
            None => {}
            Some(Ok(true)) => {}
            Some(Ok(false)) => checked.add("database", "pages or their bookkeeping were damaged; redb has a repair"),
            Some(Err(error)) => checked.add("database", error),
        }
        check_rows(&self.handle, &mut checked).map_err(|e| StoreError::at(&self.at, "read", &e))?;
        Ok(checked)
    }
}

fn check_rows(handle: &Handle, checked: &mut Checked) -> Result<(), redb::Error> {
    handle.read(|db| {
        let txn = db.begin_read()?;
        let (snapshots, tail) = (txn.open_table(SNAPSHOTS)?, txn.open_table(TAIL)?);
        let last = txn.open_table(tables::INFO)?.get("last")?.and_then(|value| value.value().try_into().ok());
        match last.map(u64::from_le_bytes) {
            Some(last) => checked.last_change = last,
            None => checked.add("info", "last is missing or no number"),
        }
        let mut known = BTreeSet::new();
        let (mut snapshots_seen, mut numbers) = (0, BTreeSet::new());
        for row in txn.open_table(META)?.iter()? {
            let (key, value) = match row {
                Ok(row) => row,
                Err(error) => {
                    checked.add("meta", error);
                    break;
                }
            };
            let (collection, id) = key.value();
            let place = format!("{collection}/{id}");
            if let Err(error) = DocKey::new(collection, id) {
                checked.add(&place, error);
            }
            known.insert((collection.to_owned(), id.to_owned()));
            let row = match Row::decode(value.value()) {
                Ok(row) => row,
                Err(error) => {
                    checked.add(place, format!("its meta row cannot be read: {error}"));
                    continue;
                }
            };
            let meta = &row.meta;
            if meta.seq > checked.last_change {
                let problem = format!("change {} is above the last one, {}", meta.seq, checked.last_change);
                checked.add(&place, problem);
            }
            if !numbers.insert(meta.seq) {
                checked.add(&place, format!("change {} is another document's too", meta.seq));
            }
            let snapshot = match snapshots.get((collection, id)) {
                Ok(snapshot) => snapshot.map(|value| value.value().to_vec()),
                Err(error) => {
                    checked.add(place, format!("its snapshot cannot be read: {error}"));
                    continue;
                }
            };
            snapshots_seen += u64::from(snapshot.is_some());
            let has_rows = |what: &str| format!("its {what} is in its meta row and in one of its own");
            if snapshot.is_some() && row.snapshot().is_some() {
                checked.add(&place, has_rows("snapshot"));
            }
            let snapshot = snapshot.or_else(|| row.snapshot().map(<[u8]>::to_vec));
            let mut rows: Result<Vec<(Seq, Vec<u8>)>, redb::Error> = tail
                .range((collection, id, 0)..=(collection, id, Seq::MAX))?
                .map(|row| row.map(|(key, value)| (key.value().2, value.value().to_vec())).map_err(Into::into))
                .collect();
            if let (Some((seq, change)), Ok(rows)) = (row.change(), &mut rows) {
                if !rows.is_empty() {
                    checked.add(&place, has_rows("change"));
                }
                rows.insert(0, (seq, change.to_vec()));
            }
            match rows {
                Ok(rows) => check_document(&place, meta, snapshot.as_deref(), &rows, checked),
                Err(error) => checked.add(place, format!("its changes cannot be read: {error}")),
            }
        }
        if snapshots.len()? != snapshots_seen {
            checked.add("snapshots", format!("{} rows, {snapshots_seen} of known documents", snapshots.len()?));
        }
        for row in tail.iter()? {
            match row {
                Ok((key, _)) => {
                    let (collection, id, seq) = key.value();
                    if !known.contains(&(collection.to_owned(), id.to_owned())) {
                        checked.add("tail", format!("change {seq} of {collection}/{id}, which is not known"));
                    }
                }
                Err(error) => {
                    checked.add("tail", error);
                    break;
                }
            }
        }
        for (table, read) in [("peers", tables::intents(db).map(drop)), ("members", tables::members(db).map(drop))] {
            if let Err(error) = read {
                checked.add(table, error);
            }
        }
        if let Err(error) = tables::seen(&txn) {
            checked.add("seen", error);
        }
        if let Err(error) = receipts::read(&txn) {
            checked.add("receipts", error);
        }
        Ok(())
    })
}

fn check_document(place: &str, meta: &Meta, snapshot: Option<&[u8]>, rows: &[(Seq, Vec<u8>)], checked: &mut Checked) {
    *if meta.deleted { &mut checked.tombstones } else { &mut checked.documents } += 1;
    let (snapshot_bytes, tail_bytes) =
        (snapshot.map_or(0, <[u8]>::len) as u64, rows.iter().map(|(_, changes)| changes.len() as u64).sum::<u64>());
    checked.change_rows += rows.len() as u64;
    checked.bytes += snapshot_bytes + tail_bytes;
    let mut expect = |holds: bool, problem: &str| {
        if !holds {
            checked.add(place, problem);
        }
    };
    expect(snapshot.is_some() == (meta.folded > 0), "its snapshot is missing, or the index does not know of it");
    expect(snapshot_bytes == meta.snapshot_bytes, "the size of its snapshot is not what the index says");
    expect(tail_bytes == meta.tail_bytes, "the size of its changes is not what the index says");
    let first = rows.first().map_or(Seq::MAX, |(seq, _)| *seq);
    expect(first > meta.folded, "changes were left that are folded");
    let newest = rows.last().map_or(meta.folded, |(seq, _)| *seq);
    expect(newest == meta.seq, "its newest change is not the one that the index names");
    let actor = ActorId::from([0; 12].as_slice());
    let document = match Document::load(actor, snapshot, rows.iter().map(|(_, changes)| &changes[..])) {
        Ok(document) => document,
        Err(error) => return expect(false, &error.to_string()),
    };
    expect(document.heads() == meta.heads, "its heads are not what the index says");
    expect(document.is_deleted() == meta.deleted, "the index errs on whether it is deleted");
    let heads = meta.checkpoints.iter().flat_map(|point| &point.heads);
    expect(heads.into_iter().all(|head| document.knows(head)), "a checkpoint is not in its history");
    expect(
        meta.checkpoints.windows(2).all(|pair| pair[0].seq < pair[1].seq)
            && meta.checkpoints.last().is_none_or(|point| point.seq <= meta.folded),
        "its checkpoints are not in order",
    );
}
