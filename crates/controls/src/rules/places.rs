//! Where in a rule's text something stands. Needed only where there is something to say about it.

use super::forms::VARIABLES;
use super::remark::{Remark, RuleError};
use super::typing::Mistake;
use cel::parser::Parser;
use cel::parser::pratt_parser::{Lexer, TokenKind};
use ironbridge_core::json::exact_double;
use ironbridge_core::nearest::closest;
use std::ops::Range;

/// The mistakes with their places. The fast parser keeps none; the other one numbers expressions alike.
pub(super) fn of(check: &str, mistakes: Vec<Mistake>) -> Vec<Remark> {
    let info = Parser::new().enable_optional_syntax(false).parse_with_source_info(check).ok();
    let place = |(id, name): (u64, Option<String>)| {
        let (start, _) = info.as_ref()?.1.offset_for(id)?;
        let start = usize::try_from(start).ok()?;
        match name {
            Some(name) => word(check, start, &name),
            None => Some(token(check, start)),
        }
    };
    mistakes
        .into_iter()
        .map(|Mistake { at, message, help, .. }| Remark { is_read: true, at: place(at), message, help })
        .collect()
}

/// What keeps a rule from being read, with its place.
pub(super) fn of_error(check: &str, error: &RuleError) -> Remark {
    let (at, help) = match error {
        RuleError::Syntax(_, place) => match other_sign(check) {
            Some((at, meant)) => (Some(at), Some(format!("write `{meant}`"))),
            None => (place.and_then(|place| at_column(check, place)), None),
        },
        RuleError::UnknownVariable(name) => {
            let near = closest(name, VARIABLES.iter().copied());
            (word(check, 0, name), near.map(|near| format!("did you mean `{near}`?")))
        }
        RuleError::UnknownFunction(name) => {
            let known = super::typing::FUNCTIONS.iter().map(|signature| signature.name);
            (word(check, 0, name), closest(name, known).map(|near| format!("did you mean `{near}`?")))
        }
        RuleError::Shadowed(name) | RuleError::Inexact(name) => (word(check, 0, name), None),
        RuleError::Map => (word(check, 0, "map"), None),
        RuleError::DynamicPattern | RuleError::InvalidPattern | RuleError::LargePattern => {
            (word(check, 0, "matches"), None)
        }
        _ => (None, None),
    };
    Remark { is_read: false, at, message: error.to_string(), help }
}

/// A number in the text that would be judged as another one.
pub(super) fn inexact(check: &str) -> Option<&str> {
    let mut lexer = Lexer::new(check);
    loop {
        let token = lexer.lex();
        match token.kind {
            TokenKind::TokEnd | TokenKind::TokError => return None,
            TokenKind::TokFloat => {
                let number = check.get(token.start..token.end)?;
                if exact_double(number).is_none() {
                    return Some(number);
                }
            }
            _ => {}
        }
    }
}

/// How other languages write what CEL writes otherwise.
const OTHER_SIGNS: [(&str, &str); 10] = [
    ("===", "=="),
    ("!==", "!="),
    ("<>", "!="),
    ("=<", "<="),
    ("=>", ">="),
    ("=", "=="),
    ("&", "&&"),
    ("|", "||"),
    ("~=", "matches"),
    ("=~", "matches"),
];
const OTHER_WORDS: [(&str, &str); 5] =
    [("and", "&&"), ("or", "||"), ("not", "!"), ("is", "=="), ("eq", "==")];

/// The first sign or word of another language, outside texts, with what to write instead.
fn other_sign(check: &str) -> Option<(Range<usize>, &'static str)> {
    let is_sign = |c: char| "=!<>&|~".contains(c);
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let mut start = 0;
    while let Some(first) = check.get(start..).and_then(|rest| rest.chars().next()) {
        let rest = check.get(start..)?;
        let length = match first {
            '"' | '\'' => token(check, start).len(),
            _ if is_sign(first) => rest.find(|c| !is_sign(c)).unwrap_or(rest.len()),
            _ if is_name(first) => rest.find(|c| !is_name(c)).unwrap_or(rest.len()),
            _ => first.len_utf8(),
        };
        let found = rest.get(..length)?;
        // Behind a dot a word is a name.
        let is_word = !check.get(..start)?.trim_end().ends_with('.');
        let small = found.to_ascii_lowercase();
        let signs = OTHER_SIGNS.iter().filter(|_| is_sign(first));
        let words = OTHER_WORDS.iter().filter(|_| is_word);
        if let Some((_, meant)) = signs.chain(words).find(|(other, _)| *other == small) {
            return Some((start..start + length, meant));
        }
        start += length;
    }
    None
}

/// A line and a column in bytes, both from 1.
fn at_column(check: &str, (line, column): (isize, isize)) -> Option<Range<usize>> {
    let (line, column) =
        (usize::try_from(line).ok()?.checked_sub(1)?, usize::try_from(column).ok()?.checked_sub(1)?);
    let before: usize = check.split_inclusive('\n').take(line).map(str::len).sum();
    Some(token(check, before + column))
}

/// The first place from here on where the word stands by itself.
fn word(check: &str, from: usize, word: &str) -> Option<Range<usize>> {
    let rest = check.get(from..)?;
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    rest.match_indices(word).map(|(at, _)| from + at..from + at + word.len()).find(|place| {
        let before = check.get(..place.start).and_then(|text| text.chars().next_back());
        let behind = check.get(place.end..).and_then(|text| text.chars().next());
        !before.is_some_and(is_part) && !behind.is_some_and(is_part)
    })
}

/// What stands here, up to a blank or another sort of sign.
fn token(check: &str, start: usize) -> Range<usize> {
    let rest = check.get(start..).unwrap_or_default();
    let is_name = |c: char| c.is_alphanumeric() || c == '_';
    let length = match rest.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            rest.get(1..).and_then(|text| text.find(quote)).map_or(rest.len(), |end| end + 2)
        }
        Some(c) if is_name(c) => rest.find(|c: char| !is_name(c)).unwrap_or(rest.len()),
        Some(c) if "<>=!&|".contains(c) => rest.find(|c: char| !"<>=!&|".contains(c)).unwrap_or(rest.len()),
        Some(c) => c.len_utf8(),
        None => 0,
    };
    start..start + length
}

#[cfg(test)]
mod tests {
    use super::super::{Known, Rule};

    #[test]
    fn signs_of_other_languages_are_told() {
        for (check, at, meant) in [
            ("body.a > 1 and body.b < 2", "and", "&&"),
            ("body.a > 1 OR body.b < 2", "OR", "||"),
            ("not body.a", "not", "!"),
            ("body.a = 1", "=", "=="),
            ("body.a === 1", "===", "=="),
            ("body.a !== 1", "!==", "!="),
            ("body.a <> 'and'", "<>", "!="),
            ("body.a => 1", "=>", ">="),
            ("'a and b' == body.a & body.c", "&", "&&"),
            ("body.or == 1 | body.b", "|", "||"),
            ("body.a =~ '^x'", "=~", "matches"),
        ] {
            let remarks = Rule::compile_for(check, "otherwise", &Known::nothing()).unwrap_err();
            let remark = &remarks[0];
            assert_eq!(remark.at.clone().and_then(|at| check.get(at)), Some(at), "{check}");
            assert_eq!(remark.help.as_deref(), Some(format!("write `{meant}`").as_str()), "{check}");
        }
        let remarks = Rule::compile_for("body.a >", "otherwise", &Known::nothing()).unwrap_err();
        assert_eq!(remarks[0].help, None);
        assert!(Rule::compile("body.not == 1 && body.and == 'x = y'", "otherwise").is_ok());
    }
}
