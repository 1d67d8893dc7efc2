//! How much is kept of requests that may be sent again, and of whose.

use rusqlite::Connection;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use ironbridge_core::Timestamp;

/// Counts rows of idempotency keys in bytes, by account, beside the file. An account may fill as much as is still free
/// beside it, as with memory.
pub(super) struct Kept(Mutex<Counts>);

struct Counts {
    limit: u64,
    all: u64,
    accounts: HashMap<Box<str>, u64>,
    /// When to count anew: other processes erase too, and what was rolled back was counted.
    due: Timestamp,
}

/// What a row takes, in SQL; `ROW` is what it takes besides its texts: fingerprint, numbers, and two indexes.
pub(super) const BYTES: &str =
    "(2 * (length(scope) + length(key)) + coalesce(length(answer), 0) + coalesce(length(owners), 0) + 160)";
const ROW: usize = 160;

const COUNT_EVERY: Duration = Duration::from_secs(3600);

/// What a row takes before there is an answer.
pub(super) fn row(scope: &str, key: &str, owners: usize) -> u64 {
    bytes(2 * (scope.len() + key.len()) + owners + ROW)
}

pub(super) fn bytes(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

impl Kept {
    pub fn new() -> Kept {
        let counts =
            Counts { limit: u64::MAX, all: 0, accounts: HashMap::new(), due: Timestamp::from_seconds(0) };
        Kept(Mutex::new(counts))
    }

    pub fn set_limit(&self, limit: u64) {
        self.counts().limit = limit;
    }

    /// Whether so many bytes more find room.
    pub fn has_room(
        &self,
        db: &Connection,
        now: Timestamp,
        scope: &str,
        more: u64,
    ) -> rusqlite::Result<bool> {
        let mut counts = self.counts();
        if counts.due <= now {
            counts.count(db)?;
            counts.due = now.plus(COUNT_EVERY);
        }
        let own = counts.accounts.get(account(scope)).copied().unwrap_or(0).saturating_add(more);
        Ok(own <= counts.limit.saturating_sub(counts.all.saturating_add(more)))
    }

    pub fn add(&self, scope: &str, bytes: u64) {
        self.counts().add(scope, bytes);
    }

    pub fn take(&self, scope: &str, bytes: u64) {
        let mut counts = self.counts();
        counts.all = counts.all.saturating_sub(bytes);
        if let Some(own) = counts.accounts.get_mut(account(scope)) {
            *own = own.saturating_sub(bytes);
        }
    }

    /// Something was counted that is not so.
    pub fn count_anew(&self) {
        self.counts().due = Timestamp::from_seconds(0);
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn count(&mut self, db: &Connection) -> rusqlite::Result<()> {
        (self.all, self.accounts) = (0, HashMap::new());
        let sums = format!("SELECT scope, sum({BYTES}) FROM idempotency GROUP BY scope");
        let mut sums = db.prepare_cached(&sums)?;
        let mut rows = sums.query([])?;
        while let Some(row) = rows.next()? {
            self.add(&row.get::<_, String>(0)?, row.get::<_, i64>(1)?.cast_unsigned());
        }
        Ok(())
    }

    fn add(&mut self, scope: &str, bytes: u64) {
        self.all = self.all.saturating_add(bytes);
        let own = self.accounts.entry(account(scope).into()).or_default();
        *own = own.saturating_add(bytes);
    }
}

/// A scope begins with the account.
fn account(scope: &str) -> &str {
    scope.split(' ').next().unwrap_or_default()
}
