//! WebSocket: after both sides agreed to switch, bytes pass unread in both directions (RFC 6455 §4).

use crate::answer_body::AnswerBody;
use crate::lasting::Lasting;
use crate::problem;
use crate::refusal::ReplyError;
use crate::watch::Watched;
use bytes::Bytes;
use http::header::{CONNECTION, HeaderValue, UPGRADE, VIA};
use http::{HeaderMap, Response, StatusCode};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use ironbridge_core::{Code, Tail, code};
use ironbridge_net::Names;
use ironbridge_net::gate::Upgrade;
use ironbridge_net::listen::Permit;
use std::cell::{Cell, RefCell};
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};

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
    lasting: Lasting,
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
        copy(on, target, tail, idle, lasting).await;
        drop(counted);
    });
    let mut response = Response::new(AnswerBody::held(Bytes::new(), None));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

/// Ends when both sides have closed, when nothing passes any more, or when the caller would not be let in any more; an
/// error leaves the record to say that it broke off.
async fn copy(caller: OnUpgrade, target: OnUpgrade, mut tail: Box<Tail>, idle: Duration, lasting: Lasting) {
    let both = async { Some((caller.await.ok()?, target.await.ok()?)) };
    let Ok(Some((caller, target))) = tokio::time::timeout(idle, both).await else { return };
    let passed = Passed::default();
    let frames = RefCell::default();
    let mut caller = Counted { stream: TokioIo::new(caller), written: &passed.out, frames: Some(&frames) };
    let mut target = Counted { stream: TokioIo::new(target), written: &passed.sent, frames: None };
    let ended = tokio::select! {
        ended = tokio::io::copy_bidirectional(&mut caller, &mut target) => Ended::Closed(ended.is_ok()),
        code = lasting.refused(tail.exchange()) => Ended::LetOut(code),
        () = lasting.listener_is_over() => Ended::Leaving,
        () = passed.silence(idle) => Ended::Silent,
    };
    tail.count_in(passed.sent.get());
    tail.count_out(passed.out.get());
    match ended {
        Ended::Closed(true) => tail.finish(),
        Ended::Closed(false) => drop(tail),
        Ended::Silent => {
            lasting.tell(&ReplyError::Paused.denial(), tail.exchange());
            tail.cut(&code::STREAM_IDLE);
            close(caller.stream, &frames, GOING_AWAY).await;
        }
        Ended::Leaving => {
            tail.cut(&code::DRAIN_OVER);
            close(caller.stream, &frames, GOING_AWAY).await;
        }
        Ended::LetOut(code) => {
            lasting.tell(&ReplyError::LetOut(code).denial(), tail.exchange());
            tail.cut(code);
            close(caller.stream, &frames, POLICY_VIOLATION).await;
        }
    }
}

/// Within a frame of the target's nothing can be said any more; the connection ends all the same.
async fn close<S: AsyncWrite + Unpin>(mut caller: S, frames: &RefCell<Frames>, frame: [u8; 4]) {
    if frames.borrow().is_between() {
        let _ = tokio::time::timeout(FAREWELL, async {
            caller.write_all(&frame).await?;
            caller.shutdown().await
        })
        .await;
    }
}

/// How it did.
enum Ended {
    /// In order or with an error.
    Closed(bool),
    Silent,
    LetOut(&'static Code),
    /// The bridge goes away from here.
    Leaving,
}

/// A Close frame of a server with the code 1008 (RFC 6455 §5.5.1, §7.4.1).
const POLICY_VIOLATION: [u8; 4] = [0x88, 0x02, 0x03, 0xf0];
/// The same with 1001.
const GOING_AWAY: [u8; 4] = [0x88, 0x02, 0x03, 0xe9];
/// For a caller that does not read.
const FAREWELL: Duration = Duration::from_secs(1);

/// Where frames begin and end in what the target sends (RFC 6455 §5.2): a frame of the bridge's own may stand only
/// between two.
#[derive(Default)]
struct Frames {
    header: Vec<u8>,
    /// Bytes of the payload that are still to come.
    left: u64,
}

impl Frames {
    fn pass(&mut self, mut bytes: &[u8]) {
        while let Some((first, rest)) = bytes.split_first() {
            if self.left > 0 {
                let skipped = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= u64::try_from(skipped).unwrap_or(u64::MAX);
                bytes = bytes.get(skipped..).unwrap_or_default();
                continue;
            }
            self.header.push(*first);
            bytes = rest;
            if let Some(payload) = payload_length(&self.header) {
                self.left = payload;
                self.header.clear();
            }
        }
    }

    fn is_between(&self) -> bool {
        self.header.is_empty() && self.left == 0
    }
}

/// Once the header is whole.
fn payload_length(header: &[u8]) -> Option<u64> {
    let second = header.get(1)?;
    let mask = if second & 0x80 == 0 { 0 } else { 4 };
    let rest = header.get(2..)?;
    let (length, longer) = match second & 0x7f {
        126 => (u64::from(u16::from_be_bytes(*rest.first_chunk()?)), 2),
        127 => (u64::from_be_bytes(*rest.first_chunk()?), 8),
        short => (u64::from(short), 0),
    };
    (rest.len() == longer + mask).then_some(length)
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
    frames: Option<&'a RefCell<Frames>>,
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
        let (written, frames) = (self.written, self.frames);
        let taken = self.stream().poll_write(cx, bytes);
        if let Poll::Ready(Ok(length)) = taken {
            if let Some(frames) = frames {
                frames.borrow_mut().pass(bytes.get(..length).unwrap_or_default());
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// However the bytes come, a frame ends where its length says.
        #[test]
        fn frames_are_told_apart(lengths in prop::collection::vec(0_u64..70_000, 1..5), cut in 1_usize..5000) {
            let mut bytes = Vec::new();
            let mut ends = vec![0];
            for length in lengths {
                bytes.push(0x82);
                match length {
                    0..126 => bytes.push(u8::try_from(length).unwrap()),
                    126..65_536 => {
                        bytes.push(126);
                        bytes.extend(u16::try_from(length).unwrap().to_be_bytes());
                    }
                    _ => {
                        bytes.push(127);
                        bytes.extend(length.to_be_bytes());
                    }
                }
                bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0xff);
                ends.push(bytes.len());
            }
            let (mut frames, mut passed) = (Frames::default(), 0);
            for piece in bytes.chunks(cut) {
                frames.pass(piece);
                passed += piece.len();
                prop_assert_eq!(frames.is_between(), ends.contains(&passed));
            }
        }
    }
}
