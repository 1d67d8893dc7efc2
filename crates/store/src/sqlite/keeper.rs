//! What a process seals the store with, and the newest ledger that it saw: an older one does not count any more.

use super::failure::{Failure, altered};
use super::ledger::Ledger;
use crate::{Sealer, SealerError};
use ironbridge_core::StoreMark;
use parking_lot::Mutex;
use rusqlite::Connection;
use std::sync::Arc;
use zeroize::Zeroizing;

/// Seals, and remembers the newest ledger that this process saw committed.
pub(super) struct Keeper {
    sealer: Arc<dyn Sealer>,
    newest: Mutex<StoreMark>,
}

impl Keeper {
    pub fn new(sealer: Arc<dyn Sealer>) -> Keeper {
        Keeper { sealer, newest: Mutex::new(StoreMark::default()) }
    }

    /// Only on the connection of the store's thread: another one may still see what was before.
    pub fn follow(&self, db: &Connection, ledger: &Ledger) -> Result<(), Failure> {
        let newest = *self.newest.lock();
        if ledger.mark() == newest {
            return Ok(());
        }
        if !ledger.grew_from(db, self, newest)? {
            return Err(altered("it was set back while it was open: what was revoked, replaced or erased since may be there again").into());
        }
        // A transaction reads it before it writes it: it is what others have committed.
        self.committed(ledger.mark());
        Ok(())
    }

    pub fn newest(&self) -> StoreMark {
        *self.newest.lock()
    }

    /// What this process wrote counts once it is committed.
    pub fn committed(&self, mark: StoreMark) {
        *self.newest.lock() = mark;
    }
}

impl Sealer for Keeper {
    fn seal(&self, plain: &[u8], context: &[u8]) -> Result<Vec<u8>, SealerError> {
        self.sealer.seal(plain, context)
    }

    fn open(&self, sealed: &[u8], context: &[u8]) -> Result<Zeroizing<Vec<u8>>, SealerError> {
        self.sealer.open(sealed, context)
    }

    fn mac(&self, key: &[u8; 32], text: &[u8]) -> [u8; 32] {
        self.sealer.mac(key, text)
    }
}
