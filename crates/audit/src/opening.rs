//! Opening a trail: finding out how it was left, putting it in order, and going on with it.

use crate::believed::{Believed, Moment};
use crate::bell::Bell;
use crate::checkpoint::{self, Checkpoint};
use crate::commit::Committer;
use crate::disk::{self, Disk, RealDisk};
use crate::fault::{AuditError, Fault, FaultKind, failed};
use crate::gather::write_refusals;
use crate::hang;
use crate::head::{Anchor, Head, Remembered};
use crate::integrate::Integrator;
use crate::journal::{self, Trust};
use crate::lock::take_lock;
use crate::note::Note;
use crate::options::Options;
use crate::outage;
use crate::places::Places;
use crate::progress::Progress;
use crate::queue::{Bounds, Queue};
use crate::reader::Log;
use crate::recover::{self, Found};
use crate::refusals::Refusals;
use crate::segment::Part;
use crate::shared::Shared;
use crate::tiles::Edge;
use crate::trail::{Threads, Trail};
use crate::under_way::UnderWay;
use ironbridge_core::{Clock, OwnerKey, Timestamp};
use ironbridge_seal::envelope::SealError;
use parking_lot::Mutex;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::thread;

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

        let mut found = find(&disk, &places, &options)?;
        let notes = found.notes(&options, clock.now()).map_err(|error| unsealed(&error))?;
        let aside = make_way(&*disk, &places, &found, clock.now())
            .map_err(failed("setting aside what is in", &places.base))?;
        let key = options.anchor.key.clone();
        let trust = Trust { key: Some(key), from: found.remembered.authenticated_from };
        let last = match options.confirm_clock {
            true => None,
            false => found.last_moment(&Log::at(Arc::clone(&disk), places.clone(), trust.clone())),
        };
        let edge = match found.edge.take() {
            Some(edge) => edge,
            None => start_log(&*disk, &places, &options, clock.now())?,
        };
        let believed = Believed::since(Arc::clone(&clock), last);
        let noted = u64::try_from(notes.len()).unwrap_or(u64::MAX);
        let (next, size) = (found.next.saturating_add(noted), edge.size);
        let bounds = Bounds { records: options.queue_records, bytes: options.queue_bytes };
        let shared = Arc::new(Shared {
            trust,
            believed,
            head: OnceLock::new(),
            live: Mutex::default(),
            queue: Queue::new(next, bounds),
            progress: Progress::new(found.next),
            integrated: AtomicU64::new(size),
            journal: outage::Health::working(&clock),
            log: outage::Health::working(&clock),
            bell: Bell::default(),
            max_lag: options.max_lag,
            retry: options.retry,
            patience: options.patience,
            under_way: UnderWay::default(),
            segment_bytes: options.segment_bytes,
            segment_age: options.segment_age,
            clock,
            signers: Mutex::new(Arc::new(options.signers)),
            disk,
            places,
            lock,
        });
        let callers = options.callers;
        let integrator = Integrator::new(Arc::clone(&shared), options.origin, edge, Arc::clone(&callers));
        let begun = Begun { found, notes, aside, anchor: options.anchor };
        let (committer, integrator) = begun.go_on(&shared, integrator)?;
        let refusals = Arc::<Refusals>::default();
        let threads = start_threads(&shared, committer, integrator, &refusals, &callers)
            .map_err(failed("starting a thread for", &shared.places.base))?;
        Ok(Trail { shared, callers, refusals, threads: Mutex::new(Some(threads)) })
    }
}

/// How the trail was left, and from where on it is authenticated.
fn find(disk: &Arc<dyn Disk>, places: &Places, options: &Options) -> Result<Found, AuditError> {
    let mut found = Found::at(disk, places, options)?;
    found.recall(&recover::of_any_version(disk, places, &options.anchor))?;
    Ok(found)
}

/// What was found, and what is to become of it.
struct Begun {
    found: Found,
    notes: Vec<Note>,
    aside: Option<PathBuf>,
    anchor: Anchor,
}

impl Begun {
    /// Puts the trail in order. Killed anywhere in it, the next start either finds what this one found, or goes on from
    /// the head that this one put in place.
    fn go_on(
        self,
        shared: &Arc<Shared>,
        mut integrator: Integrator,
    ) -> Result<(Committer, Integrator), AuditError> {
        let (disk, places) = (&*shared.disk, &shared.places);
        let (next, link) = (self.found.next, self.found.link);
        let (size, root) = integrator.tree();
        if next > self.found.remembered.acknowledged {
            // What nobody acknowledged may not have reached the disk, and is remembered from now on.
            journal::sync_below(disk, &places.journal, next).map_err(failed("syncing", &places.journal))?;
        }
        let Moment { time, unobserved } = shared.believed.now();
        let known = Remembered { time, unobserved, doubted: Timestamp::default(), ..self.found.remembered };
        let head = Remembered { size, root, acknowledged: next, link, ..known };
        if let Some(aside) = &self.aside {
            recover::set_head_aside(disk, &self.anchor, aside)
                .map_err(failed("setting aside", &self.anchor.head))?;
        }
        let head = Head::begin(Arc::clone(&shared.disk), &self.anchor, head, &self.notes)
            .map_err(failed("writing", &self.anchor.head))?;
        let _ = shared.head.set(head);
        self.found.beside.mend(disk, places)?;
        // Then what a crash left in the journal goes into the log, and nothing depends on the old segments any more.
        integrator.recover()?;
        if let Some(aside) = &self.aside {
            recover::set_aside(disk, places, Part::Journal, 0, aside)
                .map_err(failed("setting aside what is in", &places.journal))?;
        }
        let segment = shared.begin(next, link, &self.notes).map_err(failed("writing", &places.journal))?;
        journal::remove_below(disk, &places.journal, next).map_err(failed("clearing", &places.journal))?;
        Ok((Committer::new(Arc::clone(shared), segment), integrator))
    }
}

fn start_threads(
    shared: &Arc<Shared>,
    committer: Committer,
    integrator: Integrator,
    refusals: &Arc<Refusals>,
    callers: &Arc<OwnerKey>,
) -> io::Result<Threads> {
    let named = |name: &str| thread::Builder::new().name(name.to_owned());
    let committer = named("audit-commit").spawn(move || committer.run());
    let integrator = named("audit-log").spawn(move || integrator.run());
    let (gathered, kept, callers) = (Arc::clone(refusals), Arc::clone(shared), Arc::clone(callers));
    let writer = named("audit-refusals").spawn(move || write_refusals(&gathered, &kept, &callers));
    let watched = Arc::clone(shared);
    let watch = named("audit-watch").spawn(move || hang::watch(&watched));
    match (committer, integrator, writer, watch) {
        (Ok(committer), Ok(integrator), Ok(refusals), Ok(watch)) => {
            Ok(Threads { committer, refusals, integrator, watch })
        }
        (Err(error), ..) | (_, Err(error), ..) | (_, _, Err(error), _) | (.., Err(error)) => {
            refusals.close();
            shared.queue.close();
            shared.bell.close();
            Err(error)
        }
    }
}

fn unsealed(error: &SealError) -> AuditError {
    AuditError::NotIntegrated(format!("what was found cannot be recorded: {error}"))
}

/// Moves out of the way what an accepted trail does not go on from, and says where to. The journal's own turn comes when
/// what is good of it is in the log.
fn make_way(disk: &dyn Disk, places: &Places, found: &Found, now: Timestamp) -> io::Result<Option<PathBuf>> {
    if !found.in_the_way {
        return Ok(None);
    }
    let aside = recover::aside(places, now);
    match &found.edge {
        Some(edge) => recover::set_aside(disk, places, Part::Detail, edge.size, &aside)?,
        None => recover::set_all_aside(disk, places, &aside)?,
    }
    Ok(Some(aside))
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
