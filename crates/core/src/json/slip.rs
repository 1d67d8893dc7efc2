//! What is wrong where a text stops being JSON, for what people and programs do wrong most. Never what stood there.

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// `at` is where the reader could not go on.
pub(super) fn slip(text: &[u8], at: usize) -> Option<&'static str> {
    if at == 0 && text.starts_with(BYTE_ORDER_MARK) {
        return Some("it begins with a byte order mark; send it without (RFC 8259 §8.1)");
    }
    let wide =
        text.iter().take(4).any(|byte| *byte == 0) || matches!(text, [0xff, 0xfe, ..] | [0xfe, 0xff, ..]);
    if at < 4 && wide {
        return Some("it is in UTF-16 or UTF-32; JSON is in UTF-8 (RFC 8259 §8.1)");
    }
    let (before, rest) = text.split_at_checked(at)?;
    let last = before.iter().rev().find(|byte| !byte.is_ascii_whitespace());
    match rest.first() {
        None => Some("it ends too early"),
        Some(b'\'') => Some("names and texts stand in double quotes"),
        Some(b'/' | b'#') => Some("comments are no part of JSON"),
        Some(b'}' | b']') if last == Some(&b',') => {
            Some("a comma is left over before the end of a list or an object")
        }
        Some(b'T' | b'F') => Some("true and false have small letters"),
        Some(b'N' | b'I') => Some("null has small letters, and NaN and Infinity are no part of JSON"),
        Some(0x80..) if ["“", "”", "„", "‘", "’"].iter().any(|quote| rest.starts_with(quote.as_bytes())) => {
            Some("names and texts stand in straight double quotes")
        }
        Some(0x80..) if std::str::from_utf8(text).is_err() => {
            Some("a byte there is no UTF-8, as in Latin-1 or Windows-1252; JSON is in UTF-8 (RFC 8259 §8.1)")
        }
        Some(..b' ') => Some("a control character is written as an escape, such as \\n"),
        Some(_) => None,
    }
}
