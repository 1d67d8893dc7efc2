//! How much of bodies the whole bridge holds, and who holds it.

use bytes::Bytes;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError, RwLock};

/// What the bridge may hold of bodies that its controls read: as they came, as they were read, and as they are on
/// their way out. Outlives reloads of the manifest.
///
/// An account holds at most as much as is still free beside it. One alone so gets half, two a third each, and
/// however many there are, there is room for the next (dynamic thresholds, Choudhury and Hahne 1998).
#[derive(Debug)]
pub struct Memory {
    limit: AtomicU64,
    held: AtomicU64,
    /// By account; their number is bounded by that of the accounts ever declared.
    shares: RwLock<HashMap<Arc<str>, Arc<AtomicU64>>>,
}

/// There is no room for a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Full {
    /// Others, or others of the same account, hold too much just now.
    Now,
    /// It is more than one account may ever hold.
    Ever,
}

impl Memory {
    /// Room for `limit` bytes.
    pub fn new(limit: u64) -> Arc<Memory> {
        let (limit, held) = (AtomicU64::new(limit), AtomicU64::new(0));
        Arc::new(Memory { limit, held, shares: RwLock::default() })
    }

    /// From now on there is room for so many bytes. What is held already stays.
    pub fn set_limit(&self, limit: u64) {
        self.limit.store(limit, Relaxed);
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// An account's charge, still of nothing. The empty name stands for whoever has none.
    pub fn charge(self: &Arc<Memory>, account: &str) -> Charge {
        Charge { of: Some((Arc::clone(self), self.share(account))), bytes: 0 }
    }

    fn share(&self, account: &str) -> Arc<AtomicU64> {
        let known = self.shares.read().unwrap_or_else(PoisonError::into_inner).get(account).cloned();
        known.unwrap_or_else(|| {
            let mut shares = self.shares.write().unwrap_or_else(PoisonError::into_inner);
            Arc::clone(shares.entry(account.into()).or_default())
        })
    }

    fn take(&self, share: &AtomicU64, bytes: u64, whole: u64) -> Result<(), Full> {
        let limit = self.limit.load(Relaxed);
        let held = self.held.fetch_add(bytes, Relaxed).saturating_add(bytes);
        let own = share.fetch_add(bytes, Relaxed).saturating_add(bytes);
        if own <= limit.saturating_sub(held) {
            return Ok(());
        }
        self.give_back(share, bytes);
        Err(if whole > limit / 2 { Full::Ever } else { Full::Now })
    }

    fn give_back(&self, share: &AtomicU64, bytes: u64) {
        share.fetch_sub(bytes, Relaxed);
        self.held.fetch_sub(bytes, Relaxed);
    }
}

/// Bytes that somebody holds; given back when it is dropped. The default is nobody's, and counted nowhere.
#[derive(Debug, Default)]
pub struct Charge {
    of: Option<(Arc<Memory>, Arc<AtomicU64>)>,
    bytes: u64,
}

impl Charge {
    /// Another charge of the same account, of nothing yet.
    pub fn another(&self) -> Charge {
        Charge { of: self.of.clone(), bytes: 0 }
    }

    /// Grows until it is at least `bytes`, before they are held.
    ///
    /// # Errors
    /// When there is no room; the charge is then what it was.
    pub fn grow_to(&mut self, bytes: usize) -> Result<(), Full> {
        self.grow_beside(bytes, 0)
    }

    /// As [`Charge::grow_to`], where `beside` bytes are held for the same body already.
    pub(crate) fn grow_beside(&mut self, bytes: usize, beside: usize) -> Result<(), Full> {
        let bytes = count(bytes);
        let more = bytes.saturating_sub(self.bytes);
        if let (Some((memory, share)), 1..) = (&self.of, more) {
            memory.take(share, more, bytes.saturating_add(count(beside)))?;
            self.bytes = bytes;
        }
        Ok(())
    }

    /// Gives back what is above `bytes`.
    pub fn shrink_to(&mut self, bytes: usize) {
        let less = self.bytes.saturating_sub(count(bytes));
        if let (Some((memory, share)), 1..) = (&self.of, less) {
            memory.give_back(share, less);
            self.bytes -= less;
        }
    }

    /// The same bytes; the charge ends when the last copy of them is dropped, wherever that is.
    pub fn keep(mut self, bytes: Bytes) -> Bytes {
        self.shrink_to(bytes.len());
        if self.bytes == 0 { bytes } else { Bytes::from_owner(Kept { bytes, _charge: self }) }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.shrink_to(0);
    }
}

struct Kept {
    bytes: Bytes,
    _charge: Charge,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

fn count(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn there_is_always_room_for_the_next_account() {
        let memory = Memory::new(1200);
        let fill = |account: &str, step: usize| {
            let mut charge = memory.charge(account);
            let mut size = 0;
            while charge.grow_to(size + step).is_ok() {
                size += step;
            }
            (charge, size)
        };
        let (first, alone) = fill("first", 1);
        assert_eq!(alone, 600);
        let (second, beside) = fill("second", 1);
        assert_eq!(beside, 300);
        let (_third, beside) = fill("third", 1);
        assert_eq!(beside, 150);
        drop((first, second));
        assert_eq!(memory.held(), 150);
    }

    #[test]
    fn what_never_fits_is_told_apart() {
        let memory = Memory::new(100);
        assert_eq!(memory.charge("a").grow_to(51), Err(Full::Ever));
        assert_eq!(memory.charge("a").grow_beside(30, 30), Ok(()));
        let mut held = memory.charge("a");
        held.grow_to(40).unwrap();
        assert_eq!(memory.charge("a").grow_to(40), Err(Full::Now));
        assert_eq!(memory.charge("b").grow_beside(61, 30), Err(Full::Ever));
    }

    #[test]
    fn what_was_kept_is_given_back_with_its_last_copy() {
        let memory = Memory::new(100);
        let mut charge = memory.charge("a");
        charge.grow_to(40).unwrap();
        let body = charge.keep(Bytes::from_static(b"0123456789"));
        assert_eq!(memory.held(), 10);
        let tail = body.slice(9..);
        drop(body);
        assert_eq!(memory.held(), 10);
        drop(tail);
        assert_eq!(memory.held(), 0);
    }

    proptest! {
        #[test]
        fn nobody_holds_more_than_is_free_and_all_comes_back(
            steps in proptest::collection::vec((0usize..4, 0usize..400, any::<bool>()), 1..60),
        ) {
            let memory = Memory::new(1000);
            let accounts = ["a", "b", "c", ""];
            let mut charges = accounts.map(|account| memory.charge(account));
            for (who, size, grows) in steps {
                let charge = &mut charges[who];
                if grows {
                    if charge.grow_to(size).is_ok() {
                        prop_assert!(charge.bytes >= size as u64);
                    }
                } else {
                    charge.shrink_to(size);
                }
                prop_assert_eq!(memory.held(), charges.iter().map(|charge| charge.bytes).sum::<u64>());
                prop_assert!(memory.held() <= 1000);
            }
            drop(charges);
            prop_assert_eq!(memory.held(), 0);
        }
    }
}
