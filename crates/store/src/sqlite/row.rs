//! Seals of rows that grant something, or say what was done. The file can be written by whoever may write the data
//! directory; a row counts only if it was this bridge that wrote it, which takes the key file.
//!
//! Not guarded against: that a row is taken away, or one is put back as it was before.

use super::outbox::Author;
use super::{credentials, outbox};
use crate::{Sealer, StoreError};
use ironbridge_core::action::name;
use rusqlite::Connection;

/// The seal of a row: of nothing, bound to the table and all that the row says.
pub(super) fn seal(sealer: &dyn Sealer, table: &str, fields: &[&[u8]]) -> Result<Vec<u8>, StoreError> {
    sealer.seal(&[], &context(table, fields)).map_err(|error| StoreError::Sealing(error.to_string()))
}

pub(super) fn is_sealed(sealer: &dyn Sealer, seal: &[u8], table: &str, fields: &[&[u8]]) -> bool {
    sealer.open(seal, &context(table, fields)).is_ok_and(|plain| plain.is_empty())
}

/// Every field with its length, so that no two rows have the same.
fn context(table: &str, fields: &[&[u8]]) -> Vec<u8> {
    let mut context = format!("row/{table}").into_bytes();
    for field in fields {
        context.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.extend_from_slice(field);
    }
    context
}

/// Seals the rows of a store that knew no seals, once: they are taken as they are, and an action says so.
pub(super) fn adopt(db: &Connection, author: &Author) -> Result<(), Error> {
    if db.query_row("SELECT rows_sealed FROM meta", [], |row| row.get(0))? {
        return Ok(());
    }
    let credentials = credentials::seal_all(db, author.sealer())?;
    let actions = outbox::seal_all(db, author.sealer())?;
    if credentials + actions > 0 {
        let adopted = author.did(db, name::STORE_ADOPT, "store")?;
        let adopted =
            adopted.fact("credentials", credentials.to_string()).fact("actions", actions.to_string());
        author.leave(db, &adopted)?;
    }
    db.execute("UPDATE meta SET rows_sealed = 1, generation = generation + 1", [])?;
    Ok(())
}

/// The database's error, or one of our own.
pub(super) use super::queue::Failure as Error;
