//! Is it new? (E6)
//!
//! The key is reserved, durably, before delivery and settled once the ending is known. A repetition with the
//! same key is answered alike, so a retry can never act twice; where the outcome was lost, a repetition is
//! refused rather than guessed at.

use crate::order;
use crate::schema::JsonSchema;
use crate::subject::Places;
use bytes::Bytes;
use ironbridge_core::{
    Answered, Control, DeduplicationKey, Denial, Ending, Exchange, Judgement, OwnerTag, Payload, Reading,
    Reads, Row, Said, Stop, StoredAnswer, Verdict, code,
};
use ironbridge_seal::hash::{self, MacKey};
use ironbridge_store::{Fingerprints, Idempotency, Reservation, Settlement, Ticket};
use std::sync::Arc;
use std::time::Duration;

/// What to wait before asking again for an answer that is still on its way.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// What to wait where too much is kept: so often the store forgets what has expired.
const SOME_EXPIRED: Duration = Duration::from_secs(60);

/// Lets a request with a deduplication key act at most once.
///
/// Keys are apart for each account and operation. What must be the same in a repetition is the verb, the resource,
/// the query, what the transport says [repeats](ironbridge_core::Asked::repeats) and the body; anything else under the same key is `idempotency-mismatch`. The
/// answer that is kept is the one that the caller saw, after the keep list; given again, it is held against what is
/// declared by then. A schema judged more than what is kept, and so did whoever looked for persons in it, so an answer that
/// was judged otherwise is not given again.
#[derive(Clone)]
pub struct IdempotencyKey {
    store: Arc<dyn Idempotency>,
    /// Of what requests are remembered by.
    secret: Arc<MacKey>,
    required: bool,
    window: Duration,
    /// Of the schema that judges replies.
    schema: Option<[u8; 32]>,
    /// Of the places in replies where persons' ids are looked for.
    subjects: [u8; 32],
}

/// Both bodies, whatever they are: a repetition is known by the one, and answered with the other.
pub const READS: Reads = Reads { request: Reading::Bytes, reply: Reading::Bytes };

/// Where no places in bodies are declared.
const NO_SUBJECTS: [u8; 32] = [0; 32];

impl IdempotencyKey {
    /// `window` is how long a key is remembered, counted from the first request's arrival. Without `required`,
    /// requests that bear no key pass unprotected.
    pub fn new(
        store: Arc<dyn Idempotency>,
        secret: Arc<MacKey>,
        required: bool,
        window: Duration,
    ) -> IdempotencyKey {
        IdempotencyKey { store, secret, required, window, schema: None, subjects: NO_SUBJECTS }
    }

    /// Where this schema judges replies.
    pub fn judged_by(self, schema: Option<&JsonSchema>) -> IdempotencyKey {
        IdempotencyKey { schema: schema.map(JsonSchema::digest), ..self }
    }

    /// Where persons' ids are looked for in bodies.
    pub fn concerning(self, places: Option<&Places>) -> IdempotencyKey {
        let places = places.filter(|places| places.reads_body());
        IdempotencyKey { subjects: places.map_or(NO_SUBJECTS, Places::digest), ..self }
    }

    /// What was looked for in a stored answer is what would be now.
    fn judged_alike(&self, answer: &StoredAnswer) -> Result<(), &'static str> {
        if answer.schema != self.schema {
            return Err("another response.schema judged the stored answer than is declared now");
        }
        if answer.subjects.is_some_and(|subjects| subjects != self.subjects) {
            return Err(
                "data.subject_id looked for persons in other places of the stored answer than it does now",
            );
        }
        Ok(())
    }

    async fn reserve(&self, exchange: &mut Exchange, key: DeduplicationKey) -> Verdict {
        let scope = scope(exchange);
        let (now, expires) = (exchange.received, exchange.received.plus(self.window));
        let reserved = self
            .store
            .reserve(&scope, key.as_str(), fingerprints(&self.secret, exchange), now, expires)
            .await;
        let reserved = reserved.map_err(|error| {
            Denial::new(&code::STORE_UNAVAILABLE).internal(format_args!("idempotency: {error}"))
        })?;
        match reserved {
            Reservation::Taken(ticket) => {
                exchange.reservation = Some(ticket.holder);
                Ok(())
            }
            Reservation::Finished(answer) => match self.judged_alike(&answer) {
                Ok(()) => Err(Stop::Replay(Box::new(answer))),
                Err(why) => Err(Denial::new(&code::IDEMPOTENCY_UNKNOWN_OUTCOME).internal(why).into()),
            },
            Reservation::InProgress => {
                Err(Denial::new(&code::IDEMPOTENCY_IN_PROGRESS).retry_after(ASK_AGAIN).into())
            }
            Reservation::Full => Err(Denial::new(&code::IDEMPOTENCY_FULL).retry_after(SOME_EXPIRED).into()),
            Reservation::Mismatch => Err(Denial::new(&code::IDEMPOTENCY_MISMATCH).into()),
            Reservation::OutcomeUnknown => Err(Denial::new(&code::IDEMPOTENCY_UNKNOWN_OUTCOME).into()),
        }
    }

    /// What an ending means for the key: free again only where surely nothing reached the target, answered only
    /// where the target's answer is known whole. Its own failure is no answer, but an exchange that failed.
    fn settlement(&self, exchange: &Exchange, ending: Ending) -> Settlement {
        match (ending, exchange.reply.bytes()) {
            // Kept as an answer, it would be given again for as long as the key is remembered.
            (Ending::Delivered(answered) | Ending::Partial(answered) | Ending::Cut(answered, _), _)
                if answered.said == Said::Untaken =>
            {
                Settlement::Release
            }
            (Ending::Delivered(answered), body) => self.finished(exchange, answered, body),
            // Broken off on its way to the caller, but held here. One that broke off on its way to us is not.
            (Ending::Partial(answered) | Ending::Cut(answered, _), Some(body)) => {
                self.finished(exchange, answered, Some(body))
            }
            (Ending::Denied(_) | Ending::Abandoned { sent: false }, _) => Settlement::Release,
            (Ending::Failed(refusal), _) if refusal.reach.is_untouched() => Settlement::Release,
            _ => Settlement::Unknown,
        }
    }

    fn finished(&self, exchange: &Exchange, answered: Answered, body: Option<&Bytes>) -> Settlement {
        Settlement::Finished(StoredAnswer {
            answered,
            content_type: exchange.reply_media_type.clone(),
            fields: exchange.reply_fields.clone(),
            body: body.cloned().unwrap_or_default(),
            schema: self.schema,
            subjects: Some(self.subjects),
        })
    }
}

impl Control for IdempotencyKey {
    fn row(&self) -> &'static Row {
        &order::IDEMPOTENCY_KEY
    }

    fn reads(&self) -> Reads {
        READS
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        match exchange.asked.deduplication_key.clone() {
            None if self.required => Judgement::deny(Denial::new(&code::IDEMPOTENCY_KEY_MISSING)),
            None => Judgement::PASS,
            Some(Err(_)) => Judgement::deny(Denial::new(&code::IDEMPOTENCY_KEY_MALFORMED)),
            Some(Ok(key)) => Judgement::Later(Box::pin(self.reserve(exchange, key))),
        }
    }

    fn settle(&self, exchange: &Exchange, ending: &Ending) {
        let Some(holder) = exchange.reservation else { return };
        let Some(Ok(key)) = &exchange.asked.deduplication_key else { return };
        let key = key.as_str().to_owned();
        let (scope, settlement) = (scope(exchange), self.settlement(exchange, *ending));
        if matches!(settlement, Settlement::Finished(_)) && !exchange.subjects.is_empty() {
            let ticket = Ticket { scope: scope.clone(), key: key.clone(), holder };
            self.store.concerns(ticket, subjects(exchange).collect());
        }
        self.store.settle(Ticket { scope, key, holder }, settlement);
    }
}

fn scope(exchange: &Exchange) -> String {
    let account = exchange.account().map_or("", |account| &account.name);
    let operation = exchange.flow.operation.as_ref().map_or("", |operation| &operation.name);
    format!("{account} {}/{operation}", exchange.flow.integration.name)
}

/// Every part is preceded by its length, so that no two requests run together into one text.
fn fingerprints(secret: &MacKey, exchange: &Exchange) -> Fingerprints {
    let plain = digest(exchange);
    let without_fields = keyed(secret, &plain);
    let account = exchange.account().and_then(|account| account.owner.as_ref()).map(|owner| owner.tag);
    let owners = account.into_iter().chain(subjects(exchange)).collect();
    let fields = &exchange.asked.repeats;
    if fields.is_empty() {
        return Fingerprints { whole: without_fields, without_fields, owners };
    }
    let mut text = plain.to_vec();
    for part in fields.iter().flat_map(|(name, value)| [name.as_bytes(), value]) {
        text.extend_from_slice(&part.len().to_be_bytes());
        text.extend_from_slice(part);
    }
    Fingerprints { whole: secret.mac(&[LABEL, &text]), without_fields, owners }
}

/// What older versions stored, under the key.
pub fn keyed(secret: &MacKey, plain: &[u8; 32]) -> [u8; 32] {
    secret.mac(&[LABEL, plain])
}

const LABEL: &[u8] = b"ironbridge fingerprint\0";

fn subjects(exchange: &Exchange) -> impl Iterator<Item = OwnerTag> {
    exchange.subjects.iter().map(|subject| subject.owner.tag)
}

fn digest(exchange: &Exchange) -> [u8; 32] {
    let asked = &exchange.asked;
    let body: &[u8] = match &exchange.request {
        Payload::Streamed => b"",
        Payload::Whole(document) => document.bytes(),
    };
    let parts = [asked.verb.as_bytes(), asked.resource.as_bytes(), asked.query.spelling().as_bytes(), body];
    let lengths = parts.map(|part| part.len().to_be_bytes());
    let [verb, resource, query, body] = parts;
    let [of_verb, of_resource, of_query, of_body] = &lengths;
    hash::sha256_parts(&[of_verb, verb, of_resource, resource, of_query, query, of_body, body])
}
