//! Copies of the log elsewhere: whoever sets this log back, or rewrites it, cannot take the copies with it.
//!
//! At every moment a copy can be verified: what a checkpoint covers is there before the checkpoint. Only `log/` is
//! copied. The detail of people stays here, because what is copied can no longer be erased.

mod bucket;
mod directory;
mod medium;
mod partial;
mod sample;
mod signature;

pub use bucket::Bucket;

use crate::backoff::Backoff;
use crate::status::Report;
use crate::surroundings::Surroundings;
use crate::trouble::Trouble;
use directory::Directory;
use ironbridge_audit::{Checkpoint, Fault, LogFile, SignedCheckpoint};
use ironbridge_seal::note::NoteError;
use medium::Medium;
use partial::Partial;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// A copy of the log, kept up to date.
pub struct Mirror {
    /// As declared.
    pub name: String,
    /// Where it is kept.
    pub target: Target,
    /// How long to wait after one checkpoint before copying the next.
    pub interval: Duration,
}

/// Where a copy is kept.
pub enum Target {
    /// A directory that is there already: so nothing is written below a mount point without its mount.
    Directory(PathBuf),
    /// A bucket that is there already, and that the key may read, write and delete in.
    S3(Bucket),
}

impl Target {
    /// How often a copy follows where nobody says otherwise. Every checkpoint costs a bucket some paid requests.
    pub fn interval(&self) -> Duration {
        match self {
            Target::Directory(_) => Duration::from_secs(1),
            Target::S3(_) => Duration::from_secs(10),
        }
    }
}

/// Files on their way at once.
const IN_FLIGHT: usize = 8;

/// How often one file is tried before the round is given up.
const ATTEMPTS: u32 = 3;

/// Records whose full files are copied between two notes of progress: what a failure makes us copy again.
const STEP: u64 = 64 * 256;

/// How a round ended.
#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    /// The log has dropped records of this head; the next one has others.
    Outpaced,
}

pub(crate) async fn run(mirror: Mirror, around: Surroundings, report: Report) {
    let medium: Arc<dyn Medium> = match mirror.target {
        Target::Directory(path) => Arc::new(Directory::new(path)),
        Target::S3(bucket) => Arc::new(bucket::Objects::new(bucket, Arc::clone(&around.clock))),
    };
    let mut backoff = around.backoff();
    let mut heads = around.heads.clone();
    let mut copier = Copier {
        medium,
        report,
        around,
        copied: 0,
        dropped: false,
        partial: Partial::default(),
        rounds: 0,
        differs: None,
        held: None,
        seen: 0,
        keys: None,
        witnessed: None,
    };
    loop {
        let head = heads.borrow_and_update().clone();
        let Some(head) = head else {
            if heads.changed().await.is_err() {
                return;
            }
            continue;
        };
        let wait = match copier.round(&head).await {
            Ok(Outcome::Done) => {
                backoff.reset();
                mirror.interval
            }
            Ok(Outcome::Outpaced) => Duration::from_millis(50),
            Err(trouble) => {
                copier.report.failed(&trouble);
                // What the copy holds is asked again: somebody may have mended it.
                copier.held = None;
                backoff.next(trouble.wait)
            }
        };
        tokio::time::sleep(wait).await;
    }
}

struct Copier {
    medium: Arc<dyn Medium>,
    report: Report,
    around: Surroundings,
    /// The full files of a tree of this size are there, whatever checkpoint is.
    copied: u64,
    /// Some of them were not, because retention had dropped them.
    dropped: bool,
    partial: Partial,
    /// Since a file was last looked at.
    rounds: u32,
    /// A file of the copy that is not what was copied.
    differs: Option<LogFile>,
    /// The head that the copy holds, as far as we know.
    held: Option<SignedCheckpoint>,
    /// The size of the tree that the copy held when it was last asked, or written.
    seen: u64,
    /// The file of verifier keys that was copied last.
    keys: Option<Vec<u8>>,
    /// The cosigned head that was copied last.
    witnessed: Option<String>,
}

impl Copier {
    async fn round(&mut self, head: &SignedCheckpoint) -> Result<Outcome, Trouble> {
        if self.held.as_ref() != Some(head) {
            let held = self.ask().await?;
            if let Some(held) = &held {
                self.check_ancestor(&held.checkpoint, head).await?;
                self.report.stands_at(held.checkpoint.size);
            }
            let held = held.map(|held| held.checkpoint.size);
            if self.held.is_none() {
                self.partial.found(held.unwrap_or(0));
            }
            if held.unwrap_or(0) < self.seen {
                // Somebody emptied the copy or set it back.
                (self.copied, self.keys, self.witnessed) = (0, None, None);
            }
            self.seen = held.unwrap_or(0);
            if held != Some(head.checkpoint.size) && self.copy(held, head).await? == Outcome::Outpaced {
                return Ok(Outcome::Outpaced);
            }
            (self.held, self.seen) = (Some(head.clone()), head.checkpoint.size);
            match self.differs {
                None => self.report.reached(head.checkpoint.size),
                Some(_) => self.report.stands_at(head.checkpoint.size),
            }
        }
        self.copy_witnessed(head.checkpoint.size).await?;
        self.tidy().await;
        self.sample().await?;
        Ok(Outcome::Done)
    }

    /// The head that the copy holds.
    async fn ask(&self) -> Result<Option<SignedCheckpoint>, Trouble> {
        let note = self.medium.get(in_log(LogFile::Checkpoint)).await?;
        let open = |note: Vec<u8>| {
            let note = String::from_utf8(note).map_err(|_| NoteError::Malformed)?;
            SignedCheckpoint::open(note, &self.around.keys)
        };
        let foreign = |error| match error {
            // Such as a page of what stands before it, or a file that a full disk left.
            NoteError::Malformed | NoteError::TooLarge => {
                Trouble::new(format_args!("what the mirror has as its checkpoint is left as it is: {error}"))
            }
            error => Trouble::finding(
                "another",
                format_args!("the mirror holds another log, which is left as it is: {error}"),
            ),
        };
        note.map(|note| open(note).map_err(foreign)).transpose()
    }

    /// A copy is only ever added to: its tree must be the beginning of ours.
    async fn check_ancestor(&self, held: &Checkpoint, head: &SignedCheckpoint) -> Result<(), Trouble> {
        let ours = &head.checkpoint;
        if held.origin != ours.origin {
            let reason =
                format_args!("the mirror holds another log, {}, which is left as it is", held.origin);
            return Err(Trouble::finding("another", reason));
        }
        if held.size > ours.size {
            let reason = format_args!(
                "the mirror has seen a longer log: this one was rolled back, from {} records to {}",
                held.size, ours.size
            );
            return Err(Trouble::finding("longer", reason));
        }
        let size = held.size;
        let root = self.around.blocking(move |around| around.log.root(size)).await?;
        if root != held.root {
            let reason = format_args!(
                "the mirror holds a fork: its first {size} records are not those of this log, though both are \
                 signed"
            );
            return Err(Trouble::finding("fork", reason));
        }
        Ok(())
    }

    /// Brings the copy from the tree it holds to this head.
    async fn copy(&mut self, held: Option<u64>, head: &SignedCheckpoint) -> Result<Outcome, Trouble> {
        let (from, to) = (held.unwrap_or(0), head.checkpoint.size);
        let Some(partial) = self.read_partial(to).await? else { return Ok(Outcome::Outpaced) };
        let mut at = from.max(self.copied.min(to));
        while at < to {
            let next = at.saturating_add(STEP).min(to);
            self.dropped |= self.copy_full(at, next).await?;
            at = next;
            self.copied = at;
        }
        for (file, bytes) in partial {
            self.medium.put(in_log(file), bytes).await?;
        }
        // Again when it changed: keys of a log rotate.
        let keys = self.around.blocking(|around| around.log.read(LogFile::Key)).await?;
        if let Some(keys) = keys.filter(|keys| self.keys.as_ref() != Some(keys)) {
            self.medium.put(in_log(LogFile::Key), keys.clone()).await?;
            self.keys = Some(keys);
        }
        if self.dropped
            && let Some(kept) = self.around.blocking(|around| around.log.read(LogFile::Kept)).await?
        {
            self.medium.put(in_log(LogFile::Kept), kept).await?;
        }
        self.medium.settle().await?;
        self.medium.put(in_log(LogFile::Checkpoint), head.note.as_bytes().to_vec()).await?;
        self.medium.settle().await?;
        self.dropped = false;
        self.partial.shown(to, self.around.clock.monotonic());
        Ok(Outcome::Done)
    }

    async fn read_partial(&self, size: u64) -> Result<Option<Vec<(LogFile, Vec<u8>)>>, Trouble> {
        let read = move |around: &Surroundings| {
            LogFile::partial(size)
                .map(|file| Ok::<_, Fault>(around.log.read(file)?.map(|bytes| (file, bytes))))
                .collect::<Result<Option<Vec<_>>, _>>()
        };
        self.around.blocking(read).await
    }

    /// Whether some of the files were dropped by retention.
    async fn copy_full(&self, from: u64, to: u64) -> Result<bool, Trouble> {
        let mut files = LogFile::full(from, to);
        let mut copies = JoinSet::new();
        let mut dropped = false;
        loop {
            while copies.len() < IN_FLIGHT
                && let Some(file) = files.next()
            {
                let (place, around) = (Arc::clone(&self.medium), self.around.clone());
                copies.spawn(copy_file(place, around, file));
            }
            match copies.join_next().await {
                None => return Ok(dropped),
                Some(outcome) => dropped |= !outcome.map_err(Trouble::new)??,
            }
        }
    }

    /// Removes partial tiles whose time is over. What cannot be removed does no harm: a copy whose files nobody may
    /// remove only gets larger.
    async fn tidy(&mut self) {
        let mut removals = JoinSet::new();
        let mut due = self.partial.due(self.around.clock.monotonic()).into_iter();
        loop {
            while removals.len() < IN_FLIGHT
                && let Some(file) = due.next()
            {
                let place = Arc::clone(&self.medium);
                removals.spawn(async move {
                    if let Err(trouble) = place.remove(in_log(file)).await {
                        tracing::debug!(path = file.path(), %trouble, "an outdated file stays in the mirror");
                    }
                });
            }
            if removals.join_next().await.is_none() {
                return;
            }
        }
    }

    /// The cosigned head goes with the copy, once the copy holds what it covers.
    async fn copy_witnessed(&mut self, held: u64) -> Result<(), Trouble> {
        let witnessed = self.around.blocking(|around| around.log.witnessed_checkpoint(&around.keys)).await?;
        let witnessed = witnessed.filter(|head| head.checkpoint.size <= held);
        if let Some(head) = witnessed.filter(|head| self.witnessed.as_ref() != Some(&head.note)) {
            self.medium.put(in_log(LogFile::Witnessed), head.note.clone().into_bytes()).await?;
            self.medium.settle().await?;
            self.witnessed = Some(head.note);
        }
        Ok(())
    }
}

/// Whether it was there; retention may have dropped it.
async fn copy_file(medium: Arc<dyn Medium>, around: Surroundings, file: LogFile) -> Result<bool, Trouble> {
    let bytes = around.blocking(move |around| around.log.read(file)).await?;
    let Some(bytes) = bytes else {
        let first = around.blocking(|around| around.log.rightly_kept()).await?;
        let missing = || Trouble::new(format_args!("log/{} is missing, so it cannot be copied", file.path()));
        let dropped = matches!(file, LogFile::Entries { index, .. } if index < first.records / 256);
        return if dropped { Ok(false) } else { Err(missing()) };
    };
    let mut backoff: Backoff = around.backoff();
    for _ in 1..ATTEMPTS {
        match medium.put(in_log(file), bytes.clone()).await {
            Ok(()) => return Ok(true),
            Err(trouble) => tokio::time::sleep(backoff.next(trouble.wait)).await,
        }
    }
    medium.put(in_log(file), bytes).await.map(|()| true)
}

/// A copy has the log where the audit directory has it, so that it opens the same way.
fn in_log(file: LogFile) -> String {
    format!("log/{}", file.path())
}
