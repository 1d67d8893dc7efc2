//! What the trail and its threads share.

use crate::believed::Believed;
use crate::checkpoint::Signers;
use crate::disk::Disk;
use crate::head::{Anchor, Head, Remembered};
use crate::integrate::Bell;
use crate::journal::{Cursor, Trust};
use crate::leaf::{Encoded, MAX_ENTRY};
use crate::merkle::Hash;
use crate::outage::{self, unavailable};
use crate::places::Places;
use crate::progress::Progress;
use crate::queue::{Queue, Refused};
use crate::refusals::Refusals;
use crate::segment::{self, Frame, Link, MAX_DETAIL, Part, Segment, Taken};
use ironbridge_core::{Action, Clock, Denial, OwnerKey};
use ironbridge_seal::envelope::SealError;
use parking_lot::Mutex;
use std::cell::RefCell;
use std::io;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
    pub fn begin(
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

thread_local! {
    /// Where this thread encodes records, so that no allocation and no lock is held meanwhile.
    static ENCODED: RefCell<Encoded> = RefCell::default();
}

impl Shared {
    pub fn push(
        &self,
        encode: impl FnOnce(&mut Encoded) -> Result<(), SealError>,
    ) -> Result<u64, Box<Denial>> {
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

/// Writes what is gathered as its windows end.
pub(crate) fn write_refusals(refusals: &Refusals, shared: &Shared, callers: &OwnerKey) {
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
