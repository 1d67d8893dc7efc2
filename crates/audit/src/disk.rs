//! The few file operations that the trail stands on, behind a trait so that tests can break each of them.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file open for appending.
pub trait DiskFile: Send {
    /// Writes all of it or fails. After a failure some part may have been written.
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Overwrites from `offset` on. Less than a sector is written whole or not at all.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns once what was written would survive a power cut. After a failure nothing is known about what was
    /// written since the last success, and a later success says nothing about it either.
    fn sync(&mut self) -> io::Result<()>;
}

/// Where a trail lies. Another one than the operating system's breaks, hangs or lies on another machine.
pub trait Disk: Send + Sync {
    /// With what is missing above it; one that is there already is no error.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Opens an empty file, whatever was there before; not what a link leads to.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;
    /// Takes the place of whatever is at `to`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file, or a link itself.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Removes a directory with all that it holds.
    fn remove_dir_all(&self, path: &Path) -> io::Result<()>;
    /// Makes creations, renames and removals in this directory survive a power cut.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
    /// Makes everything written and named so far survive a power cut: one call for many files, each of which would
    /// cost a commit of the file system's journal of its own.
    fn sync_all(&self, path: &Path) -> io::Result<()>;
    /// Makes what was written to this file survive a power cut, whoever has it open.
    fn sync_file(&self, path: &Path) -> io::Result<()>;
    /// At most `limit` bytes from `offset`; fewer only at the end of the file.
    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>>;
    /// Whether there is a link to something else.
    fn is_link(&self, _path: &Path) -> io::Result<bool> {
        Ok(false)
    }
    /// Names in the directory, in no order. A directory that does not exist has none.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;
    /// Keeps other writers out of the file's directory until dropped. `None`: another process holds it.
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>>;
}

/// A lock that is held.
pub trait Lock: Send + Sync {
    /// Whether its path still leads to what is locked: else others may write there, too.
    fn holds(&self) -> io::Result<bool>;
}

/// Changes nothing for files; a pipe that somebody put in a file's place would be waited for.
const NONBLOCK: i32 = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();

/// Whoever may write a directory must not choose what is written over elsewhere.
const NOFOLLOW: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();

/// The operating system's files.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl DiskFile for File {
    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        Write::write_all(self, bytes)
    }

    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        FileExt::write_all_at(self, bytes, offset)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

impl Disk for RealDisk {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::create_dir_all(path)
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        options.mode(0o640).custom_flags(NONBLOCK | NOFOLLOW);
        Ok(Box::new(only_file(options.open(path)?)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir_all(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_all(&self, path: &Path) -> io::Result<()> {
        // Reports failed writes since Linux 5.8.
        Ok(rustix::fs::syncfs(File::open(path)?)?)
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        only_file(OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?)?.sync_data()
    }

    fn is_link(&self, path: &Path) -> io::Result<bool> {
        Ok(fs::symlink_metadata(path)?.is_symlink())
    }

    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        let mut file = only_file(OpenOptions::new().read(true).custom_flags(NONBLOCK).open(path)?)?;
        file.seek(SeekFrom::Start(offset))?;
        let mut bytes = Vec::new();
        file.take(u64::try_from(limit).unwrap_or(u64::MAX)).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
    }

    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).custom_flags(NONBLOCK);
        let file = only_file(options.open(path)?)?;
        // A file can be removed, and another one put in its place; the directory cannot while it holds the trail.
        let beside = path.parent().filter(|above| !above.as_os_str().is_empty());
        let path = beside.unwrap_or(Path::new(".")).to_path_buf();
        let directory = File::open(&path)?;
        for one in [&file, &directory] {
            match one.try_lock() {
                Ok(()) => {}
                Err(fs::TryLockError::WouldBlock) => return Ok(None),
                Err(fs::TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(Some(Box::new(Locked { path, directory, _file: file })))
    }
}

/// The file is for earlier versions, which know of no other lock.
struct Locked {
    path: PathBuf,
    directory: File,
    _file: File,
}

impl Lock for Locked {
    fn holds(&self) -> io::Result<bool> {
        let (there, locked) = match fs::metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            there => (there?, self.directory.metadata()?),
        };
        Ok((there.dev(), there.ino()) == (locked.dev(), locked.ino()))
    }
}

fn only_file(file: File) -> io::Result<File> {
    if file.metadata()?.is_file() {
        Ok(file)
    } else {
        Err(io::Error::other("there is something else than a file"))
    }
}

/// Puts a file in place whole: written and synced under `temporary`, then renamed. The caller syncs the
/// directory, once for all that it put there.
pub(crate) fn put(disk: &dyn Disk, temporary: &Path, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = disk.create(temporary)?;
    file.write_all(bytes)?;
    file.sync()?;
    disk.rename(temporary, path)
}

/// No file of the log is longer: 256 records of 65,535 bytes are a bundle.
const LONGEST: usize = 32 << 20;

/// The whole file, if it is one and no longer than any of a trail.
pub fn read(disk: &dyn Disk, path: &Path) -> io::Result<Vec<u8>> {
    let bytes = disk.read_at(path, 0, LONGEST + 1)?;
    match bytes.len() > LONGEST {
        true => Err(io::Error::other("it is longer than any file of an audit trail")),
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_not_written_through_and_pipes_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let (kept, link, pipe) = (dir.path().join("kept"), dir.path().join("link"), dir.path().join("pipe"));
        fs::write(&kept, "kept").unwrap();
        std::os::unix::fs::symlink(&kept, &link).unwrap();
        assert!(RealDisk.create(&link).is_err() && RealDisk.is_link(&link).unwrap());
        assert_eq!(fs::read(&kept).unwrap(), b"kept");
        rustix::fs::mkfifoat(rustix::fs::CWD, &pipe, rustix::fs::Mode::from_raw_mode(0o600)).unwrap();
        assert!(RealDisk.create(&pipe).is_err() && RealDisk.lock(&pipe).is_err());
        assert!(RealDisk.read_at(&pipe, 0, 1).is_err() && RealDisk.sync_file(&pipe).is_err());
        let elsewhere = dir.path().join("tmp");
        std::os::unix::fs::symlink(dir.path(), &elsewhere).unwrap();
        assert!(crate::journal::clear_temporary(&RealDisk, &elsewhere).is_err());
        assert!(kept.exists());
    }
}
