//! The HTTP/1 framing gate: reads what a caller sends before hyper does, and lets through only requests whose
//! framing can be read in one way. Heads pass unmodified; bodies pass without being copied.
//!
//! What is refused at a head becomes, for hyper, a stand-in request that closes the connection; [`GateState`]
//! tells the transport, in order, that it is a refusal and why. Nothing after it is read.

mod chunked;
mod class;
mod head;
mod judge;
mod reply;
mod state;
#[cfg(test)]
mod tests;

pub(crate) use head::content_length;
pub use head::{is_host, is_same_host};
pub use reply::{Expected, Malformed, ReplyGate};
pub(crate) use reply::{FIELDS as REPLY_FIELDS, HEAD as REPLY_HEAD, TOO_MANY_FIELDS};
pub use state::{Arrival, GateState, InService, Upgrade};

use crate::linger::Linger;
use ironbridge_core::code;
use judge::{Judge, Judged, Then};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep};

/// Bounds on one request head and on waiting for it.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of the whole head, request line included; also of all trailers.
    pub head: usize,
    /// Header fields of a request; also those of all trailers.
    pub fields: usize,
    /// Bytes of the request target.
    pub target: usize,
    /// From a head's first bytes to its last, and from the connection's start to the first bytes.
    pub head_timeout: Duration,
    /// Between the end of an answer and the next request.
    pub idle_timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            head: 16 * 1024,
            fields: 100,
            target: 8_000,
            head_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
        }
    }
}

/// What hyper reads in place of a refused request.
const STAND_IN: &[u8] = b"GET /.refused HTTP/1.1\r\nHost: refused\r\nConnection: close\r\n\r\n";

/// How much of an unwanted rest is read after the last answer, and for how long, in all and without a byte: closing
/// with unread bytes makes TCP reset the connection, and a caller that writes all before it reads would lose the answer
/// (RFC 9112 §9.6). Enough for uploads that people send at once; the times are near those of nginx's lingering close, and are
/// what ends it as a rule.
pub const LINGER_BYTES: usize = 256 * 1024 * 1024;
/// As long in all; see [`LINGER_BYTES`].
pub const LINGER: Duration = Duration::from_secs(15);
const LINGER_SILENCE: Duration = Duration::from_secs(2);

/// One read of a head that comes in pieces.
const PIECE: usize = 4096;

/// Sits between a byte stream and hyper:
/// `http1_server().serve_connection(TokioIo::new(gate), service).with_upgrades()`.
pub struct Gate<Io> {
    io: Io,
    judge: Judge,
    limits: Limits,
    mode: Mode,
    /// Bytes that came before their head was complete. The first `passed` are judged, the first `delivered` of
    /// those are with hyper.
    held: Vec<u8>,
    passed: usize,
    delivered: usize,
    wait: Wait,
    timer: Option<Pin<Box<Sleep>>>,
    /// The caller sends no more, and may still wait for an answer.
    half_closed: bool,
    state: Arc<GateState>,
}

enum Mode {
    Judging,
    /// The rest of the stand-in.
    Refused(&'static [u8]),
    /// The body in hand is malformed.
    Cut,
    /// After a request that asks for an upgrade, until the transport decides.
    Undecided,
    /// After an upgrade.
    Open,
    Lingering(Box<Linger>),
}

/// What the connection waits for, when no bytes come.
#[derive(Clone, Copy, PartialEq)]
enum Wait {
    Nothing,
    /// The next request, since then, or since the one before was answered.
    Request(Instant),
    /// The rest of a head, since then.
    Rest(Instant),
}

impl<Io> Gate<Io> {
    /// With what gate and transport will know together.
    pub fn new(io: Io, limits: Limits) -> (Gate<Io>, Arc<GateState>) {
        let state = Arc::new(GateState::new());
        let gate = Gate {
            io,
            judge: Judge::new(limits),
            limits,
            mode: Mode::Judging,
            held: Vec::new(),
            passed: 0,
            delivered: 0,
            wait: Wait::Nothing,
            timer: None,
            half_closed: false,
            state: state.clone(),
        };
        (gate, state)
    }

    /// The stream below, for what is known of it (its TLS session, its address).
    pub fn inner(&self) -> &Io {
        &self.io
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Gate<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        loop {
            if gate.deliver(buf) {
                return Poll::Ready(Ok(()));
            }
            match &mut gate.mode {
                Mode::Judging => match ready!(gate.poll_judged(cx, buf))? {
                    Step::Return => return Poll::Ready(Ok(())),
                    Step::Again => {}
                },
                Mode::Refused([]) | Mode::Lingering(_) => return Poll::Pending,
                Mode::Refused(rest) => {
                    let (now, later) = rest.split_at(rest.len().min(buf.remaining()));
                    buf.put_slice(now);
                    *rest = later;
                    return Poll::Ready(Ok(()));
                }
                Mode::Cut => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
                Mode::Undecided => {
                    let accepted = ready!(gate.state.poll_decision(cx));
                    if accepted {
                        gate.mode = Mode::Open;
                        gate.passed = gate.held.len();
                    } else {
                        gate.mode = Mode::Judging;
                        gate.judge_held();
                    }
                }
                Mode::Open => return Pin::new(&mut gate.io).poll_read(cx, buf),
            }
        }
    }
}

/// The end of the stream, with or without TLS's own (RFC 8446 §6.1).
fn says_no_more(read: &io::Result<()>) -> bool {
    read.as_ref().map_or_else(|error| error.kind() == io::ErrorKind::UnexpectedEof, |()| true)
}

enum Step {
    Return,
    Again,
}

impl<Io: AsyncRead + Unpin> Gate<Io> {
    /// Reads once and judges what came.
    fn poll_judged(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        if self.held.is_empty() { self.poll_in_place(cx, buf) } else { self.poll_piece(cx) }
    }

    /// The usual way: read into hyper's own buffer and judge there; only what belongs to an incomplete head is
    /// taken back.
    fn poll_in_place(&mut self, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<Step>> {
        if self.half_closed {
            return self.poll_last_answer(cx);
        }
        let before = buf.filled().len();
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, buf) else {
            return self.poll_wait(cx);
        };
        let new = buf.filled().get(before..).unwrap_or_default();
        if new.is_empty() && self.judge.is_between_requests() && says_no_more(&read) {
            self.half_closed = true;
            return self.poll_last_answer(cx);
        }
        read?;
        if new.is_empty() {
            return Poll::Ready(Ok(Step::Return));
        }
        self.wait = Wait::Nothing;
        let Judged { passed, then } = self.judge.judge(new);
        if !matches!(then, Then::Refuse(_) | Then::Fault(_)) {
            self.held.extend_from_slice(new.get(passed..).unwrap_or_default());
        }
        self.obey(then);
        buf.set_filled(before + passed);
        Poll::Ready(Ok(if passed > 0 { Step::Return } else { Step::Again }))
    }

    /// The caller closed its half after its request (RFC 9112 §9.6 allows it), or is gone, which looks the same: what
    /// is in service is answered first. Should nobody be there, writing tells.
    fn poll_last_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        match self.state.poll_served(cx) {
            Poll::Ready(()) => Poll::Ready(Ok(Step::Return)),
            Poll::Pending => Poll::Pending,
        }
    }

    /// While part of a head is held: read the next piece beside it.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        let Poll::Ready(read) = Pin::new(&mut self.io).poll_read(cx, &mut piece) else {
            return self.poll_wait(cx);
        };
        read?;
        if piece.filled().is_empty() {
            return Poll::Ready(Ok(Step::Return));
        }
        self.held.extend_from_slice(piece.filled());
        self.judge_held();
        Poll::Ready(Ok(Step::Again))
    }

    fn judge_held(&mut self) {
        let Judged { passed, then } = self.judge.judge(&self.held);
        self.passed = passed;
        if passed > 0 {
            self.wait = Wait::Nothing;
        }
        if matches!(then, Then::Refuse(_) | Then::Fault(_)) {
            self.held.truncate(passed);
        }
        self.obey(then);
    }

    fn obey(&mut self, then: Then) {
        match then {
            Then::More => {}
            Then::Refuse(code) => {
                self.state.refuse(self.judge.heads(), code);
                self.mode = Mode::Refused(STAND_IN);
            }
            Then::Fault(code) => {
                self.state.cut_body(code);
                self.mode = Mode::Cut;
            }
            Then::Upgrade => {
                self.state.ask_upgrade(self.judge.heads().saturating_sub(1));
                self.mode = Mode::Undecided;
            }
        }
    }

    /// Hands hyper what is judged and held. Whether there was any.
    fn deliver(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let ready = self.held.get(self.delivered..self.passed).unwrap_or_default();
        if ready.is_empty() {
            return false;
        }
        let now = ready.get(..buf.remaining()).unwrap_or(ready);
        buf.put_slice(now);
        self.delivered += now.len();
        if self.delivered == self.passed {
            self.held.drain(..self.passed);
            (self.passed, self.delivered) = (0, 0);
        }
        true
    }

    /// No bytes came: is it time to stop waiting? The timer is set rarely and looked at often; what is due is
    /// worked out when it fires.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Step>> {
        if !self.judge.is_between_requests() {
            return Poll::Pending; // Within a body the operation's own time limit rules.
        }
        // One empty line too many after a body (RFC 9112 §2.2) begins no request.
        let partial = !matches!(self.held.as_slice(), b"" | b"\r" | b"\r\n");
        let begun = match self.wait {
            Wait::Nothing => true,
            Wait::Request(_) => partial,
            Wait::Rest(_) => false,
        };
        if begun {
            let now = Instant::now();
            self.wait = if partial { Wait::Rest(now) } else { Wait::Request(now) };
            let due = now + self.patience();
            if partial || self.timer.as_ref().is_none_or(|timer| timer.deadline() > due) {
                self.set_timer(due);
            }
        }
        loop {
            let Some(timer) = &mut self.timer else { return Poll::Pending };
            ready!(timer.as_mut().poll(cx));
            let now = Instant::now();
            match self.wait {
                Wait::Rest(since) if since + self.limits.head_timeout <= now => {
                    self.held.clear();
                    self.obey(Then::Refuse(&code::REQUEST_TIMEOUT));
                    return Poll::Ready(Ok(Step::Again));
                }
                Wait::Rest(since) => self.set_timer(since + self.patience()),
                Wait::Request(since) => {
                    let since = match self.state.idle_since() {
                        // One is being served: the time begins with the end of its answer.
                        None => now,
                        Some(rested) => rested.map_or(since, |rested| since.max(rested.into())),
                    };
                    if since + self.patience() <= now {
                        return Poll::Ready(Ok(Step::Return)); // As if the caller had closed.
                    }
                    self.set_timer(since + self.patience());
                }
                Wait::Nothing => return Poll::Pending,
            }
        }
    }

    fn patience(&self) -> Duration {
        let first = self.judge.heads() == 0;
        match self.wait {
            Wait::Request(_) if !first => self.limits.idle_timeout,
            _ => self.limits.head_timeout,
        }
    }

    fn set_timer(&mut self, deadline: Instant) {
        match &mut self.timer {
            Some(timer) => timer.as_mut().reset(deadline),
            None => self.timer = Some(Box::pin(tokio::time::sleep_until(deadline))),
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Gate<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write(cx, bytes)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gate = self.get_mut();
        let unread = match &mut gate.mode {
            Mode::Lingering(linger) => return linger.poll(&mut gate.io, cx).map(Ok),
            Mode::Refused(_) | Mode::Cut => true,
            Mode::Judging | Mode::Undecided => !gate.judge.is_between_requests(),
            Mode::Open => false,
        };
        ready!(Pin::new(&mut gate.io).poll_shutdown(cx))?;
        if !unread {
            return Poll::Ready(Ok(()));
        }
        let mut linger = Box::new(Linger::new(LINGER_BYTES, LINGER_SILENCE, LINGER));
        let lingered = linger.poll(&mut gate.io, cx);
        gate.mode = Mode::Lingering(linger);
        lingered.map(Ok)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().io).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}
