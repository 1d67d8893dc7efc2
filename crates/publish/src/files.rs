//! Files of our own beside the log: never half written, whatever happens.

use ironbridge_audit::disk::{Disk, RealDisk};
use ironbridge_seal::{hash, random};
use std::io;
use std::path::Path;

/// Puts a small file in place whole, so that it survives a power cut. It is written in `staging` first, under a
/// name of its own; both directories are made if they are not there.
pub(crate) fn put(staging: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(path);
    for needed in [staging, directory] {
        RealDisk.create_dir_all(needed)?;
    }
    let temporary = staging.join(format!("publish-{}", hash::hex(&random::bytes::<8>())));
    let written = (|| {
        let mut file = RealDisk.create(&temporary)?;
        file.write_all(bytes)?;
        file.sync()?;
        RealDisk.rename(&temporary, path)
    })();
    if written.is_err() {
        let _ = RealDisk.remove(&temporary);
    }
    written?;
    RealDisk.sync_dir(directory)
}
