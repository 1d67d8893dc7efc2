//! How much is kept of requests that may be sent again, and of whose: counted in the same transaction as what is counted.

use rusqlite::{Connection, OptionalExtension, params};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all may take. An account may fill as much as is still free beside it, as with memory.
pub(super) struct Kept(AtomicU64);

/// What a row takes, in SQL; `ROW` is what it takes besides its texts: fingerprint, numbers, and two indexes.
pub(super) const BYTES: &str = "(2 * (octet_length(scope) + octet_length(key)) + coalesce(length(answer), 0)
    + coalesce(length(owners), 0) + 160)";
const ROW: usize = 160;

/// The row of all accounts; no account has this name.
const ALL: &str = " ";

/// What a row takes before there is an answer.
pub(super) fn row(scope: &str, key: &str, owners: usize) -> usize {
    2 * (scope.len() + key.len()) + owners + ROW
}

/// So many bytes more are kept, or less.
pub(super) fn change(db: &Connection, scope: &str, bytes: i64) -> rusqlite::Result<()> {
    let change = "INSERT INTO kept VALUES (?1, max(0, ?3)), (?2, max(0, ?3))
                  ON CONFLICT (account) DO UPDATE SET bytes = max(0, min(bytes, 1 << 60) + ?3)";
    db.prepare_cached(change)?.execute(params![account(scope), ALL, bytes]).map(drop)
}

pub(super) fn add(db: &Connection, scope: &str, bytes: usize) -> rusqlite::Result<()> {
    change(db, scope, i64::try_from(bytes).unwrap_or(i64::MAX))
}

impl Kept {
    pub fn new() -> Kept {
        Kept(AtomicU64::new(u64::MAX))
    }

    pub fn set_limit(&self, limit: u64) {
        self.0.store(limit, Relaxed);
    }

    /// Whether so many bytes more find room.
    pub fn has_room(&self, db: &Connection, scope: &str, more: usize) -> rusqlite::Result<bool> {
        let more = u64::try_from(more).unwrap_or(u64::MAX);
        let mut select = db.prepare_cached("SELECT bytes FROM kept WHERE account = ?1")?;
        let mut taken = |account: &str| {
            let bytes = select.query_row([account], |row| row.get::<_, i64>(0)).optional()?;
            Ok::<_, rusqlite::Error>(bytes.unwrap_or(0).cast_unsigned().saturating_add(more))
        };
        Ok(taken(account(scope))? <= self.0.load(Relaxed).saturating_sub(taken(ALL)?))
    }
}

/// A scope begins with the account.
fn account(scope: &str) -> &str {
    scope.split(' ').next().unwrap_or_default()
}
