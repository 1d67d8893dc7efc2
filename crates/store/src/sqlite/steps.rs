//! Whether the ledger is what became of an earlier one. A count alone grows again after a store was set back. So each
//! write of the ledger draws lots and takes a step, which hashes them with the step before, under the ledger's key.
//! The lots lie beside the ledger, open to everyone: who has the earlier step walks from there, and whoever set the
//! ledger back has no lots that lead from a step it never took to where it is.

use super::failure::Failure;
use crate::{Sealer, StoreError};
use ironbridge_core::StoreMark;
use rusqlite::{Connection, params};

/// Takes the next step.
pub(super) fn take(
    db: &Connection,
    sealer: &dyn Sealer,
    key: &[u8; 32],
    from: StoreMark,
) -> Result<StoreMark, Failure> {
    let changes =
        from.changes.checked_add(1).ok_or_else(|| StoreError::Corrupt("it counts no further".into()))?;
    let lots: Lots = db.prepare_cached("SELECT randomblob(16)")?.query_row([], |row| row.get(0))?;
    db.prepare_cached("INSERT OR REPLACE INTO step (number, lots) VALUES (?1, ?2)")?
        .execute(params![changes.cast_signed(), lots])?;
    Ok(next(sealer, key, from, changes, &lots))
}

/// Whether the steps lead from one to the other.
///
/// # Errors
/// [`StoreError::Outran`] where so many were taken since that those next to the earlier one are forgotten.
pub(super) fn lead(
    db: &Connection,
    sealer: &dyn Sealer,
    key: &[u8; 32],
    from: StoreMark,
    to: StoreMark,
) -> Result<bool, Failure> {
    if from == StoreMark::default() || !to.can_follow(from) || from.is_counted() {
        return Ok(to.can_follow(from));
    }
    let mut select = db.prepare_cached("SELECT number, lots FROM step WHERE number > ?1 ORDER BY number")?;
    let mut rows = select.query([from.changes.cast_signed()])?;
    let mut at = from;
    while at.changes < to.changes {
        let changes = at.changes.saturating_add(1);
        let lots = match rows.next()? {
            Some(row) if row.get_ref(0)?.as_i64().is_ok_and(|number| number == changes.cast_signed()) => {
                row.get_ref(1)?.as_blob().ok().and_then(|lots| Lots::try_from(lots).ok())
            }
            _ => None,
        };
        match lots {
            Some(lots) => at = next(sealer, key, at, changes, &lots),
            // As far as it truly came, which is under its seal, nobody had to keep them: whoever only took them away
            // does not come to here.
            None if at == from && changes < first_kept(to) => return Err(StoreError::Outran(KEPT).into()),
            None => return Ok(false),
        }
    }
    Ok(at == to)
}

/// Forgets the lots of steps that nobody will begin with any more: those well before one that everybody took note of.
pub(super) fn forget(db: &Connection, noted: StoreMark) -> rusqlite::Result<()> {
    let first = first_kept(noted).cast_signed();
    db.prepare_cached("DELETE FROM step WHERE number < ?1")?.execute([first]).map(drop)
}

fn first_kept(to: StoreMark) -> u64 {
    to.changes.saturating_sub(KEPT)
}

fn next(sealer: &dyn Sealer, key: &[u8; 32], from: StoreMark, changes: u64, lots: &Lots) -> StoreMark {
    let step = sealer.mac(key, &[LABEL, &from.step, &changes.to_be_bytes(), lots].concat());
    StoreMark { changes, step, ..from }
}

type Lots = [u8; 16];

/// No row's sum begins so: there the first byte is its kind.
const LABEL: &[u8] = b"step";
/// Some 25 bytes each. Whoever begins with an earlier one is a command, which is as far behind as it runs, what a power
/// cut took from, about a second, or a copy of a running bridge, whose parts are minutes apart: at a thousand new
/// owners a second, each in a transaction of its own, these are 17 minutes.
pub(super) const KEPT: u64 = 1 << 20;
