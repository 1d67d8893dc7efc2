//! Personal detail: what a record knows of people, outside the record.
//!
//! A record itself holds no personal detail, only one hash over salted commitments to it. The detail lies beside
//! the log, each piece sealed under the key of whom it concerns. Destroying that key destroys the detail and the
//! salt, which is derived from the key; the record, its hash and every proof stay as they are.

use crate::merkle::Hash;
use ironbridge_core::{ExchangeId, OwnerKey, OwnerTag};
use ironbridge_seal::envelope::SealError;
use ironbridge_seal::hash::sha256_parts;
use ironbridge_seal::owner::{Derived, SALT_LEN, derive};

/// What a piece of detail is. The number is part of the commitment and of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum DetailKind {
    /// The caller's IP address.
    Address = 1,
    /// The id of a data subject.
    Subject = 2,
    /// Who did an action: an operating system user.
    Actor = 3,
    /// What a transport wants to find an exchange by, as `name=value`.
    Mark = 4,
}

impl DetailKind {
    /// As receipts, queries and exports spell it.
    pub const fn name(self) -> &'static str {
        match self {
            DetailKind::Address => "address",
            DetailKind::Subject => "subject",
            DetailKind::Actor => "actor",
            DetailKind::Mark => "mark",
        }
    }

    /// Of the number that is stored; `None` for one of a later version.
    pub fn from_number(number: u8) -> Option<DetailKind> {
        [DetailKind::Address, DetailKind::Subject, DetailKind::Actor, DetailKind::Mark]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

/// One piece of detail as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedDetail {
    /// What it is.
    pub kind: DetailKind,
    /// Whose key opens it.
    pub owner: OwnerTag,
    /// What the record's hash is over; see [`commitment`].
    pub commitment: Hash,
    sealed: Vec<u8>,
}

/// One piece of detail, opened: with its salt anyone can check the commitment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Detail {
    /// What it is.
    pub kind: DetailKind,
    /// Without it nobody finds the value by trying out all there are.
    pub salt: [u8; SALT_LEN],
    /// As it was recorded.
    pub value: String,
}

/// SHA-256 over a tag, the kind, the salt and the value.
pub fn commitment(kind: DetailKind, salt: &[u8; SALT_LEN], value: &[u8]) -> Hash {
    sha256_parts(&[b"ironbridge detail v1\0", &[kind as u8], salt, value])
}

/// What the record holds: SHA-256 over a tag and all commitments in their order.
pub fn root(commitments: &[Hash]) -> Hash {
    sha256_parts(&[b"ironbridge details v1\0", commitments.as_flattened()])
}

/// Collects the detail of one record.
#[derive(Default)]
pub(crate) struct Details {
    pub bytes: Vec<u8>,
    commitments: Vec<Hash>,
}

/// Before the sealed value: kind, owner's tag, commitment, length of what follows.
const HEADER: usize = 1 + 16 + 32 + 2;

impl Details {
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.commitments.clear();
    }

    /// Seals a piece under its owner's key. `id` and `amends` say which record it belongs to: no two pieces of
    /// one owner may share record and place, because the nonce comes from them.
    pub fn push(
        &mut self,
        record: (ExchangeId, bool),
        kind: DetailKind,
        owner: &OwnerKey,
        value: &[u8],
    ) -> Result<(), SealError> {
        let key = owner.expose();
        let derived = context(record, self.commitments.len(), kind, key);
        let commitment = commitment(kind, &derived.salt, value);
        let sealed_length = value.len().saturating_add(ironbridge_seal::owner::OVERHEAD);
        let length = u16::try_from(sealed_length).map_err(|_| SealError::Failed)?;
        self.bytes.push(kind as u8);
        self.bytes.extend_from_slice(&owner.tag);
        self.bytes.extend_from_slice(&commitment);
        self.bytes.extend_from_slice(&length.to_be_bytes());
        derived.seal(key, value, &mut self.bytes)?;
        self.commitments.push(commitment);
        Ok(())
    }

    pub fn count(&self) -> usize {
        self.commitments.len()
    }

    pub fn root(&self) -> Hash {
        root(&self.commitments)
    }
}

fn context((id, amends): (ExchangeId, bool), place: usize, kind: DetailKind, key: &[u8; 32]) -> Derived {
    let place = u32::try_from(place).unwrap_or(u32::MAX);
    derive(key, &[&id.to_u128().to_be_bytes(), &[u8::from(amends), kind as u8], &place.to_be_bytes()])
}

/// Reads the stored detail of one record. `None` where it does not have that form.
pub fn parse(bytes: &[u8]) -> Option<Vec<SealedDetail>> {
    let mut details = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let (header, tail) = rest.split_first_chunk::<HEADER>()?;
        let (kind, header) = header.split_first()?;
        let (owner, header) = header.split_first_chunk::<16>()?;
        let (commitment, length) = header.split_first_chunk::<32>()?;
        let length = usize::from(u16::from_be_bytes(length.try_into().ok()?));
        let (sealed, tail) = tail.split_at_checked(length)?;
        let kind = DetailKind::from_number(*kind)?;
        let sealed = sealed.to_vec();
        details.push(SealedDetail { kind, owner: *owner, commitment: *commitment, sealed });
        rest = tail;
    }
    Some(details)
}

impl SealedDetail {
    /// Opens the piece at `place` of a record. `None` under another key, or when it does not fit its commitment.
    pub fn open(&self, record: (ExchangeId, bool), place: usize, owner: &OwnerKey) -> Option<Detail> {
        let derived = context(record, place, self.kind, owner.expose());
        let salt = derived.salt;
        let value = derived.open(owner.expose(), &self.sealed).ok()?;
        if commitment(self.kind, &salt, &value) != self.commitment {
            return None;
        }
        Some(Detail { kind: self.kind, salt, value: String::from_utf8(value).ok()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn detail_reads_back_under_its_key(id: u128, amends: bool, values: Vec<String>, key: [u8; 32]) {
            let owner = OwnerKey::new([7; 16], key);
            let record = (ExchangeId::from_u128(id), amends);
            let mut details = Details::default();
            for value in &values {
                details.push(record, DetailKind::Subject, &owner, value.as_bytes()).unwrap();
            }
            let parsed = parse(&details.bytes).unwrap();
            let commitments: Vec<Hash> = parsed.iter().map(|detail| detail.commitment).collect();
            prop_assert_eq!(root(&commitments), details.root());
            prop_assert_eq!(parsed.len(), details.count());
            for (place, (sealed, value)) in parsed.iter().zip(&values).enumerate() {
                prop_assert_eq!(&sealed.open(record, place, &owner).unwrap().value, value);
                prop_assert_eq!(sealed.open(record, place + 1, &owner), None);
                prop_assert_eq!(sealed.open(record, place, &OwnerKey::new([7; 16], [1; 32])), None);
            }
        }

        #[test]
        fn hostile_details_do_no_harm(bytes: Vec<u8>) {
            let _ = parse(&bytes);
        }
    }
}
