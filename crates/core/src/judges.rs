//! Threads that judge large bodies, so that the other exchanges of a core need not wait.

use std::collections::VecDeque;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::thread;

/// A few threads with one queue. What waits there is bounded by what the bridge may hold of bodies. They end when
/// the last work is done after this is dropped.
pub struct Judges(Arc<Queue>);

type Work = Box<dyn FnOnce() + Send>;

#[derive(Default)]
struct Queue {
    inner: Mutex<Inner>,
    more: Condvar,
}

#[derive(Default)]
struct Inner {
    waiting: VecDeque<Work>,
    closed: bool,
    threads: usize,
}

impl Judges {
    /// Starts so many threads. Without any, work is done where it is given.
    pub fn start(threads: usize) -> Judges {
        let queue = Arc::<Queue>::default();
        for _ in 0..threads {
            let shared = Arc::clone(&queue);
            let started = thread::Builder::new().name("judge".into()).spawn(move || shared.work());
            if started.is_ok() {
                locked(&queue.inner).threads += 1;
            }
        }
        Judges(queue)
    }

    /// Does the work on one of the threads. Work that nobody waits for any more is not begun. `None` where it
    /// panicked.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
        let place = Arc::new(Mutex::new(Done::default()));
        let given = Arc::clone(&place);
        let work: Work = Box::new(move || {
            if Arc::strong_count(&given) == 1 {
                return;
            }
            let result = catch_unwind(AssertUnwindSafe(work)).ok();
            let mut done = locked(&given);
            done.result = Some(result);
            let waker = done.waker.take();
            drop(done);
            if let Some(waker) = waker {
                waker.wake();
            }
        });
        self.0.push(work);
        Waiting(place).await
    }
}

impl Drop for Judges {
    fn drop(&mut self) {
        locked(&self.0.inner).closed = true;
        self.0.more.notify_all();
    }
}

impl Queue {
    fn push(&self, work: Work) {
        let mut inner = locked(&self.inner);
        if inner.threads == 0 {
            drop(inner);
            return work();
        }
        inner.waiting.push_back(work);
        drop(inner);
        self.more.notify_one();
    }

    fn work(&self) {
        let mut inner = locked(&self.inner);
        loop {
            if let Some(work) = inner.waiting.pop_front() {
                drop(inner);
                work();
                inner = locked(&self.inner);
            } else if inner.closed {
                return;
            } else {
                inner = self.more.wait(inner).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }
}

struct Done<T> {
    result: Option<Option<T>>,
    waker: Option<Waker>,
}

impl<T> Default for Done<T> {
    fn default() -> Self {
        Done { result: None, waker: None }
    }
}

struct Waiting<T>(Arc<Mutex<Done<T>>>);

impl<T> Future for Waiting<T> {
    type Output = Option<T>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<T>> {
        let mut done = locked(&self.0);
        match done.result.take() {
            Some(result) => Poll::Ready(result),
            None => {
                done.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    #[tokio::test]
    async fn work_is_done_elsewhere_and_comes_back() {
        let judges = Judges::start(2);
        let here = thread::current().id();
        assert_ne!(judges.run(move || thread::current().id()).await, Some(here));
        assert_eq!(judges.run(|| -> u8 { panic!("odd") }).await, None);
        assert_eq!(judges.run(|| 7).await, Some(7));
        assert_eq!(Judges::start(0).run(move || thread::current().id()).await, Some(here));
    }

    #[tokio::test]
    async fn work_that_nobody_waits_for_is_not_begun() {
        let judges = Judges::start(1);
        let (release, held) = mpsc::channel::<()>();
        let (tell, told) = mpsc::channel::<&str>();
        let mut busy = Box::pin(judges.run(move || held.recv()));
        let mut left = Box::pin(judges.run({
            let tell = tell.clone();
            move || tell.send("left")
        }));
        assert!(Pin::new(&mut busy).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        assert!(Pin::new(&mut left).poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(left);
        release.send(()).unwrap();
        busy.await.unwrap().unwrap();
        judges.run(move || tell.send("done")).await.unwrap().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), ["done"]);
    }
}
