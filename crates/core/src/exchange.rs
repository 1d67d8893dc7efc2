//! One crossing, in words that every transport has. It knows no protocol: what a transport has besides stays with the
//! transport.

use crate::uri::Query;
use crate::{
    Account, Code, Counted, CredentialKind, Denial, ExchangeId, Flow, Origin, Payload, Principal, Sensitive,
    Subject, Timestamp,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// One crossing: a request with its response, a webhook, a file, a message, a query.
#[derive(Debug)]
pub struct Exchange {
    /// Under which it is recorded, and told to the caller as correlation id.
    pub id: ExchangeId,
    /// When it arrived, by the clock on the wall.
    pub received: Timestamp,
    /// [`crate::Clock::monotonic`] at arrival.
    pub started: Duration,
    /// The integration and operation that it uses.
    pub flow: Arc<Flow>,
    /// Where it came from.
    pub origin: Origin,
    /// What came to prove who sends it.
    pub presented: Presented,
    /// What it asks for.
    pub asked: Asked,
    /// The request's body, while controls look at it.
    pub request: Payload,
    /// The reply's body, while controls look at it.
    pub reply: Payload,
    /// What the transport itself found wrong with what arrived; the exchange is refused with it once the admit
    /// to throttle controls have had their say.
    pub refused: Option<Box<Denial>>,
    /// Set by the authenticate phase; nothing later runs without it.
    pub principal: Option<Principal>,
    /// The tightest limit that was counted, for the RateLimit fields of the answer.
    pub limit: Option<LimitState>,
    /// What a replay control holds until the ending is known: its store's number for the reservation.
    pub reservation: Option<(i64, i64)>,
    /// The media type of the target's reply as it stands in the reply, where the body of the reply is read.
    pub reply_media_type: Option<Box<str>>,
    /// The other fields of the reply that cross, in the target's terms, where the answer may be kept.
    pub reply_fields: Vec<(Box<str>, Box<[u8]>)>,
    /// What its transport wants to find it by in the record, besides the id: a message's id, a file's name. Sealed there,
    /// as its address is. The trail keeps the first eight, cut at 256 bytes.
    pub marks: Vec<(Box<str>, Box<str>)>,
    /// Which of the operator's own rules refused it.
    pub refused_by: Option<Box<str>>,
    /// Which kinds of credential would do, where the caller is not known.
    pub would_do: Option<Arc<[CredentialKind]>>,
    /// Ids of subjects that a control found in a body and whose keys are still to be had.
    pub found: Vec<Box<str>>,
    /// Whose data it carries, each once, as far as the integration names where to look.
    pub subjects: Vec<Subject>,
    /// How many records of data the bodies carry; see [`crate::Record::records`].
    pub request_records: Counted,
    /// As before, of the reply.
    pub reply_records: Counted,
    /// Request body bytes of known length; see [`Exchange::bytes_in`].
    pub bytes_in: u64,
    /// Counts a request body that streams past with unknown length.
    pub streamed_in: Option<Arc<AtomicU64>>,
    /// Bytes of the answer toward the caller.
    pub bytes_out: u64,
    /// What was found wrong with its request while it was on its way to the target.
    pub broken_off: Option<&'static Code>,
    /// Bytes go toward the target, or back to the caller, that nobody had counted when the record was taken: of an
    /// answer that streams without saying its length, or of a switched protocol.
    pub uncounted_in: bool,
    /// As before, back to the caller.
    pub uncounted_out: bool,
}

impl Exchange {
    /// An exchange that has just arrived, of which nothing is judged yet.
    pub fn new(
        id: ExchangeId,
        received: Timestamp,
        started: Duration,
        flow: Arc<Flow>,
        origin: impl Into<Origin>,
    ) -> Self {
        Exchange {
            id,
            received,
            started,
            flow,
            origin: origin.into(),
            presented: Presented::default(),
            asked: Asked::default(),
            request: Payload::default(),
            reply: Payload::default(),
            refused: None,
            principal: None,
            limit: None,
            reservation: None,
            reply_media_type: None,
            reply_fields: Vec::new(),
            marks: Vec::new(),
            refused_by: None,
            would_do: None,
            found: Vec::new(),
            subjects: Vec::new(),
            request_records: Counted::No,
            reply_records: Counted::No,
            bytes_in: 0,
            streamed_in: None,
            bytes_out: 0,
            broken_off: None,
            uncounted_in: false,
            uncounted_out: false,
        }
    }

    /// Bytes of bodies that controls read.
    pub(crate) fn holds(&self) -> usize {
        [&self.request, &self.reply].iter().filter_map(|payload| payload.bytes()).map(bytes::Bytes::len).sum()
    }

    /// All that a record and a settlement need of it.
    pub fn without_bodies(&self) -> Exchange {
        Exchange {
            id: self.id,
            received: self.received,
            started: self.started,
            flow: Arc::clone(&self.flow),
            origin: self.origin.clone(),
            presented: Presented::default(),
            asked: self.asked.clone(),
            request: Payload::Streamed,
            reply: Payload::Streamed,
            refused: None,
            principal: self.principal.clone(),
            limit: self.limit,
            reservation: self.reservation,
            reply_media_type: None,
            reply_fields: Vec::new(),
            marks: self.marks.clone(),
            refused_by: None,
            would_do: self.would_do.clone(),
            found: Vec::new(),
            subjects: self.subjects.clone(),
            request_records: self.request_records,
            reply_records: self.reply_records,
            bytes_in: self.bytes_in,
            streamed_in: self.streamed_in.clone(),
            bytes_out: self.bytes_out,
            broken_off: self.broken_off,
            uncounted_in: self.uncounted_in,
            uncounted_out: self.uncounted_out,
        }
    }

    /// Whether it is declared to act once at most, whatever its verb says: it holds a deduplication key, or held one when
    /// it was accepted.
    pub fn acts_once(&self) -> bool {
        let resumed = matches!(self.origin, Origin::Spool(_));
        self.reservation.is_some() || (resumed && self.asked.deduplication_key.is_some())
    }

    /// Bytes of the request body that went toward the target so far.
    pub fn bytes_in(&self) -> u64 {
        let streamed = self.streamed_in.as_ref().map_or(0, |count| count.load(Ordering::Relaxed));
        self.bytes_in.saturating_add(streamed)
    }

    /// Whose it is, once the caller is known.
    pub fn account(&self) -> Option<&Arc<Account>> {
        self.principal.as_ref().map(Principal::account)
    }
}

/// What came with a request to prove who sends it, before anything is believed. A certificate is no part of it: it
/// is a fact of the connection ([`crate::Peer::certificate`]), and counts where nothing else came.
#[derive(Debug, Clone, Default)]
pub enum Presented {
    /// Only what the connection proved can count.
    #[default]
    Nothing,
    /// One credential, to be verified.
    Claim(Claim),
    /// Several, of which nobody knows which one the caller means.
    Ambiguous {
        /// Whether there is a bearer token among them, however many.
        bearer: bool,
    },
    /// Something of a scheme that the transport does not speak.
    Unspoken,
}

/// The one credential that came with a request. Its kind says how it came, not what it turns out to be.
#[derive(Debug, Clone)]
pub enum Claim {
    /// An access token of whoever bears it (RFC 6750).
    Bearer(Sensitive),
    /// A key that a bridge issued, in the place for such keys.
    ApiKey(Sensitive),
}

impl Claim {
    /// The credential itself.
    pub fn sensitive(&self) -> &Sensitive {
        match self {
            Claim::Bearer(token) => token,
            Claim::ApiKey(key) => key,
        }
    }
}

impl Presented {
    /// Whether a bearer token came, by itself or beside others.
    pub fn holds_bearer(&self) -> bool {
        matches!(self, Presented::Claim(Claim::Bearer(_)) | Presented::Ambiguous { bearer: true })
    }
}

/// What is asked for, outside the body, in words that every transport has.
#[derive(Debug, Default, Clone)]
pub struct Asked {
    /// What is to be done: an HTTP method, `publish`, `upload`.
    pub verb: Box<str>,
    /// To what: an HTTP path below the integration's own, decoded; a topic, a file's name. Not called an address, which
    /// is what a caller has.
    pub resource: Box<str>,
    /// What the operation's declared resource leaves open, by name, in order of appearance, decoded.
    pub parameters: Vec<(Arc<str>, Box<str>)>,
    /// Its members, decoded, and the spelling that is delivered.
    pub query: Query,
    /// Of the body, with its parameters, as it came; of several, one list.
    pub media_type: Option<Box<str>>,
    /// How the body is compressed, as it came.
    pub encoding: Option<Box<str>>,
    /// What came as such a key. One that cannot be read is refused only where keys are.
    pub deduplication_key: Option<Result<DeduplicationKey, KeyUnreadable>>,
    /// Where there is such a key: what a repetition must bring alike besides, by name.
    pub repeats: Vec<(Box<str>, Box<[u8]>)>,
    /// Whether a body is on its way (even an empty one with unknown length).
    pub has_body: bool,
}

/// By which a caller says that two requests are one. The transport read it from its own syntax, HTTP from the field
/// `Idempotency-Key`; what stands here is the key itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeduplicationKey(Box<str>);

/// A key came that is none: empty, too long, or not in the transport's syntax.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyUnreadable;

impl DeduplicationKey {
    /// Longest key, in bytes, so that what is kept of each stays small.
    pub const MAX: usize = 255;

    /// # Errors
    /// Where it is empty or longer than [`DeduplicationKey::MAX`].
    pub fn new(key: &str) -> Result<DeduplicationKey, KeyUnreadable> {
        let fits = (1..=DeduplicationKey::MAX).contains(&key.len());
        fits.then(|| DeduplicationKey(key.into())).ok_or(KeyUnreadable)
    }

    /// The key itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A counted limit, in the terms of the RateLimit fields draft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitState {
    /// What is counted by: `account`, `address` or `operation`.
    pub policy: &'static str,
    /// How many may pass in a window.
    pub quota: u64,
    /// In which time the quota comes back whole.
    pub window: Duration,
    /// How many may pass now.
    pub remaining: u64,
    /// Until the quota is whole again; after a refusal, until one more passes.
    pub reset: Duration,
}
