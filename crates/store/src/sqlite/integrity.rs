//! Whether the file is the one that was opened, as it was left.

use super::queue::Effect;
use super::{SqliteStore, credentials, items, schema, steps};
use crate::{Integrity, StoreFuture};
use ironbridge_core::StoreMark;

impl Integrity for SqliteStore {
    fn mark(&self) -> StoreFuture<'_, StoreMark> {
        self.queue.ask(Effect::Reads, |turn| Ok(turn.head()?.mark()))
    }

    fn newest_mark(&self) -> StoreMark {
        self.sealer.newest()
    }

    fn grew_from(&self, before: StoreMark) -> StoreFuture<'_, bool> {
        self.queue.ask(Effect::Reads, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            turn.head()?.grew_from(db, keeper, before)
        })
    }

    fn noted(&self, mark: StoreMark) -> StoreFuture<'_, ()> {
        self.ask(Effect::Writes, move |db| steps::forget(db, mark))
    }

    fn stands(&self) -> StoreFuture<'_, ()> {
        let file = self.file.clone();
        self.queue.ask(Effect::Reads, move |turn| {
            file.refuse_another()?;
            // What the connection keeps of the file may be whole where the file is not any more.
            turn.db.execute_batch("PRAGMA shrink_memory")?;
            schema::refuse_other(turn.db, schema::KNOWN)?;
            // All of what is bounded, and the beginning of the rest.
            for table in ["meta", "credential", "sealed_item", "outbox"] {
                let count = format!("SELECT count(*) FROM {table} NOT INDEXED");
                turn.db.prepare_cached(&count)?.query_row([], |row| row.get::<_, i64>(0))?;
            }
            for table in ["owner", "idempotency", "step"] {
                turn.db.prepare_cached(&format!("SELECT 1 FROM {table} LIMIT 1"))?.exists([])?;
            }
            turn.ledger().map(drop)
        })
    }

    fn altered(&self) -> StoreFuture<'_, Vec<String>> {
        self.queue.ask(Effect::Reads, |turn| {
            let mut altered = credentials::altered(turn)?;
            let (db, keeper) = (turn.db, turn.keeper);
            altered.extend(items::altered(db, turn.ledger()?, keeper)?);
            Ok(altered)
        })
    }
}
