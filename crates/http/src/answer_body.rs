//! The answer's body: held bytes, or a stream that tells the exchange's [`Tail`] how it ended.

use crate::lasting::Lasting;
use crate::refusal::ReplyError;
use crate::unattended::{Answering, Entry, patience};
use crate::watch::Watched;
use crate::worker::Worker;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_core::{Code, Open, Tail};
use ironbridge_net::gate::InService;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::time::{Instant, Sleep};

pub enum AnswerBody {
    Held(Held),
    /// The same over HTTP/2, where it may lie for ever: looked after until its caller took it.
    Kept {
        held: Rc<RefCell<Held>>,
        _listed: Entry,
    },
    Streamed {
        stream: Rc<RefCell<Streamed>>,
        _listed: Entry,
    },
}

/// A whole answer on its way. It leaves in pieces, so that the last of it leaves when the caller took the rest. One that
/// is looked after has ended when hyper lets go of it: over HTTP/2 it takes a piece before the caller's window is open.
pub struct Held {
    bytes: Bytes,
    tail: Option<Box<Tail>>,
    /// Only of what is looked after.
    attended: Option<Attended>,
    counts: Counts,
    untaken: bool,
}

struct Attended {
    /// When hyper last asked for more.
    asked_at: Instant,
    /// How long it may not.
    patience: Duration,
    /// Tells the operator.
    worker: Rc<Worker>,
}

/// What an answer counts as until it ended.
#[derive(Default)]
struct Counts {
    /// As open among the exchanges: there is a target behind it, or memory.
    pub open: Option<Open>,
    /// As under way on its connection.
    pub in_service: Option<InService>,
}

/// Bytes of a whole answer that leave at a time: as many as hyper and TLS hold for a connection, and over HTTP/2 the usual
/// frame (RFC 9113 §4.2), because one piece for each stream stays with hyper while its caller takes nothing.
const PIECE: usize = 64 * 1024;
const FRAME: usize = 16 * 1024;

pub struct Streamed {
    /// Gone once it was ended while its caller took nothing.
    inner: Option<Watched>,
    tail: Option<Box<Tail>>,
    counts: Counts,
    /// When hyper last asked for more; the clock is read once for it.
    asked_at: Instant,
    /// Bytes that may still pass.
    left: u64,
    /// How long the target may pause.
    pause: Duration,
    lasting: Lasting,
    /// Set and armed only while the target pauses.
    paused_at: Option<Instant>,
    alarm: Option<Pin<Box<Sleep>>>,
    /// Why it ends, while what came before is on its way: hyper drops at once what it has not sent of an answer that
    /// fails, the header section too.
    failed: Option<ReplyError>,
}

impl AnswerBody {
    pub fn held(bytes: Bytes, mut tail: Option<Box<Tail>>) -> AnswerBody {
        if let Some(tail) = tail.take_if(|_| bytes.is_empty()) {
            tail.finish();
        }
        AnswerBody::Held(Held::new(bytes, tail))
    }

    /// The same without its bytes; for its record it has reached its end.
    pub fn without_content(self) -> AnswerBody {
        let tail = match self {
            AnswerBody::Held(mut held) => held.tail.take(),
            AnswerBody::Kept { held, .. } => held.borrow_mut().tail.take(),
            AnswerBody::Streamed { stream, .. } => stream.borrow_mut().tail.take(),
        };
        AnswerBody::held(Bytes::new(), tail)
    }

    /// Of a whole one: its caller may take nothing for so long.
    pub(crate) fn kept(self, worker: &Rc<Worker>, patience: Duration) -> AnswerBody {
        match self {
            AnswerBody::Held(mut held) if !held.bytes.is_empty() => {
                let (asked_at, told_by) = (Instant::now(), Rc::clone(worker));
                held.attended = Some(Attended { asked_at, patience, worker: told_by });
                let held = Rc::new(RefCell::new(held));
                let listed = worker.streams.add(&held);
                AnswerBody::Kept { held, _listed: listed }
            }
            other => other,
        }
    }

    /// Passes at most `max` bytes.
    pub(crate) fn streamed(
        inner: Watched,
        tail: Box<Tail>,
        pause: Duration,
        max: u64,
        lasting: Lasting,
    ) -> AnswerBody {
        if inner.is_end_stream() {
            tail.finish();
            return AnswerBody::Held(Held::new(Bytes::new(), None));
        }
        let now = lasting.begun();
        let streams = lasting.streams();
        let streamed = Rc::new(RefCell::new(Streamed {
            inner: Some(inner),
            tail: Some(tail),
            counts: Counts::default(),
            asked_at: now,
            left: max,
            pause,
            lasting,
            paused_at: None,
            alarm: None,
            failed: None,
        }));
        let entry = streams.add(&streamed);
        AnswerBody::Streamed { stream: streamed, _listed: entry }
    }

    /// What it counts as until it ends.
    fn count(&mut self, count: impl FnOnce(&mut Counts)) {
        match self {
            AnswerBody::Held(held) => count(&mut held.counts),
            AnswerBody::Kept { held, .. } => count(&mut held.borrow_mut().counts),
            AnswerBody::Streamed { stream, .. } => count(&mut stream.borrow_mut().counts),
        }
    }

    /// The connection counts as busy until it has been sent, or given up.
    pub(crate) fn in_service(mut self, in_service: InService) -> AnswerBody {
        self.count(|counts| counts.in_service = Some(in_service));
        self
    }

    /// Given back with the last frame: a caller that takes nothing must not use up what all share.
    pub(crate) fn open(mut self, open: Open) -> AnswerBody {
        if !self.is_end_stream() {
            self.count(|counts| counts.open = Some(open));
        }
        self
    }

    /// Nothing more comes from a target.
    pub(crate) fn is_whole(&self) -> bool {
        !matches!(self, AnswerBody::Streamed { .. })
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match &mut *self {
            AnswerBody::Held(held) => held.next(),
            AnswerBody::Kept { held, .. } => held.borrow_mut().next(),
            AnswerBody::Streamed { stream, .. } => {
                let mut streamed = stream.borrow_mut();
                streamed.asked_at = Instant::now();
                if let Some(error) = streamed.failed.take() {
                    return Poll::Ready(Some(Err(error)));
                }
                match streamed.poll(context) {
                    Poll::Ready(Some(Err(error))) => {
                        streamed.failed = Some(error);
                        context.waker().wake_by_ref();
                        Poll::Pending
                    }
                    other => other,
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            AnswerBody::Held(held) => held.is_over(),
            AnswerBody::Kept { held, .. } => held.borrow().is_over(),
            AnswerBody::Streamed { stream, .. } => stream.borrow().is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            AnswerBody::Held(held) => SizeHint::with_exact(length(&held.bytes)),
            AnswerBody::Kept { held, .. } => SizeHint::with_exact(length(&held.borrow().bytes)),
            AnswerBody::Streamed { stream, .. } => {
                stream.borrow().inner.as_ref().map_or_else(SizeHint::default, Body::size_hint)
            }
        }
    }
}

impl Held {
    fn new(bytes: Bytes, tail: Option<Box<Tail>>) -> Held {
        Held { bytes, tail, attended: None, counts: Counts::default(), untaken: false }
    }

    fn is_over(&self) -> bool {
        self.bytes.is_empty() && !self.untaken
    }

    fn next(&mut self) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if std::mem::take(&mut self.untaken) {
            return Poll::Ready(Some(Err(ReplyError::Untaken)));
        }
        if self.bytes.is_empty() {
            return Poll::Ready(None);
        }
        let most = match &mut self.attended {
            Some(attended) => {
                attended.asked_at = Instant::now();
                FRAME
            }
            None => PIECE,
        };
        let piece = self.bytes.split_to(self.bytes.len().min(most));
        if let Some(tail) = &mut self.tail {
            tail.count_out(length(&piece));
        }
        if self.bytes.is_empty() {
            self.counts.open = None;
            if self.attended.is_none() {
                self.finish();
            }
        }
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn finish(&mut self) {
        if let Some(tail) = self.tail.take() {
            tail.finish();
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if self.bytes.is_empty() {
            self.finish();
        }
    }
}

impl Answering for Held {
    fn attend(&mut self, _context: &mut Context<'_>) {
        let Some(attended) = self.attended.take_if(|it| it.asked_at.elapsed() > it.patience) else { return };
        if let Some(tail) = self.tail.take() {
            let denial = ReplyError::Untaken.denial();
            attended.worker.tell(&denial, tail.exchange());
            tail.cut(denial.code);
        }
        self.untaken = !self.bytes.is_empty();
        (self.bytes, self.counts) = (Bytes::new(), Counts::default());
    }
}

impl Answering for Streamed {
    fn attend(&mut self, context: &mut Context<'_>) {
        let now = Instant::now();
        let untaken = now.duration_since(self.asked_at) > patience(self.pause);
        if self.tail.is_none() {
            // What is left is with hyper.
            if untaken {
                self.counts = Counts::default();
            }
            return;
        }
        let error = match self.refused(now, context) {
            Some(code) => ReplyError::LetOut(code),
            None if untaken => ReplyError::Untaken,
            None => return,
        };
        self.failed = Some(self.cut(error));
        (self.inner, self.alarm, self.counts) = (None, None, Counts::default());
    }
}

impl Streamed {
    fn is_end_stream(&self) -> bool {
        self.inner.as_ref().is_some_and(Body::is_end_stream)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        if let Some(code) = self.refused(self.asked_at, context) {
            return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
        }
        let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
        let frame = match Pin::new(inner).poll_frame(context) {
            Poll::Ready(frame) => frame,
            Poll::Pending => return self.wait(context),
        };
        (self.paused_at, self.alarm) = (None, None);
        match frame {
            Some(Ok(frame)) => {
                let Some(left) = self.left.checked_sub(frame.data_ref().map_or(0, length)) else {
                    return Poll::Ready(Some(Err(self.cut(ReplyError::TooLarge))));
                };
                self.left = left;
                if let (Some(tail), Some(data)) = (&mut self.tail, frame.data_ref()) {
                    tail.count_out(length(data));
                }
                // With a known length nobody asks for what comes after the last byte.
                if self.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => Poll::Ready(Some(Err(self.cut(error)))),
            None => {
                self.finish();
                Poll::Ready(None)
            }
        }
    }

    fn finish(&mut self) {
        self.counts.open = None;
        if let Some(tail) = self.tail.take() {
            tail.finish();
        }
    }

    /// The record and the operator's log say why; the caller sees the connection or the stream end.
    fn cut(&mut self, error: ReplyError) -> ReplyError {
        if let Some(tail) = self.tail.take() {
            let denial = error.denial();
            self.lasting.tell(&denial, tail.exchange());
            tail.cut(denial.code);
        }
        error
    }

    fn wait(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        let until = *self.paused_at.get_or_insert_with(Instant::now) + self.pause;
        loop {
            let due = until.min(self.lasting.due());
            let alarm = self.alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due)));
            if alarm.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
            self.alarm = None;
            if due == until {
                return Poll::Ready(Some(Err(self.cut(ReplyError::Paused))));
            }
            if let Some(code) = self.refused(Instant::now(), context) {
                return Poll::Ready(Some(Err(self.cut(ReplyError::LetOut(code)))));
            }
        }
    }

    fn refused(&mut self, now: Instant, context: &mut Context<'_>) -> Option<&'static Code> {
        self.lasting.poll(self.tail.as_ref()?.exchange(), now, context)
    }
}

fn length(bytes: &Bytes) -> u64 {
    u64::try_from(bytes.len()).unwrap_or(u64::MAX)
}
