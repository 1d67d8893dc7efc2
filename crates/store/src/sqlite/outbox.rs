use super::queue::Effect;
use super::{SqliteStore, from_sql, to_sql};
use crate::{Actor, Outbox, StoreFuture};
use ironbridge_core::{Action, ExchangeId, Timestamp};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};

impl Outbox for SqliteStore {
    fn note(&self, action: Action) -> StoreFuture<'_, ()> {
        let action = Action { actor: self.actor.0.to_string(), ..action };
        self.ask(Effect::Changes, move |db| leave(db, &action))
    }

    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<Action>> {
        self.ask(Effect::Reads, move |db| {
            db.prepare_cached(
                "SELECT id, time, name, object, account, facts, actor FROM outbox ORDER BY number LIMIT ?1",
            )?
            .query_map([limit], read)?
            .collect()
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
}

impl SqliteStore {
    pub(super) fn author(&self) -> Author {
        Author { actor: self.actor.clone(), at: self.clock.now() }
    }
}

impl Author {
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
}

/// Leaves an action, in the transaction of the change that it stands for.
pub(super) fn leave(db: &Connection, action: &Action) -> rusqlite::Result<()> {
    let facts = serde_json::to_string(&action.facts)
        .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
    db.prepare_cached(
        "INSERT INTO outbox (id, time, name, object, account, facts, actor) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?
    .execute(params![
        action.id.to_u128().to_be_bytes(),
        to_sql(action.time),
        action.name,
        action.object,
        action.account,
        facts,
        action.actor
    ])
    .map(drop)
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
