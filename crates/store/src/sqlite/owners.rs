use super::queue::Effect;
use super::{SqliteStore, file, idempotency, to_sql};
use crate::{Lookup, NewOwner, OwnerKeys, Sealer, StoreError, StoreFuture};
use ironbridge_core::{OwnerKey, OwnerTag, action};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::fmt::Write;
use zeroize::Zeroizing;

impl OwnerKeys for SqliteStore {
    fn obtain(&self, offered: Vec<NewOwner>) -> StoreFuture<'_, Vec<OwnerKey>> {
        let created = to_sql(self.clock.now());
        let sealed: Result<Vec<(NewOwner, Vec<u8>)>, StoreError> = offered
            .into_iter()
            .map(|owner| seal(&*self.sealer, &owner.key).map(|key| (owner, key)))
            .collect();
        Box::pin(async move {
            let offered = sealed?;
            let stored = self.ask(Effect::Writes, move |db| {
                let mut insert = db.prepare_cached(
                    "INSERT INTO owner (lookup, tag, kind, sealed, created) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (lookup) DO NOTHING",
                )?;
                let mut stored = Vec::with_capacity(offered.len());
                for (owner, sealed) in offered {
                    insert.execute(params![
                        owner.lookup,
                        owner.key.tag,
                        owner.kind.name(),
                        sealed,
                        created
                    ])?;
                    stored.extend(find(db, owner.lookup)?);
                }
                Ok(stored)
            });
            stored.await?.iter().map(|stored| open(&*self.sealer, stored)).collect()
        })
    }

    fn owner_by_lookup(&self, lookup: Lookup) -> StoreFuture<'_, Option<OwnerKey>> {
        Box::pin(async move {
            let stored = self.ask(Effect::Reads, move |db| find(db, lookup)).await?;
            stored.map(|stored| open(&*self.sealer, &stored)).transpose()
        })
    }

    fn owners_by_tag(&self, tags: Vec<OwnerTag>) -> StoreFuture<'_, Vec<OwnerKey>> {
        Box::pin(async move {
            let stored = self.ask(Effect::Reads, move |db| {
                let mut select = db.prepare_cached("SELECT tag, sealed FROM owner WHERE tag = ?1")?;
                let stored = tags.iter().map(|tag| select.query_row([tag], Stored::read).optional());
                stored.filter_map(Result::transpose).collect::<rusqlite::Result<Vec<_>>>()
            });
            stored.await?.iter().map(|stored| open(&*self.sealer, stored)).collect()
        })
    }

    fn destroy(&self, lookup: Lookup) -> StoreFuture<'_, Option<OwnerTag>> {
        let author = self.author();
        self.queue.ask(Effect::Erases, move |db| {
            let tag: Option<OwnerTag> = db
                .prepare_cached("DELETE FROM owner WHERE lookup = ?1 RETURNING tag")?
                .query_row([lookup], |row| row.get(0))
                .optional()?;
            if let Some(tag) = tag {
                idempotency::forget(db, &tag)?;
                author.leave(db, &author.did(db, action::name::SUBJECT_ERASE, hex(&tag))?)?;
            }
            Ok(tag)
        })
    }

    fn erasure_pending(&self) -> StoreFuture<'_, bool> {
        self.ask(Effect::Reads, |db| file::erasures(db).map(|(erased, emptied)| erased > emptied))
    }
}

struct Stored {
    tag: OwnerTag,
    sealed: Vec<u8>,
}

impl Stored {
    fn read(row: &Row<'_>) -> rusqlite::Result<Stored> {
        Ok(Stored { tag: row.get("tag")?, sealed: row.get("sealed")? })
    }
}

fn find(db: &Connection, lookup: Lookup) -> rusqlite::Result<Option<Stored>> {
    db.prepare_cached("SELECT tag, sealed FROM owner WHERE lookup = ?1")?
        .query_row([lookup], Stored::read)
        .optional()
}

fn seal(sealer: &dyn Sealer, key: &OwnerKey) -> Result<Vec<u8>, StoreError> {
    sealer.seal(key.expose(), &seal_context(&key.tag)).map_err(|error| StoreError::Sealing(error.to_string()))
}

fn open(sealer: &dyn Sealer, stored: &Stored) -> Result<OwnerKey, StoreError> {
    let plain = sealer
        .open(&stored.sealed, &seal_context(&stored.tag))
        .map_err(|error| StoreError::Sealing(error.to_string()))?;
    let plain = Zeroizing::new(plain);
    let key = plain.as_slice().try_into();
    let key = key.map_err(|_| StoreError::Corrupt("an owner's key does not have 32 bytes".into()))?;
    Ok(OwnerKey::new(stored.tag, key))
}

/// Binds a sealed key to its row.
fn seal_context(tag: &OwnerTag) -> Vec<u8> {
    [b"owner/".as_slice(), tag].concat()
}

fn hex(tag: &OwnerTag) -> String {
    tag.iter().fold(String::with_capacity(32), |mut text, byte| {
        // Writing to a String does not fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}
