use super::ledger::{Kept, Ledger};
use super::outbox::Author;
use super::queue::{Effect, Failure};
use super::{SqliteStore, from_sql, items, to_sql};
use crate::{Credentials, IssuedCredential, IssuedKind, Sealer, StoreError, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use std::collections::HashSet;
use std::sync::Arc;

impl Credentials for SqliteStore {
    fn insert(&self, credential: IssuedCredential) -> StoreFuture<'_, ()> {
        let author = self.author();
        self.queue.ask(Effect::Changes, move |db| {
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
            author.keep(db, Kept::Credential, credential.id.as_bytes(), &fields(&credential))?;
            let name = match credential.kind {
                IssuedKind::ApiKey | IssuedKind::ClientSecret => action::name::KEY_ISSUE,
                IssuedKind::Certificate => action::name::CERTIFICATE_ISSUE,
            };
            let issued = author.did(db, name, credential.id)?;
            author.leave(
                db,
                &issued.account(credential.account).fact("kind", credential.kind.name().replace('-', "_")),
            )
        })
    }

    fn revoke<'a>(&'a self, id: &'a str, at: Timestamp) -> StoreFuture<'a, bool> {
        let (id, author) = (id.to_owned(), self.author());
        self.queue.ask(Effect::Changes, move |db| {
            let mut select = db.prepare_cached(&format!("{SELECT} WHERE id = ?1"))?;
            let ledger = Ledger::read(db, author.sealer())?;
            let genuine = |row: &Row<'_>| Ok(genuine(&ledger, author.sealer(), row));
            let found = select.query_row([&id], genuine).optional()?.flatten();
            let Some(found) = found else { return disown(db, &author, ledger, id) };
            if found.revoked.is_some() {
                return Ok(false);
            }
            let revoked = IssuedCredential { revoked: Some(from_sql(to_sql(at))), ..found };
            db.prepare_cached("UPDATE credential SET revoked = ?2 WHERE id = ?1")?
                .execute(params![id, to_sql(at)])?;
            author.keep(db, Kept::Credential, id.as_bytes(), &fields(&revoked))?;
            let action = author.did(db, action::name::KEY_REVOKE, id)?.account(revoked.account);
            author.leave(db, &action.fact("kind", revoked.kind.name().replace('-', "_")))?;
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

    fn list<'a>(&'a self, account: Option<&'a str>) -> StoreFuture<'a, Vec<IssuedCredential>> {
        let (account, sealer) = (account.map(str::to_owned), Arc::clone(&self.sealer));
        self.queue.ask(Effect::Reads, move |db| {
            let ledger = Ledger::read(db, &sealer)?;
            let mut select = db
                .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR account = ?1 ORDER BY created, id"))?;
            let listed = select.query_map([account], |row| Ok(genuine(&ledger, &*sealer, row)))?;
            Ok(listed.filter_map(Result::transpose).collect::<rusqlite::Result<_>>()?)
        })
    }

    fn altered(&self) -> StoreFuture<'_, Vec<String>> {
        let sealer = Arc::clone(&self.sealer);
        self.queue.ask(Effect::Reads, move |db| {
            let ledger = Ledger::read(db, &sealer)?;
            let mut altered = Vec::new();
            let mut there = HashSet::new();
            let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let id: String = row.get("id")?;
                if genuine(&ledger, &*sealer, row).is_none() {
                    altered.push(named(id.as_bytes()));
                }
                there.insert(id.into_bytes());
            }
            let removed = ledger.keys(Kept::Credential).filter(|id| !there.contains(*id));
            altered.extend(removed.map(named));
            altered.extend(items::altered(db, &ledger, &*sealer)?);
            Ok(altered)
        })
    }
}

/// What another hand wrote opens nothing, so there is nothing to revoke. But what it changed or took away could be put
/// back as it was: that must not count again.
fn disown(db: &Connection, author: &Author, mut ledger: Ledger, id: String) -> Result<bool, Failure> {
    if !ledger.remove(Kept::Credential, id.as_bytes()) {
        return Ok(false);
    }
    ledger.write(db, author.sealer())?;
    db.prepare_cached("DELETE FROM credential WHERE id = ?1")?.execute([&id])?;
    author.leave(db, &author.did(db, action::name::KEY_REVOKE, id)?)?;
    Ok(true)
}

fn named(id: &[u8]) -> String {
    format!("credential/{}", String::from_utf8_lossy(id))
}

const SELECT: &str = "SELECT id, kind, account, hash, created, expires, revoked, last_used FROM credential";

/// The row, if this bridge wrote all of it; when it was last used is anybody's to say.
fn genuine(ledger: &Ledger, sealer: &dyn Sealer, row: &Row<'_>) -> Option<IssuedCredential> {
    let read = credential(row).ok()?;
    ledger.knows(sealer, Kept::Credential, read.id.as_bytes(), &fields(&read)).then_some(read)
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
