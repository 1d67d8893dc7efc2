//! Names that are two to one reader of JSON and one to another.

use unicode_normalization::UnicodeNormalization;

/// Whether some reader takes one name for the other, though they differ: it leaves case aside (Go's encoding/json,
/// .NET, Jackson where it is told to), with the long s and the Kelvin sign as letters; or reads compatibility forms as
/// what they stand for; or ends a name at a NUL; or takes `max_amount` and `maxAmount` for one (protobuf's JSON).
pub fn are_alike(name: &str, other: &str) -> bool {
    if name == other {
        return false;
    }
    if name.is_ascii() && other.is_ascii() {
        return small(name).eq(small(other));
    }
    folded(name) == folded(other)
}

/// What all names that are [alike](are_alike) have in common.
pub fn common_name(name: &str) -> String {
    if name.is_ascii() { small(name).collect() } else { folded(name) }
}

/// The names that some reader may see in one, but for its case: its plain form; without the underscores that join words;
/// and with them, where capitals begin words.
pub fn readings(name: &str) -> [String; 3] {
    let plain: String = until_nul(name).nfkc().collect();
    let mut joined = String::with_capacity(plain.len());
    for c in plain.chars() {
        if c.is_uppercase() && !joined.is_empty() && !joined.ends_with('_') {
            joined.push('_');
        }
        joined.push(c);
    }
    [unjoined(&plain).collect(), joined, plain]
}

fn until_nul(name: &str) -> &str {
    name.split('\0').next().unwrap_or_default()
}

fn small(name: &str) -> impl Iterator<Item = char> {
    unjoined(until_nul(name)).map(|c| c.to_ascii_lowercase())
}

fn folded(name: &str) -> String {
    // Upper case first: both sigmas, the dotless i. The dot of a capital I with one stands alone in small letters.
    let cased = until_nul(name).nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let folded: String = cased.filter(|c| *c != '\u{307}').nfkc().collect();
    unjoined(&folded).collect()
}

/// Without the underscores that join words: those at the ends make another name, as `_id` is beside `id`.
fn unjoined(name: &str) -> impl Iterator<Item = char> {
    let start = name.len() - name.trim_start_matches('_').len();
    let end = name.trim_end_matches('_').len();
    name.char_indices().filter(move |(at, c)| *c != '_' || *at < start || *at >= end).map(|(_, c)| c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_some_reader_takes_for_one() {
        for alike in [
            "AMOUNTS",
            "Amounts",
            "amountS",
            "amount\u{17f}",
            "ａｍｏｕｎｔｓ",
            "𝐚𝐦𝐨𝐮𝐧𝐭𝐬",
            "amounts\0",
            "amounts\0x",
            "AMOUNTS\0x",
        ] {
            assert!(are_alike(alike, "amounts") && are_alike("amounts", alike), "{alike:?}");
        }
        for (name, other) in
            [("KEY", "\u{212a}ey"), ("id", "İD"), ("id", "ıd"), ("straße", "STRASSE"), ("é", "e\u{301}")]
        {
            assert!(are_alike(name, other), "{name} {other}");
        }
        for (name, other) in [
            ("max_amount", "maxAmount"),
            ("MAX_AMOUNT", "maxAmount"),
            ("maxamount", "max_amount"),
            ("max__amount", "maxAmount"),
            ("line_2", "line2"),
            ("_max_id", "_maxId"),
            ("max\u{ff3f}amount", "maxAmount"),
            ("ma\u{fb}x_\u{e9}", "ma\u{db}x\u{c9}"),
            ("max_amount\0", "maxAmount"),
        ] {
            assert!(are_alike(name, other) && are_alike(other, name), "{name:?} {other}");
            assert_eq!(common_name(name), common_name(other));
        }
        for (name, other) in
            [("_id", "id"), ("id_", "id"), ("__", "_"), ("_", ""), ("max-amount", "maxAmount")]
        {
            assert!(!are_alike(name, other), "{name} {other}");
        }
        for other in ["amounts", "amount", "amounts ", "a mounts", "amoúnts", "amounts_", ""] {
            assert!(!are_alike(other, "amounts"), "{other:?}");
        }
    }
}
