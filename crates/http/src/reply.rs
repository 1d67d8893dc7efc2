//! An HTTP target's reply, its body not yet read.

use crate::fields;
use crate::foreign::Replying;
use crate::left_out::{LeftOut, Noted};
use crate::passes::Passes;
use crate::refusal::ReplyError;
use crate::request::text;
use crate::status;
use crate::watch::Watched;
use crate::way::Way;
use crate::whole::read_whole;
use bytes::Bytes;
use http::header::{
    AGE, CONTENT_DISPOSITION, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_LENGTH, CONTENT_TYPE, DATE,
    HeaderName, TRAILER, VIA,
};
use http::{Response, StatusCode};
use http_body::Body;
use ironbridge_core::memory::Charge;
use ironbridge_core::{Denial, Inflow, LocalFuture, Reply, ReplyFacts, Soon, code};
use std::any::Any;
use std::fmt;
use std::sync::Arc;
use tokio::time::{Instant, timeout_at};

/// What a source over HTTP may know besides the words of a reply: the response itself.
pub(crate) struct HttpReply {
    response: Response<Watched>,
    way: Arc<Way>,
    /// The request asked for the header section alone.
    is_head: bool,
    /// Until then it must have ended, where a control reads it.
    deadline: Instant,
}

impl HttpReply {
    pub fn new(response: Response<Watched>, way: Arc<Way>, is_head: bool, deadline: Instant) -> HttpReply {
        HttpReply { response, way, is_head, deadline }
    }

    /// The response, if the reply came over HTTP.
    pub fn take(reply: &mut dyn Reply) -> Option<Response<Watched>> {
        let reply: &mut dyn Any = reply;
        reply.downcast_mut::<HttpReply>().map(|reply| std::mem::take(&mut reply.response))
    }

    fn is_bodiless(&self) -> bool {
        self.is_head || is_bodiless(self.response.status())
    }

    /// What of it crosses must not hold the bridge's credential; what streams is looked through as it comes.
    fn look(&self, body: Option<&Bytes>) -> Result<(), Box<Denial>> {
        let Some(known) = self.way.target.credential.presented() else { return Ok(()) };
        let passes = &self.way.passes;
        let crosses = |name| passes.reply.pass(name) || passes.handshake.pass(name);
        let mut fields = self.response.headers().iter().filter(|(name, _)| crosses(name));
        if let Some((name, _)) = fields.find(|(name, value)| known.in_field(name, value)) {
            return found(&format_args!("the field {name}"));
        }
        if body.is_some_and(|body| known.in_body(body)) { found(&"the body") } else { Ok(()) }
    }

    /// Only of a reply that is whole, uncompressed and of one kind can a control say what it is.
    fn is_readable(&self) -> Result<(), Box<Denial>> {
        let refused = |why: &str| Err(Denial::new(&code::REPLY_REFUSED).internal(why).into());
        let headers = self.response.headers();
        if !fields::is_plain(headers) {
            return refused("the target's answer is compressed");
        }
        // Several fields, or a list in one: each reader would take another of them.
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let first = types.next();
        if types.next().is_some() || first.is_some_and(|kind| kind.as_bytes().contains(&b',')) {
            return refused("the target's answer has more than one Content-Type");
        }
        // It would be read until the time is over. What any other body is, its bytes tell.
        if self.media_type().is_some_and(|kind| is_event_stream(&kind)) {
            return refused("the target's answer is an event stream, which no control can read as a whole");
        }
        Ok(())
    }
}

impl Reply for HttpReply {
    fn facts(&self) -> ReplyFacts {
        let status = self.response.status();
        // A client error's body is replaced and a redirection's left out, so no control reads it and nothing of it
        // passes; a switched protocol has none, and its bytes are known only once they passed. Where HTTP has no body,
        // none can be wanting.
        let (has_body, length) = match status {
            StatusCode::SWITCHING_PROTOCOLS => (false, None),
            _ if status.is_client_error() || status.is_redirection() => (false, Some(0)),
            _ if self.is_bodiless() => (false, Some(0)),
            _ => (true, self.response.body().size_hint().exact()),
        };
        ReplyFacts { answered: status::answered(status), length, has_body }
    }

    fn media_type(&self) -> Option<Box<str>> {
        text(self.response.headers(), CONTENT_TYPE).map(Into::into)
    }

    fn fields(&self) -> Vec<(Box<str>, Box<[u8]>)> {
        kept_fields(&self.response, &self.way.passes)
    }

    fn read<'a>(
        &'a mut self,
        limit: u64,
        charge: &'a mut Charge,
    ) -> LocalFuture<'a, Result<Bytes, Box<Denial>>> {
        Box::pin(async move {
            self.is_readable()?;
            let body = self.response.body_mut();
            let read = read_whole(body, limit, charge, &code::REPLY_TOO_LARGE, |error| error.denial());
            timeout_at(self.deadline, read).await.unwrap_or_else(|_| Err((&code::TARGET_TIMEOUT).into()))
        })
    }

    fn last_look<'a>(&'a mut self, body: Option<&'a Bytes>) -> Soon<'a, Result<(), Box<Denial>>> {
        if self.response.status().is_client_error() {
            return Soon::Now(Ok(()));
        }
        if let Err(denial) = self.look(body) {
            return Soon::Now(Err(denial));
        }
        if body.is_some() || self.is_bodiless() {
            return Soon::Now(Ok(()));
        }
        let streamed = self.response.body_mut();
        if !streamed.watch(self.way.target.credential.injected()) {
            return Soon::Now(Ok(()));
        }
        Soon::Later(Box::pin(async move {
            match streamed.begin().await {
                Err(ReplyError::HoldsCredential) => found(&"the body"),
                Err(error) => Err(error.denial()),
                Ok(()) => Ok(()),
            }
        }))
    }

    fn discard(self: Box<Self>) {
        self.response.into_body().discard();
    }

    fn take_body(&mut self) -> Option<Box<dyn Inflow>> {
        let has_body = self.facts().has_body;
        has_body.then(|| Box::new(Replying(std::mem::take(self.response.body_mut()))) as Box<dyn Inflow>)
    }
}

fn found(place: &dyn fmt::Display) -> Result<(), Box<Denial>> {
    Err(Denial::new(&code::REPLY_HOLDS_CREDENTIAL).internal(format!("it stands in {place}")).into())
}

/// A reply that goes on for as long as somebody listens (HTML Standard, server-sent events).
fn is_event_stream(content_type: &str) -> bool {
    content_type.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("text/event-stream"))
}

/// The fields of an answer that may be given again, as the target said them. What frames it, and when and how it came, is
/// another time's.
fn kept_fields<B>(reply: &Response<B>, passes: &Passes) -> Vec<(Box<str>, Box<[u8]>)> {
    if reply.status().is_client_error() {
        return Vec::new();
    }
    // They are told of when the answer passes.
    let untold = LeftOut::default();
    let mut left_out = Noted::of_reply(&untold);
    let mut headers = fields::toward_caller(reply.headers().clone(), passes, None, &mut left_out);
    for name in OF_ANOTHER_TIME {
        headers.remove(name);
    }
    if reply.status().is_redirection() {
        OF_A_BODY.iter().for_each(|name| drop(headers.remove(name)));
    }
    headers.iter().map(|(name, value)| (name.as_str().into(), value.as_bytes().into())).collect()
}

/// Content-Type is kept beside the body, because controls read it too.
const OF_ANOTHER_TIME: [HeaderName; 6] = [VIA, CONTENT_LENGTH, CONTENT_TYPE, TRAILER, DATE, AGE];

/// Fields of no use without the body they describe.
pub(crate) const OF_A_BODY: [HeaderName; 5] =
    [CONTENT_TYPE, CONTENT_LANGUAGE, CONTENT_ENCODING, CONTENT_DISPOSITION, TRAILER];

/// Replies without a body, whatever a target says or sends (RFC 9110 §6.4.1, §15.3.6); one to HEAD has none either.
pub(crate) fn is_bodiless(status: StatusCode) -> bool {
    [StatusCode::NO_CONTENT, StatusCode::RESET_CONTENT, StatusCode::NOT_MODIFIED].contains(&status)
}
