//! A reply's body on its way through: only declared trailers follow it, and it holds no credential of the bridge's.

use crate::injected::{HELD_FROM, Injected, Known};
use crate::plain::{DEPTH, LONGEST, Plain};
use crate::refusal::ReplyError;
use crate::waiting::Waiting;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use ironbridge_core::Inflow;
use ironbridge_net::Names;
use ironbridge_net::upstream::PooledBody;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

#[derive(Default)]
pub struct Watched {
    inner: Inner,
    /// Where the target got a credential.
    watch: Option<Box<Watch>>,
    /// What may pass on and has not yet.
    ahead: VecDeque<Frame<Bytes>>,
    /// Nothing more comes.
    over: bool,
}

/// Where it comes from.
#[derive(Default)]
enum Inner {
    /// There is nothing, or somebody took it.
    #[default]
    Nothing,
    /// Over HTTP, with the trailers that may follow it.
    Http(PooledBody, Arc<Names>),
    /// Over another transport.
    Foreign(Box<dyn Inflow>),
}

impl Watched {
    pub fn new(inner: PooledBody, trailers: Arc<Names>) -> Watched {
        Watched { inner: Inner::Http(inner, trailers), ..Watched::default() }
    }

    /// Of a reply that came over another transport.
    pub fn foreign(inflow: Box<dyn Inflow>) -> Watched {
        Watched { inner: Inner::Foreign(inflow), ..Watched::default() }
    }

    /// Looks for these from here on. Whether there is something to look at.
    pub fn watch(&mut self, injected: &Arc<Injected>) -> bool {
        let known = injected.known();
        self.watch = known.map(|known| Box::new(Watch::new(Arc::clone(injected), known)));
        !self.inner.is_end_stream()
    }

    /// Looks at what has come already: if that is a credential, or the target broke off, nothing at all need cross. What
    /// is still to come is not waited for, because a stream may begin long after its header section.
    pub async fn begin(&mut self) -> Result<(), ReplyError> {
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
        if let (Inner::Http(inner, _), false) = (self.inner, self.over) {
            inner.discard();
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
            match ready!(self.inner.poll_frame(context)) {
                Some(frame) => match frame.and_then(|frame| self.pass(frame)) {
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
        if let (Some(trailers), Inner::Http(_, names)) = (frame.trailers_mut(), &self.inner) {
            names.keep_trailers(trailers);
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

impl Inner {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ReplyError>>> {
        match self {
            Inner::Nothing => Poll::Ready(None),
            Inner::Http(body, _) => {
                Pin::new(body).poll_frame(context).map(|frame| Some(frame?.map_err(ReplyError::from)))
            }
            Inner::Foreign(inflow) => inflow
                .poll_next(context)
                .map(|piece| Some(piece?.map(Frame::data).map_err(ReplyError::Foreign))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Inner::Nothing => true,
            Inner::Http(body, _) => body.is_end_stream(),
            Inner::Foreign(inflow) => inflow.length() == Some(0),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Inner::Nothing => SizeHint::with_exact(0),
            Inner::Http(body, _) => body.size_hint(),
            Inner::Foreign(inflow) => inflow.length().map_or_else(SizeHint::default, SizeHint::with_exact),
        }
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
mod tests;
