//! What the store knows of its own rows. The file can be written by whoever may write the data directory; a row counts
//! only if the ledger has it as it is, and one that the ledger has and the table has not was taken away. So a row that
//! another hand put in, changed, took away, or put back as it was before, is found, and told by its name.
//!
//! The ledger is one sealed value, written in the transaction of every change: a sum over each row of a credential, a
//! sealed item and a waiting action, which all are few and rarely written. Of owners' keys, which are many, it has one
//! sum over all of them, which says whether one is missing but not which.
//!
//! What the file alone cannot tell is that all of it was set back. [`StoreMark`] says how far it came, for somebody
//! outside to remember, and each process remembers the newest that it saw ([`Keeper`]): see [`super::steps`].

use super::queue::Failure;
use super::steps::{self, Keeper};
use crate::{Sealer, StoreError};
use ironbridge_core::StoreMark;
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::BTreeMap;

/// Which rows it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    Credential = 1,
    Item = 2,
    Action = 3,
}

type Sum = [u8; 32];

/// What is known of the rows of a store.
pub(super) struct Ledger {
    mark: StoreMark,
    /// What the sums are made with; never leaves the seal.
    key: [u8; 32],
    /// How often an owner's key was destroyed.
    erasures: u64,
    rows: BTreeMap<(u8, Vec<u8>), Sum>,
}

impl Ledger {
    /// Of a store that holds nothing yet.
    pub fn new(db: &Connection) -> rusqlite::Result<Ledger> {
        let (life, key) = db.query_row("SELECT randomblob(16), randomblob(32)", [], |row| {
            Ok((row.get::<_, [u8; 16]>(0)?, row.get::<_, [u8; 32]>(1)?))
        })?;
        Ok(Ledger {
            mark: StoreMark { life, ..StoreMark::default() },
            key,
            erasures: 0,
            rows: BTreeMap::new(),
        })
    }

    /// # Errors
    /// [`StoreError::Altered`] where it is missing or another's, or was set back while this process had it open.
    pub fn read(db: &Connection, keeper: &Keeper) -> Result<Ledger, Failure> {
        let ledger = Ledger::found(db, keeper)?;
        keeper.follow(db, &ledger)?;
        Ok(ledger)
    }

    /// As it lies there, on whichever connection.
    pub fn found(db: &Connection, sealer: &dyn Sealer) -> Result<Ledger, Failure> {
        let sealed = part(db, ROWS)?.ok_or_else(|| altered("what it remembers of its rows is missing"))?;
        let plain = sealer.open(&sealed, CONTEXT);
        let plain =
            plain.map_err(|_| altered("what it remembers of its rows was not written with this key file"))?;
        Ok(Ledger::decode(&plain).ok_or_else(|| altered("what it remembers of its rows cannot be read"))?)
    }

    /// Writes it as it is now.
    pub fn write(&mut self, db: &Connection, sealer: &dyn Sealer) -> Result<(), Failure> {
        self.mark = steps::take(db, sealer, &self.key, self.mark)?;
        put_part(db, ROWS, &seal(sealer, &self.encode(), CONTEXT)?)?;
        Ok(())
    }

    /// An owner's key was destroyed: no sum over the owners of before counts from now on.
    pub fn erased(&mut self) {
        self.erasures = self.erasures.saturating_add(1);
    }

    pub fn mark(&self) -> StoreMark {
        self.mark
    }

    /// Whether it is what became of the one that had this mark.
    pub fn grew_from(
        &self,
        db: &Connection,
        sealer: &dyn Sealer,
        before: StoreMark,
    ) -> rusqlite::Result<bool> {
        steps::lead(db, sealer, &self.key, before, self.mark)
    }

    pub fn put(&mut self, sealer: &dyn Sealer, kept: Kept, key: &[u8], fields: &[Vec<u8>]) {
        let sum = self.sum(sealer, kept, fields);
        self.rows.insert((kept as u8, key.to_vec()), sum);
    }

    /// False where it had none.
    pub fn remove(&mut self, kept: Kept, key: &[u8]) -> bool {
        self.rows.remove(&(kept as u8, key.to_vec())).is_some()
    }

    pub fn has(&self, kept: Kept, key: &[u8]) -> bool {
        self.rows.contains_key(&(kept as u8, key.to_vec()))
    }

    /// Whether the row is as it was left.
    pub fn knows(&self, sealer: &dyn Sealer, kept: Kept, key: &[u8], fields: &[Vec<u8>]) -> bool {
        // Nobody who could time this comparison can offer a sum: he offers rows.
        self.rows.get(&(kept as u8, key.to_vec())).is_some_and(|sum| *sum == self.sum(sealer, kept, fields))
    }

    /// The rows of a kind, by key.
    pub fn keys(&self, kept: Kept) -> impl Iterator<Item = &[u8]> {
        self.rows.keys().filter(move |(kind, _)| *kind == kept as u8).map(|(_, key)| &**key)
    }

    fn sum(&self, sealer: &dyn Sealer, kept: Kept, fields: &[Vec<u8>]) -> Sum {
        sum(sealer, &self.key, kept as u8, fields)
    }

    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.mark.life);
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.mark.changes.to_be_bytes());
        bytes.extend_from_slice(&self.erasures.to_be_bytes());
        bytes.extend_from_slice(&self.mark.step);
        for ((kind, key), sum) in &self.rows {
            bytes.push(*kind);
            bytes.extend_from_slice(&length(key));
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(sum);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Ledger> {
        let (version, rest) = bytes.split_first()?;
        let (life, rest) = rest.split_first_chunk::<16>()?;
        let (key, rest) = rest.split_first_chunk::<32>()?;
        let (changes, rest) = rest.split_first_chunk::<8>()?;
        let (erasures, mut rest) = rest.split_first_chunk::<8>()?;
        let mut step = [0; 32];
        match *version {
            // It knew of no steps; the first one is taken when the store is brought up to date.
            1 => {}
            VERSION => (step, rest) = rest.split_first_chunk::<32>().map(|(step, rest)| (*step, rest))?,
            _ => return None,
        }
        let mut rows = BTreeMap::new();
        while let Some((kind, after)) = rest.split_first() {
            let (len, after) = after.split_first_chunk::<8>()?;
            let (key, after) = after.split_at_checked(usize::try_from(u64::from_be_bytes(*len)).ok()?)?;
            let (sum, after) = after.split_first_chunk::<32>()?;
            rows.insert((*kind, key.to_vec()), *sum);
            rest = after;
        }
        let mark = StoreMark { life: *life, changes: u64::from_be_bytes(*changes), step };
        Some(Ledger { mark, key: *key, erasures: u64::from_be_bytes(*erasures), rows })
    }
}

/// The sum over all owners' keys: of each one, added up, so that a change costs as much whatever their number. It must
/// stay under its seal: whoever could see it change would learn the sums of single rows, and could make others fit.
pub(super) struct OwnersSum {
    /// The ledger's, kept here too: an owner is added without reading the ledger.
    key: [u8; 32],
    /// As the ledger's, or it is of before somebody was erased.
    erasures: u64,
    count: u64,
    total: [u64; 4],
}

impl OwnersSum {
    /// Of no owners.
    pub fn new(ledger: &Ledger) -> OwnersSum {
        OwnersSum { key: ledger.key, erasures: ledger.erasures, count: 0, total: [0; 4] }
    }

    pub fn read(db: &Connection, sealer: &dyn Sealer) -> Result<OwnersSum, Failure> {
        let unreadable = || altered("what it remembers of its owners' keys is missing, or another's");
        let sealed = part(db, OWNERS)?.ok_or_else(unreadable)?;
        let plain = sealer.open(&sealed, OWNERS_CONTEXT).map_err(|_| unreadable())?;
        let (key, words) = plain.split_first_chunk::<32>().ok_or_else(unreadable)?;
        let [erasures, count, total @ ..] = words_of::<6>(words);
        Ok(OwnersSum { key: *key, erasures, count, total })
    }

    pub fn write(&self, db: &Connection, sealer: &dyn Sealer) -> Result<(), Failure> {
        let words = [self.erasures, self.count].into_iter().chain(self.total).flat_map(u64::to_be_bytes);
        let plain: Vec<u8> = self.key.into_iter().chain(words).collect();
        put_part(db, OWNERS, &seal(sealer, &plain, OWNERS_CONTEXT)?)?;
        Ok(())
    }

    /// As [`OwnersSum::write`], with the ledger, after somebody was erased: no sum of before counts from now on. One
    /// that was put back before stays what it is.
    pub fn write_for_good(
        &mut self,
        db: &Connection,
        sealer: &dyn Sealer,
        ledger: &mut Ledger,
    ) -> Result<(), Failure> {
        let fits = self.is_of(ledger);
        ledger.erased();
        if fits {
            self.erasures = ledger.erasures;
        }
        self.write(db, sealer)?;
        ledger.write(db, sealer)
    }

    pub fn is_of(&self, ledger: &Ledger) -> bool {
        (self.key, self.erasures) == (ledger.key, ledger.erasures)
    }

    pub fn add(&mut self, sealer: &dyn Sealer, fields: &[Vec<u8>]) {
        self.count = self.count.wrapping_add(1);
        self.carry(self.words(sealer, fields), u64::overflowing_add);
    }

    pub fn take(&mut self, sealer: &dyn Sealer, fields: &[Vec<u8>]) {
        self.count = self.count.wrapping_sub(1);
        self.carry(self.words(sealer, fields), u64::overflowing_sub);
    }

    pub fn is_same(&self, other: &OwnersSum) -> bool {
        (self.count, self.total) == (other.count, other.total)
    }

    fn words(&self, sealer: &dyn Sealer, fields: &[Vec<u8>]) -> [u64; 4] {
        words_of(&sum(sealer, &self.key, 0, fields))
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

fn seal(sealer: &dyn Sealer, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, StoreError> {
    sealer.seal(plain, context).map_err(|error| StoreError::Sealing(error.to_string()))
}

pub(super) fn altered(what: &str) -> StoreError {
    StoreError::Altered { what: what.to_owned(), mend: RESTORE }
}

const RESTORE: &str = "find out who can write the data directory, and restore store.sqlite from a backup";
const VERSION: u8 = 2;
const ROWS: &str = "rows";
const OWNERS: &str = "owners";
const CONTEXT: &[u8] = b"ledger/rows";
const OWNERS_CONTEXT: &[u8] = b"ledger/owners";
