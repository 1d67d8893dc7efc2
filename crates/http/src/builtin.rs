//! What a listener answers itself: the token endpoint with its keys and metadata, the pages of denial codes, and
//! whether the bridge is up.

use crate::answer_body::AnswerBody;
use crate::desk::Desk;
use crate::mounted::Mounted;
use crate::offer::{Offer, TokenService};
use crate::problem::PAGES;
use crate::request::Inbound;
use crate::status;
use bytes::Bytes;
use http::header::{
    AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue,
};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use ironbridge_core::action::{Action, name};
use ironbridge_core::{
    Account, Code, Denial, Ending, Exchange, Fault, Outcome, Record, Stop, code, code_named,
};
use ironbridge_identity::token_endpoint::{
    EndpointReply, JWKS_PATH, METADATA_PATH, TOKEN_PATH, TokenEndpoint, TokenOutcome, TokenRequest,
};
use std::net::IpAddr;
use std::sync::Arc;
use tokio::time::timeout;

pub const HEALTH: &str = "/.ironbridge/health";

/// A token request is a few hundred bytes; an assertion is not accepted here.
const MAX_FORM: u64 = 16 * 1024;

pub(crate) enum Endpoint {
    Token(TokenService),
    Jwks(TokenService),
    Metadata(TokenService),
    Page(&'static Code),
    Health,
    /// A service with the path that it is asked for.
    Mounted(Arc<dyn Mounted>, Box<str>),
}

/// `path` is decoded.
pub(crate) fn find(offer: &Offer, path: &str) -> Option<Endpoint> {
    let issuing = || offer.token_service.clone();
    if let Some((mount, rest)) = offer.mounts.iter().find_map(|mount| Some((mount, mount.rest(path)?))) {
        return Some(Endpoint::Mounted(Arc::clone(&mount.service), rest.into()));
    }
    match path {
        TOKEN_PATH => issuing().map(Endpoint::Token),
        JWKS_PATH => issuing().map(Endpoint::Jwks),
        METADATA_PATH => issuing().map(Endpoint::Metadata),
        HEALTH => Some(Endpoint::Health),
        _ => {
            let id = path.strip_prefix(PAGES)?;
            code_named(id).map(Endpoint::Page)
        }
    }
}

impl Endpoint {
    pub(crate) fn takes(&self, method: &Method) -> bool {
        // Mounted services say themselves what they take.
        matches!(self, Endpoint::Mounted(..)) || self.methods().contains(method)
    }

    /// RFC 9110 §9.3.2: whoever answers GET answers HEAD.
    pub(crate) fn methods(&self) -> &'static [Method] {
        match self {
            Endpoint::Token(_) => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        }
    }
}

impl Desk<'_> {
    pub(crate) async fn builtin(
        &self,
        endpoint: Endpoint,
        address: Option<IpAddr>,
        parts: &Parts,
        inbound: &mut Inbound,
    ) -> Response<AnswerBody> {
        // The same limits as for everything that has not said who it is.
        let mut exchange = self.exchange(&self.offer.undeclared.flow, address);
        // No token is issued while nothing could be recorded.
        if matches!(endpoint, Endpoint::Token(_))
            && let Err(denial) = self.worker.front.shared.trail.ready()
        {
            return self
                .offer
                .problems
                .refusal(&denial, &exchange)
                .map(|bytes| AnswerBody::held(bytes, None));
        }
        let refused = match self.offer.undeclared.pipeline.open(&mut exchange).await {
            Err(Stop::Deny(denial)) => Some(denial),
            Err(Stop::Replay(_)) => Some((&code::INTERNAL).into()),
            Ok(()) => None,
        };
        let answered = match refused {
            Some(denial) => Err(denial),
            None => self.ask(endpoint, &exchange, parts, inbound).await,
        };
        answered.unwrap_or_else(|denial| {
            self.note(&exchange, &denial);
            self.offer.problems.refusal(&denial, &exchange).map(|bytes| AnswerBody::held(bytes, None))
        })
    }

    async fn ask(
        &self,
        endpoint: Endpoint,
        exchange: &Exchange,
        parts: &Parts,
        inbound: &mut Inbound,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        const JSON: &str = "application/json";
        match endpoint {
            Endpoint::Token(service) => self.token(&service, exchange, parts, inbound).await,
            Endpoint::Jwks(service) => Ok(whole(StatusCode::OK, JSON, service.endpoint.jwks().to_vec())),
            Endpoint::Metadata(service) => Ok(whole(StatusCode::OK, JSON, service.endpoint.metadata())),
            Endpoint::Page(code) => Ok(whole(StatusCode::OK, "text/plain; charset=utf-8", page(code))),
            Endpoint::Mounted(service, rest) => {
                let refused = self.mounted(&*service, &rest, parts, inbound, exchange).await;
                refused.or_else(|denial| self.with_allow(denial, exchange, &*service))
            }
            Endpoint::Health => Ok(match self.worker.front.shared.trail.ready() {
                Ok(()) => whole(StatusCode::OK, "text/plain", "ready\n"),
                Err(denial) => {
                    whole(StatusCode::SERVICE_UNAVAILABLE, "text/plain", format!("{}\n", denial.code.id))
                }
            }),
        }
    }

    /// What is refused here has a record as any other refusal.
    fn note(&self, exchange: &Exchange, denial: &Denial) {
        let shared = &self.worker.front.shared;
        let duration = shared.clock.monotonic().saturating_sub(exchange.started);
        let record = Record { exchange, ending: Ending::refused(denial, false), duration, amends: false };
        // The trail says by itself when it cannot take one.
        let _ = shared.trail.append(record);
    }

    /// Nobody gets a token whose record is not on disk.
    async fn record(
        &self,
        exchange: &Exchange,
        reply: &EndpointReply,
        account: Option<&Account>,
    ) -> Result<(), Box<Denial>> {
        let trail = &self.worker.front.shared.trail;
        let asked_by = account.map(|account| &*account.name).unwrap_or_default();
        let mut action = Action::done(exchange.id, exchange.received, name::TOKEN_ISSUE, asked_by);
        action.address = exchange.origin.address();
        action.generation = exchange.flow.generation;
        match &reply.outcome {
            TokenOutcome::Issued { token_id } => {
                action.account = asked_by.to_owned();
                action.owner = account.and_then(|account| account.owner.clone());
                action = action.fact("token_id", token_id);
                trail.durable(trail.act(&action)?).await
            }
            TokenOutcome::Refused { error } => trail.act(&action.not_done(Outcome::Denied, error)).map(drop),
        }
    }

    async fn mounted(
        &self,
        service: &dyn Mounted,
        path: &str,
        parts: &Parts,
        inbound: &mut Inbound,
        exchange: &Exchange,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        let asked = match parts.method.as_str() {
            // RFC 9110 §9.3.2: whoever answers GET answers HEAD, and hyper leaves the body out.
            "HEAD" => "GET",
            other => other,
        };
        if asked != service.method() {
            return Err((&code::METHOD_REFUSED).into());
        }
        let body = self.body(inbound, service.max_body(), exchange).await?;
        let reply = service.answer(path, body).await;
        let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = whole(status, reply.content_type, reply.body);
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(reply.cache));
        Ok(response)
    }

    /// RFC 9110 §15.5.6: whoever answers 405 says which methods would do.
    fn with_allow(
        &self,
        denial: Box<Denial>,
        exchange: &Exchange,
        service: &dyn Mounted,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        if *denial.code != code::METHOD_REFUSED {
            return Err(denial);
        }
        let methods: &[Method] = match service.method() {
            "POST" => &[Method::POST],
            _ => &[Method::GET, Method::HEAD],
        };
        self.note(exchange, &denial);
        let mut response = self.offer.problems.refusal(&denial, exchange);
        crate::problem::allow(response.headers_mut(), methods);
        Ok(response.map(|bytes| AnswerBody::held(bytes, None)))
    }

    /// The whole request body.
    async fn body(
        &self,
        inbound: &mut Inbound,
        limit: u64,
        exchange: &Exchange,
    ) -> Result<Bytes, Box<Denial>> {
        let mut charge = self.offer.undeclared.pipeline.charge(exchange);
        let read = timeout(self.offer.body_timeout, inbound.read_whole(limit, &mut charge)).await;
        let body = read.map_err(|_| Denial::new(&code::REQUEST_TIMEOUT))??;
        Ok(charge.keep(body))
    }

    async fn token(
        &self,
        service: &TokenService,
        exchange: &Exchange,
        parts: &Parts,
        inbound: &mut Inbound,
    ) -> Result<Response<AnswerBody>, Box<Denial>> {
        let reply = match only_a_form(&parts.headers) {
            Err(description) => TokenEndpoint::malformed(description),
            Ok(announced) => match self.body(inbound, MAX_FORM, exchange).await {
                Ok(form) if announced.only_ascii && !is_ascii(&form) => TokenEndpoint::malformed(NOT_UTF8),
                Ok(form) => {
                    let (authorization, address) = (announced.authorization, exchange.origin.address());
                    let request = TokenRequest { form: &form, authorization, address };
                    let now = self.worker.front.shared.clock.now();
                    service.endpoint.handle(request, &service.directory, now)
                }
                Err(denial) if denial.code.fault == Fault::Caller => {
                    self.note(exchange, &denial);
                    let mut response = said(unread(denial.code));
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                    return Ok(response);
                }
                Err(denial) => return Err(denial),
            },
        };
        let account = account(&reply, service);
        if let (Some(refused), TokenOutcome::Refused { error }) = (&reply.refused, &reply.outcome) {
            let client = account.map(|account| &*account.name);
            self.offer.told.token_refused(exchange, client, error.id, refused);
        }
        self.record(exchange, &reply, account).await?;
        Ok(said(reply))
    }
}

/// Of the client that was named, if there is one. What a stranger calls itself stays out of trail and log: a person, or a
/// secret in the wrong place, could never be taken back.
fn account<'s>(reply: &EndpointReply, service: &'s TokenService) -> Option<&'s Account> {
    let named = reply.client_id.as_deref()?;
    service.directory.account(named).map(|registration| &*registration.account)
}

fn said(reply: EndpointReply) -> Response<AnswerBody> {
    let status = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut response = whole(status, "application/json", reply.body.into_bytes());
    for (name, value) in reply.headers {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(HeaderName::from_static(name), value);
        }
    }
    response
}

/// A token request whose body did not arrive as it must, in the words that OAuth clients expect.
fn unread(code: &Code) -> EndpointReply {
    let description = if *code == code::BODY_TOO_LARGE {
        "a token request has at most 16 KiB"
    } else if *code == code::REQUEST_TIMEOUT {
        "the request's body did not arrive in time"
    } else {
        "the request's body is not whole"
    };
    TokenEndpoint::unread(status::of(code).as_u16(), description)
}

/// What a token request's header section says of it.
struct Announced<'h> {
    authorization: Option<&'h [u8]>,
    /// It names another charset than UTF-8, of which the bridge reads what both share.
    only_ascii: bool,
}

/// A token request, if its body is what it must be and can be read in one way. What is wrong is told in the words of
/// RFC 6749 §5.2, as OAuth clients expect it.
fn only_a_form(headers: &HeaderMap) -> Result<Announced<'_>, &'static str> {
    let one = |name: HeaderName, several: &'static str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next().map(HeaderValue::as_bytes);
        if values.next().is_some() { Err(several) } else { Ok(first) }
    };
    let content_type = one(CONTENT_TYPE, "more than one Content-Type")?;
    let mut parts = std::str::from_utf8(content_type.unwrap_or_default()).unwrap_or_default().split(';');
    if !parts.next().unwrap_or_default().trim().eq_ignore_ascii_case(FORM) {
        return Err("a token request is application/x-www-form-urlencoded");
    }
    let mut only_ascii = false;
    for parameter in parts.map(str::trim).filter(|parameter| !parameter.is_empty()) {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        if name.eq_ignore_ascii_case("charset") {
            let value = value.trim_matches('"');
            if !value.eq_ignore_ascii_case("utf-8") {
                only_ascii = true;
                if !LIKE_ASCII.iter().any(|known| value.eq_ignore_ascii_case(known)) {
                    return Err(NOT_UTF8);
                }
            }
        }
    }
    match one(CONTENT_ENCODING, "more than one Content-Encoding")? {
        Some(coding) if !coding.eq_ignore_ascii_case(b"identity") => Err("a token request is not compressed"),
        _ => {
            let authorization = one(AUTHORIZATION, "more than one Authorization")?;
            Ok(Announced { authorization, only_ascii })
        }
    }
}

const NOT_UTF8: &str = "a token request is in UTF-8";
/// What some HTTP clients announce of every form. Their first 128 characters are those of UTF-8.
const LIKE_ASCII: [&str; 2] = ["us-ascii", "iso-8859-1"];

/// Whether the form, and what its escapes stand for, is the same in every charset that begins with ASCII.
fn is_ascii(form: &[u8]) -> bool {
    let escape = |pair: &[u8]| matches!(pair, [b'%', b'8' | b'9' | b'a'..=b'f' | b'A'..=b'F']);
    form.is_ascii() && !form.windows(2).any(escape)
}

const FORM: &str = "application/x-www-form-urlencoded";

fn page(code: &Code) -> String {
    format!(
        "{}: {}\n\nHTTP status {}, kind {}. At fault: {}. Trying again {}.\n\n{}\n\nWhat to do: {}\n",
        code.id,
        code.title,
        status::of(code).as_u16(),
        code.kind.name(),
        code.fault.name(),
        if code.retry { "may help" } else { "does not help" },
        code.meaning,
        code.mend,
    )
}

fn whole(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::held(text.into(), None));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
