//! How far a trail was, as it is kept elsewhere.

use crate::merkle::Hash;
use crate::segment::Link;
use ironbridge_core::Timestamp;

/// How far a trail was, to be kept where the head is not: whoever puts an older head back, and cuts the trail to it, must
/// put that back, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Of the head's writes.
    pub sequence: u64,
    /// The log's size at its last checkpoint.
    pub size: u64,
    /// Its root at that size.
    pub root: Hash,
    /// Every record below this index was acknowledged.
    pub acknowledged: u64,
    /// The latest time that was believed.
    pub time: Timestamp,
    pub(crate) link: Link,
}

impl Mark {
    const LEN: usize = 8 + 8 + 32 + 8 + 8 + 32;

    /// As it is stored.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(Mark::LEN);
        bytes.extend_from_slice(&self.sequence.to_be_bytes());
        bytes.extend_from_slice(&self.size.to_be_bytes());
        bytes.extend_from_slice(&self.root);
        bytes.extend_from_slice(&self.acknowledged.to_be_bytes());
        bytes.extend_from_slice(&self.time.micros().to_be_bytes());
        bytes.extend_from_slice(&self.link);
        bytes
    }

    /// Reads what [`Mark::bytes`] wrote.
    pub fn parse(bytes: &[u8]) -> Option<Mark> {
        let (sequence, rest) = bytes.split_first_chunk::<8>()?;
        let (size, rest) = rest.split_first_chunk::<8>()?;
        let (root, rest) = rest.split_first_chunk::<32>()?;
        let (acknowledged, rest) = rest.split_first_chunk::<8>()?;
        let (time, link) = rest.split_first_chunk::<8>()?;
        Some(Mark {
            sequence: u64::from_be_bytes(*sequence),
            size: u64::from_be_bytes(*size),
            root: *root,
            acknowledged: u64::from_be_bytes(*acknowledged),
            time: Timestamp(u64::from_be_bytes(*time)),
            link: link.try_into().ok()?,
        })
    }
}
