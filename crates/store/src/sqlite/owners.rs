//! Owners' keys, sealed, and their destruction.

use super::failure::{Failure, altered};
use super::ledger::{Entry, Ledger};
use super::queue::Effect;
use super::{SqliteStore, idempotency, to_sql};
use crate::{Lookup, NewOwner, OwnerKeys, Sealer, StoreError, StoreFuture};
use ironbridge_core::{OwnerKey, OwnerTag, action};
use rusqlite::{Connection, OptionalExtension, Row, params};
use std::fmt::Write;
use std::sync::Arc;

impl OwnerKeys for SqliteStore {
    fn obtain(&self, offered: Vec<NewOwner>) -> StoreFuture<'_, Vec<OwnerKey>> {
        let created = to_sql(self.clock.now());
        let sealed: Result<Vec<(NewOwner, Vec<u8>)>, StoreError> = offered
            .into_iter()
            .map(|owner| seal(&*self.sealer, &owner.key).map(|key| (owner, key)))
            .collect();
        Box::pin(async move {
            let offered = sealed?;
            let stored = self.queue.ask(Effect::Writes, move |turn| {
                let (db, keeper) = (turn.db, turn.keeper);
                let mut insert = db.prepare_cached(
                    "INSERT INTO owner (lookup, tag, kind, sealed, created) VALUES (?1, ?2, ?3, ?4, ?5)
                     ON CONFLICT (lookup) DO NOTHING",
                )?;
                let mut stored = Vec::with_capacity(offered.len());
                for (owner, sealed) in offered {
                    let (tag, kind) = (owner.key.tag, owner.kind.name());
                    if insert.execute(params![owner.lookup, tag, kind, sealed, created])? > 0 {
                        let fields = fields(&owner.lookup, &tag, kind, sealed, created);
                        turn.head()?.add_owner(keeper, &fields);
                    }
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
        self.queue.ask(Effect::Erases, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let removed = db
                .prepare_cached(
                    "DELETE FROM owner WHERE lookup = ?1 RETURNING lookup, tag, kind, sealed, created",
                )?
                .query_row([lookup], |row| Ok((row.get::<_, OwnerTag>("tag")?, fields_of(row)?)))
                .optional()?;
            let Some((tag, fields)) = removed else { return Ok(None) };
            let ledger = turn.ledger()?;
            ledger.has_room(Entry::Action)?;
            ledger.take_owner(keeper, &fields);
            idempotency::forget(db, &tag)?;
            let mut left = db.prepare_cached("SELECT 1 FROM owner WHERE lookup = ?1 OR tag = ?2")?;
            if left.exists(params![lookup, tag])? {
                return Err(altered("a key that was destroyed is still there").into());
            }
            author.leave(turn, &author.did(db, action::name::SUBJECT_ERASE, hex(&tag))?)?;
            Ok(Some(tag))
        })
    }

    fn owners_whole(&self) -> StoreFuture<'_, bool> {
        let sealer = Arc::clone(&self.sealer);
        self.file.beside(move |db| whole(db, &*sealer))
    }

    fn erasure_pending(&self) -> StoreFuture<'_, bool> {
        self.ask(Effect::Reads, |db| erasures(db).map(|(erased, emptied)| erased > emptied))
    }
}

/// Whether the table holds the owners that the bridge left in it, and no others.
fn whole(db: &Connection, sealer: &dyn Sealer) -> Result<bool, Failure> {
    Ledger::read(db, sealer)?.has_owners(sealer, |found| each(db, found))
}

/// Passes every owner that is there.
pub(super) fn each(db: &Connection, mut found: impl FnMut(&[Vec<u8>])) -> Result<(), Failure> {
    let mut select = db.prepare("SELECT lookup, tag, kind, sealed, created FROM owner")?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        found(&fields_of(row)?);
    }
    Ok(())
}

fn fields_of(row: &Row<'_>) -> rusqlite::Result<[Vec<u8>; 5]> {
    let kind: String = row.get("kind")?;
    Ok(fields(&row.get("lookup")?, &row.get("tag")?, &kind, row.get("sealed")?, row.get("created")?))
}

fn fields(lookup: &Lookup, tag: &OwnerTag, kind: &str, sealed: Vec<u8>, created: i64) -> [Vec<u8>; 5] {
    [lookup.to_vec(), tag.to_vec(), kind.as_bytes().to_vec(), sealed, created.to_be_bytes().to_vec()]
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

/// How many transactions erased something, and how many of these the write-ahead log was emptied after.
pub(super) fn erasures(db: &Connection) -> rusqlite::Result<(i64, i64)> {
    db.prepare_cached("SELECT erased, emptied FROM meta")?.query_row([], |row| Ok((row.get(0)?, row.get(1)?)))
}
