//! A look at the columns of a change before Automerge unpacks them.
//!
//! Columns are run-length encoded: ten bytes can claim 2^60 equal operations, and Automerge walks
//! through all of them before it looks at the checksum. This counts what a change claims without
//! unpacking anything. Layout: <https://automerge.org/automerge-binary-format-spec/>.

use super::limits::MAX_CHANGE_ROWS;

/// Low three bits of a column specification.
const KIND_BITS: u64 = 0b111;
const KIND_DELTA: u64 = 3;
const KIND_BOOLEAN: u64 = 4;
const KIND_STRING: u64 = 5;
const KIND_RAW: u64 = 7;
/// The column is compressed; never in a change.
const DEFLATE_BIT: u64 = 0b1000;
const HASH_BYTES: u64 = 32;

/// Checks that no column of the change with these contents (the chunk after its header) claims more
/// than [`MAX_CHANGE_ROWS`] rows.
pub(super) fn check_rows(contents: &[u8]) -> Result<(), &'static str> {
    let mut at = Cursor { rest: contents };
    let dependencies = at.unsigned()?;
    at.skip(dependencies.checked_mul(HASH_BYTES).ok_or(OUT_OF_RANGE)?)?;
    at.skip_prefixed()?; // actor
    at.unsigned()?; // sequence number
    at.unsigned()?; // first operation
    at.signed()?; // time
    at.skip_prefixed()?; // message
    for _ in 0..at.unsigned()? {
        at.skip_prefixed()?; // other actors
    }
    let columns = at.unsigned()?;
    let mut table = Vec::new();
    for _ in 0..columns {
        table.push((at.unsigned()?, at.unsigned()?));
    }
    for (specification, length) in table {
        let mut column = Cursor {
            rest: at.take(length)?,
        };
        if specification & DEFLATE_BIT != 0 {
            return Err("a compressed column in a change");
        }
        check_column(&mut column, specification & KIND_BITS)?;
    }
    Ok(())
}

const CUT_OFF: &str = "cut off inside";
const OUT_OF_RANGE: &str = "a number is out of range";
const TOO_MANY: &str = "too many operations in one change";

fn check_column(column: &mut Cursor<'_>, kind: u64) -> Result<(), &'static str> {
    let mut rows: u64 = 0;
    while kind != KIND_RAW && !column.rest.is_empty() {
        let run = if kind == KIND_BOOLEAN {
            column.unsigned()?
        } else {
            match column.signed()? {
                // A run of nulls.
                0 => column.unsigned()?,
                run @ 1.. => {
                    column.skip_value(kind)?;
                    run.unsigned_abs()
                }
                literals => {
                    let count = literals.unsigned_abs();
                    // Each takes a byte at least, so this cannot run away.
                    for _ in 0..count {
                        column.skip_value(kind)?;
                    }
                    count
                }
            }
        };
        rows = rows.saturating_add(run);
        if rows > MAX_CHANGE_ROWS {
            return Err(TOO_MANY);
        }
    }
    Ok(())
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn take(&mut self, length: u64) -> Result<&'a [u8], &'static str> {
        let length = usize::try_from(length).map_err(|_| OUT_OF_RANGE)?;
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(CUT_OFF)?;
        self.rest = rest;
        Ok(taken)
    }

    fn skip(&mut self, length: u64) -> Result<(), &'static str> {
        self.take(length).map(|_| ())
    }

    fn skip_prefixed(&mut self) -> Result<(), &'static str> {
        let length = self.unsigned()?;
        self.skip(length)
    }

    fn skip_value(&mut self, kind: u64) -> Result<(), &'static str> {
        match kind {
            KIND_STRING => self.skip_prefixed(),
            KIND_DELTA => self.signed().map(|_| ()),
            _ => self.unsigned().map(|_| ()),
        }
    }

    fn groups(&mut self) -> Result<(u64, u32), &'static str> {
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

    fn unsigned(&mut self) -> Result<u64, &'static str> {
        self.groups().map(|(value, _)| value)
    }

    fn signed(&mut self) -> Result<i64, &'static str> {
        let (value, shift) = self.groups()?;
        let unused = 64u32.saturating_sub(shift);
        // Shifting up and down again copies the sign bit into the unused ones.
        Ok(((value << unused) as i64) >> unused)
    }
}
