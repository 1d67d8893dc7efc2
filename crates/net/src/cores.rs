use std::future::Future;
use std::io;
use std::num::NonZeroUsize;

/// One thread per core, each with a single-threaded runtime, so that what runs on a core needs no locks.
pub struct Cores {}

impl Cores {
    /// Starts `count` threads named `name-0`, `name-1`, …
    pub fn start(_count: NonZeroUsize, _name: &str) -> io::Result<Cores> {
        todo!()
    }
    pub fn handle(&self) -> Handle {
        todo!()
    }
    /// Drops what still runs on every core and joins the threads. Drain listeners first.
    pub fn stop(self) {
        todo!()
    }
}

/// A way to put work onto the cores.
#[derive(Clone)]
pub struct Handle {}

impl Handle {
    pub fn count(&self) -> usize {
        todo!()
    }
    /// Makes a future on core `core` (modulo the number of cores) and runs it there; the future need not be `Send`.
    pub fn spawn_on<F, Fut>(&self, _core: usize, _make: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        todo!()
    }
}

/// Runs hyper's tasks on the core they came from.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(async move {
            future.await;
        });
    }
}
