//! Rows of receipts.

use redb::{ReadTransaction, ReadableTable, TableDefinition, WriteTransaction};

use super::tables::{decode, encode};
use crate::core::receipts::{Receipt, ReceiptRow};

/// By number, ascending by age. Younger than the format: absent from a store until the first row is written.
const RECEIPTS: TableDefinition<u64, &[u8]> = TableDefinition::new("receipts");

pub(super) fn read(txn: &ReadTransaction) -> Result<Vec<(u64, Receipt)>, redb::Error> {
    let table = match txn.open_table(RECEIPTS) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(vec![]),
        table => table?,
    };
    table
        .iter()?
        .map(|row| {
            let (number, value) = row?;
            Ok((number.value(), decode("receipts", value.value())?))
        })
        .collect()
}

pub(super) fn write(txn: &WriteTransaction, rows: &[ReceiptRow]) -> Result<(), redb::Error> {
    let mut table = txn.open_table(RECEIPTS)?;
    for (number, row) in rows {
        match row {
            Some(receipt) => table.insert(number, &encode(receipt)[..])?,
            None => table.remove(number)?,
        };
    }
    Ok(())
}
