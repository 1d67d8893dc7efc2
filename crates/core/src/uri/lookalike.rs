//! What lenient systems, and people, take for another text.

use super::number;
use std::cell::OnceCell;
use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::is_combining_mark;
use unicode_security::confusable_detection::skeleton;

/// A text that decides something where others do not: a segment that a route spells out beside one that takes any, or
/// the name of a query member that a rule judges.
///
/// Others count as it that differ only in case, width, accents or style, in letters of other scripts that look alike
/// (UTS 39 §4) or that an 8-bit code page replaces, or in characters that are not seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookalike {
    text: Box<str>,
    first: Option<u8>,
    folded: String,
    /// Only letters and digits, without what divides them.
    letters: String,
    looks: String,
    /// Its value, where it is a number.
    number: Option<String>,
}

impl Lookalike {
    /// A declared text, to be compared with what arrives.
    pub fn new(text: &str) -> Lookalike {
        let folded = fold(text);
        Lookalike {
            first: first(text),
            letters: letters(&folded),
            looks: looks(&folded),
            number: number::plain(text),
            folded,
            text: text.into(),
        }
    }

    /// As it is declared.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether some system could read a decoded segment as this one: besides, what stands around the letters is left
    /// aside (file systems drop blanks and dots, form decoders read a plus as a blank), and what looks like a file's
    /// suffix, stream (`::$DATA`), query or fragment; a short name of Windows counts (`EXPORT~1`), and beside a number
    /// what readers of numbers take for the same one (`01`, `0x1`, `1e0`).
    pub fn is_read_from(&self, segment: &Read<'_>) -> bool {
        if segment.text == &*self.text {
            return true;
        }
        if self.number.as_ref().is_some_and(|number| segment.is_number(number)) {
            return true;
        }
        if self.is_out_of_question(segment) {
            return false;
        }
        let Folded { folded, bare, looks, .. } = segment.folded();
        // A text may begin with a sign of its own: `$batch` is no `batch`.
        let outer = folded.trim_matches([' ', '.']);
        [outer, bare, stem(outer), stem(bare)].contains(&&*self.folded)
            || looks.iter().any(|looks| [&**looks, stem(looks)].contains(&&*self.looks))
            || self.is_short(bare)
    }

    /// Whether some system could read a query member's name as this one: besides, what stands around and between the
    /// letters is left aside (PHP reads dots and blanks as underscores, gRPC's gateways `page_size` as `pageSize`), and
    /// what divides a name into parts ends it (`limit[]`, `limit.max`, `limit:int`, `limit;x`).
    pub fn is_named_by(&self, name: &Read<'_>) -> bool {
        if name.text == &*self.text || self.is_out_of_question(name) {
            return false;
        }
        let Folded { bare, looks, .. } = name.folded();
        let divides = |c: char| c.is_ascii_punctuation() && !matches!(c, '_' | '-' | '$' | '~');
        let first = |text: &str| letters(text.split(divides).next().unwrap_or_default());
        [letters(bare), first(bare)].contains(&self.letters)
            || looks.iter().any(|looks| [looks.to_string(), first(looks)].contains(&self.looks))
    }

    /// Nothing else needs a closer look: texts are seldom alike.
    fn is_out_of_question(&self, read: &Read<'_>) -> bool {
        self.first.is_some() && read.first.is_some() && self.first != read.first
    }

    /// `EXPORT~1` for a name too long for eight characters, `EXA1B2~1` where there are several.
    fn is_short(&self, bare: &str) -> bool {
        let name = bare.split('.').next().unwrap_or_default();
        let Some((start, number)) = name.split_once('~') else { return false };
        let is_number = (1..=6).contains(&number.len()) && number.bytes().all(|digit| digit.is_ascii_digit());
        let begins = |start: &str| {
            let letters = letters(start);
            !letters.is_empty() && self.letters.starts_with(&letters)
        };
        let hashed = || start.len() == 6 && start.get(..2).is_some_and(begins);
        is_number && (1..=6).contains(&start.len()) && (begins(start) || hashed())
    }
}

/// A segment or a name that came, to be compared with many: what that needs is worked out once.
pub struct Read<'t> {
    text: &'t str,
    first: Option<u8>,
    folded: OnceCell<Folded>,
}

struct Folded {
    folded: String,
    /// Without what stands around its letters.
    bare: String,
    /// How it looks, in small letters and in the case that it came in: capitals of one script look like those of another
    /// where small letters do not. Among ASCII, where `0` is no `O` to any system, that is nothing.
    looks: Vec<String>,
}

impl<'t> Read<'t> {
    /// A text that arrived, decoded.
    pub fn new(text: &'t str) -> Read<'t> {
        Read { text, first: first(text), folded: OnceCell::new() }
    }

    /// Whether it is this text, sign by sign.
    pub fn is(&self, text: &str) -> bool {
        self.text == text
    }

    fn is_number(&self, number: &str) -> bool {
        let Folded { folded, bare, .. } = self.folded();
        [folded, bare].into_iter().any(|text| number::values(text).any(|value| value == number))
    }

    fn folded(&self) -> &Folded {
        self.folded.get_or_init(|| {
            let folded = fold(self.text);
            let bare = trim(&folded).to_owned();
            let looks = match self.text.is_ascii() {
                true => Vec::new(),
                false => vec![looks(&bare), looks(trim(&fold(&skeleton(self.text).collect::<String>())))],
            };
            Folded { folded, bare, looks }
        })
    }
}

/// The first letter or digit of a text that is ASCII: without it, no two such texts are alike.
fn first(text: &str) -> Option<u8> {
    let alphanumeric = text.bytes().find(u8::is_ascii_alphanumeric);
    alphanumeric.filter(|_| text.is_ascii()).map(|byte| byte.to_ascii_lowercase())
}

fn stem(text: &str) -> &str {
    text.split(['.', '?', '#', '&', ':']).next().unwrap_or_default().trim_end()
}

/// Lower case, decomposed, without marks and what is not seen; the letters of fonts and of an 8-bit code page as what
/// they stand for.
fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.bytes().map(|byte| char::from(byte.to_ascii_lowercase())).map(blank).collect();
    }
    let mut folded = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            folded.push(blank(c.to_ascii_lowercase()));
            continue;
        }
        if let Some(fit) = sign(c) {
            folded.push(fit);
            continue;
        }
        // Upper case first: both sigmas, and the long s.
        let cased = c.to_uppercase().flat_map(char::to_lowercase);
        let parts = cased.nfkd().flat_map(char::to_lowercase).filter(|c| is_seen(*c));
        folded.extend(parts.map(|c| number::digit(best_fit(enclosed(c)))));
    }
    folded
}

fn blank(c: char) -> char {
    if c == '+' { ' ' } else { c }
}

/// Less accents and selectors, formats and symbols, and the letters that fill a place in Hangul.
fn is_seen(c: char) -> bool {
    let fills = matches!(c, '\u{115f}' | '\u{1160}');
    // A letter in brackets stands for itself; what else is ASCII may divide a text.
    let divides = c.is_ascii() && !matches!(c, '(' | ')');
    (divides || (c.is_alphanumeric() && !is_combining_mark(c)) || is_enclosed(c)) && !fills
}

/// White letters in black circles and squares, and those of flags, have no decomposition.
const ENCLOSED: [u32; 3] = [0x1f150, 0x1f170, 0x1f1e6];

fn is_enclosed(c: char) -> bool {
    enclosed(c) != c
}

fn enclosed(c: char) -> char {
    let letter = |first: &u32| u32::from(c).checked_sub(*first).filter(|place| *place < 26);
    let letter = ENCLOSED.iter().find_map(letter).and_then(|place| char::from_u32(u32::from('a') + place));
    letter.unwrap_or(c)
}

/// What code pages of Windows put for signs, and for letters that Unicode does not take apart. (How they look counts
/// besides: the ligature of a and e is read as both.)
fn sign(c: char) -> Option<char> {
    Some(match c {
        '\u{20a7}' | '\u{2117}' | '\u{2118}' => 'p',
        '\u{2107}' | '\u{212e}' => 'e',
        '\u{221a}' => 'v',
        '\u{221e}' => '8',
        '\u{2229}' => 'n',
        '\u{d7}' => 'x',
        '\u{a2}' | '\u{a9}' => 'c',
        '\u{a3}' => 'l',
        '\u{a5}' => 'y',
        '\u{ae}' => 'r',
        '\u{c6}' | '\u{e6}' => 'a',
        '\u{d0}' | '\u{f0}' | '\u{110}' | '\u{111}' | '\u{189}' => 'd',
        '\u{d8}' | '\u{f8}' | '\u{19f}' => 'o',
        '\u{de}' | '\u{fe}' | '\u{166}' | '\u{167}' | '\u{1ab}' | '\u{1ae}' => 't',
        '\u{126}' | '\u{127}' | '\u{4ba}' | '\u{4bb}' => 'h',
        '\u{141}' | '\u{142}' | '\u{19a}' => 'l',
        '\u{180}' => 'b',
        '\u{191}' | '\u{192}' => 'f',
        '\u{197}' => 'i',
        '\u{1b5}' | '\u{1b6}' => 'z',
        '\u{1e4}' | '\u{1e5}' | '\u{261}' => 'g',
        _ => return None,
    })
}

/// What code page 1252 of Windows puts for Greek letters; Latin ones lose their marks above.
fn best_fit(c: char) -> char {
    match c {
        'α' => 'a',
        'γ' => 'g',
        'δ' => 'd',
        'ε' => 'e',
        'θ' | 'τ' => 't',
        'π' => 'p',
        'σ' => 's',
        'φ' => 'f',
        'ω' => 'o',
        _ => c,
    }
}

fn looks(text: &str) -> String {
    skeleton(text).filter(|c| c.is_ascii() || is_seen(*c)).flat_map(char::to_lowercase).collect()
}

fn letters(text: &str) -> String {
    text.chars().filter(|c| c.is_alphanumeric()).collect()
}

/// Less what stands around letters and digits, unless that is all.
fn trim(text: &str) -> &str {
    let inner = text.trim_matches(|c: char| !c.is_alphanumeric());
    if inner.is_empty() { text } else { inner }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_pages_put_letters_for_signs() {
        for (segment, literal) in [
            ("q\u{20a7}wab", "qpwab"),
            ("q\u{2118}wab", "qpwab"),
            ("\u{2107}xport", "export"),
            ("\u{212e}xport", "export"),
            ("sa\u{221a}e", "save"),
            ("a\u{221e}", "a8"),
            ("i\u{2229}dex", "index"),
            ("\u{a9}ount", "count"),
            ("\u{ae}ead", "read"),
            ("e\u{d7}port", "export"),
            ("d\u{e6}ta", "data"),
            ("d\u{e6}ta", "daeta"),
            ("a\u{111}min", "admin"),
            ("a\u{d0}min", "admin"),
            ("exp\u{f8}rt", "export"),
            ("expor\u{167}", "export"),
            ("de\u{142}ete", "delete"),
            ("\u{192}ile", "file"),
            ("\u{1b6}ip", "zip"),
            ("\u{127}ost", "host"),
            ("fi\u{19a}e", "file"),
        ] {
            assert!(Lookalike::new(literal).is_read_from(&Read::new(segment)), "{segment:?} {literal}");
        }
        assert!(!Lookalike::new("save").is_read_from(&Read::new("sa\u{221e}e")));
    }
}
