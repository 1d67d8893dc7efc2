//! Waiting actions, left in the transaction of the change that they tell of.

use super::failure::Failure;
use super::ledger::{Entry, Ledger};
use super::queue::Effect;
use super::turn::Turn;
use super::{SqliteStore, from_sql, to_sql};
use crate::{Actor, Outbox, Sealer, StoreFuture};
use ironbridge_core::{Action, ExchangeId, Outcome, Timestamp, Word, action, word};
use rusqlite::types::Type;
use rusqlite::{Connection, Row, params};
use std::collections::HashSet;

impl Outbox for SqliteStore {
    fn note(&self, action: Action) -> StoreFuture<'_, ()> {
        let action = Action { actor: self.actor.0.to_string(), ..action };
        let author = self.author();
        self.queue.ask(Effect::Changes, move |turn| {
            turn.ledger()?.has_room(Entry::Action)?;
            author.leave(turn, &action)
        })
    }

    fn pending(&self, limit: u32) -> StoreFuture<'_, Vec<Action>> {
        let author = self.author();
        self.queue.ask(Effect::Reads, move |turn| {
            let (db, keeper) = (turn.db, turn.keeper);
            let ledger = turn.ledger()?;
            let mut select = db.prepare_cached(&format!("{SELECT} ORDER BY number LIMIT ?1"))?;
            let mut rows = select.query([limit])?;
            let mut pending = Vec::new();
            while let Some(row) = rows.next()? {
                pending.push(author.believed(ledger, keeper, row)?);
            }
            let there = numbered(db)?;
            for id in ledger.keys(Entry::Action).filter(|id| !there.contains(*id)) {
                if pending.len() < usize::try_from(limit).unwrap_or(usize::MAX) {
                    pending.extend(id.try_into().ok().map(|id| author.refused(id, &word::ROW_REMOVED)));
                }
            }
            Ok(pending)
        })
    }

    fn done(&self, ids: Vec<ExchangeId>) -> StoreFuture<'_, ()> {
        self.queue.ask(Effect::Writes, move |turn| {
            let mut delete = turn.db.prepare_cached("DELETE FROM outbox WHERE id = ?1")?;
            for id in ids {
                let id = id.to_u128().to_be_bytes();
                delete.execute([id])?;
                turn.ledger()?.remove(Entry::Action, &id);
            }
            Ok(())
        })
    }

    fn count(&self) -> StoreFuture<'_, u64> {
        self.queue.ask(Effect::Reads, move |turn| {
            let there = numbered(turn.db)?;
            let removed = turn.ledger()?.keys(Entry::Action).filter(|id| !there.contains(*id)).count();
            Ok(u64::try_from(there.len().saturating_add(removed)).unwrap_or(u64::MAX))
        })
    }
}

/// The ids of what is there, from the table itself: an index may say something else than what it was made of.
fn numbered(db: &Connection) -> rusqlite::Result<HashSet<Vec<u8>>> {
    let mut select = db.prepare_cached("SELECT id FROM outbox NOT INDEXED")?;
    select.query_map([], |row| row.get(0))?.collect()
}

/// Who does something now.
pub(super) struct Author {
    actor: Actor,
    at: Timestamp,
}

impl SqliteStore {
    pub(super) fn author(&self) -> Author {
        Author::new(self.actor.clone(), self.clock.now())
    }
}

impl Author {
    pub(super) fn new(actor: Actor, at: Timestamp) -> Author {
        Author { actor, at }
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
    pub(super) fn leave(&self, turn: &mut Turn<'_>, action: &Action) -> Result<(), Failure> {
        let facts = serde_json::to_string(&action.facts)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(Box::new(error)))?;
        let insert = turn.db.prepare_cached(
            "INSERT INTO outbox (id, time, name, object, account, facts, actor)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        );
        insert?.execute(params![
            action.id.to_u128().to_be_bytes(),
            to_sql(action.time),
            action.name,
            action.object,
            action.account,
            facts,
            action.actor
        ])?;
        let keeper = turn.keeper;
        turn.ledger()?.put(
            keeper,
            Entry::Action,
            &action.id.to_u128().to_be_bytes(),
            &fields(action, &facts),
        );
        Ok(())
    }

    /// What the row says, or, where another hand wrote it, that somebody did.
    fn believed(&self, ledger: &Ledger, sealer: &dyn Sealer, row: &Row<'_>) -> rusqlite::Result<Action> {
        let id: [u8; 16] = row.get("id")?;
        let genuine = fields_of(row).is_ok_and(|fields| ledger.knows(sealer, Entry::Action, &id, &fields));
        if let (true, Ok(action)) = (genuine, read(row)) {
            return Ok(action);
        }
        let claims = row.get("name").unwrap_or_else(|_| String::new());
        Ok(self.refused(id, &word::ROW_ALTERED).fact("claims", claims))
    }

    /// That another hand was in the outbox, under the id of what it touched.
    fn refused(&self, id: [u8; 16], why: &'static Word) -> Action {
        let id = ExchangeId::from_u128(u128::from_be_bytes(id));
        Action::done(id, self.at, action::name::STORE_REFUSE, "outbox").not_done(Outcome::Failed, why)
    }
}

const SELECT: &str = "SELECT number, id, time, name, object, account, facts, actor FROM outbox";

/// What the row says was done; the first is its key.
pub(super) fn fields_of(row: &Row<'_>) -> rusqlite::Result<Vec<Vec<u8>>> {
    Ok(fields(&read(row)?, &row.get::<_, String>("facts")?).into())
}

fn fields(action: &Action, facts: &str) -> [Vec<u8>; 7] {
    let texts = [&*action.name, &action.object, &action.account, facts, &action.actor];
    let [name, object, account, facts, actor] = texts.map(|text| text.as_bytes().to_vec());
    let time = to_sql(action.time).to_be_bytes().to_vec();
    [action.id.to_u128().to_be_bytes().to_vec(), time, name, object, account, facts, actor]
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
