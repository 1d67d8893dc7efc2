//! How a fake target answers.

use crate::seen::Seen;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::body::{Body, Frame};
use hyper::header::{HeaderMap, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::{Value, json};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

pub(crate) type ReplyBody = BoxBody<Bytes, io::Error>;

/// How a [`crate::FakeTarget`] answers.
#[derive(Debug, Clone)]
pub enum Reply {
    /// 200 with what arrived: `{"method", "path", "version", "headers": {name: [value]}, "body_length", "body"}`,
    /// the body as JSON where it is JSON, as text otherwise.
    Echo,
    /// A status and a JSON body.
    Json(u16, Value),
    /// A status, header fields and a body, sent as they are.
    Raw(u16, Vec<(&'static str, String)>, Bytes),
    /// 200 with a body in chunks and trailer fields after it.
    Trailers(Vec<Bytes>, Vec<(&'static str, &'static str)>),
    /// 200 with this many bytes of body and no length announced.
    Oversize(usize),
    /// Announces the first number of bytes, sends the second, and breaks the connection.
    BreakOff(usize, usize),
    /// Waits, then answers.
    After(Duration, Box<Reply>),
    /// Never answers.
    Hang,
    /// Closes the connection without an answer.
    Close,
    /// Whatever is chosen for each request.
    Chosen(Choice),
    /// 101 Switching Protocols, in answer to the key of RFC 6455 §1.3 (`dGhlIHNhbXBsZSBub25jZQ==`); from then on every
    /// byte comes back as it was sent.
    UpgradeEcho,
}

/// Chooses a [`Reply`] by what arrived.
#[derive(Clone)]
pub struct Choice(Arc<dyn Fn(&Seen) -> Reply + Send + Sync>);

impl fmt::Debug for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Choice")
    }
}

impl Reply {
    /// What `choose` makes of each request.
    pub fn chosen(choose: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Reply {
        Reply::Chosen(Choice(Arc::new(choose)))
    }

    /// The response, or `None` where the connection is to be closed instead.
    pub(crate) async fn answer(self, seen: &Seen) -> Option<Response<ReplyBody>> {
        match self {
            Reply::Echo => response(200, &[], whole(echo(seen).to_string())),
            Reply::Json(status, value) => {
                response(status, &[("content-type", "application/json".into())], whole(value.to_string()))
            }
            Reply::Raw(status, fields, body) => response(status, &fields, whole(body)),
            Reply::Trailers(chunks, trailers) => response(200, &[], with_trailers(chunks, &trailers)),
            Reply::Oversize(length) => response(200, &[], oversize(length)),
            Reply::BreakOff(announced, sent) => {
                response(200, &[("content-length", announced.to_string())], broken_off(sent))
            }
            Reply::After(wait, reply) => {
                tokio::time::sleep(wait).await;
                Box::pin(reply.answer(seen)).await
            }
            Reply::Chosen(Choice(choose)) => Box::pin(choose(seen).answer(seen)).await,
            Reply::Hang => std::future::pending().await,
            Reply::Close => None,
            Reply::UpgradeEcho => {
                let protocol = seen.header("upgrade").unwrap_or("echo").to_owned();
                let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=".to_owned();
                let fields = [
                    ("connection", "upgrade".into()),
                    ("upgrade", protocol),
                    ("sec-websocket-accept", accept),
                ];
                response(101, &fields, whole(Bytes::new()))
            }
        }
    }
}

pub(crate) fn echo(seen: &Seen) -> Value {
    let mut headers = serde_json::Map::new();
    for (name, value) in &seen.headers {
        if let Some(values) = headers.entry(name.clone()).or_insert_with(|| json!([])).as_array_mut() {
            values.push(json!(value));
        }
    }
    let body =
        serde_json::from_slice(&seen.body).unwrap_or_else(|_| json!(String::from_utf8_lossy(&seen.body)));
    json!({
        "method": seen.method, "path": seen.path, "version": seen.version, "headers": headers,
        "body_length": seen.body.len(), "body": body,
    })
}

fn response(status: u16, fields: &[(&'static str, String)], body: ReplyBody) -> Option<Response<ReplyBody>> {
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).ok()?;
    let typed = fields.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if !typed && status == 200 {
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    }
    for (name, value) in fields {
        response.headers_mut().append(HeaderName::from_bytes(name.as_bytes()).ok()?, value.parse().ok()?);
    }
    Some(response)
}

fn whole(body: impl Into<Bytes>) -> ReplyBody {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

fn with_trailers(chunks: Vec<Bytes>, trailers: &[(&'static str, &'static str)]) -> ReplyBody {
    let fields: HeaderMap = trailers
        .iter()
        .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
        .collect();
    frames(chunks.into_iter().map(|chunk| Ok(Frame::data(chunk))).chain([Ok(Frame::trailers(fields))]))
}

fn oversize(length: usize) -> ReplyBody {
    const CHUNK: usize = 16 << 10;
    let full = Bytes::from(vec![b' '; CHUNK]);
    let rest = Bytes::from(vec![b' '; length % CHUNK]);
    frames(std::iter::repeat_n(full, length / CHUNK).chain([rest]).map(|chunk| Ok(Frame::data(chunk))))
}

fn broken_off(sent: usize) -> ReplyBody {
    let data = Bytes::from(vec![b' '; sent]);
    frames([Ok(Frame::data(data)), Err(io::Error::other("broken off as asked"))])
}

fn frames<I>(frames: I) -> ReplyBody
where
    I: IntoIterator<Item = Result<Frame<Bytes>, io::Error>>,
    I::IntoIter: Send + Sync + Unpin + 'static,
{
    Frames { rest: frames.into_iter(), failing: None }.boxed()
}

struct Frames<I> {
    rest: I,
    failing: Option<io::Error>,
}

impl<I> Body for Frames<I>
where
    I: Iterator<Item = Result<Frame<Bytes>, io::Error>> + Unpin,
{
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = self.get_mut();
        if let Some(error) = this.failing.take() {
            return Poll::Ready(Some(Err(error)));
        }
        match this.rest.next() {
            // What came before the failure is flushed only when the body has to be waited for.
            Some(Err(error)) => {
                this.failing = Some(error);
                context.waker().wake_by_ref();
                Poll::Pending
            }
            frame => Poll::Ready(frame),
        }
    }
}
