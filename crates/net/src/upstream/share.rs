//! Shares: how much of one target an account may hold at a time, so that there is always some left for the others.

use super::error::SendError;
use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// For whom a connection is taken.
#[derive(Debug, Clone, Copy)]
pub struct Holder<'a> {
    /// As declared.
    pub account: &'a str,
    /// The most connections it may hold; over HTTP/2, as many streams as there would be on so many connections.
    pub most: usize,
}

/// What one account holds of one target, over all cores.
#[derive(Debug, Default, Clone)]
pub(super) struct Count {
    /// Whole connections: an HTTP/1 exchange, a switched protocol.
    connections: Arc<AtomicUsize>,
    /// Streams on shared ones.
    streams: Arc<AtomicUsize>,
}

impl Count {
    pub fn connection(&self, most: usize) -> Option<Held> {
        Held::take(&self.connections, most)
    }

    pub fn stream(&self, most: usize) -> Option<Held> {
        Held::take(&self.streams, most)
    }

    fn is_zero(&self) -> bool {
        self.connections.load(Ordering::Relaxed) == 0 && self.streams.load(Ordering::Relaxed) == 0
    }

    fn is_kept(&self) -> bool {
        Arc::strong_count(&self.connections) > 1 || Arc::strong_count(&self.streams) > 1
    }
}

/// One exchange's part of what its account holds.
#[derive(Debug)]
pub(super) struct Held(Arc<AtomicUsize>);

impl Held {
    fn take(count: &Arc<AtomicUsize>, most: usize) -> Option<Held> {
        let more = |held| (held < most).then_some(held + 1);
        count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Held(Arc::clone(count)))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The counts of every account that holds something of a target. Each core keeps those that it uses
/// ([`Known`]), so that an exchange takes no lock.
#[derive(Debug, Default)]
pub(super) struct Shares(Mutex<HashMap<Box<str>, Count, ahash::RandomState>>);

impl Shares {
    fn of(&self, account: &str) -> Count {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match counts.get(account) {
            Some(count) => count.clone(),
            None => counts.entry(account.into()).or_default().clone(),
        }
    }

    /// Forgets those that nobody keeps. Under the lock, because a count that is forgotten must not be in use.
    fn sweep(&self) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.retain(|_, count| count.is_kept());
    }
}

/// The counts that one core uses.
#[derive(Debug, Default)]
pub(super) struct Known(RefCell<HashMap<Box<str>, Count, ahash::RandomState>>);

impl Known {
    pub fn hold(
        &self,
        shares: &Shares,
        account: &str,
        take: impl FnOnce(&Count) -> Option<Held>,
    ) -> Option<Held> {
        if let Some(count) = self.0.borrow().get(account) {
            return take(count);
        }
        let count = shares.of(account);
        let held = take(&count);
        self.0.borrow_mut().insert(account.into(), count);
        held
    }

    pub fn sweep(&self, shares: &Shares) {
        self.0.borrow_mut().retain(|_, count| !count.is_zero());
        shares.sweep();
    }
}

/// Holds all that it may.
pub(super) fn taken(holder: Holder<'_>) -> SendError {
    SendError::ShareTaken { account: holder.account.into(), most: holder.most }
}
