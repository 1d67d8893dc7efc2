//! Files that commands read and write.

use crate::failure::Failure;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// A new file that only its owner may read.
pub fn create(path: &Path) -> Result<File, Failure> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    made.map_err(|error| {
        let failure = Failure::new(format!("cannot write {}: {error}", path.display()));
        match error.kind() {
            io::ErrorKind::AlreadyExists => failure.help("name a new file, or remove this one first"),
            _ => failure,
        }
    })
}

/// The whole file or none of it: an interruption may come at any time.
pub fn replace(path: &Path, text: &str) -> Result<(), Failure> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<()> {
        let mut temporary = tempfile::NamedTempFile::new_in(dir)?;
        temporary.write_all(text.as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(())
    };
    write().map_err(|error| Failure::new(format!("cannot write {}: {error}", path.display())))
}

/// A file's text, if it is one and not longer than `most` bytes.
pub fn read(path: &Path, most: usize) -> Result<String, Failure> {
    let failed = |error: io::Error| Failure::new(format!("cannot read {}: {error}", path.display()));
    let mut text = String::new();
    let limit = u64::try_from(most).unwrap_or(u64::MAX).saturating_add(1);
    File::open(path).map_err(failed)?.take(limit).read_to_string(&mut text).map_err(failed)?;
    if text.len() > most {
        return Err(Failure::new(format!("{} is larger than {most} bytes", path.display())));
    }
    Ok(text)
}
