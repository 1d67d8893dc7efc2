//! Percent-encoding (RFC 3986 §2.1), undone once and written in one way: the only decoder there is. What a text may
//! hold once it is decoded is for its readers to say.

use std::borrow::Cow;
use std::fmt::Write;

/// What one octet of a component is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Octet {
    /// It stands as it is, in both forms.
    Plain(u8),
    /// It was an escape, or has to be one.
    Escaped(u8),
}

/// The octets of a component. An error where an escape is cut off or has other digits.
pub(super) struct Octets<'t>(std::slice::Iter<'t, u8>);

impl<'t> Octets<'t> {
    pub fn of(text: &'t str) -> Octets<'t> {
        Octets(text.as_bytes().iter())
    }
}

/// An escape without its two hexadecimal digits.
pub(super) struct Broken;

impl Iterator for Octets<'_> {
    type Item = Result<Octet, Broken>;

    fn next(&mut self) -> Option<Self::Item> {
        let octet = *self.0.next()?;
        if octet != b'%' {
            return Some(Ok(Octet::Plain(octet)));
        }
        let mut digit = || self.0.next().and_then(|digit| hex(*digit));
        let (Some(high), Some(low)) = (digit(), digit()) else { return Some(Err(Broken)) };
        Some(Ok(Octet::Escaped(high << 4 | low)))
    }
}

/// A name or a value of a form (`application/x-www-form-urlencoded`, WHATWG URL §5.1), decoded: `+` is a blank. `None`
/// where an escape is broken or what comes out is not UTF-8.
pub fn form_text(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    for octet in Octets::of(text) {
        bytes.push(match octet.ok()? {
            Octet::Plain(b'+') => b' ',
            Octet::Plain(byte) | Octet::Escaped(byte) => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|value| u8::try_from(value).ok())
}

/// Unreserved characters (RFC 3986 §2.3): an escaped one means the same as the character.
pub(super) fn is_unreserved(octet: u8) -> bool {
    octet.is_ascii_alphanumeric() || matches!(octet, b'-' | b'.' | b'_' | b'~')
}

pub(super) fn push(spelling: &mut String, octet: Octet) {
    match octet {
        Octet::Plain(plain) => spelling.push(char::from(plain)),
        Octet::Escaped(octet) if is_unreserved(octet) => spelling.push(char::from(octet)),
        Octet::Escaped(octet) => {
            let _ = write!(spelling, "%{octet:02X}");
        }
    }
}

/// Whether the text holds an escape, `%41` or the `%u0041` of some servers: then a second decoding would read on.
pub(super) fn holds_escape(text: &str) -> bool {
    text.split('%').skip(1).any(|after| {
        let after = after.as_bytes();
        let are_digits = |from: usize, count: usize| {
            after.get(from..from + count).is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
        };
        are_digits(0, 2) || (matches!(after.first(), Some(b'u' | b'U')) && are_digits(1, 4))
    })
}

/// A text that was put together, or the one that was there.
pub(super) fn kept<'t>(before: &'t str, after: String) -> Cow<'t, str> {
    if before == after { Cow::Borrowed(before) } else { Cow::Owned(after) }
}
