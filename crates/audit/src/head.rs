//! What is remembered of a trail outside of it: how far records were acknowledged, and the log's last size and root. So
//! a start notices what was taken away from the trail, or put in its place, while the bridge was stopped.
//!
//! One file beside the audit directory, with two places of which each write takes the other one. A place is less than
//! a sector and is never written by two at once, so whatever stops the bridge leaves two whole places, one even and
//! one odd: anything else was done by another hand. Every commit writes the file, but only a checkpoint syncs it: a
//! process that is killed loses nothing of it, a power cut at most what was acknowledged since the last checkpoint.
//! That an older copy of the file was put back is told by the [`Mark`] that the store keeps of it.

use crate::believed::Moment;
use crate::disk::{self, Disk, DiskFile};
use crate::fault::{Fault, FaultKind};
use crate::mark::Mark;
use crate::merkle::{Hash, empty_root};
use crate::note::Note;
use crate::segment::{Link, TrailKey};
use ironbridge_core::{StoreMark, Timestamp};
use ironbridge_seal::hash;
use parking_lot::Mutex;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const MAGIC: [u8; 8] = *b"IBHEAD\0\0";
const VERSION: u32 = 4;
/// Apart, so that no page of memory and no sector of a disk holds both.
const PLACES: [u64; 2] = [0, 4096];
/// Where the note lies, if there is one.
const NOTE: u64 = 8192;
/// Magic, version, sequence, the log's size and root, journal end and link, where authentication begins, time, MAC.
const LEN_1: usize = 8 + 4 + 8 + 8 + 32 + 8 + 32 + 8 + 8 + 32;
/// With the store's mark before the MAC.
const LEN_2: usize = LEN_1 + 16 + 8;
/// With the note's hash, and what is known of the clock.
const LEN_3: usize = LEN_2 + 32 + 8 + 8;
/// With the store's step.
const LEN: usize = LEN_3 + 32;
const NO_NOTE: Hash = [0; 32];

/// Where the head is, and the key that it and the trail are authenticated with.
#[derive(Clone)]
pub struct Anchor {
    /// Authenticates head, journal and detail.
    pub key: TrailKey,
    /// Beside the audit directory, not in it.
    pub head: PathBuf,
    /// Whether the key was in use before: then there must be a head. Else a trail that is there was written by a version
    /// that authenticated nothing, and is taken as it is, once.
    pub begun: bool,
    /// What is remembered elsewhere of how far the trail was: [`crate::Trail::mark`] tells it.
    pub mark: Option<Mark>,
}

/// What is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// The log's size at its last checkpoint.
    pub size: u64,
    /// Its root at that size.
    pub root: Hash,
    /// Every record below this index was acknowledged.
    pub acknowledged: u64,
    /// From this index on detail is authenticated.
    pub authenticated_from: u64,
    /// The clock, when this was written.
    pub time: Timestamp,
    /// How far the store came.
    pub store: StoreMark,
    /// The clock, where it is in doubt: then retention drops nothing.
    pub doubted: Timestamp,
    /// How much of the time the clock has gone on without that anybody observed it.
    pub(crate) unobserved: Duration,
    /// Of the last frame of the journal.
    pub(crate) link: Link,
    pub(crate) sequence: u64,
    /// Of the records that are to be written next, before any other; zeros where there is none.
    pub(crate) note: Hash,
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
        // Whoever reads while a bridge writes may meet half a place.
        const TRIES: u32 = 5;
        const PAUSE: Duration = Duration::from_millis(2);
        for _ in 1..TRIES {
            match self.read(disk) {
                Err(fault) if fault.kind == FaultKind::Altered => thread::sleep(PAUSE),
                read => return read,
            }
        }
        self.read(disk)
    }

    fn read(&self, disk: &dyn Disk) -> Result<Option<Remembered>, Fault> {
        let [even, odd] = PLACES;
        let end = usize::try_from(odd).unwrap_or(usize::MAX).saturating_add(LEN);
        let bytes = match disk.read_at(&self.head, 0, end) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.begun => return Ok(None),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let detail = "what is remembered of the audit trail is missing, so nobody can tell whether the trail is whole";
                return Err(self.fault(FaultKind::Missing, detail));
            }
            bytes => bytes.map_err(|error| Fault::reading(self.name(), &error))?,
        };
        let at = |place: u64| {
            let bytes = bytes.get(usize::try_from(place).ok()?..)?;
            parse(bytes, &self.key).filter(|head| head.place() == place)
        };
        let foreign = match (at(even), at(odd)) {
            (Some(even), Some(odd)) => {
                return Ok(Some(if even.sequence > odd.sequence { even } else { odd }));
            }
            (None, None) => {
                "what is remembered of the audit trail was not written by this bridge, or its key is another"
            }
            _ => {
                "one of the two places of what is remembered of the audit trail was altered: nothing that stops a \
                 bridge leaves half a place"
            }
        };
        Err(self.fault(FaultKind::Altered, foreign))
    }

    /// Records that are still to be written.
    pub(crate) fn notes(&self, disk: &dyn Disk, head: &Remembered) -> Result<Vec<Note>, Fault> {
        if head.note == NO_NOTE {
            return Ok(Vec::new());
        }
        let bytes = disk.read_at(&self.head, NOTE, Note::MAX).map_err(|e| Fault::reading(self.name(), &e))?;
        let notes = Note::parse(&bytes).filter(|_| hash::sha256(&bytes) == head.note);
        let foreign = "the record beside what is remembered of the audit trail was altered";
        notes.ok_or_else(|| self.fault(FaultKind::Altered, foreign))
    }

    /// All that means anything in the file.
    pub(crate) fn bytes(&self, disk: &dyn Disk) -> io::Result<Vec<u8>> {
        disk.read_at(&self.head, 0, usize::try_from(NOTE).unwrap_or(LEN).saturating_add(Note::MAX))
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
            doubted: Timestamp::default(),
            unobserved: Duration::ZERO,
            link: [0; 32],
            sequence: 0,
            note: NO_NOTE,
        }
    }

    fn mark(&self) -> Mark {
        let Remembered { sequence, size, root, acknowledged, time, link, .. } = *self;
        Mark { sequence, size, root, acknowledged, time, link }
    }

    /// With what is remembered elsewhere, where that is more. A mark of before says nothing: an accepted loss takes back
    /// what was acknowledged, and may be cut short before the next mark is kept.
    pub(crate) fn with(mut self, mark: Option<Mark>) -> Remembered {
        let Some(mark) = mark.filter(|mark| mark.sequence > self.sequence) else { return self };
        if mark.size > self.size {
            (self.size, self.root) = (mark.size, mark.root);
        }
        if mark.acknowledged > self.acknowledged {
            (self.acknowledged, self.link) = (mark.acknowledged, mark.link);
        }
        self.time = self.time.max(mark.time);
        self.sequence = mark.sequence;
        self
    }

    /// Where it lies.
    fn place(&self) -> u64 {
        let [even, odd] = PLACES;
        if self.sequence.is_multiple_of(2) { even } else { odd }
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
        bytes.extend_from_slice(&self.note);
        let unobserved = u64::try_from(self.unobserved.as_micros()).unwrap_or(u64::MAX);
        bytes.extend_from_slice(&unobserved.to_be_bytes());
        bytes.extend_from_slice(&self.doubted.micros().to_be_bytes());
        bytes.extend_from_slice(&self.store.step);
        bytes.extend_from_slice(&key.head(&bytes));
        bytes
    }
}

fn parse(bytes: &[u8], key: &TrailKey) -> Option<Remembered> {
    let (magic, rest) = bytes.split_first_chunk::<8>()?;
    let (version, _) = rest.split_first_chunk::<4>()?;
    let len = match u32::from_be_bytes(*version) {
        1 => LEN_1,
        2 => LEN_2,
        3 => LEN_3,
        VERSION => LEN,
        _ => return None,
    };
    let (fields, mac) = bytes.get(..len)?.split_last_chunk::<32>()?;
    if *magic != MAGIC || !hash::equal(&key.head(fields), mac) {
        return None;
    }
    // What a version did not know reads as zeros.
    let mut whole = [0; LEN];
    whole.get_mut(..fields.len())?.copy_from_slice(fields);
    let (_, rest) = whole.split_first_chunk::<12>()?;
    let (sequence, rest) = rest.split_first_chunk::<8>()?;
    let (size, rest) = rest.split_first_chunk::<8>()?;
    let (root, rest) = rest.split_first_chunk::<32>()?;
    let (acknowledged, rest) = rest.split_first_chunk::<8>()?;
    let (link, rest) = rest.split_first_chunk::<32>()?;
    let (authenticated_from, rest) = rest.split_first_chunk::<8>()?;
    let (time, rest) = rest.split_first_chunk::<8>()?;
    let (life, rest) = rest.split_first_chunk::<16>()?;
    let (changes, rest) = rest.split_first_chunk::<8>()?;
    let (note, rest) = rest.split_first_chunk::<32>()?;
    let (unobserved, rest) = rest.split_first_chunk::<8>()?;
    let (doubted, rest) = rest.split_first_chunk::<8>()?;
    let (step, _) = rest.split_first_chunk::<32>()?;
    Some(Remembered {
        size: u64::from_be_bytes(*size),
        root: *root,
        acknowledged: u64::from_be_bytes(*acknowledged),
        authenticated_from: u64::from_be_bytes(*authenticated_from),
        time: Timestamp(u64::from_be_bytes(*time)),
        store: StoreMark { life: *life, changes: u64::from_be_bytes(*changes), step: *step },
        link: *link,
        sequence: u64::from_be_bytes(*sequence),
        note: *note,
        unobserved: Duration::from_micros(u64::from_be_bytes(*unobserved)),
        doubted: Timestamp(u64::from_be_bytes(*doubted)),
    })
}

/// The head of a trail that is open.
pub(crate) struct Head {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    key: TrailKey,
    written: Mutex<Written>,
    /// As of the last sync: what is there whatever happens.
    synced: Mutex<Mark>,
}

struct Written {
    file: Box<dyn DiskFile>,
    head: Remembered,
    /// What lies in the other place.
    before: Remembered,
}

impl Head {
    /// Puts the head in place whole, and durably.
    pub fn begin(disk: Arc<dyn Disk>, anchor: &Anchor, head: Remembered, notes: &[Note]) -> io::Result<Head> {
        let (path, key) = (anchor.head.clone(), anchor.key.clone());
        let written = Written::whole(&*disk, &path, &key, head, notes)?;
        let synced = Mutex::new(written.head.mark());
        Ok(Head { disk, path, key, written: Mutex::new(written), synced })
    }

    /// The journal is durable up to here, and with it whatever was to be written first. Not synced: what a power cut may
    /// take of it is told by `signed`.
    pub fn acknowledge(&self, acknowledged: u64, link: Link, moment: Moment) -> io::Result<()> {
        self.write(|head| {
            (head.acknowledged, head.link, head.note) = (acknowledged, link, NO_NOTE);
            (head.time, head.unobserved) = (moment.time, moment.unobserved);
        })
    }

    /// The clock is in doubt, as it stands; or is not any more: zero.
    pub fn doubts(&self, clock: Timestamp) -> io::Result<()> {
        match self.newest().doubted == clock {
            true => Ok(()),
            false => self.write(|head| head.doubted = clock),
        }
    }

    /// A checkpoint over this is on disk.
    pub fn signed(&self, size: u64, root: Hash) -> io::Result<()> {
        self.write(|head| (head.size, head.root) = (size, root))
    }

    /// How far the head is that a power cut leaves at least.
    pub fn mark(&self) -> Mark {
        *self.synced.lock()
    }

    pub fn newest(&self) -> Remembered {
        self.written.lock().head
    }

    /// What was written survives a power cut from now on. Before a checkpoint is written, so that no log ever holds more
    /// than what is remembered acknowledges.
    pub fn persist(&self) -> io::Result<()> {
        let mark = self.newest().mark();
        if self.mark() == mark {
            return Ok(());
        }
        // Without the lock, so that no commit waits for it.
        match self.disk.sync_file(&self.path) {
            // Whoever looks after it tells, and writes it anew.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            synced => synced?,
        }
        *self.synced.lock() = mark;
        Ok(())
    }

    /// What lies in its place now, if that is not what was written: nobody else has anything to write there.
    pub fn wrong(&self) -> Option<Fault> {
        let written = self.written.lock();
        let there = |head: &Remembered| {
            let bytes = head.bytes(&self.key);
            self.disk.read_at(&self.path, head.place(), bytes.len()).map(|found| found == bytes)
        };
        let found = there(&written.head).and_then(|same| Ok(same && there(&written.before)?));
        let name = self.path.file_name().map(PathBuf::from).unwrap_or_default();
        let altered = "what is remembered of the audit trail was altered or replaced while the bridge ran";
        match found {
            Ok(true) => None,
            Ok(false) => Some(Fault::new(FaultKind::Altered, name, altered)),
            Err(error) => Some(Fault::reading(name, &error)),
        }
    }

    /// Puts the head in place anew, whatever lies there. `notes` are what the next start is to record, where this
    /// trail takes no more records.
    pub fn renew(&self, notes: &[Note]) -> io::Result<()> {
        let mut written = self.written.lock();
        let whole = Written::whole(&*self.disk, &self.path, &self.key, written.head, notes);
        *written = whole.map_err(|error| io::Error::other(format!("{}: {error}", self.path.display())))?;
        *self.synced.lock() = written.head.mark();
        Ok(())
    }

    /// The store came this far. Not synced, as `acknowledge`; one that came further is not forgotten.
    pub fn store_is_at(&self, mark: StoreMark) -> io::Result<()> {
        let known = self.newest().store;
        if !mark.can_follow(known) {
            return Err(io::Error::other("the store was set back while the bridge ran"));
        }
        if mark == known { Ok(()) } else { self.write(|head| head.store = mark) }
    }

    fn write(&self, change: impl FnOnce(&mut Remembered)) -> io::Result<()> {
        let mut written = self.written.lock();
        let before = written.head;
        let mut head = before;
        change(&mut head);
        head.sequence = head.sequence.saturating_add(1);
        written.file.write_at(head.place(), &head.bytes(&self.key))?;
        (written.before, written.head) = (before, head);
        Ok(())
    }
}

impl Written {
    /// A file of its own with both places and the notes, in place whole and durably.
    fn whole(
        disk: &dyn Disk,
        path: &Path,
        key: &TrailKey,
        mut head: Remembered,
        notes: &[Note],
    ) -> io::Result<Written> {
        let note = (!notes.is_empty()).then(|| Note::bytes(notes));
        head.note = note.as_ref().map_or(NO_NOTE, |note| hash::sha256(note));
        // Odd: it lies in the second place, and the next write takes the first.
        head.sequence = (head.sequence | 1).saturating_add(2);
        let before = Remembered { sequence: head.sequence - 1, ..head };
        let [_, odd] = PLACES;
        let mut bytes = before.bytes(key);
        bytes.resize(usize::try_from(odd).unwrap_or(LEN), 0);
        bytes.extend_from_slice(&head.bytes(key));
        if let Some(note) = note {
            bytes.resize(usize::try_from(NOTE).unwrap_or(LEN), 0);
            bytes.extend_from_slice(&note);
        }
        let temporary = beside(path);
        let mut file = disk.create(&temporary)?;
        file.write_all(&bytes)?;
        file.sync()?;
        disk.rename(&temporary, path)?;
        if let Some(directory) = path.parent() {
            disk.sync_dir(directory)?;
        }
        Ok(Written { file, head, before })
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
            let counted = StoreMark { life, changes: size, ..StoreMark::default() };
            let store = StoreMark { step: root, ..counted };
            let (unobserved, doubted) = (Duration::from_micros(size), Timestamp(size));
            let earlier = Remembered { size, root, acknowledged: size, ..Remembered::nothing() };
            let head = Remembered { store, note: root, unobserved, doubted, ..earlier };
            let mut bytes = head.bytes(&key);
            prop_assert_eq!(bytes.len(), LEN);
            prop_assert_eq!(parse(&bytes, &key), Some(head));
            prop_assert_eq!(parse(&bytes, &other), None);
            bytes[at.index(LEN)] ^= 4;
            prop_assert_eq!(parse(&bytes, &key), None);

            // As versions 1 to 3 wrote it, which knew nothing of a store, of notes and clocks, of its steps.
            let [second, third] = [earlier, head].map(|head| Remembered { store: counted, ..head });
            for (version, len, known) in [(1_u32, LEN_1, earlier), (2, LEN_2, second), (3, LEN_3, third)] {
                let mut first = head.bytes(&key)[..len - 32].to_vec();
                first[8..12].copy_from_slice(&version.to_be_bytes());
                first.extend_from_slice(&key.head(&first));
                prop_assert_eq!(parse(&first, &key), Some(known));
            }
            prop_assert_eq!(Mark::parse(&head.mark().bytes()), Some(head.mark()));
        }

        #[test]
        fn hostile_heads_do_no_harm(bytes: Vec<u8>) {
            prop_assert_eq!(parse(&bytes, &TrailKey::new(&[1; 32])), None);
        }
    }
}
