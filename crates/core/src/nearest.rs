//! Did you mean.

/// The known name nearest to a wrong one, if it is near: a third of its letters may differ, three at most. In a name
/// of several words each word must be near its own, and numbers must be the same: `orders.create` is no misspelt
/// `orders.read`, nor `erp2` a misspelt `erp1`. Capital letters count as small ones.
pub fn closest<'k>(wrong: &str, known: impl Iterator<Item = &'k str>) -> Option<&'k str> {
    let wrong = wrong.chars().take(65).collect::<String>().to_lowercase();
    let words: Vec<&str> = words(&wrong).collect();
    known
        .filter(|name| digits(name).eq(digits(&wrong)))
        .filter_map(|name| Some((near(&wrong, &words, &name.to_lowercase())?, name)))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How far the name is from the wrong one, if it is near.
fn near(wrong: &str, its_words: &[&str], name: &str) -> Option<usize> {
    let distance = within_bound(wrong, name)?;
    let name_words: Vec<&str> = words(name).collect();
    if name_words.len() != its_words.len() {
        // A separator was left out, or written where there is none.
        return (distance <= 1).then_some(distance);
    }
    let every = its_words.iter().zip(&name_words).all(|(one, other)| within_bound(one, other).is_some());
    every.then_some(distance)
}

fn within_bound(wrong: &str, name: &str) -> Option<usize> {
    let letters: Vec<char> = wrong.chars().collect();
    let bound = (letters.len() / 3).clamp(1, 3);
    if name.len().abs_diff(letters.len()) > bound {
        return None;
    }
    Some(distance(&letters, name)).filter(|distance| *distance <= bound)
}

fn words(name: &str) -> impl Iterator<Item = &str> {
    name.split(['.', '_', '-', ':', '/'])
}

fn digits(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(char::is_ascii_digit)
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

    #[test]
    fn another_word_is_no_misspelling() {
        for (wrong, known, expected) in [
            ("orders.create", "orders.read", None),
            ("orders.raed", "orders.read", Some("orders.read")),
            ("order.read", "orders.read", Some("orders.read")),
            ("ordersread", "orders.read", Some("orders.read")),
            ("orders_read", "orders.read", Some("orders.read")),
            ("invoices.read", "orders.read", None),
            ("erp2", "erp1", None),
            ("erp-v2", "erp-v1", None),
            ("eprs-v1", "erps-v1", Some("erps-v1")),
            ("per-account", "per_account", Some("per_account")),
        ] {
            assert_eq!(closest(wrong, [known].into_iter()), expected, "{wrong}");
        }
    }
}
