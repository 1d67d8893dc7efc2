//! A text without what encodings add to it: JSON's escapes, percent-encoding and entities resolved, in whatever order
//! they lie over one another; line breaks, what indents the lines behind them, and the zeros of UTF-16 left out. It is
//! read as it comes.

use memchr::{memchr2, memchr3};
use std::borrow::Cow;
use std::ops::{Range, RangeInclusive};

/// Encodings that may lie over one another: JSON in a text of JSON in a form, say.
pub const DEPTH: usize = 3;

/// Longest escape that is waited for, in bytes: also one that another encoding lies over, or with zeros before its
/// number.
pub const LONGEST: usize = 32;

#[derive(Default)]
pub struct Plain {
    layers: [Layer; DEPTH],
}

impl Plain {
    /// The text below all encodings.
    pub fn whole(text: &[u8]) -> Vec<u8> {
        let mut whole = text.to_vec();
        Plain::each(text, |reading| whole = reading.to_vec());
        whole
    }

    /// Every reading of a text but the first, which is the text itself.
    pub fn each(text: &[u8], mut reading: impl FnMut(&[u8])) {
        if is_plain(text) {
            return;
        }
        let mut plain = Plain::default();
        let mut readings: [Vec<u8>; DEPTH] = Default::default();
        let mut more = |numbers: Range<usize>, piece: &[u8]| {
            for reading in readings.get_mut(numbers).into_iter().flatten() {
                reading.extend_from_slice(piece);
            }
        };
        plain.read(text, &mut more);
        plain.end(&mut more);
        readings.iter().for_each(|text| reading(text));
    }

    /// The text goes on behind a line break.
    pub fn within_indentation() -> Plain {
        let mut plain = Plain::default();
        plain.layers.iter_mut().for_each(|layer| layer.indents = true);
        plain
    }

    /// Whether this piece of the text stands for itself.
    pub fn is_same(&self, piece: &[u8]) -> bool {
        self.layers.iter().all(|layer| layer.begun.is_empty() && !layer.indents) && is_plain(piece)
    }

    /// What the next piece of the text says, less one encoding, two, and so on: often several say the same.
    pub fn read(&mut self, piece: &[u8], mut reading: impl FnMut(Range<usize>, &[u8])) {
        let mut read = without_zeros(piece.to_vec());
        let mut number = 0;
        while let Some(layer) = self.layers.get_mut(number) {
            read = without_zeros(layer.read(read));
            let (first, indents) = (number, layer.indents);
            let lines = layer.unbroken(&read);
            let indents_after = layer.indents;
            number += 1;
            if memchr3(b'\\', b'%', b'&', &read).is_none() {
                // They read the same.
                let same = |layer: &&mut Layer| layer.begun.is_empty() && layer.indents == indents;
                for layer in self.layers.iter_mut().skip(number).take_while(same) {
                    layer.indents = indents_after;
                    number += 1;
                }
            }
            reading(first..number, &lines);
        }
    }

    /// What escapes say that were never finished.
    pub fn end(&mut self, mut reading: impl FnMut(Range<usize>, &[u8])) {
        let mut end = Vec::new();
        for (number, layer) in self.layers.iter_mut().enumerate() {
            end = layer.read(end);
            let begun = std::mem::take(&mut layer.begun);
            // A reference may do without its semicolon.
            match Escape::at(&[&begun[..], b" "].concat()) {
                Escape::Of(character, length)
                    if length == begun.len() || (begun.starts_with(b"&") && length < begun.len()) =>
                {
                    end.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    end.extend_from_slice(begun.get(length..).unwrap_or_default());
                }
                _ => end.extend(begun),
            }
            end = without_zeros(end);
            reading(number..number + 1, &layer.unbroken(&end));
        }
    }
}

fn is_plain(text: &[u8]) -> bool {
    memchr3(b'\\', b'%', b'&', text).is_none() && memchr3(b'\n', b'\r', 0, text).is_none()
}

fn without_zeros(mut text: Vec<u8>) -> Vec<u8> {
    if memchr::memchr(0, &text).is_some() {
        text.retain(|byte| *byte != 0);
    }
    text
}

/// One encoding.
#[derive(Default)]
struct Layer {
    /// An escape that may go on in the next piece.
    begun: Vec<u8>,
    /// What comes next indents a line.
    indents: bool,
}

enum Escape {
    /// So many bytes stand for this.
    Of(char, usize),
    OfByte(u8, usize),
    /// What begins one does not here, and stands for itself.
    None,
    /// More has to be seen.
    Begun,
}

impl Layer {
    fn read(&mut self, piece: Vec<u8>) -> Vec<u8> {
        if self.begun.is_empty() && memchr3(b'\\', b'%', b'&', &piece).is_none() {
            return piece;
        }
        let text =
            if self.begun.is_empty() { piece } else { [std::mem::take(&mut self.begun), piece].concat() };
        let mut read = Vec::with_capacity(text.len());
        let mut rest = &text[..];
        while let Some(at) = memchr3(b'\\', b'%', b'&', rest) {
            let (before, escape) = rest.split_at(at);
            read.extend_from_slice(before);
            // No more than what is waited for, so that it does not matter how the text is cut.
            rest = match Escape::at(escape.get(..LONGEST).unwrap_or(escape)) {
                Escape::Of(character, length) => {
                    read.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                    escape.get(length..).unwrap_or_default()
                }
                Escape::OfByte(byte, length) => {
                    read.push(byte);
                    escape.get(length..).unwrap_or_default()
                }
                Escape::Begun if escape.len() < LONGEST => {
                    self.begun = escape.to_vec();
                    return read;
                }
                Escape::None | Escape::Begun => {
                    read.extend(escape.first());
                    escape.get(1..).unwrap_or_default()
                }
            };
        }
        read.extend_from_slice(rest);
        read
    }

    /// The text in one line: base64 comes in lines, and they may be indented.
    fn unbroken<'t>(&mut self, text: &'t [u8]) -> Cow<'t, [u8]> {
        if !self.indents && memchr2(b'\n', b'\r', text).is_none() {
            return Cow::Borrowed(text);
        }
        let (mut whole, mut rest) = (Vec::with_capacity(text.len()), text);
        loop {
            if self.indents {
                let blanks =
                    rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t' | b'\n' | b'\r')).count();
                rest = rest.get(blanks..).unwrap_or_default();
                self.indents = rest.is_empty();
            }
            let Some((line, after)) = memchr2(b'\n', b'\r', rest).and_then(|end| rest.split_at_checked(end))
            else {
                break;
            };
            whole.extend_from_slice(line);
            rest = after;
            self.indents = true;
        }
        whole.extend_from_slice(rest);
        Cow::Owned(whole)
    }
}

impl Escape {
    fn at(text: &[u8]) -> Escape {
        Escape::below(text, 0)
    }

    /// The escape at the beginning, where those of the kinds `over` lie over it already.
    fn below(text: &[u8], over: u8) -> Escape {
        let kind = text.first().map_or(0, |first| kind(*first));
        if kind == 0 || kind & over != 0 {
            return Escape::None;
        }
        let mut letters = Letters { text, read: 1, over: over | kind, mixed: false, stopped_below: false };
        let escape = match text.first() {
            Some(b'\\') => letters.backslash(),
            Some(b'%') => letters.percent(),
            _ => letters.reference(),
        };
        match escape {
            Err(Ends) => Escape::Begun,
            // What lies over it is resolved first.
            Ok(_) if letters.mixed && over == 0 => Escape::None,
            Ok(escape) => escape,
        }
    }
}

fn kind(first: u8) -> u8 {
    match first {
        b'\\' => 1,
        b'%' => 2,
        b'&' => 4,
        _ => 0,
    }
}

/// The characters of an escape, of which another encoding may have written any: `\u&#48;074`, `%7\u0034`,
/// `&#116\u003b`. An encoding does not lie over itself: what begins its escapes, it writes as one.
struct Letters<'t> {
    text: &'t [u8],
    read: usize,
    over: u8,
    /// Another encoding wrote some of them.
    mixed: bool,
    /// It stopped at what an encoding over it says, which may begin one between the two.
    stopped_below: bool,
}

/// The text ends within an escape.
struct Ends;

impl Letters<'_> {
    /// The next one, and how many bytes stand for it.
    fn peek(&self) -> Result<(char, usize), Ends> {
        let rest = self.text.get(self.read..).unwrap_or_default();
        let first = rest.first().ok_or(Ends)?;
        match Escape::below(rest, self.over) {
            Escape::Of(character, length) => Ok((character, length)),
            Escape::OfByte(byte, length) => Ok((char::from(byte), length)),
            Escape::None => Ok((char::from(*first), 1)),
            Escape::Begun => Err(Ends),
        }
    }

    /// The next one, if it is such.
    fn take(&mut self, is_such: impl Fn(char) -> bool) -> Result<Option<char>, Ends> {
        let (character, length) = self.peek()?;
        let taken = is_such(character).then_some(character);
        self.read += taken.map_or(0, |_| length);
        self.mixed |= taken.is_some() && length > 1;
        self.stopped_below =
            taken.is_none() && length > 1 && u8::try_from(character).is_ok_and(|c| kind(c) != 0);
        Ok(taken)
    }

    /// A number of so many digits.
    fn number(&mut self, radix: u32, digits: RangeInclusive<usize>) -> Result<Option<u32>, Ends> {
        let (mut number, mut there) = (Some(0_u32), 0);
        while there < *digits.end()
            && let Some(digit) = self.take(|digit| digit.is_digit(radix))?
        {
            there += 1;
            let digit = digit.to_digit(radix).unwrap_or_default();
            number = number.and_then(|number| number.checked_mul(radix)?.checked_add(digit));
        }
        Ok(number.filter(|_| digits.contains(&there)))
    }

    /// RFC 8259 §7, and what programming languages add.
    fn backslash(&mut self) -> Result<Escape, Ends> {
        let first = self.take(|_| true)?.unwrap_or_default();
        let plain = self.read;
        let number = match first {
            'n' => return Ok(Escape::Of('\n', plain)),
            'r' => return Ok(Escape::Of('\r', plain)),
            't' => return Ok(Escape::Of('\t', plain)),
            'u' | 'x' if self.take(|next| next == '{')?.is_some() => {
                let number = self.number(16, 1..=8)?;
                self.take(|next| next == '}')?.and(number)
            }
            'u' => self.number(16, 4..=4)?,
            'x' => self.number(16, 2..=2)?,
            'U' => self.number(16, 8..=8)?,
            '0'..='3' => {
                let high = first.to_digit(8).unwrap_or_default() * 64;
                self.number(8, 2..=2)?.map(|low| high + low)
            }
            _ if !first.is_ascii() => return Ok(Escape::None),
            _ => None,
        };
        Ok(match number {
            Some(number) => Escape::Of(char::from_u32(number).unwrap_or('?'), self.read),
            None if self.stopped_below => Escape::None,
            // Its digits are below an encoding of the same kind.
            None if matches!(first, 'u' | 'x' | 'U') && self.text.get(self.read) == Some(&b'\\') => {
                Escape::None
            }
            None => Escape::Of(first, plain),
        })
    }

    /// RFC 3986 §2.1, and what ECMAScript's escape() makes of other characters.
    fn percent(&mut self) -> Result<Escape, Ends> {
        if self.take(|first| first == 'u')?.is_some() {
            let number = self.number(16, 4..=4)?;
            let of = |number| Escape::Of(char::from_u32(number).unwrap_or('?'), self.read);
            return Ok(number.map_or(Escape::None, of));
        }
        let byte = self.number(16, 2..=2)?.and_then(|number| u8::try_from(number).ok());
        Ok(byte.map_or(Escape::None, |byte| Escape::OfByte(byte, self.read)))
    }

    /// A character by its number, in as many digits as there are, or by its name. The semicolon may be missing.
    fn reference(&mut self) -> Result<Escape, Ends> {
        if self.take(|first| first == '#')?.is_none() {
            return self.name();
        }
        let radix = if self.take(|first| matches!(first, 'x' | 'X'))?.is_some() { 16 } else { 10 };
        let number = self.number(radix, 1..=LONGEST)?;
        if self.take(|end| end == ';')?.is_none() && self.stopped_below {
            return Ok(Escape::None);
        }
        let character = number.and_then(char::from_u32);
        Ok(character.map_or(Escape::None, |character| Escape::Of(character, self.read)))
    }

    fn name(&mut self) -> Result<Escape, Ends> {
        let (begins, mut name) = (self.read, String::new());
        while let Some(letter) = self.take(|letter| letter.is_ascii_alphabetic())? {
            name.push(letter);
        }
        if self.take(|end| end == ';')?.is_some()
            && let Some((_, character)) = NAMES.iter().find(|(known, _)| *known == name)
        {
            return Ok(Escape::Of(*character, self.read));
        }
        if self.stopped_below {
            return Ok(Escape::None);
        }
        // What follows is not a part of it.
        let Some((known, character)) = NAMES.iter().take(UNENDED).find(|(known, _)| name.starts_with(known))
        else {
            return Ok(Escape::None);
        };
        self.read = begins;
        for _ in 0..known.len() {
            self.take(|_| true)?;
        }
        Ok(Escape::Of(*character, self.read))
    }
}

/// HTML's names of the characters that credentials are made of besides letters and digits; the first ones need no
/// semicolon.
const NAMES: [(&str, char); 47] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("AMP", '&'),
    ("LT", '<'),
    ("GT", '>'),
    ("QUOT", '"'),
    ("apos", '\''),
    ("sol", '/'),
    ("bsol", '\\'),
    ("plus", '+'),
    ("equals", '='),
    ("period", '.'),
    ("colon", ':'),
    ("comma", ','),
    ("semi", ';'),
    ("num", '#'),
    ("excl", '!'),
    ("dollar", '$'),
    ("percnt", '%'),
    ("lpar", '('),
    ("rpar", ')'),
    ("ast", '*'),
    ("midast", '*'),
    ("commat", '@'),
    ("lsqb", '['),
    ("lbrack", '['),
    ("rsqb", ']'),
    ("rbrack", ']'),
    ("Hat", '^'),
    ("lowbar", '_'),
    ("UnderBar", '_'),
    ("grave", '`'),
    ("DiacriticalGrave", '`'),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("vert", '|'),
    ("verbar", '|'),
    ("VerticalLine", '|'),
    ("quest", '?'),
    ("dash", '-'),
    ("hyphen", '-'),
    ("Tab", '\t'),
    ("NewLine", '\n'),
];
const UNENDED: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_encodings_add_is_gone() {
        for (text, plain) in [
            ("", ""),
            ("nothing to do", "nothing to do"),
            (r#"a\/b\"c\\\\\\\\d"#, r#"a/b"c\d"#),
            (r"\u002B\u002b\x2b\053+", "+++++"),
            (r"\u00e9\ud800", "é?"),
            ("a%2Fb%2fc%u002fd", "a/b/c/d"),
            ("100% of 5%", "100% of 5%"),
            ("%C3%A9", "é"),
            ("&#43;&#x2B;&#X2b;&#43&#43", "+++++"),
            ("&amp;&quot;&sol;&plus;", "&\"/+"),
            ("a & b && c &nosuch; d&", "a & b && c &nosuch; d&"),
            ("7&ampYx&ltQ2&QUOTe&gt", "7&Yx<Q2\"e>"),
            (r"\u{74}\x{6f}\U0000006b\u{74", r"tok\u{74"),
            ("&#0000000000116;", "t"),
            // An encoding over another character than the first of an escape.
            (r"&#116\u003b&#1\u00311;&#x6\u0062;", "tok"),
            (r"&amp\u003b&lt%3b", "&<"),
            (r"\&#117;0074\u&#48;06f\u00%36b\%750074", "tokt"),
            (r"%7\u0034%&#54;f%6&#x62;", "tok"),
            (r"\&quot;\%2F", "\"/"),
            ("&#1%31%31&#11%34&#38", "or&"),
            ("&#116&#49;%2574", "t1t"),
            ("c2Vj\r\n  cm\n\tV0\\n c", "c2VjcmV0c"),
            ("%252525", "%"),
            (r"\\\\/", "/"),
            (r"&amp;#x25;2F", "/"),
            ("c2Vj\r\ncmV0\\r\\n%0a", "c2VjcmV0"),
            ("s\0e\0\\\0u\0", "seu"),
            ("\\", "\\"),
            (r"\u00", r"\u00"),
            (r"\up", "up"),
            ("%4", "%4"),
            ("&#;", "&#;"),
            ("&#99999999999999;", "&#99999999999999;"),
        ] {
            assert_eq!(String::from_utf8_lossy(&Plain::whole(text.as_bytes())), plain, "{text}");
        }
    }

    proptest! {
        #[test]
        fn pieces_read_as_the_whole(pieces in prop::collection::vec("[a-f0-9u\\\\%&#;x\n mplt{}]{0,9}", 0..9)) {
            let whole = Plain::whole(pieces.concat().as_bytes());
            let mut plain = Plain::default();
            let mut read: Vec<u8> = Vec::new();
            for piece in &pieces {
                plain.read(piece.as_bytes(), |numbers, piece| {
                    if numbers.contains(&(DEPTH - 1)) {
                        read.extend_from_slice(piece);
                    }
                });
                prop_assert!(plain.layers.iter().all(|layer| layer.begun.len() < LONGEST));
            }
            plain.end(|numbers, piece| {
                if numbers.contains(&(DEPTH - 1)) {
                    read.extend_from_slice(piece);
                }
            });
            prop_assert_eq!(String::from_utf8_lossy(&read), String::from_utf8_lossy(&whole));
        }

        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(Plain::whole(&bytes).len() <= bytes.len());
        }
    }
}
