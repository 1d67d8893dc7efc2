//! Which records of a block may match.

/// Which of the 65,536 records of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Positions {
    /// Four to a bundle; the lowest bit is the first record.
    words: Vec<u64>,
}

const WORDS: usize = 1024;
const WORDS_PER_BUNDLE: usize = 4;
/// The stored form: 8,192 bytes, eight records to a byte, the lowest bit first.
pub(crate) const BITMAP: usize = WORDS * 8;

impl Positions {
    pub fn none() -> Positions {
        Positions { words: vec![0; WORDS] }
    }

    pub fn all() -> Positions {
        Positions { words: vec![u64::MAX; WORDS] }
    }

    pub fn from_bitmap(bytes: &[u8; BITMAP]) -> Positions {
        let (words, _) = bytes.as_chunks::<8>();
        Positions { words: words.iter().map(|word| u64::from_le_bytes(*word)).collect() }
    }

    pub fn push_bitmap(&self, out: &mut Vec<u8>) {
        self.words.iter().for_each(|word| out.extend_from_slice(&word.to_le_bytes()));
    }

    pub fn insert(&mut self, place: u16) {
        if let Some(word) = self.words.get_mut(usize::from(place / 64)) {
            *word |= 1 << (place % 64);
        }
    }

    pub fn insert_bundle(&mut self, bundle: usize) {
        let from = bundle * WORDS_PER_BUNDLE;
        if let Some(words) = self.words.get_mut(from..from + WORDS_PER_BUNDLE) {
            words.fill(u64::MAX);
        }
    }

    /// Those in both.
    pub fn keep(&mut self, other: &Positions) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// Places within a bundle, ascending.
    pub fn in_bundle(&self, bundle: usize) -> Vec<usize> {
        let from = bundle * WORDS_PER_BUNDLE;
        let words = self.words.get(from..from + WORDS_PER_BUNDLE).unwrap_or_default();
        let mut places = Vec::new();
        for (n, word) in words.iter().enumerate() {
            let mut left = *word;
            while left != 0 {
                places.push(n * 64 + usize::try_from(left.trailing_zeros()).unwrap_or(0));
                left &= left - 1;
            }
        }
        places
    }
}
