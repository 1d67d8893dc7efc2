//! A text without what encodings add to it: JSON's escapes, percent-encoding and entities resolved, in whatever order
//! they lie over one another; line breaks and the zeros of UTF-16 left out. It is read as it comes.

use memchr::{memchr2, memchr3};
use std::borrow::Cow;
use std::ops::Range;

/// Encodings that may lie over one another: JSON in a text of JSON in a form, say.
pub const DEPTH: usize = 3;

/// Longest escape that is waited for, in bytes: `&#x10FFFF;` and a named entity.
const LONGEST: usize = 12;

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

    /// Whether this piece of the text stands for itself.
    pub fn is_same(&self, piece: &[u8]) -> bool {
        self.layers.iter().all(|layer| layer.begun.is_empty()) && is_plain(piece)
    }

    /// What the next piece of the text says, less one encoding, two, and so on: often several say the same.
    pub fn read(&mut self, piece: &[u8], mut reading: impl FnMut(Range<usize>, &[u8])) {
        let mut read = without_zeros(piece.to_vec());
        let mut number = 0;
        while let Some(layer) = self.layers.get_mut(number) {
            read = without_zeros(layer.read(read));
            let first = number;
            number += 1;
            if memchr3(b'\\', b'%', b'&', &read).is_none() {
                let idle = self.layers.iter().skip(number).take_while(|layer| layer.begun.is_empty());
                number += idle.count();
            }
            reading(first..number, &unbroken(&read));
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
                Escape::Of(character, length) if length == begun.len() => {
                    end.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                }
                _ => end.extend(begun),
            }
            end = without_zeros(end);
            reading(number..number + 1, &unbroken(&end));
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

/// Base64 comes in lines, too.
fn unbroken(text: &[u8]) -> Cow<'_, [u8]> {
    if memchr2(b'\n', b'\r', text).is_none() {
        return Cow::Borrowed(text);
    }
    let (mut whole, mut rest) = (Vec::with_capacity(text.len()), text);
    while let Some((line, after)) = memchr2(b'\n', b'\r', rest).and_then(|end| rest.split_at_checked(end)) {
        whole.extend_from_slice(line);
        rest = after.get(1..).unwrap_or_default();
    }
    whole.extend_from_slice(rest);
    Cow::Owned(whole)
}

/// One encoding.
#[derive(Default)]
struct Layer {
    /// An escape that may go on in the next piece.
    begun: Vec<u8>,
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
            rest = match Escape::at(escape) {
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
}

impl Escape {
    fn at(text: &[u8]) -> Escape {
        match text {
            [b'\\', rest @ ..] => Escape::backslash(rest),
            // RFC 3986 §2.1, and what ECMAScript's escape() makes of other characters.
            [b'%', b'u', digits @ ..] => number(digits, 16, 4, 2),
            [b'%', digits @ ..] => match number(digits, 16, 2, 1) {
                Escape::Of(byte, length) => {
                    Escape::OfByte(u8::try_from(u32::from(byte)).unwrap_or(b'?'), length)
                }
                other => other,
            },
            [b'&', b'#', b'x' | b'X', digits @ ..] => reference(digits, 16, 3),
            [b'&', b'#', digits @ ..] => reference(digits, 10, 2),
            [b'&', name @ ..] => named(name),
            _ => Escape::None,
        }
    }

    /// RFC 8259 §7, and what programming languages add.
    fn backslash(rest: &[u8]) -> Escape {
        let Some(first) = rest.first() else { return Escape::Begun };
        let after = rest.get(1..).unwrap_or_default();
        let plain = Escape::Of(char::from(*first), 2);
        match first {
            b'n' => Escape::Of('\n', 2),
            b'r' => Escape::Of('\r', 2),
            b't' => Escape::Of('\t', 2),
            b'u' | b'x' => match number(after, 16, if *first == b'u' { 4 } else { 2 }, 2) {
                Escape::None => plain,
                found => found,
            },
            b'0'..=b'3' => match number(rest, 8, 3, 1) {
                Escape::None => plain,
                found => found,
            },
            128.. => Escape::None,
            _ => plain,
        }
    }
}

/// A character by its number, in exactly so many digits behind what begins the escape.
fn number(text: &[u8], radix: u32, digits: usize, begins: usize) -> Escape {
    let written = text.get(..digits.min(text.len())).unwrap_or_default();
    match value(written, radix) {
        None if written.is_empty() => Escape::Begun,
        None => Escape::None,
        Some(_) if written.len() < digits => Escape::Begun,
        Some(value) => Escape::Of(char::from_u32(value).unwrap_or('?'), begins + digits),
    }
}

/// The same in as many digits as there are, to a semicolon that may be missing.
fn reference(text: &[u8], radix: u32, begins: usize) -> Escape {
    let digits = text.iter().take_while(|byte| char::from(**byte).is_digit(radix)).take(LONGEST).count();
    let ends = match text.get(digits) {
        None => return Escape::Begun,
        Some(b';') => 1,
        Some(_) => 0,
    };
    let value = text.get(..digits).and_then(|digits| value(digits, radix)).and_then(char::from_u32);
    value.map_or(Escape::None, |character| Escape::Of(character, begins + digits + ends))
}

fn value(digits: &[u8], radix: u32) -> Option<u32> {
    let is_digit = |byte: &u8| char::from(*byte).is_digit(radix);
    let text = Some(digits).filter(|digits| digits.iter().all(is_digit))?;
    u32::from_str_radix(std::str::from_utf8(text).ok()?, radix).ok()
}

/// HTML's names of the characters that credentials are made of besides letters and digits.
const NAMES: [(&str, char); 37] = [
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
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
    ("grave", '`'),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("vert", '|'),
    ("verbar", '|'),
    ("quest", '?'),
    ("dash", '-'),
];

fn named(text: &[u8]) -> Escape {
    let letters = text.iter().take_while(|byte| byte.is_ascii_alphabetic()).take(LONGEST).count();
    match text.get(letters) {
        None => Escape::Begun,
        Some(b';') => {
            let name = text.get(..letters).unwrap_or_default();
            let known = NAMES.iter().find(|(known, _)| known.as_bytes() == name);
            known.map_or(Escape::None, |(_, character)| Escape::Of(*character, letters + 2))
        }
        Some(_) => Escape::None,
    }
}

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
        fn pieces_read_as_the_whole(pieces in prop::collection::vec("[a-f0-9u\\\\%&#;x\n]{0,9}", 0..9)) {
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
