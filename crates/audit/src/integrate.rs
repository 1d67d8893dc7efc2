//! The integrator: one thread that carries records from the journal into the log, signs the new head, and drops
//! what the journal no longer needs to hold. It may fall behind; it never holds up a commit.

use crate::checkpoint::{self, Checkpoint, Signers};
use crate::disk;
use crate::fault::{AuditError, Fault};
use crate::journal::{self, Cursor};
use crate::lookout::Lookout;
use crate::merkle::Hash;
use crate::outgrown::Outgrown;
use crate::segment::{Frame, Link, Part, Segment, Taken};
use crate::shared::Shared;
use crate::tiles::{Edge, Tile, WIDTH};
use ironbridge_core::OwnerKey;
use ironbridge_seal::note::NoteError;
use std::collections::{BTreeSet, HashSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Full tiles and bundles held before they are written: bounds memory, and how long one round takes.
const ROUND: usize = 512;

/// As much for detail, in bytes.
const ROUND_DETAIL: usize = 32 << 20;

/// From how many files on the whole file system is synced once, instead of each file. Measured on ext4 with
/// 400,000 records at once: 23,000 a second integrated with a sync per file, 89,000 with one per round.
const TOGETHER: usize = 8;

pub(crate) struct Integrator {
    shared: Arc<Shared>,
    origin: String,
    /// The keys that the last checkpoint was signed with.
    signers: Option<Arc<Signers>>,
    /// As of the last checkpoint that is on disk.
    edge: Edge,
    cursor: Cursor,
    /// Where detail goes; `None` at first, and after a failure.
    detail: Option<DetailSegment>,
    /// The partial tiles of the last checkpoint.
    shown: Vec<PathBuf>,
    outgrown: Outgrown,
    /// Directories that exist and would survive a power cut.
    directories: HashSet<PathBuf>,
    lookout: Lookout,
    /// This is the last time round.
    closing: bool,
}

struct DetailSegment {
    segment: Segment,
    began: Duration,
}

/// Why a round failed.
#[derive(Debug, thiserror::Error)]
enum RoundError {
    #[error(transparent)]
    Write(#[from] io::Error),
    #[error(transparent)]
    Journal(#[from] Fault),
    #[error("the journal ends at record {0}, before what it acknowledged")]
    JournalShort(u64),
    #[error("the checkpoint cannot be signed: {0}")]
    Sign(#[from] NoteError),
}

impl Integrator {
    pub fn new(shared: Arc<Shared>, origin: String, edge: Edge, callers: Arc<OwnerKey>) -> Integrator {
        let cursor = shared.journal_from(edge.size);
        let shown = edge.partial().iter().map(Tile::path).collect();
        let now = shared.clock.monotonic();
        let outgrown = Outgrown::left(&*shared.disk, &shared.places.log, edge.size, now);
        Integrator {
            shared,
            origin,
            signers: None,
            edge,
            cursor,
            detail: None,
            shown,
            outgrown,
            directories: HashSet::new(),
            lookout: Lookout::new(callers),
            closing: false,
        }
    }

    /// Size and root of the tree at the last checkpoint.
    pub fn tree(&self) -> (u64, Hash) {
        (self.edge.size, self.edge.root())
    }

    /// Integrates all that the journal holds when the trail is opened.
    pub fn recover(&mut self) -> Result<(), AuditError> {
        self.catch_up().map(drop).map_err(|error| match error {
            RoundError::Journal(fault) => AuditError::Damaged(fault),
            other => AuditError::NotIntegrated(other.to_string()),
        })
    }

    /// Runs until the trail closes and everything durable is integrated, or that fails.
    pub fn run(mut self) -> Result<(), String> {
        let shared = Arc::clone(&self.shared);
        let mut wait = shared.max_lag;
        loop {
            let closing = shared.bell.wait(wait);
            self.closing = closing;
            let begin = shared.clock.monotonic();
            // A round has looked already.
            let looked = |this: &mut Integrator, rounds| match rounds && !closing {
                true => Ok(()),
                false => this.settle(),
            };
            match self.catch_up().and_then(|rounds| looked(&mut self, rounds)) {
                Ok(()) => self.works(),
                Err(error) => {
                    if !shared.log.is_out() {
                        tracing::error!(%error, "the audit log cannot be written; exchanges are refused until it can");
                    }
                    shared.log.fail(format_args!("the log cannot be written: {error}"));
                    self.cursor = shared.journal_from(self.edge.size);
                    // It may hold detail of records that the log does not hold yet; the next begins with those.
                    self.detail = None;
                    if closing {
                        return Err(error.to_string());
                    }
                }
            }
            if closing {
                self.outgrown.remove_all(&*shared.disk, &shared.places.log);
                return Ok(());
            }
            // A record that is taken right now waits for this pause and for the next round, which will take about as
            // long as this one.
            let took = shared.clock.monotonic().saturating_sub(begin);
            wait = if shared.log.is_out() { shared.retry } else { shared.max_lag.saturating_sub(took * 2) };
        }
    }

    /// Integrates what is durable now, and tells whether that was anything. What becomes so meanwhile is the next call's:
    /// under load there always is more.
    fn catch_up(&mut self) -> Result<bool, RoundError> {
        let durable = self.shared.progress.durable();
        let any = self.edge.size < durable;
        while self.edge.size < durable {
            self.round(durable)?;
            self.works();
        }
        self.follow_keys().map(|()| any)
    }

    /// What is remembered is on disk, too, and all is as it was written.
    fn settle(&mut self) -> Result<(), RoundError> {
        self.shared.persist_head()?;
        self.look_after()
    }

    /// What lies beside the log is still what this bridge wrote, or is put in order and recorded.
    fn look_after(&mut self) -> Result<(), RoundError> {
        let all_signed = self.edge.size == self.shared.progress.durable();
        let (shared, size) = (Arc::clone(&self.shared), self.edge.size);
        Ok(self.lookout.look(&shared, all_signed.then_some(size), self.closing)?)
    }

    /// A checkpoint is on disk: an outage is over.
    fn works(&self) {
        if self.shared.log.is_out() {
            tracing::info!("the audit log is written again");
            self.shared.log.recover();
        }
    }

    /// Integrates some of what is durable. Nothing changes in memory until the new checkpoint is on disk.
    fn round(&mut self, durable: u64) -> Result<(), RoundError> {
        self.shared.demand_place()?;
        let mut edge = self.edge.clone();
        let (mut tiles, mut detail) = (Vec::new(), DetailFrames::starting_at(edge.size));
        while edge.size < durable && tiles.len() < ROUND && detail.bytes() < ROUND_DETAIL {
            let batch = self.cursor.read(&*self.shared.disk)?;
            let batch = batch.filter(|batch| batch.first == edge.size);
            let Some(batch) = batch else { return Err(RoundError::JournalShort(edge.size)) };
            for taken in batch.records() {
                edge.push(taken.leaf, &mut tiles);
                detail.push(taken.detail);
            }
        }
        self.write_detail(detail)?;
        let partial = edge.partial();
        let shown: Vec<PathBuf> = partial.iter().map(Tile::path).collect();
        // What the last checkpoint shows is there already, and may be being read.
        tiles.extend(partial.into_iter().filter(|tile| !self.shown.contains(&tile.path())));
        self.write_tiles(&tiles)?;
        self.follow_keys()?;
        self.shared.persist_head()?;
        self.write_checkpoint(&edge)?;
        self.edge = edge;
        self.shared.integrated.store(self.edge.size, SeqCst);
        // Whatever becomes of the head: the checkpoint is there, and the next round must know what it shows.
        self.tidy(shown, &tiles);
        self.shared.signed(self.edge.size, self.edge.root())?;
        // At the end, once for all rounds.
        if self.closing { Ok(()) } else { self.look_after() }
    }

    /// Detail is on disk before a checkpoint covers its records, because the journal may forget them then.
    fn write_detail(&mut self, detail: DetailFrames) -> io::Result<()> {
        let first = detail.first;
        let (shared, now) = (&self.shared, self.shared.clock.monotonic());
        let going_on = |segment: &DetailSegment| {
            segment.segment.bytes < shared.segment_bytes
                && now.saturating_sub(segment.began) < shared.segment_age
        };
        let segment = match self.detail.take().filter(going_on) {
            Some(segment) => segment,
            None => DetailSegment {
                segment: shared.new_segment(Part::Detail, first, Link::default())?,
                began: now,
            },
        };
        let segment = &mut self.detail.insert(segment).segment;
        segment.append_all(&mut detail.finish())
    }

    /// Nothing refers to these files before the checkpoint is written, so they are written in place, and may be
    /// synced together.
    fn write_tiles(&mut self, tiles: &[Tile]) -> io::Result<()> {
        let shared = Arc::clone(&self.shared);
        let (disk, places) = (&*shared.disk, &shared.places);
        let together = tiles.len() > TOGETHER;
        let mut touched = BTreeSet::new();
        for tile in tiles {
            let path = places.log.join(tile.path());
            let directory = path.parent().unwrap_or(&places.log);
            self.make_directory(directory)?;
            let mut file = disk.create(&path)?;
            file.write_all(&tile.bytes)?;
            if !together {
                file.sync()?;
            }
            touched.insert(directory.to_path_buf());
        }
        if together {
            return disk.sync_all(&places.log);
        }
        touched.iter().try_for_each(|directory| disk.sync_dir(directory))
    }

    fn make_directory(&mut self, directory: &Path) -> io::Result<()> {
        if self.directories.contains(directory) {
            return Ok(());
        }
        let disk = &*self.shared.disk;
        disk.create_dir_all(directory)?;
        for above in directory.ancestors().skip(1) {
            disk.sync_dir(above)?;
            if above == self.shared.places.log {
                break;
            }
        }
        self.directories.insert(directory.to_path_buf());
        Ok(())
    }

    /// When the keys were replaced: puts them beside the log, then signs the last head anew. So a reader never
    /// meets a head that no key beside the log has signed.
    fn follow_keys(&mut self) -> Result<(), RoundError> {
        let signers = Arc::clone(&self.shared.signers.lock());
        if self.signers.as_ref().is_some_and(|used| Arc::ptr_eq(used, &signers)) {
            return Ok(());
        }
        self.shared.demand_place()?;
        self.put_in_log(checkpoint::KEYS, &signers.key_file())?;
        let before = self.signers.replace(signers);
        let written = self.write_checkpoint(&self.edge);
        if written.is_err() {
            // Tried again by the next round, also if no record comes.
            self.signers = before;
        }
        written
    }

    /// The signed head, on disk before anyone can see it.
    fn write_checkpoint(&self, edge: &Edge) -> Result<(), RoundError> {
        let head = Checkpoint { origin: self.origin.clone(), size: edge.size, root: edge.root() };
        let now = self.shared.clock.now().seconds();
        let signers =
            self.signers.as_ref().map_or_else(|| Arc::clone(&self.shared.signers.lock()), Arc::clone);
        Ok(self.put_in_log(checkpoint::FILE, &signers.sign(&head, now)?)?)
    }

    fn put_in_log(&self, name: &str, text: &str) -> io::Result<()> {
        let (disk, places) = (&*self.shared.disk, &self.shared.places);
        disk::put(disk, &places.temporary("checkpoint"), &places.log.join(name), text.as_bytes())?;
        disk.sync_dir(&places.log)
    }

    /// Removes what no reader needs.
    fn tidy(&mut self, shown: Vec<PathBuf>, written: &[Tile]) {
        let disk = &*self.shared.disk;
        let places = &self.shared.places;
        let now = self.shared.clock.monotonic();
        self.shown = shown;
        self.outgrown.add(written, now);
        for gone in self.outgrown.remove(disk, &places.log, now) {
            self.directories.remove(&gone);
        }
        let _ = journal::remove_below(disk, &places.journal, self.edge.size);
    }
}

/// The detail of one round, as frames of which none crosses a bundle's boundary: so a reader finds a record's
/// detail by reading one frame of at most 256 records.
struct DetailFrames {
    first: u64,
    finished: Vec<Frame>,
    bytes: usize,
    frame: Frame,
}

impl DetailFrames {
    fn starting_at(first: u64) -> DetailFrames {
        DetailFrames { first, finished: Vec::new(), bytes: 0, frame: Frame::starting_at(first, Vec::new()) }
    }

    fn push(&mut self, detail: &[u8]) {
        self.frame.push(Taken { leaf: &[], detail });
        if self.frame.end().is_multiple_of(WIDTH) {
            self.end_frame();
        }
    }

    fn end_frame(&mut self) {
        if self.frame.count > 0 {
            let next = Frame::starting_at(self.frame.end(), Vec::new());
            self.bytes += self.frame.len();
            self.finished.push(std::mem::replace(&mut self.frame, next));
        }
    }

    fn bytes(&self) -> usize {
        self.bytes + self.frame.len()
    }

    fn finish(mut self) -> Vec<Frame> {
        self.end_frame();
        self.finished
    }
}
