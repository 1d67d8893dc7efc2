//! The file that holds the key-encryption keys:
//!
//! ```text
//! ironbridge keys v1
//! 9f2a11c04be7d35a 4kXb…base64 of 32 bytes…=
//! ```
//!
//! One line per key, oldest first: its id, then the key. To bring in a new key, add a line at the end; keep the
//! older lines for as long as anything sealed under them is kept.

use super::{KEY_LEN, Kek, KeyId, Keys, SealError};
use crate::{hash, random};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

const FIRST_LINE: &str = "ironbridge keys v1";
/// Some two hundred keys: far more than a yearly change brings about.
const MAX_BYTES: usize = 16 * 1024;

/// Creates and opens key files. Both refuse a file that someone else could read or replace.
#[derive(Debug, Clone, Copy)]
pub struct KeyFile;

impl KeyFile {
    /// Writes a file with one fresh key, mode 0600. The whole file appears at once, and an existing one is never
    /// replaced.
    pub fn create(path: &Path) -> Result<Keys, KeyFileError> {
        let parent = checked_parent(path)?;
        let key = Zeroizing::new(random::bytes::<KEY_LEN>());
        let encoded = Zeroizing::new(hash::base64(&key[..]));
        let text = Zeroizing::new(format!("{FIRST_LINE}\n{} {}\n", KeyId::of(&key), *encoded));
        let fresh = parent.join(format!(".ironbridge-keys-{}", hash::hex(&random::bytes::<8>())));
        let written = write_durably(&fresh, text.as_bytes())
            // A link, unlike a rename, fails when the name is taken.
            .and_then(|()| fs::hard_link(&fresh, path));
        let _ = fs::remove_file(&fresh);
        match written.and_then(|()| File::open(parent)?.sync_all()) {
            Ok(()) => KeyFile::open(path),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(KeyFileError::Exists(path.to_owned()))
            }
            Err(error) => Err(KeyFileError::io(path, error)),
        }
    }

    /// Reads a key file, after checking that it is a plain file of ours that nobody else can read, in a
    /// directory where not everyone can put another in its place.
    pub fn open(path: &Path) -> Result<Keys, KeyFileError> {
        checked_parent(path)?;
        // Checks are made on the open file, so that it cannot be exchanged after them. NONBLOCK: a pipe must
        // not keep the bridge waiting.
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let file =
            OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path).map_err(
                |error| match error.kind() {
                    io::ErrorKind::NotFound => KeyFileError::Missing(path.to_owned()),
                    _ if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
                        KeyFileError::Symlink(path.to_owned())
                    }
                    _ => KeyFileError::io(path, error),
                },
            )?;
        check(path, &file)?;
        // Reserved from the start: a buffer that grows leaves copies behind.
        let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_BYTES + 1));
        let limit = bytes.capacity().try_into().unwrap_or(u64::MAX);
        file.take(limit).read_to_end(&mut bytes).map_err(|error| KeyFileError::io(path, error))?;
        parse(&bytes).map_err(|(line, why)| KeyFileError::Malformed { path: path.to_owned(), line, why })
    }
}

fn checked_parent(path: &Path) -> Result<&Path, KeyFileError> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let metadata = fs::metadata(parent).map_err(|error| KeyFileError::io(parent, error))?;
    if metadata.mode() & 0o002 != 0 {
        return Err(KeyFileError::ParentWritable(parent.to_owned()));
    }
    Ok(parent)
}

fn check(path: &Path, file: &File) -> Result<(), KeyFileError> {
    let path = || path.to_owned();
    let metadata = file.metadata().map_err(|error| KeyFileError::io(&path(), error))?;
    let us = rustix::process::geteuid().as_raw();
    if !metadata.is_file() {
        return Err(KeyFileError::NotAFile(path()));
    }
    if metadata.uid() != us && metadata.uid() != 0 {
        return Err(KeyFileError::Owner { path: path(), owner: metadata.uid(), us });
    }
    match metadata.mode() & 0o7777 {
        0o600 | 0o400 => Ok(()),
        mode => Err(KeyFileError::Mode { path: path(), mode }),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

/// Gives the line, from 1, and what is wrong with it.
fn parse(bytes: &[u8]) -> Result<Keys, (usize, &'static str)> {
    if bytes.len() > MAX_BYTES {
        return Err((1, "larger than 16 KiB"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| (1, "not text"))?;
    let body = text.strip_suffix('\n').ok_or((1, "the end is missing"))?;
    let mut lines = body.split('\n').zip(1..);
    if lines.next() != Some((FIRST_LINE, 1)) {
        return Err((1, "the first line is not \"ironbridge keys v1\""));
    }
    let mut older = Vec::new();
    for (line, number) in lines {
        older.push(parse_line(line).map_err(|why| (number, why))?);
    }
    let newest = older.pop().ok_or((2, "there is no key"))?;
    Ok(Keys { newest, older })
}

fn parse_line(line: &str) -> Result<Kek, &'static str> {
    let (id, key) = line.split_once(' ').ok_or("not a key id, a space and a key")?;
    let decoded = Zeroizing::new(hash::unbase64(key).ok_or("the key is not base64")?);
    let key = <&[u8; KEY_LEN]>::try_from(decoded.as_slice()).map_err(|_| "the key is not 32 bytes long")?;
    let kek = Kek::new(&Zeroizing::new(*key)).map_err(|_: SealError| "the key cannot be used")?;
    if kek.id.to_string() != id {
        return Err("the key does not belong to the id before it: the line is damaged");
    }
    Ok(kek)
}

/// Why a key file was not accepted, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Never made by itself: with a fresh key, nothing that was sealed would open.
    #[error("there is no key file at {}: create one, or correct the path", .0.display())]
    Missing(PathBuf),
    /// Told when one is to be created.
    #[error("{} exists already; a key file is never overwritten, because what it sealed would be lost", .0.display())]
    Exists(PathBuf),
    /// Whoever may change the link would choose the key.
    #[error("{} is a symbolic link; name the file itself", .0.display())]
    Symlink(PathBuf),
    /// Such as a directory or a pipe.
    #[error("{} is not a plain file", .0.display())]
    NotAFile(PathBuf),
    /// Others may read what opens everything, or put a key of theirs there.
    #[error("{} can be read or written by others (mode {mode:04o}); run: chmod 600 {}", path.display(), path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Files that this user does not own may be changed under it.
    #[error("{} belongs to user {owner}, and this runs as user {us}; run it as the user whose data it is, as the bridge does: sudo -u '#{owner}' ironbridge …", path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is, by user id.
        owner: u32,
        /// As whom this runs.
        us: u32,
    },
    /// The directory above it.
    #[error("everyone may write in {}, so anyone could put another key file there; run: chmod o-w {}, or keep the file elsewhere", .0.display(), .0.display())]
    ParentWritable(PathBuf),
    /// Not in the form that was written: cut, edited or damaged.
    #[error("{}, line {line}: {why}; restore the file from its backup", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// What is wrong with the line; nothing of what it holds.
        why: &'static str,
    },
    /// It could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// As the operating system says.
        source: io::Error,
    },
}

impl KeyFileError {
    fn io(path: &Path, source: io::Error) -> KeyFileError {
        let us = rustix::process::geteuid().as_raw();
        let owner =
            [Some(path), path.parent()].into_iter().flatten().find_map(|path| fs::metadata(path).ok());
        if let Some(owner) = owner.map(|owned| owned.uid()).filter(|owner| *owner != us)
            && source.kind() == io::ErrorKind::PermissionDenied
        {
            return KeyFileError::Owner { path: path.to_owned(), owner, us };
        }
        KeyFileError::Io { path: path.to_owned(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt as _, symlink};
    use tempfile::TempDir;

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn created() -> (TempDir, PathBuf) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kek");
        KeyFile::create(&path).unwrap();
        (directory, path)
    }

    #[test]
    fn what_one_opening_seals_the_next_opens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("kek");
        let sealed = KeyFile::create(&path).unwrap().seal(b"secret", b"here").unwrap();
        assert_eq!(**KeyFile::open(&path).unwrap().open(&sealed, b"here").unwrap(), *b"secret");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o600);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "nothing is left behind");
    }

    #[test]
    fn a_second_line_becomes_the_newest_key() {
        let (_one, first) = created();
        let (_two, second) = created();
        let old = KeyFile::open(&first).unwrap();
        let sealed = old.seal(b"x", b"").unwrap();
        let line = fs::read_to_string(&second).unwrap().lines().nth(1).unwrap().to_owned();
        fs::write(&first, format!("{}{line}\n", fs::read_to_string(&first).unwrap())).unwrap();
        let both = KeyFile::open(&first).unwrap();
        assert_eq!(both.newest(), KeyFile::open(&second).unwrap().newest());
        assert_eq!(**both.open(&sealed, b"").unwrap(), *b"x");
    }

    #[test]
    fn an_existing_file_is_not_replaced() {
        let (_directory, path) = created();
        let before = fs::read(&path).unwrap();
        assert!(matches!(KeyFile::create(&path), Err(KeyFileError::Exists(_))));
        assert_eq!(fs::read(&path).unwrap(), before);
    }

    #[test]
    fn only_the_owner_may_have_rights() {
        let (_directory, path) = created();
        for mode in [0o640, 0o604, 0o660, 0o644, 0o700, 0o4600, 0o606] {
            set_mode(&path, mode);
            let error = KeyFile::open(&path).unwrap_err();
            assert!(matches!(&error, KeyFileError::Mode { mode: told, .. } if *told == mode), "{error}");
            assert!(error.to_string().contains("chmod 600"));
        }
        for mode in [0o600, 0o400] {
            set_mode(&path, mode);
            assert!(KeyFile::open(&path).is_ok(), "{mode:o}");
        }
    }

    #[test]
    fn another_users_file_is_refused() {
        let (_directory, path) = created();
        // Only root can give a file away; for everyone else there is nothing to see here.
        if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
            let error = KeyFile::open(&path).unwrap_err();
            assert!(matches!(error, KeyFileError::Owner { owner: 12_345, .. }), "{error}");
        }
    }

    #[test]
    fn a_directory_open_to_all_is_refused() {
        let (directory, path) = created();
        for mode in [0o777, 0o1777, 0o702] {
            set_mode(directory.path(), mode);
            assert!(matches!(KeyFile::open(&path), Err(KeyFileError::ParentWritable(_))));
            assert!(matches!(KeyFile::create(&path), Err(KeyFileError::ParentWritable(_))));
        }
    }

    #[test]
    fn links_directories_and_absent_files_are_told_apart() {
        let (directory, path) = created();
        let link = directory.path().join("link");
        symlink(&path, &link).unwrap();
        assert!(matches!(KeyFile::open(&link), Err(KeyFileError::Symlink(_))));
        let inner = directory.path().join("inner");
        fs::create_dir(&inner).unwrap();
        assert!(matches!(KeyFile::open(&inner), Err(KeyFileError::NotAFile(_))));
        assert!(matches!(KeyFile::open(&directory.path().join("none")), Err(KeyFileError::Missing(_))));
        assert!(matches!(KeyFile::open(&inner.join("no/kek")), Err(KeyFileError::Io { .. })));
    }

    #[test]
    fn damage_is_placed() {
        let (_directory, path) = created();
        let good = fs::read_to_string(&path).unwrap();
        let (_, key_line) = good.split_once('\n').unwrap();
        let swapped = format!("{FIRST_LINE}\n0000000000000000 {}", key_line.split_once(' ').unwrap().1);
        for (text, at) in [
            (String::new(), 1),
            (format!("{FIRST_LINE}\n"), 2),
            (good.trim_end().to_owned(), 1),
            (good.replace("v1", "v2"), 1),
            (swapped, 2),
            (format!("{good}\n"), 3),
            (format!("{good}x y\n"), 3),
            (format!("{good}0000000000000000 AAAA\n"), 3),
            (good.replace(' ', "  "), 1),
            (good.repeat(500), 1),
        ] {
            fs::write(&path, &text).unwrap();
            match KeyFile::open(&path).unwrap_err() {
                KeyFileError::Malformed { line, .. } => assert_eq!(line, at, "{}", text.len()),
                other => panic!("{other}"),
            }
        }
    }
}
