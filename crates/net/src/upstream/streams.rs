//! The streams of one shared connection.

use super::leaving::Heard;
use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

/// Streams on one HTTP/2 connection before another is opened; what servers usually allow.
pub(super) const STREAMS: usize = 100;

/// Whoever waited so long for an answer, and heard nothing at all of the target meanwhile, waited on a connection that a
/// network or a host may have forgotten.
const SILENCE: Duration = Duration::from_secs(1);

/// The streams of one shared connection.
pub(super) struct Streams {
    open: Cell<usize>,
    begun: Cell<usize>,
    /// What the target allows at once (RFC 9113 §6.5.2), as of now; before it has answered, not yet what it said.
    limit: Box<dyn Fn() -> usize>,
    has_answered: Cell<bool>,
    used: Cell<Instant>,
    heard: Rc<Heard>,
    /// How often the target had been heard when somebody gave up waiting for it.
    silent: Cell<Option<u64>>,
}

/// One open stream of them.
pub(super) struct Stream {
    streams: Rc<Streams>,
    begun: Instant,
    /// How often the target had been heard by then.
    heard: u64,
}

impl Streams {
    pub fn new(limit: impl Fn() -> usize + 'static, heard: Rc<Heard>) -> Rc<Streams> {
        let (open, begun, has_answered) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let (used, silent) = (Cell::new(Instant::now()), Cell::new(None));
        Rc::new(Streams { open, begun, limit: Box::new(limit), has_answered, used, heard, silent })
    }

    /// The target's SETTINGS came before its first answer, so the limit is what it said.
    pub fn answered(&self) {
        self.has_answered.set(true);
    }

    /// Whether it was there for more than one request.
    pub fn used(&self) -> bool {
        self.begun.get() > 1
    }

    pub fn has_answered(&self) -> bool {
        self.has_answered.get()
    }

    pub fn open(&self) -> usize {
        self.open.get()
    }

    pub fn has_room(&self) -> bool {
        !self.is_silent() && self.open() < self.most()
    }

    /// Nothing was heard since somebody gave up waiting: others wait elsewhere, if there is a place for another
    /// connection. It need not be dead, so those that are on it stay.
    pub fn is_silent(&self) -> bool {
        self.silent.get() == Some(self.heard.times.get())
    }

    /// How many it takes. With 0 it is given up: the target wants no more on this connection, or has gone.
    pub fn most(&self) -> usize {
        match (self.limit)() {
            _ if self.heard.gone.get() => 0,
            0 => 0,
            limit if self.has_answered.get() => limit.min(STREAMS),
            _ => STREAMS,
        }
    }

    /// Since when there is no open one.
    pub fn at_rest_since(&self) -> Option<Instant> {
        (self.open() == 0).then(|| self.used.get())
    }
}

impl Stream {
    pub fn on(streams: &Rc<Streams>) -> Stream {
        streams.open.set(streams.open() + 1);
        streams.begun.set(streams.begun.get().saturating_add(1));
        Stream { streams: Rc::clone(streams), begun: Instant::now(), heard: streams.heard.times.get() }
    }

    pub fn connection(&self) -> &Rc<Streams> {
        &self.streams
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let (streams, now) = (&self.streams, Instant::now());
        streams.open.set(streams.open().saturating_sub(1));
        streams.used.set(now);
        if streams.heard.times.get() == self.heard && now.saturating_duration_since(self.begun) >= SILENCE {
            streams.silent.set(Some(self.heard));
        }
    }
}
