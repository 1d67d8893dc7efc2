//! What passes between an HTTP/2 caller and hyper, frame by frame: no byte is held, copied or changed.
//!
//! The HTTP/2 library answers some requests itself, or ends the connection over them, and tells nobody. From the
//! frames it is known how many requests a caller began, so the transport sees how many of them it never got to see
//! ([`FrameState::refused`]). And frames that cost work and carry nothing (PING, SETTINGS, WINDOW_UPDATE, PRIORITY,
//! unknown ones, empty DATA) are counted: a caller that sends them without end is cut off.

use std::cell::Cell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// Sits between a byte stream and hyper: `http2_server().serve_connection(TokioIo::new(frames), service)`.
pub struct Frames<Io> {
    io: Io,
    reader: Reader,
    idle: Credit,
    small: Credit,
    state: Rc<FrameState>,
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
    flooded: Cell<bool>,
}

/// Requests that the HTTP/2 library refused.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refused {
    /// Most likely for their size.
    pub large: u64,
    pub other: u64,
}

/// A compressed header section above this is refused for its size by whoever gets to see it.
const LARGE: u64 = 16 * 1024;

/// RFC 9113 §3.4.
const PREFACE: u8 = 24;

const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// What a frame that carries nothing costs is paid for by time, and by what the caller's requests moved: a
/// WINDOW_UPDATE for every few kilobytes that it was sent is good manners (Go's client sends two for 4 KiB).
const IDLE_FRAMES: Rate = Rate { burst: 2_000, per_second: 100, saved: 20_000 };
const BYTES_FOR_ONE: u64 = 1024;
const FOR_A_REQUEST: u64 = 4;

/// Bytes of DATA from which a frame is worth its own cost in memory, its padding left aside.
const SMALL: u32 = 64;
const PADDED: u8 = 0x8;
const END_STREAM: u8 = 0x1;
const MOST_PADDING: u32 = 256;

/// Streams of small messages (gRPC) are many small frames.
const SMALL_FRAMES: Rate = Rate { burst: 10_000, per_second: 2_000, saved: 10_000 };

impl<Io> Frames<Io> {
    pub fn new(io: Io) -> (Frames<Io>, Rc<FrameState>) {
        let state = Rc::new(FrameState::default());
        let now = Instant::now();
        let frames = Frames {
            io,
            reader: Reader::default(),
            idle: Credit::new(IDLE_FRAMES, now),
            small: Credit::new(SMALL_FRAMES, now),
            state: Rc::clone(&state),
        };
        (frames, state)
    }

    /// Whether the caller may go on.
    fn watch(&mut self, bytes: &[u8]) -> bool {
        let (mut idle, mut small) = (0, 0);
        let before = self.reader.begun;
        self.reader.read(bytes, |frame| match frame.cost() {
            Cost::Nothing => {}
            Cost::Small => small += 1,
            Cost::Idle(cost) => idle += cost,
        });
        let begun = self.reader.begun - before;
        if begun > 0 {
            self.state.begun.set(self.reader.begun);
            self.state.large.set(self.state.large.get() + std::mem::take(&mut self.reader.large));
            self.idle.earn(begun * FOR_A_REQUEST);
        }
        self.state.large_so_far.set(self.reader.section.opens && self.reader.section.bytes > LARGE);
        // The clock is asked only where there is something to pay.
        (idle == 0 || self.idle.pay(idle, Instant::now()))
            && (small == 0 || self.small.pay(small, Instant::now()))
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

    /// The connection was cut because of frames that carry nothing.
    pub fn is_flooded(&self) -> bool {
        self.flooded.get()
    }
}

impl<Io: AsyncRead + Unpin> AsyncRead for Frames<Io> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let frames = self.get_mut();
        // Whoever asks for more bytes has dealt with every whole frame in those before.
        frames.state.read.set(frames.state.begun.get());
        let before = buf.filled().len();
        let read = Pin::new(&mut frames.io).poll_read(cx, buf);
        let new = buf.filled().get(before..).unwrap_or_default();
        if frames.watch(new) {
            return read;
        }
        frames.state.flooded.set(true);
        buf.set_filled(before);
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too many frames that carry nothing")))
    }
}

impl<Io> Frames<Io> {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        if let Poll::Ready(Ok(bytes)) = written {
            self.idle.moved(u64::try_from(*bytes).unwrap_or(0));
        }
    }
}

impl<Io: AsyncWrite + Unpin> AsyncWrite for Frames<Io> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let written = Pin::new(&mut frames.io).poll_write(cx, bytes);
        frames.wrote(&written);
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let frames = self.get_mut();
        let written = Pin::new(&mut frames.io).poll_write_vectored(cx, bufs);
        frames.wrote(&written);
        written
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

/// Follows the frames in a stream of bytes (RFC 9113 §4.1), however it is cut into reads.
#[derive(Debug, Default)]
struct Reader {
    /// Bytes of the preface that have passed.
    preface: u8,
    head: [u8; Frame::HEAD],
    /// Bytes of `head` that have come.
    headed: usize,
    /// The frame whose payload is passing, and how much of it is still to come.
    frame: Option<Frame>,
    left: u32,
    last_stream: u32,
    section: Section,
    /// Whole header sections of new streams, and how many of them since the caller asked were above [`LARGE`].
    begun: u64,
    large: u64,
}

/// The header section that is passing: HEADERS and what continues it.
#[derive(Debug, Default)]
struct Section {
    bytes: u64,
    opens: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// HEADERS of a stream that was not there before.
    opens: bool,
}

#[derive(Debug, PartialEq, Eq)]
enum Cost {
    Nothing,
    Small,
    Idle(u64),
}

impl Reader {
    fn read(&mut self, mut bytes: &[u8], mut begins: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.preface < PREFACE {
                let wanted = usize::from(PREFACE - self.preface).min(bytes.len());
                self.preface += u8::try_from(wanted).unwrap_or(PREFACE);
                bytes = bytes.get(wanted..).unwrap_or_default();
            } else if let Some(frame) = self.frame {
                let passing = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                self.left -= u32::try_from(passing).unwrap_or(self.left);
                bytes = bytes.get(passing..).unwrap_or_default();
                if self.left == 0 {
                    self.ends(frame);
                }
            } else {
                let wanted = (Frame::HEAD - self.headed).min(bytes.len());
                let (now, later) = bytes.split_at(wanted);
                if let Some(place) = self.head.get_mut(self.headed..self.headed + wanted) {
                    place.copy_from_slice(now);
                }
                self.headed += wanted;
                bytes = later;
                if self.headed == Frame::HEAD {
                    self.headed = 0;
                    begins(self.begin());
                }
            }
        }
    }

    fn begin(&mut self) -> Frame {
        let mut frame = Frame::parse(self.head);
        if frame.kind == HEADERS {
            frame.opens = frame.stream > self.last_stream;
            self.last_stream = self.last_stream.max(frame.stream);
            self.section = Section { bytes: 0, opens: frame.opens };
        }
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            self.section.bytes += u64::from(frame.length);
        }
        self.left = frame.length;
        self.frame = Some(frame);
        if frame.length == 0 {
            self.ends(frame);
        }
        frame
    }

    fn ends(&mut self, frame: Frame) {
        self.frame = None;
        let ends_section = matches!(frame.kind, HEADERS | CONTINUATION) && frame.flags & END_HEADERS != 0;
        if ends_section && std::mem::take(&mut self.section.opens) {
            self.begun += 1;
            self.large += u64::from(self.section.bytes > LARGE);
        }
    }
}

impl Frame {
    /// Bytes of a frame's head.
    const HEAD: usize = 9;

    fn parse(head: [u8; Frame::HEAD]) -> Frame {
        let [l0, l1, l2, kind, flags, s0, s1, s2, s3] = head;
        Frame {
            length: u32::from_be_bytes([0, l0, l1, l2]),
            kind,
            flags,
            stream: u32::from_be_bytes([s0 & 0x7f, s1, s2, s3]),
            opens: false,
        }
    }

    fn cost(self) -> Cost {
        match self.kind {
            // The end of a request's body, of which each request has one.
            DATA if self.flags & END_STREAM != 0 => Cost::Nothing,
            DATA if self.length == 0 => Cost::Idle(1),
            DATA => {
                let padding = if self.flags & PADDED == 0 { 0 } else { MOST_PADDING };
                if self.length < SMALL + padding { Cost::Small } else { Cost::Nothing }
            }
            HEADERS if self.opens => Cost::Nothing,
            // Trailers.
            HEADERS => Cost::Small,
            CONTINUATION if self.length >= SMALL => Cost::Nothing,
            _ => Cost::Idle(1 + u64::from(self.length) / BYTES_FOR_ONE),
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Rate {
    /// What time alone saves up.
    burst: u64,
    per_second: u64,
    /// What can be saved up at all.
    saved: u64,
}

#[derive(Debug)]
struct Credit {
    rate: Rate,
    left: u64,
    since: Instant,
    bytes: u64,
}

impl Credit {
    fn new(rate: Rate, now: Instant) -> Credit {
        Credit { rate, left: rate.burst, since: now, bytes: 0 }
    }

    fn earn(&mut self, more: u64) {
        self.left = self.left.saturating_add(more).min(self.rate.saved);
    }

    fn moved(&mut self, bytes: u64) {
        self.bytes += bytes;
        if self.bytes >= BYTES_FOR_ONE {
            self.earn(self.bytes / BYTES_FOR_ONE);
            self.bytes %= BYTES_FOR_ONE;
        }
    }

    /// Whether there was enough.
    fn pay(&mut self, cost: u64, now: Instant) -> bool {
        let elapsed = now.saturating_duration_since(self.since);
        let nanos = u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX);
        let refill = nanos.saturating_mul(self.rate.per_second) / 1_000_000_000;
        if refill > 0 {
            self.since = now
                .checked_sub(Duration::from_nanos(nanos % (1_000_000_000 / self.rate.per_second)))
                .unwrap_or(now);
            if self.left < self.rate.burst {
                self.left = self.left.saturating_add(refill).min(self.rate.burst);
            }
        }
        let enough = self.left >= cost;
        self.left = self.left.saturating_sub(cost);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
        let [_, length_bytes @ ..] = length.to_be_bytes();
        let mut bytes = [&length_bytes[..], &[kind, flags], &stream.to_be_bytes()].concat();
        // A payload that looks like frames itself.
        bytes.extend((0..length).map(|at| if at % 9 == 3 { HEADERS } else { END_HEADERS }));
        bytes
    }

    fn connection(frames: &[(u8, u8, u32, u32)]) -> Vec<u8> {
        let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
        bytes.extend(
            frames.iter().flat_map(|(kind, flags, stream, length)| frame(*kind, *flags, *stream, *length)),
        );
        bytes
    }

    /// Frames seen, header sections begun, and large ones.
    fn seen(reads: impl IntoIterator<Item = impl AsRef<[u8]>>) -> (Vec<Frame>, u64, u64) {
        let (mut reader, mut frames) = (Reader::default(), Vec::new());
        for read in reads {
            reader.read(read.as_ref(), |frame| frames.push(frame));
        }
        (frames, reader.begun, reader.large)
    }

    #[test]
    fn requests_are_header_sections_of_new_streams_that_came_whole() {
        let large = u32::try_from(LARGE).unwrap();
        let whole = connection(&[
            (0x4, 0, 0, 0),
            (HEADERS, END_HEADERS, 1, 20),
            (DATA, 0, 1, 100),
            (HEADERS, END_HEADERS | 1, 1, 20),
            (HEADERS, 0, 3, large),
            (CONTINUATION, 0, 3, 0),
            (CONTINUATION, END_HEADERS, 3, 1),
            (HEADERS, END_HEADERS, 5, 0),
            (HEADERS, 0, 7, 10),
            (CONTINUATION, END_HEADERS, 7, 10),
        ]);
        let (frames, begun, sections_above) = seen([&whole]);
        assert_eq!((frames.len(), begun, sections_above), (10, 4, 1));
        assert_eq!(seen([&whole[..whole.len() - 1]]).1, 3);
    }

    #[test]
    fn a_frame_costs_what_it_is() {
        for (kind, flags, length, cost) in [
            (DATA, 0, 0, Cost::Idle(1)),
            (DATA, 1, 0, Cost::Nothing),
            (DATA, 1, 9, Cost::Nothing),
            (DATA, 0, 1, Cost::Small),
            (DATA, 0, 1_000, Cost::Nothing),
            (DATA, PADDED, 256, Cost::Small),
            (DATA, PADDED, 16_384, Cost::Nothing),
            (0x2, 0, 5, Cost::Idle(1)),
            (0x3, 0, 4, Cost::Idle(1)),
            (0x4, 0, 60, Cost::Idle(1)),
            (0x6, 0, 8, Cost::Idle(1)),
            (0x8, 0, 4, Cost::Idle(1)),
            (0x9, 0, 0, Cost::Idle(1)),
            (0x9, 0, 16_384, Cost::Nothing),
            (0xc, 0, 0, Cost::Idle(1)),
            (0xff, 0, 16_384, Cost::Idle(17)),
        ] {
            let frame = Frame { length, kind, flags, stream: 1, opens: false };
            assert_eq!(frame.cost(), cost, "{frame:?}");
        }
    }

    #[test]
    fn credit_comes_back_with_time_and_traffic_and_is_bounded() {
        let begun = Instant::now();
        let rate = Rate { burst: 10, per_second: 10, saved: 100 };
        let mut credit = Credit::new(rate, begun);
        assert!(credit.pay(10, begun) && !credit.pay(1, begun));
        let at = |millis| begun + Duration::from_millis(millis);
        assert!(!credit.pay(1, at(90)));
        assert!(credit.pay(1, at(110)) && !credit.pay(1, at(120)));
        assert!(credit.pay(1, at(210)), "what is left of a tick is kept");
        assert!(credit.pay(10, at(60_000)) && !credit.pay(1, at(60_000)));
        credit.moved(BYTES_FOR_ONE / 2);
        credit.moved(BYTES_FOR_ONE / 2);
        assert!(credit.pay(1, at(60_000)) && !credit.pay(1, at(60_000)));
        credit.earn(1_000_000);
        assert!(credit.pay(100, at(60_000)) && !credit.pay(1, at(60_000)));
    }

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

    proptest! {
        #[test]
        fn reads_may_be_cut_anywhere(
            frames in prop::collection::vec(
                (0u8..12, prop::sample::select(vec![0, 1, END_HEADERS, 5, PADDED]), 0u32..8, 0u32..40), 0..30),
            cuts in prop::collection::vec(1usize..30, 1..60),
        ) {
            let bytes = connection(&frames);
            let mut rest = &bytes[..];
            let mut reads = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (now, later) = rest.split_at((*cut).min(rest.len()));
                reads.push(now);
                rest = later;
            }
            let whole = seen([&bytes]);
            prop_assert_eq!(whole.0.len(), frames.len());
            for (found, (kind, flags, stream, length)) in whole.0.iter().zip(&frames) {
                prop_assert_eq!((found.kind, found.flags, found.stream, found.length), (*kind, *flags, *stream, *length));
            }
            prop_assert_eq!(seen(reads), whole);
        }
    }
}
