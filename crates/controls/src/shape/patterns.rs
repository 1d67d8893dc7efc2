//! The patterns that judge names of members, wherever a value's shape says so.

use super::judged::patterns;
use super::{Shape, Steps, applied, conditional};

impl<'s> Shape<'s> {
    /// The patterns that judge names of members here, or nothing where it cannot be told.
    pub(crate) fn patterns_within(&self, steps: &Steps) -> Option<Vec<&'s str>> {
        let mut found = Vec::new();
        self.patterns_at(&mut found, steps, 0)?;
        found.sort_unstable();
        found.dedup();
        Some(found)
    }

    fn patterns_at(&self, found: &mut Vec<&'s str>, steps: &Steps, depth: usize) -> Option<()> {
        if !steps.take(depth) {
            return None;
        }
        let mut below = |part: &Shape<'s>| part.patterns_at(found, steps, depth + 1);
        match self {
            Shape::Of(_) | Shape::List(_) => Some(()),
            Shape::Unknown => None,
            Shape::Perhaps(part) => below(part),
            Shape::All(parts) | Shape::Either(parts) => parts.iter().try_for_each(below),
            Shape::Fits { document, schema } => {
                let Some(members) = schema.as_object() else { return Some(()) };
                let parts = applied(document, members).into_iter().chain(conditional(document, members));
                parts.into_iter().try_for_each(|part| below(&part))?;
                let (here, is_all) = patterns(document, members);
                found.extend(here);
                is_all.then_some(())
            }
        }
    }
}
