//! What waits of a stream that is looked through, and how much of it has to: counted as it comes, so that none of it is
//! read again for each piece.

use bytes::Bytes;
use std::collections::VecDeque;

/// Bytes that are counted together, at least; so that what comes in single bytes costs no more to count than to hold.
const PART: usize = 1024;

#[derive(Default)]
pub struct Waiting {
    /// From `passed` on they wait.
    bytes: Vec<u8>,
    passed: usize,
    /// The same, oldest first.
    parts: VecDeque<Part>,
    /// What all parts say at least, in characters.
    says: usize,
}

#[derive(Clone, Copy)]
struct Part {
    bytes: usize,
    /// What they say at least, less every encoding.
    says: usize,
}

impl Waiting {
    pub fn len(&self) -> usize {
        self.bytes.len() - self.passed
    }

    /// One more piece waits.
    pub fn push(&mut self, piece: &[u8], says: usize) {
        self.bytes.extend_from_slice(piece);
        self.says += says;
        match self.parts.back_mut().filter(|part| part.bytes < PART) {
            Some(part) => *part = Part { bytes: part.bytes + piece.len(), says: part.says + says },
            None => self.parts.push_back(Part { bytes: piece.len(), says }),
        }
    }

    /// What need not wait: the last so many bytes do, and the bytes that said the last so many characters, but never more
    /// than `most`; and whether more would have to.
    pub fn free(&mut self, bytes: usize, says: usize, most: usize) -> (Bytes, bool) {
        let (mut left, mut free, mut forced) = (self.len(), 0, false);
        while let Some(part) = self.parts.front_mut() {
            let needless = left - part.bytes >= bytes && self.says - part.says >= says;
            let much = left.saturating_sub(most);
            if !needless && much == 0 {
                break;
            }
            forced |= !needless;
            if needless || much >= part.bytes {
                (left, free, self.says) = (left - part.bytes, free + part.bytes, self.says - part.says);
                self.parts.pop_front();
                continue;
            }
            // Of these went at most as many characters as bytes.
            let says = part.says.min(much);
            *part = Part { bytes: part.bytes - much, says: part.says - says };
            (left, free, self.says) = (left - much, free + much, self.says - says);
        }
        (self.take(free), forced)
    }

    /// All of it, with what follows it.
    pub fn with(&mut self, more: Bytes) -> Bytes {
        if self.len() == 0 {
            return more;
        }
        let mut all = std::mem::take(&mut self.bytes);
        all.drain(..self.passed);
        all.extend_from_slice(&more);
        *self = Waiting::default();
        all.into()
    }

    fn take(&mut self, length: usize) -> Bytes {
        let taken = self.bytes.get(self.passed..self.passed + length).map(Bytes::copy_from_slice);
        self.passed += length;
        // As many are moved as went since they were moved last.
        if self.passed >= self.len() {
            self.bytes.drain(..self.passed);
            self.passed = 0;
        }
        taken.unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn everything_passes_in_order_and_what_is_asked_for_waits(
            steps in prop::collection::vec((0usize..3000, 0usize..100, 0usize..5000, 0usize..300, 1usize..6000), 1..60),
        ) {
            let (mut waiting, mut came, mut passed) = (Waiting::default(), Vec::new(), Vec::new());
            for (number, (length, percent, bytes, says, most)) in (0_u8..).zip(steps) {
                let piece = vec![number; length];
                came.extend_from_slice(&piece);
                waiting.push(&piece, length * percent / 100);
                let before = waiting.len();
                let (free, forced) = waiting.free(bytes, says, most);
                passed.extend_from_slice(&free);
                prop_assert!(!forced || waiting.len() + PART >= most);
                prop_assert!(waiting.len() <= most);
                prop_assert!(waiting.len() >= bytes.min(most).min(before));
                prop_assert_eq!(waiting.parts.iter().map(|part| part.bytes).sum::<usize>(), waiting.len());
                prop_assert_eq!(waiting.parts.iter().map(|part| part.says).sum::<usize>(), waiting.says);
            }
            passed.extend_from_slice(&waiting.with(Bytes::from_static(b"end")));
            came.extend_from_slice(b"end");
            prop_assert_eq!(passed, came);
        }
    }
}
