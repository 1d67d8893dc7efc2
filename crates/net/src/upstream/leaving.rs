//! How a connection to an HTTP/2 target ends.

use crate::to_target::{Follows, Read, ToTarget, is_closed};
use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Sleep;

/// How long a target's last words are waited out before h2 learns that it has gone.
const BREATH: Duration = Duration::from_millis(100);

/// Of an HTTP/2 connection: how it ends.
///
/// h2 takes the end of a connection for the end of every stream on it whose request is not written yet, also where the
/// answer is complete. So from then on what is written is dropped, and the end of what is read comes a moment later: until
/// then the requests have been written, and the answers handed on.
pub(super) struct Leaving {
    heard: Rc<Heard>,
    end: Option<End>,
}

/// What was heard of the target on one connection.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// It has gone, so that no further stream begins.
    pub gone: Cell<bool>,
    /// How often something came.
    pub times: Cell<u64>,
}

struct End {
    why: io::Result<()>,
    breath: Pin<Box<Sleep>>,
}

impl Leaving {
    pub fn over<Io>(io: Io) -> (ToTarget<Io, Leaving>, Rc<Heard>) {
        let heard = Rc::<Heard>::default();
        (ToTarget::new(io, Leaving { heard: Rc::clone(&heard), end: None }), heard)
    }
}

impl<Io: AsyncRead> Follows<Io> for Leaving {
    fn read(&mut self, io: Pin<&mut Io>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        let end = match &mut self.end {
            Some(end) => end,
            none => {
                let before = buf.filled().len();
                let why = ready!(io.poll_read(cx, buf));
                let goes_on = match &why {
                    Ok(()) => buf.filled().len() > before || buf.remaining() == 0,
                    // TLS that ends without close_notify is an unexpected end.
                    Err(error) => !is_closed(error) && error.kind() != io::ErrorKind::UnexpectedEof,
                };
                if goes_on {
                    self.heard.times.set(self.heard.times.get() + 1);
                    return Poll::Ready(why);
                }
                self.heard.gone.set(true);
                none.insert(End { why, breath: Box::pin(tokio::time::sleep(BREATH)) })
            }
        };
        ready!(end.breath.as_mut().poll(cx));
        Poll::Ready(std::mem::replace(&mut end.why, Ok(())))
    }

    fn wrote(&mut self) {}

    fn takes_no_more(&mut self) -> bool {
        self.heard.gone.set(true);
        true
    }

    fn is_dropped(&self) -> bool {
        self.heard.gone.get()
    }
}
