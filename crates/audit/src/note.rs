//! Records that wait beside what is remembered of a trail.

use crate::entry::Entry;
use crate::leaf::Encoded;
use ironbridge_core::{Action, OwnerKey};
use ironbridge_seal::envelope::SealError;

/// A record that the trail must get before any other: it lies beside the head until it is acknowledged, so that it is
/// written once, whenever the bridge is killed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Note {
    pub leaf: Vec<u8>,
    pub detail: Vec<u8>,
}

impl Note {
    /// Of all that lie there, in bytes.
    pub const MAX: usize = 1 << 20;

    pub fn of(action: &Action, callers: &OwnerKey) -> Result<Note, SealError> {
        let mut encoded = Encoded::default();
        encoded.action(action, callers)?;
        Ok(Note { leaf: encoded.leaf, detail: encoded.details.bytes })
    }

    /// Whether it is the record of this action.
    pub fn is_of(&self, action: &str) -> bool {
        Entry::parse(&self.leaf).is_ok_and(|entry| entry.action == action)
    }

    /// Whether it is the record that this was found.
    pub fn tells(&self, fault: &str) -> bool {
        Entry::parse(&self.leaf)
            .is_ok_and(|entry| entry.facts.get("found").is_some_and(|found| found == fault))
    }

    /// One: the record with its length, and its detail. Several: no record, and then each with its detail, both with
    /// their lengths.
    pub fn bytes(notes: &[Note]) -> Vec<u8> {
        if let [Note { leaf, detail }] = notes {
            return [&length(leaf), &**leaf, detail].concat();
        }
        let parts = notes.iter().flat_map(|note| [&note.leaf, &note.detail]);
        let parts = parts.flat_map(|part| [length(part).to_vec(), part.clone()]);
        [length(&[]).to_vec()].into_iter().chain(parts).flatten().collect()
    }

    pub fn parse(bytes: &[u8]) -> Option<Vec<Note>> {
        let note = |leaf: &[u8], detail: &[u8]| Note { leaf: leaf.to_vec(), detail: detail.to_vec() };
        let (leaf, mut rest) = take_part(bytes)?;
        if !leaf.is_empty() {
            return Some(vec![note(leaf, rest)]);
        }
        let mut notes = Vec::new();
        while !rest.is_empty() {
            let (leaf, tail) = take_part(rest)?;
            let (detail, tail) = take_part(tail)?;
            notes.push(note(leaf, detail));
            rest = tail;
        }
        Some(notes)
    }
}

fn length(part: &[u8]) -> [u8; 4] {
    u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes()
}

fn take_part(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk::<4>()?;
    rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn notes_read_back(notes in prop::collection::vec(("[a-z]{1,9}", any::<Vec<u8>>()), 1..4)) {
            let notes: Vec<Note> = notes.into_iter().map(|(leaf, detail)| Note { leaf: leaf.into_bytes(), detail }).collect();
            prop_assert_eq!(Note::parse(&Note::bytes(&notes)), Some(notes));
        }

        #[test]
        fn hostile_notes_do_no_harm(bytes: Vec<u8>) {
            let _ = Note::parse(&bytes);
        }
    }
}
