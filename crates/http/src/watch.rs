//! A reply's body on its way through: only declared trailers follow it, and it holds no credential of the bridge's.

use crate::injected::{HELD_FROM, Injected, Known};
use crate::plain::{DEPTH, LONGEST, Plain};
use crate::reply::ReplyError;
use crate::waiting::Waiting;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_net::Names;
use ironbridge_net::upstream::PooledBody;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub struct Watched {
    inner: PooledBody,
    trailers: Arc<Names>,
    /// Where the target got a credential.
    watch: Option<Box<Watch>>,
    /// What may pass on and has not yet.
    ahead: VecDeque<Frame<Bytes>>,
    /// Nothing more comes.
    over: bool,
}

impl Watched {
    pub fn new(inner: PooledBody, trailers: Arc<Names>) -> Watched {
        Watched { inner, trailers, watch: None, ahead: VecDeque::new(), over: false }
    }

    /// Looks for these from here on, and at what has come already: if that is one, or the target broke off, nothing at
    /// all need cross. What is still to come is not waited for, because a stream may begin long after its header section.
    pub async fn watch(&mut self, injected: Option<&Arc<Injected>>) -> Result<(), ReplyError> {
        let known = injected.and_then(|injected| Some((injected, injected.known()?)));
        self.watch = known.map(|(injected, known)| Box::new(Watch::new(Arc::clone(injected), known)));
        if self.inner.is_end_stream() {
            return Ok(());
        }
        let mut polled = poll_fn(|context| Poll::Ready(self.poll_next(context))).await;
        if polled.is_pending() {
            // The connection hands a head on before it looks at what came behind it.
            tokio::task::yield_now().await;
            polled = poll_fn(|context| Poll::Ready(self.poll_next(context))).await;
        }
        match polled {
            Poll::Ready(Some(frame)) => self.ahead.push_front(frame?),
            Poll::Ready(None) => self.over = true,
            Poll::Pending => {}
        }
        Ok(())
    }

    /// What is left of it concerns nobody.
    pub fn discard(self) {
        if !self.over {
            self.inner.discard();
        }
    }

    fn held(&self) -> usize {
        let ahead = self.ahead.iter().filter_map(Frame::data_ref).map(Bytes::len).sum::<usize>();
        ahead + self.watch.as_ref().map_or(0, |watch| watch.held.len())
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        loop {
            if let Some(frame) = self.ahead.pop_front() {
                return Poll::Ready(Some(Ok(frame)));
            }
            if self.over {
                return Poll::Ready(None);
            }
            match ready!(Pin::new(&mut self.inner).poll_frame(context)) {
                Some(frame) => match frame.map_err(Into::into).and_then(|frame| self.pass(frame)) {
                    Ok(()) => {}
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                None => {
                    self.over = true;
                    self.rest()?;
                }
            }
        }
    }

    /// Puts ahead what of a frame passes now.
    fn pass(&mut self, mut frame: Frame<Bytes>) -> Result<(), ReplyError> {
        if let Some(trailers) = frame.trailers_mut() {
            self.trailers.keep_trailers(trailers);
        }
        let Some(watch) = &mut self.watch else {
            self.ahead.push_back(frame);
            return Ok(());
        };
        match frame.into_data() {
            Ok(data) => {
                let free = watch.pass(data)?;
                self.ahead.extend((!free.is_empty()).then(|| Frame::data(free)));
                if self.inner.is_end_stream() {
                    self.rest()?;
                }
            }
            Err(frame) => {
                watch.renew();
                let found = |(name, value)| watch.known.in_field(name, value);
                if frame.trailers_ref().is_some_and(|trailers| trailers.iter().any(found)) {
                    return Err(ReplyError::HoldsCredential);
                }
                self.rest()?;
                self.ahead.push_back(frame);
            }
        }
        Ok(())
    }

    /// The body ends: what was held back of it is no credential, unless its last bytes make it one.
    fn rest(&mut self) -> Result<(), ReplyError> {
        let Some(watch) = &mut self.watch else { return Ok(()) };
        let rest = watch.rest()?;
        self.ahead.extend((!rest.is_empty()).then(|| Frame::data(rest)));
        Ok(())
    }
}

impl Body for Watched {
    type Data = Bytes;
    type Error = ReplyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        self.get_mut().poll_next(context)
    }

    fn is_end_stream(&self) -> bool {
        (self.over || self.inner.is_end_stream()) && self.ahead.is_empty() && self.held() == 0
    }

    fn size_hint(&self) -> SizeHint {
        let held = u64::try_from(self.held()).unwrap_or(u64::MAX);
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(inner.lower().saturating_add(held));
        if let Some(upper) = inner.upper() {
            hint.set_upper(upper.saturating_add(held));
        }
        hint
    }
}

/// Looks for a credential that may come in pieces, as it is and encoded: what could be the beginning of one waits for
/// what follows it.
struct Watch {
    /// What is presented to the target while its answer comes.
    injected: Arc<Injected>,
    known: Known,
    /// The text as it comes.
    raw: Lane,
    /// The same less one encoding, two, and so on.
    plain: [Lane; DEPTH],
    plainly: Plain,
    /// What came and has not passed on.
    held: Waiting,
}

/// There is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Found;

impl From<Found> for ReplyError {
    fn from(_: Found) -> ReplyError {
        ReplyError::HoldsCredential
    }
}

impl Watch {
    fn new(injected: Arc<Injected>, known: Known) -> Watch {
        let lane = || Lane { longest: known.longest(), last: Vec::new() };
        let plain = [lane(), lane(), lane()];
        Watch { raw: lane(), plain, plainly: Plain::default(), held: Waiting::default(), injected, known }
    }

    /// An answer may last longer than the credential that it was asked for with.
    fn renew(&mut self) {
        let Some(known) = self.known.renewed(&self.injected) else { return };
        let longest = known.longest();
        self.known = known;
        self.raw.longest = longest;
        self.plain.iter_mut().for_each(|lane| lane.longest = longest);
    }

    /// What may pass on by now: of what was held back before, and of this.
    fn pass(&mut self, piece: Bytes) -> Result<Bytes, Found> {
        self.renew();
        let alike = self.plain.iter().all(|lane| lane.last == self.raw.last) && self.plainly.is_same(&piece);
        let begun = self.raw.look(&self.known, &piece)?;
        let (mut plainly, mut says) = (Ok(0), piece.len());
        if alike {
            for lane in &mut self.plain {
                lane.last.clone_from(&self.raw.last);
            }
        } else {
            let (lanes, known) = (&mut self.plain, &self.known);
            self.plainly.read(&piece, |numbers, read| {
                says = says.min(read.len());
                look(lanes, known, numbers, read, &mut plainly);
            });
        }
        let plainly = match plainly? {
            0 => 0,
            characters => characters + CUT,
        };
        if begun > piece.len() || plainly > says {
            self.held.push(&piece, says);
            let (free, forced) = self.held.free(begun, plainly, self.most_held());
            // Of a long one, less may wait than it could be written in.
            return if forced && self.most_held() == MOST { Err(Found) } else { Ok(free) };
        }
        // The end of this piece alone. Up to three bytes of it may have left before it could be told.
        let waits = begun.max(if plainly == 0 { 0 } else { written(&piece, plainly) }).min(self.most_held());
        let mut free = piece;
        let waits = free.split_off(free.len() - waits);
        let free = self.held.with(free);
        if !waits.is_empty() {
            self.held.push(&waits, plainly.min(waits.len()));
        }
        Ok(free)
    }

    /// However much stands between the bytes of one that says nothing (line breaks, zeros), no more waits, in bytes:
    /// every byte of the longest as an escape of six bytes, each of which is one again, three times over, and what of it may be
    /// broken into lines.
    fn most_held(&self) -> usize {
        const BETWEEN: usize = 16 << 10;
        self.known.longest().saturating_mul(6 * 6 * 6).saturating_add(BETWEEN).min(MOST)
    }

    /// The body ends here.
    fn rest(&mut self) -> Result<Bytes, Found> {
        let (lanes, known, mut plainly) = (&mut self.plain, &self.known, Ok(0));
        self.plainly.end(|numbers, read| look(lanes, known, numbers, read, &mut plainly));
        plainly?;
        Ok(self.held.with(Bytes::new()))
    }
}

/// Looks at one reading, which may be that of several lanes, and keeps the longest beginning of all.
fn look(
    lanes: &mut [Lane],
    known: &Known,
    numbers: Range<usize>,
    read: &[u8],
    begun: &mut Result<usize, Found>,
) {
    let Some((first, others)) = lanes.get_mut(numbers).and_then(|lanes| lanes.split_first_mut()) else {
        return;
    };
    let before = first.last.clone();
    for number in 0..=others.len() {
        let lane = match number.checked_sub(1).and_then(|number| others.get_mut(number)) {
            // They read the same before, so that this one found what the first did.
            Some(lane) if lane.last == before => {
                lane.last.clone_from(&first.last);
                continue;
            }
            Some(lane) => lane,
            None => &mut *first,
        };
        let Ok(longest) = *begun else { return };
        *begun = lane.look(known, read).map(|begins| begins.max(longest));
    }
}

/// What is left of an escape that is cut in two says a few characters more.
const CUT: usize = LONGEST;

/// No memory is counted for what waits, so that no more does. An answer in which more would have to is cut.
const MOST: usize = 256 << 10;

/// How many bytes at the end of a piece may have written the last `plain` characters of what it says; rather more than
/// less.
fn written(piece: &[u8], plain: usize) -> usize {
    let mut bytes = plain;
    let says = |bytes| {
        let mut least = bytes;
        Plain::within_indentation().read(tail(piece, bytes), |_, read| least = read.len());
        least
    };
    while bytes < piece.len() && says(bytes) < plain {
        bytes = bytes.saturating_mul(2);
    }
    bytes.min(piece.len())
}

/// One way to read the text.
struct Lane {
    longest: usize,
    /// The last bytes that came: as many as may begin a credential.
    last: Vec<u8>,
}

impl Lane {
    /// How many bytes at the end may be the beginning of one, if there is no whole one by now.
    fn look(&mut self, known: &Known, piece: &[u8]) -> Result<usize, Found> {
        let reach = self.longest.saturating_sub(1);
        let start = piece.get(..reach.min(piece.len())).unwrap_or_default();
        let border = if self.last.is_empty() { start.to_vec() } else { [&self.last, start].concat() };
        if known.in_bytes(&border) || (piece.len() > start.len() && known.in_bytes(piece)) {
            return Err(Found);
        }
        // A beginning is shorter than the whole, so the last bytes tell.
        let end = if piece.len() >= reach { piece } else { &border };
        let begun = known.begun(tail(end, reach));
        let last = begun.max(HELD_FROM - 1);
        self.last = tail(if piece.len() >= last { piece } else { &border }, last).to_vec();
        Ok(begun)
    }
}

fn tail(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(length)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn watch(secret: &str) -> Watch {
        let injected = Arc::<Injected>::default();
        note(&injected, secret);
        let known = injected.known().unwrap();
        Watch::new(injected, known)
    }

    fn note(injected: &Injected, secret: &str) {
        injected.note(&HeaderValue::try_from(secret).unwrap(), || vec![secret.as_bytes()]);
    }

    #[test]
    fn what_is_presented_while_an_answer_comes_is_looked_for_too() {
        for (renewed, said) in [(1, "the-next-secret-1"), (6, "the-next-secret-6"), (6, "the-first-secret")] {
            let mut watch = watch("the-first-secret");
            assert_eq!(
                watch.pass(Bytes::from_static(b"data: one, the-next")).unwrap(),
                "data: one, the-next"
            );
            for number in 1..=renewed {
                note(&watch.injected, &format!("the-next-secret-{number}"));
                assert_eq!(watch.pass(Bytes::from_static(b"data: two ")).unwrap(), "data: two ");
            }
            let (half, rest) = said.split_at(9);
            let halves = [half, rest].map(|piece| watch.pass(Bytes::copy_from_slice(piece.as_bytes())));
            assert!(halves.iter().any(Result::is_err), "{renewed} {said}");
        }
    }

    /// What passes of these chunks, or nothing.
    fn passed(secret: &str, chunks: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut watch = watch(secret);
        let mut passed = Vec::new();
        for chunk in chunks {
            passed.extend_from_slice(&watch.pass(Bytes::from(chunk.clone())).ok()?);
        }
        passed.extend_from_slice(&watch.rest().ok()?);
        Some(passed)
    }

    proptest! {
        #[test]
        fn a_stream_passes_whole_or_without_the_credential(
            chunks in proptest::collection::vec("[abc]{0,9}", 0..9),
            secret in "[abc]{8,10}",
        ) {
            let whole = chunks.concat();
            let chunks: Vec<_> = chunks.into_iter().map(String::into_bytes).collect();
            match passed(&secret, &chunks) {
                Some(passed) => {
                    prop_assert_eq!(&passed, whole.as_bytes());
                    prop_assert!(!whole.contains(&secret));
                }
                None => prop_assert!(watch(&secret).known.in_bytes(whole.as_bytes())),
            }
        }

        #[test]
        fn however_it_is_cut_less_than_four_bytes_leave(cuts in proptest::collection::vec(1usize..9, 1..9)) {
            let secret = "the-whole-secret";
            let mut watch = watch(secret);
            let text = format!("some text: {secret} and more");
            let (mut rest, mut passed) = (text.as_bytes(), Vec::new());
            for cut in cuts.iter().cycle() {
                let (chunk, after) = rest.split_at(rest.len().min(*cut));
                rest = after;
                match watch.pass(Bytes::copy_from_slice(chunk)) {
                    Ok(free) => passed.extend_from_slice(&free),
                    Err(Found) => break,
                }
                prop_assert!(!rest.is_empty());
            }
            prop_assert!(!String::from_utf8(passed).unwrap().contains(&secret[..4]));
        }
    }

    /// Ways to write a text, which may lie over one another.
    fn encoded(text: &str, way: u8) -> String {
        let each = |write: &dyn Fn(char) -> String| text.chars().map(write).collect::<String>();
        match way {
            0 => {
                each(&|c| if c.is_alphanumeric() { c.to_string() } else { format!("%{:02X}", u32::from(c)) })
            }
            1 => each(&|c| format!("\\u{:04x}", u32::from(c))),
            2 => each(&|c| if "/\"\\".contains(c) { format!("\\{c}") } else { c.to_string() }),
            3 => each(&|c| if c.is_alphanumeric() { c.to_string() } else { format!("&#{};", u32::from(c)) }),
            4 => text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;"),
            5 => each(&|c| format!("{c}\0")),
            6 => serde_json::to_string(text).unwrap(),
            _ => text.to_owned(),
        }
    }

    proptest! {
        #[test]
        fn however_it_is_written_and_cut_it_does_not_pass(
            secret in "[!-\\[\\]-~]{12,24}",
            ways in proptest::collection::vec(0u8..7, 0..3),
            cuts in proptest::collection::vec(1usize..40, 1..9),
        ) {
            let written = ways.iter().fold(secret.clone(), |text, way| encoded(&text, *way));
            let text = format!("{{\"a\": 1, \"b\": \"{written}\"}} and more");
            let (mut rest, mut chunks) = (text.as_bytes(), Vec::new());
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, after) = rest.split_at(rest.len().min(*cut));
                chunks.push(chunk.to_vec());
                rest = after;
            }
            prop_assert!(passed(&secret, &chunks).is_none(), "{text}");
            prop_assert!(watch(&secret).known.in_body(text.as_bytes()), "{text}");
        }
    }

    /// As [`encoded`], of only some of the characters: those that `which` says, by their places.
    fn partly(text: &str, way: u8, which: &[u8]) -> String {
        let mut written = String::new();
        for (c, which) in text.chars().zip(which.iter().cycle()) {
            let (number, lower) = (u32::from(c), *which == 1);
            written += &match way {
                0 if lower && c != '%' => format!("%{number:02x}"),
                0 if c == '%' || *which == 0 => format!("%{number:02X}"),
                1 if *which == 0 => format!("\\u{number:04x}"),
                1 if lower => format!("\\u{number:04X}"),
                1 if c == '"' || c == '\\' || (c == '/' && *which == 2) => format!("\\{c}"),
                2 if *which == 0 => format!("&#{number};"),
                2 if lower => format!("&#x{number:X};"),
                2 if c == '&' => "&amp;".to_owned(),
                2 if c == '<' => "&lt;".to_owned(),
                2 if c == '/' && *which == 2 => "&sol;".to_owned(),
                _ => c.to_string(),
            };
        }
        written
    }

    proptest! {
        #[test]
        fn an_encoding_over_some_characters_of_another_hides_nothing(
            secret in "[!-\\[\\]-~]{12,24}",
            kinds in Just(vec![0_u8, 1, 2]).prop_shuffle(),
            depth in 1_usize..4,
            same in any::<bool>(),
            which in proptest::collection::vec(0_u8..6, 40),
            cut in 1_usize..50,
        ) {
            let ways = if same { vec![kinds[0]; depth.min(2)] } else { kinds[..depth].to_vec() };
            let places = [0, 11, 23].map(|from| &which[from..]);
            let written = ways.iter().zip(places).fold(secret.clone(), |text, (way, which)| partly(&text, *way, which));
            let text = format!("before {written} behind");
            prop_assert!(watch(&secret).known.in_body(text.as_bytes()), "{text}");
            let chunks: Vec<_> = text.as_bytes().chunks(cut).map(<[u8]>::to_vec).collect();
            prop_assert!(passed(&secret, &chunks).is_none(), "{text}");
        }
    }

    #[test]
    fn of_an_escaped_one_the_beginning_waits() {
        let secret = "the-whole-secret/of+it";
        let text = encoded(secret, 1);
        let mut watch = watch(secret);
        let mut passed = Vec::new();
        for piece in text.as_bytes().chunks(5) {
            match watch.pass(Bytes::copy_from_slice(piece)) {
                Ok(free) => passed.extend_from_slice(&free),
                Err(Found) => break,
            }
        }
        // Three characters, and what had come of the fourth.
        assert!(passed.len() <= 4 * 6, "{}", String::from_utf8_lossy(&passed));
    }

    #[test]
    fn what_says_nothing_does_not_wait_without_end() {
        let secret = "eyJh.of.a.token";
        for nothing in ["\n", "\r\n", "\0", "\0\0"] {
            let piece = Bytes::from(nothing.repeat((16 << 10) / nothing.len()));
            let mut watch = watch(secret);
            let mut passed = watch.pass(Bytes::from_static(b"eyJh")).unwrap().len();
            for _ in 0..64 {
                passed += watch.pass(piece.clone()).unwrap().len();
                assert!(watch.held.len() <= watch.most_held() && watch.most_held() < 64 << 10);
            }
            passed += watch.rest().unwrap().len();
            assert_eq!(passed, 4 + 64 * piece.len());
        }
    }

    /// Reading all that waits again for each of these would take hours.
    #[test]
    fn each_piece_costs_what_it_is() {
        let secret = format!("eyJh{}", "x".repeat(8 << 10));
        let mut watch = watch(&secret);
        let mut passed = watch.pass(Bytes::from_static(b"eyJh")).unwrap().len();
        for _ in 0..80_000 {
            passed += watch.pass(Bytes::from_static(b"\0\n\0")).unwrap().len();
        }
        assert_eq!((passed, watch.held.len()), (0, 4 + 3 * 80_000));
    }

    /// Three encodings over one another make two hundred bytes of one.
    #[test]
    fn of_a_long_one_nothing_passes_that_is_written_in_more_than_may_wait() {
        let secret: String =
            (0..4096).map(|at| char::from(b'a' + u8::try_from(at * 7 % 26).unwrap())).collect();
        let written = encoded(&encoded(&encoded(&secret, 1), 1), 1);
        assert!(written.len() > 2 * MOST);
        let mut watch = watch(&secret);
        let mut passed = 0;
        for piece in written.as_bytes().chunks(1000) {
            match watch.pass(Bytes::copy_from_slice(piece)) {
                Ok(free) => passed += free.len(),
                Err(Found) => break,
            }
        }
        assert!(passed < 6 * 216, "{passed}");
    }

    #[test]
    fn nothing_waits_that_is_no_beginning() {
        let mut watch = watch("the-whole-secret");
        for message in ["data: one\n\n", "data: t", "the", "th"] {
            assert_eq!(watch.pass(Bytes::from_static(message.as_bytes())).unwrap(), message);
        }
    }
}
