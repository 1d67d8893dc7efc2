//! What proves that the bridge itself built an index file: behind the chunks a MAC over the head, and one over each chunk
//! together with that. Who has the trail's key believes no other file.

use super::block::{BlockHead, HEAD, PARTS};
use crate::segment::{Link, TrailKey};
use ironbridge_seal::hash;

const MAC: usize = size_of::<Link>();
pub(super) const SEAL: usize = MAC * (1 + PARTS);

/// The seal of a file, as it was read and found to fit the head.
pub(super) struct Seal {
    key: TrailKey,
    macs: Vec<Link>,
}

impl Seal {
    /// `None` where the bridge with this key did not write this head.
    pub fn open(key: &TrailKey, head: &[u8], seal: &[u8]) -> Option<Seal> {
        let (macs, rest) = seal.as_chunks::<MAC>();
        let genuine =
            macs.len() == 1 + PARTS && rest.is_empty() && hash::equal(macs.first()?, &key.index_head(head));
        genuine.then(|| Seal { key: key.clone(), macs: macs.to_vec() })
    }

    /// Whether this is the chunk with this number, as it was written.
    pub fn fits(&self, number: usize, chunk: &[u8]) -> bool {
        let (of_head, of_chunk) = (self.macs.first(), self.macs.get(1 + number));
        of_head
            .zip(of_chunk)
            .is_some_and(|(head, mac)| hash::equal(mac, &self.key.index_chunk(head, number, chunk)))
    }
}

/// Adds the seal to an index file.
pub(crate) fn seal(key: &TrailKey, file: &mut Vec<u8>) {
    let Some((head, parsed)) = file.get(..HEAD).and_then(|head| Some((head, BlockHead::parse(head)?))) else {
        return;
    };
    let of_head = key.index_head(head);
    let mut macs = of_head.to_vec();
    for (number, chunk) in parsed.chunks().iter().enumerate() {
        let bytes = file.get(chunk.start..chunk.start + chunk.length).unwrap_or_default();
        macs.extend_from_slice(&key.index_chunk(&of_head, number, bytes));
    }
    file.extend_from_slice(&macs);
}
