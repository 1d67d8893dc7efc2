//! One pass over a JSON text, as strict as [`super`] says, that builds nothing of its own: who reads keeps what it
//! wants in [`Reader::out`].

use super::slip::slip;
use super::{HOSTILE_NAMES, JsonFault, MAX_DEPTH};
use std::borrow::Cow;
use std::ops::Range;

/// What reading gives, or the first fault of the text.
pub type Read<T = ()> = Result<T, JsonFault>;

/// Reads a text from its start. Numbers are read as they stand, also beyond what a double holds.
pub struct Reader<'t, S> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    /// Names of the objects that are open, innermost last, to find repeated ones.
    names: Vec<(Cow<'t, [u8]>, usize)>,
    /// Where whoever reads keeps what it wants.
    pub out: S,
}

impl<'t, S> Reader<'t, S> {
    /// Reads the whole text as one value; `value` reads it.
    ///
    /// # Errors
    /// The first fault, with its place.
    pub fn read_whole<T>(text: &'t [u8], out: S, value: impl FnOnce(&mut Self) -> Read<T>) -> Read<(T, S)> {
        let mut reader = Reader { text, at: 0, depth: 0, names: Vec::new(), out };
        if let Err(error) = std::str::from_utf8(text) {
            return Err(reader.malformed_at(error.valid_up_to()));
        }
        reader.skip_space();
        let result = value(&mut reader)?;
        reader.skip_space();
        match reader.peek() {
            None => Ok((result, reader.out)),
            Some(_) => Err(reader.malformed()),
        }
    }

    /// Where in the text the reader is.
    pub fn at(&self) -> usize {
        self.at
    }

    /// The whole text, from its start.
    pub fn text(&self) -> &'t [u8] {
        self.text
    }

    /// The next byte; at the start of a value it tells its kind.
    pub fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Reads one value.
    pub fn skip(&mut self) -> Read {
        match self.peek() {
            Some(b'{') => self.members(|reader, _, _| reader.skip()),
            Some(b'[') => self.elements(Reader::skip),
            _ => self.scalar(),
        }
    }

    /// Reads a value that is neither object nor array.
    pub fn scalar(&mut self) -> Read {
        match self.peek() {
            Some(b'"') => self.string().map(|_| ()),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// Reads an object; `each` reads a member's value, given the name and where it is written, quotes included.
    pub fn members(&mut self, mut each: impl FnMut(&mut Self, &[u8], Range<usize>) -> Read) -> Read {
        self.enter()?;
        let outer = self.names.len();
        if self.peek() == Some(b'}') {
            self.at += 1;
        } else {
            loop {
                let start = self.at;
                let name = self.string()?;
                let end = self.at;
                if HOSTILE_NAMES.iter().any(|hostile| hostile.as_bytes() == &*name) {
                    return Err(JsonFault::HostileName);
                }
                self.skip_space();
                self.expect(b':')?;
                self.skip_space();
                each(self, &name, start..end)?;
                self.names.push((name, start));
                if !self.goes_on(b'}')? {
                    break;
                }
            }
        }
        if let Some(place) = repetition(self.names.get_mut(outer..).unwrap_or_default()) {
            let (line, column) = self.position(place);
            return Err(JsonFault::DuplicateName { line, column });
        }
        self.names.truncate(outer);
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `each` reads an element.
    pub fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Read) -> Read {
        self.enter()?;
        if self.peek() == Some(b']') {
            self.at += 1;
        } else {
            loop {
                each(self)?;
                if !self.goes_on(b']')? {
                    break;
                }
            }
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over an opening bracket.
    fn enter(&mut self) -> Read {
        self.at += 1;
        self.depth += 1;
        self.skip_space();
        if self.depth > MAX_DEPTH { Err(JsonFault::TooDeep) } else { Ok(()) }
    }

    /// Steps over a comma, or over the closing bracket: whether it was a comma.
    fn goes_on(&mut self, close: u8) -> Read<bool> {
        self.skip_space();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                self.skip_space();
                Ok(true)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(false)
            }
            _ => Err(self.malformed()),
        }
    }

    /// Reads a string; gives what it says.
    pub(super) fn string(&mut self) -> Read<Cow<'t, [u8]>> {
        self.expect(b'"')?;
        let start = self.at;
        self.at += plain_length(self.rest());
        if self.peek() == Some(b'"') {
            let plain = self.text.get(start..self.at).unwrap_or_default();
            self.at += 1;
            return Ok(Cow::Borrowed(plain));
        }
        let mut said = self.text.get(start..self.at).unwrap_or_default().to_vec();
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(Cow::Owned(said));
                }
                Some(b'\\') => {
                    self.at += 1;
                    self.escape(&mut said)?;
                }
                _ => return Err(self.malformed()),
            }
            let plain = self.at;
            self.at += plain_length(self.rest());
            said.extend_from_slice(self.text.get(plain..self.at).unwrap_or_default());
        }
    }

    /// Reads what follows a backslash (RFC 8259 §7).
    fn escape(&mut self, said: &mut Vec<u8>) -> Read {
        let plain = match self.peek() {
            Some(byte @ (b'"' | b'\\' | b'/')) => byte,
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                self.at += 1;
                let character = self.unicode_escape()?;
                said.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(self.malformed()),
        };
        self.at += 1;
        said.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Read<char> {
        let first = self.four_digits()?;
        let character = if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let second = self.four_digits()?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400);
            0x1_0000 + ((first - 0xd800) << 10) + low.ok_or_else(|| self.malformed())?
        } else {
            first
        };
        // A lone surrogate is no character.
        char::from_u32(character).ok_or_else(|| self.malformed())
    }

    fn four_digits(&mut self) -> Read<u32> {
        (0..4).try_fold(0, |number, _| {
            let digit = self.peek().and_then(|byte| char::from(byte).to_digit(16));
            let digit = digit.ok_or_else(|| self.malformed())?;
            self.at += 1;
            Ok(number << 4 | digit)
        })
    }

    /// Reads a number (RFC 8259 §6).
    fn number(&mut self) -> Read {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        let start = self.at;
        match self.digits()? {
            1 => {}
            _ if self.text.get(start) == Some(&b'0') => return Err(self.malformed_at(start + 1)),
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    /// Steps over digits, at least one; tells how many.
    fn digits(&mut self) -> Read<usize> {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        if digits == 0 { Err(self.malformed()) } else { Ok(digits) }
    }

    fn word(&mut self, word: &[u8]) -> Read {
        if !self.rest().starts_with(word) {
            return Err(self.malformed());
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Read {
        if self.peek() != Some(byte) {
            return Err(self.malformed());
        }
        self.at += 1;
        Ok(())
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn malformed(&self) -> JsonFault {
        self.malformed_at(self.at)
    }

    pub(super) fn malformed_at(&self, at: usize) -> JsonFault {
        let (line, column) = self.position(at);
        match slip(self.text, at) {
            Some(why) => JsonFault::Slip { line, column, why },
            None => JsonFault::Malformed { line, column },
        }
    }

    /// Line and column, in bytes, of a place in the text, both counted from 1.
    fn position(&self, at: usize) -> (usize, usize) {
        let before = self.text.get(..at).unwrap_or(self.text);
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
        (line, column)
    }
}

/// Where a name stands that another one before it repeats, if any does. May sort them.
fn repetition(names: &mut [(Cow<'_, [u8]>, usize)]) -> Option<usize> {
    // Below this, comparing every pair is quicker than sorting.
    const FEW: usize = 12;
    if names.len() > FEW {
        names.sort_unstable();
        return names.windows(2).find_map(|pair| match pair {
            [(a, _), (b, place)] if a == b => Some(*place),
            _ => None,
        });
    }
    let mut rest: &[(Cow<'_, [u8]>, usize)] = names;
    while let [(first, _), others @ ..] = rest {
        if let Some((_, place)) = others.iter().find(|(other, _)| other == first) {
            return Some(*place);
        }
        rest = others;
    }
    None
}

/// How many bytes from the start need no attention inside a string: none of them a quote, a backslash or a
/// control character. Eight at a time: a byte's top bit survives `(word - n) & !word` where it is below `n`, and
/// the lowest such bit is exact.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = u64::from_ne_bytes([0x80; 8]);
    let below = |word: u64, limit: u8| word.wrapping_sub(ONES * u64::from(limit)) & !word;
    let (words, tail) = bytes.as_chunks::<8>();
    for (place, word) in words.iter().enumerate() {
        let word = u64::from_le_bytes(*word);
        let quote = below(word ^ (ONES * u64::from(b'"')), 1);
        let backslash = below(word ^ (ONES * u64::from(b'\\')), 1);
        let found = (below(word, b' ') | quote | backslash) & TOPS;
        if found != 0 {
            return place * 8 + usize::try_from(found.trailing_zeros() / 8).unwrap_or(0);
        }
    }
    let plain = |byte: &&u8| **byte >= b' ' && **byte != b'"' && **byte != b'\\';
    words.len() * 8 + tail.iter().take_while(plain).count()
}
