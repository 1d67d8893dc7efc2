//! What the trail and its threads share.

use crate::believed::Believed;
use crate::bell::Bell;
use crate::checkpoint::Signers;
use crate::disk::{Disk, Lock};
use crate::head::Head;
use crate::journal::{Cursor, Trust};
use crate::leaf::{Encoded, MAX_ENTRY};
use crate::merkle::Hash;
use crate::note::Note;
use crate::outage::{self, unavailable};
use crate::places::Places;
use crate::progress::Progress;
use crate::queue::{Queue, Refused, Room};
use crate::segment::{self, Frame, Link, MAX_DETAIL, Part, Segment, Taken, WrittenSegment};
use crate::under_way::UnderWay;
use ironbridge_core::{Clock, Denial};
use ironbridge_seal::envelope::SealError;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// What the trail and its threads share.
pub(crate) struct Shared {
    pub disk: Arc<dyn Disk>,
    pub places: Places,
    /// Keeps other writers out.
    pub lock: Box<dyn Lock>,
    pub trust: Trust,
    pub believed: Believed,
    /// Written once the trail is as it should be.
    pub head: OnceLock<Head>,
    pub live: Mutex<Live>,
    pub queue: Queue,
    pub progress: Arc<Progress>,
    pub integrated: AtomicU64,
    pub journal: outage::Health,
    pub log: outage::Health,
    pub bell: Bell,
    pub max_lag: Duration,
    pub retry: Duration,
    pub patience: Duration,
    pub under_way: UnderWay,
    pub segment_bytes: u64,
    pub segment_age: Duration,
    pub clock: Arc<dyn Clock>,
    /// Replaced while it runs, when one key follows another.
    pub signers: Mutex<Arc<Signers>>,
}

/// The journal's segment that is being written, for whoever looks after it.
#[derive(Default)]
pub(crate) struct Live {
    segment: Option<WrittenSegment>,
    /// What lies in its place is not what was written: the next frame begins another one.
    spoiled: bool,
}

impl Live {
    pub fn is_spoiled(&self) -> bool {
        self.spoiled
    }

    pub fn written(&mut self, segment: WrittenSegment) {
        *self = Live { segment: Some(segment), spoiled: false };
    }

    pub fn spoil(&mut self) {
        self.spoiled = true;
    }

    /// The segment to be looked after.
    pub fn segment(&self) -> Option<WrittenSegment> {
        self.segment.clone().filter(|_| !self.spoiled)
    }
}

impl Shared {
    /// A new segment that follows the frame with this link.
    pub fn new_segment(&self, part: Part, first: u64, link: Link) -> io::Result<Segment> {
        let key = self.trust.key.as_ref().ok_or_else(|| io::Error::other("the trail has no key"))?;
        let (disk, temporary) = (&*self.disk, self.places.temporary(part.name()));
        Segment::create(
            &segment::Destination { disk, dir: self.places.of(part), temporary, part, key },
            first,
            link,
        )
    }

    /// The first segment of a trail that was opened. The records that come before any other lie beside the head until
    /// they are in the segment: each is written once, whenever the bridge is killed.
    pub fn begin(&self, next: u64, link: Link, notes: &[Note]) -> io::Result<Segment> {
        let mut segment = self.new_segment(Part::Journal, next, link)?;
        let mut durable = next;
        if !notes.is_empty() {
            let mut frame = Frame::starting_at(next, Vec::new());
            notes.iter().for_each(|note| frame.push(Taken { leaf: &note.leaf, detail: &note.detail }));
            segment.append(&mut frame)?;
            durable = frame.end();
            self.acknowledge(durable, segment.link)?;
            self.persist_head()?;
        }
        self.live.lock().written(segment.written());
        self.progress.advance(durable);
        Ok(segment)
    }

    pub fn journal_from(&self, index: u64) -> Cursor {
        Cursor::new(Part::Journal, self.places.journal.clone(), index, self.trust.clone())
    }

    /// The journal is durable below this index, and ends with this link.
    pub fn acknowledge(&self, below: u64, link: Link) -> io::Result<()> {
        self.head.get().map_or(Ok(()), |head| head.acknowledge(below, link, self.believed.now()))
    }

    /// The audit directory is still the one that was opened: what is written there by name must not fall into another
    /// one, which another bridge may have taken by now.
    pub fn demand_place(&self) -> io::Result<()> {
        if self.lock.holds()? {
            return Ok(());
        }
        Err(io::Error::other(
            "the audit directory was replaced while the bridge ran: another one may write there",
        ))
    }

    /// What is remembered so far survives a power cut.
    pub fn persist_head(&self) -> io::Result<()> {
        self.head.get().map_or(Ok(()), Head::persist)
    }

    /// A checkpoint over this is on disk.
    pub fn signed(&self, size: u64, root: Hash) -> io::Result<()> {
        self.head.get().map_or(Ok(()), |head| head.signed(size, root))
    }
}

thread_local! {
    /// Where this thread encodes records, so that no allocation and no lock is held meanwhile.
    static ENCODED: RefCell<Encoded> = RefCell::default();
}

impl Shared {
    pub fn push(
        &self,
        encode: impl FnOnce(&mut Encoded) -> Result<(), SealError>,
    ) -> Result<u64, Box<Denial>> {
        self.push_within(Room::Usual, encode)
    }

    /// As [`Shared::push`], with as much room as that.
    pub fn push_within(
        &self,
        room: Room,
        encode: impl FnOnce(&mut Encoded) -> Result<(), SealError>,
    ) -> Result<u64, Box<Denial>> {
        let mut encode = Some(encode);
        let mut push = |encoded: &mut Encoded| {
            if let Some(encode) = encode.take() {
                encode(encoded)
                    .map_err(|error| unavailable(format_args!("detail was not sealed: {error}")))?;
            }
            self.enqueue(room, encoded)
        };
        // A thread that is being torn down has no buffer of its own any more.
        ENCODED
            .try_with(|encoded| push(&mut encoded.borrow_mut()))
            .unwrap_or_else(|_| push(&mut Encoded::default()))
    }

    fn enqueue(&self, room: Room, encoded: &Encoded) -> Result<u64, Box<Denial>> {
        let taken = Taken { leaf: &encoded.leaf, detail: &encoded.details.bytes };
        if taken.leaf.len() > MAX_ENTRY || taken.detail.len() > MAX_DETAIL {
            let (leaf, detail) = (taken.leaf.len(), taken.detail.len());
            return Err(unavailable(format_args!(
                "a record of {leaf} bytes with {detail} of detail is too long"
            )));
        }
        self.queue.push(room, taken).map_err(|Refused| unavailable("no room for another record"))
    }
}
