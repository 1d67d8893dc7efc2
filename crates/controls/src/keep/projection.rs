//! One pass over the text: it is checked as strictly as [`ironbridge_core::json`] does and what the patterns
//! keep is copied, without building a value. Numbers are copied as they stand, so here they may also lie beyond
//! what a double holds.

use super::pattern::Node;
use ironbridge_core::json::MAX_DEPTH;
use std::borrow::Cow;

pub(super) struct Kept {
    pub text: Vec<u8>,
    pub records: u64,
}

/// The text is not strict JSON.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotStrict;

type Scanned<T = ()> = Result<T, NotStrict>;

pub(super) fn project(root: &Node, text: &[u8]) -> Scanned<Kept> {
    std::str::from_utf8(text).map_err(|_| NotStrict)?;
    let mut scan = Scan {
        text,
        at: 0,
        depth: 0,
        names: Vec::new(),
        kept: Vec::with_capacity(text.len()),
        records: 0,
        counted: false,
    };
    scan.skip_space();
    if !scan.keep(root)? {
        scan.kept.extend_from_slice(b"null");
    }
    scan.skip_space();
    if scan.at < text.len() {
        return Err(NotStrict);
    }
    Ok(Kept { text: scan.kept, records: if scan.counted { scan.records } else { 1 } })
}

struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
    /// Names of the objects that are open, innermost last, to find repeated ones.
    names: Vec<Cow<'t, [u8]>>,
    kept: Vec<u8>,
    records: u64,
    /// Whether the first `*` of a pattern met an array or object.
    counted: bool,
}

impl<'t> Scan<'t> {
    /// Reads one value and writes what the node keeps of it; false when that is nothing.
    fn keep(&mut self, node: &Node) -> Scanned<bool> {
        if node.whole {
            let start = self.at;
            self.skip()?;
            self.copy(start, self.at);
            return Ok(true);
        }
        match self.peek() {
            Some(b'{') => self.keep_members(node)?,
            Some(b'[') => self.keep_elements(node)?,
            _ => {
                self.skip()?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn keep_members(&mut self, node: &Node) -> Scanned {
        self.counted |= node.rest.as_deref().is_some_and(|rest| rest.counts);
        self.kept.push(b'{');
        let mut first = true;
        self.members(|scan, name, (start, end)| {
            let Some(member) = node.member(name) else { return scan.skip() };
            let before = scan.kept.len();
            if !first {
                scan.kept.push(b',');
            }
            scan.copy(start, end);
            scan.kept.push(b':');
            if scan.keep(member)? {
                first = false;
                scan.records += u64::from(member.counts);
            } else {
                scan.kept.truncate(before);
            }
            Ok(())
        })?;
        self.kept.push(b'}');
        Ok(())
    }

    fn keep_elements(&mut self, node: &Node) -> Scanned {
        let element = node.rest.as_deref();
        self.counted |= element.is_some_and(|element| element.counts);
        self.kept.push(b'[');
        let mut first = true;
        self.elements(|scan| {
            let Some(element) = element else { return scan.skip() };
            let before = scan.kept.len();
            if !first {
                scan.kept.push(b',');
            }
            if scan.keep(element)? {
                first = false;
                scan.records += u64::from(element.counts);
            } else {
                scan.kept.truncate(before);
            }
            Ok(())
        })?;
        self.kept.push(b']');
        Ok(())
    }

    /// Reads one value.
    fn skip(&mut self) -> Scanned {
        match self.peek().ok_or(NotStrict)? {
            b'{' => self.members(|scan, _, _| scan.skip()),
            b'[' => self.elements(Scan::skip),
            b'"' => self.string().map(|_| ()),
            b't' => self.word(b"true"),
            b'f' => self.word(b"false"),
            b'n' => self.word(b"null"),
            _ => self.number(),
        }
    }

    /// Reads an object; `each` reads a member's value, given the name and where it is written.
    fn members(&mut self, mut each: impl FnMut(&mut Self, &[u8], (usize, usize)) -> Scanned) -> Scanned {
        self.enter()?;
        let outer = self.names.len();
        if self.peek() != Some(b'}') {
            loop {
                let start = self.at;
                let name = self.string()?;
                let end = self.at;
                if is_hostile(&name) {
                    return Err(NotStrict);
                }
                self.skip_space();
                self.expect(b':')?;
                self.skip_space();
                each(self, &name, (start, end))?;
                self.names.push(name);
                self.skip_space();
                match self.next() {
                    Some(b',') => self.skip_space(),
                    Some(b'}') => break,
                    _ => return Err(NotStrict),
                }
            }
        } else {
            self.at += 1;
        }
        if has_repetition(self.names.get_mut(outer..).unwrap_or_default()) {
            return Err(NotStrict);
        }
        self.names.truncate(outer);
        self.depth -= 1;
        Ok(())
    }

    /// Reads an array; `each` reads an element.
    fn elements(&mut self, mut each: impl FnMut(&mut Self) -> Scanned) -> Scanned {
        self.enter()?;
        if self.peek() != Some(b']') {
            loop {
                each(self)?;
                self.skip_space();
                match self.next() {
                    Some(b',') => self.skip_space(),
                    Some(b']') => break,
                    _ => return Err(NotStrict),
                }
            }
        } else {
            self.at += 1;
        }
        self.depth -= 1;
        Ok(())
    }

    /// Steps over an opening bracket.
    fn enter(&mut self) -> Scanned {
        self.at += 1;
        self.depth += 1;
        self.skip_space();
        if self.depth > MAX_DEPTH { Err(NotStrict) } else { Ok(()) }
    }

    /// Reads a string; gives what it says.
    fn string(&mut self) -> Scanned<Cow<'t, [u8]>> {
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
            match self.next() {
                Some(b'"') => return Ok(Cow::Owned(said)),
                Some(b'\\') => self.escape(&mut said)?,
                _ => return Err(NotStrict),
            }
            let plain = self.at;
            self.at += plain_length(self.rest());
            said.extend_from_slice(self.text.get(plain..self.at).unwrap_or_default());
        }
    }

    /// Reads what follows a backslash (RFC 8259 §7).
    fn escape(&mut self, said: &mut Vec<u8>) -> Scanned {
        let plain = match self.next().ok_or(NotStrict)? {
            byte @ (b'"' | b'\\' | b'/') => byte,
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let character = self.unicode_escape()?;
                said.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                return Ok(());
            }
            _ => return Err(NotStrict),
        };
        said.push(plain);
        Ok(())
    }

    fn unicode_escape(&mut self) -> Scanned<char> {
        let first = self.four_digits()?;
        let character = if (0xd800..0xdc00).contains(&first) {
            self.expect(b'\\')?;
            self.expect(b'u')?;
            let second = self.four_digits()?;
            let low = second.checked_sub(0xdc00).filter(|low| *low < 0x400).ok_or(NotStrict)?;
            0x1_0000 + ((first - 0xd800) << 10) + low
        } else {
            first
        };
        // A lone surrogate is no character.
        char::from_u32(character).ok_or(NotStrict)
    }

    fn four_digits(&mut self) -> Scanned<u32> {
        (0..4).try_fold(0, |number, _| {
            let digit = self.next().and_then(|byte| char::from(byte).to_digit(16)).ok_or(NotStrict)?;
            Ok(number << 4 | digit)
        })
    }

    /// Reads a number (RFC 8259 §6).
    fn number(&mut self) -> Scanned {
        if self.peek() == Some(b'-') {
            self.at += 1;
        }
        match self.digits() {
            0 => return Err(NotStrict),
            1 => {}
            length if self.text.get(self.at - length) == Some(&b'0') => return Err(NotStrict),
            _ => {}
        }
        if self.peek() == Some(b'.') {
            self.at += 1;
            if self.digits() == 0 {
                return Err(NotStrict);
            }
        }
        if matches!(self.peek(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            if self.digits() == 0 {
                return Err(NotStrict);
            }
        }
        Ok(())
    }

    /// Steps over digits; tells how many.
    fn digits(&mut self) -> usize {
        let digits = self.rest().iter().take_while(|byte| byte.is_ascii_digit()).count();
        self.at += digits;
        digits
    }

    fn word(&mut self, word: &[u8]) -> Scanned {
        if !self.rest().starts_with(word) {
            return Err(NotStrict);
        }
        self.at += word.len();
        Ok(())
    }

    fn skip_space(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    fn expect(&mut self, byte: u8) -> Scanned {
        if self.next() == Some(byte) { Ok(()) } else { Err(NotStrict) }
    }

    fn next(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.at += 1;
        Some(byte)
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    fn rest(&self) -> &'t [u8] {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn copy(&mut self, start: usize, end: usize) {
        self.kept.extend_from_slice(self.text.get(start..end).unwrap_or_default());
    }
}

fn is_hostile(name: &[u8]) -> bool {
    matches!(name, b"__proto__" | b"constructor" | b"prototype")
}

/// Whether two names are the same. May sort them.
fn has_repetition(names: &mut [Cow<'_, [u8]>]) -> bool {
    // Below this, comparing every pair is quicker than sorting.
    const FEW: usize = 12;
    if names.len() > FEW {
        names.sort_unstable();
        return names.windows(2).any(|pair| matches!(pair, [a, b] if a == b));
    }
    let mut rest: &[Cow<'_, [u8]>] = names;
    while let [first, others @ ..] = rest {
        if others.contains(first) {
            return true;
        }
        rest = others;
    }
    false
}

/// How many bytes from the start need no attention inside a string: none of them a quote, a backslash or a
/// control character. Eight at a time: a byte's top bit survives `(word - n) & !word` where it is below `n`, and
/// the lowest such bit is exact.
fn plain_length(bytes: &[u8]) -> usize {
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
