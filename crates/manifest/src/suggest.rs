//! Did you mean.

/// The known name nearest to a wrong one, if it is near: a third of its letters may differ, three at most.
pub fn closest<'k>(wrong: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let letters: Vec<char> = wrong.chars().take(65).collect();
    let bound = (letters.len() / 3).clamp(1, 3);
    known
        .filter(|name| name.len().abs_diff(letters.len()) <= bound)
        .map(|name| (distance(&letters, name), name))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Insertions, deletions, substitutions and swaps of neighbours that lead from one to the other.
fn distance(from: &[char], to: &str) -> usize {
    let to: Vec<char> = to.chars().collect();
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in to.iter().enumerate() {
            let at = |row: &[usize], j: usize| row.get(j).copied().unwrap_or(usize::MAX / 2);
            let mut best =
                (at(&above, j) + usize::from(a != b)).min(at(&above, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && from.get(i - 1) == Some(b) && to.get(j - 1) == Some(a);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            row.push(best);
        }
        before = std::mem::replace(&mut above, row);
    }
    above.last().copied().unwrap_or(from.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_are_not() {
        let known = ["permission", "purpose", "path", "keep"];
        let near = |wrong| closest(wrong, known.into_iter());
        assert_eq!(near("permision"), Some("permission"));
        assert_eq!(near("prupose"), Some("purpose"));
        assert_eq!(near("pth"), Some("path"));
        assert_eq!(near("kepe"), Some("keep"));
        assert_eq!(near("frobnicate"), None);
        assert_eq!(near(""), None);
    }
}
