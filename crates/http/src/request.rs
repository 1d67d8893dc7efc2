//! From an HTTP request to the facts that controls judge.

use crate::crossing::read_whole;
use crate::fields::{API_KEY, IDEMPOTENCY_KEY};
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{HeaderMap, Method, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use ironbridge_core::memory::Charge;
use ironbridge_core::uri::Query;
use ironbridge_core::{Denial, Presented, RequestFacts, Sensitive, code};
use ironbridge_net::Names;
use ironbridge_net::frames::{Arriving, FrameState};
use ironbridge_net::gate::{LINGER, LINGER_BYTES};
use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::timeout;

/// The request body, until somebody takes it.
pub struct Inbound {
    body: Option<Arriving>,
    version: Version,
}

impl Inbound {
    /// `frames` are those of its connection, over HTTP/2.
    pub fn new(body: Incoming, version: Version, frames: Option<&Rc<FrameState>>) -> Inbound {
        Inbound { body: (!body.is_end_stream()).then(|| Arriving::new(body, frames)), version }
    }

    pub fn is_some(&self) -> bool {
        self.body.is_some()
    }

    pub fn take(&mut self) -> Option<Arriving> {
        self.body.take()
    }

    /// Reads it to its end, keeping at most `limit` bytes. After a refusal the rest of it is still here.
    pub async fn read_whole(&mut self, limit: u64, charge: &mut Charge) -> Result<Bytes, Box<Denial>> {
        let Some(body) = &mut self.body else { return Ok(Bytes::new()) };
        let incomplete = |error| Box::new(Denial::new(&code::BODY_INCOMPLETE).internal(error));
        let bytes = read_whole(body, limit, charge, &code::BODY_TOO_LARGE, incomplete).await?;
        self.body = None;
        Ok(bytes)
    }

    /// The answer needs no more of the body. Over HTTP/2 its stream would be reset while the caller may still be
    /// sending (RFC 9113 §8.1), and some callers then lose the answer; so a rest is read and forgotten.
    /// HTTP/1's connection takes care of that itself.
    pub fn leave_unread(&mut self) {
        let Some(mut body) = self.body.take().filter(|_| self.version == Version::HTTP_2) else { return };
        tokio::task::spawn_local(timeout(LINGER, async move {
            let mut left = LINGER_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                left = rest;
            }
        }));
    }
}

/// A browser's question before a page may send what is not simple (Fetch, CORS-preflight fetch).
pub fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The credentials in the header section. Nothing is believed yet.
pub fn presented(headers: &HeaderMap) -> Presented {
    let mut presented = Presented::default();
    match one(headers, AUTHORIZATION) {
        One::None => {}
        One::Value(value) => match bearer(value) {
            Some(token) => presented.bearer = Some(Sensitive::new(token)),
            None => presented.unspoken = true,
        },
        One::Several => presented.ambiguous = true,
    }
    match one(headers, API_KEY) {
        One::None => {}
        One::Value(value) => presented.api_key = Some(Sensitive::new(value.as_bytes())),
        One::Several => presented.ambiguous = true,
    }
    presented
}

/// `Authorization: Bearer b64token` (RFC 6750 §2.1); the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(6)?;
    // Without a token it is a malformed one, and no other scheme.
    let token = if token.is_empty() { token } else { token.strip_prefix(b" ")? };
    scheme.eq_ignore_ascii_case(b"Bearer").then(|| token.trim_ascii_start())
}

/// `below` is the decoded path below the integration's own.
pub fn facts(
    parts: &Parts,
    below: &str,
    parameters: &[(Arc<str>, usize)],
    query: Query,
    same: &Names,
    has_body: bool,
) -> RequestFacts {
    RequestFacts {
        method: parts.method.as_str().into(),
        path: below.into(),
        parameters: parameters
            .iter()
            .map(|(name, number)| (Arc::clone(name), segment(below, *number)))
            .collect(),
        query,
        content_type: content_type(parts),
        content_encoding: text(&parts.headers, CONTENT_ENCODING).map(Into::into),
        idempotency_key: match one(&parts.headers, IDEMPOTENCY_KEY) {
            One::None => None,
            One::Value(value) => Some(value.to_str().unwrap_or_default().into()),
            // Not a structured string, so it is refused as malformed where a key is read.
            One::Several => Some("".into()),
        },
        fields: match parts.headers.contains_key(IDEMPOTENCY_KEY) {
            true => repeated(&parts.headers, same),
            false => Vec::new(),
        },
        has_body,
    }
}

/// Media type with its parameters, as it came; of several, one list.
pub fn content_type(parts: &Parts) -> Option<Box<str>> {
    text(&parts.headers, CONTENT_TYPE).map(Into::into)
}

/// The fields that pass, by name; those of one name in their order.
fn repeated(headers: &HeaderMap, same: &Names) -> Vec<(Box<str>, Box<[u8]>)> {
    let passing = headers.iter().filter(|(name, _)| same.pass(name));
    let mut fields: Vec<(Box<str>, Box<[u8]>)> =
        passing.map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect();
    fields.sort_by(|(one, _), (other, _)| one.cmp(other));
    fields
}

fn segment(path: &str, number: usize) -> Box<str> {
    path.split('/').nth(number + 1).unwrap_or_default().into()
}

enum One<'h> {
    None,
    Value(&'h HeaderValue),
    Several,
}

fn one(headers: &HeaderMap, name: http::HeaderName) -> One<'_> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => One::None,
        (Some(value), None) => One::Value(value),
        (Some(_), Some(_)) => One::Several,
    }
}

/// The field's text; several values read as one list, so that none goes unseen.
pub fn text(headers: &HeaderMap, name: http::HeaderName) -> Option<Cow<'_, str>> {
    let mut values = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or("?"));
    let first = values.next()?;
    Some(values.fold(Cow::Borrowed(first), |list, value| Cow::Owned(format!("{list}, {value}"))))
}
