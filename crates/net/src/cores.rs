//! One thread per core, each with a single-threaded runtime, so that what runs on a core needs no locks.

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use tokio::runtime::{Builder, LocalOptions, LocalRuntime};
use tokio::sync::{mpsc, oneshot};

/// The running threads.
pub struct Cores {
    handle: Handle,
    threads: Vec<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Cores {
    /// Starts `count` threads named `name-0`, `name-1`, …
    pub fn start(count: NonZeroUsize, name: &str) -> io::Result<Cores> {
        let mut cores = Vec::with_capacity(count.get());
        let mut threads = Vec::with_capacity(count.get());
        for index in 0..count.get() {
            let (jobs, inbox) = mpsc::unbounded_channel();
            let (stop, stopped) = oneshot::channel();
            let (told, made) = std::sync::mpsc::channel();
            // A runtime of one thread's own, which needs no lock to spawn and wake, is made where it runs.
            let thread = std::thread::Builder::new().name(format!("{name}-{index}")).spawn(move || {
                let runtime = Builder::new_current_thread().enable_all().build_local(LocalOptions::default());
                let runtime = runtime.map_err(|error| told.send(Err(error)));
                if let Ok(runtime) = runtime {
                    drop(told.send(Ok(())));
                    run(index, &runtime, inbox, stopped);
                    // Who reads a file for a caller may wait for a disk that hangs; nobody waits for that.
                    runtime.shutdown_background();
                }
            })?;
            made.recv().map_err(io::Error::other)??;
            cores.push(Core { jobs, open: AtomicUsize::new(0) });
            threads.push((stop, thread));
        }
        Ok(Cores { handle: Handle { cores: cores.into() }, threads })
    }

    /// For whoever puts work onto them; it may outlive them.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Drops what still runs on every core and joins the threads. Drain the listeners first.
    pub fn stop(self) {
        let (stops, threads): (Vec<_>, Vec<_>) = self.threads.into_iter().unzip();
        for stop in stops {
            // A core that already ended needs no telling.
            let _ = stop.send(());
        }
        for thread in threads {
            if thread.join().is_err() {
                tracing::error!(
                    "a core ended by a fault of the bridge, and takes no connections any more; restart the bridge, and report this"
                );
            }
        }
    }
}

/// A way to put work onto the cores.
#[derive(Clone)]
pub struct Handle {
    cores: Arc<[Core]>,
}

impl Handle {
    /// How many cores there are.
    pub fn count(&self) -> usize {
        self.cores.len()
    }

    /// Makes a future on core `core` (modulo their number) and runs it there; the future need not be `Send`.
    /// Does nothing once the cores have stopped.
    pub fn spawn_on<F, Fut>(&self, core: usize, make: F)
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = ()> + 'static,
    {
        if let Some(core) = self.cores.get(core % self.cores.len().max(1)) {
            let job: Job = Box::new(move || {
                tokio::task::spawn_local(make());
            });
            drop(core.jobs.send(job));
        }
    }

    /// The core with the fewest open connections, with one more counted on it until the load is dropped.
    pub(crate) fn take_least_loaded(&self) -> Load {
        let loads = self.cores.iter().map(|core| core.open.load(Ordering::Relaxed));
        let index = loads.enumerate().min_by_key(|(_, open)| *open).map_or(0, |(index, _)| index);
        if let Some(core) = self.cores.get(index) {
            core.open.fetch_add(1, Ordering::Relaxed);
        }
        Load { cores: self.cores.clone(), index }
    }
}

/// One connection's weight on its core.
pub(crate) struct Load {
    cores: Arc<[Core]>,
    index: usize,
}

impl Load {
    pub(crate) fn core(&self) -> usize {
        self.index
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        if let Some(core) = self.cores.get(self.index) {
            core.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// The core this thread is, if it is one.
pub fn current() -> Option<usize> {
    CURRENT.get()
}

/// Runs hyper's tasks on the core they came from.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalExecutor;

impl<F: Future + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}

type Job = Box<dyn FnOnce() + Send>;

struct Core {
    jobs: mpsc::UnboundedSender<Job>,
    /// Open connections, over all listeners.
    open: AtomicUsize,
}

thread_local! {
    static CURRENT: Cell<Option<usize>> = const { Cell::new(None) };
}

fn run(
    index: usize,
    runtime: &LocalRuntime,
    mut inbox: mpsc::UnboundedReceiver<Job>,
    mut stopped: oneshot::Receiver<()>,
) {
    CURRENT.set(Some(index));
    runtime.block_on(async move {
        loop {
            tokio::select! {
                biased;
                _ = &mut stopped => break,
                job = inbox.recv() => match job {
                    Some(job) => job(),
                    None => break,
                },
            }
        }
    });
}
