//! Where accepted exchanges lie until they are delivered, and as what.

use crate::uri::Query;
use crate::{
    Asked, BoxFuture, Code, Counted, CredentialKind, DeduplicationKey, Denial, Exchange, ExchangeId, Payload,
    Timestamp, code,
};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;

/// Where accepted exchanges lie until a worker delivers them. A transport that accepts before it delivers has one.
pub trait Spool: Send + Sync {
    /// Resolves once what was laid down will outlive whatever the spool promises to outlive.
    ///
    /// # Errors
    /// Where it is not taken; then nothing of it is there.
    fn lay_down(&self, laid: LaidDown) -> BoxFuture<'_, Result<(), Box<Denial>>>;

    /// Takes back what was laid down and could not be recorded. False where a worker has it already.
    fn withdraw(&self, id: ExchangeId) -> BoxFuture<'_, bool>;

    /// The next that is due, as soon as there is one. It stays in the spool, and is given to nobody else, until it is
    /// settled.
    fn take(&self) -> BoxFuture<'_, LaidDown>;

    /// What became of one that was taken. One that is not done is due again later, when is the spool's to say.
    fn settle(&self, id: ExchangeId, settled: Settled) -> BoxFuture<'_, ()>;
}

/// How far a delivery from the spool came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Settled {
    /// The target answered, or may have acted: it is not delivered again.
    Done,
    /// The target surely did not act, and the same may succeed later.
    Untaken,
    /// Nothing was delivered, and never will be: it is not permitted any more, or not declared.
    Refused(&'static Code),
}

/// An accepted exchange as it lies in a spool. It has names where an exchange has what one load of the manifest made of
/// them, so that it can go on under a later one; only [`crate::resume`] lets it.
#[derive(Debug, Clone)]
pub struct LaidDown {
    /// Of the exchange that was accepted. The record of its delivery names it.
    pub id: ExchangeId,
    /// When it was received.
    pub received: Timestamp,
    /// The integration, by name: it is looked up again when it is taken up.
    pub integration: Box<str>,
    /// The operation, by name, likewise.
    pub operation: Box<str>,
    /// The account, by name, likewise.
    pub account: Box<str>,
    /// The kind and the id of the credential that proved it.
    pub credential: (CredentialKind, Box<str>),
    /// Where the caller called from, if it has an address.
    pub address: Option<IpAddr>,
    /// Without what a repetition would have to bring alike: that was compared when it was accepted.
    pub asked: Asked,
    /// What its transport wants to find it by; see [`Exchange::marks`].
    pub marks: Vec<(Box<str>, Box<str>)>,
    /// Ids of the persons whose data it carries.
    pub subjects: Vec<Box<str>>,
    /// How many records of data it carries.
    pub records: Counted,
    /// The whole body, as the controls let it pass.
    pub payload: Bytes,
}

/// Why bytes are nothing that was laid down.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unreadable {
    /// Another program wrote it, or a later version of this one.
    Format,
    /// What it says of the exchange cannot be read.
    Head(String),
}

impl LaidDown {
    /// The longest text that may stand before the payload, in bytes.
    pub const MAX_HEAD: usize = 1 << 20;

    /// # Errors
    /// Where its operation, its account or its body is not known, and where it says too much of itself.
    pub(crate) fn of(exchange: &Exchange) -> Result<LaidDown, Box<Denial>> {
        let incomplete = || Box::new(Denial::new(&code::INTERNAL).internal("an exchange that nobody let in"));
        let operation = exchange.flow.operation.as_ref().ok_or_else(incomplete)?;
        let principal = exchange.principal.as_ref().ok_or_else(incomplete)?;
        let Payload::Whole(payload) = &exchange.request else { return Err(incomplete()) };
        let laid = LaidDown {
            id: exchange.id,
            received: exchange.received,
            integration: (*exchange.flow.integration.name).into(),
            operation: (*operation.name).into(),
            account: (*principal.account().name).into(),
            credential: (principal.credential().kind, (*principal.credential().id).into()),
            address: exchange.origin.address(),
            asked: Asked { repeats: Vec::new(), ..exchange.asked.clone() },
            marks: exchange.marks.clone(),
            subjects: exchange.subjects.iter().map(|subject| subject.id.clone()).collect(),
            records: exchange.request_records,
            payload: payload.bytes().clone(),
        };
        match laid.head().len() {
            0..=Self::MAX_HEAD => Ok(laid),
            _ => Err((&code::HEADER_TOO_LARGE).into()),
        }
    }

    /// Three parts: the line `ironbridge laid down 1`, one line of JSON, and the payload as it is. The number counts
    /// versions; a reader refuses those that it does not know.
    pub fn write(&self) -> Vec<u8> {
        let head = self.head();
        let mut bytes = Vec::with_capacity(FORMAT.len() + head.len() + 1 + self.payload.len());
        bytes.extend_from_slice(FORMAT);
        bytes.extend_from_slice(head.as_bytes());
        bytes.push(b'\n');
        bytes.extend_from_slice(&self.payload);
        bytes
    }

    /// Reads what [`LaidDown::write`] wrote. Who wrote it is the spool's to know.
    ///
    /// # Errors
    /// Where it is something else.
    pub fn read(bytes: &Bytes) -> Result<LaidDown, Unreadable> {
        let rest = bytes.strip_prefix(FORMAT).ok_or(Unreadable::Format)?;
        let within = rest.get(..=Self::MAX_HEAD).unwrap_or(rest);
        let length = within.iter().position(|byte| *byte == b'\n').ok_or(Unreadable::Format)?;
        let (head, _) = rest.split_at(length);
        let head: Head = serde_json::from_slice(head).map_err(|error| Unreadable::Head(error.to_string()))?;
        head.laid_down(bytes.slice(FORMAT.len() + length + 1..))
    }

    /// JSON in one line.
    fn head(&self) -> String {
        let LaidDown { asked, .. } = self;
        let (kind, credential) = &self.credential;
        let (records, named) = match self.records {
            Counted::No => (None, false),
            Counted::Seen(count) => (Some(count), false),
            Counted::Named(count) => (Some(count), true),
        };
        let head = Head {
            id: self.id.to_string(),
            received: self.received.micros(),
            integration: self.integration.clone(),
            operation: self.operation.clone(),
            account: self.account.clone(),
            credential_kind: kind.name().into(),
            credential: credential.clone(),
            address: self.address,
            verb: asked.verb.clone(),
            resource: asked.resource.clone(),
            parameters: asked
                .parameters
                .iter()
                .map(|(name, value)| ((**name).into(), value.clone()))
                .collect(),
            query: asked.query.spelling().into(),
            media_type: asked.media_type.clone(),
            encoding: asked.encoding.clone(),
            // An empty text is none that can be read, then as now.
            deduplication_key: asked
                .deduplication_key
                .as_ref()
                .map(|key| key.as_ref().map_or("", DeduplicationKey::as_str).into()),
            has_body: asked.has_body,
            marks: self.marks.clone(),
            subjects: self.subjects.clone(),
            records,
            named,
        };
        // Of texts and numbers alone, which JSON all has.
        serde_json::to_string(&head).unwrap_or_default()
    }
}

const FORMAT: &[u8] = b"ironbridge laid down 1\n";

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    id: String,
    /// Microseconds since 1970, UTC.
    received: u64,
    integration: Box<str>,
    operation: Box<str>,
    account: Box<str>,
    credential_kind: Box<str>,
    credential: Box<str>,
    address: Option<IpAddr>,
    verb: Box<str>,
    resource: Box<str>,
    parameters: Vec<(Box<str>, Box<str>)>,
    /// As it is delivered.
    query: Box<str>,
    media_type: Option<Box<str>>,
    encoding: Option<Box<str>>,
    deduplication_key: Option<Box<str>>,
    has_body: bool,
    marks: Vec<(Box<str>, Box<str>)>,
    subjects: Vec<Box<str>>,
    records: Option<u64>,
    /// The operation says where they are.
    named: bool,
}

impl Head {
    fn laid_down(self, payload: Bytes) -> Result<LaidDown, Unreadable> {
        let unknown = |what: &str| Unreadable::Head(what.to_owned());
        let kind = CredentialKind::ALL.into_iter().find(|kind| *kind.name() == *self.credential_kind);
        Ok(LaidDown {
            id: ExchangeId::parse(&self.id).ok_or_else(|| unknown("the id is none"))?,
            received: Timestamp(self.received),
            integration: self.integration,
            operation: self.operation,
            account: self.account,
            credential: (kind.ok_or_else(|| unknown("an unknown kind of credential"))?, self.credential),
            address: self.address,
            asked: Asked {
                verb: self.verb,
                resource: self.resource,
                parameters: self
                    .parameters
                    .into_iter()
                    .map(|(name, value)| ((*name).into(), value))
                    .collect(),
                query: Query::parse(&self.query).map_err(|ambiguous| unknown(ambiguous.why))?,
                media_type: self.media_type,
                encoding: self.encoding,
                deduplication_key: self.deduplication_key.as_deref().map(DeduplicationKey::new),
                repeats: Vec::new(),
                has_body: self.has_body,
            },
            marks: self.marks,
            subjects: self.subjects,
            records: match (self.records, self.named) {
                (None, _) => Counted::No,
                (Some(count), false) => Counted::Seen(count),
                (Some(count), true) => Counted::Named(count),
            },
            payload,
        })
    }
}
