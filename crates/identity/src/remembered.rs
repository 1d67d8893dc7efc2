//! What was verified once and need not be verified again: bounded, sharded, exact.

use ahash::AHashMap;
use ironbridge_core::{Principal, Timestamp};
use parking_lot::Mutex;

/// Power of two, so that a mask chooses; 16 keeps two cores out of each other's way almost always.
const SHARDS: usize = 16;

/// Verified credentials by their exact bytes: a hash only finds the candidate, equality decides. Holds at most
/// about `capacity` entries; when a shard is full, what was not used since the last time it was full goes.
pub(crate) struct Remembered {
    shards: Box<[Mutex<Shard>]>,
    half: usize,
}

#[derive(Default)]
struct Shard {
    recent: AHashMap<Box<[u8]>, Entry>,
    older: AHashMap<Box<[u8]>, Entry>,
}

/// One verified credential, and what must still hold for it to count.
#[derive(Clone)]
pub(crate) struct Entry {
    pub principal: Principal,
    pub not_before: Timestamp,
    /// Exclusive.
    pub not_after: Timestamp,
    /// [`crate::accounts::Directory::generation`] it was verified under.
    pub directory: u64,
    /// Which issuer's keys verified it, and their generation.
    pub issuer: usize,
    pub keys: u64,
    /// The client secret it was taken with, where the issuer keeps to that.
    pub secret: Option<Box<str>>,
}

impl Entry {
    fn counts(&self, now: Timestamp, directory: u64) -> bool {
        self.directory == directory && self.not_before <= now && now < self.not_after
    }
}

impl Remembered {
    pub fn new(capacity: usize) -> Remembered {
        Remembered {
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            half: (capacity / SHARDS / 2).max(1),
        }
    }

    /// The principal, if the entry still counts and `current` agrees that what its issuer says of it still holds.
    pub fn recall(
        &self,
        bytes: &[u8],
        now: Timestamp,
        directory: u64,
        current: impl FnOnce(&Entry) -> bool,
    ) -> Option<Principal> {
        let mut shard = self.shard(bytes)?.lock();
        if let Some(entry) = shard.recent.get(bytes) {
            let good = entry.counts(now, directory) && current(entry);
            return good.then(|| entry.principal.clone());
        }
        let (key, entry) = shard.older.remove_entry(bytes)?;
        if !entry.counts(now, directory) || !current(&entry) {
            return None;
        }
        let principal = entry.principal.clone();
        shard.keep(key, entry, self.half);
        Some(principal)
    }

    pub fn remember(&self, bytes: &[u8], entry: Entry) {
        if let Some(shard) = self.shard(bytes) {
            shard.lock().keep(bytes.into(), entry, self.half);
        }
    }

    /// Tokens and thumbprints end in what their maker could not choose (a signature, a digest), so their last
    /// bytes spread them as well as a hash would.
    fn shard(&self, bytes: &[u8]) -> Option<&Mutex<Shard>> {
        let tail = bytes.get(bytes.len().saturating_sub(12)..).unwrap_or_default();
        let mixed =
            tail.iter().fold(0usize, |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte)));
        self.shards.get(mixed % SHARDS)
    }
}

impl Shard {
    fn keep(&mut self, key: Box<[u8]>, entry: Entry, half: usize) {
        if self.recent.len() >= half && !self.recent.contains_key(&key) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.older.remove(&key);
        self.recent.insert(key, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::{Account, Credential, CredentialKind};
    use std::sync::Arc;

    fn entry(directory: u64) -> Entry {
        let account = Account {
            name: "a".into(),
            system: "s".into(),
            permissions: Default::default(),
            addresses: Vec::new(),
            owner: None,
        };
        let credential = Credential { kind: CredentialKind::Token, id: "t".into(), expires: None };
        Entry {
            principal: Principal::verified(Arc::new(account), Arc::new(credential), None),
            not_before: Timestamp(10),
            not_after: Timestamp(20),
            directory,
            issuer: 0,
            keys: 7,
            secret: None,
        }
    }

    #[test]
    fn an_entry_counts_only_while_all_it_rests_on_holds() {
        let remembered = Remembered::new(100);
        remembered.remember(b"token", entry(1));
        let recall = |bytes: &[u8], now, directory, keys| {
            remembered.recall(bytes, Timestamp(now), directory, |entry| entry.keys == keys).is_some()
        };
        assert!(recall(b"token", 10, 1, 7) && recall(b"token", 19, 1, 7));
        assert!(!recall(b"token", 9, 1, 7) && !recall(b"token", 20, 1, 7));
        assert!(!recall(b"token", 15, 2, 7) && !recall(b"token", 15, 1, 8) && !recall(b"tokem", 15, 1, 7));
    }

    #[test]
    fn it_stays_bounded_and_keeps_what_is_used() {
        let remembered = Remembered::new(64);
        remembered.remember(b"used", entry(1));
        for n in 0..10_000u32 {
            remembered.remember(&n.to_be_bytes(), entry(1));
            assert!(remembered.recall(b"used", Timestamp(15), 1, |_| true).is_some(), "{n}");
        }
        let size = |shard: &Mutex<Shard>| {
            let shard = shard.lock();
            shard.recent.len() + shard.older.len()
        };
        let held: usize = remembered.shards.iter().map(size).sum();
        assert!(held <= 64, "{held}");
    }
}
