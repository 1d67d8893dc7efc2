//! The audit trail: an append-only transparency log that anyone can verify offline.
//!
//! A record goes through three stages. **Taken**: [`Trail`] encodes it and gives it an index. **Durable**: the
//! committer has written it to the journal with whatever else gathered, and synced. **Integrated**: the
//! integrator has carried it into the log, a Merkle tree in C2SP's tlog-tiles layout, and signed a checkpoint over
//! it. [`Log`] reads and verifies a trail, also while a bridge writes it, from another process.
//!
//! `docs/audit-format.md` describes every file and the schema of a record.
//!
//! Its modules lie in layers. Each knows modules of its own layer or of those below it, and none knows itself again
//! through another:
//!
//! | layer | modules |
//! |---|---|
//! | opening a trail, or only judging it | `opening`, `examine`, `recover`, `beside`, `options` |
//! | using it | `trail`, `retention`, `receipt`, `export`, `disclosure` |
//! | its threads | `commit`, `integrate`, `lookout`, `gather`, `hang` |
//! | what they share | `shared`, `queue`, `progress`, `refusals`, `outage`, `believed`, `bell`, `under_way` |
//! | reading it | `reader`, `witness` |
//! | what lies on the disk | `journal`, `head`, `retained`, `outgrown`, `lock`, `places`, `disk` |
//! | the form it has there | `segment`, `tiles`, `index`, `leaf`, `entry`, `note`, `mark`, `detail`, `checkpoint`, `merkle`, `text` |

#![warn(missing_docs)]

mod believed;
mod bell;
mod beside;
mod checkpoint;
mod commit;
pub mod detail;
pub mod disclosure;
pub mod disk;
mod entry;
mod examine;
pub mod export;
mod fault;
mod gather;
mod hang;
mod head;
pub mod index;
mod integrate;
mod journal;
mod leaf;
mod lock;
mod lookout;
mod mark;
pub mod merkle;
mod note;
mod opening;
mod options;
mod outage;
mod outgrown;
mod places;
mod progress;
mod queue;
mod reader;
pub mod receipt;
mod recover;
pub mod refusals;
mod retained;
mod retention;
mod segment;
mod shared;
mod store;
mod text;
mod tiles;
mod trail;
mod under_way;
pub mod witness;

pub use checkpoint::{Checkpoint, SignedCheckpoint, Signers, SignersError};
pub use entry::Entry;
pub use fault::{AuditError, Fault, FaultKind};
pub use head::{Anchor, Remembered};
pub use mark::Mark;
pub use options::Options;
pub use outage::Outage;
pub use places::unwritable;
pub use reader::{Follow, Indexer, Log, LogFile, Order, Query, SavedPlace, Stored, Verification, Verified};
pub use receipt::{Receipt, ReceiptFault};
pub use retained::Retained;
pub use retention::Limits;
pub use segment::TrailKey;
pub use store::StoreSeen;
pub use trail::{Status, Trail};
