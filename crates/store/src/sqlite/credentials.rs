use super::queue::{Effect, Failure};
use super::{SqliteStore, from_sql, outbox, to_sql};
use crate::{Credentials, IssuedCredential, IssuedKind, StoreError, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{OptionalExtension, Row, named_params, params};

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
            let name = match credential.kind {
                IssuedKind::ApiKey | IssuedKind::ClientSecret => action::name::KEY_ISSUE,
                IssuedKind::Certificate => action::name::CERTIFICATE_ISSUE,
            };
            let issued = author.did(db, name, credential.id)?;
            Ok(outbox::leave(
                db,
                &issued.account(credential.account).fact("kind", credential.kind.name().replace('-', "_")),
            )?)
        })
    }

    fn revoke<'a>(&'a self, id: &'a str, at: Timestamp) -> StoreFuture<'a, bool> {
        let (id, author) = (id.to_owned(), self.author());
        self.ask(Effect::Changes, move |db| {
            let revoked: Option<(String, String)> = db
                .prepare_cached(
                    "UPDATE credential SET revoked = ?2 WHERE id = ?1 AND revoked IS NULL RETURNING account, kind",
                )?
                .query_row(params![id, to_sql(at)], |row| Ok((row.get(0)?, row.get(1)?)))
                .optional()?;
            let Some((account, kind)) = revoked else { return Ok(false) };
            let action = author.did(db, action::name::KEY_REVOKE, id)?.account(account).fact("kind", kind.replace('-', "_"));
            outbox::leave(db, &action)?;
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
        let account = account.map(str::to_owned);
        self.ask(Effect::Reads, move |db| {
            db.prepare_cached(
                "SELECT id, kind, account, hash, created, expires, revoked, last_used FROM credential
                 WHERE ?1 IS NULL OR account = ?1 ORDER BY created, id",
            )?
            .query_map([account], credential)?
            .collect()
        })
    }
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
