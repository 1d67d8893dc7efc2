use super::queue::{Effect, Failure};
use super::{SqliteStore, from_sql, row, to_sql};
use crate::{Credentials, IssuedCredential, IssuedKind, Sealer, StoreError, StoreFuture};
use ironbridge_core::{Timestamp, action};
use rusqlite::types::{FromSqlError, Type};
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use std::sync::Arc;

impl Credentials for SqliteStore {
    fn insert(&self, credential: IssuedCredential) -> StoreFuture<'_, ()> {
        let author = self.author();
        self.queue.ask(Effect::Changes, move |db| {
            let inserted = db
                .prepare_cached(
                    "INSERT INTO credential (id, kind, account, hash, created, expires, revoked, last_used, seal)
                     VALUES (:id, :kind, :account, :hash, :created, :expires, :revoked, :last_used, :seal)
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
                    ":seal": seal(author.sealer(), &credential)?,
                })?;
            if inserted == 0 {
                return Err(Failure::Refused(StoreError::Conflict(credential.id)));
            }
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
            let found =
                select.query_row([&id], |row| Ok(genuine(author.sealer(), row))).optional()?.flatten();
            // What another hand wrote opens nothing, so there is nothing to revoke.
            let Some(found) = found.filter(|found| found.revoked.is_none()) else { return Ok(false) };
            let revoked = IssuedCredential { revoked: Some(from_sql(to_sql(at))), ..found };
            db.prepare_cached("UPDATE credential SET revoked = ?2, seal = ?3 WHERE id = ?1")?
                .execute(params![id, to_sql(at), seal(author.sealer(), &revoked)?])?;
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
        self.ask(Effect::Reads, move |db| {
            let mut select = db
                .prepare_cached(&format!("{SELECT} WHERE ?1 IS NULL OR account = ?1 ORDER BY created, id"))?;
            let listed = select.query_map([account], |row| Ok(genuine(&*sealer, row)))?;
            listed.filter_map(Result::transpose).collect()
        })
    }

    fn altered(&self) -> StoreFuture<'_, Vec<String>> {
        let sealer = Arc::clone(&self.sealer);
        self.ask(Effect::Reads, move |db| {
            let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY id"))?;
            let altered = select.query_map([], |row| match genuine(&*sealer, row) {
                Some(_) => Ok(None),
                None => row.get::<_, String>("id").map(Some),
            })?;
            altered.filter_map(Result::transpose).collect()
        })
    }
}

const SELECT: &str =
    "SELECT id, kind, account, hash, created, expires, revoked, last_used, seal FROM credential";
const TABLE: &str = "credential";

/// The row, if this bridge wrote all of it; when it was last used is anybody's to say.
fn genuine(sealer: &dyn Sealer, row: &Row<'_>) -> Option<IssuedCredential> {
    let read = credential(row).ok()?;
    let given: Vec<u8> = row.get("seal").ok()?;
    row::is_sealed(sealer, &given, TABLE, &fields(&read).each_ref().map(|field| &**field)).then_some(read)
}

fn seal(sealer: &dyn Sealer, credential: &IssuedCredential) -> Result<Vec<u8>, StoreError> {
    row::seal(sealer, TABLE, &fields(credential).each_ref().map(|field| &**field))
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

/// Seals the rows as they are, and tells how many there are.
pub(super) fn seal_all(db: &Connection, sealer: &dyn Sealer) -> Result<usize, Failure> {
    let mut select = db.prepare(SELECT)?;
    let all: Vec<IssuedCredential> = select.query_map([], credential)?.collect::<rusqlite::Result<_>>()?;
    for one in &all {
        db.execute("UPDATE credential SET seal = ?2 WHERE id = ?1", params![one.id, seal(sealer, one)?])?;
    }
    Ok(all.len())
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
