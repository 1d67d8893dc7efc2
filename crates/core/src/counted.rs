//! How many records of data a body carries.

/// How many records of data a body carries, as far as a control could tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Counted {
    /// Nobody could tell.
    #[default]
    No,
    /// By the shape of the body.
    Seen(u64),
    /// Where the operation says that they are.
    Named(u64),
}

impl Counted {
    /// `None` is unknown, which is not 0.
    pub const fn known(self) -> Option<u64> {
        match self {
            Counted::No => None,
            Counted::Seen(count) | Counted::Named(count) => Some(count),
        }
    }

    /// How many crossed in all, of the bodies that did. What an operation names counts alone: the answer to a batch is
    /// no record. Otherwise all must be known, and the larger number stands, because an answer often repeats what it
    /// was asked to store.
    pub(crate) fn in_all(crossed: &[Counted]) -> Option<u64> {
        let named = crossed.iter().filter_map(|counted| match counted {
            Counted::Named(count) => Some(*count),
            _ => None,
        });
        named.max().or_else(|| {
            crossed.iter().try_fold(0, |most: u64, counted| counted.known().map(|count| most.max(count)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Counted::{self, Named, No, Seen};

    #[test]
    fn unknown_is_not_none() {
        for (crossed, records) in [
            (&[][..], Some(0)),
            (&[No], None),
            (&[Seen(0)], Some(0)),
            (&[Seen(3), Seen(1)], Some(3)),
            (&[No, Seen(1)], None),
            (&[Seen(1), No], None),
            (&[Named(3), No], Some(3)),
            (&[No, Named(0)], Some(0)),
            (&[Named(3), Seen(7)], Some(3)),
            (&[Named(3), Named(7)], Some(7)),
        ] {
            assert_eq!(Counted::in_all(crossed), records, "{crossed:?}");
        }
    }
}
