//! What a trail is opened with.

use crate::checkpoint::Signers;
use crate::head::Anchor;
use crate::store::StoreSeen;
use ironbridge_core::OwnerKey;
use std::path::PathBuf;
use std::sync::Arc;
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
    /// The store whose credentials and keys the trail is written with.
    pub store: StoreSeen,
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
    /// How long the disk may take for one write of the journal before it counts as failing: exchanges are refused then,
    /// until it answers.
    pub patience: Duration,
    /// From this size on the journal, and the detail, start their next segment, in bytes.
    pub segment_bytes: u64,
    /// From this age on they do so too: what retention drops must not linger in a segment that is never full.
    pub segment_age: Duration,
    /// From this many records waiting for the disk on, no new exchange is let in.
    pub queue_records: u32,
    /// As much in bytes: whichever is reached first.
    pub queue_bytes: usize,
}

impl Options {
    /// With what has no default; the rest is as a bridge uses it: a checkpoint within 600 ms, five seconds' patience,
    /// segments of 16 MiB or a day, 65,536 records or 64 MiB in the queue.
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
            store: StoreSeen::default(),
            accept_loss: false,
            confirm_clock: false,
            actor: "bridge".to_owned(),
            max_lag: Duration::from_millis(600),
            retry: Duration::from_millis(500),
            patience: Duration::from_secs(5),
            segment_bytes: 16 << 20,
            segment_age: Duration::from_secs(24 * 3600),
            queue_records: 65_536,
            queue_bytes: 64 << 20,
        }
    }
}
