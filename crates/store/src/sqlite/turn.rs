//! One transaction: what is known of the rows is read at most once in it, and written at most once, before the end.

use super::failure::Failure;
use super::keeper::Keeper;
use super::ledger::Ledger;
use ironbridge_core::StoreMark;
use rusqlite::Connection;

pub(super) struct Turn<'a> {
    pub db: &'a Connection,
    pub keeper: &'a Keeper,
    ledger: Option<Ledger>,
}

impl<'a> Turn<'a> {
    pub fn new(db: &'a Connection, keeper: &'a Keeper) -> Turn<'a> {
        Turn { db, keeper, ledger: None }
    }

    /// In a store that is being made, or brought up to date.
    pub fn with(db: &'a Connection, keeper: &'a Keeper, ledger: Ledger) -> Turn<'a> {
        Turn { db, keeper, ledger: Some(ledger) }
    }

    /// What is known of all rows, and how far the store came.
    ///
    /// # Errors
    /// [`StoreError::Altered`](crate::StoreError::Altered) where it is missing or another's, or was set back while this
    /// process had it open; [`StoreError::Outran`](crate::StoreError::Outran) where it came too far meanwhile to tell.
    pub fn ledger(&mut self) -> Result<&mut Ledger, Failure> {
        let (db, keeper) = (self.db, self.keeper);
        let ledger = self.head()?;
        ledger.read_rows(db, keeper)?;
        Ok(ledger)
    }

    /// As [`Turn::ledger`], without the single rows, which may be many.
    pub fn head(&mut self) -> Result<&mut Ledger, Failure> {
        let ledger = match self.ledger.take() {
            Some(ledger) => ledger,
            None => {
                let ledger = Ledger::read(self.db, self.keeper)?;
                self.keeper.follow(self.db, &ledger)?;
                ledger
            }
        };
        Ok(self.ledger.insert(ledger))
    }

    /// From here on is what [`Turn::undo`] takes back.
    pub fn begin(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.begin();
        }
    }

    pub fn undo(&mut self) {
        if let Some(ledger) = &mut self.ledger {
            ledger.undo();
        }
    }

    /// Writes what is known now; `None` where nothing of it changed.
    pub fn write(&mut self) -> Result<Option<StoreMark>, Failure> {
        match &mut self.ledger {
            Some(ledger) if ledger.is_changed() => {
                ledger.write(self.db, self.keeper)?;
                Ok(Some(ledger.mark()))
            }
            _ => Ok(None),
        }
    }
}
