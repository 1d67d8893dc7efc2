//! Frames in a stream of bytes, as far as they must be known.

use super::fields::Fields;
use super::weight::{BYTES_FOR_ONE, LARGE, WAITING};

/// RFC 9113 §3.4.
const PREFACE: u8 = 24;
const DATA: u8 = 0x0;
const HEADERS: u8 = 0x1;
const GOAWAY: u8 = 0x7;
const CONTINUATION: u8 = 0x9;
const END_HEADERS: u8 = 0x4;

/// Bytes of DATA from which a frame is worth its own cost in memory, its padding left aside.
const SMALL: u32 = 64;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;
const END_STREAM: u8 = 0x1;
const MOST_PADDING: u32 = 256;

/// Where the error code stands in a GOAWAY, 0 for none (RFC 9113 §6.8).
const ERROR_CODE: (u32, u32) = (4, 8);

/// Follows the frames in a stream of bytes (RFC 9113 §4.1), however it is cut into reads.
#[derive(Debug, Default)]
pub(super) struct Reader {
    /// Bytes of the preface that have passed.
    preface: u8,
    head: [u8; Frame::HEAD],
    /// Bytes of `head` that have come.
    headed: usize,
    /// The frame whose payload is passing, and how much of it is still to come.
    frame: Option<Frame>,
    left: u32,
    last_stream: u32,
    pub section: Section,
    /// Whole header sections of new streams, and how many of them since the caller asked were above [`LARGE`].
    pub begun: u64,
    pub large: u64,
    fields: Fields,
    /// Of the frame that is passing.
    padding: u32,
    /// What followed a body had a pseudo-field.
    pub malformed_trailers: bool,
    /// The GOAWAY that is passing names an error.
    complains: bool,
    /// The caller said that it opens no further stream, and found fault with nothing.
    pub leaves: bool,
}

/// The header section that is passing: HEADERS and what continues it.
#[derive(Debug, Default)]
pub(super) struct Section {
    pub bytes: u64,
    pub opens: bool,
    /// Of a stream that was there.
    trails: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    length: u32,
    kind: u8,
    flags: u8,
    stream: u32,
    /// HEADERS of a stream that was not there before.
    opens: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Cost {
    Nothing,
    Small,
    Idle(u64),
}

impl Reader {
    pub fn read(&mut self, mut bytes: &[u8], mut begins: impl FnMut(Frame)) {
        while !bytes.is_empty() {
            if self.preface < PREFACE {
                let wanted = usize::from(PREFACE - self.preface).min(bytes.len());
                self.preface += u8::try_from(wanted).unwrap_or(PREFACE);
                bytes = bytes.get(wanted..).unwrap_or_default();
            } else if let Some(frame) = self.frame {
                let passing = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
                let part = bytes.get(..passing).unwrap_or_default();
                match frame.kind {
                    HEADERS | CONTINUATION => self.passes(frame, part),
                    GOAWAY => {
                        let code = place(frame.length - self.left, part, ERROR_CODE);
                        self.complains |= code.iter().any(|byte| *byte != 0);
                    }
                    _ => {}
                }
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
            self.section = Section { bytes: 0, opens: frame.opens, trails: !frame.opens };
            self.fields.begin();
        }
        if matches!(frame.kind, HEADERS | CONTINUATION) {
            self.section.bytes += u64::from(frame.length);
        }
        self.left = frame.length;
        self.padding = 0;
        self.complains = false;
        self.frame = Some(frame);
        if frame.length == 0 {
            self.ends(frame);
        }
        frame
    }

    /// A part of the payload of HEADERS or CONTINUATION: between what may stand before the fields, and padding.
    fn passes(&mut self, frame: Frame, part: &[u8]) {
        let begins = frame.length - self.left;
        let flag = |flag: u8| frame.kind == HEADERS && frame.flags & flag != 0;
        if begins == 0 && flag(PADDED) {
            self.padding = part.first().copied().unwrap_or_default().into();
        }
        let before = u32::from(flag(PADDED)) + if flag(PRIORITY) { 5 } else { 0 };
        self.fields.read(place(begins, part, (before, frame.length.saturating_sub(self.padding))));
    }

    fn ends(&mut self, frame: Frame) {
        self.frame = None;
        self.leaves |= frame.kind == GOAWAY && frame.length >= ERROR_CODE.1 && !self.complains;
        let ends_section = matches!(frame.kind, HEADERS | CONTINUATION) && frame.flags & END_HEADERS != 0;
        self.malformed_trailers |= ends_section && self.section.trails && self.fields.saw_pseudo;
        if ends_section && std::mem::take(&mut self.section.opens) {
            self.begun += 1;
            self.large += u64::from(self.section.bytes > LARGE);
        }
    }
}

/// What a part of a payload, which begins at this byte of it, holds of the bytes between these two.
fn place(begins: u32, part: &[u8], (from, to): (u32, u32)) -> &[u8] {
    let at = |at: u32| usize::try_from(at.saturating_sub(begins)).unwrap_or(usize::MAX).min(part.len());
    part.get(at(from)..at(to)).unwrap_or_default()
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

    /// What waits by h2's count once this frame does: a small one adds what it is short of, a larger one takes off what
    /// it is above. The last of a stream does not count.
    pub fn waiting(self, before: u64) -> u64 {
        if self.kind != DATA || self.flags & END_STREAM != 0 || self.length == 0 {
            return before;
        }
        let length = u64::from(self.length);
        before.saturating_add(WAITING.saturating_sub(length)).saturating_sub(length.saturating_sub(WAITING))
    }

    pub fn cost(self) -> Cost {
        match self.kind {
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
            (DATA, END_STREAM, 0, Cost::Idle(1)),
            (DATA, END_STREAM, 9, Cost::Small),
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

    /// h2's `counts.rs` counts so.
    #[test]
    fn what_waits_is_counted_as_the_library_counts_it() {
        for (kind, flags, length, before, after) in [
            (DATA, 0, 10, 0, 246),
            (DATA, 0, 10, 246, 492),
            (DATA, 0, 256, 492, 492),
            (DATA, 0, 300, 492, 448),
            (DATA, 0, 16_384, 492, 0),
            (DATA, 0, 0, 7, 7),
            (DATA, END_STREAM, 10, 7, 7),
            (HEADERS, 0, 10, 7, 7),
        ] {
            let frame = Frame { length, kind, flags, stream: 1, opens: false };
            assert_eq!(frame.waiting(before), after, "{frame:?}");
        }
    }

    /// RFC 9113 §6.8.
    #[test]
    fn a_caller_leaves_in_good_order_with_a_goaway_that_names_no_error() {
        let goaway = |payload: &[u8]| {
            let length = u8::try_from(payload.len()).unwrap();
            [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", &[0, 0, length, GOAWAY, 0, 0, 0, 0, 0][..], payload]
                .concat()
        };
        for (payload, leaves) in [
            (&[0, 0, 0, 1, 0, 0, 0, 0][..], true),
            (b"\0\0\0\x01\0\0\0\0bye", true),
            (&[0, 0, 0, 0, 0, 0, 0, 1], false),
            (&[0, 0, 0, 0, 1, 0, 0, 0], false),
            (&[0, 0, 0, 0, 0, 0, 0], false),
            (&[], false),
        ] {
            for cut in [1, 2, 5, 100] {
                let mut reader = Reader::default();
                goaway(payload).chunks(cut).for_each(|read| reader.read(read, |_| {}));
                assert_eq!(reader.leaves, leaves, "{payload:?} {cut}");
            }
        }
        let whole = goaway(&[0; 8]);
        let mut reader = Reader::default();
        reader.read(&whole[..whole.len() - 1], |_| {});
        assert!(!reader.leaves);
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
