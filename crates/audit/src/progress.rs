//! How far the journal is durable, and who waits for it.
//!
//! The bridge runs one single-threaded runtime per core. Waking a task of such a runtime from another thread
//! costs a system call; from its own thread it costs next to nothing. So waiters sit in a hub per thread, and a
//! commit wakes one of each hub. That one, when it is polled, wakes the others of its hub.

use parking_lot::Mutex;
use std::cell::RefCell;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};

pub(crate) struct Progress {
    id: u64,
    /// Every record below this index would survive a power cut.
    durable: AtomicU64,
    /// The journal cannot be written at the moment.
    stopped: AtomicBool,
    hubs: Mutex<Vec<Weak<Hub>>>,
}

static NEXT_ID: AtomicU64 = AtomicU64::new(0);

thread_local! {
    /// This thread's hub of every trail that it waited for.
    static HUBS: RefCell<Vec<(u64, Arc<Hub>)>> = const { RefCell::new(Vec::new()) };
}

impl Progress {
    pub fn new(durable: u64) -> Arc<Progress> {
        Arc::new(Progress {
            id: NEXT_ID.fetch_add(1, SeqCst),
            durable: AtomicU64::new(durable),
            stopped: AtomicBool::new(false),
            hubs: Mutex::default(),
        })
    }

    pub fn durable(&self) -> u64 {
        self.durable.load(SeqCst)
    }

    pub fn is_stopped(&self) -> bool {
        self.stopped.load(SeqCst)
    }

    /// Everything below `durable` is on disk.
    pub fn advance(&self, durable: u64) {
        self.durable.store(durable, SeqCst);
        self.stopped.store(false, SeqCst);
        self.each_hub(|hub| hub.announce(durable));
    }

    /// The journal failed: nobody waits until it is mended.
    pub fn stop(&self) {
        self.stopped.store(true, SeqCst);
        self.each_hub(Hub::wake_all);
    }

    /// Wakes those whose hub was told but not served, because the task that was woken first is held up elsewhere.
    pub fn sweep(&self) {
        let durable = self.durable();
        self.each_hub(|hub| hub.sweep(durable));
    }

    fn each_hub(&self, act: impl Fn(&Hub)) {
        let hubs: Vec<Arc<Hub>> = self.hubs.lock().iter().filter_map(Weak::upgrade).collect();
        hubs.iter().for_each(|hub| act(hub));
    }

    fn hub(&self) -> Arc<Hub> {
        // A thread that is being torn down has no hub of its own any more.
        HUBS.try_with(|hubs| self.hub_among(&mut hubs.borrow_mut())).unwrap_or_else(|_| self.add_hub())
    }

    fn hub_among(&self, hubs: &mut Vec<(u64, Arc<Hub>)>) -> Arc<Hub> {
        if let Some((_, hub)) = hubs.iter().find(|(id, _)| *id == self.id) {
            return Arc::clone(hub);
        }
        hubs.retain(|(_, hub)| !hub.abandoned.load(SeqCst));
        let hub = self.add_hub();
        hubs.push((self.id, Arc::clone(&hub)));
        hub
    }

    fn add_hub(&self) -> Arc<Hub> {
        let hub = Arc::new(Hub::default());
        let mut hubs = self.hubs.lock();
        hubs.retain(|hub| hub.strong_count() > 0);
        hubs.push(Arc::downgrade(&hub));
        hub
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.each_hub(|hub| hub.abandoned.store(true, SeqCst));
    }
}

#[derive(Default)]
struct Hub {
    waiting: Mutex<Waiting>,
    /// Everyone who waited for a record below this was woken, so has left the hub.
    served: AtomicU64,
    abandoned: AtomicBool,
}

#[derive(Default)]
struct Waiting {
    waiters: Vec<Waiter>,
    next_seat: u64,
    /// One waiter was woken to serve the others and has not come yet.
    called: bool,
}

struct Waiter {
    seat: u64,
    record: u64,
    waker: Waker,
}

impl Hub {
    /// Wakes one waiter that can go on. If the one called last time never came, all of them.
    fn announce(&self, durable: u64) {
        let one = {
            let mut waiting = self.waiting.lock();
            let Some(at) = waiting.waiters.iter().position(|waiter| waiter.record < durable) else { return };
            if waiting.called {
                drop(waiting);
                return self.serve(durable);
            }
            waiting.called = true;
            waiting.waiters.swap_remove(at)
        };
        one.waker.wake();
    }

    fn sweep(&self, durable: u64) {
        if self.waiting.lock().called {
            self.serve(durable);
        }
    }

    /// Wakes everyone who can go on.
    fn serve(&self, durable: u64) {
        let ready: Vec<Waiter> = {
            let mut waiting = self.waiting.lock();
            waiting.called = false;
            self.served.fetch_max(durable, SeqCst);
            waiting.waiters.extract_if(.., |waiter| waiter.record < durable).collect()
        };
        ready.into_iter().for_each(|waiter| waiter.waker.wake());
    }

    fn wake_all(&self) {
        let all = {
            let mut waiting = self.waiting.lock();
            waiting.called = false;
            std::mem::take(&mut waiting.waiters)
        };
        all.into_iter().for_each(|waiter| waiter.waker.wake());
    }
}

/// Waits until a record is durable: `true`; or until the journal has failed: `false`.
pub(crate) struct Durable {
    progress: Arc<Progress>,
    record: u64,
    seat: Option<(Arc<Hub>, u64)>,
}

impl Durable {
    pub fn new(progress: &Arc<Progress>, record: u64) -> Durable {
        Durable { progress: Arc::clone(progress), record, seat: None }
    }

    fn outcome(&self) -> Option<bool> {
        match self.record < self.progress.durable() {
            true => Some(true),
            false => self.progress.is_stopped().then_some(false),
        }
    }

    /// Takes a seat, or renews its waker. An outcome that came in between is seen here, under the lock that
    /// every wake takes.
    fn sit(&mut self, waker: &Waker) -> Option<bool> {
        let (hub, seat) = match &self.seat {
            Some((hub, seat)) => (Arc::clone(hub), Some(*seat)),
            None => (self.progress.hub(), None),
        };
        let mut waiting = hub.waiting.lock();
        if let Some(outcome) = self.outcome() {
            return Some(outcome);
        }
        if let Some(waiter) = waiting.waiters.iter_mut().find(|waiter| Some(waiter.seat) == seat) {
            waiter.waker.clone_from(waker);
            return None;
        }
        let seat = waiting.next_seat;
        waiting.next_seat += 1;
        waiting.waiters.push(Waiter { seat, record: self.record, waker: waker.clone() });
        drop(waiting);
        self.seat = Some((hub, seat));
        None
    }

    /// Gives up the seat. Whoever leaves may be the one that was called, so serves the others.
    fn leave(&mut self) {
        let Some((hub, seat)) = self.seat.take() else { return };
        if hub.served.load(SeqCst) > self.record {
            return;
        }
        hub.waiting.lock().waiters.retain(|waiter| waiter.seat != seat);
        hub.serve(self.progress.durable());
    }
}

impl Future for Durable {
    type Output = bool;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<bool> {
        let Some(outcome) = self.outcome().or_else(|| self.sit(context.waker())) else {
            return Poll::Pending;
        };
        self.leave();
        Poll::Ready(outcome)
    }
}

impl Drop for Durable {
    fn drop(&mut self) {
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicUsize;
    use std::task::Wake;

    #[derive(Default)]
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, SeqCst);
        }
    }

    struct Task {
        count: Arc<Count>,
        future: Option<Pin<Box<Durable>>>,
    }

    impl Task {
        fn waiting_for(progress: &Arc<Progress>, record: u64) -> Task {
            let mut task =
                Task { count: Arc::default(), future: Some(Box::pin(Durable::new(progress, record))) };
            assert_eq!(task.poll(), Poll::Pending);
            task
        }

        fn poll(&mut self) -> Poll<bool> {
            let waker = Waker::from(Arc::clone(&self.count));
            self.future.as_mut().unwrap().as_mut().poll(&mut Context::from_waker(&waker))
        }

        fn woken(&self) -> usize {
            self.count.0.load(SeqCst)
        }
    }

    fn tasks(progress: &Arc<Progress>, records: std::ops::Range<u64>) -> Vec<Task> {
        records.map(|record| Task::waiting_for(progress, record)).collect()
    }

    fn woken(tasks: &[Task]) -> usize {
        tasks.iter().map(Task::woken).sum()
    }

    #[test]
    fn a_commit_wakes_one_and_that_one_wakes_the_others() {
        let progress = Progress::new(0);
        let mut tasks = tasks(&progress, 0..5);
        progress.advance(4);
        assert_eq!(woken(&tasks), 1);
        let lead = tasks.iter().position(|task| task.woken() == 1).unwrap();
        assert_eq!(tasks[lead].poll(), Poll::Ready(true));
        assert_eq!(woken(&tasks), 4, "and the fifth still waits");
        assert_eq!(tasks[4].woken(), 0);
        for task in &mut tasks[..4] {
            if task.woken() == 1 {
                assert_eq!(task.poll(), Poll::Ready(true));
            }
        }
        assert_eq!(tasks[4].poll(), Poll::Pending);
    }

    #[test]
    fn a_lead_that_is_dropped_hands_over() {
        let progress = Progress::new(0);
        let mut tasks = tasks(&progress, 0..3);
        progress.advance(3);
        let lead = tasks.iter().position(|task| task.woken() == 1).unwrap();
        tasks[lead].future = None;
        assert_eq!(woken(&tasks), 3);
    }

    #[test]
    fn a_lead_that_does_not_come_is_not_waited_for() {
        let progress = Progress::new(0);
        let tasks = tasks(&progress, 0..4);
        progress.advance(2);
        assert_eq!(woken(&tasks), 1);
        progress.advance(3);
        assert_eq!(woken(&tasks), 3, "the next commit wakes all that can go on");
        progress.advance(4);
        assert_eq!(woken(&tasks), 4);
        drop(tasks);
        let more = self::tasks(&progress, 4..7);
        progress.advance(7);
        assert_eq!(woken(&more), 1);
        progress.sweep();
        assert_eq!(woken(&more), 3, "and if there is no next commit, the sweep does");
    }

    #[test]
    fn a_stop_wakes_everyone_and_a_restart_takes_them_back() {
        let progress = Progress::new(0);
        let mut tasks = tasks(&progress, 0..3);
        progress.stop();
        assert_eq!(woken(&tasks), 3);
        assert_eq!(tasks[0].poll(), Poll::Ready(false));
        progress.advance(2);
        assert_eq!(tasks[1].poll(), Poll::Ready(true));
        assert_eq!(tasks[2].poll(), Poll::Pending);
        progress.advance(3);
        assert_eq!(tasks[2].woken(), 2);
        assert_eq!(tasks[2].poll(), Poll::Ready(true));
    }
}
