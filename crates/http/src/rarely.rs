//! What a connection waits for besides its bytes: it is asked only when it was woken, because the connection is polled
//! for every read and write, and each question takes a lock.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

pub(crate) struct Rarely<F> {
    inner: Pin<Box<F>>,
    bell: Arc<Bell>,
    /// The task that the bell wakes.
    task: Option<Waker>,
}

struct Bell {
    rung: AtomicBool,
    task: Mutex<Option<Waker>>,
}

pub(crate) fn rarely<F: Future>(inner: F) -> Rarely<F> {
    let bell = Bell { rung: AtomicBool::new(true), task: Mutex::default() };
    Rarely { inner: Box::pin(inner), bell: Arc::new(bell), task: None }
}

impl<F: Future> Future for Rarely<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let this = &mut *self;
        // Known to the bell before it is looked at: who rings it from here on wakes this task.
        if !this.task.as_ref().is_some_and(|task| task.will_wake(context.waker())) {
            this.task = Some(context.waker().clone());
            this.bell.wakes(context.waker().clone());
        }
        if !this.bell.rung.load(Ordering::Acquire) {
            return Poll::Pending;
        }
        this.bell.rung.store(false, Ordering::Release);
        let bell = Waker::from(Arc::clone(&this.bell));
        this.inner.as_mut().poll(&mut Context::from_waker(&bell))
    }
}

impl Bell {
    fn wakes(&self, task: Waker) {
        *self.task.lock().unwrap_or_else(PoisonError::into_inner) = Some(task);
    }
}

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.rung.store(true, Ordering::Release);
        let task = self.task.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(task) = task {
            task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::future::poll_fn;
    use tokio::sync::Notify;

    #[tokio::test]
    async fn it_is_asked_when_it_was_woken_and_not_otherwise() {
        let (notify, asked) = (Notify::new(), Cell::new(0));
        let mut notified = Box::pin(notify.notified());
        let mut waiting = rarely(poll_fn(|context| {
            asked.set(asked.get() + 1);
            notified.as_mut().poll(context)
        }));
        for _ in 0..5 {
            poll_fn(|context| {
                assert!(Pin::new(&mut waiting).poll(context).is_pending());
                Poll::Ready(())
            })
            .await;
        }
        assert_eq!(asked.get(), 1);
        notify.notify_waiters();
        waiting.await;
        assert_eq!(asked.get(), 2);
    }

    /// The task that waits may be another one than before.
    #[tokio::test]
    async fn it_wakes_whoever_asked_last() {
        let notify = Arc::new(Notify::new());
        let told = Arc::clone(&notify);
        let mut waiting = rarely(async move { told.notified().await });
        poll_fn(|context| {
            assert!(Pin::new(&mut waiting).poll(context).is_pending());
            Poll::Ready(())
        })
        .await;
        let waits = tokio::spawn(waiting);
        tokio::task::yield_now().await;
        notify.notify_one();
        waits.await.unwrap();
    }
}
