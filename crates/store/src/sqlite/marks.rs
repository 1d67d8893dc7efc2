//! Marks, beside the ledger.

use super::queue::Effect;
use super::{SqliteStore, ledger};
use crate::{Marks, StoreFuture};

/// Beside the ledger: a mark is sealed as that is, and is no row that it knows, because it is written all the time.
fn part(name: &str) -> String {
    format!("mark/{name}")
}

impl Marks for SqliteStore {
    fn keep_mark(&self, name: &str, sealed: Vec<u8>) -> StoreFuture<'_, ()> {
        let part = part(name);
        self.ask(Effect::Writes, move |db| ledger::put_part(db, &part, &sealed))
    }

    fn kept_mark(&self, name: &str) -> StoreFuture<'_, Option<Vec<u8>>> {
        let part = part(name);
        self.ask(Effect::Reads, move |db| ledger::part(db, &part))
    }
}
