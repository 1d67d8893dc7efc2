//! Did you mean.

/// The known name nearest to a wrong one, if it is near: a third of its letters may differ, three at most. Numbers
/// must be the same: `erp2` is no misspelt `erp1`.
pub fn nearest<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let wrong = wrong.to_lowercase();
    let bound = (wrong.chars().count() / 3).clamp(1, 3);
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>();
    let its_digits = digits(&wrong);
    known
        .into_iter()
        .filter(|name| digits(name) == its_digits)
        .map(|name| (strsim::damerau_levenshtein(&wrong, &name.to_lowercase()), name))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Names for a help line: the near one, or a few of all.
pub fn suggestion<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<String> {
    /// More than a line of them helps nobody.
    const MOST: usize = 8;
    if let Some(name) = nearest(wrong, known.clone()) {
        return Some(format!("did you mean `{name}`?"));
    }
    let all: Vec<&str> = known.into_iter().collect();
    let shown = all.iter().take(MOST).map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    match all.len() {
        0 => None,
        1..=MOST => Some(format!("there is {shown}")),
        more => Some(format!("there is {shown} and {} more", more - MOST)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_names_are_suggested_and_far_ones_listed() {
        let known = ["order-service", "shop"];
        assert_eq!(suggestion("order-servise", known).unwrap(), "did you mean `order-service`?");
        assert_eq!(suggestion("ORDER-service", known).unwrap(), "did you mean `order-service`?");
        assert_eq!(suggestion("frobnicate", known).unwrap(), "there is `order-service`, `shop`");
        assert_eq!(suggestion("x", []), None);
        assert_eq!(nearest("erp2", ["erp1"]), None);
        assert_eq!(nearest("epr1", ["erp1"]), Some("erp1"));
    }
}
