//! A look at the columns of a chunk before Automerge unpacks them.
//!
//! Columns are run-length encoded: ten bytes can claim 2^60 equal operations, or a million copies of a
//! long key, and Automerge walks through all of them before it looks at the checksum. The columns of a
//! document chunk may be deflated on top, which packs a thousand bytes into one. This counts what a
//! chunk claims without unpacking more than one column at a time, and never more of it than the limit.
//! Layout: <https://automerge.org/automerge-binary-format-spec/>.
//!
//! **Rejected**: unpacking in a process of its own with a memory limit (a sidecar has no such process);
//! refusing document chunks altogether (a snapshot is a tenth of its changes, and what a slow link needs).

use std::borrow::Cow;
use std::io::Read;

use flate2::bufread::DeflateDecoder;

use super::limits::{MAX_ACTOR_BYTES, MAX_CHUNK_ROWS, MAX_REPEATED_BYTES, MAX_SNAPSHOT_CHANGES, MAX_UNPACKED_BYTES};

/// Low three bits of a column specification.
const KIND_BITS: u64 = 0b111;
const KIND_GROUP: u64 = 0;
const KIND_DELTA: u64 = 3;
const KIND_BOOLEAN: u64 = 4;
const KIND_STRING: u64 = 5;
const KIND_RAW: u64 = 7;
/// The column is compressed; never in a change.
const DEFLATE_BIT: u64 = 0b1000;
/// What is above it names the column; columns of one name belong together.
const NAME_SHIFT: u32 = 4;
const HASH_BYTES: u64 = 32;

/// Why the columns of a chunk are not for Automerge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flaw {
    /// They cannot be read.
    Malformed(&'static str),
    /// They claim more than a limit.
    TooMany { what: &'static str, limit: u64 },
}

const CUT_OFF: Flaw = Flaw::Malformed("cut off inside");
const OUT_OF_RANGE: Flaw = Flaw::Malformed("a number is out of range");
const LONG_ACTOR: Flaw = Flaw::TooMany { what: "bytes of an actor id", limit: MAX_ACTOR_BYTES };
const MANY_ROWS: Flaw = Flaw::TooMany { what: "operations", limit: MAX_CHUNK_ROWS };
const MANY_CHANGES: Flaw = Flaw::TooMany { what: "changes", limit: MAX_SNAPSHOT_CHANGES };
const MUCH_TEXT: Flaw = Flaw::TooMany { what: "bytes of repeated text", limit: MAX_REPEATED_BYTES };
const MUCH_UNPACKED: Flaw = Flaw::TooMany { what: "bytes of columns", limit: MAX_UNPACKED_BYTES };

/// Checks the contents of a change chunk (what follows its header).
pub(super) fn check_change(contents: &[u8]) -> Result<(), Flaw> {
    let mut at = Cursor { rest: contents };
    at.skip_hashes()?;
    at.skip_actor()?;
    at.unsigned()?; // sequence number
    at.unsigned()?; // first operation
    at.signed()?; // time
    at.skip_prefixed()?; // message
    at.skip_actors()?;
    let operations = at.column_table()?;
    if operations.iter().any(|column| column.is_deflated()) {
        return Err(Flaw::Malformed("a compressed column in a change"));
    }
    Claims::default().check_table(&mut at, &operations, MANY_ROWS)
}

/// Checks the contents of a document chunk (what follows its header).
pub(super) fn check_document(contents: &[u8]) -> Result<(), Flaw> {
    let mut at = Cursor { rest: contents };
    at.skip_actors()?;
    at.skip_hashes()?;
    let changes = at.column_table()?;
    let operations = at.column_table()?;
    let mut claims = Claims::default();
    claims.check_table(&mut at, &changes, MANY_CHANGES)?;
    claims.check_table(&mut at, &operations, MANY_ROWS)
}

/// Bytes of all columns of a document chunk when they are unpacked. Of one that is our own: there is no limit.
pub(super) fn unpacked_bytes(contents: &[u8]) -> Result<u64, Flaw> {
    let mut at = Cursor { rest: contents };
    at.skip_actors()?;
    at.skip_hashes()?;
    let tables = [at.column_table()?, at.column_table()?];
    let mut bytes = 0;
    for column in tables.into_iter().flatten() {
        let data = at.take(column.length)?;
        bytes += if column.is_deflated() {
            let unpacked = std::io::copy(&mut DeflateDecoder::new(data), &mut std::io::sink());
            unpacked.map_err(|_| Flaw::Malformed("a compressed column is damaged"))?
        } else {
            column.length
        };
    }
    Ok(bytes)
}

/// One entry of a column table.
#[derive(Debug, Clone, Copy)]
struct Column {
    specification: u64,
    length: u64,
}

impl Column {
    fn kind(self) -> u64 {
        self.specification & KIND_BITS
    }

    fn name(self) -> u64 {
        self.specification >> NAME_SHIFT
    }

    fn is_deflated(self) -> bool {
        self.specification & DEFLATE_BIT != 0
    }
}

/// What the columns of one chunk have claimed so far, in total.
#[derive(Default)]
struct Claims {
    unpacked_bytes: u64,
    repeated_bytes: u64,
}

impl Claims {
    /// Checks the columns of a table, whose data `at` stands before. A column may have as many rows as
    /// `rows` limits, and if it lists things of a group as many as there may be operations.
    fn check_table(&mut self, at: &mut Cursor<'_>, table: &[Column], rows: Flaw) -> Result<(), Flaw> {
        let mut group = None;
        for column in table {
            let data = self.unpack(*column, at.take(column.length)?)?;
            let limit = if group == Some(column.name()) { MANY_ROWS } else { rows };
            if column.kind() == KIND_GROUP {
                group = Some(column.name());
            }
            self.check_column(&mut Cursor { rest: &data }, column.kind(), limit)?;
        }
        Ok(())
    }

    fn unpack<'a>(&mut self, column: Column, data: &'a [u8]) -> Result<Cow<'a, [u8]>, Flaw> {
        let mut unpacked = Cow::Borrowed(data);
        if column.is_deflated() {
            let room = MAX_UNPACKED_BYTES - self.unpacked_bytes;
            let mut inflated = Vec::new();
            // One byte more than fits shows that there is more.
            DeflateDecoder::new(data)
                .take(room + 1)
                .read_to_end(&mut inflated)
                .map_err(|_| Flaw::Malformed("a compressed column is damaged"))?;
            unpacked = Cow::Owned(inflated);
        }
        self.unpacked_bytes += unpacked.len() as u64;
        if self.unpacked_bytes > MAX_UNPACKED_BYTES {
            return Err(MUCH_UNPACKED);
        }
        Ok(unpacked)
    }

    fn check_column(&mut self, column: &mut Cursor<'_>, kind: u64, too_many: Flaw) -> Result<(), Flaw> {
        let Flaw::TooMany { limit, .. } = too_many else { return Err(too_many) };
        let (mut rows, mut grouped): (u64, u64) = (0, 0);
        while kind != KIND_RAW && !column.rest.is_empty() {
            let run = if kind == KIND_BOOLEAN {
                column.unsigned()?
            } else {
                match column.signed()? {
                    // A run of nulls.
                    0 => column.unsigned()?,
                    run @ 1.. => {
                        let run = run.unsigned_abs();
                        let weight = column.value(kind)?.saturating_mul(run);
                        self.weigh(kind, weight, &mut grouped)?;
                        run
                    }
                    literals => {
                        let count = literals.unsigned_abs();
                        // Each takes a byte at least, so this cannot run away.
                        for _ in 0..count {
                            let weight = column.value(kind)?;
                            self.weigh(kind, weight, &mut grouped)?;
                        }
                        count
                    }
                }
            };
            rows = rows.saturating_add(run);
            if rows > limit {
                return Err(too_many);
            }
        }
        Ok(())
    }

    fn weigh(&mut self, kind: u64, weight: u64, grouped: &mut u64) -> Result<(), Flaw> {
        let (total, flaw, limit) = match kind {
            KIND_STRING => (&mut self.repeated_bytes, MUCH_TEXT, MAX_REPEATED_BYTES),
            KIND_GROUP => (grouped, MANY_ROWS, MAX_CHUNK_ROWS),
            _ => return Ok(()),
        };
        *total = total.saturating_add(weight);
        if *total > limit { Err(flaw) } else { Ok(()) }
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], Flaw> {
        let length = usize::try_from(length).map_err(|_| OUT_OF_RANGE)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip_prefixed(&mut self) -> Result<u64, Flaw> {
        let length = self.unsigned()?;
        self.take(length).map(|_| length)
    }

    fn skip_hashes(&mut self) -> Result<(), Flaw> {
        let length = self.unsigned()?.checked_mul(HASH_BYTES).ok_or(OUT_OF_RANGE)?;
        self.take(length).map(|_| ())
    }

    /// Automerge copies the actor into each operation that it expands: a long one is a bomb of its own.
    fn skip_actor(&mut self) -> Result<(), Flaw> {
        if self.skip_prefixed()? > MAX_ACTOR_BYTES { Err(LONG_ACTOR) } else { Ok(()) }
    }

    fn skip_actors(&mut self) -> Result<(), Flaw> {
        (0..self.unsigned()?).try_for_each(|_| self.skip_actor())
    }

    fn column_table(&mut self) -> Result<Vec<Column>, Flaw> {
        let mut table = Vec::new();
        for _ in 0..self.unsigned()? {
            table.push(Column { specification: self.unsigned()?, length: self.unsigned()? });
        }
        Ok(table)
    }

    /// Passes a value and returns what it weighs: a string its bytes, a group its size.
    fn value(&mut self, kind: u64) -> Result<u64, Flaw> {
        match kind {
            KIND_STRING => self.skip_prefixed(),
            KIND_DELTA => self.signed().map(|_| 0),
            _ => self.unsigned(),
        }
    }

    fn groups(&mut self) -> Result<(u64, u32), Flaw> {
        let (mut value, mut shift) = (0u64, 0u32);
        loop {
            let (&byte, rest) = self.rest.split_first().ok_or(CUT_OFF)?;
            self.rest = rest;
            if shift >= 64 {
                return Err(OUT_OF_RANGE);
            }
            value |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            if byte & 0x80 == 0 {
                // The sign of a signed number is its highest bit.
                return Ok((value, shift));
            }
        }
    }

    fn unsigned(&mut self) -> Result<u64, Flaw> {
        self.groups().map(|(value, _)| value)
    }

    fn signed(&mut self) -> Result<i64, Flaw> {
        let (value, shift) = self.groups()?;
        let unused = 64u32.saturating_sub(shift);
        // Shifting up and down again copies the sign bit into the unused ones.
        Ok(((value << unused) as i64) >> unused)
    }
}
