//! What systems take for a whole number.

/// The value of a text that is nothing but digits.
pub fn plain(text: &str) -> Option<String> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain.then(|| without_zeros(text))
}

/// What common readers make of a text in small letters, in plain decimal digits: with zeros before it, of another base,
/// with an exponent or a part below one, divided, or with the letter of its type behind it.
pub fn values(text: &str) -> impl Iterator<Item = String> {
    let begins =
        text.trim_start_matches([' ', '-', '.', '&']).starts_with(|c: char| c.is_ascii_digit() || c == 'h');
    let text = (begins && text.len() <= LONGEST).then(|| text.replace([' ', '_', ',', '\''], ""));
    text.into_iter().flat_map(|text| {
        let text = text.trim_start_matches('-');
        let others = BASES.iter().filter_map(|(prefix, base)| of_base(text.strip_prefix(prefix)?, *base));
        decimal(text).into_iter().chain(others).collect::<Vec<_>>()
    })
}

/// In bytes; what is longer is no number to anyone.
const LONGEST: usize = 128;

/// A zero alone stands before octal digits in C and its children.
const BASES: [(&str, u32); 5] = [("0x", 16), ("&h", 16), ("0o", 8), ("0b", 2), ("0", 8)];

fn of_base(digits: &str, base: u32) -> Option<String> {
    let digits = without_type(digits, &["ull", "ul", "lu", "ll", "l", "u", "n"]);
    let is_plain = digits.chars().all(|c| c.is_digit(base));
    u128::from_str_radix(digits, base).ok().filter(|_| is_plain).map(|value| value.to_string())
}

fn decimal(text: &str) -> Option<String> {
    let text = without_type(text, &["ull", "ul", "lu", "ll", "l", "u", "n", "f", "d", "m"]);
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (whole, part) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{part}");
    plain(&digits)?;
    let exponent: isize = exponent.parse().ok()?;
    let point = whole.len().checked_add_signed(exponent).unwrap_or_default();
    let above_one = digits.chars().chain(std::iter::repeat('0')).take(point);
    (point <= LONGEST).then(|| without_zeros(&above_one.collect::<String>()))
}

/// The letters of a type stand behind a number once.
fn without_type<'t>(text: &'t str, types: &[&str]) -> &'t str {
    types.iter().find_map(|kind| text.strip_suffix(kind)).unwrap_or(text)
}

fn without_zeros(digits: &str) -> String {
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() { "0".to_owned() } else { digits.to_owned() }
}

/// The decimal digit that a digit of another script stands for.
pub fn digit(c: char) -> char {
    let code = u32::from(c);
    let before = ZEROS.partition_point(|zero| *zero <= code);
    let zero = before.checked_sub(1).and_then(|place| ZEROS.get(place));
    let value = zero.map(|zero| code - zero).filter(|value| *value < 10);
    value.and_then(|value| char::from_digit(value, 10)).unwrap_or(c)
}

/// The zeros of all scripts (Unicode's category Nd, in which the other nine digits follow), less those that decompose.
#[rustfmt::skip]
const ZEROS: &[u32] = &[
    0x660, 0x6f0, 0x7c0, 0x966, 0x9e6, 0xa66, 0xae6, 0xb66, 0xbe6, 0xc66, 0xce6, 0xd66,
    0xde6, 0xe50, 0xed0, 0xf20, 0x1040, 0x1090, 0x17e0, 0x1810, 0x1946, 0x19d0, 0x1a80, 0x1a90,
    0x1b50, 0x1bb0, 0x1c40, 0x1c50, 0xa620, 0xa8d0, 0xa900, 0xa9d0, 0xa9f0, 0xaa50, 0xabf0, 0x104a0,
    0x10d30, 0x10d40, 0x11066, 0x110f0, 0x11136, 0x111d0, 0x112f0, 0x11450, 0x114d0, 0x11650, 0x116c0, 0x116d0,
    0x116da, 0x11730, 0x118e0, 0x11950, 0x11bf0, 0x11c50, 0x11d50, 0x11da0, 0x11de0, 0x16130, 0x16a60, 0x16ac0,
    0x16b50, 0x16d70, 0x1e140, 0x1e2f0, 0x1e5f1, 0x1e950,
];

#[cfg(test)]
mod tests {
    use super::super::lookalike::{Lookalike, Read};

    #[test]
    fn a_number_is_read_from_its_other_spellings() {
        for (segment, literal) in [
            ("01", "1"),
            ("001", "1"),
            ("1", "001"),
            ("0x1", "1"),
            ("0X01", "1"),
            ("0b1", "1"),
            ("0o1", "1"),
            ("010", "8"),
            ("010", "10"),
            ("1e0", "1"),
            ("1E+0", "1"),
            ("10e-1", "1"),
            ("0.1e1", "1"),
            ("1L", "1"),
            ("1u", "1"),
            ("1n", "1"),
            ("1f", "1"),
            ("1.0", "1"),
            ("+1", "1"),
            ("1_0", "10"),
            ("1,000", "1000"),
            ("1e3", "1000"),
            ("00", "0"),
            ("-0", "0"),
            ("0x7E8", "2024"),
            ("\u{967}", "1"),
            ("\u{661}", "1"),
            ("\u{6f1}\u{6f2}", "12"),
            ("\u{e52}", "2"),
            ("\u{966}\u{967}", "1"),
            ("v\u{967}", "v1"),
            ("\u{1e951}", "1"),
            ("\u{1d7d9}", "1"),
        ] {
            assert!(Lookalike::new(literal).is_read_from(&Read::new(segment)), "{segment:?} {literal}");
        }
        for (segment, literal) in [
            ("11", "1"),
            ("10", "1"),
            ("2", "1"),
            ("1e1", "1"),
            ("0x10", "10"),
            ("1a2b3c4d-0000-4000-8000-000000000000", "1"),
            ("3", "3d"),
            ("e0", "0"),
            ("10fd", "10"),
            ("10mm", "10"),
            ("x1", "1"),
            ("1e999999999", "1"),
            ("\u{968}", "1"),
        ] {
            assert!(!Lookalike::new(literal).is_read_from(&Read::new(segment)), "{segment:?} {literal}");
        }
    }
}
