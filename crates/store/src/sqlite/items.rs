use super::queue::Effect;
use super::{SqliteStore, from_sql, to_sql};
use crate::{ItemSummary, SealedItem, SealedItems, StoreFuture};
use ironbridge_core::Timestamp;
use rusqlite::{OptionalExtension, params};

impl SealedItems for SqliteStore {
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.ask(Effect::Changes, move |db| {
            db.prepare_cached(
                "INSERT INTO sealed_item (namespace, name, version, sealed, created)
                 SELECT ?1, ?2, coalesce(max(version), 0) + 1, ?3, ?4 FROM sealed_item
                 WHERE namespace = ?1 AND name = ?2 RETURNING version",
            )?
            .query_row(params![namespace, name, sealed, to_sql(at)], |row| row.get::<_, i64>(0))
            .map(i64::cast_unsigned)
        })
    }

    fn get(&self, namespace: &str, name: &str) -> StoreFuture<'_, Option<SealedItem>> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.ask(Effect::Reads, move |db| {
            db.prepare_cached(
                "SELECT version, sealed, created FROM sealed_item WHERE namespace = ?1 AND name = ?2
                 ORDER BY version DESC LIMIT 1",
            )?
            .query_row([namespace, name], |row| {
                Ok(SealedItem {
                    version: row.get::<_, i64>(0)?.cast_unsigned(),
                    sealed: row.get(1)?,
                    created: from_sql(row.get(2)?),
                })
            })
            .optional()
        })
    }

    fn list(&self, namespace: &str) -> StoreFuture<'_, Vec<ItemSummary>> {
        let namespace = namespace.to_owned();
        self.ask(Effect::Reads, move |db| {
            // Beside max(), SQLite takes bare columns from the row that holds the maximum (lang_select §2.5).
            db.prepare_cached(
                "SELECT name, max(version), created FROM sealed_item WHERE namespace = ?1
                 GROUP BY name ORDER BY name",
            )?
            .query_map([namespace], |row| {
                Ok(ItemSummary {
                    name: row.get(0)?,
                    version: row.get::<_, i64>(1)?.cast_unsigned(),
                    created: from_sql(row.get(2)?),
                })
            })?
            .collect()
        })
    }

    fn remove(&self, namespace: &str, name: &str) -> StoreFuture<'_, bool> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.ask(Effect::Changes, move |db| {
            let removed = db
                .prepare_cached("DELETE FROM sealed_item WHERE namespace = ?1 AND name = ?2")?
                .execute([namespace, name])?;
            Ok(removed > 0)
        })
    }
}
