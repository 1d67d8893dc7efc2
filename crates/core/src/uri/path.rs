//! Paths: read once, decoded, with the spelling that is delivered.

use super::Ambiguous;
use super::escape::{Octet, Octets, holds_escape, kept, push};
use std::borrow::Cow;
use unicode_normalization::UnicodeNormalization;

/// An absolute path that every system reads alike: fully decoded, as routes, rules and records see it, and in the
/// spelling that is delivered.
///
/// A decoded segment is UTF-8 without slash, backslash, semicolon or control character; it is no dot segment, and
/// decoding it once more would change nothing. Only the last segment may be empty: a path that ends with a slash.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CanonicalPath<'t> {
    decoded: Cow<'t, str>,
    spelling: Cow<'t, str>,
}

impl<'t> CanonicalPath<'t> {
    /// Reads the path of a request target (RFC 3986 §3.3).
    ///
    /// # Errors
    /// When systems are known to read it in different ways; the words say why.
    pub fn parse(path: &'t str) -> Result<CanonicalPath<'t>, Ambiguous> {
        let Some(rest) = path.strip_prefix('/') else {
            return Err(Ambiguous::new("the path does not start with a slash"));
        };
        let mut segments = rest.split('/').peekable();
        let (mut plain, mut at) = (true, 0_usize);
        while let Some(segment) = segments.next() {
            at += 1;
            if segment.is_empty() && segments.peek().is_some() {
                return Err(Ambiguous::new("the path has an empty segment"));
            }
            plain &= segment.bytes().all(is_plain) && !is_dots(segment);
        }
        if plain {
            return Ok(CanonicalPath { decoded: path.into(), spelling: path.into() });
        }
        let (mut decoded, mut spelling) =
            (String::with_capacity(path.len()), String::with_capacity(path.len() + at));
        for segment in rest.split('/') {
            decoded.push('/');
            spelling.push('/');
            decoded.push_str(&read(segment, &mut spelling)?);
        }
        Ok(CanonicalPath { decoded: kept(path, decoded), spelling: kept(path, spelling) })
    }

    /// Every escape undone. Its slashes are those between segments.
    pub fn decoded(&self) -> &str {
        &self.decoded
    }

    /// As it is delivered: unreserved characters stand as themselves, escapes are written in capitals, and what may
    /// stand in a path either way stands as the caller wrote it (RFC 3986 §6.2.2).
    pub fn spelling(&self) -> &str {
        &self.spelling
    }
}

/// The spelling of a path that came decoded, from a transport whose addresses know no escapes.
///
/// # Errors
/// When systems are known to read the spelling in different ways, just as for a path that came spelled.
pub fn spelled(decoded: &str) -> Result<String, Ambiguous> {
    let mut spelling = String::with_capacity(decoded.len());
    for byte in decoded.bytes() {
        push(
            &mut spelling,
            if is_plain(byte) || byte == b'/' { Octet::Plain(byte) } else { Octet::Escaped(byte) },
        );
    }
    CanonicalPath::parse(&spelling)?;
    Ok(spelling)
}

/// Whether a segment, as a manifest writes it, is its own decoded form and spelling.
pub fn is_plain_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain) && !is_dots(text)
}

/// Unreserved characters and those sub-delimiters that nobody takes for structure (RFC 3986 §3.3). Without the
/// semicolon: some servers cut a segment off there.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,=:@".contains(&byte)
}

/// What clients send unencoded although it may not stand in a path; it is delivered encoded.
fn is_tolerated(byte: u8) -> bool {
    b"[]{}|^".contains(&byte)
}

/// `.`, `..`, and what becomes one of them where blanks and dots at the end are left off.
fn is_dots(segment: &str) -> bool {
    !segment.is_empty() && segment.chars().all(|c| c == '.' || c.is_whitespace())
}

/// The decoded segment; its spelling is appended.
fn read(segment: &str, spelling: &mut String) -> Result<String, Ambiguous> {
    let mut bytes = Vec::with_capacity(segment.len());
    for octet in Octets::of(segment) {
        let octet = match octet.map_err(|_| Ambiguous::new("the path's percent-encoding is broken"))? {
            Octet::Plain(b'\\') => return Err(Ambiguous::new("the path holds a backslash")),
            Octet::Plain(b';') => return Err(SEMICOLON),
            Octet::Plain(byte) if is_plain(byte) => Octet::Plain(byte),
            Octet::Plain(byte) if is_tolerated(byte) => Octet::Escaped(byte),
            Octet::Plain(_) => {
                return Err(Ambiguous::new("the path holds a character that has to be encoded"));
            }
            escaped @ Octet::Escaped(_) => escaped,
        };
        let (Octet::Plain(byte) | Octet::Escaped(byte)) = octet;
        bytes.push(byte);
        push(spelling, octet);
    }
    let decoded = String::from_utf8(bytes).map_err(|_| Ambiguous::new("the path is not UTF-8"))?;
    judge(&decoded).map(|()| decoded)
}

const SEMICOLON: Ambiguous =
    Ambiguous::new("the path holds a semicolon, where some systems cut a segment off and others do not");

fn judge(decoded: &str) -> Result<(), Ambiguous> {
    if decoded.contains(['/', '\\']) {
        return Err(Ambiguous::new("the path holds an encoded slash or backslash"));
    }
    if decoded.contains(';') {
        return Err(SEMICOLON);
    }
    if decoded.chars().any(char::is_control) {
        return Err(Ambiguous::new("the path holds a control character"));
    }
    if is_dots(decoded) || is_dots_in_disguise(decoded) {
        return Err(Ambiguous::new("the path has a dot segment, or one of blanks"));
    }
    if holds_escape(decoded) {
        return Err(Ambiguous::new("the path is encoded twice"));
    }
    if decoded.chars().any(is_disguised) {
        return Err(Ambiguous::new(
            "the path holds a character that some systems read as another or not at all",
        ));
    }
    Ok(())
}

/// Characters whose compatibility form (Unicode NFKD), or whose best fit in an 8-bit code page, holds a slash, a
/// backslash, a percent sign or a semicolon; and characters that turn text around or cannot be seen. Those that people
/// write names and emoji with (joiners, variation selectors, fillers) pass, and count as nothing beside a declared text.
fn is_disguised(c: char) -> bool {
    // The yen and the won stand where code pages 932 and 949 have the backslash.
    let structure = |c: char| matches!(c, '/' | '\\' | '%' | ';' | '\u{a5}' | '\u{20a9}');
    !c.is_ascii()
        && (c.nfkd().any(structure)
            || matches!(c,
                '\u{ad}' | '\u{66a}' | '\u{61c}' | '\u{180e}' | '\u{200b}' | '\u{200e}' | '\u{200f}'
                | '\u{2028}'..='\u{202e}' | '\u{2044}' | '\u{2060}'..='\u{206f}' | '\u{2215}' | '\u{2216}'
                | '\u{29f5}' | '\u{29f8}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}'))
}

/// What becomes dots where a system decomposes it, alone or beside dots and blanks.
fn is_dots_in_disguise(segment: &str) -> bool {
    let shown = |c: &char| c.is_ascii() || !matches!(c, '\u{200c}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}');
    !segment.is_ascii() && is_dots(&segment.chars().filter(shown).nfkd().collect::<String>())
}
