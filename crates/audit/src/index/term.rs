//! What a record is found by, shortened.

/// What of a record the index knows. The number is part of the stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Field {
    Id = 1,
    Integration = 2,
    Operation = 3,
    Permission = 4,
    Account = 5,
    Outcome = 6,
    Code = 7,
    Action = 8,
    Source = 9,
    Target = 10,
    /// An owner's tag of a detail that is a data subject.
    Subject = 11,
}

/// A field and a value, as 32 bits: enough to find records by, since whatever shares them is read and dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Term(pub u32);

impl Term {
    /// CRC-32 (IEEE 802.3) of the field's number and the value.
    pub fn new(field: Field, value: &[u8]) -> Term {
        let mut crc = crc32fast::Hasher::new();
        crc.update(&[field as u8]);
        crc.update(value);
        Term(crc.finalize())
    }

    /// Which of the 256 chunks holds the term: its first byte.
    pub fn chunk(self) -> u8 {
        let [first, ..] = self.0.to_be_bytes();
        first
    }

    /// What tells terms of one chunk apart.
    pub fn rest(self) -> [u8; 3] {
        let [_, rest @ ..] = self.0.to_be_bytes();
        rest
    }
}
