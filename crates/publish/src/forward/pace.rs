//! How much goes into one request.

/// As many records as are sent at once.
pub(super) const BATCH_RECORDS: usize = 512;

/// So many requests in a row are taken whole before a larger one is tried. One too many is one more request, nothing else.
const BEFORE_MORE: u32 = 16;

/// How many records go into one request: fewer once the sink said that there were too many, and by and by more again,
/// because what was too large may have been one record of them.
pub(super) struct Pace {
    most: usize,
    /// Requests of as many as may go, in a row.
    whole: u32,
}

impl Pace {
    pub fn full() -> Pace {
        Pace { most: BATCH_RECORDS, whole: 0 }
    }

    pub fn most(&self) -> usize {
        self.most
    }

    /// So many were too large. Whether fewer can be sent.
    pub fn refused(&mut self, count: usize) -> bool {
        *self = Pace { most: (count / 2).max(1), whole: 0 };
        count > 1
    }

    pub fn taken(&mut self, count: usize) {
        if count < self.most {
            return;
        }
        self.whole += 1;
        if self.whole == BEFORE_MORE {
            *self = Pace { most: (self.most * 2).min(BATCH_RECORDS), whole: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_halved_grows_again_to_all_of_a_batch() {
        let mut pace = Pace::full();
        assert!(pace.refused(512) && pace.refused(256) && pace.refused(3));
        assert!(!pace.refused(1));
        assert_eq!(pace.most(), 1);
        let mut requests = 0;
        while pace.most() < BATCH_RECORDS {
            // Fewer than may go say nothing of more.
            pace.taken(pace.most() - 1);
            pace.taken(pace.most());
            requests += 1;
        }
        assert_eq!(requests, 9 * BEFORE_MORE);
        (0..100).for_each(|_| pace.taken(BATCH_RECORDS));
        assert_eq!(pace.most(), BATCH_RECORDS);
        assert!(pace.refused(5));
        assert_eq!(pace.most(), 2);
    }
}
