use std::cell::Cell;
use std::rc::Rc;
use std::time::Instant;

/// Streams on one HTTP/2 connection before another is opened; what servers usually allow.
pub(super) const STREAMS: usize = 100;

/// The streams of one shared connection.
pub(super) struct Streams {
    open: Cell<usize>,
    begun: Cell<usize>,
    /// What the target allows at once (RFC 9113 §6.5.2), as of now; before it has answered, not yet what it said.
    limit: Box<dyn Fn() -> usize>,
    has_answered: Cell<bool>,
    used: Cell<Instant>,
}

/// One open stream of them.
pub(super) struct Stream(Rc<Streams>);

impl Streams {
    pub fn new(limit: impl Fn() -> usize + 'static) -> Rc<Streams> {
        let (open, begun, has_answered) = (Cell::new(0), Cell::new(0), Cell::new(false));
        let used = Cell::new(Instant::now());
        Rc::new(Streams { open, begun, limit: Box::new(limit), has_answered, used })
    }

    /// The target's SETTINGS came before its first answer, so the limit is what it said.
    pub fn answered(&self) {
        self.has_answered.set(true);
    }

    /// Whether it was there for more than one request.
    pub fn used(&self) -> bool {
        self.begun.get() > 1
    }

    pub fn open(&self) -> usize {
        self.open.get()
    }

    pub fn has_room(&self) -> bool {
        self.open() < self.most()
    }

    /// How many it takes. 0 is what only the target says: it wants no more on this connection.
    pub fn most(&self) -> usize {
        match (self.limit)() {
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
        Stream(Rc::clone(streams))
    }

    pub fn connection(&self) -> &Rc<Streams> {
        &self.0
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.open.set(self.0.open().saturating_sub(1));
        self.0.used.set(Instant::now());
    }
}
