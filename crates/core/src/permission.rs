//! Permissions as numbers: names are looked up when the manifest is loaded, so that judging compares bits.

use std::collections::HashMap;

/// A permission's place in the [`PermissionTable`] of the loaded manifest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Permission(u32);

/// A set of permissions as bits, so that an authorisation is one test of one word.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PermissionSet(Vec<u64>);

impl PermissionSet {
    /// Adds one.
    pub fn insert(&mut self, permission: Permission) {
        let (word, bit) = place(permission);
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        if let Some(slot) = self.0.get_mut(word) {
            *slot |= bit;
        }
    }

    /// Whether it holds this one.
    pub fn contains(&self, permission: Permission) -> bool {
        let (word, bit) = place(permission);
        self.0.get(word).is_some_and(|slot| slot & bit != 0)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    /// What both sets hold.
    pub fn intersection(&self, other: &PermissionSet) -> PermissionSet {
        PermissionSet(self.0.iter().zip(&other.0).map(|(a, b)| a & b).collect())
    }
}

impl FromIterator<Permission> for PermissionSet {
    fn from_iter<I: IntoIterator<Item = Permission>>(permissions: I) -> Self {
        let mut set = PermissionSet::default();
        permissions.into_iter().for_each(|permission| set.insert(permission));
        set
    }
}

fn place(Permission(index): Permission) -> (usize, u64) {
    (usize::try_from(index / 64).unwrap_or(usize::MAX), 1 << (index % 64))
}

/// Every permission that a manifest names. Names that it does not name have no place, so they grant nothing.
#[derive(Debug, Clone, Default)]
pub struct PermissionTable {
    places: HashMap<Box<str>, Permission>,
    names: Vec<Box<str>>,
}

impl PermissionTable {
    /// The permission's place, made if it is new.
    pub fn intern(&mut self, name: &str) -> Permission {
        if let Some(known) = self.places.get(name) {
            return *known;
        }
        let permission = Permission(u32::try_from(self.names.len()).unwrap_or(u32::MAX));
        self.places.insert(name.into(), permission);
        self.names.push(name.into());
        permission
    }

    /// The permission of this name, where the manifest knows one.
    pub fn find(&self, name: &str) -> Option<Permission> {
        self.places.get(name).copied()
    }

    /// The permissions of a space-separated OAuth scope (RFC 6749 §3.3) that this bridge knows.
    pub fn of_scope(&self, scope: &str) -> PermissionSet {
        scope.split(' ').filter_map(|name| self.find(name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_hold_what_was_put_in_and_nothing_else() {
        let mut table = PermissionTable::default();
        let all: Vec<_> = (0..200).map(|n| table.intern(&format!("p{n}"))).collect();
        let set: PermissionSet = all.iter().step_by(3).copied().collect();
        for (n, permission) in all.iter().enumerate() {
            assert_eq!(set.contains(*permission), n % 3 == 0);
        }
        let scope = table.of_scope("p0 p1 unknown p199");
        let both = set.intersection(&scope);
        assert!(both.contains(all[0]) && !both.contains(all[1]) && !both.contains(all[199]));
    }
}
