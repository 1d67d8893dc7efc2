use crate::believed::{Believed, Doubt};
use crate::checkpoint::{self, Checkpoint, Signers};
use crate::commit::Committer;
use crate::disk::{self, Disk, RealDisk};
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::head::{Anchor, Head, Remembered};
use crate::integrate::{Bell, Integrator};
use crate::journal::{self, Cursor, Trust};
use crate::leaf::{Encoded, MAX_ENTRY};
use crate::merkle::Hash;
use crate::outage::{self, Outage, unavailable};
use crate::progress::{Durable, Progress};
use crate::queue::{Bounds, Queue, Refused};
use crate::reader::Log;
use crate::recover::{self, Found};
use crate::refusals::Refusals;
use crate::segment::{self, Frame, Link, MAX_DETAIL, Part, Segment, Taken};
use crate::text::time_text;
use crate::tiles::Edge;
use ironbridge_core::{
    Action, BoxFuture, Clock, Denial, OwnerKey, Position, Record, Recorder, StoreMark, Timestamp,
};
use ironbridge_seal::envelope::SealError;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Where the trail lives and under whose name.
pub struct Options {
    /// The audit directory, made if it is not there.
    pub dir: PathBuf,
    /// The log's name in its checkpoints: a URL without scheme that is unique and never changes.
    pub origin: String,
    /// The keys of the log, whose origin they all are named after.
    pub signers: Signers,
    /// What is remembered of the trail outside of it, and the key that authenticates it.
    pub anchor: Anchor,
    /// How far the store came whose credentials and keys the trail is written with.
    pub store: StoreMark,
    /// Has the trail go on where it is not as it was left: what contradicts is set aside, and a record says so.
    pub accept_loss: bool,
    /// Makes the clock right, however far it is ahead of when the trail was last written.
    pub confirm_clock: bool,
    /// Who opens it.
    pub actor: String,
    /// Owns the detail of callers that did not authenticate, and of actions that are nobody's in particular.
    pub callers: Arc<OwnerKey>,
    /// How long durable records may wait for the next checkpoint. Every checkpoint replaces a few small files, and
    /// ext4 makes creating a file the dearer the more were removed in the last half minute.
    pub max_lag: Duration,
    /// How long to wait after a failure of the disk before trying again.
    pub retry: Duration,
    /// From this size on the journal, and the detail, start their next segment, in bytes.
    pub segment_bytes: u64,
    /// From this age on they do so too: what retention drops must not linger in a segment that is never full.
    pub segment_age: Duration,
    /// From this many records, or bytes, waiting for the disk on, no new exchange is let in.
    pub queue_records: u32,
    pub queue_bytes: usize,
}

impl Options {
    pub fn new(
        dir: impl Into<PathBuf>,
        origin: impl Into<String>,
        signers: Signers,
        callers: Arc<OwnerKey>,
        anchor: Anchor,
    ) -> Options {
        Options {
            dir: dir.into(),
            origin: origin.into(),
            signers,
            callers,
            anchor,
            store: StoreMark::default(),
            accept_loss: false,
            confirm_clock: false,
            actor: "bridge".to_owned(),
            max_lag: Duration::from_millis(600),
            retry: Duration::from_millis(500),
            segment_bytes: 16 << 20,
            segment_age: Duration::from_secs(24 * 3600),
            queue_records: 65_536,
            queue_bytes: 64 << 20,
        }
    }
}

/// The audit trail of this bridge: takes records, makes them durable, and integrates them into the log.
pub struct Trail {
    shared: Arc<Shared>,
    callers: Arc<OwnerKey>,
    refusals: Arc<Refusals>,
    threads: Mutex<Option<Threads>>,
    _lock: Box<dyn Send + Sync>,
}

struct Threads {
    committer: JoinHandle<u64>,
    refusals: JoinHandle<()>,
    integrator: JoinHandle<Result<(), String>>,
}

/// How the trail stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// Records taken.
    pub size: u64,
    /// Of these, how many would survive a power cut.
    pub durable: u64,
    /// Of these, how many the signed checkpoint covers.
    pub integrated: u64,
    /// Why no records are taken, if none are.
    pub unavailable: Option<Outage>,
}

/// What the trail and its two threads share.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub places: Places,
    pub trust: Trust,
    pub believed: Believed,
    /// Written once the trail is as it should be.
    pub head: OnceLock<Head>,
    pub queue: Queue,
    pub progress: Arc<Progress>,
    pub integrated: AtomicU64,
    pub journal: outage::Part,
    pub log: outage::Part,
    pub bell: Bell,
    pub max_lag: Duration,
    pub retry: Duration,
    pub segment_bytes: u64,
    pub segment_age: Duration,
    pub clock: Arc<dyn Clock>,
    /// Replaced while it runs, when one key follows another.
    pub signers: Mutex<Arc<Signers>>,
}

impl Shared {
    /// A new segment that follows the frame with this link.
    pub fn new_segment(&self, part: Part, first: u64, link: Link) -> io::Result<Segment> {
        let key = self.trust.key.as_ref().ok_or_else(|| io::Error::other("the trail has no key"))?;
        let (disk, temporary) = (&*self.disk, self.places.temporary(part.name()));
        Segment::create(
            &segment::Place { disk, dir: self.places.of(part), temporary, part, key },
            first,
            link,
        )
    }

    /// The first segment of a trail that was opened, with what is to be recorded of that; then the head is put in place.
    /// As long as it is not, the next start finds what this one did.
    fn begin(
        &self,
        anchor: &Anchor,
        mut head: Remembered,
        note: Option<&Action>,
        callers: &OwnerKey,
    ) -> io::Result<Segment> {
        let mut segment = self.new_segment(Part::Journal, head.acknowledged, head.link)?;
        if let Some(action) = note {
            let mut encoded = Encoded::default();
            encoded.action(action, callers).map_err(io::Error::other)?;
            let mut frame = Frame::starting_at(head.acknowledged, Vec::new());
            frame.push(Taken { leaf: &encoded.leaf, detail: &encoded.details.bytes });
            segment.append(&mut frame)?;
            (head.acknowledged, head.link) = (frame.end(), segment.link);
        }
        head.time = self.believed.now();
        let begun = Head::begin(Arc::clone(&self.disk), anchor, head)?;
        let _ = self.head.set(begun);
        self.progress.advance(head.acknowledged);
        Ok(segment)
    }

    pub fn journal_from(&self, index: u64) -> Cursor {
        Cursor::new(Part::Journal, self.places.journal.clone(), index, self.trust.clone())
    }

    /// The journal is durable below this index, and ends with this link.
    pub fn acknowledge(&self, below: u64, link: Link) -> io::Result<()> {
        self.head.get().map_or(Ok(()), |head| head.acknowledge(below, link, self.believed.now()))
    }

    /// A checkpoint over this is on disk.
    pub fn signed(&self, size: u64, root: Hash) -> io::Result<()> {
        self.head.get().map_or(Ok(()), |head| head.signed(size, root))
    }
}

/// The directories of a trail.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub base: PathBuf,
    pub journal: PathBuf,
    pub log: PathBuf,
    pub detail: PathBuf,
    temporary: PathBuf,
}

impl Places {
    pub fn below(base: &Path) -> Places {
        Places {
            base: base.to_path_buf(),
            journal: base.join("journal"),
            log: base.join("log"),
            detail: base.join("detail"),
            temporary: base.join("tmp"),
        }
    }

    pub fn of(&self, part: Part) -> &Path {
        match part {
            Part::Journal => &self.journal,
            Part::Detail => &self.detail,
        }
    }

    /// A name for a file that is not yet in place; one per purpose, each used by one thread.
    pub fn temporary(&self, purpose: &str) -> PathBuf {
        self.temporary.join(purpose)
    }
}

impl Trail {
    /// Opens the trail, or starts a new one in an empty directory. Reads back what a crash left: records that
    /// were durable are all there, a frame that was never finished is passed over.
    ///
    /// # Errors
    /// [`AuditError::Damaged`] when what is there is not what was written; the bridge must not start then.
    /// [`AuditError::Locked`] when another process writes this trail.
    pub fn open(options: Options, clock: Arc<dyn Clock>) -> Result<Trail, AuditError> {
        Trail::open_on(Arc::new(RealDisk), options, clock)
    }

    /// As [`Trail::open`], on another disk.
    pub fn open_on(
        disk: Arc<dyn Disk>,
        options: Options,
        clock: Arc<dyn Clock>,
    ) -> Result<Trail, AuditError> {
        let places = Places::below(&options.dir);
        make_directories(&*disk, &places)?;
        let lock = take_lock(&*disk, &places)?;
        journal::clear_temporary(&*disk, &places.temporary).map_err(failed("clearing", &places.temporary))?;

        let mut found = Found::at(&*disk, &places, &options)?;
        let anything = Trust { key: Some(options.anchor.key.clone()), from: u64::MAX };
        found.recall(&Log::at(Arc::clone(&disk), places.clone(), anything))?;
        let note = found.note(&options.actor, clock.now());
        let aside = (!found.contradictions.is_empty()).then(|| recover::aside(&places, clock.now()));
        if let Some(aside) = &aside {
            make_way(&*disk, &places, found.edge.as_ref().map(|edge| edge.size), aside)
                .map_err(failed("setting aside what is in", &places.base))?;
        }
        let trust =
            Trust { key: Some(options.anchor.key.clone()), from: found.remembered.authenticated_from };
        let last = match options.confirm_clock {
            true => None,
            false => found.last_time(&Log::at(Arc::clone(&disk), places.clone(), trust.clone())),
        };
        let edge = match found.edge {
            Some(edge) => edge,
            None => start_log(&*disk, &places, &options, clock.now())?,
        };
        let (next, link) = (found.next, found.link);
        let shared = Arc::new(Shared {
            trust,
            believed: Believed::since(Arc::clone(&clock), last),
            head: OnceLock::new(),
            queue: Queue::new(
                next + u64::from(note.is_some()),
                Bounds { records: options.queue_records, bytes: options.queue_bytes },
            ),
            progress: Progress::new(next),
            integrated: AtomicU64::new(edge.size),
            journal: outage::Part::working(&clock),
            log: outage::Part::working(&clock),
            bell: Bell::default(),
            max_lag: options.max_lag,
            retry: options.retry,
            segment_bytes: options.segment_bytes,
            segment_age: options.segment_age,
            clock,
            signers: Mutex::new(Arc::new(options.signers)),
            disk,
            places,
        });
        // What a crash left in the journal goes into the log first. So nothing depends on the old segments any more,
        // of which it is not known how much ever reached the disk.
        let mut integrator = Integrator::new(Arc::clone(&shared), options.origin, edge);
        integrator.recover()?;
        if let Some(aside) = &aside {
            recover::set_aside(&*shared.disk, &shared.places, Part::Journal, 0, aside)
                .map_err(failed("setting aside what is in", &shared.places.journal))?;
        }
        let (size, root) = integrator.tree();
        let head = Remembered { size, root, acknowledged: next, link, ..found.remembered };
        let segment = shared
            .begin(&options.anchor, head, note.as_ref(), &options.callers)
            .map_err(failed("writing", &shared.places.journal))?;
        journal::remove_below(&*shared.disk, &shared.places.journal, next)
            .map_err(failed("clearing", &shared.places.journal))?;
        let committer = Committer::new(Arc::clone(&shared), segment);
        let spawn = failed("starting a thread for", &shared.places.base);
        let committer = thread::Builder::new().name("audit-commit".into()).spawn(move || committer.run());
        let (refusals, kept, callers) =
            (Arc::<Refusals>::default(), Arc::clone(&shared), Arc::clone(&options.callers));
        let gathered = Arc::clone(&refusals);
        let writer = thread::Builder::new().name("audit-refusals".into());
        let writer = writer.spawn(move || write_refusals(&gathered, &kept, &callers));
        let integrator = thread::Builder::new().name("audit-log".into()).spawn(move || integrator.run());
        let threads = match (committer, integrator, writer) {
            (Ok(committer), Ok(integrator), Ok(refusals)) => Threads { committer, refusals, integrator },
            (Err(error), _, _) | (_, Err(error), _) | (_, _, Err(error)) => {
                refusals.close();
                shared.queue.close();
                shared.bell.close();
                return Err(spawn(error));
            }
        };
        Ok(Trail {
            shared,
            callers: options.callers,
            refusals,
            threads: Mutex::new(Some(threads)),
            _lock: lock,
        })
    }

    /// Whether the trail is as it was left; nothing is changed. A trail that a running bridge writes was examined when
    /// that started, and is not again.
    ///
    /// # Errors
    /// As [`Trail::open`].
    pub fn examine(options: &Options) -> Result<(), AuditError> {
        let (disk, places) = (&RealDisk, Places::below(&options.dir));
        let examined = match is_written(disk, &places)? {
            true => Ok(()),
            false => Found::at(disk, &places, options).map(drop),
        };
        match examined {
            // A bridge may have started since.
            Err(_) if is_written(disk, &places)? => Ok(()),
            examined => examined,
        }
    }

    /// Whether the clock can be believed: else retention drops nothing.
    pub(crate) fn check_clock(&self) -> Result<(), AuditError> {
        let doubted = |Doubt { clock, believed }| AuditError::ClockInDoubt {
            clock: time_text(clock),
            believed: time_text(believed),
        };
        self.shared.believed.check().map_err(doubted)
    }

    /// Remembers how far the store came; one that comes back with less is refused at the next start.
    ///
    /// # Errors
    /// When what is remembered cannot be written.
    pub fn store_is_at(&self, mark: StoreMark) -> io::Result<()> {
        self.shared.head.get().map_or(Ok(()), |head| head.store_is_at(mark))
    }

    /// Signs with these keys from now on; a checkpoint under them follows within [`Options::max_lag`].
    pub fn set_signers(&self, signers: Signers) {
        *self.shared.signers.lock() = Arc::new(signers);
    }

    /// For reading what this trail writes.
    pub fn log(&self) -> Log {
        Log::at(Arc::clone(&self.shared.disk), self.shared.places.clone(), self.shared.trust.clone())
    }

    pub fn status(&self) -> Status {
        let shared = &self.shared;
        // In this order, so that a later stage never seems ahead of an earlier one.
        let integrated = shared.integrated.load(SeqCst);
        let durable = shared.progress.durable();
        let size = shared.queue.next();
        let unavailable = shared.journal.outage().or_else(|| shared.log.outage());
        Status { size, durable, integrated, unavailable }
    }

    /// Takes no more records, writes and integrates those that are there, and signs a last checkpoint. Blocks
    /// meanwhile. A second call does nothing.
    pub fn close(&self) -> Result<(), AuditError> {
        let Some(threads) = self.threads.lock().take() else { return Ok(()) };
        self.refusals.close();
        let _ = threads.refusals.join();
        self.shared.queue.close();
        let unwritten = threads.committer.join().unwrap_or_default();
        self.shared.journal.fail("the trail is closed");
        self.shared.progress.stop();
        self.shared.bell.close();
        let integrated = threads.integrator.join();
        match (unwritten, integrated) {
            (1.., _) => Err(AuditError::Unwritten(unwritten)),
            (0, Ok(Ok(()))) => Ok(()),
            (0, Ok(Err(reason))) => Err(AuditError::NotIntegrated(reason)),
            (0, Err(_)) => Err(AuditError::NotIntegrated("its thread ended early".into())),
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        let _ = self.close();
    }
}

thread_local! {
    /// Where this thread encodes records, so that no allocation and no lock is held meanwhile.
    static ENCODED: RefCell<Encoded> = RefCell::default();
}

impl Recorder for Trail {
    fn ready(&self) -> Result<(), Box<Denial>> {
        let shared = &*self.shared;
        if let Some(part) = [&shared.journal, &shared.log].into_iter().find(|part| part.is_out()) {
            return Err(part.denial());
        }
        match shared.queue.is_open() {
            true => Ok(()),
            false => Err(unavailable("the trail is closing, or more records wait for the disk than may")),
        }
    }

    /// Refuses while the journal cannot be written, but keeps the record as long as there is room: what crossed
    /// is written once the disk lets it.
    fn append(&self, record: Record<'_>) -> Result<Position, Box<Denial>> {
        if self.refusals.gather(&record) {
            // Nothing of its own to wait for.
            return self.taken(0);
        }
        let pushed = self.shared.push(|encoded| encoded.exchange(&record, &self.callers));
        // Where the answer is on its way already, nobody else can tell.
        let index = pushed.inspect_err(|denial| {
            tracing::error!(id = %record.exchange.id, code = record.ending.code(), %denial, "an exchange has no record");
        })?;
        self.taken(index)
    }

    fn act(&self, action: &Action) -> Result<Position, Box<Denial>> {
        let pushed = self.shared.push(|encoded| encoded.action(action, &self.callers));
        let index = pushed.inspect_err(|denial| {
            tracing::error!(id = %action.id, action = %action.name, %denial, "an action has no record");
        })?;
        self.taken(index)
    }

    fn durable(&self, position: Position) -> BoxFuture<'_, Result<(), Box<Denial>>> {
        let shared = &self.shared;
        let waiting = Durable::new(&shared.progress, position.0);
        Box::pin(async move {
            if position.0 >= shared.progress.durable() {
                shared.queue.want();
            }
            if waiting.await { Ok(()) } else { Err(shared.journal.denial()) }
        })
    }
}

impl Trail {
    fn taken(&self, index: u64) -> Result<Position, Box<Denial>> {
        match self.shared.journal.is_out() {
            true => Err(self.shared.journal.denial()),
            false => Ok(Position(index)),
        }
    }
}

/// Writes what is gathered as its windows end.
fn write_refusals(refusals: &Refusals, shared: &Shared, callers: &OwnerKey) {
    while let Some(ended) = refusals.ended(|| shared.clock.monotonic()) {
        for gathered in ended {
            if let Err(denial) = shared.push(|encoded| encoded.refusals(&gathered, callers)) {
                tracing::error!(
                    code = gathered.record().ending.code(), count = gathered.count, %denial,
                    "refusals have no record"
                );
            }
        }
    }
}

impl Shared {
    fn push(&self, encode: impl FnOnce(&mut Encoded) -> Result<(), SealError>) -> Result<u64, Box<Denial>> {
        let mut encode = Some(encode);
        let mut push = |encoded: &mut Encoded| {
            if let Some(encode) = encode.take() {
                encode(encoded)
                    .map_err(|error| unavailable(format_args!("detail was not sealed: {error}")))?;
            }
            self.enqueue(encoded)
        };
        // A thread that is being torn down has no buffer of its own any more.
        ENCODED
            .try_with(|encoded| push(&mut encoded.borrow_mut()))
            .unwrap_or_else(|_| push(&mut Encoded::default()))
    }

    fn enqueue(&self, encoded: &Encoded) -> Result<u64, Box<Denial>> {
        let taken = Taken { leaf: &encoded.leaf, detail: &encoded.details.bytes };
        if taken.leaf.len() > MAX_ENTRY || taken.detail.len() > MAX_DETAIL {
            let (leaf, detail) = (taken.leaf.len(), taken.detail.len());
            return Err(unavailable(format_args!(
                "a record of {leaf} bytes with {detail} of detail is too long"
            )));
        }
        self.queue.push(taken).map_err(|Refused| unavailable("no room for another record"))
    }
}

/// Whoever only looks whether somebody writes holds the lock for a moment: it is asked for more than once.
fn take_lock(disk: &dyn Disk, places: &Places) -> Result<Box<dyn Send + Sync>, AuditError> {
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
fn is_written(disk: &dyn Disk, places: &Places) -> Result<bool, AuditError> {
    let file = places.base.join("lock");
    match disk.lock(&file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        lock => Ok(lock.map_err(failed("locking", &file))?.is_none()),
    }
}

/// Moves out of the way what an accepted trail does not go on from. The journal's own turn comes when what is good of it
/// is in the log.
fn make_way(disk: &dyn Disk, places: &Places, size: Option<u64>, aside: &Path) -> io::Result<()> {
    match size {
        Some(size) => recover::set_aside(disk, places, Part::Detail, size, aside),
        None => recover::set_all_aside(disk, places, aside),
    }
}

fn make_directories(disk: &dyn Disk, places: &Places) -> Result<(), AuditError> {
    for directory in [&places.base, &places.journal, &places.log, &places.detail, &places.temporary] {
        disk.create_dir_all(directory).map_err(failed("making", directory))?;
    }
    let above = places.base.parent().filter(|above| !above.as_os_str().is_empty());
    for directory in [Some(&*places.base), above].into_iter().flatten() {
        disk.sync_dir(directory).map_err(failed("syncing", directory))?;
    }
    Ok(())
}

/// A new log gets its first checkpoint, of the empty tree, before anything else is written: where there is a journal
/// there is one.
fn start_log(
    disk: &dyn Disk,
    places: &Places,
    options: &Options,
    now: Timestamp,
) -> Result<Edge, AuditError> {
    let head = Checkpoint::empty(&options.origin);
    let note = options
        .signers
        .sign(&head, now.seconds())
        .map_err(|error| AuditError::from(Fault::new(FaultKind::Signature, "log/checkpoint", error)))?;
    let key = options.signers.key_file();
    for (name, text) in [(checkpoint::KEYS, &key), (checkpoint::FILE, &note)] {
        let path = places.log.join(name);
        disk::put(disk, &places.temporary("checkpoint"), &path, text.as_bytes())
            .map_err(failed("writing", &path))?;
    }
    disk.sync_dir(&places.log).map_err(failed("syncing", &places.log))?;
    Ok(Edge::default())
}
