use super::Ambiguous;
use super::escape::{Octet, Octets, holds_escape, kept, push};
use std::borrow::Cow;

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

/// Whether a segment, as a manifest writes it, is its own decoded form and spelling.
pub fn is_plain_segment(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(is_plain) && !is_dots(text)
}

/// Whether lenient systems could take one decoded segment for another: they leave case and width aside, and blanks and dots
/// at the end (file systems), or what looks like a file's suffix (frameworks that choose a format by it).
pub fn resembles(segment: &str, literal: &str) -> bool {
    let (segment, literal) = (fold(segment), fold(literal));
    segment == literal
        || segment.split_once(['.', '?', '#']).is_some_and(|(stem, _)| stem.trim_end() == literal)
}

fn fold(segment: &str) -> String {
    let trimmed = segment.trim().trim_end_matches(|c: char| c == '.' || c.is_whitespace());
    trimmed.chars().map(narrow).flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}

/// The ASCII character that a full-width form stands for.
fn narrow(c: char) -> char {
    let code = u32::from(c);
    (0xff01..=0xff5e).contains(&code).then(|| char::from_u32(code - 0xfee0)).flatten().unwrap_or(c)
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
    if is_dots(decoded) {
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

/// Characters whose compatibility form (Unicode NFKC), or whose best fit in an 8-bit code page, holds a slash, a
/// backslash, a dot, a percent sign or a semicolon; and characters that cannot be seen.
fn is_disguised(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{37e}' | '\u{66a}' | '\u{61c}' | '\u{180e}'
        | '\u{200b}'..='\u{200f}' | '\u{2024}'..='\u{202e}' | '\u{2044}' | '\u{2060}'..='\u{206f}'
        | '\u{2100}' | '\u{2101}' | '\u{2105}' | '\u{2106}' | '\u{2215}' | '\u{2216}'
        | '\u{2488}'..='\u{249b}' | '\u{29f5}' | '\u{29f8}' | '\u{33c2}' | '\u{33c7}' | '\u{33d8}'
        | '\u{fe19}' | '\u{fe30}' | '\u{fe52}' | '\u{fe54}' | '\u{fe68}' | '\u{fe6a}' | '\u{feff}'
        | '\u{ff05}' | '\u{ff0e}' | '\u{ff0f}' | '\u{ff1b}' | '\u{ff3c}' | '\u{fff9}'..='\u{fffb}')
}
