//! A reply's body on its way through: only declared trailers follow it, and it holds no credential of the bridge's.

use crate::injected::{HELD_FROM, Known};
use crate::reply::ReplyError;
use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use ironbridge_net::Names;
use ironbridge_net::upstream::PooledBody;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub struct Watched {
    inner: PooledBody,
    trailers: Arc<Names>,
    /// Where the target got a credential.
    watch: Option<Box<Watch>>,
    /// Came behind bytes that were held back, and follows them.
    behind: Option<Frame<Bytes>>,
}

impl Watched {
    pub fn new(inner: PooledBody, trailers: Arc<Names>, known: Option<Known>) -> Watched {
        let watch = known.map(|known| Box::new(Watch::new(known)));
        Watched { inner, trailers, watch, behind: None }
    }

    fn held(&self) -> usize {
        self.watch.as_ref().map_or(0, |watch| watch.held)
    }

    /// What of a frame passes now; `None` where all of it waits.
    fn pass(&mut self, mut frame: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, ReplyError> {
        if let Some(trailers) = frame.trailers_mut() {
            self.trailers.keep_trailers(trailers);
        }
        let Some(watch) = &mut self.watch else { return Ok(Some(frame)) };
        match frame.into_data() {
            Ok(data) => {
                let free = watch.pass(data).map_err(|Found| ReplyError::HoldsCredential)?;
                let free = if self.inner.is_end_stream() { watch.and_rest(free) } else { free };
                Ok((!free.is_empty()).then(|| Frame::data(free)))
            }
            Err(frame) => {
                let found = |value: &http::HeaderValue| watch.known.in_value(value.as_bytes());
                if frame.trailers_ref().is_some_and(|trailers| trailers.values().any(found)) {
                    return Err(ReplyError::HoldsCredential);
                }
                let rest = watch.and_rest(Bytes::new());
                if rest.is_empty() {
                    return Ok(Some(frame));
                }
                self.behind = Some(frame);
                Ok(Some(Frame::data(rest)))
            }
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
        let body = self.get_mut();
        if let Some(frame) = body.behind.take() {
            return Poll::Ready(Some(Ok(frame)));
        }
        loop {
            match ready!(Pin::new(&mut body.inner).poll_frame(context)) {
                Some(Ok(frame)) => match body.pass(frame) {
                    Ok(None) => {}
                    Ok(Some(frame)) => return Poll::Ready(Some(Ok(frame))),
                    Err(error) => return Poll::Ready(Some(Err(error))),
                },
                Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
                None => {
                    let rest = body.watch.as_mut().map(|watch| watch.and_rest(Bytes::new()));
                    return Poll::Ready(
                        rest.filter(|rest| !rest.is_empty()).map(|rest| Ok(Frame::data(rest))),
                    );
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream() && self.behind.is_none() && self.held() == 0
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

/// Looks for a credential that may come in pieces: what could be the beginning of one waits for what follows it.
struct Watch {
    known: Known,
    longest: usize,
    /// The last bytes that came, and how many of them have not passed on.
    last: Vec<u8>,
    held: usize,
}

/// There is one.
#[derive(Debug, PartialEq, Eq)]
struct Found;

impl Watch {
    fn new(known: Known) -> Watch {
        let longest = known.longest();
        Watch { known, longest, last: Vec::new(), held: 0 }
    }

    /// What may pass on by now: of what was held back before, and of this.
    fn pass(&mut self, chunk: Bytes) -> Result<Bytes, Found> {
        let reach = self.longest.saturating_sub(1);
        let border = self.joined(chunk.get(..reach.min(chunk.len())).unwrap_or_default());
        if self.known.in_bytes(&border) || self.known.in_bytes(&chunk) {
            return Err(Found);
        }
        // A beginning is shorter than the whole, so the last bytes tell.
        let begun = if chunk.len() >= reach {
            self.known.begun(tail(&chunk, reach))
        } else {
            self.known.begun(tail(&border, reach))
        };
        let last = begun.max(HELD_FROM - 1);
        let last =
            if chunk.len() >= last { tail(&chunk, last).to_vec() } else { tail(&border, last).to_vec() };
        let mut free = if self.held == 0 {
            chunk
        } else {
            let held = tail(&self.last, self.held);
            let mut joined = BytesMut::with_capacity(held.len() + chunk.len());
            joined.extend_from_slice(held);
            joined.extend_from_slice(&chunk);
            joined.freeze()
        };
        // Up to three bytes of it may have left before it could be told.
        self.held = begun.min(free.len());
        self.last = last;
        free.truncate(free.len() - self.held);
        Ok(free)
    }

    /// The body ends behind these: what was held back is no credential.
    fn and_rest(&mut self, free: Bytes) -> Bytes {
        if self.held == 0 {
            return free;
        }
        let rest = tail(&self.last, std::mem::take(&mut self.held));
        [&free, rest].concat().into()
    }

    fn joined(&self, start: &[u8]) -> Vec<u8> {
        if self.last.is_empty() { start.to_vec() } else { [&self.last, start].concat() }
    }
}

fn tail(bytes: &[u8], length: usize) -> &[u8] {
    bytes.get(bytes.len().saturating_sub(length)..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::injected::Injected;
    use http::HeaderValue;
    use proptest::prelude::*;

    fn watch(secret: &str) -> Watch {
        let injected = Injected::new();
        injected.note(&HeaderValue::try_from(secret).unwrap(), || vec![secret.as_bytes()]);
        Watch::new(injected.known().unwrap())
    }

    /// What passes of these chunks, or nothing.
    fn passed(secret: &str, chunks: &[Vec<u8>]) -> Option<Vec<u8>> {
        let mut watch = watch(secret);
        let mut passed = Vec::new();
        for chunk in chunks {
            passed.extend_from_slice(&watch.pass(Bytes::from(chunk.clone())).ok()?);
        }
        passed.extend_from_slice(&watch.and_rest(Bytes::new()));
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

    #[test]
    fn nothing_waits_that_is_no_beginning() {
        let mut watch = watch("the-whole-secret");
        for message in ["data: one\n\n", "data: t", "the", "th"] {
            assert_eq!(watch.pass(Bytes::from_static(message.as_bytes())).unwrap(), message);
        }
    }
}
