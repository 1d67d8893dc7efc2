//! What one load of the manifest hands over to the next.

use std::collections::HashMap;

/// Things that a reload keeps when what they were made from has not changed, so that connections stay warm and tokens
/// stay cached. The key is the declaration's text with a digest of the files it names.
pub struct Carried<V>(HashMap<String, V>);

impl<V> Default for Carried<V> {
    fn default() -> Carried<V> {
        Carried(HashMap::new())
    }
}

impl<V: Clone> Carried<V> {
    /// What was there before under this key.
    pub fn get(&self, key: &str) -> Option<V> {
        self.0.get(key).cloned()
    }

    pub fn insert(&mut self, key: String, value: V) {
        self.0.insert(key, value);
    }

    pub fn values(&self) -> impl Iterator<Item = &V> {
        self.0.values()
    }
}
