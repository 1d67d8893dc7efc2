//! Did you mean.

use ironbridge_core::nearest::closest;

/// Names for a help line: the near one, or a few of all.
pub fn suggestion<'k>(wrong: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> Option<String> {
    /// More than a line of them helps nobody.
    const MOST: usize = 8;
    if let Some(name) = closest(wrong, known.clone().into_iter()) {
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
        assert_eq!(suggestion("order-shop", known).unwrap(), "there is `order-service`, `shop`");
    }
}
