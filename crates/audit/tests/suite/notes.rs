//! A record that a start or a stop left beside what is remembered, to be written next, makes nothing acceptable: neither
//! while it is there nor when it is put back later.

use crate::exchanges::{anchor, clock, copy_all, open_lagging, options, record, verify};
use crate::left::{SEGMENT, begun, change, entries, frames, killed};
use ironbridge_audit::disk::{Disk, DiskFile, Lock, RealDisk};
use ironbridge_audit::{Anchor, AuditError, Log, Mark, Options, StoreSeen, Trail};
use ironbridge_core::StoreMark;
use ironbridge_core::action::name;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// The operating system's disk with somebody who watches it: keeps a copy of every head with a note, and may pull the
/// plug after so many renames.
#[derive(Default)]
struct Watched {
    noted: Mutex<Vec<Vec<u8>>>,
    renames: AtomicUsize,
    dies_after: Option<usize>,
}

impl Watched {
    fn alive(&self) -> io::Result<()> {
        match self.dies_after.is_some_and(|last| self.renames.load(SeqCst) >= last) {
            true => Err(io::Error::other("the machine is dead")),
            false => Ok(()),
        }
    }
}

impl Disk for Watched {
    fn create_dir_all(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.create_dir_all(path))
    }
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        self.alive().and_then(|()| RealDisk.create(path))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.alive()?;
        self.renames.fetch_add(1, SeqCst);
        RealDisk.rename(from, to)?;
        if to.ends_with("head") {
            self.noted.lock().unwrap().extend(fs::read(to).ok().filter(|head| head.len() > 8192));
        }
        Ok(())
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.remove(path))
    }
    fn remove_dir_all(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.remove_dir_all(path))
    }
    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.sync_dir(path))
    }
    fn sync_all(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.sync_all(path))
    }
    fn sync_file(&self, path: &Path) -> io::Result<()> {
        self.alive().and_then(|()| RealDisk.sync_file(path))
    }
    fn read_at(&self, path: &Path, offset: u64, limit: usize) -> io::Result<Vec<u8>> {
        RealDisk.read_at(path, offset, limit)
    }
    fn is_link(&self, path: &Path) -> io::Result<bool> {
        RealDisk.is_link(path)
    }
    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        RealDisk.list(path)
    }
    fn lock(&self, path: &Path) -> io::Result<Option<Box<dyn Lock>>> {
        RealDisk.lock(path)
    }
}

fn open_on(disk: &Arc<Watched>, options: Options) -> Result<Trail, AuditError> {
    Trail::open_on(Arc::clone(disk) as Arc<dyn Disk>, options, clock())
}

fn accepting(dir: &Path) -> Options {
    Options { accept_loss: true, ..begun(dir) }
}

/// The last frame of what was acknowledged is gone.
fn cut() -> tempfile::TempDir {
    let dir = killed();
    change(dir.path(), SEGMENT, |bytes| bytes.truncate(frames(bytes)[3]));
    dir
}

/// A directory in which a trail was opened or closed with a note, and the head as it was then.
type Noted = (&'static str, fn() -> (tempfile::TempDir, Vec<u8>));

const NOTED: &[Noted] = &[
    (name::LOSS, || {
        let (dir, disk) = (cut(), Arc::<Watched>::default());
        open_on(&disk, accepting(dir.path())).unwrap().close().unwrap();
        (dir, disk.noted.lock().unwrap().pop().unwrap())
    }),
    (name::AUTHENTICATE, || {
        let (dir, disk) = (tempfile::tempdir().unwrap(), Arc::<Watched>::default());
        copy_all(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/v2"), dir.path());
        open_on(&disk, options(dir.path())).unwrap().close().unwrap();
        (dir, disk.noted.lock().unwrap().pop().unwrap())
    }),
    (name::MEND, || {
        let (dir, disk) = (killed(), Arc::<Watched>::default());
        let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..begun(dir.path()) };
        let trail = open_on(&disk, lagging).unwrap();
        fs::remove_file(dir.path().join("head")).unwrap();
        trail.close().unwrap();
        drop(trail);
        let head = disk.noted.lock().unwrap().pop().unwrap();
        (dir, head)
    }),
];

fn segments(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir.join("journal")).unwrap();
    let mut segments: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    segments.sort();
    segments
}

/// What is done to the journal.
type Harm = (&'static str, fn(&Path));

const HARMS: &[Harm] = &[
    ("the journal is emptied", |dir| {
        segments(dir).iter().for_each(|segment| fs::remove_file(segment).unwrap())
    }),
    ("its last frame is cut off", |dir| {
        let last = segments(dir).pop().unwrap();
        let starts = frames(&fs::read(&last).unwrap());
        File::options().write(true).open(last).unwrap().set_len(starts[starts.len() - 2] as u64).unwrap();
    }),
    ("a bit of its last frame is flipped", |dir| {
        let last = segments(dir).pop().unwrap();
        let mut bytes = fs::read(&last).unwrap();
        let at = bytes.len() - 9;
        bytes[at] ^= 1;
        fs::write(last, bytes).unwrap();
    }),
    ("another branch's is put in place", |dir| {
        let branch = tempfile::tempdir().unwrap();
        copy_all(dir, branch.path());
        segments(branch.path()).iter().for_each(|segment| fs::remove_file(segment).unwrap());
        Trail::open(accepting(branch.path()), clock()).unwrap().close().unwrap();
        let trail = open_lagging(branch.path());
        record(&trail, 900..990);
        segments(dir).iter().for_each(|segment| fs::remove_file(segment).unwrap());
        copy_all(&branch.path().join("journal"), &dir.join("journal"));
    }),
];

/// The note's bridge went on, and was stopped. The mark that is kept of it.
fn went_on(dir: &Path) -> Mark {
    let trail = open_lagging(dir);
    record(&trail, 700..705);
    record(&trail, 705..710);
    trail.close().unwrap();
    trail.mark().unwrap()
}

fn assert_refused(options: impl Fn() -> Options, context: &str) {
    let examined = Trail::examine(&options());
    let Err(AuditError::NotAsLeft(examined)) = examined else { panic!("{context}: {examined:?}") };
    match Trail::open(options(), clock()) {
        Err(AuditError::NotAsLeft(fault)) => assert_eq!(fault, examined, "{context}"),
        Err(error) => panic!("{context}: {error}"),
        Ok(_) => panic!("{context}: it opened"),
    }
}

#[test]
fn a_note_that_is_put_back_makes_nothing_acceptable() {
    for (note, noted) in NOTED {
        for (what, harm) in HARMS {
            for known in [true, false] {
                let context = format!("{note}, {what}, a mark is kept: {known}");
                let (dir, head) = noted();
                let mark = went_on(dir.path());
                let sound = || {
                    let anchor = Anchor { begun: true, mark: known.then_some(mark), ..anchor(dir.path()) };
                    Options { anchor, ..options(dir.path()) }
                };
                Trail::examine(&sound()).unwrap_or_else(|error| panic!("{context}: {error}"));
                let before = entries(dir.path()).iter().filter(|entry| entry.action == name::LOSS).count();
                harm(dir.path());
                fs::write(dir.path().join("head"), &head).unwrap();
                assert_refused(sound, &context);
                // What is accepted has its own record, however the older note reads.
                Trail::open(Options { accept_loss: true, ..sound() }, clock()).unwrap().close().unwrap();
                let after = entries(dir.path()).iter().filter(|entry| entry.action == name::LOSS).count();
                assert_eq!(after, before + 1, "{context}");
                Trail::open(begun(dir.path()), clock()).unwrap().close().unwrap();
                verify(&Log::open(dir.path()).unwrap());
            }
        }
    }
}

/// The note lies there rightly, of a stop in which the head was put in order, and has not been written yet.
#[test]
fn a_note_that_waits_makes_nothing_acceptable() {
    let mark = |changes, step: u8| StoreMark { life: [1; 16], changes, step: [step; 32] };
    let at = |changes, step| StoreSeen { mark: mark(changes, step), ..StoreSeen::default() };
    let stopped = || {
        let dir = killed();
        let lagging = Options { max_lag: std::time::Duration::from_secs(3600), ..begun(dir.path()) };
        let trail = Trail::open(Options { store: at(9, 1), ..lagging }, clock()).unwrap();
        trail.store_is_at(mark(10, 2)).unwrap();
        record(&trail, 620..625);
        fs::remove_file(dir.path().join("head")).unwrap();
        trail.close().unwrap();
        dir
    };
    let sound = |dir: &Path| Options { store: at(10, 2), ..begun(dir) };
    let set_back = |dir: &Path| Options { store: at(9, 1), ..begun(dir) };
    let emptied: Harm = HARMS[0];
    let (cut, branch): (Harm, Harm) = (HARMS[1], HARMS[3]);
    let nothing: Harm = ("nothing", |_| {});
    for (what, harm, options) in [
        ("the journal is emptied", emptied, &sound as &dyn Fn(&Path) -> Options),
        ("the journal is cut", cut, &sound),
        ("another branch's journal", branch, &sound),
        ("the store is set back", nothing, &set_back),
    ] {
        let dir = stopped();
        harm.1(dir.path());
        assert_refused(|| options(dir.path()), what);
        Trail::open(Options { accept_loss: true, ..options(dir.path()) }, clock()).unwrap().close().unwrap();
        let entries = entries(dir.path());
        let told: Vec<_> = entries[625..].iter().map(|entry| &*entry.action).collect();
        assert_eq!(told, [name::MEND, name::LOSS], "{what}: both are recorded");
        Trail::open(options(dir.path()), clock()).unwrap().close().unwrap();
        verify(&Log::open(dir.path()).unwrap());
    }
    let dir = stopped();
    Trail::open(sound(dir.path()), clock()).unwrap().close().unwrap();
    assert_eq!(entries(dir.path())[625].action, name::MEND);
    // Nor does it, or an accepted loss, stand for what is found beside the log as well.
    for (what, harm, accept_loss) in [("a mend waits", nothing, false), ("a loss is accepted", emptied, true)]
    {
        let dir = stopped();
        harm.1(dir.path());
        fs::remove_file(dir.path().join("log/key")).unwrap();
        for accept_loss in [accept_loss, false] {
            let options = Options { accept_loss, ..sound(dir.path()) };
            Trail::open(options, clock()).unwrap().close().unwrap();
        }
        let entries = entries(dir.path());
        let found = entries[625..].iter().filter(|entry| entry.action == name::MEND);
        let found: Vec<_> = found.map(|entry| &*entry.facts["found"]).collect();
        assert_eq!(found.len(), 2, "{what}: {found:?}");
        assert!(found[1].starts_with("log/key"), "{what}: {found:?}");
    }
}

/// Wherever an accepted loss is killed, the start judges as the verification, and the loss is recorded once.
#[test]
fn an_accepted_loss_that_is_killed_at_any_rename_is_accepted_again_and_recorded_once() {
    for dies_after in 0.. {
        let dir = cut();
        let disk = Arc::new(Watched { dies_after: Some(dies_after), ..Watched::default() });
        let survived = open_on(&disk, accepting(dir.path())).and_then(|trail| trail.close()).is_ok();
        let examined = Trail::examine(&begun(dir.path()));
        let opened = Trail::open(begun(dir.path()), clock()).and_then(|trail| trail.close());
        assert_eq!(examined.is_ok(), opened.is_ok(), "killed after {dies_after}: {examined:?}, {opened:?}");
        if opened.is_err() {
            Trail::open(accepting(dir.path()), clock()).unwrap().close().unwrap();
        }
        let entries = entries(dir.path());
        let losses: Vec<_> = entries.iter().filter(|entry| entry.action == name::LOSS).collect();
        assert_eq!((losses.len(), entries.len()), (1, 616), "killed after {dies_after} renames");
        assert_eq!(losses[0].facts["lost_below"], "620", "killed after {dies_after} renames");
        if survived {
            return;
        }
    }
}
