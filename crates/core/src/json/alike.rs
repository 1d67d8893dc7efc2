//! Names that are two to one reader of JSON and one to another.

use unicode_normalization::UnicodeNormalization;

/// Whether some reader takes one name for the other, though they differ: it leaves case aside (Go's encoding/json,
/// .NET, Jackson where it is told to), with the long s and the Kelvin sign as letters; or reads compatibility forms as
/// what they stand for; or ends a name at a NUL.
pub fn are_alike(name: &str, other: &str) -> bool {
    if name == other {
        return false;
    }
    if name.is_ascii() && other.is_ascii() {
        return until_nul(name).eq_ignore_ascii_case(until_nul(other));
    }
    folded(name).eq(folded(other))
}

/// What all names that are [alike](are_alike) have in common.
pub fn common_name(name: &str) -> String {
    if name.is_ascii() { until_nul(name).to_ascii_lowercase() } else { folded(name).collect() }
}

fn until_nul(name: &str) -> &str {
    name.split('\0').next().unwrap_or_default()
}

fn folded(name: &str) -> impl Iterator<Item = char> {
    // Upper case first: both sigmas, the dotless i. The dot of a capital I with one stands alone in small letters.
    let cased = until_nul(name).nfkc().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    cased.filter(|c| *c != '\u{307}').nfkc()
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
        for other in ["amounts", "amount", "amounts ", "a mounts", "amoúnts", "amounts_", ""] {
            assert!(!are_alike(other, "amounts"), "{other:?}");
        }
    }
}
