//! What lies beside the log's records for whoever reads them, and proves nothing: the keys, and how much retention
//! left. A start knows both better, from the store and from the log's own records. It writes anew what another hand
//! changed, says so, and leaves a record, as whoever read by it was misled.

use crate::checkpoint;
use crate::disk::{self, Disk};
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::places::Places;
use crate::reader::Log;
use crate::retained::{self, Retained};
use crate::segment;
use crate::tiles::{self, Kind, WIDTH};
use ironbridge_seal::note::NoteVerifier;
use std::io;

/// What is wrong with it.
pub(crate) struct Beside {
    keys: Option<Fault>,
    /// With what belongs there.
    kept: Option<(Fault, Retained)>,
}

impl Beside {
    /// Of a log whose head is known to be its own, with the keys that are; or of none yet, or none any more.
    pub fn of(log: &Log, ours: Option<&[NoteVerifier]>) -> Beside {
        let Some(ours) = ours else {
            let kept = match log.kept() {
                Ok(kept) => kept.beyond(Retained::default()),
                Err(fault) => Some(fault),
            };
            return Beside { keys: None, kept: kept.map(|fault| (fault, Retained::default())) };
        };
        Beside { keys: foreign_keys(log, ours), kept: foreign_kept(log) }
    }

    /// What is to be recorded, and said.
    pub fn faults(&self) -> impl Iterator<Item = &Fault> {
        self.keys.iter().chain(self.kept.iter().map(|(fault, _)| fault))
    }

    /// Once the records of it cannot be lost any more. The keys are written with the next checkpoint.
    pub fn mend(&self, disk: &dyn Disk, places: &Places) -> Result<(), AuditError> {
        let Some((_, kept)) = &self.kept else { return Ok(()) };
        let file = places.log.join(retained::FILE);
        kept.write(disk, &places.temporary("kept"), &places.log).map_err(failed("writing", &file))
    }
}

/// They may be older than the keys in force, but are this log's.
fn foreign_keys(log: &Log, ours: &[NoteVerifier]) -> Option<Fault> {
    const NAMED: &str = "log/key";
    let read = disk::read(&*log.disk, &log.places.log.join(checkpoint::KEYS));
    let text = match read.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return Some(Fault::new(FaultKind::Malformed, NAMED, "the file is not text")),
        Err(error) => return Some(Fault::reading(NAMED, &error)),
    };
    match NoteVerifier::parse_lines(&text) {
        Ok(keys) if keys.is_empty() => Some(Fault::new(FaultKind::Malformed, NAMED, "there is no key in it")),
        Ok(keys) => {
            let is_ours =
                |key: &NoteVerifier| ours.iter().any(|own| own.verifier_key() == key.verifier_key());
            let foreign = keys.iter().find(|key| !is_ours(key))?;
            let detail = format!("the key {} is none of this log", foreign.verifier_key());
            Some(Fault::new(FaultKind::Altered, NAMED, detail))
        }
        Err(error) => Some(Fault::new(FaultKind::Malformed, NAMED, error)),
    }
}

/// Most logs have no such file, and miss nothing: then no record has to be looked for.
fn foreign_kept(log: &Log) -> Option<(Fault, Retained)> {
    let kept = log.kept();
    let whole = kept.as_ref().is_ok_and(|kept| log.begins_with(*kept));
    if whole && kept == Ok(Retained::default()) {
        return None;
    }
    let announced = match log.announced() {
        Ok(announced) => announced,
        Err(fault) => {
            tracing::error!(%fault, "the log's records of retention cannot be read, so that nobody can tell whether log/kept is right: `ironbridge audit verify` tells what is damaged");
            return None;
        }
    };
    let fault = match kept {
        Err(fault) => fault,
        Ok(kept) => match kept.beyond(announced) {
            Some(fault) => fault,
            // A retention that was cut short announced more than it came to say: then nothing is missing.
            None if whole || kept == announced => return None,
            None => kept.short_of(announced),
        },
    };
    Some((fault, announced))
}

impl Log {
    /// Whether the first of what should be there is.
    fn begins_with(&self, kept: Retained) -> bool {
        self.has_bundle_at(kept.records) && self.first_detail().is_none_or(|first| first <= kept.detail)
    }

    fn first_detail(&self) -> Option<u64> {
        segment::segments(&*self.disk, &self.places.detail).ok()?.first().copied()
    }

    /// Only full ones are dropped.
    fn has_bundle_at(&self, record: u64) -> bool {
        let full = self.unverified_checkpoint().map_or(0, |head| head.size / WIDTH);
        let file = self.places.log.join(tiles::path(Kind::Entries, record / WIDTH, WIDTH));
        let missing = |error: io::Error| error.kind() == io::ErrorKind::NotFound;
        record / WIDTH >= full || !self.disk.read_at(&file, 0, 1).is_err_and(missing)
    }
}
