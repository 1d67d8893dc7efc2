//! File descriptors: as many as the system gives, and the last of them kept for what must not fail.

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, Ordering};

/// Kept for the audit trail, the store, and files that are read again; a quarter where there are few in all.
const RESERVE: u64 = 128;

/// The first descriptor that no connection may have. The kernel gives the lowest that is free (open(2)), so a number
/// says how many are taken.
static RESERVED_FROM: AtomicI32 = AtomicI32::new(i32::MAX);

/// Raises the soft limit to the hard one, and reserves the last descriptors. Returns how many connections, of callers
/// and to targets, can be open at once.
pub fn prepare() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, ..limit };
    if limit.current != limit.maximum
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let connections = for_connections(getrlimit(Resource::Nofile).current);
    RESERVED_FROM.store(i32::try_from(connections).unwrap_or(i32::MAX), Ordering::Relaxed);
    connections
}

/// How many connections can be opened beside what is open now, [`prepare`] called.
///
/// # Errors
/// There is not even one descriptor to tell by ([`are_spent`]), or it cannot be told.
pub fn left() -> io::Result<u64> {
    // It needs no file that the process may read, and no address family that it may use.
    let next = io::stderr().as_fd().try_clone_to_owned()?.as_raw_fd();
    let left = RESERVED_FROM.load(Ordering::Relaxed).saturating_sub(next);
    Ok(u64::try_from(left).unwrap_or(0))
}

/// How many connections could be open here, once [`prepare`] was called.
pub fn available() -> u64 {
    for_connections(getrlimit(Resource::Nofile).maximum)
}

/// Whether this is one of the last: close it.
pub fn is_reserved(socket: &impl AsFd) -> bool {
    socket.as_fd().as_raw_fd() >= RESERVED_FROM.load(Ordering::Relaxed)
}

/// Whether the process (EMFILE) or the system (ENFILE) has none left.
pub fn are_spent(error: &io::Error) -> bool {
    let spent = [Errno::MFILE, Errno::NFILE];
    error.raw_os_error().is_some_and(|code| spent.iter().any(|errno| errno.raw_os_error() == code))
}

fn for_connections(limit: Option<u64>) -> u64 {
    limit.map_or(u64::MAX, |limit| limit - RESERVE.min(limit / 4))
}
