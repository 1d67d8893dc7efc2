//! Whether the store that lies beside the trail is what became of the one that the trail was written with.

use crate::disk::{Disk, RealDisk};
use crate::fault::{Fault, FaultKind};
use crate::head::{Anchor, Remembered};
use crate::journal::Trust;
use crate::opening::is_written;
use crate::places::Places;
use crate::reader::Log;
use crate::recover;
use ironbridge_core::StoreMark;
use std::path::Path;
use std::sync::Arc;

const STORE: &str = "store.sqlite";

/// A store, asked after what is remembered of it.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreSeen {
    /// How far it came.
    pub mark: StoreMark,
    /// An earlier mark that it was found to have grown from: what is remembered of it, or it was set back.
    pub grew_from: Option<StoreMark>,
    /// It came so far since that mark that it cannot tell.
    pub outran: bool,
}

impl StoreSeen {
    /// # Errors
    /// A fault where it is not what became of the one that had this mark.
    pub(crate) fn follows(&self, before: StoreMark) -> Result<(), Fault> {
        let told = self.grew_from == Some(before) || before.is_counted() || before == self.mark;
        if told && self.mark.can_follow(before) {
            return Ok(());
        }
        Err(Fault::new(FaultKind::RolledBack, STORE, self.set_back(before)))
    }

    /// What a store is that does not follow the one before.
    fn set_back(&self, before: StoreMark) -> String {
        let again = "what was revoked, replaced or erased since may be there again";
        if self.mark.life != before.life {
            return format!("the store is another one than the trail was written with; {again}");
        }
        let (now, before) = (self.mark.changes, before.changes);
        if self.outran && now >= before {
            let since = now.saturating_sub(before);
            return format!(
                "the store counts {since} changes of its rows since what is remembered of the trail was written, and has \
                 forgotten what leads from there, so nobody can tell whether it was set back; if this is a copy of a running \
                 bridge, take another one with less time between `audit-head` and the store; else {again}"
            );
        }
        if now >= before {
            return format!(
                "the store was set back, and changed since: of the {before} changes of its rows that were made, it has not seen the last; {again}"
            );
        }
        format!(
            "the store was set back: it has seen {now} changes of its rows, but {before} were made; {again}"
        )
    }
}

impl Anchor {
    /// Whether the store that was seen is the one that the trail in a directory goes with, as a start judges it. It was
    /// asked after what was `remembered`, which a running bridge keeps behind it at all times.
    ///
    /// # Errors
    /// A fault where it was set back, or where the signed log, which nobody is writing, tells of a change of the store
    /// since what is remembered.
    pub fn judge_store(&self, dir: &Path, remembered: &Remembered, seen: &StoreSeen) -> Result<(), Fault> {
        seen.follows(remembered.store)?;
        let (disk, places) = (Arc::new(RealDisk) as Arc<dyn Disk>, Places::below(dir));
        // Where that cannot be told, a start cannot begin either.
        let nobody_writes = || is_written(&*disk, &places).is_ok_and(|is_written| !is_written);
        if !nobody_writes() {
            return Ok(());
        }
        let log = Log::at(Arc::clone(&disk), places.clone(), Trust::default());
        let Ok(head) = log.checkpoint(None) else { return Ok(()) };
        let known = remembered.with(self.mark);
        match recover::beyond(&log, known.acknowledged..head.size, self) {
            Ok(Some(fault)) if nobody_writes() => Err(fault),
            // Of what cannot be read of the log, whoever reads it says more.
            _ => Ok(()),
        }
    }
}
