//! WebSocket: after both sides agreed to switch, bytes pass unread in both directions (RFC 6455 §4).

use crate::answer::AnswerBody;
use crate::problem;
use crate::reply::ReplyBody;
use crate::watch::Watched;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE, VIA};
use http::{HeaderMap, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ironbridge_core::{Tail, code};
use ironbridge_net::Names;
use ironbridge_net::gate::Upgrade;
use ironbridge_net::listen::Permit;
use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// A caller's wish to switch: its connection-to-be, the gate's consent, and what keeps the connection counted.
pub(crate) struct Asked {
    pub on: OnUpgrade,
    pub upgrade: Upgrade,
    pub counted: Rc<Permit>,
}

/// Only what the handshake needs goes back to the caller.
const HANDSHAKE: [&str; 3] = ["sec-websocket-accept", "sec-websocket-protocol", "sec-websocket-extensions"];

/// `declared` names the other fields that cross, and `idle` is how long nothing may pass in either direction.
pub(crate) fn respond(
    mut reply: Response<Watched>,
    tail: Box<Tail>,
    Asked { on, upgrade, counted }: Asked,
    via: &HeaderValue,
    declared: &Names,
    idle: Duration,
) -> Response<AnswerBody> {
    let target = hyper::upgrade::on(&mut reply);
    let mut headers = HeaderMap::new();
    for name in HANDSHAKE {
        headers.extend(
            reply.headers().get(name).map(|value| (http::HeaderName::from_static(name), value.clone())),
        );
    }
    for (name, value) in reply.headers().iter().filter(|(name, _)| declared.pass(name)) {
        headers.append(name, value.clone());
    }
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(VIA, via.clone());
    problem::stamp(&mut headers, tail.exchange());
    upgrade.accept();
    tokio::task::spawn_local(async move {
        copy(on, target, tail, idle).await;
        drop(counted);
    });
    let mut response = Response::new(ReplyBody::held(Bytes::new(), None).into());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Ends with the first side that closes, or when nothing passes any more; an error leaves the record to say that it
/// broke off.
async fn copy(caller: OnUpgrade, target: OnUpgrade, mut tail: Box<Tail>, idle: Duration) {
    let both = async { Some((caller.await.ok()?, target.await.ok()?)) };
    let Ok(Some((caller, target))) = tokio::time::timeout(idle, both).await else { return };
    let passed = Passed::default();
    let mut caller = Counted { stream: TokioIo::new(caller), written: &passed.out };
    let mut target = Counted { stream: TokioIo::new(target), written: &passed.sent };
    let ended = tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut caller, &mut target) => Some(ended.is_ok()),
        () = passed.silence(idle) => None,
    };
    tail.count_in(passed.sent.get());
    tail.count_out(passed.out.get());
    match ended {
        Some(true) => tail.finish(),
        Some(false) => drop(tail),
        None => tail.cut(&code::STREAM_IDLE),
    }
}

/// Bytes that the other side took.
#[derive(Default)]
struct Passed {
    /// Toward the target.
    sent: Cell<u64>,
    /// Toward the caller.
    out: Cell<u64>,
}

impl Passed {
    /// Ends when nothing passed for so long. It looks a few times instead of setting a timer for every frame.
    async fn silence(&self, idle: Duration) {
        let mut before = None;
        let mut looks = 0;
        loop {
            let now = Some((self.sent.get(), self.out.get()));
            looks = if now == before { looks + 1 } else { 0 };
            if looks >= LOOKS {
                return;
            }
            before = now;
            tokio::time::sleep(idle / LOOKS).await;
        }
    }
}

/// Looks within the idle time, so that silence is noticed a quarter of it late at most.
const LOOKS: u32 = 4;

/// One side, counting what it takes.
struct Counted<'a, S> {
    stream: S,
    written: &'a Cell<u64>,
}

impl<S: Unpin> Counted<'_, S> {
    fn stream(self: Pin<&mut Self>) -> Pin<&mut S> {
        Pin::new(&mut self.get_mut().stream)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = self.written;
        let taken = self.stream().poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = taken {
            written.set(written.get().saturating_add(u64::try_from(length).unwrap_or(u64::MAX)));
        }
        taken
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }
}
