//! Sealed items, each row as the ledger has it.

use super::failure::Failure;
use super::ledger::{Entry, Known, Ledger};
use super::outbox::Author;
use super::queue::Effect;
use super::turn::Turn;
use super::{SqliteStore, from_sql, to_sql};
use crate::{ItemSummary, SealedItem, SealedItems, Sealer, StoreError, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

impl SealedItems for SqliteStore {
    fn put(&self, namespace: &str, name: &str, sealed: Vec<u8>, at: Timestamp) -> StoreFuture<'_, u64> {
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Erases, move |turn| {
            let ledger = turn.ledger()?;
            ledger.has_room(Entry::Action)?;
            if !ledger.has(Entry::Item, &key(&namespace, &name)) {
                ledger.has_room(Entry::Item)?;
            }
            add(turn, &author, &namespace, &name, &sealed, at)
        })
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
        self.queue.ask(Effect::Erases, move |turn| match known(turn, &namespace, &name)? {
            Some(item) if item.version == version => {
                add(turn, &author, &namespace, &name, &sealed, at).map(Some)
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
        self.queue.ask(Effect::Changes, move |turn| match known(turn, &namespace, &name)? {
            Some(item) => Ok(item),
            None => {
                let version = add(turn, &author, &namespace, &name, &sealed, at)?;
                Ok(SealedItem { version, sealed, created: at })
            }
        })
    }

    fn get(&self, namespace: &str, name: &str) -> StoreFuture<'_, Option<SealedItem>> {
        let (namespace, name) = (namespace.to_owned(), name.to_owned());
        self.queue.ask(Effect::Reads, move |turn| known(turn, &namespace, &name))
    }

    fn items(&self, namespace: &str) -> StoreFuture<'_, Vec<ItemSummary>> {
        let namespace = namespace.to_owned();
        self.queue.ask(Effect::Reads, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let ledger = turn.ledger()?;
            // Beside max(), SQLite takes bare columns from the row that holds the maximum (lang_select §2.5).
            let mut select = db.prepare_cached(
                "SELECT name, max(version), sealed, created FROM sealed_item WHERE namespace = ?1
                 GROUP BY name ORDER BY name",
            )?;
            let mut rows = select.query([&namespace])?;
            let mut listed = Vec::new();
            while let Some(row) = rows.next()? {
                let name: String = row.get(0)?;
                let version = row.get::<_, i64>(1)?.cast_unsigned();
                let item = SealedItem { version, sealed: row.get(2)?, created: from_sql(row.get(3)?) };
                let key = key(&namespace, &name);
                if ledger.knows(keeper, Entry::Item, &key, &fields(&key, &item)) {
                    listed.push(ItemSummary { name, version, created: item.created });
                }
            }
            Ok(listed)
        })
    }

    fn remove(&self, namespace: &str, name: &str) -> StoreFuture<'_, bool> {
        let (namespace, name, author) = (namespace.to_owned(), name.to_owned(), self.author());
        self.queue.ask(Effect::Erases, move |turn| {
            let db = turn.db;
            let removed = db
                .prepare_cached("DELETE FROM sealed_item WHERE namespace = ?1 AND name = ?2")?
                .execute([&namespace, &name])?;
            let was_known = turn.ledger()?.remove(Entry::Item, &key(&namespace, &name));
            if removed > 0 || was_known {
                let action = author.did(db, action::name::SECRET_REMOVE, object(&namespace, &name))?;
                author.leave(turn, &action)?;
            }
            Ok(removed > 0 || was_known)
        })
    }
}

/// The item, if it is as it was left. One that was taken away, or put back, must not be made anew in silence.
fn known(turn: &mut Turn<'_>, namespace: &str, name: &str) -> Result<Option<SealedItem>, Failure> {
    let (db, sealer) = (turn.db, turn.keeper);
    let ledger = turn.ledger()?;
    let item = newest(db, namespace, name)?;
    let key = key(namespace, name);
    let genuine = match &item {
        Some(item) => ledger.knows(sealer, Entry::Item, &key, &fields(&key, item)),
        None => !ledger.has(Entry::Item, &key),
    };
    if genuine {
        return Ok(item);
    }
    let mend = match namespace {
        "secret" => "find out who can write the data directory, and set the secret anew",
        _ => "find out who can write the data directory, and restore store.sqlite from a backup",
    };
    Err(StoreError::Altered {
        what: format!("`{}` is not as this bridge left it", object(namespace, name)),
        mend,
    })?
}

/// Items that another hand put in, changed or took away.
pub(super) fn altered(db: &Connection, ledger: &Ledger, sealer: &dyn Sealer) -> Result<Vec<String>, Failure> {
    let rows: HashMap<Vec<u8>, Vec<Vec<u8>>> = all(db)?.into_iter().collect();
    let changed = rows.iter().filter(|(key, fields)| !ledger.knows(sealer, Entry::Item, key, fields));
    let removed = ledger.keys(Entry::Item).filter(|key| !rows.contains_key(*key));
    let mut altered: Vec<String> = changed
        .map(|(key, _)| &**key)
        .chain(removed)
        .map(|key| format!("item/{}", String::from_utf8_lossy(key)))
        .collect();
    altered.sort_unstable();
    Ok(altered)
}

/// Every item, the newest version of each.
pub(super) fn all(db: &Connection) -> rusqlite::Result<Vec<Known>> {
    // Beside max(), as above.
    let mut select = db.prepare(
        "SELECT namespace, name, max(version), sealed, created FROM sealed_item GROUP BY namespace, name",
    )?;
    let all = select.query_map([], |row| {
        let (namespace, name): (String, String) = (row.get(0)?, row.get(1)?);
        let key = key(&namespace, &name);
        let item = SealedItem {
            version: row.get::<_, i64>(2)?.cast_unsigned(),
            sealed: row.get(3)?,
            created: from_sql(row.get(4)?),
        };
        let fields = fields(&key, &item).into();
        Ok((key, fields))
    })?;
    all.collect()
}

/// No namespace of ours holds a slash.
fn key(namespace: &str, name: &str) -> Vec<u8> {
    format!("{namespace}/{name}").into_bytes()
}

fn fields(key: &[u8], item: &SealedItem) -> [Vec<u8>; 4] {
    let created = to_sql(item.created).to_be_bytes().to_vec();
    [key.to_vec(), item.version.to_be_bytes().to_vec(), item.sealed.clone(), created]
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
    turn: &mut Turn<'_>,
    author: &Author,
    namespace: &str,
    name: &str,
    sealed: &[u8],
    at: Timestamp,
) -> Result<u64, Failure> {
    let (db, keeper) = (turn.db, turn.keeper);
    let version = db
        .prepare_cached(
            "INSERT INTO sealed_item (namespace, name, version, sealed, created)
             SELECT ?1, ?2, coalesce(max(version), 0) + 1, ?3, ?4 FROM sealed_item
             WHERE namespace = ?1 AND name = ?2 RETURNING version",
        )?
        .query_row(params![namespace, name, sealed, to_sql(at)], |row| row.get::<_, i64>(0))?;
    db.prepare_cached("DELETE FROM sealed_item WHERE namespace = ?1 AND name = ?2 AND version < ?3")?
        .execute(params![namespace, name, version])?;
    let key = key(namespace, name);
    let item = SealedItem { version: version.cast_unsigned(), sealed: sealed.to_vec(), created: at };
    turn.ledger()?.put(keeper, Entry::Item, &key, &fields(&key, &item));
    let action = author.did(db, name_of_putting(namespace, name), object(namespace, name))?;
    author.leave(turn, &action.fact("version", version.to_string()))?;
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
