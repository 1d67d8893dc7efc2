//! A store of an older version gets a ledger, once: in the transaction that brings its schema up to date. There is no
//! other way to one, so a store whose ledger was taken away does not open. What a store that was set back to an older
//! version would tell is the mark of another life, which whoever remembers the last one refuses.

use super::failure::Failure;
use super::keeper::Keeper;
use super::ledger::{Known, Ledger};
use super::outbox::Author;
use super::turn::Turn;
use super::{credentials, items, outbox, owners};
use crate::Sealer;
use ironbridge_core::action::name;
use rusqlite::{Connection, Row};

/// What to take into the ledger.
pub(super) struct Adopted {
    credentials: Vec<Known>,
    actions: Vec<Known>,
}

impl Adopted {
    /// Before the seals of rows go. Those of version 4 count as far as their seals are right; of older ones all that
    /// there are, which nobody can tell from others.
    pub fn of(db: &Connection, sealer: &dyn Sealer, version: i64) -> Result<Adopted, Failure> {
        let nothing = Adopted { credentials: Vec::new(), actions: Vec::new() };
        if version == 0 {
            return Ok(nothing);
        }
        let sealed: bool =
            version >= FIRST_SEALED && db.query_row("SELECT rows_sealed FROM meta", [], |row| row.get(0))?;
        let read = |sql: &str, table: &str, fields: fn(&Row<'_>) -> rusqlite::Result<Vec<Vec<u8>>>| {
            let mut taken = Vec::new();
            let mut select = db.prepare(sql)?;
            let mut rows = select.query([])?;
            while let Some(row) = rows.next()? {
                let Ok(fields) = fields(row) else { continue };
                let genuine = !sealed
                    || row.get("seal").is_ok_and(|seal: Vec<u8>| was_sealed(sealer, &seal, table, &fields));
                if let (true, Some(key)) = (genuine, fields.first()) {
                    taken.push((key.clone(), fields));
                }
            }
            Ok::<_, Failure>(taken)
        };
        // Without an outbox there was nothing to leave in it either.
        let actions = match version {
            1 => Vec::new(),
            _ => read("SELECT * FROM outbox", "outbox", outbox::fields_of)?,
        };
        Ok(Adopted {
            credentials: read("SELECT * FROM credential", "credential", credentials::fields_of)?,
            actions,
        })
    }

    /// Begins the ledger, and leaves an action that says what was taken as it was.
    pub fn begin(self, db: &Connection, keeper: &Keeper, author: &Author) -> Result<(), Failure> {
        use super::ledger::Entry::{Action, Credential, Item};
        let mut ledger = Ledger::new(db)?;
        let items = items::all(db)?;
        let counts = [self.credentials.len(), self.actions.len(), items.len()];
        for (kept, rows) in [(Credential, self.credentials), (Action, self.actions), (Item, items)] {
            for (key, fields) in rows {
                ledger.put(keeper, kept, &key, &fields);
            }
        }
        let mut owners = 0_usize;
        owners::each(db, |fields| {
            ledger.add_owner(keeper, fields);
            owners += 1;
        })?;
        let mut turn = Turn::with(db, keeper, ledger);
        let [credentials, actions, items] = counts;
        if credentials + actions + items + owners > 0 {
            let adopted = author.did(db, name::STORE_ADOPT, "store")?;
            let adopted = adopted
                .fact("credentials", credentials.to_string())
                .fact("actions", actions.to_string())
                .fact("items", items.to_string())
                .fact("owners", owners.to_string());
            author.leave(&mut turn, &adopted)?;
        }
        turn.write()?;
        db.execute("UPDATE meta SET generation = generation + 1", [])?;
        Ok(())
    }
}

/// The seal of a row of version 4: of nothing, bound to the table and all that the row says.
fn was_sealed(sealer: &dyn Sealer, seal: &[u8], table: &str, fields: &[Vec<u8>]) -> bool {
    let mut context = format!("row/{table}").into_bytes();
    for field in fields {
        context.extend_from_slice(&u64::try_from(field.len()).unwrap_or(u64::MAX).to_be_bytes());
        context.extend_from_slice(field);
    }
    sealer.open(seal, &context).is_ok_and(|plain| plain.is_empty())
}

/// The schema whose rows had seals.
const FIRST_SEALED: i64 = 3;
