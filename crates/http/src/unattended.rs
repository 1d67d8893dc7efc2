//! Answers that hyper does not ask for more, because their caller takes nothing: nobody else would look at them.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::future::poll_fn;
use std::rc::{Rc, Weak};
use std::task::{Context, Poll};
use std::time::Duration;

/// Between two looks. Keys that are revoked by a command are known a quarter of a second later.
pub(crate) const LOOK: Duration = Duration::from_secs(5);

/// Between two rounds over the streams of a core: a look is due after five seconds, and what it finds ends within six.
const ROUND: Duration = Duration::from_millis(500);

/// What is on its way to a caller.
pub(crate) trait Answering {
    /// Ends it if it is time to. Ended, it holds nothing any more; its caller learns of it when it goes on.
    fn attend(&mut self, context: &mut Context<'_>);
}

/// The answers of one listener that are open on one core: those that stream, and over HTTP/2 those that are whole.
#[derive(Default)]
pub(crate) struct Streams {
    open: RefCell<BTreeMap<u64, Weak<RefCell<dyn Answering>>>>,
    next: Cell<u64>,
    /// Somebody goes round; that ends when nothing is open.
    rounds: Cell<bool>,
}

/// A stream is in the list as long as this lives.
pub struct Entry {
    streams: Rc<Streams>,
    key: u64,
}

impl Streams {
    pub(crate) fn add<A: Answering + 'static>(self: &Rc<Self>, answering: &Rc<RefCell<A>>) -> Entry {
        let key = self.next.get();
        self.next.set(key.wrapping_add(1));
        let answering: Weak<RefCell<A>> = Rc::downgrade(answering);
        self.open.borrow_mut().insert(key, answering);
        if !self.rounds.replace(true) {
            tokio::task::spawn_local(Rc::clone(self).go_round());
        }
        Entry { streams: Rc::clone(self), key }
    }

    async fn go_round(self: Rc<Self>) {
        loop {
            tokio::time::sleep(ROUND).await;
            if self.open.borrow().is_empty() {
                self.rounds.set(false);
                return;
            }
            // Ending one takes it out of the list.
            let open: Vec<_> = self.open.borrow().values().filter_map(Weak::upgrade).collect();
            poll_fn(|context| {
                open.iter().for_each(|answering| answering.borrow_mut().attend(context));
                Poll::Ready(())
            })
            .await;
        }
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.streams.open.borrow_mut().remove(&self.key);
    }
}

/// How long a caller may take nothing of a stream whose target may pause for so long.
pub(crate) fn patience(pause: Duration) -> Duration {
    pause.max(LOOK)
}
