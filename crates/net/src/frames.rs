//! What passes between an HTTP/2 caller and hyper, frame by frame: no byte is held, copied or changed.
//!
//! The HTTP/2 library answers some requests itself, or ends the connection over them, and tells nobody. From the
//! frames it is known how many requests a caller began, so the transport sees how many of them it never got to see
//! ([`FrameState::refused`]). And frames that cost work and carry nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY,
//! unknown ones, empty DATA) are counted: a caller that sends them without end is cut off, and so is one that puts
//! pseudo-fields behind a body, which the library drops.
//!
//! Small DATA frames are no fault: streams of small messages (gRPC) consist of them. The library keeps each by itself
//! until it is read, and ends a connection on which too many wait; so the caller is read no further while they do
//! ([`Arriving`] tells when they were taken).

mod arriving;
mod credit;
mod fields;
mod reader;
mod weight;

pub use arriving::{Arriving, Progress, Unread};

use crate::linger::Linger;
use credit::{Credit, Rate};
use reader::{Cost, Reader};
use weight::{LARGE, WAITING};

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf, Take};
use tokio::time::{Instant, Sleep};

/// Sits between a byte stream and hyper: `http2_server().serve_connection(TokioIo::new(frames), service)`.
pub struct Frames<Io> {
    io: Take<Io>,
    reader: Reader,
    idle: Credit,
    small: Credit,
    state: Rc<FrameState>,
    /// Armed while the caller is read no further.
    patience: Option<Pin<Box<Sleep>>>,
    /// After the last word.
    linger: Option<Box<Linger>>,
}

/// What is known of one connection's frames.
#[derive(Debug, Default)]
pub struct FrameState {
    /// Requests whose header section came whole.
    begun: Cell<u64>,
    /// Those of them that the HTTP/2 library has looked at.
    read: Cell<u64>,
    /// Those that were told as refused.
    told: Cell<u64>,
    /// Header sections above [`LARGE`] since refusals were last told.
    large: Cell<u64>,
    /// One that is still coming is above it already.
    large_so_far: Cell<bool>,
    cut: Cell<Option<&'static str>>,
    /// The bridge ends the connection in good order, or the caller does.
    leaves: Cell<bool>,
    /// What small DATA frames that nobody took yet cost the library, as it counts it.
    untaken: Cell<u64>,
    /// Small frames that were taken since the caller's credit for them was last looked at.
    taken: Cell<u64>,
    resumes: RefCell<Option<Waker>>,
}

/// Requests that the HTTP/2 library refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// Most likely for their size.
    pub large: u64,
    /// For any other reason.
    pub other: u64,
}

/// What a frame that carries nothing costs is paid for by time, and by what the caller's requests moved: a
/// WINDOW_UPDATE for every few kilobytes that it was sent is good manners (Go's client sends two for 4 KiB).
const IDLE_FRAMES: Rate = Rate { burst: 2_000, per_second: 100, saved: 20_000 };
const FOR_A_REQUEST: u64 = 5;

/// Small frames that nobody takes: those of streams that are over. What is taken gives its cost back.
const SMALL_FRAMES: Rate = Rate { burst: 10_000, per_second: 2_000, saved: 10_000 };

/// Where reading stops, and how much one read brings at most: 16 KiB of frames of one byte are 420 KiB by that count.
const MOST_UNTAKEN: u64 = 64 * 1024;
const ONE_READ: u64 = 16 * 1024;

/// How long a caller waits for its frames to be taken. Exchanges end before; a connection that waits for nothing of
/// them must not wait for ever.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a caller may still send while it reads the last answers: it makes room for more with each (WINDOW_UPDATE).
const LINGER_BYTES: usize = 1024 * 1024;
const LINGER_SILENCE: Duration = Duration::from_secs(10);

impl<Io: AsyncRead> Frames<Io> {
    /// With what will be known of the connection. Both stay on the core on which they are made.
    pub fn new(io: Io) -> (Frames<Io>, Rc<FrameState>) {
        let state = Rc::new(FrameState::default());
        let now = Instant::now();
        let frames = Frames {
            io: io.take(ONE_READ),
            reader: Reader::default(),
            idle: Credit::new(IDLE_FRAMES, now),
            small: Credit::new(SMALL_FRAMES, now),
            state: Rc::clone(&state),
            patience: None,
            linger: None,
        };
        (frames, state)
    }

    /// Why the caller may not go on, if it may not.
    fn watch(&mut self, bytes: &[u8]) -> Option<&'static str> {
        let (mut idle, mut small) = (0, 0);
        let before = self.reader.begun;
        let mut untaken = self.state.untaken.get();
        self.reader.read(bytes, |frame| {
            untaken = frame.waiting(untaken);
            match frame.cost() {
                Cost::Nothing => {}
                Cost::Small => small += 1,
                Cost::Idle(cost) => idle += cost,
            }
        });
        self.state.untaken.set(untaken);
        if self.reader.leaves {
            // With its last stream h2 ends the connection.
            self.state.leaves();
        }
        self.small.earn(self.state.taken.take());
        let begun = self.reader.begun - before;
        if begun > 0 {
            self.state.begun.set(self.reader.begun);
            self.state.large.set(self.state.large.get() + std::mem::take(&mut self.reader.large));
            self.idle.earn(begun * FOR_A_REQUEST);
            // Its trailers, and the last of its body.
            self.small.earn(begun * 2);
        }
        self.state.large_so_far.set(self.reader.section.opens && self.reader.section.bytes > LARGE);
        if self.reader.malformed_trailers {
            return Some("a pseudo-field in trailers (RFC 9113 §8.1)");
        }
        // The clock is asked only where there is something to pay.
        let paid = (idle == 0 || self.idle.pay(idle, Instant::now()))
            && (small == 0 || self.small.pay(small, Instant::now()));
        (!paid).then_some("too many frames that carry nothing")
    }
}

impl FrameState {
    /// How many requests the HTTP/2 library refused since the last call. `arrived` is how many reached the service in
    /// all. Ask after hyper's connection was polled: by then it handed on everything that it looked at.
    pub fn refused(&self, arrived: u64) -> Refused {
        self.refused_of(self.read.get(), arrived)
    }

    /// The same once the connection has ended, when nothing more can arrive. `broken` says that it ended because the
    /// caller broke the protocol, which counts as one where it was not over a whole request.
    pub fn refused_at_end(&self, arrived: u64, broken: bool) -> Refused {
        match self.refused_of(self.begun.get(), arrived) {
            Refused { large: 0, other: 0 } if broken => {
                let large = u64::from(self.large_so_far.get());
                Refused { large, other: 1 - large }
            }
            refused => refused,
        }
    }

    fn refused_of(&self, begun: u64, arrived: u64) -> Refused {
        let refused = begun.saturating_sub(arrived).saturating_sub(self.told.get());
        if refused == 0 {
            return Refused::default();
        }
        self.told.set(self.told.get() + refused);
        // Which of several was the large one cannot be seen from here.
        let large = self.large.take().min(refused);
        Refused { large, other: refused - large }
    }

    /// Requests refused by the HTTP/2 library so far.
    pub fn told(&self) -> u64 {
        self.told.get()
    }

    /// One of the two says good-bye: the bridge's last word is followed by patience for whoever still reads the answers
    /// before it.
    pub fn leaves(&self) {
        self.leaves.set(true);
    }

    /// Why the connection was cut here, if it was.
    pub fn cut(&self) -> Option<&'static str> {
        self.cut.get()
    }

    /// A DATA frame of so many bytes was taken.
    fn took(&self, length: u64) {
        if let Some(waited) = WAITING.checked_sub(length).filter(|waited| *waited > 0) {
            self.taken.set(self.taken.get() + 1);
            self.untaken.set(self.untaken.get().saturating_sub(waited));
            self.resume();
        }
    }

    /// A body is gone that was not read to its end: how much of it waited is not known here, and no longer waits.
    fn forget(&self) {
        self.untaken.set(0);
        self.resume();
    }

    fn resume(&self) {
        if self.untaken.get() <= MOST_UNTAKEN
            && let Some(reading) = self.resumes.take()
        {
            reading.wake();
        }
    }
}

impl<Io> Frames<Io> {
    /// Whether the caller is read on.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state.untaken.get() <= MOST_UNTAKEN {
            self.patience = None;
            return Poll::Ready(());
        }
        *self.state.resumes.borrow_mut() = Some(cx.waker().clone());
        let patience = self.patience.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        // Afterwards the library decides.
        patience.as_mut().poll(cx)
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Frames<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        // Whoever asks for more bytes has dealt with every whole frame in those before.
        frames.state.read.set(frames.state.begun.get());
        ready!(frames.poll_taken(cx));
        frames.io.set_limit(ONE_READ);
        let before = buf.filled().len();
        let read = Pin::new(&mut frames.io).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        let Some(why) = frames.watch(new) else { return read };
        frames.state.cut.set(Some(why));
        buf.set_filled(before);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, why)))
    }
}

impl<Io> Frames<Io> {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.idle.moved(u64::try_from(*bytes).unwrap_or(0));
        }
    }
}

impl<Io: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Frames<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let written = Pin::new(frames.io.get_mut()).poll_write(cx, bytes);
        frames.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let written = Pin::new(frames.io.get_mut()).poll_write_vectored(cx, bufs);
        frames.wrote(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(self.get_mut().io.get_mut()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        let io = frames.io.get_mut();
        if frames.linger.is_none() {
            ready!(Pin::new(&mut *io).poll_shutdown(cx))?;
            if !frames.state.leaves.get() {
                return Poll::Ready(Ok(()));
            }
        }
        let linger = frames
            .linger
            .get_or_insert_with(|| Box::new(Linger::new(LINGER_BYTES, LINGER_SILENCE, PATIENCE)));
        linger.poll(io, cx).map(Ok)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.get_ref().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::http2_server;
    use http::Response;
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use std::convert::Infallible;
    use std::pin::pin;
    use tokio::io::AsyncWriteExt;
    use tokio::task::LocalSet;

    #[test]
    fn only_what_was_looked_at_and_did_not_arrive_is_refused() {
        let state = FrameState::default();
        state.begun.set(3);
        assert_eq!(state.refused(0), Refused::default());
        state.read.set(2);
        state.large.set(1);
        assert_eq!(state.refused(1), Refused { large: 1, other: 0 });
        assert_eq!(state.refused(1), Refused::default());
        assert_eq!(state.refused_at_end(1, false), Refused { large: 0, other: 1 });
        assert_eq!(state.refused_at_end(1, false), Refused::default());
        assert_eq!(state.refused_at_end(1, true), Refused { large: 0, other: 1 });
        state.large_so_far.set(true);
        assert_eq!(state.refused_at_end(1, true), Refused { large: 1, other: 0 });
        assert_eq!(state.told(), 2);
    }

    /// Whether a connection waits until the caller closes, once the bridge has answered its request and what it sent then.
    async fn waits_after(sent: &[u8]) -> bool {
        let (near, mut far) = tokio::io::duplex(64 * 1024);
        let (frames, _) = Frames::new(near);
        let answers = |_| async { Ok::<_, Infallible>(Response::new(String::from("the answer"))) };
        let mut server = pin!(http2_server().serve_connection(TokioIo::new(frames), service_fn(answers)));
        // SETTINGS, and GET https /.
        let begins =
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84";
        far.write_all(&[begins, sent].concat()).await.unwrap();
        let waits = tokio::time::timeout(LINGER_SILENCE / 2, server.as_mut()).await.is_err();
        if waits {
            let mut received = Vec::new();
            far.read_to_end(&mut received).await.unwrap();
            assert!(received.windows(10).any(|part| part == b"the answer"));
            // It makes room for what it reads.
            far.write_all(&[0, 0, 4, 8, 0, 0, 0, 0, 0, 0, 0, 1, 0]).await.unwrap();
            drop(far);
            let begun = Instant::now();
            server.await.unwrap();
            assert_eq!(begun.elapsed(), Duration::ZERO);
        }
        waits
    }

    /// h2 ends a connection after the caller's GOAWAY, too, once what is under way is answered.
    #[tokio::test(start_paused = true)]
    async fn a_caller_that_said_good_bye_may_read_its_answers_to_the_end() {
        let goaway = |error: u8| [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, error];
        // A PING of no bytes breaks the protocol.
        let broken = [0, 0, 0, 6, 0, 0, 0, 0, 0];
        for (sent, waits) in [(&goaway(0)[..], true), (&goaway(1), false), (&broken, false)] {
            assert_eq!(LocalSet::new().run_until(waits_after(sent)).await, waits, "{sent:?}");
        }
    }

    #[test]
    fn who_ends_streams_without_end_is_cut() {
        let (mut frames, _) = Frames::new(tokio::io::empty());
        assert_eq!(frames.watch(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), None);
        let frame =
            |kind: u8, flags: u8, stream: u32| [&[0, 0, 0, kind, flags][..], &stream.to_be_bytes()].concat();
        for request in 0..10_000 {
            // Its header section, and the end of its body.
            let sent = [frame(1, 4, 2 * request + 1), frame(0, 1, 2 * request + 1)].concat();
            assert_eq!(frames.watch(&sent), None, "{request}");
        }
        let cut = (0..100_000).find_map(|_| frames.watch(&frame(0, 1, 1)));
        assert_eq!(cut, Some("too many frames that carry nothing"));
    }
}
