//! How much is kept of requests that may be sent again, and of whose: counted in the same transaction as what is counted.
//! These numbers are in no ledger. Whoever changed them by hand would have every new key refused, or none, so they are
//! counted anew from time to time.

use super::SqliteStore;
use super::failure::{Failure, altered};
use super::queue::Effect;
use crate::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What all may take. An account may fill as much as is still free beside it, as with memory.
pub(super) struct Allowance(AtomicU64);

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

impl Allowance {
    pub fn new() -> Allowance {
        Allowance(AtomicU64::new(u64::MAX))
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
            Ok::<_, rusqlite::Error>(bytes.unwrap_or(0).max(0).cast_unsigned().saturating_add(more))
        };
        Ok(taken(account(scope))? <= self.0.load(Relaxed).saturating_sub(taken(ALL)?))
    }
}

impl SqliteStore {
    /// Beside whatever else goes on: a thread of its own reads all rows as of one moment, and only what differs then is
    /// put right.
    pub(super) async fn count_kept(&self) -> Result<(), StoreError> {
        // So that no number is near the ends of what an integer holds, where changes would be lost.
        self.ask(Effect::Writes, |db| {
            let far =
                "UPDATE kept SET bytes = min(max(bytes, 0), 1 << 59) WHERE bytes NOT BETWEEN 0 AND 1 << 59";
            db.execute(far, [])
        })
        .await?;
        let counted = self.file.beside(differences).await?;
        if counted.is_empty() {
            return Ok(());
        }
        self.ask(Effect::Writes, move |db| {
            let mut correct = db.prepare_cached(
                "INSERT INTO kept VALUES (?1, max(0, ?2))
                 ON CONFLICT (account) DO UPDATE SET bytes = max(0, bytes + ?2)",
            )?;
            counted.iter().try_for_each(|(account, bytes)| correct.execute(params![account, bytes]).map(drop))
        })
        .await
    }
}

/// By how much what is counted is less than what is there, by account, of one moment: what comes and goes meanwhile is
/// counted as ever, and leaves the difference as it is.
fn differences(db: &Connection) -> Result<Vec<(String, i64)>, Failure> {
    let mut differ: BTreeMap<String, i64> = BTreeMap::new();
    let mut add = |account: &str, bytes: i64| {
        if let Some(sum) = differ.get_mut(account) {
            *sum = sum.saturating_add(bytes);
        } else if differ.len() < MOST_ACCOUNTS {
            differ.insert(account.to_owned(), bytes);
        } else {
            return Err(altered("it remembers requests of more accounts than there can be"));
        }
        Ok(())
    };
    let mut select = db.prepare("SELECT account, bytes FROM kept")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        add(&row.get::<_, String>(0)?, row.get::<_, i64>(1)?.saturating_neg())?;
    }
    // In the order in which they lie: it reads no more than it must.
    let mut select = db.prepare(&format!("SELECT scope, {BYTES} FROM idempotency NOT INDEXED"))?;
    let mut rows = select.query([])?;
    let mut all = 0_i64;
    while let Some(row) = rows.next()? {
        let bytes: i64 = row.get(1)?;
        add(account(&row.get::<_, String>(0)?), bytes)?;
        all = all.saturating_add(bytes);
    }
    add(ALL, all)?;
    differ.retain(|_, bytes| *bytes != 0);
    Ok(differ.into_iter().collect())
}

/// A manifest has hundreds.
const MOST_ACCOUNTS: usize = 100_000;

/// A scope begins with the account.
fn account(scope: &str) -> &str {
    scope.split(' ').next().unwrap_or_default()
}
