//! Idempotency keys: taken in a commit of their own or of many, settled without waiting.

use super::allowance::{self, Allowance};
use super::failure::Failure;
use super::queue::{Effect, Job, Queue};
use super::turn::Turn;
use super::{SqliteStore, answer, to_sql};
use crate::{
    Fingerprints, HANGS, Idempotency, Rekey, Reservation, Sealer, Settlement, StoreError, StoreFuture, Ticket,
};
use ironbridge_core::{OwnerTag, Timestamp};
use rusqlite::{Connection, OptionalExtension, params};
use std::sync::Arc;

impl Idempotency for SqliteStore {
    fn reserve(
        &self,
        scope: &str,
        key: &str,
        request: Fingerprints,
        now: Timestamp,
        expires: Timestamp,
    ) -> StoreFuture<'_, Reservation> {
        let ticket = Ticket { scope: scope.into(), key: key.into(), holder: self.next_holder() };
        let context = seal_context(scope, key);
        let (queue, allowance) = (self.queue.clone(), Arc::clone(&self.allowance));
        let found = self.queue.ask(Effect::Writes, move |turn| {
            Ok(take(turn.db, &allowance, queue, ticket, request, now, expires)?)
        });
        Box::pin(async move {
            // Whoever is not waited for any more has it released.
            let found = tokio::time::timeout(HANGS, found).await.unwrap_or_else(|_| {
                Err(StoreError::Io(format!("it has not answered for {} seconds", HANGS.as_secs())))
            });
            Ok(match found? {
                Found::Free(unclaimed) => {
                    unclaimed.claim().map_or(Reservation::InProgress, Reservation::Taken)
                }
                Found::Held => Reservation::InProgress,
                Found::Mismatch => Reservation::Mismatch,
                Found::Unknown => Reservation::OutcomeUnknown,
                Found::Full => Reservation::Full,
                Found::Finished(sealed) => {
                    let plain = self
                        .sealer
                        .open(&sealed, &context)
                        .map_err(|error| StoreError::Sealing(error.to_string()))?;
                    Reservation::Finished(answer::decode(&plain)?)
                }
            })
        })
    }

    fn concerns(&self, ticket: Ticket, owners: Vec<OwnerTag>) {
        if !owners.is_empty() {
            self.queue.tell(Box::new(Concerns { ticket, owners }));
        }
    }

    fn settle(&self, ticket: Ticket, settlement: Settlement) {
        let outcome = match settlement {
            // What cannot be sealed cannot be kept, and without its answer the outcome is as good as unknown.
            Settlement::Finished(answer) => self
                .sealer
                .seal(&answer::encode(&answer), &seal_context(&ticket.scope, &ticket.key))
                .map_or(Outcome::Unknown, Outcome::Finished),
            Settlement::Release => Outcome::Release,
            Settlement::Unknown => Outcome::Unknown,
        };
        self.queue.tell(Box::new(Settle { ticket, outcome }));
    }

    fn keep_at_most(&self, bytes: u64) {
        self.allowance.set_limit(bytes);
    }

    fn count_anew(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.count_kept())
    }

    fn key_fingerprints(&self, keyed: Rekey) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let is_there = self.ask(Effect::Reads, |db| {
                db.prepare("SELECT 1 FROM idempotency WHERE version = ?1")?.exists([UNKEYED])
            });
            match is_there.await? {
                true => self.ask(Effect::Erases, move |db| rekey(db, &*keyed)).await,
                false => Ok(()),
            }
        })
    }
}

/// What is at the key, before anything is opened.
enum Found {
    Free(Unclaimed),
    Held,
    Mismatch,
    Finished(Vec<u8>),
    Unknown,
    Full,
}

fn take(
    db: &Connection,
    allowance: &Allowance,
    queue: Queue,
    ticket: Ticket,
    request: Fingerprints,
    now: Timestamp,
    expires: Timestamp,
) -> rusqlite::Result<Found> {
    let (run, number) = ticket.holder;
    let held = db
        .prepare_cached(
            "SELECT fingerprint, state, run, answer, version FROM idempotency
             WHERE scope = ?1 AND key = ?2 AND expires > ?3",
        )?
        .query_row(params![ticket.scope, ticket.key, to_sql(now)], |row| {
            let fingerprint: [u8; 32] = row.get(0)?;
            let is_same = match row.get::<_, i64>(4)? {
                WHOLE => fingerprint == request.whole,
                WITHOUT_FIELDS => fingerprint == request.without_fields,
                // Nobody can tell any more what it was.
                _ => return Ok(Found::Unknown),
            };
            Ok(if !is_same {
                Found::Mismatch
            } else {
                match row.get::<_, i64>(1)? {
                    OPEN if row.get::<_, i64>(2)? == run => Found::Held,
                    FINISHED => Found::Finished(row.get(3)?),
                    // Settled as unknown, or left open by a process that stopped.
                    _ => Found::Unknown,
                }
            })
        })
        .optional()?;
    if let Some(found) = held {
        return Ok(found);
    }
    // One that has expired.
    delete(db, "scope = ?1 AND key = ?2", params![ticket.scope, ticket.key])?;
    let row = allowance::row(&ticket.scope, &ticket.key, size_of_val(&*request.owners));
    if !allowance.has_room(db, &ticket.scope, row)? {
        return Ok(Found::Full);
    }
    db.prepare_cached(
        "INSERT INTO idempotency (scope, key, fingerprint, state, run, number, expires, version, owners)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
    )?
    .execute(params![
        ticket.scope,
        ticket.key,
        request.whole,
        OPEN,
        run,
        number,
        to_sql(expires),
        WHOLE,
        joined(&request.owners)
    ])?;
    allowance::add(db, &ticket.scope, row)?;
    Ok(Found::Free(Unclaimed { ticket: Some(ticket), queue }))
}

/// Deletes such rows, and gives back what they took.
fn delete(db: &Connection, which: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
    let delete = format!("DELETE FROM idempotency WHERE {which} RETURNING scope, {}", allowance::BYTES);
    give_back(db, &delete, parameters)
}

/// Gives back what these rows say, scope and bytes; says how many they are.
fn give_back(db: &Connection, freed: &str, parameters: impl rusqlite::Params) -> rusqlite::Result<usize> {
    let mut freed = db.prepare_cached(freed)?;
    let freed = freed.query_map(parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let freed: Vec<(String, i64)> = freed.collect::<rusqlite::Result<_>>()?;
    for (scope, bytes) in &freed {
        allowance::change(db, scope, -bytes)?;
    }
    Ok(freed.len())
}

/// Forgets so many keys, at most, that have expired; says how many it were.
pub(super) fn sweep(db: &Connection, now: Timestamp, most: usize) -> rusqlite::Result<usize> {
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let expired = "rowid IN (SELECT rowid FROM idempotency WHERE expires <= ?1 LIMIT ?2)";
    let turn = db.unchecked_transaction()?;
    let swept = delete(&turn, expired, params![to_sql(now), most])?;
    turn.commit()?;
    Ok(swept)
}

/// A reservation on its way to whoever asked. If it never arrives, because the transaction failed or the asker
/// has gone, it is released: nothing can have been delivered under it.
struct Unclaimed {
    ticket: Option<Ticket>,
    queue: Queue,
}

impl Unclaimed {
    fn claim(mut self) -> Option<Ticket> {
        self.ticket.take()
    }
}

impl Drop for Unclaimed {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            self.queue.tell(Box::new(Settle { ticket, outcome: Outcome::Release }));
        }
    }
}

/// The job that ends a reservation; tried until it succeeds.
struct Settle {
    ticket: Ticket,
    outcome: Outcome,
}

enum Outcome {
    Finished(Vec<u8>),
    Release,
    Unknown,
}

impl Job for Settle {
    fn effect(&self) -> Effect {
        Effect::Writes
    }

    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let db = turn.db;
        let Ticket { scope, key, holder: (run, number) } = &self.ticket;
        let (state, answer) = match &self.outcome {
            Outcome::Finished(sealed) => (FINISHED, Some(sealed)),
            Outcome::Unknown => (UNKNOWN, None),
            Outcome::Release => {
                let held = "scope = ?1 AND key = ?2 AND run = ?3 AND number = ?4";
                delete(db, held, params![scope, key, run, number])?;
                return Ok(());
            }
        };
        // No row means that the key expired meanwhile and may be another's by now, or that somebody whom it concerns
        // was erased.
        let settled = db
            .prepare_cached(
                "UPDATE idempotency SET state = ?5, answer = ?6
                 WHERE scope = ?1 AND key = ?2 AND run = ?3 AND number = ?4 AND state = 0",
            )?
            .execute(params![scope, key, run, number, state, answer])?;
        if let (1.., Some(answer)) = (settled, answer) {
            allowance::add(db, scope, answer.len())?;
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) -> Option<Box<dyn Job>> {
        match committed {
            Ok(()) => None,
            Err(_) => Some(self),
        }
    }
}

/// The job that says whom a reservation concerns; tried until it succeeds.
struct Concerns {
    ticket: Ticket,
    owners: Vec<OwnerTag>,
}

impl Job for Concerns {
    fn effect(&self) -> Effect {
        Effect::Writes
    }

    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        let db = turn.db;
        let Ticket { scope, key, holder: (run, number) } = &self.ticket;
        let named = db
            .prepare_cached(
                "UPDATE idempotency SET owners = CAST(coalesce(owners, x'') || ?5 AS BLOB)
                 WHERE scope = ?1 AND key = ?2 AND run = ?3 AND number = ?4 AND state = 0",
            )?
            .execute(params![scope, key, run, number, joined(&self.owners)])?;
        if named > 0 {
            allowance::add(db, scope, size_of_val(&*self.owners))?;
        }
        let mut exists = db.prepare_cached("SELECT 1 FROM owner WHERE tag = ?1")?;
        for tag in &self.owners {
            // Destroyed since the answer was read.
            if !exists.exists([tag])? {
                forget(db, tag)?;
            }
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) -> Option<Box<dyn Job>> {
        match committed {
            Ok(()) => None,
            Err(_) => Some(self),
        }
    }
}

/// Leaves of what concerns an owner only that its keys were used, so that nothing acts twice.
pub(super) fn forget(db: &Connection, owner: &OwnerTag) -> rusqlite::Result<usize> {
    let freed = "SELECT scope, coalesce(length(answer), 0) + length(owners) FROM idempotency
                 WHERE owners IS NOT NULL AND instr(owners, ?1) > 0";
    give_back(db, freed, [owner])?;
    db.prepare_cached(
        "UPDATE idempotency
         SET fingerprint = zeroblob(32), version = ?2, state = ?3, answer = NULL, owners = NULL
         WHERE owners IS NOT NULL AND instr(owners, ?1) > 0",
    )?
    .execute(params![owner, FORGOTTEN, UNKNOWN])
}

fn rekey(db: &Connection, keyed: &dyn Fn(&[u8; 32]) -> [u8; 32]) -> rusqlite::Result<()> {
    let mut select = db.prepare("SELECT rowid, fingerprint FROM idempotency WHERE version = ?1")?;
    let rows = select.query_map([UNKEYED], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let rows: Vec<(i64, [u8; 32])> = rows.collect::<rusqlite::Result<_>>()?;
    let mut update = db.prepare("UPDATE idempotency SET fingerprint = ?2, version = ?3 WHERE rowid = ?1")?;
    for (row, fingerprint) in rows {
        update.execute(params![row, keyed(&fingerprint), WITHOUT_FIELDS])?;
    }
    Ok(())
}

/// A blob of nothing is none, so that a look for owners passes such rows over.
fn joined(owners: &[OwnerTag]) -> Option<Vec<u8>> {
    (!owners.is_empty()).then(|| owners.concat())
}

/// Binds a sealed answer to its row. The length keeps two pairs of scope and key from giving the same bytes.
fn seal_context(scope: &str, key: &str) -> Vec<u8> {
    format!("idempotency/{}/{scope}/{key}", scope.len()).into_bytes()
}

/// The column `version`, see `v4.sql`.
const FORGOTTEN: i64 = 0;
const UNKEYED: i64 = 1;
const WITHOUT_FIELDS: i64 = 2;
const WHOLE: i64 = 3;

/// The column `state`, see `v1.sql`.
const OPEN: i64 = 0;
const FINISHED: i64 = 1;
const UNKNOWN: i64 = 2;
