//! Where HTTP meets another transport: a request that is made in place of a caller who sent none, and bodies that come
//! from there or go there. Nothing here knows which transports there are.

use crate::status;
use crate::watch::Watched;
use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use ironbridge_core::uri::spelled;
use ironbridge_core::{Cleared, Denial, Exchange, Inflow, Reply, ReplyFacts, Said, code};
use ironbridge_net::upstream::{BoxError, OutBody};
use std::cell::RefCell;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

/// What is asked of an HTTP target for a caller of another transport: the words of the exchange, put in HTTP's. It came
/// over no HTTP version that a Via could name (RFC 9110 §7.6.3), so it has none.
pub(crate) struct Made {
    pub method: Method,
    pub path: String,
    pub headers: HeaderMap,
    /// The body flows past, so that it cannot be sent again.
    pub flows: bool,
    pub fault: Fault,
}

/// Why the caller's body broke off, for whoever finds that the request did.
pub(crate) type Fault = Rc<RefCell<Option<Box<Denial>>>>;

impl Made {
    /// # Errors
    /// When what was asked for cannot be said in HTTP.
    pub fn of(exchange: &Exchange) -> Result<Made, Box<Denial>> {
        let asked = &exchange.asked;
        let unsaid = |what: &str| Box::new(Denial::new(&code::OPERATION_UNKNOWN).internal(what));
        let method = Method::from_bytes(asked.verb.as_bytes());
        let mut headers = HeaderMap::new();
        if let Some(kind) = &asked.media_type {
            let kind = HeaderValue::from_str(kind).map_err(|_| unsaid("no media type of HTTP's"))?;
            headers.insert(CONTENT_TYPE, kind);
        }
        Ok(Made {
            method: method.map_err(|_| unsaid("no method of HTTP's"))?,
            path: spelled(&asked.resource)
                .map_err(|ambiguous| Denial::new(&code::PATH_AMBIGUOUS).by(ambiguous.why))?,
            headers,
            flows: exchange.request.bytes().is_none() && asked.has_body,
            fault: Fault::default(),
        })
    }
}

/// A caller's body toward an HTTP target.
pub(crate) struct Flowing {
    inflow: Box<dyn Inflow>,
    max: u64,
    count: Arc<AtomicU64>,
    fault: Fault,
}

impl Flowing {
    pub fn toward_target(inflow: Box<dyn Inflow>, cleared: &mut Cleared<'_>, fault: &Fault) -> OutBody {
        let (max, count, fault) = (cleared.max_request(), cleared.counter_in(), Rc::clone(fault));
        OutBody::Boxed(Box::pin(Flowing { inflow, max, count, fault }))
    }
}

impl Body for Flowing {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.get_mut();
        body.inflow.poll_next(context).map(|piece| {
            let counted = piece?.and_then(|data| {
                let length = u64::try_from(data.len()).unwrap_or(u64::MAX);
                let passed = body.count.fetch_add(length, Ordering::Relaxed).saturating_add(length);
                if passed > body.max { Err((&code::BODY_TOO_LARGE).into()) } else { Ok(data) }
            });
            Some(counted.map(Frame::data).map_err(|denial| {
                let error = BoxError::from(denial.code.id);
                body.fault.replace(Some(denial));
                error
            }))
        })
    }

    fn size_hint(&self) -> SizeHint {
        self.inflow.length().map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// An HTTP target's reply on its way to a caller of another transport. Trailers do not cross with it.
pub(crate) struct Replying(pub Watched);

impl Inflow for Replying {
    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, Box<Denial>>>> {
        loop {
            match Pin::new(&mut self.0).poll_frame(context) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.denial()))),
                Poll::Ready(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Poll::Ready(Some(Ok(data)));
                    }
                }
            }
        }
    }

    fn length(&self) -> Option<u64> {
        self.0.size_hint().exact()
    }
}

/// A reply over another transport, in HTTP's words. What else it says of itself, its own mark among it, says nothing in
/// HTTP.
pub(crate) fn response(reply: &mut dyn Reply) -> Response<Watched> {
    let kind = reply.media_type().and_then(|kind| HeaderValue::from_str(&kind).ok());
    let ReplyFacts { answered, has_body, .. } = reply.facts();
    let mut response = Response::new(reply.take_body().map(Watched::foreign).unwrap_or_default());
    *response.status_mut() = match answered.said {
        // RFC 9110 §15.3.5: there is nothing to say.
        Said::Done if !has_body => StatusCode::NO_CONTENT,
        _ => status::of_foreign(answered),
    };
    response.headers_mut().extend(kind.map(|kind| (CONTENT_TYPE, kind)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::memory::Charge;
    use ironbridge_core::{Answered, ExchangeId, Flow, IntegrationFacts, LocalFuture, Peer, Timestamp};
    use std::time::Duration;

    fn exchange(verb: &str, resource: &str, media_type: Option<&str>) -> Exchange {
        let flow = Arc::new(Flow::new(Arc::new(IntegrationFacts::default()), None, 1));
        let mut exchange =
            Exchange::new(ExchangeId::default(), Timestamp(0), Duration::ZERO, flow, Peer::default());
        exchange.asked.verb = verb.into();
        exchange.asked.resource = resource.into();
        exchange.asked.media_type = media_type.map(Into::into);
        exchange
    }

    #[test]
    fn what_is_asked_for_elsewhere_is_said_in_http_or_refused() {
        let made = Made::of(&exchange("PUT", "/a b/50%/ä", Some("text/csv"))).unwrap();
        assert_eq!((made.method, &*made.path), (Method::PUT, "/a%20b/50%25/%C3%A4"));
        assert_eq!(made.headers[CONTENT_TYPE], "text/csv");
        for (verb, resource, media_type, code) in [
            ("PUT", "/a/../b", None, &code::PATH_AMBIGUOUS),
            ("PUT", "/a%41", None, &code::PATH_AMBIGUOUS),
            ("PUT", "a", None, &code::PATH_AMBIGUOUS),
            ("do it", "/a", None, &code::OPERATION_UNKNOWN),
            ("PUT", "/a", Some("text\n/csv"), &code::OPERATION_UNKNOWN),
        ] {
            let refused = Made::of(&exchange(verb, resource, media_type)).err().unwrap();
            assert_eq!(refused.code, code, "{verb} {resource}");
        }
    }

    struct Said(ReplyFacts);
    impl Reply for Said {
        fn facts(&self) -> ReplyFacts {
            self.0
        }
        fn media_type(&self) -> Option<Box<str>> {
            Some("text/csv".into())
        }
        fn read<'a>(&'a mut self, _: u64, _: &'a mut Charge) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
            Box::pin(async { Ok(Bytes::new()) })
        }
        fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
            None
        }
    }

    /// The mark is another transport's number, and must not pass for a status.
    #[test]
    fn what_is_answered_elsewhere_has_a_status_by_what_it_says() {
        use ironbridge_core::Said::{Declined, Done, Untaken};
        for (said, has_body, status) in
            [(Done, true, 200), (Done, false, 204), (Declined, true, 400), (Untaken, false, 429)]
        {
            let answered = Answered { mark: Some(500), said };
            let response = response(&mut Said(ReplyFacts { answered, length: None, has_body }));
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/csv");
        }
    }
}
