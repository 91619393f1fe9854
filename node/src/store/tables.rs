//! Tables and rows.

use std::collections::BTreeMap;
use std::ops::Bound;

use iroh::SecretKey;
use redb::{Database, ReadableDatabase, ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Deserialize, Serialize};

use super::receipts;
use super::row::{self, Row};
use crate::core::batch::{Batch, DocRows, Horizon, PeerId, Stored};
use crate::core::key::DocKey;
use crate::core::wire::Seen;
use crate::core::wire::members::Record;

/// Version of the layout.
pub(super) const FORMAT: u32 = 3;

pub(super) const INFO: TableDefinition<&str, &[u8]> = TableDefinition::new("info");
pub(super) const META: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("meta");
pub(super) const SNAPSHOTS: TableDefinition<(&str, &str), &[u8]> = TableDefinition::new("snapshots");
pub(super) const TAIL: TableDefinition<(&str, &str, u64), &[u8]> = TableDefinition::new("tail");
const SEEN: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("seen");
/// Younger than the format: absent from a store until the first row is written.
const MEMBERS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("members");
const PEERS: TableDefinition<[u8; 32], &[u8]> = TableDefinition::new("peers");

/// What the operator wants of a peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Intent {
    /// Dial it, and again whenever it is lost.
    Wanted {
        /// Where it may be found.
        addresses: Vec<String>,
    },
    /// Refuse it.
    Unwanted,
}

/// What is kept of a member of the formation, so that a node that restarts where discovery is out of reach finds its
/// neighbours. Nothing is lost with a row but time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberRow {
    /// What it said of itself.
    pub record: Option<Record>,
    /// The record's age when this was written.
    pub age_s: u32,
    /// Where there was a session with it.
    pub addresses: Vec<String>,
    /// The way of discovery that found it, if one other than gossip did.
    pub source: Option<u8>,
    /// There was a session with it when this was written.
    pub neighbour: bool,
    /// Seconds since there was one.
    pub seen_s: u32,
}

/// Creates the tables and, in a new store, the rows that every store has. Returns whether it was new.
pub(super) fn prepare(db: &Database, identity: &SecretKey, epoch: &[u8; 16]) -> Result<bool, redb::Error> {
    // A store that exists is not written to, so that opening costs no sync.
    let known = db.begin_read()?.list_tables()?.count() > 0;
    if known {
        return Ok(false);
    }
    let txn = db.begin_write()?;
    {
        let mut info = txn.open_table(INFO)?;
        info.insert("format", &FORMAT.to_le_bytes()[..])?;
        info.insert("epoch", &epoch[..])?;
        info.insert("identity", &identity.to_bytes()[..])?;
        info.insert("last", &0u64.to_le_bytes()[..])?;
        txn.open_table(META)?;
        txn.open_table(SNAPSHOTS)?;
        txn.open_table(TAIL)?;
        txn.open_table(SEEN)?;
        txn.open_table(PEERS)?;
    }
    txn.commit()?;
    Ok(true)
}

pub(super) fn info(db: &Database, name: &str) -> Result<Option<Vec<u8>>, redb::Error> {
    let table = db.begin_read()?.open_table(INFO)?;
    Ok(table.get(name)?.map(|value| value.value().to_vec()))
}

pub(super) fn set_info(db: &Database, name: &str, value: &[u8]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(INFO)?.insert(name, value)?;
    Ok(txn.commit()?)
}

/// Brings a store of an earlier format to the one known, step by step. Each step is a transaction of its own that writes the new number
/// with the new rows, so that a power cut leaves one format or the other. `None`: it is of a format that is not known.
pub(super) fn migrate(db: &Database, found: u32) -> Result<Option<()>, redb::Error> {
    match found {
        FORMAT => Ok(Some(())),
        2 => from_format_2(db).map(Some),
        // 1 was never released.
        _ => Ok(None),
    }
}

/// The rows of table `meta` are shorter, and may have the content with them; it is left where it is.
fn from_format_2(db: &Database) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut metas = txn.open_table(META)?;
        let mut after: Option<(String, String)> = None;
        loop {
            let from = after.as_ref().map_or(Bound::Unbounded, |(c, id)| Bound::Excluded((c.as_str(), id.as_str())));
            let next = {
                let mut rest = metas.range::<(&str, &str)>((from, Bound::Unbounded))?;
                let Some(found) = rest.next() else { break };
                let (key, value) = found?;
                let row = row::encode_row(&row::decode_format_2(value.value())?, None);
                ((key.value().0.to_owned(), key.value().1.to_owned()), row)
            };
            let (place, row) = next;
            metas.insert((place.0.as_str(), place.1.as_str()), &row[..])?;
            after = Some(place);
        }
        txn.open_table(INFO)?.insert("format", &3u32.to_le_bytes()[..])?;
    }
    Ok(txn.commit()?)
}

/// The last change number in use.
pub(super) fn last(txn: &redb::ReadTransaction) -> Result<u64, redb::Error> {
    let last = txn.open_table(INFO)?.get("last")?.and_then(|value| value.value().try_into().ok());
    last.map(u64::from_le_bytes).ok_or_else(|| damaged("info", "last"))
}

/// Writes the last change number as it is, durably, and returns it.
pub(super) fn rewrite_last(db: &Database) -> Result<u64, redb::Error> {
    let txn = db.begin_write()?;
    let last = {
        let mut info = txn.open_table(INFO)?;
        let last = info.get("last")?.and_then(|value| value.value().try_into().ok());
        let last: [u8; 8] = last.ok_or_else(|| damaged("info", "last"))?;
        info.insert("last", &last[..])?;
        u64::from_le_bytes(last)
    };
    txn.commit()?;
    Ok(last)
}

/// What tombstones that were forgotten leave behind: two numbers, if there were any.
fn horizon(txn: &redb::ReadTransaction) -> Result<Horizon, redb::Error> {
    let info = txn.open_table(INFO)?;
    let Some(row) = info.get("forgotten")? else { return Ok(Horizon::default()) };
    let row: [u8; 16] = row.value().try_into().map_err(|_| damaged("info", "forgotten"))?;
    let [incarnation, through] = [0, 8].map(|at| u64::from_le_bytes(*row[at..].first_chunk().expect("16 bytes")));
    Ok(Horizon { incarnation, through })
}

pub(super) fn stored(db: &Database, epoch: [u8; 16], identity: PeerId) -> Result<Stored, redb::Error> {
    let txn = db.begin_read()?;
    let horizon = horizon(&txn)?;
    let mut stored = Stored { epoch, identity, last: last(&txn)?, horizon, ..Stored::default() };
    for row in txn.open_table(META)?.iter()? {
        let (key, value) = row?;
        let (collection, id) = key.value();
        let key = DocKey::new(collection, id).map_err(|e| damaged("meta", &e.to_string()))?;
        stored.docs.push((key, Row::decode(value.value())?.meta));
    }
    stored.seen = seen(&txn)?;
    stored.receipts = receipts::read(&txn)?;
    Ok(stored)
}

/// Watermarks of peers.
pub(super) fn seen(txn: &redb::ReadTransaction) -> Result<BTreeMap<PeerId, Seen>, redb::Error> {
    let table = txn.open_table(SEEN)?;
    table
        .iter()?
        .map(|row| {
            let (peer, value) = row?;
            Ok((peer.value(), decode("seen", value.value())?))
        })
        .collect()
}

pub(super) fn intents(db: &Database) -> Result<Vec<(PeerId, Intent)>, redb::Error> {
    let table = db.begin_read()?.open_table(PEERS)?;
    table
        .iter()?
        .map(|row| {
            let (peer, value) = row?;
            Ok((peer.value(), decode("peers", value.value())?))
        })
        .collect()
}

pub(super) fn set_intent(db: &Database, peer: &PeerId, intent: &Intent) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    txn.open_table(PEERS)?.insert(*peer, &encode(intent)[..])?;
    Ok(txn.commit()?)
}

pub(super) fn members(db: &Database) -> Result<Vec<(PeerId, MemberRow)>, redb::Error> {
    let table = match db.begin_read()?.open_table(MEMBERS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(vec![]),
        table => table?,
    };
    let mut rows = vec![];
    for row in table.iter()? {
        let (peer, value) = row?;
        // What cannot be read is learned anew.
        if let Ok(row) = decode("members", value.value()) {
            rows.push((peer.value(), row));
        }
    }
    Ok(rows)
}

/// Writes rows of members, or removes them.
pub(super) fn set_members(db: &Database, rows: &[(PeerId, Option<MemberRow>)]) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut table = txn.open_table(MEMBERS)?;
        for (peer, row) in rows {
            match row {
                Some(row) => table.insert(*peer, &encode(row)[..])?,
                None => table.remove(*peer)?,
            };
        }
    }
    Ok(txn.commit()?)
}

/// Writes a batch durably. Tables that nothing is written to are not opened: each costs a page.
pub(super) fn commit(db: &Database, batch: &Batch) -> Result<(), redb::Error> {
    let txn = db.begin_write()?;
    {
        let mut metas = txn.open_table(META)?;
        let mut pieces = Pieces { txn: &txn, snapshots: None, tail: None };
        if let Some(Horizon { incarnation, through }) = batch.horizon {
            let row = [incarnation.to_le_bytes(), through.to_le_bytes()];
            txn.open_table(INFO)?.insert("forgotten", row.as_flattened())?;
        }
        for key in &batch.forgotten {
            let (collection, id) = (key.collection(), key.id());
            metas.remove((collection, id))?;
            pieces.snapshots()?.remove((collection, id))?;
            pieces.tail()?.retain_in((collection, id, 0)..=(collection, id, u64::MAX), |_, _| false)?;
        }
        for (key, rows) in &batch.docs {
            let content = row::content_of(rows);
            let row = row::encode_row(&rows.meta, content);
            let before = metas.insert((key.collection(), key.id()), &row[..])?;
            let before = before.as_ref().map(|before| Row::decode(before.value())).transpose()?;
            pieces.write(key, rows, content.is_some(), before)?;
        }
        if !batch.seen.is_empty() {
            let mut seen = txn.open_table(SEEN)?;
            for (peer, value) in &batch.seen {
                match value {
                    Some(value) => seen.insert(*peer, &encode(value)[..])?,
                    None => seen.remove(*peer)?,
                };
            }
        }
        if !batch.receipts.is_empty() {
            receipts::write(&txn, &batch.receipts)?;
        }
        txn.open_table(INFO)?.insert("last", &batch.last.to_le_bytes()[..])?;
    }
    Ok(txn.commit()?)
}

type Snapshots<'a> = Table<'a, (&'static str, &'static str), &'static [u8]>;
type Tail<'a> = Table<'a, (&'static str, &'static str, u64), &'static [u8]>;

/// The tables of what is not in the meta rows, opened when they are needed.
struct Pieces<'a> {
    txn: &'a WriteTransaction,
    snapshots: Option<Snapshots<'a>>,
    tail: Option<Tail<'a>>,
}

impl<'a> Pieces<'a> {
    fn snapshots(&mut self) -> Result<&mut Snapshots<'a>, redb::Error> {
        if self.snapshots.is_none() {
            self.snapshots = Some(self.txn.open_table(SNAPSHOTS)?);
        }
        Ok(self.snapshots.as_mut().expect("it was just opened"))
    }

    fn tail(&mut self) -> Result<&mut Tail<'a>, redb::Error> {
        if self.tail.is_none() {
            self.tail = Some(self.txn.open_table(TAIL)?);
        }
        Ok(self.tail.as_mut().expect("it was just opened"))
    }

    /// Writes what is not `in_row`, and brings what was there `before` to where it belongs now.
    fn write(
        &mut self,
        key: &DocKey,
        rows: &DocRows,
        in_row: bool,
        before: Option<Row<'_>>,
    ) -> Result<(), redb::Error> {
        let (collection, id) = (key.collection(), key.id());
        let had_content = before.as_ref().is_some_and(|before| before.content.is_some());
        match &rows.snapshot {
            Some(snapshot) => {
                let before = before.filter(|_| !had_content);
                if !in_row {
                    self.snapshots()?.insert((collection, id), &snapshot[..])?;
                } else if before.as_ref().is_some_and(|before| before.meta.folded > 0) {
                    self.snapshots()?.remove((collection, id))?;
                }
                if before.is_some_and(|before| before.meta.tail_bytes > 0) {
                    let folded = (collection, id, 0)..=(collection, id, rows.meta.folded);
                    self.tail()?.retain_in(folded, |_, _| false)?;
                }
            }
            // What was in the row is no longer all of the document.
            None => match before.as_ref().map(|before| (before.snapshot(), before.change())) {
                Some((Some(snapshot), _)) => {
                    self.snapshots()?.insert((collection, id), snapshot)?;
                }
                Some((None, Some((seq, change)))) => {
                    self.tail()?.insert((collection, id, seq), change)?;
                }
                _ => {}
            },
        }
        if !in_row {
            for (seq, changes) in &rows.tail {
                self.tail()?.insert((collection, id, *seq), &changes[..])?;
            }
        }
        Ok(())
    }
}

pub(super) fn encode(value: &impl Serialize) -> Vec<u8> {
    postcard::to_stdvec(value).expect("rows have no unserialisable types")
}

pub(super) fn decode<'a, T: Deserialize<'a>>(table: &str, bytes: &'a [u8]) -> Result<T, redb::Error> {
    postcard::from_bytes(bytes).map_err(|e| damaged(table, &e.to_string()))
}

pub(super) fn damaged(table: &str, detail: &str) -> redb::Error {
    redb::Error::Corrupted(format!("row of table {table}: {detail}"))
}
