//! Gathering the terms of a block.

use super::block::{BLOCKS, Blocks, MAX_POSTINGS, Posting, Times, encode};
use super::term::{Field, Term};
use crate::merkle::{Hash, leaf_hash, root_of};
use crate::text::parse_time;
use ironbridge_core::OwnerTag;
use serde::Deserialize;
use std::borrow::Cow;

/// Makes the index of one block of 65,536 records.
pub struct IndexBuilder {
    blocks: Blocks,
    count: u64,
    /// Of the bundle at hand.
    leaves: Vec<Hash>,
    /// Of the bundles before it.
    roots: Vec<Hash>,
    times: Vec<Times>,
    postings: Vec<Posting>,
    subjects: Vec<Posting>,
    subjects_known: bool,
}

/// The index of a block.
pub struct Built {
    /// Of the tree of the block's records, as they were given to the builder.
    pub root: Hash,
    /// The index file.
    pub bytes: Vec<u8>,
}

impl Default for IndexBuilder {
    fn default() -> Self {
        IndexBuilder::of(BLOCKS)
    }
}

impl IndexBuilder {
    pub(crate) fn of(blocks: Blocks) -> IndexBuilder {
        IndexBuilder {
            blocks,
            count: 0,
            leaves: Vec::new(),
            roots: Vec::new(),
            times: Vec::new(),
            postings: Vec::new(),
            subjects: Vec::new(),
            subjects_known: true,
        }
    }

    /// Takes the next record, with the owner tags of its data subjects. `None`: its detail is not there. Records
    /// beyond the block are passed over.
    ///
    /// # Errors
    /// When the leaf is not a record. The block cannot have an index then.
    pub fn add(&mut self, leaf: &[u8], subjects: Option<&[OwnerTag]>) -> Result<(), String> {
        let Some(place) = self.place() else { return Ok(()) };
        let record: Record<'_> = serde_json::from_slice(leaf).map_err(|error| error.to_string())?;
        let time = parse_time(&record.time).ok_or("its time is not one")?;
        if self.leaves.is_empty() {
            self.times.push(Times::NONE);
        }
        if let Some(times) = self.times.last_mut() {
            times.widen(time);
        }
        for (field, value) in record.fields().into_iter().filter(|(_, value)| !value.is_empty()) {
            self.postings.push(Posting { term: Term::new(field, value.as_bytes()), place });
        }
        self.add_subjects(place, record.details, subjects);
        self.count += 1;
        self.leaves.push(leaf_hash(leaf));
        if self.count.is_multiple_of(crate::tiles::WIDTH) {
            self.roots.extend(root_of(&self.leaves));
            self.leaves.clear();
        }
        Ok(())
    }

    fn place(&self) -> Option<u16> {
        u16::try_from(self.count).ok().filter(|_| self.count < self.blocks.records())
    }

    fn add_subjects(&mut self, place: u16, details: u32, subjects: Option<&[OwnerTag]>) {
        match subjects {
            None if details > 0 => self.subjects_known = false,
            None => {}
            Some(tags) => {
                let terms = tags.iter().map(|tag| Term::new(Field::Subject, tag));
                self.subjects.extend(terms.map(|term| Posting { term, place }));
            }
        }
        // Room for all that the fields can still bring.
        if self.subjects.len() > MAX_POSTINGS - FIELDS * usize::from(u16::MAX) - FIELDS {
            self.subjects_known = false;
            self.subjects = Vec::new();
        }
    }

    /// The block's index, once it has all its records.
    pub fn finish(mut self) -> Option<Built> {
        if self.count < self.blocks.records() {
            return None;
        }
        let root = root_of(&self.roots)?;
        if self.subjects_known {
            self.postings.append(&mut self.subjects);
        }
        self.postings.sort_unstable();
        self.postings.dedup();
        let bytes = encode(&root, self.subjects_known, &self.times, &self.postings);
        Some(Built { root, bytes })
    }
}

const FIELDS: usize = 10;

/// What the index needs of a leaf, without copying it.
#[derive(Deserialize)]
struct Record<'l> {
    #[serde(borrow)]
    id: Cow<'l, str>,
    #[serde(borrow)]
    time: Cow<'l, str>,
    #[serde(borrow, default)]
    integration: Cow<'l, str>,
    #[serde(borrow, default)]
    operation: Cow<'l, str>,
    #[serde(borrow, default)]
    permission: Cow<'l, str>,
    #[serde(borrow, default)]
    account: Cow<'l, str>,
    #[serde(borrow)]
    outcome: Cow<'l, str>,
    #[serde(borrow)]
    code: Cow<'l, str>,
    #[serde(borrow, default)]
    action: Cow<'l, str>,
    #[serde(borrow, default)]
    source: Cow<'l, str>,
    #[serde(borrow, default)]
    target: Cow<'l, str>,
    #[serde(default)]
    details: u32,
}

impl Record<'_> {
    fn fields(&self) -> [(Field, &str); FIELDS] {
        [
            (Field::Id, &self.id),
            (Field::Integration, &self.integration),
            (Field::Operation, &self.operation),
            (Field::Permission, &self.permission),
            (Field::Account, &self.account),
            (Field::Outcome, &self.outcome),
            (Field::Code, &self.code),
            (Field::Action, &self.action),
            (Field::Source, &self.source),
            (Field::Target, &self.target),
        ]
    }
}
