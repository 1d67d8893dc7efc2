//! Looking at a trail, and at the store beside it, as a start would judge them, and changing nothing.

use crate::disk::{Disk, RealDisk};
use crate::fault::{AuditError, Fault};
use crate::head::{Anchor, Remembered};
use crate::journal::Trust;
use crate::lock::is_written;
use crate::options::Options;
use crate::places::Places;
use crate::reader::Log;
use crate::recover::{self, Found};
use crate::store::StoreSeen;
use crate::trail::Trail;
use std::path::Path;
use std::sync::Arc;

impl Trail {
    /// Whether the trail is as it was left; nothing is changed. What lies beside the log wrongly, and a start writes anew,
    /// is told. A trail that a running bridge writes was examined when that started, and is not again.
    ///
    /// # Errors
    /// As [`Trail::open`].
    pub fn examine(options: &Options) -> Result<Vec<Fault>, AuditError> {
        let (disk, places) = (Arc::new(RealDisk) as Arc<dyn Disk>, Places::below(&options.dir));
        let examined = match is_written(&*disk, &places)? {
            true => Ok(Vec::new()),
            false => Found::at(&disk, &places, options).map(|found| found.beside.faults().cloned().collect()),
        };
        match examined {
            // A bridge may have started since.
            _ if is_written(&*disk, &places)? => Ok(Vec::new()),
            examined => examined,
        }
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
