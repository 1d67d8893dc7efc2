//! What is remembered of a trail outside of it: how far records were acknowledged, and the log's last size and root. So
//! a start notices what was taken away from the trail, or put in its place, while the bridge was stopped.
//!
//! One file beside the audit directory, with two places of which each write takes the other one, so that a write that
//! is cut short leaves the one before. Every commit writes it, but only a checkpoint syncs it: a process that is killed
//! loses nothing of it, a power cut at most what was acknowledged since the last checkpoint.

use crate::disk::{self, Disk, DiskFile};
use crate::fault::{Fault, FaultKind};
use crate::merkle::{Hash, empty_root};
use crate::segment::{Link, TrailKey};
use ironbridge_core::{StoreMark, Timestamp};
use ironbridge_seal::hash;
use parking_lot::Mutex;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MAGIC: [u8; 8] = *b"IBHEAD\0\0";
const VERSION: u32 = 2;
/// Apart, so that no page of memory and no sector of a disk holds both.
const PLACES: [u64; 2] = [0, 4096];
/// Magic, version, sequence, the log's size and root, journal end and link, where authentication begins, time, MAC.
const LEN_1: usize = 8 + 4 + 8 + 8 + 32 + 8 + 32 + 8 + 8 + 32;
/// With the store's mark before the MAC.
const LEN: usize = LEN_1 + 16 + 8;

/// Where the head is, and the key that it and the trail are authenticated with.
#[derive(Clone)]
pub struct Anchor {
    pub key: TrailKey,
    /// Beside the audit directory, not in it.
    pub head: PathBuf,
    /// Whether the key was in use before: then there must be a head. Else a trail that is there was written by a version
    /// that authenticated nothing, and is taken as it is, once.
    pub begun: bool,
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The log's size and root at its last checkpoint.
    pub size: u64,
    pub root: Hash,
    /// Every record below this index was acknowledged.
    pub acknowledged: u64,
    /// From this index on detail is authenticated.
    pub authenticated_from: u64,
    /// The clock, when this was written.
    pub time: Timestamp,
    /// How far the store came.
    pub store: StoreMark,
    /// Of the last frame of the journal.
    pub(crate) link: Link,
    pub(crate) sequence: u64,
}

impl Anchor {
    /// What is remembered; `None` where nothing is.
    ///
    /// # Errors
    /// A fault where it was not written by the bridge with this key, or should be there and is not.
    pub fn remembered(&self) -> Result<Option<Remembered>, Fault> {
        self.remembered_on(&disk::RealDisk)
    }

    pub(crate) fn remembered_on(&self, disk: &dyn Disk) -> Result<Option<Remembered>, Fault> {
        let bytes = match disk::read(disk, &self.head) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.begun => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = "what is remembered of the audit trail is missing, so nobody can tell whether the trail is whole";
                return Err(self.fault(FaultKind::Missing, detail));
            }
            bytes => bytes.map_err(|error| Fault::reading(self.name(), &error))?,
        };
        let places = PLACES.into_iter().filter_map(|place| bytes.get(usize::try_from(place).ok()?..));
        let newest = places.filter_map(|bytes| parse(bytes, &self.key)).max_by_key(|head| head.sequence);
        let foreign =
            "what is remembered of the audit trail was not written by this bridge, or its key is another";
        newest.map(Some).ok_or_else(|| self.fault(FaultKind::Altered, foreign))
    }

    fn fault(&self, kind: FaultKind, detail: &str) -> Fault {
        Fault::new(kind, self.name(), detail)
    }

    fn name(&self) -> PathBuf {
        self.head.file_name().map(PathBuf::from).unwrap_or_default()
    }
}

impl Remembered {
    pub(crate) fn nothing() -> Remembered {
        Remembered {
            size: 0,
            root: empty_root(),
            acknowledged: 0,
            authenticated_from: 0,
            time: Timestamp::default(),
            store: StoreMark::default(),
            link: [0; 32],
            sequence: 0,
        }
    }

    fn bytes(&self, key: &TrailKey) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(LEN);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_be_bytes());
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.acknowledged.to_be_bytes());
        bytes.extend_from_slice(&self.link);
        bytes.extend_from_slice(&self.authenticated_from.to_be_bytes());
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        bytes.extend_from_slice(&self.store.life);
        bytes.extend_from_slice(&self.store.changes.to_be_bytes());
        bytes.extend_from_slice(&key.head(&bytes));
        bytes
    }
}

fn parse(bytes: &[u8], key: &TrailKey) -> Option<Remembered> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (version, _) = rest.split_first_chunk::<4>()?;
    let len = match u32::from_be_bytes(*version) {
        1 => LEN_1,
        VERSION => LEN,
        _ => return None,
    };
    let (fields, mac) = bytes.get(..len)?.split_last_chunk::<32>()?;
    if *magic != MAGIC || !hash::equal(&key.head(fields), mac) {
        return None;
    }
    let (_, rest) = fields.split_first_chunk::<12>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (root, rest) = rest.split_first_chunk::<32>()?;
    let (acknowledged, rest) = rest.split_first_chunk::<8>()?;
    let (link, rest) = rest.split_first_chunk::<32>()?;
    let (authenticated_from, rest) = rest.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let store = match rest.split_first_chunk::<16>() {
        Some((life, changes)) => {
            StoreMark { life: *life, changes: u64::from_be_bytes(changes.try_into().ok()?) }
        }
        None => StoreMark::default(),
    };
    Some(Remembered {
        size: u64::from_be_bytes(*size),
        root: *root,
        acknowledged: u64::from_be_bytes(*acknowledged),
        authenticated_from: u64::from_be_bytes(*authenticated_from),
        time: Timestamp(u64::from_be_bytes(*time)),
        store,
        link: *link,
        sequence: u64::from_be_bytes(*sequence),
    })
}

/// The head of a trail that is open.
pub(crate) struct Head {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    key: TrailKey,
    written: Mutex<Written>,
}

struct Written {
    file: Box<dyn DiskFile>,
    head: Remembered,
}

impl Head {
    /// Puts the head in place whole, and durably.
    pub fn begin(disk: Arc<dyn Disk>, anchor: &Anchor, mut head: Remembered) -> io::Result<Head> {
        // Odd: it lies in the second place, and the next write takes the first.
        head.sequence = (head.sequence | 1).saturating_add(2);
        let [_, second] = PLACES;
        let mut bytes = Remembered { sequence: head.sequence - 1, ..head }.bytes(&anchor.key);
        bytes.resize(usize::try_from(second).unwrap_or(LEN), 0);
        bytes.extend_from_slice(&head.bytes(&anchor.key));
        let temporary = beside(&anchor.head);
        let mut file = disk.create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync()?;
        disk.rename(&temporary, &anchor.head)?;
        if let Some(directory) = anchor.head.parent() {
            disk.sync_dir(directory)?;
        }
        let written = Mutex::new(Written { file, head });
        Ok(Head { disk, path: anchor.head.clone(), key: anchor.key.clone(), written })
    }

    /// The journal is durable up to here. Not synced: what a power cut may take of it is told by `signed`.
    pub fn acknowledge(&self, acknowledged: u64, link: Link, time: Timestamp) -> io::Result<()> {
        self.write(|head| (head.acknowledged, head.link, head.time) = (acknowledged, link, time))
    }

    /// A checkpoint over this is on disk.
    pub fn signed(&self, size: u64, root: Hash) -> io::Result<()> {
        self.write(|head| (head.size, head.root) = (size, root))?;
        // Without the lock, so that no commit waits for it.
        self.disk.sync_file(&self.path)
    }

    /// The store came this far. Not synced, as `acknowledge`; one that came further is not forgotten.
    pub fn store_is_at(&self, mark: StoreMark) -> io::Result<()> {
        if !mark.follows(self.written.lock().head.store) {
            return Ok(());
        }
        self.write(|head| head.store = mark)
    }

    fn write(&self, change: impl FnOnce(&mut Remembered)) -> io::Result<()> {
        let mut written = self.written.lock();
        let mut head = written.head;
        change(&mut head);
        head.sequence = head.sequence.saturating_add(1);
        let [even, odd] = PLACES;
        let place = if head.sequence.is_multiple_of(2) { even } else { odd };
        written.file.write_at(place, &head.bytes(&self.key))?;
        written.head = head;
        Ok(())
    }
}

fn beside(path: &Path) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(".new");
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_head_reads_back_under_its_key_only(size: u64, root: [u8; 32], life: [u8; 16], at: prop::sample::Index) {
            let (key, other) = (TrailKey::new(&[1; 32]), TrailKey::new(&[2; 32]));
            let store = StoreMark { life, changes: size };
            let head = Remembered { size, root, acknowledged: size, store, ..Remembered::nothing() };
            let mut bytes = head.bytes(&key);
            prop_assert_eq!(bytes.len(), LEN);
            prop_assert_eq!(parse(&bytes, &key), Some(head));
            prop_assert_eq!(parse(&bytes, &other), None);
            bytes[at.index(LEN)] ^= 4;
            prop_assert_eq!(parse(&bytes, &key), None);

            // As version 1 wrote it, which knew nothing of a store.
            let known = head.bytes(&key);
            let mut first = known[..LEN_1 - 32].to_vec();
            first[8..12].copy_from_slice(&1_u32.to_be_bytes());
            first.extend_from_slice(&key.head(&first));
            prop_assert_eq!(parse(&first, &key), Some(Remembered { store: StoreMark::default(), ..head }));
        }

        #[test]
        fn hostile_heads_do_no_harm(bytes: Vec<u8>) {
            prop_assert_eq!(parse(&bytes, &TrailKey::new(&[1; 32])), None);
        }
    }
}
