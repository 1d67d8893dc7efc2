//! Owners' keys in memory, until one is destroyed.

use ahash::AHashMap;
use ironbridge_core::OwnerKey;
use ironbridge_store::Lookup;
use std::sync::Arc;

/// Keys at hand, valid for one generation of the store. Bounded: when `recent` is full it becomes `older`, and what
/// was not used since goes.
pub struct Cache {
    generation: u64,
    recent: AHashMap<Lookup, Arc<OwnerKey>>,
    older: AHashMap<Lookup, Arc<OwnerKey>>,
    half: usize,
}

impl Cache {
    /// Holds at most `capacity` keys, and at least two.
    pub fn new(capacity: usize) -> Cache {
        let half = (capacity / 2).max(1);
        Cache { generation: 0, recent: AHashMap::new(), older: AHashMap::new(), half }
    }

    /// The store is at this generation. At a later one than before, any key may have been destroyed: all go.
    pub fn advance(&mut self, generation: u64) {
        if generation > self.generation {
            self.generation = generation;
            self.recent.clear();
            self.older.clear();
        }
    }

    pub fn find(&mut self, lookup: &Lookup) -> Option<Arc<OwnerKey>> {
        if let Some(key) = self.recent.get(lookup) {
            return Some(Arc::clone(key));
        }
        let key = self.older.remove(lookup)?;
        self.insert(*lookup, Arc::clone(&key));
        Some(key)
    }

    /// Keeps what was asked of the store at `generation`, unless the store has changed since.
    pub fn keep(&mut self, generation: u64, lookup: Lookup, key: Arc<OwnerKey>) {
        if generation == self.generation {
            self.insert(lookup, key);
        }
    }

    fn insert(&mut self, lookup: Lookup, key: Arc<OwnerKey>) {
        if self.recent.len() >= self.half {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(lookup, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used_stays_and_the_rest_is_bounded() {
        let mut cache = Cache::new(20);
        cache.advance(1);
        cache.keep(1, [0; 32], key());
        for n in 1..=200 {
            cache.keep(1, [n; 32], key());
            assert!(cache.find(&[0; 32]).is_some(), "{n}");
            assert!(cache.recent.len() + cache.older.len() <= 20);
        }
        assert!(cache.find(&[1; 32]).is_none());
    }

    #[test]
    fn a_later_generation_empties_it() {
        let mut cache = Cache::new(20);
        cache.advance(5);
        cache.keep(5, [1; 32], key());
        cache.advance(5);
        assert!(cache.find(&[1; 32]).is_some());
        cache.advance(6);
        assert!(cache.find(&[1; 32]).is_none());
        cache.keep(5, [1; 32], key());
        assert!(cache.find(&[1; 32]).is_none(), "asked before the change, answered after it");
    }

    fn key() -> Arc<OwnerKey> {
        Arc::new(OwnerKey::new([0; 16], [0; 32]))
    }
}
