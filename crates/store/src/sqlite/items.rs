use super::outbox::Author;
use super::queue::{Effect, Failure};
use super::{SqliteStore, from_sql, to_sql};
use crate::{ItemSummary, SealedItem, SealedItems, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::{Connection, OptionalExtension, params};

impl SealedItems for SqliteStore {
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64> {
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Erases, move |db| add(db, &author, &namespace, &name, &sealed, at))
    }

    fn put_over(
        &self,
        namespace: &str,
        name: &str,
        sealed: Vec<u8>,
        at: Timestamp,
        version: u64,
    ) -> StoreFuture<'_, Option<u64>> {
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Erases, move |db| match newest(db, &namespace, &name)? {
            Some(item) if item.version == version => {
                add(db, &author, &namespace, &name, &sealed, at).map(Some)
            }
            _ => Ok(None),
        })
    }

    fn put_first(
        &self,
        namespace: &str,
        name: &str,
        sealed: Vec<u8>,
        at: Timestamp,
    ) -> StoreFuture<'_, SealedItem> {
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Changes, move |db| match newest(db, &namespace, &name)? {
            Some(item) => Ok(item),
            None => {
                let version = add(db, &author, &namespace, &name, &sealed, at)?;
                Ok(SealedItem { version, sealed, created: at })
            }
        })
    }

    fn get(&self, namespace: &str, name: &str) -> StoreFuture<'_, Option<SealedItem>> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.ask(Effect::Reads, move |db| newest(db, &namespace, &name))
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
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Erases, move |db| {
            let removed = db
                .prepare_cached("DELETE FROM sealed_item WHERE namespace = ?1 AND name = ?2")?
                .execute([&namespace, &name])?;
            if removed > 0 {
                let action = author.did(db, action::name::SECRET_REMOVE, object(&namespace, &name))?;
                author.leave(db, &action)?;
            }
            Ok(removed > 0)
        })
    }
}

fn newest(db: &Connection, namespace: &str, name: &str) -> rusqlite::Result<Option<SealedItem>> {
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
}

fn add(
    db: &Connection,
    author: &Author,
    namespace: &str,
    name: &str,
    sealed: &[u8],
    at: Timestamp,
) -> Result<u64, Failure> {
    let version = db
        .prepare_cached(
            "INSERT INTO sealed_item (namespace, name, version, sealed, created)
             SELECT ?1, ?2, coalesce(max(version), 0) + 1, ?3, ?4 FROM sealed_item
             WHERE namespace = ?1 AND name = ?2 RETURNING version",
        )?
        .query_row(params![namespace, name, sealed, to_sql(at)], |row| row.get::<_, i64>(0))?;
    db.prepare_cached("DELETE FROM sealed_item WHERE namespace = ?1 AND name = ?2 AND version < ?3")?
        .execute(params![namespace, name, version])?;
    let action = author.did(db, name_of_putting(namespace, name), object(namespace, name))?;
    author.leave(db, &action.fact("version", version.to_string()))?;
    Ok(version.cast_unsigned())
}

/// The keys with an action of their own are those of the audit trail and of the token endpoint.
fn name_of_putting(namespace: &str, name: &str) -> &'static str {
    match (namespace, name) {
        ("audit", "log-key") => action::name::LOG_KEY_ROTATE,
        ("token-endpoint", "signing-key") => action::name::SIGNING_KEY_ROTATE,
        _ => action::name::SECRET_SET,
    }
}

fn object(namespace: &str, name: &str) -> String {
    match namespace {
        "secret" => name.to_owned(),
        _ => format!("{namespace}/{name}"),
    }
}
