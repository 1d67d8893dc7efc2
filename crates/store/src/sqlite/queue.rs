//! How work reaches the store's thread, and how the answer comes back.

use super::failure::Failure;
use super::turn::Turn;
use crate::{StoreError, StoreFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

/// The sending side. Cheap to clone.
#[derive(Clone)]
pub(super) struct Queue {
    sender: Sender<Message>,
    waiting: Arc<AtomicUsize>,
}

impl Queue {
    pub(super) fn new() -> (Queue, Jobs) {
        let (sender, receiver) = channel();
        let waiting = Arc::new(AtomicUsize::new(0));
        (Queue { sender, waiting: Arc::clone(&waiting) }, Jobs { receiver, waiting })
    }

    /// Runs `work` in a savepoint of the next transaction; the future ends once that is committed. Work that was
    /// asked for is done even if nobody waits for the answer any more.
    pub(super) fn ask<'a, T: Send + 'static>(
        &self,
        effect: Effect,
        work: impl FnOnce(&mut Turn<'_>) -> Result<T, Failure> + Send + 'static,
    ) -> StoreFuture<'a, T> {
        let (reply, answer) = oneshot::channel();
        let sent = if self.waiting.load(Ordering::Relaxed) < MAX_WAITING {
            self.send(Box::new(Question { effect, work: Some(work), found: None, reply }))
        } else {
            Err(StoreError::Overloaded(MAX_WAITING))
        };
        Box::pin(async move {
            sent?;
            answer.await.unwrap_or_else(|_| Err(ended()))
        })
    }

    /// Queues a job that nobody waits for. It is not subject to the limit: each follows a question that was.
    pub(super) fn tell(&self, job: Box<dyn Job>) {
        // The thread outlives the store's handle, so this fails only after a panic; the row then stays open, and
        // the next run takes its outcome as unknown.
        let _ = self.send(job);
    }

    pub(super) fn stop(&self) {
        let _ = self.sender.send(Message::Stop);
    }

    fn send(&self, job: Box<dyn Job>) -> Result<(), StoreError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        self.sender.send(Message::Job(job)).map_err(|_| ended())
    }
}

/// The receiving side.
pub(super) struct Jobs {
    receiver: Receiver<Message>,
    waiting: Arc<AtomicUsize>,
}

impl Jobs {
    /// All that waits, up to `limit`; waits up to `patience` for the first. None once the store is dropped and
    /// nothing waits any more.
    pub(super) fn next(&self, limit: usize, patience: std::time::Duration) -> Batch {
        let mut batch = Batch { jobs: Vec::new(), last: false };
        let mut message = self.receiver.recv_timeout(patience).ok();
        while let Some(next) = message {
            match next {
                Message::Job(job) => batch.jobs.push(job),
                Message::Stop => batch.last = true,
            }
            if batch.jobs.len() == limit {
                break;
            }
            message = self.receiver.try_recv().ok();
        }
        self.waiting.fetch_sub(batch.jobs.len(), Ordering::Relaxed);
        batch
    }
}

pub(super) struct Batch {
    pub(super) jobs: Vec<Box<dyn Job>>,
    /// The store was dropped: nobody asks any more.
    pub(super) last: bool,
}

enum Message {
    Job(Box<dyn Job>),
    Stop,
}

/// One operation on the store's thread.
pub(super) trait Job: Send {
    fn effect(&self) -> Effect;

    /// Does the work in a savepoint, which an error rolls back.
    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure>;

    /// Called once the transaction is committed, or could not be. Returns itself if it must be tried again.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>) -> Option<Box<dyn Job>>;
}

/// What an operation does to the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Effect {
    Reads,
    Writes,
    /// Writes something that others keep in memory: the generation rises.
    Changes,
    /// As `Changes`, and what was deleted must not stay in the write-ahead log either.
    Erases,
}

/// A job that somebody waits for.
struct Question<T, F> {
    effect: Effect,
    work: Option<F>,
    found: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Job for Question<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut Turn<'_>) -> Result<T, Failure> + Send + 'static,
{
    fn effect(&self) -> Effect {
        self.effect
    }

    fn run(&mut self, turn: &mut Turn<'_>) -> Result<(), Failure> {
        if let Some(work) = self.work.take() {
            self.found = Some(work(turn)?);
        }
        Ok(())
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) -> Option<Box<dyn Job>> {
        let Question { found, reply, .. } = *self;
        // Whoever asked may have gone; then the answer is dropped, which releases a reservation.
        let _ = reply.send(committed.and_then(|()| found.ok_or_else(ended)));
        None
    }
}

fn ended() -> StoreError {
    StoreError::Io("its thread has ended".into())
}

/// More than a healthy disk leaves waiting; each waiting operation belongs to an exchange that is held open.
const MAX_WAITING: usize = 10_000;
