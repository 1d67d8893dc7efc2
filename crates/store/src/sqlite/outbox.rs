use super::queue::{Effect, Failure};
use super::{SqliteStore, from_sql, row, to_sql};
use crate::{Actor, Outbox, Sealer, StoreError, StoreFuture};
use ironbridge_core::{Action, ExchangeId, Outcome, Timestamp, action};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use std::sync::Arc;

impl Outbox for SqliteStore {
    fn note(&self, action: Action) -> StoreFuture<'_, ()> {
        let action = Action { actor: self.actor.0.to_string(), ..action };
        let author = self.author();
        self.queue.ask(Effect::Changes, move |db| author.leave(db, &action))
    }

    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<Action>> {
        let author = self.author();
        self.ask(Effect::Reads, move |db| {
            let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY number LIMIT ?1"))?;
            let mut rows = select.query([limit])?;
            let mut pending = Vec::new();
            while let Some(row) = rows.next()? {
                pending.push(author.believed(row)?);
            }
            Ok(pending)
        })
    }

    fn done(&self, ids: Vec<ExchangeId>) -> StoreFuture<'_, ()> {
        self.ask(Effect::Writes, move |db| {
            let mut delete = db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
            ids.iter().try_for_each(|id| delete.execute([id.to_u128().to_be_bytes()]).map(drop))
        })
    }

    fn count(&self) -> StoreFuture<'_, u64> {
        self.ask(Effect::Reads, |db| {
            let mut count = db.prepare_cached("SELECT count(*) FROM outbox")?;
            count.query_row([], |row| row.get::<_, i64>(0)).map(i64::cast_unsigned)
        })
    }
}

/// Who does something now.
pub(super) struct Author {
    actor: Actor,
    at: Timestamp,
    sealer: Arc<dyn Sealer>,
}

impl SqliteStore {
    pub(super) fn author(&self) -> Author {
        Author::new(self.actor.clone(), self.clock.now(), Arc::clone(&self.sealer))
    }
}

impl Author {
    pub(super) fn new(actor: Actor, at: Timestamp, sealer: Arc<dyn Sealer>) -> Author {
        Author { actor, at, sealer }
    }

    pub(super) fn sealer(&self) -> &dyn Sealer {
        &*self.sealer
    }

    pub(super) fn did(
        &self,
        db: &Connection,
        name: &'static str,
        object: impl Into<String>,
    ) -> rusqlite::Result<Action> {
        let random = db.prepare_cached("SELECT randomblob(10)")?.query_row([], |row| row.get(0))?;
        let mut action = Action::done(ExchangeId::new(self.at, random), self.at, name, object);
        action.actor = self.actor.0.to_string();
        Ok(action)
    }

    /// Leaves an action, in the transaction of the change that it stands for.
    pub(super) fn leave(&self, db: &Connection, action: &Action) -> Result<(), Failure> {
        let facts = serde_json::to_string(&action.facts)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let seal = seal(self.sealer(), action, &facts)?;
        db.prepare_cached(
            "INSERT INTO outbox (id, time, name, object, account, facts, actor, seal)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute(params![
            action.id.to_u128().to_be_bytes(),
            to_sql(action.time),
            action.name,
            action.object,
            action.account,
            facts,
            action.actor,
            seal
        ])?;
        Ok(())
    }

    /// What the row says, or, where another hand wrote it, that somebody did.
    fn believed(&self, row: &Row<'_>) -> rusqlite::Result<Action> {
        let id: [u8; 16] = row.get("id")?;
        let sealed = read(row).ok().and_then(|action| {
            let (facts, given): (String, Vec<u8>) = (row.get("facts").ok()?, row.get("seal").ok()?);
            is_sealed(self.sealer(), &given, &action, &facts).then_some(action)
        });
        Ok(sealed.unwrap_or_else(|| {
            let claims = row.get("name").unwrap_or_else(|_| String::new());
            let id = ExchangeId::from_u128(u128::from_be_bytes(id));
            let mut refused = Action::done(id, self.at, action::name::STORE_REFUSE, "outbox");
            (refused.outcome, refused.code) = (Outcome::Failed, "row-altered".into());
            refused.fact("claims", claims)
        }))
    }
}

const SELECT: &str = "SELECT number, id, time, name, object, account, facts, actor, seal FROM outbox";
const TABLE: &str = "outbox";

fn seal(sealer: &dyn Sealer, action: &Action, facts: &str) -> Result<Vec<u8>, StoreError> {
    row::seal(sealer, TABLE, &fields(action, facts).each_ref().map(|field| &**field))
}

fn is_sealed(sealer: &dyn Sealer, seal: &[u8], action: &Action, facts: &str) -> bool {
    row::is_sealed(sealer, seal, TABLE, &fields(action, facts).each_ref().map(|field| &**field))
}

fn fields(action: &Action, facts: &str) -> [Vec<u8>; 7] {
    let texts = [&*action.name, &action.object, &action.account, facts, &action.actor];
    let [name, object, account, facts, actor] = texts.map(|text| text.as_bytes().to_vec());
    let time = to_sql(action.time).to_be_bytes().to_vec();
    [action.id.to_u128().to_be_bytes().to_vec(), time, name, object, account, facts, actor]
}

/// Seals what waits as it is, and tells how many there are.
pub(super) fn seal_all(db: &Connection, sealer: &dyn Sealer) -> Result<usize, Failure> {
    let mut select = db.prepare(SELECT)?;
    let mut rows = select.query([])?;
    let mut sealed = Vec::new();
    while let Some(row) = rows.next()? {
        sealed.push((
            row.get::<_, i64>("number")?,
            seal(sealer, &read(row)?, &row.get::<_, String>("facts")?)?,
        ));
    }
    for (number, seal) in &sealed {
        db.execute("UPDATE outbox SET seal = ?2 WHERE number = ?1", params![number, seal])?;
    }
    Ok(sealed.len())
}

fn read(row: &Row<'_>) -> rusqlite::Result<Action> {
    let (name, object): (String, String) = (row.get("name")?, row.get("object")?);
    let id = ExchangeId::from_u128(u128::from_be_bytes(row.get("id")?));
    let mut action = Action::done(id, from_sql(row.get("time")?), name, object);
    action.account = row.get("account")?;
    let facts: Vec<(String, String)> = serde_json::from_str(&row.get::<_, String>("facts")?)
        .map_err(|error| rusqlite::Error::FromSqlConversionFailure(5, Type::Text, Box::new(error)))?;
    action.facts = facts.into_iter().map(|(name, value)| (name.into(), value)).collect();
    action.actor = row.get("actor")?;
    Ok(action)
}
