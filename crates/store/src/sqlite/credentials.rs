//! Issued credentials, each row as the ledger has it.

use super::failure::Failure;
use super::ledger::{Entry, Ledger};
use super::outbox::Author;
use super::queue::Effect;
use super::turn::Turn;
use super::{SqliteStore, from_sql, to_sql};
use crate::{Credentials, IssuedCredential, IssuedKind, Sealer, StoreError, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{OptionalExtension, Row, named_params, params};
use std::collections::HashSet;
use std::time::Duration;

impl Credentials for SqliteStore {
    fn insert(&self, credential: IssuedCredential, most_live: usize) -> StoreFuture<'_, ()> {
        let author = self.author();
        self.queue.ask(Effect::Changes, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            refuse_one_more(turn, &credential, most_live)?;
            make_room(turn, &author, credential.created)?;
            turn.ledger()?.has_room(Entry::Action)?;
            let inserted = db
                .prepare_cached(
                    "INSERT INTO credential (id, kind, account, hash, created, expires, revoked, last_used)
                     VALUES (:id, :kind, :account, :hash, :created, :expires, :revoked, :last_used)
                     ON CONFLICT (id) DO NOTHING",
                )?
                .execute(named_params! {
                    ":id": credential.id,
                    ":kind": credential.kind.name(),
                    ":account": credential.account,
                    ":hash": credential.hash,
                    ":created": to_sql(credential.created),
                    ":expires": to_sql(credential.expires),
                    ":revoked": credential.revoked.map(to_sql),
                    ":last_used": credential.last_used.map(to_sql),
                })?;
            if inserted == 0 {
                return Err(Failure::Refused(StoreError::Conflict(credential.id)));
            }
            turn.ledger()?.put(keeper, Entry::Credential, credential.id.as_bytes(), &fields(&credential));
            let name = match credential.kind {
                IssuedKind::ApiKey | IssuedKind::ClientSecret => action::name::KEY_ISSUE,
                IssuedKind::Certificate => action::name::CERTIFICATE_ISSUE,
            };
            let issued = author.did(db, name, credential.id)?.account(credential.account);
            author.leave(turn, &issued.fact("kind", credential.kind.name().replace('-', "_")))
        })
    }

    fn revoke<'a>(&'a self, id: &'a str, at: Timestamp) -> StoreFuture<'a, bool> {
        let (id, author) = (id.to_owned(), self.author());
        self.queue.ask(Effect::Changes, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let mut select = db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            let ledger = turn.ledger()?;
            let genuine = |row: &Row<'_>| Ok(genuine(ledger, keeper, row));
            let Some(found) = select.query_row([&id], genuine).optional()?.flatten() else {
                return disown(turn, &author, id);
            };
            if found.revoked.is_some() {
                return Ok(false);
            }
            let revoked = IssuedCredential { revoked: Some(from_sql(to_sql(at))), ..found };
            db.prepare_cached("UPDATE credential SET revoked = ?2 WHERE id = ?1")?
                .execute(params![id, to_sql(at)])?;
            ledger.put(keeper, Entry::Credential, id.as_bytes(), &fields(&revoked));
            let action = author.did(db, action::name::KEY_REVOKE, id)?.account(revoked.account);
            author.leave(turn, &action.fact("kind", revoked.kind.name().replace('-', "_")))?;
            Ok(true)
        })
    }

    fn touch(&self, used: Vec<(String, Timestamp)>) -> StoreFuture<'_, ()> {
        self.ask(Effect::Writes, move |db| {
            let mut statement = db.prepare_cached(
                "UPDATE credential SET last_used = ?2 WHERE id = ?1 AND coalesce(last_used, 0) < ?2",
            )?;
            for (id, at) in used {
                statement.execute(params![id, to_sql(at)])?;
            }
            Ok(())
        })
    }

    fn issued<'a>(&'a self, account: Option<&'a str>) -> StoreFuture<'a, Vec<IssuedCredential>> {
        let account = account.map(str::to_owned);
        self.queue.ask(Effect::Reads, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let ledger = turn.ledger()?;
            let mut select = db
                .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR account = ?1 ORDER BY created, id"))?;
            let listed = select.query_map([account], |row| Ok(genuine(ledger, keeper, row)))?;
            Ok(listed.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?)
        })
    }
}

/// What another hand did to them, each by its name.
pub(super) fn altered(turn: &mut Turn<'_>) -> Result<Vec<String>, Failure> {
    let (db, keeper) = (turn.db, turn.keeper);
    let ledger = turn.ledger()?;
    let mut altered = Vec::new();
    let mut there = HashSet::new();
    let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
    let mut rows = select.query([])?;
    while let Some(row) = rows.next()? {
        let id: String = row.get("id")?;
        if genuine(ledger, keeper, row).is_none() {
            altered.push(named(id.as_bytes()));
        }
        there.insert(id.into_bytes());
    }
    let removed = ledger.keys(Entry::Credential).filter(|id| !there.contains(*id));
    altered.extend(removed.map(named));
    Ok(altered)
}

/// In the transaction that would add one: commands run beside each other.
fn refuse_one_more(turn: &mut Turn<'_>, new: &IssuedCredential, most: usize) -> Result<(), Failure> {
    let (db, keeper) = (turn.db, turn.keeper);
    let ledger = turn.ledger()?;
    let mut select = db.prepare_cached(&format!("{SELECT} WHERE account = ?1 ORDER BY created, id"))?;
    let mut rows = select.query([&new.account])?;
    let mut live = Vec::new();
    while let Some(row) = rows.next()? {
        live.extend(genuine(ledger, keeper, row).filter(|found| {
            found.kind == new.kind && found.revoked.is_none() && new.created < found.expires
        }));
    }
    match live.first() {
        Some(oldest) if live.len() >= most => {
            Err(StoreError::TooManyLive { most, oldest: oldest.id.clone() }.into())
        }
        _ => Ok(()),
    }
}

/// Forgets those that ended first, expired or revoked, where there are as many as the store keeps: they open nothing any
/// more, and the trail has their records. What the store does not know does not count either if it is put back.
fn make_room(turn: &mut Turn<'_>, author: &Author, now: Timestamp) -> Result<(), Failure> {
    let (db, keeper) = (turn.db, turn.keeper);
    let ledger = turn.ledger()?;
    let Err(full) = ledger.has_room(Entry::Credential) else { return Ok(()) };
    let mut select = db.prepare_cached(&format!(
        "{SELECT} WHERE min(expires, coalesce(revoked, expires)) <= ?1
         ORDER BY min(expires, coalesce(revoked, expires)), id"
    ))?;
    let ended =
        select.query_map([to_sql(now.minus(STILL_WANTED))], |row| Ok(genuine(ledger, keeper, row)))?;
    let ended = ended.filter_map(Result::transpose).take(AT_ONCE);
    let ended: Vec<_> = ended.collect::<rusqlite::Result<_>>()?;
    if ended.is_empty() {
        return Err(full.into());
    }
    for ended in &ended {
        db.prepare_cached("DELETE FROM credential WHERE id = ?1")?.execute([&ended.id])?;
        ledger.remove(Entry::Credential, ended.id.as_bytes());
    }
    let forgotten = author.did(db, action::name::KEY_FORGET, "credentials")?;
    author.leave(turn, &forgotten.fact("count", ended.len().to_string()))
}

/// What another hand wrote opens nothing, so there is nothing to revoke. But what it changed or took away could be put
/// back as it was: that must not count again.
fn disown(turn: &mut Turn<'_>, author: &Author, id: String) -> Result<bool, Failure> {
    if !turn.ledger()?.remove(Entry::Credential, id.as_bytes()) {
        return Ok(false);
    }
    let db = turn.db;
    db.prepare_cached("DELETE FROM credential WHERE id = ?1")?.execute([&id])?;
    author.leave(turn, &author.did(db, action::name::KEY_REVOKE, id)?)?;
    Ok(true)
}

fn named(id: &[u8]) -> String {
    format!("credential/{}", String::from_utf8_lossy(id))
}

/// Of those that ended, whenever there is no room.
const AT_ONCE: usize = 1_000;
/// Whoever looks why a call was refused finds it in the list still, and the tokens that were taken with a secret that
/// expired live out their time, an hour at most.
const STILL_WANTED: Duration = Duration::from_secs(3 * 24 * 3600);
const SELECT: &str = "SELECT id, kind, account, hash, created, expires, revoked, last_used FROM credential";

/// The row, if this bridge wrote all of it; when it was last used is anybody's to say.
fn genuine(ledger: &Ledger, sealer: &dyn Sealer, row: &Row<'_>) -> Option<IssuedCredential> {
    let read = credential(row).ok()?;
    ledger.knows(sealer, Entry::Credential, read.id.as_bytes(), &fields(&read)).then_some(read)
}

/// What the row grants; the first is its key.
pub(super) fn fields_of(row: &Row<'_>) -> rusqlite::Result<Vec<Vec<u8>>> {
    credential(row).map(|credential| fields(&credential).into())
}

fn fields(credential: &IssuedCredential) -> [Vec<u8>; 7] {
    let IssuedCredential { id, kind, account, hash, created, expires, revoked, last_used: _ } = credential;
    let time = |time: &Timestamp| to_sql(*time).to_be_bytes().to_vec();
    [
        id.as_bytes().to_vec(),
        kind.name().as_bytes().to_vec(),
        account.as_bytes().to_vec(),
        hash.to_vec(),
        time(created),
        time(expires),
        revoked.as_ref().map(time).unwrap_or_default(),
    ]
}

fn credential(row: &Row<'_>) -> rusqlite::Result<IssuedCredential> {
    let kind: String = row.get("kind")?;
    let kind = IssuedKind::from_name(&kind).ok_or_else(|| {
        let unknown = FromSqlError::Other(format!("unknown kind of credential `{kind}`").into());
        rusqlite::Error::FromSqlConversionFailure(1, Type::Text, Box::new(unknown))
    })?;
    Ok(IssuedCredential {
        id: row.get("id")?,
        kind,
        account: row.get("account")?,
        hash: row.get("hash")?,
        created: from_sql(row.get("created")?),
        expires: from_sql(row.get("expires")?),
        revoked: row.get::<_, Option<i64>>("revoked")?.map(from_sql),
        last_used: row.get::<_, Option<i64>>("last_used")?.map(from_sql),
    })
}
