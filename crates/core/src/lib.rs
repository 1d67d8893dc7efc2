//! The heart of the bridge: what an exchange is, which controls judge it in which order, and how it ends.
//!
//! Nothing here knows a socket, a protocol, a database or a cryptographic library. A transport turns what
//! arrives into an [`Exchange`] and is its [`Source`]; [`cross`] takes it from there: request controls, the
//! [`Delivery`] of whichever transport leads to the target, reply controls, settlement, and one [`Record`] at every
//! ending.

#![warn(missing_docs)]

mod accepted;
mod account;
pub mod action;
mod answer;
mod cleared;
mod clock;
mod codes;
mod control;
mod counted;
mod crossing;
mod denial;
mod ending;
mod exchange;
mod fetch;
pub mod fields;
mod flow;
mod future;
mod id;
pub mod json;
mod judges;
pub mod memory;
pub mod nearest;
mod open;
mod origin;
mod owner;
mod payload;
mod permission;
mod phase;
mod pipeline;
mod reads;
mod record;
mod resume;
mod secret_name;
mod sensitive;
mod spool;
mod tail;
pub mod uri;
mod words;

pub use accepted::{Accepted, accept, cross};
pub use account::{Account, Credential, CredentialKind, Principal};
pub use action::Action;
pub use answer::Answer;
pub use cleared::Cleared;
pub use clock::{Clock, Entropy, SystemClock, Timestamp};
pub use codes::{all as all_codes, code, named as code_named};
pub use control::{Control, Judgement, Stop, StoredAnswer, Verdict};
pub use counted::Counted;
pub use crossing::{Delivery, Inflow, Reply, ReplyFacts, Source};
pub use denial::{Code, Denial, Fault, FieldError, Kind, Reach};
pub use ending::{Answered, Ending, Outcome, Said};
pub use exchange::{Asked, Claim, DeduplicationKey, Exchange, KeyUnreadable, LimitState, Presented};
pub use fetch::{Fetch, FetchError, FetchMethod, FetchRequest, Fetched};
pub use flow::{Flow, IntegrationFacts, OperationFacts, SystemFacts, TransportFacts};
pub use future::{BoxFuture, LocalFuture, Soon};
pub use id::{ExchangeId, IdSource};
pub use judges::Judges;
pub use open::{Open, OpenExchanges};
pub use origin::{CertificateFacts, Origin, Parting, Peer, PeerCertificate, Spooled, subscriber};
pub use owner::{OwnerKey, OwnerTag, Subject, SubjectKeys};
pub use payload::{Document, Payload};
pub use permission::{Permission, PermissionSet, PermissionTable};
pub use phase::{Phase, Row, Side};
pub use pipeline::{Bounds, DEFAULT_MAX_BODY, Pipeline, Room};
pub use reads::{Reading, Reads};
pub use record::{Position, Record, Recorder, StoreMark};
pub use resume::{NoCaller, Resumption, resume};
pub use secret_name::{SecretName, SecretNameError};
pub use sensitive::Sensitive;
pub use spool::{LaidDown, Settled, Spool, Unreadable};
pub use tail::Tail;
pub use words::{Word, all as all_words, word};
