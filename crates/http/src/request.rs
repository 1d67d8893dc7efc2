//! From an HTTP request to what controls judge of it.

use crate::fields::{API_KEY, IDEMPOTENCY_KEY};
use crate::idempotency_key;
use crate::whole::read_whole;
use bytes::Bytes;
use http::header::{
    ACCESS_CONTROL_REQUEST_METHOD, AUTHORIZATION, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, EXPECT,
    HeaderValue, ORIGIN,
};
use http::request::Parts;
use http::{HeaderMap, HeaderName, Method, Response, StatusCode, Version};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use ironbridge_core::memory::Charge;
use ironbridge_core::uri::Query;
use ironbridge_core::{Asked, Claim, Denial, KeyUnreadable, Presented, Sensitive, code};
use ironbridge_net::Names;
use ironbridge_net::frames::{Arriving, FrameState, Progress, Unread};
use ironbridge_net::gate::{LINGER, LINGER_BYTES};
use std::borrow::Cow;
use std::cell::Cell;
use std::future::poll_fn;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tokio::task::yield_now;
use tokio::time::timeout;

/// The request body, until somebody takes it.
pub struct Inbound {
    body: Option<Arriving>,
    /// Of the one that was taken.
    taken: Option<Rc<Cell<Progress>>>,
    version: Version,
    /// The caller may wait for a word before it sends it.
    is_expecting: bool,
}

impl Inbound {
    /// `frames` are those of its connection, over HTTP/2.
    pub fn new(body: Incoming, parts: &Parts, frames: Option<&Rc<FrameState>>) -> Inbound {
        let body = (!body.is_end_stream()).then(|| Arriving::new(body, frames));
        let is_expecting = body.is_some() && parts.headers.contains_key(EXPECT);
        Inbound { body, taken: None, version: parts.version, is_expecting }
    }

    pub fn is_some(&self) -> bool {
        self.body.is_some()
    }

    pub fn take(&mut self) -> Option<Arriving> {
        let mut body = self.body.take()?;
        self.taken = Some(body.progress());
        Some(body)
    }

    /// Whoever took it waits for the caller to send more.
    pub fn is_awaited(&self) -> bool {
        self.taken.as_ref().is_some_and(|progress| progress.get() == Progress::Awaited)
    }

    /// Reads it to its end, keeping at most `limit` bytes. After a refusal the rest of it is still here.
    pub async fn read_whole(&mut self, limit: u64, charge: &mut Charge) -> Result<Bytes, Box<Denial>> {
        let Some(body) = &mut self.body else { return Ok(Bytes::new()) };
        let bytes = read_whole(body, limit, charge, &code::BODY_TOO_LARGE, unread).await?;
        self.body = None;
        Ok(bytes)
    }

    /// The answer needs no more of the body.
    pub async fn leave<B>(&mut self, answer: &mut Response<B>) {
        let taken_in_part = self.taken.as_ref().is_some_and(|progress| progress.get() != Progress::Whole);
        if self.body.is_none() && !taken_in_part {
            return;
        }
        if self.version == Version::HTTP_2 {
            self.leave_unread();
        } else if answer.status() != StatusCode::SWITCHING_PROTOCOLS
            && (taken_in_part || !Box::pin(self.read_what_came()).await)
        {
            // What the caller sends next would be taken for the rest of the body, and nobody would answer it.
            answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }

    /// Over HTTP/2 its stream would be reset while the caller may still be sending (RFC 9113 §8.1), and some callers then
    /// lose the answer; so a rest is read and forgotten.
    fn leave_unread(&mut self) {
        let Some(mut body) = self.body.take() else { return };
        tokio::task::spawn_local(timeout(LINGER, async move {
            let mut left = LINGER_BYTES;
            while let Some(Ok(frame)) = body.frame().await {
                let Some(rest) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
                left = rest;
            }
        }));
    }

    /// Reads and forgets what is here of it already, and waits for nothing: whether that is all, so that an HTTP/1
    /// connection can go on (RFC 9112 §9.3).
    async fn read_what_came(&mut self) -> bool {
        // hyper reads one piece for each turn that it gets.
        const TURNS: usize = 32;
        // Reading would ask the caller to send it.
        let Some(mut body) = self.body.take().filter(|_| !self.is_expecting) else { return false };
        for _ in 0..TURNS {
            match poll_fn(|context| Poll::Ready(Pin::new(&mut body).poll_frame(context))).await {
                Poll::Ready(None) => return true,
                Poll::Ready(Some(Err(_))) => return false,
                Poll::Ready(Some(Ok(_))) => {}
                Poll::Pending => yield_now().await,
            }
            if body.is_end_stream() {
                return true;
            }
        }
        false
    }
}

/// Why a body did not come whole.
pub fn unread(error: Unread) -> Box<Denial> {
    match error {
        error @ (Unread::Broken(_) | Unread::Cut) => {
            Box::new(Denial::new(&code::BODY_INCOMPLETE).internal(error))
        }
        Unread::Trailer(name) => trailer_refused(&name),
    }
}

/// Over HTTP/1.1 the gate refuses it before.
pub fn trailer_refused(name: &HeaderName) -> Box<Denial> {
    let why = format!("{name} may not follow a body");
    Box::new(Denial::new(&code::HEADER_REFUSED).detail(why).by("a field that may not follow a body"))
}

/// A browser's question before a page may send what is not simple (Fetch, CORS-preflight fetch).
pub fn is_preflight(parts: &Parts) -> bool {
    parts.method == Method::OPTIONS
        && parts.headers.contains_key(ORIGIN)
        && parts.headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
}

/// The credentials in the header section. Nothing is believed yet.
pub fn presented(headers: &HeaderMap) -> Presented {
    match (one(headers, AUTHORIZATION), one(headers, API_KEY)) {
        (One::None, One::None) => Presented::Nothing,
        (One::None, One::Value(key)) => Presented::Claim(Claim::ApiKey(Sensitive::new(key.as_bytes()))),
        (One::Value(value), One::None) => match bearer(value) {
            Some(token) => Presented::Claim(Claim::Bearer(Sensitive::new(token))),
            None => Presented::Unspoken,
        },
        _ => {
            let bearer = headers.get_all(AUTHORIZATION).iter().any(|value| bearer(value).is_some());
            Presented::Ambiguous { bearer }
        }
    }
}

/// `Authorization: Bearer b64token` (RFC 6750 §2.1); the scheme's case does not matter (RFC 9110 §11.1).
fn bearer(value: &HeaderValue) -> Option<&[u8]> {
    let (scheme, token) = value.as_bytes().split_at_checked(6)?;
    // Without a token it is a malformed one, and no other scheme.
    let token = if token.is_empty() { token } else { token.strip_prefix(b" ")? };
    scheme.eq_ignore_ascii_case(b"Bearer").then(|| token.trim_ascii_start())
}

/// `below` is the decoded path below the integration's own.
pub fn asked(
    parts: &Parts,
    below: &str,
    parameters: &[(Arc<str>, usize)],
    query: Query,
    same: &Names,
    has_body: bool,
) -> Asked {
    Asked {
        verb: parts.method.as_str().into(),
        resource: below.into(),
        parameters: parameters
            .iter()
            .map(|(name, number)| (Arc::clone(name), segment(below, *number)))
            .collect(),
        query,
        media_type: content_type(parts),
        encoding: text(&parts.headers, CONTENT_ENCODING).map(Into::into),
        deduplication_key: match one(&parts.headers, IDEMPOTENCY_KEY) {
            One::None => None,
            One::Value(value) => {
                Some(value.to_str().map_err(|_| KeyUnreadable).and_then(idempotency_key::read))
            }
            One::Several => Some(Err(KeyUnreadable)),
        },
        repeats: match parts.headers.contains_key(IDEMPOTENCY_KEY) {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_credential_counts_or_none() {
        const TOKEN: (&str, &str) = ("authorization", "Bearer e30.e30.c2ln");
        const KEY: (&str, &str) = ("x-api-key", "ibk_1");
        const BASIC: (&str, &str) = ("authorization", "Basic YTpi");
        let word = |presented: &Presented| match presented {
            Presented::Nothing => "nothing",
            Presented::Claim(Claim::Bearer(_)) => "token",
            Presented::Claim(Claim::ApiKey(_)) => "key",
            Presented::Ambiguous { bearer: true } => "ambiguous, a token among them",
            Presented::Ambiguous { bearer: false } => "ambiguous",
            Presented::Unspoken => "unspoken",
        };
        for (fields, expected) in [
            (&[][..], "nothing"),
            (&[TOKEN], "token"),
            (&[("authorization", "bearer  x")], "token"),
            (&[("authorization", "Bearer")], "token"),
            (&[KEY], "key"),
            (&[("x-api-key", "")], "key"),
            (&[BASIC], "unspoken"),
            (&[("authorization", "")], "unspoken"),
            (&[("authorization", "Bearerx")], "unspoken"),
            (&[TOKEN, KEY], "ambiguous, a token among them"),
            (&[TOKEN, TOKEN], "ambiguous, a token among them"),
            (&[BASIC, TOKEN], "ambiguous, a token among them"),
            (&[KEY, KEY], "ambiguous"),
            (&[BASIC, BASIC], "ambiguous"),
            (&[BASIC, KEY], "ambiguous"),
        ] {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(*name, HeaderValue::from_static(value));
            }
            assert_eq!(word(&presented(&headers)), expected, "{fields:?}");
        }
    }
}
