//! Finding out how a trail was left: what a crash left is read back, and what does not follow from what is remembered
//! of the trail ([`Remembered`]) is refused, so that nothing foreign is ever signed, and nothing acknowledged is missed
//! in silence. Nothing is changed here.

use crate::believed::Moment;
use crate::beside::Beside;
use crate::checkpoint::{self, Checkpoint, SignedCheckpoint};
use crate::disk::{self, Disk};
use crate::entry::Entry;
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::head::{Anchor, Remembered};
use crate::journal::{Cursor, Passed, Trust};
use crate::note::Note;
use crate::options::Options;
use crate::places::Places;
use crate::reader::{Log, Order};
use crate::segment::{self, Link, Part};
use crate::tiles::Edge;
use ironbridge_core::action::{Action, name};
use ironbridge_core::{ExchangeId, Timestamp};
use ironbridge_seal::envelope::SealError;
use ironbridge_seal::random;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How a trail was left.
pub(crate) struct Found {
    /// The tree at the last checkpoint; `None` where there is no log yet.
    pub edge: Option<Edge>,
    /// Index after the last record of the journal, and the link of its last frame.
    pub next: u64,
    pub link: Link,
    /// What the head goes on from.
    pub remembered: Remembered,
    /// Records that an earlier start, or the stop, did not come to write.
    unwritten: Vec<Note>,
    /// Whether a version that authenticated nothing wrote what is there.
    adopted: bool,
    /// What is remembered is gone, and with it from where on the trail is authenticated.
    forgot: bool,
    /// What contradicts what is remembered, where the operator has the trail go on all the same, and no record that is
    /// still to be written tells of it.
    contradictions: Vec<Fault>,
    /// Whether anything is to be moved out of the way.
    pub in_the_way: bool,
    /// What is wrong beside the log, which the start writes anew.
    pub beside: Beside,
}

const CHECKPOINT: &str = "log/checkpoint";

impl Found {
    /// # Errors
    /// [`AuditError::NotAsLeft`] where the operator may have the trail go on, [`AuditError::Damaged`] where nobody can.
    pub fn at(shared: &Arc<dyn Disk>, places: &Places, options: &Options) -> Result<Found, AuditError> {
        let (disk, anchor) = (&**shared, &options.anchor);
        let mut contradictions = Contradictions { accept: options.accept_loss, accepted: Vec::new() };
        let remembered = contradictions.unless(anchor.remembered_on(disk), None)?;
        let edge = read_log(disk, places, options, &mut contradictions)?;
        let size = edge.as_ref().map_or(0, |edge| edge.size);
        let adopted = remembered.is_none() && !anchor.begun;
        let forgot = remembered.is_none() && anchor.begun && edge.is_some();
        let head = remembered.unwrap_or_else(Remembered::nothing);
        let known = head.with(anchor.mark);
        compare_log(disk, places, edge.as_ref(), &known, &mut contradictions)?;
        if remembered.is_some() {
            let log = Log::at(Arc::clone(shared), places.clone(), Trust::default());
            if let Ok(Some(fault)) | Err(fault) = beyond(&log, known.acknowledged..size, anchor) {
                contradictions.found(fault)?;
            }
        }
        let mut unwritten = contradictions.unless(anchor.notes(disk, &head), Vec::new())?;
        let from = if adopted { u64::MAX } else { known.authenticated_from };
        let trust = Trust { key: Some(anchor.key.clone()), from };
        let mut journal = Cursor::new(Part::Journal, places.journal.clone(), size, trust);
        let before = contradictions.accepted.len();
        let holds = read_journal(disk, &mut journal, &known, &mut contradictions)?;
        let begins_with = remembered.is_some() && (size > 0 || known.acknowledged > 0);
        if let Some(fault) = journal.ends_before(size).filter(|_| begins_with) {
            contradictions.found(fault)?;
        }
        let in_the_way = !contradictions.accepted.is_empty();
        // A log that is begun anew begins with nothing, whatever lies about.
        let next = if edge.is_none() && in_the_way { 0 } else { journal.next };
        if next > head.acknowledged {
            unwritten.clear();
        }
        // The operator accepted it before, and was interrupted: what was acknowledged then is there, and what was not
        // went, or goes, aside.
        if holds && unwritten.iter().any(|note| note.is_of(name::LOSS)) {
            contradictions.accepted.truncate(before);
        }
        contradictions.unless(options.store.follows(known.store), ())?;
        let known = Remembered { store: options.store.mark, ..known };
        let expected = (next == known.acknowledged).then_some(known.link);
        let link = journal.link().or(expected).unwrap_or_default();
        let remembered = if adopted { Remembered { authenticated_from: next, ..known } } else { known };
        let contradictions = contradictions.accepted;
        let in_the_way = in_the_way || !contradictions.is_empty();
        let log = of_any_version(shared, places, anchor);
        let beside = Beside::of(&log, edge.as_ref().map(|_| options.signers.verifiers()));
        Ok(Found {
            edge,
            next,
            link,
            remembered,
            unwritten,
            adopted,
            forgot,
            contradictions,
            in_the_way,
            beside,
        })
    }

    /// Asks the log from where on the trail is authenticated, where nothing else tells: a trail that an older version
    /// began has detail that nobody can authenticate, and it must stay readable.
    pub fn recall(&mut self, log: &Log) -> Result<(), Fault> {
        if self.forgot {
            let began = log.recorded(name::AUTHENTICATE, Order::OldestFirst)?;
            let from = began.and_then(|stored| stored.entry.facts.get("from")?.parse().ok());
            self.remembered.authenticated_from = from.unwrap_or(0);
        }
        Ok(())
    }

    /// When the trail was last written, as far as anything tells: what is remembered, or of a trail that an earlier
    /// version wrote its newest record. `None` where there is nothing yet that a wrong clock could drop.
    pub fn last_moment(&self, log: &Log) -> Option<Moment> {
        let Remembered { time, unobserved, .. } = self.remembered;
        if time > Timestamp::default() {
            return Some(Moment { time, unobserved });
        }
        if self.adopted && self.next > 0 {
            let newest = log.tail(1).ok().and_then(|records| records.first().map(|record| record.entry.time));
            return Some(Moment { time: newest.unwrap_or_default(), ..Moment::default() });
        }
        // Nobody knows: the clock is in doubt until somebody says that it is right.
        self.edge.as_ref().filter(|edge| edge.size > 0).map(|_| Moment::default())
    }

    /// What is to be recorded of it, before anything else is.
    pub fn notes(&self, options: &Options, now: Timestamp) -> Result<Vec<Note>, SealError> {
        let mut notes = self.unwritten.clone();
        if let Some(action) = self.action(&options.actor, now) {
            notes.push(Note::of(&action, &options.callers)?);
        }
        for fault in self.beside.faults() {
            tracing::error!(%fault, "what lies beside the audit log was changed by another hand, and is written anew; `ironbridge audit verify` tells whether records are missing");
            let found = fault.to_string();
            // What an earlier start noted, but did not come to put in order, is noted once.
            if self.unwritten.iter().any(|note| note.tells(&found)) {
                continue;
            }
            let mended = done(&options.actor, now, name::MEND).fact("found", found);
            notes.push(Note::of(&mended, &options.callers)?);
        }
        Ok(notes)
    }

    fn action(&self, actor: &str, now: Timestamp) -> Option<Action> {
        let action = |name| done(actor, now, name);
        if let Some(first) = self.contradictions.first() {
            let lost = self.next..self.remembered.acknowledged;
            let action = action(name::LOSS).fact("found", first.to_string());
            return Some(match lost.is_empty() {
                true => action,
                false => {
                    let (from, below) = (lost.start.to_string(), lost.end.to_string());
                    action.fact("lost_from", from).fact("lost_below", below)
                }
            });
        }
        let size = self.edge.as_ref().map_or(0, |edge| edge.size);
        (self.adopted && self.next > 0).then(|| {
            let pending = self.next.saturating_sub(size).to_string();
            action(name::AUTHENTICATE).fact("from", self.next.to_string()).fact("pending", pending)
        })
    }
}

/// The log, where nothing tells yet from where on it is authenticated: what an older version wrote is read, too.
pub(crate) fn of_any_version(disk: &Arc<dyn Disk>, places: &Places, anchor: &Anchor) -> Log {
    let trust = Trust { key: Some(anchor.key.clone()), from: u64::MAX };
    Log::at(Arc::clone(disk), places.clone(), trust)
}

fn done(actor: &str, now: Timestamp, name: &'static str) -> Action {
    let id = ExchangeId::new(now, random::bytes());
    Action { actor: actor.to_owned(), ..Action::done(id, now, name, "") }
}

/// What contradicts: refused, unless the operator accepts it.
struct Contradictions {
    accept: bool,
    accepted: Vec<Fault>,
}

impl Contradictions {
    /// What was read, or this where it contradicts.
    fn unless<T>(&mut self, read: Result<T, Fault>, otherwise: T) -> Result<T, AuditError> {
        read.or_else(|fault| self.found(fault).map(|()| otherwise))
    }

    fn found(&mut self, fault: Fault) -> Result<(), AuditError> {
        if !self.accept {
            return Err(AuditError::NotAsLeft(fault));
        }
        self.accepted.push(fault);
        Ok(())
    }
}

/// The tree's edge at the last checkpoint, which must be ours and fit the tiles.
fn read_log(
    disk: &dyn Disk,
    places: &Places,
    options: &Options,
    contradictions: &mut Contradictions,
) -> Result<Option<Edge>, AuditError> {
    let file = places.log.join(checkpoint::FILE);
    let note = match disk::read(disk, &file) {
        Ok(note) => note,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let segments =
                segment::segments(disk, &places.journal).map_err(failed("listing", &places.journal))?;
            let tiles = disk.list(&places.log.join("tile")).map_err(failed("listing", &places.log))?;
            if !segments.is_empty() || !tiles.is_empty() {
                let detail = "the checkpoint is missing, but there are records";
                contradictions.found(Fault::new(FaultKind::Missing, CHECKPOINT, detail))?;
            }
            return Ok(None);
        }
        Err(error) => return Err(Fault::reading(CHECKPOINT, &error).into()),
    };
    refuse_other_name(&note, &options.origin)?;
    let head = own_checkpoint(&note, options)?;
    Ok(Some(Edge::load(disk, &places.log, head.size, &head.root)?))
}

/// A name that was changed is no damage. The first line says whose log it is, whoever signed it.
fn refuse_other_name(note: &[u8], name: &str) -> Result<(), AuditError> {
    const LONGEST: usize = 100;
    let found = String::from_utf8_lossy(note).lines().next().unwrap_or_default().to_owned();
    let is_name = !found.is_empty() && found.chars().all(|letter| letter.is_ascii_graphic());
    if found == name || !is_name || found.len() > LONGEST {
        return Ok(());
    }
    Err(AuditError::OtherName { found, name: name.to_owned() })
}

fn own_checkpoint(note: &[u8], options: &Options) -> Result<Checkpoint, Fault> {
    let refused = |detail: String| Fault::new(FaultKind::Signature, CHECKPOINT, detail);
    let note =
        std::str::from_utf8(note).map_err(|_| Fault::new(FaultKind::Malformed, CHECKPOINT, "not text"))?;
    let head = SignedCheckpoint::open(note.to_owned(), options.signers.verifiers())
        .map_err(|error| refused(error.to_string()))?
        .checkpoint;
    if head.origin != options.origin {
        return Err(refused(format!("the checkpoint is of the log {}", head.origin)));
    }
    Ok(head)
}

/// The log must hold what it held at the last checkpoint that is remembered.
fn compare_log(
    disk: &dyn Disk,
    places: &Places,
    edge: Option<&Edge>,
    known: &Remembered,
    contradictions: &mut Contradictions,
) -> Result<(), AuditError> {
    let size = edge.map_or(0, |edge| edge.size);
    if size < known.size {
        let detail = match edge {
            None => format!("the log is gone: {} records were signed", known.size),
            Some(_) => format!(
                "the log was set back: it has {size} records, but {} were signed; records {size} to {} are missing",
                known.size,
                known.size - 1
            ),
        };
        return contradictions.found(Fault::new(FaultKind::RolledBack, CHECKPOINT, detail).entry(size));
    }
    if known.size > 0 && Edge::load_hashes(disk, &places.log, known.size)?.root() != known.root {
        let detail = format!(
            "the log is another one: its first {} records are not those that were signed",
            known.size
        );
        return contradictions.found(Fault::new(FaultKind::Forked, CHECKPOINT, detail));
    }
    Ok(())
}

/// Nothing that stops a bridge leaves a log of more than what is remembered acknowledges, as that is on disk before a
/// checkpoint is. A copy that was taken of a running bridge may: then what it has more must tell of no change of the
/// store, or that was copied, or put back, without it.
pub(crate) fn beyond(log: &Log, range: Range<u64>, anchor: &Anchor) -> Result<Option<Fault>, Fault> {
    let mut next = range.start;
    while next < range.end {
        for leaf in log.bundle(next, range.end)? {
            let entry = Entry::parse(&leaf).ok();
            let action = entry.map_or_else(|| "unknown".to_owned(), |entry| entry.action);
            if !action.is_empty() && !name::LEAVE_THE_STORE.contains(&&*action) {
                let detail = format!(
                    "what is remembered of the audit trail was set back, and the store may be as old: the log's record \
                     {next}, of {action}, was signed since; what was revoked, replaced or erased may be there again"
                );
                let name = anchor.head.file_name().unwrap_or_default();
                return Ok(Some(Fault::new(FaultKind::RolledBack, name, detail).entry(next)));
            }
            next += 1;
        }
    }
    Ok(None)
}

/// Reads the journal past the checkpoint, to its end, which must not come before what was acknowledged. Whether what was
/// acknowledged is there.
fn read_journal(
    disk: &dyn Disk,
    journal: &mut Cursor,
    known: &Remembered,
    contradictions: &mut Contradictions,
) -> Result<bool, AuditError> {
    let begin = journal.next;
    journal.watch(known.acknowledged);
    loop {
        match journal.read(disk) {
            Ok(Some(_)) => {}
            Ok(None) => break,
            Err(fault) => {
                contradictions.found(fault)?;
                break;
            }
        }
    }
    let other = match journal.passed() {
        Passed::Unseen => false,
        Passed::Link(link) => link != known.link,
        Passed::Straddled => true,
    };
    if other {
        let detail = format!(
            "the journal is not the one that was left: its records before {} are not those that were acknowledged",
            known.acknowledged
        );
        contradictions.found(Fault::new(FaultKind::Altered, Part::Journal.name(), detail).entry(begin))?;
    }
    let lacks = journal.next < known.acknowledged;
    if lacks {
        let (first, last) = (journal.next, known.acknowledged - 1);
        let detail = format!("records {first} to {last} were acknowledged, and are missing");
        contradictions.found(Fault::new(FaultKind::Missing, Part::Journal.name(), detail).entry(first))?;
    }
    Ok(!other && !lacks)
}

/// Where what contradicts is put, so that it can be looked at: below the audit directory, by the time.
pub(crate) fn aside(places: &Places, now: Timestamp) -> PathBuf {
    places.base.join("set-aside").join(now.micros().to_string())
}

/// Moves segments that begin at this index or later out of the way.
pub(crate) fn set_aside(
    disk: &dyn Disk,
    places: &Places,
    part: Part,
    from: u64,
    to: &Path,
) -> io::Result<()> {
    let dir = places.of(part);
    let into = to.join(part.name());
    disk.create_dir_all(&into)?;
    for first in segment::segments(disk, dir)?.into_iter().filter(|first| *first >= from) {
        let name = segment::segment_name(first);
        disk.rename(&dir.join(&name), &into.join(&name))?;
    }
    disk.sync_dir(&into)?;
    disk.sync_dir(dir)
}

/// Keeps what is remembered as evidence, whatever it is. A file stays until the next one takes its place, so that what
/// was acknowledged is not forgotten in between; anything else is moved, as a directory could not be replaced.
pub(crate) fn set_head_aside(disk: &dyn Disk, anchor: &Anchor, to: &Path) -> io::Result<()> {
    disk.create_dir_all(to)?;
    let aside = to.join("audit-head");
    match anchor.bytes(disk) {
        Ok(bytes) => disk::put(disk, &to.join("audit-head.new"), &aside, &bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(_) => disk.rename(&anchor.head, &aside),
    }
}

/// Moves all of it out of the way.
pub(crate) fn set_all_aside(disk: &dyn Disk, places: &Places, to: &Path) -> io::Result<()> {
    disk.create_dir_all(to)?;
    for whole in [&places.log, &places.journal, &places.detail] {
        disk.rename(whole, &to.join(whole.file_name().unwrap_or_default()))?;
        disk.create_dir_all(whole)?;
    }
    disk.sync_dir(&places.base)
}
