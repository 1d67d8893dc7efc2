//! What the caller gets: the target's reply less what must not cross, a stored answer, or a refusal.

use crate::answer_body::AnswerBody;
use crate::lasting::Lasting;
use crate::left_out::{LeftOut, Noted};
use crate::location::Astray;
use crate::offer::Offer;
use crate::passes::announce;
use crate::problem::{self, Problems};
use crate::reply::{HttpReply, OF_A_BODY, is_bodiless};
use crate::route::Route;
use crate::watch::Watched;
use crate::worker::Worker;
use crate::{fields, foreign, link, status, switched};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, LINK, LOCATION, RETRY_AFTER, TRAILER};
use http::{Response, StatusCode, Version};
use http_body::Body;
use ironbridge_core::memory::Charge;
use ironbridge_core::{
    Answer, Cleared, Delivery, Denial, Exchange, Inflow, LocalFuture, Reply, Source, StoredAnswer, Tail, code,
};
use ironbridge_net::framing;
use ironbridge_net::retry_after_field;
use std::cell::OnceCell;
use std::rc::Rc;
use std::sync::Arc;
use tokio::time::Instant;

/// Marks an answer that was given before (draft-ietf-httpapi-idempotency-key-header).
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

pub(crate) fn respond(
    worker: &Rc<Worker>,
    offer: &Offer,
    route: &Arc<Route>,
    answer: Answer,
    upgrade: Option<switched::Asked>,
    spelling: Option<&str>,
) -> Response<AnswerBody> {
    let (mut reply, body, tail) = match answer {
        Answer::Denied { denial, tail } => return refusal(offer, &denial, &tail),
        Answer::Replayed { answer, tail } => {
            return replayed(&offer.problems, route, *answer, tail.exchange(), spelling);
        }
        Answer::Accepted { tail } => return taken_over(tail.exchange()),
        Answer::Delivered { reply, body, tail } => (reply, body, tail),
    };
    let response = HttpReply::take(&mut *reply).unwrap_or_else(|| foreign::response(&mut *reply));
    match response.status() {
        status if status.is_client_error() => {
            if MAY_BE_THE_OPERATORS.contains(&status) {
                offer.told.log(&Denial::new(&code::TARGET_DECLINED).internal(status), tail.exchange());
            }
            declined(&offer.problems, response, tail)
        }
        StatusCode::SWITCHING_PROTOCOLS => match upgrade {
            Some(asked) => {
                let lasting = Lasting::new(worker, route, Instant::now());
                let (via, passes) = (&offer.via_http1, &route.passes.switched);
                switched::respond(response, tail, asked, via, passes, route.idle_timeout, lasting)
            }
            None => refusal(offer, &Denial::new(&code::TARGET_BROKE_OFF), &tail),
        },
        _ => {
            // Via names the protocol in which the reply came (RFC 9110 §7.6.3), not the caller's.
            let via = if response.version() == Version::HTTP_2 { &offer.via_http2 } else { &offer.via_http1 };
            passed(worker, route, route.way().map(|_| via), response, body, tail, spelling)
        }
    }
}

/// RFC 9110 §15.3.3: it will be delivered, and nobody knows yet what comes of it.
fn taken_over(exchange: &Exchange) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody::held(Bytes::new(), None));
    *response.status_mut() = StatusCode::ACCEPTED;
    problem::stamp(response.headers_mut(), exchange);
    response
}

fn passed(
    worker: &Rc<Worker>,
    route: &Arc<Route>,
    via: Option<&HeaderValue>,
    reply: Response<Watched>,
    body: Option<Bytes>,
    tail: Box<Tail>,
    spelling: Option<&str>,
) -> Response<AnswerBody> {
    let (mut head, streamed) = reply.into_parts();
    let mut left_out = Noted::of_reply(&route.passes.left_out);
    let (headers, strayed) =
        toward_caller(head.headers, route, via, tail.exchange(), spelling, &mut left_out);
    head.headers = headers;
    left_out.tell(tail.exchange());
    strayed.tell(&route.passes.left_out, tail.exchange());
    problem::stamp(&mut head.headers, tail.exchange());
    let body = if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
        // A redirection's own words name where it leads at the target; Location says it to the caller.
        for name in OF_A_BODY {
            head.headers.remove(name);
        }
        framing::frame(&mut head.headers, Some(0), true);
        streamed.discard();
        AnswerBody::held(Bytes::new(), Some(tail))
    } else if head.status == StatusCode::RESET_CONTENT {
        framing::frame(&mut head.headers, Some(0), true);
        streamed.discard();
        AnswerBody::held(Bytes::new(), Some(tail))
    } else if *tail.exchange().asked.verb == *"HEAD" || is_bodiless(head.status) {
        framing::frame_bodiless(&mut head.headers);
        AnswerBody::held(Bytes::new(), Some(tail))
    } else {
        let body = match body {
            Some(bytes) => {
                // Trailers cross only with a body that streams.
                head.headers.remove(TRAILER);
                AnswerBody::held(bytes, Some(tail))
            }
            None => {
                let (pause, max) = (route.idle_timeout, route.pipeline.max_reply());
                let lasting = Lasting::new(worker, route, Instant::now());
                AnswerBody::streamed(streamed, tail, pause, max, lasting)
            }
        };
        let length = body.size_hint().exact();
        if length.is_none() {
            announce(&mut head.headers, &route.passes.reply_trailers);
        }
        framing::frame(&mut head.headers, length, true);
        body
    };
    let mut response = Response::new(body);
    *response.status_mut() = head.status;
    *response.headers_mut() = head.headers;
    response
}

/// What of a target's references leads nowhere that is declared.
#[derive(Default)]
struct Strayed {
    location: Option<Astray>,
    links: usize,
    /// Of the first such link, where the link itself could be read.
    link: Option<Astray>,
}

impl Strayed {
    fn tell(&self, left_out: &LeftOut, exchange: &Exchange) {
        let id = &exchange.id;
        let integration = &*exchange.flow.integration.name;
        let operation = exchange.flow.operation.as_ref().map_or("", |operation| &operation.name);
        if let Some(why) = &self.location {
            tracing::warn!(%id, integration, operation, %why, "the target's Location was left out; one that leads to a declared operation, with a query that it declares, crosses");
        }
        if self.links == 0 {
            return;
        }
        let why = self.link.as_ref().map(tracing::field::display);
        if left_out.are_links_new() {
            tracing::info!(%id, integration, operation, why, left_out = self.links, "links of the target's were left out; those that lead to a declared operation, with a query that it declares, cross");
        } else {
            tracing::debug!(%id, integration, operation, why, left_out = self.links, "links of the target's were left out");
        }
    }
}

/// The header section as the caller gets it: the fields that cross, and references in the bridge's terms. Any other
/// would tell an internal address, or lead nowhere.
fn toward_caller(
    headers: HeaderMap,
    route: &Route,
    via: Option<&HeaderValue>,
    exchange: &Exchange,
    spelling: Option<&str>,
    left_out: &mut Noted<'_>,
) -> (HeaderMap, Strayed) {
    let mut headers = fields::toward_caller(headers, &route.passes, via, left_out);
    let mut strayed = Strayed::default();
    let Some(way) = route.way() else { return (headers, strayed) };
    let asked = || way.delivered(spelling.unwrap_or(&exchange.asked.resource));
    let mut locations = headers.get_all(LOCATION).iter().cloned().collect::<Vec<_>>().into_iter();
    headers.remove(LOCATION);
    match (locations.next(), locations.next()) {
        (None, _) => {}
        // Each reader would follow another one.
        (Some(_), Some(_)) => strayed.location = Some(Astray::Repeated),
        (Some(location), None) => {
            let located =
                way.way_back.locate(location.to_str().unwrap_or("\0"), &asked(), &exchange.asked.verb);
            match located.map(HeaderValue::try_from) {
                Ok(Ok(located)) => drop(headers.insert(LOCATION, located)),
                Ok(Err(_)) => strayed.location = Some(Astray::Unreadable),
                Err(why) => strayed.location = Some(why),
            }
        }
    }
    if headers.contains_key(LINK) {
        let asked = asked();
        let first = OnceCell::new();
        let locate = |to: &str| match way.way_back.locate(to, &asked, "GET") {
            Ok(located) => Some(located),
            Err(why) => {
                let _ = first.set(why);
                None
            }
        };
        let (located, without) = link::located(link::take(&mut headers).iter(), locate);
        strayed.link = first.into_inner();
        headers.extend(located.map(|links| (LINK, links)));
        strayed.links = without;
    }
    (headers, strayed)
}

/// Client errors that may speak of what the bridge shows the target, or of how it is declared. The others are answers.
const MAY_BE_THE_OPERATORS: [StatusCode; 3] =
    [StatusCode::BAD_REQUEST, StatusCode::FORBIDDEN, StatusCode::METHOD_NOT_ALLOWED];

fn declined(problems: &Problems, reply: Response<Watched>, tail: Box<Tail>) -> Response<AnswerBody> {
    let mut response = problems.declined(reply.status(), tail.exchange());
    if let Some(wait) = retry_after_field(reply.headers()) {
        response.headers_mut().insert(RETRY_AFTER, wait);
    }
    reply.into_body().discard();
    response.map(|bytes| AnswerBody::held(bytes, Some(tail)))
}

fn replayed(
    problems: &Problems,
    route: &Route,
    answer: StoredAnswer,
    exchange: &Exchange,
    spelling: Option<&str>,
) -> Response<AnswerBody> {
    let status = match route.way() {
        Some(_) => status::given(answer.answered),
        None => status::of_foreign(answer.answered),
    };
    // In place of a client error's words the caller got ours, which are not stored.
    let mut response = if status.is_client_error() {
        problems.declined(status, exchange).map(|bytes| AnswerBody::held(bytes, None))
    } else {
        given_again(status, route, answer, exchange, spelling)
    };
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    response
}

/// What was stored, as far as it would cross now: since then, fewer fields may have been declared, and what it refers to
/// may be gone.
fn given_again(
    status: StatusCode,
    route: &Route,
    answer: StoredAnswer,
    exchange: &Exchange,
    spelling: Option<&str>,
) -> Response<AnswerBody> {
    let mut stored = HeaderMap::with_capacity(answer.fields.len() + 8);
    for (name, value) in answer.fields {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(&*name), HeaderValue::from_bytes(&value)) {
            stored.append(name, value);
        }
    }
    stored.extend(
        answer.content_type.and_then(|text| Some((CONTENT_TYPE, HeaderValue::from_str(&text).ok()?))),
    );
    let mut left_out = Noted::of_reply(&route.passes.left_out);
    let (mut headers, strayed) = toward_caller(stored, route, None, exchange, spelling, &mut left_out);
    left_out.tell(exchange);
    strayed.tell(&route.passes.left_out, exchange);
    problem::stamp(&mut headers, exchange);
    let mut response = Response::new(AnswerBody::held(answer.body, None));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

fn refusal(offer: &Offer, denial: &Denial, tail: &Tail) -> Response<AnswerBody> {
    offer.told.log(denial, tail.exchange());
    offer.problems.refusal(denial, tail.exchange()).map(|bytes| AnswerBody::held(bytes, None))
}

/// The answer to something that matched nothing declared.
pub(crate) fn respond_nowhere(offer: &Offer, answer: Answer) -> Response<AnswerBody> {
    match answer {
        Answer::Denied { denial, tail } => refusal(offer, &denial, &tail),
        Answer::Accepted { tail } | Answer::Replayed { tail, .. } | Answer::Delivered { tail, .. } => {
            refusal(offer, &Denial::new(&code::INTERNAL), &tail)
        }
    }
}

/// Where what matches nothing declared leads.
pub(crate) struct Nowhere;

impl Delivery for Nowhere {
    fn deliver<'a>(
        &'a self,
        _: Cleared<'a>,
        _: &'a mut dyn Source,
    ) -> LocalFuture<'a, Result<Box<dyn Reply>, Box<Denial>>> {
        Box::pin(std::future::ready(Err((&code::OPERATION_UNKNOWN).into())))
    }
}

impl Source for Nowhere {
    fn read_request<'a>(
        &'a mut self,
        _: u64,
        _: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(std::future::ready(Err((&code::OPERATION_UNKNOWN).into())))
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        None
    }
}
