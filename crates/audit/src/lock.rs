//! The lock that keeps every other writer out of a trail.

use crate::disk::{Disk, Lock};
use crate::fault::{AuditError, failed};
use crate::places::Places;
use std::io;
use std::thread;
use std::time::Duration;

/// Whoever only looks whether somebody writes holds the lock for a moment: it is asked for more than once.
pub(crate) fn take_lock(disk: &dyn Disk, places: &Places) -> Result<Box<dyn Lock>, AuditError> {
    const TRIES: u32 = 5;
    const PAUSE: Duration = Duration::from_millis(20);
    let file = places.base.join("lock");
    for _ in 1..TRIES {
        if let Some(lock) = disk.lock(&file).map_err(failed("locking", &file))? {
            return Ok(lock);
        }
        thread::sleep(PAUSE);
    }
    disk.lock(&file).map_err(failed("locking", &file))?.ok_or(AuditError::Locked(file))
}

/// Whether another process writes the trail.
pub(crate) fn is_written(disk: &dyn Disk, places: &Places) -> Result<bool, AuditError> {
    let file = places.base.join("lock");
    match disk.lock(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        lock => Ok(lock.map_err(failed("locking", &file))?.is_none()),
    }
}
