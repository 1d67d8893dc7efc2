//! What the store knows of its own rows. The file can be written by whoever may write the data directory; a row counts
//! only if the ledger has it as it is, and one that the ledger has and the table has not was taken away. So a row that
//! another hand put in, changed, took away, or put back as it was before, is found, and told by its name.
//!
//! The ledger is two sealed values, written in the transaction of every change. `rows` has a sum over each row of a
//! credential, a sealed item and a waiting action, which all are few and rarely written. `head` says how far the store
//! came, and has the sum of `rows`, so that neither is put back without the other. Of owners' keys, which are many, it
//! has one sum over all of them, which says whether one is missing but not which.
//!
//! What the file alone cannot tell is that all of it was set back. [`StoreMark`] says how far it came, for somebody
//! outside to remember, and each process remembers the newest that it saw ([`super::keeper::Keeper`]): see there.

use super::failure::{Failure, altered};
use super::steps;
use crate::{Sealer, StoreError};
use ironbridge_core::StoreMark;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Which rows it lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Entry {
    Credential = 1,
    Item = 2,
    Action = 3,
}

/// The key and the fields of a row.
pub(super) type Known = (Vec<u8>, Vec<Vec<u8>>);

type Sum = [u8; 32];
/// Kind and key.
type Row = (u8, Vec<u8>);
type Rows = BTreeMap<Row, Sum>;

/// What is known of the rows of a store.
pub(super) struct Ledger {
    mark: StoreMark,
    /// What the sums are made with; never leaves the seal.
    key: [u8; 32],
    owners: Owners,
    /// Over `rows` as they are sealed.
    rows_sum: Sum,
    /// Once they were read.
    rows: Option<Rows>,
    changed: Changed,
    /// What was before the last change that may yet fail.
    before: Before,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    Nothing,
    Head,
    Rows,
}

#[derive(Default)]
struct Before {
    owners: Owners,
    rows: Vec<(Row, Option<Sum>)>,
}

impl Ledger {
    /// Of a store that holds nothing yet.
    pub fn new(db: &Connection) -> rusqlite::Result<Ledger> {
        let (life, key) = db.query_row("SELECT randomblob(16), randomblob(32)", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 32]>(1)?))
        })?;
        Ok(Ledger::of(StoreMark { life, ..StoreMark::default() }, key, Owners::default(), Some(Rows::new())))
    }

    fn of(mark: StoreMark, key: [u8; 32], owners: Owners, rows: Option<Rows>) -> Ledger {
        let before = Before { owners, rows: Vec::new() };
        let changed = if rows.is_some() { Changed::Rows } else { Changed::Nothing };
        Ledger { mark, key, owners, rows_sum: [0; 32], rows, changed, before }
    }

    /// As it lies there, without its rows.
    ///
    /// # Errors
    /// [`StoreError::Altered`] where it is missing or another's.
    pub fn read(db: &Connection, sealer: &dyn Sealer) -> Result<Ledger, Failure> {
        let plain = opened(db, sealer, HEAD, HEAD_CONTEXT)?;
        let head = decode_head(&plain);
        Ok(head.ok_or_else(|| altered("what it remembers of its rows cannot be read"))?)
    }

    /// Reads its rows too, once.
    ///
    /// # Errors
    /// [`StoreError::Altered`] where they are not those that belong to it.
    pub fn read_rows(&mut self, db: &Connection, sealer: &dyn Sealer) -> Result<(), Failure> {
        if self.rows.is_some() {
            return Ok(());
        }
        let sealed = part(db, ROWS)?.unwrap_or_default();
        if self.sum_of_rows(sealer, &sealed) != self.rows_sum {
            Err(altered("what it remembers of its rows is missing, or of another moment"))?;
        }
        let plain = opened(db, sealer, ROWS, CONTEXT)?;
        let rows = plain.split_first().filter(|(version, _)| **version == VERSION);
        let rows = rows.and_then(|(_, rows)| decode_rows(rows));
        self.rows = Some(rows.ok_or_else(|| altered("what it remembers of its rows cannot be read"))?);
        Ok(())
    }

    /// Writes it as it is now, a step further.
    pub fn write(&mut self, db: &Connection, sealer: &dyn Sealer) -> Result<(), Failure> {
        self.mark = steps::take(db, sealer, &self.key, self.mark)?;
        if let (Changed::Rows, Some(rows)) = (self.changed, &self.rows) {
            let sealed = seal(sealer, &encode_rows(rows), CONTEXT)?;
            put_part(db, ROWS, &sealed)?;
            self.rows_sum = self.sum_of_rows(sealer, &sealed);
        }
        put_part(db, HEAD, &seal(sealer, &self.encode_head(), HEAD_CONTEXT)?)?;
        self.changed = Changed::Nothing;
        Ok(())
    }

    pub fn mark(&self) -> StoreMark {
        self.mark
    }

    pub fn is_changed(&self) -> bool {
        self.changed > Changed::Nothing
    }

    /// Whether it is what became of the one that had this mark.
    ///
    /// # Errors
    /// [`StoreError::Outran`] where it came too far since to tell.
    pub fn grew_from(
        &self,
        db: &Connection,
        sealer: &dyn Sealer,
        before: StoreMark,
    ) -> Result<bool, Failure> {
        steps::lead(db, sealer, &self.key, before, self.mark)
    }

    /// As if so many more steps had been taken.
    #[cfg(test)]
    pub fn skip(&mut self, steps: u64) {
        self.mark.changes = self.mark.changes.saturating_add(steps);
        self.changed = self.changed.max(Changed::Head);
    }

    /// From here on is what [`Ledger::undo`] takes back.
    pub fn begin(&mut self) {
        self.before = Before { owners: self.owners, rows: Vec::new() };
    }

    pub fn undo(&mut self) {
        self.owners = self.before.owners;
        let Some(rows) = &mut self.rows else { return };
        for (key, sum) in std::mem::take(&mut self.before.rows).into_iter().rev() {
            match sum {
                Some(sum) => rows.insert(key, sum),
                None => rows.remove(&key),
            };
        }
    }

    pub fn put(&mut self, sealer: &dyn Sealer, entry: Entry, key: &[u8], fields: &[Vec<u8>]) {
        let sum = sum(sealer, &self.key, entry as u8, fields);
        self.set(entry, key, Some(sum));
    }

    /// False where it had none.
    pub fn remove(&mut self, entry: Entry, key: &[u8]) -> bool {
        self.has(entry, key) && self.set(entry, key, None)
    }

    fn set(&mut self, entry: Entry, key: &[u8], sum: Option<Sum>) -> bool {
        let Some(rows) = &mut self.rows else { return false };
        let key = (entry as u8, key.to_vec());
        let before = match sum {
            Some(sum) => rows.insert(key.clone(), sum),
            None => rows.remove(&key),
        };
        self.before.rows.push((key, before));
        self.changed = Changed::Rows;
        true
    }

    pub fn has(&self, entry: Entry, key: &[u8]) -> bool {
        self.known(entry, key).is_some()
    }

    /// Whether the row is as it was left.
    pub fn knows(&self, sealer: &dyn Sealer, entry: Entry, key: &[u8], fields: &[Vec<u8>]) -> bool {
        // Nobody who could time this comparison can offer a sum: he offers rows.
        self.known(entry, key).is_some_and(|known| *known == sum(sealer, &self.key, entry as u8, fields))
    }

    fn known(&self, entry: Entry, key: &[u8]) -> Option<&Sum> {
        self.rows.as_ref()?.get(&(entry as u8, key.to_vec()))
    }

    /// The rows of a kind, by key.
    pub fn keys(&self, entry: Entry) -> impl Iterator<Item = &[u8]> {
        let rows = self.rows.iter().flatten();
        rows.filter(move |((kind, _), _)| *kind == entry as u8).map(|((_, key), _)| &**key)
    }

    /// # Errors
    /// [`StoreError::TooMany`] where a kind has as many rows as the store keeps.
    pub fn has_room(&self, entry: Entry) -> Result<(), StoreError> {
        if self.keys(entry).count() < MOST {
            return Ok(());
        }
        let (what, mend) = match entry {
            Entry::Credential => (
                "issued credentials",
                "those make room that expired or were revoked three days ago: revoke what nobody needs any more",
            ),
            Entry::Item => ("sealed items", "remove those that nothing names"),
            Entry::Action => ("actions that wait for their record", "start the bridge, which records them"),
        };
        Err(StoreError::TooMany { what, most: MOST, mend })
    }

    pub fn add_owner(&mut self, sealer: &dyn Sealer, fields: &[Vec<u8>]) {
        self.owners.add(sealer, &self.key, fields);
        self.changed = self.changed.max(Changed::Head);
    }

    pub fn take_owner(&mut self, sealer: &dyn Sealer, fields: &[Vec<u8>]) {
        self.owners.take(sealer, &self.key, fields);
        self.changed = self.changed.max(Changed::Head);
    }

    /// Whether the owners that are passed are those that there should be.
    pub fn has_owners(
        &self,
        sealer: &dyn Sealer,
        pass: impl FnOnce(&mut dyn FnMut(&[Vec<u8>])) -> Result<(), Failure>,
    ) -> Result<bool, Failure> {
        let mut found = Owners::default();
        pass(&mut |fields| found.add(sealer, &self.key, fields))?;
        Ok(found == self.owners)
    }

    fn sum_of_rows(&self, sealer: &dyn Sealer, sealed: &[u8]) -> Sum {
        sealer.mac(&self.key, &[ROWS_LABEL, sealed].concat())
    }

    fn encode_head(&self) -> Vec<u8> {
        let StoreMark { life, changes, step } = &self.mark;
        let mut bytes = vec![VERSION];
        for part in [&life[..], &self.key, &changes.to_be_bytes(), step, &self.rows_sum] {
            bytes.extend_from_slice(part);
        }
        bytes
            .extend([self.owners.count].iter().chain(&self.owners.total).flat_map(|word| word.to_be_bytes()));
        bytes
    }
}

fn decode_head(bytes: &[u8]) -> Option<Ledger> {
    let (version, rest) = bytes.split_first()?;
    let (life, rest) = rest.split_first_chunk::<16>()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    let (changes, rest) = rest.split_first_chunk::<8>()?;
    let (step, rest) = rest.split_first_chunk::<32>()?;
    let (rows_sum, rest) = rest.split_first_chunk::<32>()?;
    let words = <[u8; 40]>::try_from(rest).ok().filter(|_| *version == VERSION)?;
    let [count, total @ ..] = words_of::<5>(&words);
    let mark = StoreMark { life: *life, changes: u64::from_be_bytes(*changes), step: *step };
    Some(Ledger { rows_sum: *rows_sum, ..Ledger::of(mark, *key, Owners { count, total }, None) })
}

fn encode_rows(rows: &Rows) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    for ((kind, key), sum) in rows {
        bytes.push(*kind);
        bytes.extend_from_slice(&length(key));
        bytes.extend_from_slice(key);
        bytes.extend_from_slice(sum);
    }
    bytes
}

fn decode_rows(mut rest: &[u8]) -> Option<Rows> {
    let mut rows = Rows::new();
    while let Some((kind, after)) = rest.split_first() {
        let (len, after) = after.split_first_chunk::<8>()?;
        let (key, after) = after.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
        let (sum, after) = after.split_first_chunk::<32>()?;
        rows.insert((*kind, key.to_vec()), *sum);
        rest = after;
    }
    Some(rows)
}

impl Ledger {
    /// Of versions 5 and 6: one part with the mark, and one with the sum over the owners, each of which could be put back
    /// without the other between two erasures.
    pub fn read_older(db: &Connection, sealer: &dyn Sealer) -> Result<Ledger, Failure> {
        let unreadable = || altered("what it remembers of its rows cannot be read");
        let plain = opened(db, sealer, ROWS, CONTEXT)?;
        let (mark, key, erasures, rows) = decode_older(&plain).ok_or_else(unreadable)?;
        let owners = match opened(db, sealer, OLDER_OWNERS, OLDER_OWNERS_CONTEXT) {
            Err(Failure::Refused(StoreError::Altered { .. })) => None,
            plain => Some(plain?),
        };
        let owners = owners.and_then(|plain| {
            let (of, words) = plain.split_first_chunk::<32>()?;
            let [of_erasures, count, total @ ..] = words_of::<6>(words);
            (*of == key && of_erasures == erasures).then_some(Owners { count, total })
        });
        let owners = match owners {
            Some(owners) => owners,
            // Another hand was in it. No owners ever fit this one.
            None => {
                let random = db.query_row("SELECT randomblob(32)", [], |row| row.get::<_, [u8; 32]>(0))?;
                Owners { count: 0, total: words_of(&random) }
            }
        };
        Ok(Ledger::of(mark, key, owners, Some(rows)))
    }
}

fn decode_older(bytes: &[u8]) -> Option<(StoreMark, [u8; 32], u64, Rows)> {
    let (version, rest) = bytes.split_first()?;
    let (life, rest) = rest.split_first_chunk::<16>()?;
    let (key, rest) = rest.split_first_chunk::<32>()?;
    let (changes, rest) = rest.split_first_chunk::<8>()?;
    let (erasures, mut rest) = rest.split_first_chunk::<8>()?;
    let mut step = [0; 32];
    match *version {
        // It knew of no steps; the first one is taken when the store is brought up to date.
        1 => {}
        2 => (step, rest) = rest.split_first_chunk::<32>().map(|(step, rest)| (*step, rest))?,
        _ => return None,
    }
    let mark = StoreMark { life: *life, changes: u64::from_be_bytes(*changes), step };
    Some((mark, *key, u64::from_be_bytes(*erasures), decode_rows(rest)?))
}

/// The sum over all owners' keys: of each one, added up, so that a change costs as much whatever their number. It must
/// stay under its seal: whoever could see it change would learn the sums of single rows, and could make others fit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Owners {
    count: u64,
    total: [u64; 4],
}

impl Owners {
    fn add(&mut self, sealer: &dyn Sealer, key: &[u8; 32], fields: &[Vec<u8>]) {
        self.count = self.count.wrapping_add(1);
        self.carry(words_of(&sum(sealer, key, 0, fields)), u64::overflowing_add);
    }

    fn take(&mut self, sealer: &dyn Sealer, key: &[u8; 32], fields: &[Vec<u8>]) {
        self.count = self.count.wrapping_sub(1);
        self.carry(words_of(&sum(sealer, key, 0, fields)), u64::overflowing_sub);
    }

    /// Addition or subtraction modulo 2^256, the last word first.
    fn carry(&mut self, words: [u64; 4], step: fn(u64, u64) -> (u64, bool)) {
        let mut carried = false;
        for (total, word) in self.total.iter_mut().zip(words).rev() {
            let (stepped, first) = step(*total, word);
            let (stepped, second) = step(stepped, u64::from(carried));
            (*total, carried) = (stepped, first || second);
        }
    }
}

/// Every field with its length, so that no two rows have the same.
fn sum(sealer: &dyn Sealer, key: &[u8; 32], kind: u8, fields: &[Vec<u8>]) -> Sum {
    let mut text = vec![kind];
    for field in fields {
        text.extend_from_slice(&length(field.as_slice()));
        text.extend_from_slice(field);
    }
    sealer.mac(key, &text)
}

fn length(bytes: &[u8]) -> [u8; 8] {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX).to_be_bytes()
}

fn words_of<const N: usize>(bytes: &[u8]) -> [u64; N] {
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_be_bytes));
    std::array::from_fn(|_| words.next().unwrap_or_default())
}

pub(super) fn part(db: &Connection, part: &str) -> rusqlite::Result<Option<Vec<u8>>> {
    db.prepare_cached("SELECT sealed FROM ledger WHERE part = ?1")?
        .query_row([part], |row| row.get(0))
        .optional()
}

pub(super) fn put_part(db: &Connection, part: &str, sealed: &[u8]) -> rusqlite::Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO ledger (part, sealed) VALUES (?1, ?2)")?
        .execute(params![part, sealed])
        .map(drop)
}

fn opened(
    db: &Connection,
    sealer: &dyn Sealer,
    name: &str,
    context: &[u8],
) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let sealed = part(db, name)?.ok_or_else(|| altered("what it remembers of its rows is missing"))?;
    let opened = sealer.open(&sealed, context);
    let what = "what it remembers of its rows was not written with this key file".to_owned();
    Ok(opened.map_err(|_| StoreError::Altered { what, mend: TOGETHER })?)
}

fn seal(sealer: &dyn Sealer, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, StoreError> {
    sealer.seal(plain, context).map_err(|error| StoreError::Sealing(error.to_string()))
}

const TOGETHER: &str = "are `keys` and `store.sqlite` of one bridge, and of one backup? Bring back those that belong together; else \
                        find out who can write the data directory";
/// Of each kind. Each is some 80 bytes of what every change writes.
const MOST: usize = 10_000;
const VERSION: u8 = 3;
const HEAD: &str = "head";
const ROWS: &str = "rows";
const OLDER_OWNERS: &str = "owners";
const HEAD_CONTEXT: &[u8] = b"ledger/head";
const CONTEXT: &[u8] = b"ledger/rows";
const OLDER_OWNERS_CONTEXT: &[u8] = b"ledger/owners";
/// No row's sum begins so: there the first byte is its kind.
const ROWS_LABEL: &[u8] = b"rows";
