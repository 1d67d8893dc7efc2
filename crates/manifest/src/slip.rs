//! Slips in YAML: what a person did on a line that the parser gave up on.

use crate::span::Span;

/// Where, what, and what to do.
pub type Slip = (Span, String, &'static str);

/// How many lines before the one where the parser gave up are looked at: it often notices on the next that has
/// anything on it.
const LINES_BACK: usize = 3;

/// What was probably done, on the line at this byte or just before it.
pub fn find(text: &str, at: usize) -> Option<Slip> {
    // Signs that are no YAML first: what else looks wrong comes from them.
    nearby(text, at, foreign)
        .or_else(|| indentation(text, at))
        .or_else(|| nearby(text, at, on))
        .or_else(|| unclosed(text, at))
        .or_else(|| without_colon(text, at))
}

/// Where on a line, what, and what to do.
type OnLine = (usize, usize, String, &'static str);

/// What is found first, from the line at this byte backwards.
fn nearby(text: &str, at: usize, look: fn(&str) -> Option<OnLine>) -> Option<Slip> {
    let mut end = text.get(at..)?.find('\n').map_or(text.len(), |line| at + line);
    for _ in 0..LINES_BACK {
        let start = text.get(..end)?.rfind('\n').map_or(0, |line| line + 1);
        let line = text.get(start..end)?;
        if let Some((from, to, message, help)) = look(line) {
            return Some((Span { start: start + from, end: start + to }, message, help));
        }
        end = start.checked_sub(1)?;
    }
    None
}

/// Signs that come from elsewhere: a web page, a word processor, a template.
fn foreign(line: &str) -> Option<OnLine> {
    let text = line.trim_start();
    let begin = line.len() - text.len();
    if let Some((from, blank)) =
        line.char_indices().take_while(|(at, _)| *at < begin).find(|(_, c)| !c.is_ascii())
    {
        let message = "a blank that is none of YAML's is used for indentation".to_owned();
        let help = "write spaces; text that is copied from a web page often has no-break spaces instead";
        return Some((from, from + blank.len_utf8(), message, help));
    }
    if text.starts_with("{{") || text.starts_with("{%") {
        let message = "this is a template, which becomes YAML only when it is filled in".to_owned();
        return Some((begin, line.len(), message, "fill it in first, for example with `helm template`"));
    }
    let code = line.split(" #").next().unwrap_or(line);
    for quote in ['“', '”', '„', '‘', '’', '«', '»'] {
        let begins = |before: &str| before.ends_with([' ', '[', '{', ',']);
        if let Some(from) = code.find(quote).filter(|from| code.get(..*from).is_some_and(begins)) {
            let message = format!("`{quote}` is a letter here and no quotation mark");
            return Some((from, from + quote.len_utf8(), message, "write straight quotation marks: \" or '"));
        }
    }
    in_brackets(code)
}

/// A value in braces or brackets that begins with a sign of YAML's own.
fn in_brackets(line: &str) -> Option<OnLine> {
    let open = line.find(['{', '['])?;
    for sign in ['@', '`', '%', '*'] {
        let begins = |from: &usize| {
            let before = line.get(..*from).unwrap_or_default();
            let value = before.trim_end().ends_with([':', '[', ',']) && *from > open;
            let quoted = before.matches('"').count() % 2 == 1 || before.matches('\'').count() % 2 == 1;
            let behind = line.get(from + 1..).unwrap_or_default();
            // An alias is a name behind it.
            value && !quoted && (sign != '*' || !behind.starts_with(|c: char| c.is_ascii_alphanumeric()))
        };
        if let Some(from) = line.match_indices(sign).map(|(from, _)| from).find(begins) {
            let to = line.get(from..)?.find([' ', ',', ']', '}']).map_or(line.len(), |end| from + end);
            let message = format!("a text that begins with `{sign}` must be in quotes");
            return Some((from, to, message, "put the whole value into quotes"));
        }
    }
    None
}

/// A key that stands in no column of the maps that are open there.
fn indentation(text: &str, at: usize) -> Option<Slip> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |line| line + 1);
    let line = text.get(start..)?.lines().next()?;
    let column = column_of(line);
    let key = key_of(line.get(column..)?)?;
    let mut open: Vec<usize> = Vec::new();
    for before in text.get(..start)?.lines().rev() {
        let trimmed = before.trim();
        if trimmed.is_empty() || trimmed.starts_with('#') {
            continue;
        }
        let its = column_of(before);
        if open.is_empty() && (trimmed.ends_with(':') || trimmed.ends_with(['{', '[', ','])) && its < column {
            return None;
        }
        if open.last().is_none_or(|least| its < *least) {
            // Behind a dash a map begins.
            if trimmed.starts_with("- ") {
                open.push(its + trimmed.len() - trimmed.get(1..)?.trim_start().len());
            }
            open.push(its);
        }
        if its == 0 {
            break;
        }
    }
    if open.is_empty() || open.contains(&column) {
        return None;
    }
    let above = open.iter().filter(|its| **its > column).min();
    let below = open.iter().filter(|its| **its < column).max();
    let columns = match (below, above) {
        (Some(below), Some(above)) => format!("{below} or {above}"),
        (Some(one), None) | (None, Some(one)) => one.to_string(),
        (None, None) => return None,
    };
    Some((
        Span { start: start + column, end: start + column + key.len() },
        format!("`{key}` is indented by {}, and its neighbours by {columns}", spaces(column)),
        "the keys of one map begin in the same column",
    ))
}

fn spaces(count: usize) -> String {
    if count == 1 { "1 space".to_owned() } else { format!("{count} spaces") }
}

fn column_of(line: &str) -> usize {
    line.len() - line.trim_start_matches(' ').len()
}

/// The key that the text begins with.
fn key_of(text: &str) -> Option<&str> {
    let (key, rest) = text.split_once(':')?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "_.-".contains(c);
    (!key.is_empty() && key.chars().all(plain) && (rest.is_empty() || rest.starts_with([' ', '\r'])))
        .then_some(key)
}

/// Where on a line somebody wrote YAML as one would think it is written, and what was meant.
fn on(line: &str) -> Option<OnLine> {
    let begin = line.len() - line.trim_start().len();
    let text = line.get(begin..)?;
    let text = text.strip_prefix("- ").unwrap_or(text);
    let begin = line.len() - text.len();
    let word =
        text.find(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit() && c != '_').unwrap_or(text.len());
    let (key, rest) = text.split_at_checked(word)?;
    if !key.is_empty()
        && rest.strip_prefix(':').is_some_and(|rest| !rest.is_empty() && !rest.starts_with([' ', '\t', '/']))
    {
        let message = format!("a space is missing after `{key}:`");
        return Some((
            begin,
            begin + key.len() + 1,
            message,
            "without it, the line is one text and not a key with a value",
        ));
    }
    in_value(line).or_else(|| in_braces(line))
}

/// A text that needs quotes, or ends them too early.
fn in_value(line: &str) -> Option<OnLine> {
    let (before, value) = line.split_once(": ")?;
    let value = value.trim_start();
    let value = value.split(" #").next().unwrap_or(value).trim_end();
    let from = line.get(before.len()..)?.find(value)? + before.len();
    let to = from + value.len();
    if before.contains(['{', '[', '"', '\'']) {
        return None;
    }
    if let Some(quote @ ('"' | '\'')) = value.chars().next() {
        let behind = value.get(1..)?.find(quote).and_then(|end| value.get(end + 2..))?;
        if !behind.is_empty() && !behind.starts_with(quote) && !behind.starts_with('\\') {
            let message = "text follows behind the closing quote".to_owned();
            return Some((from, to, message, "put the whole value into quotes of the other kind"));
        }
        return None;
    }
    if !value.starts_with(['{', '[', '|', '>']) && value.contains(": ") {
        let message = "a text with a colon and a space in it must be in quotes".to_owned();
        return Some((from, to, message, "put the whole value into quotes"));
    }
    if value.starts_with(['@', '`', '%']) {
        let message = format!("a text that begins with `{}` must be in quotes", value.get(..1)?);
        return Some((from, to, message, "put the whole value into quotes"));
    }
    None
}

/// A parameter of a path, or a variable, inside a map in braces: its own braces end the map.
fn in_braces(line: &str) -> Option<OnLine> {
    let open = line.find("{ ").or_else(|| line.find(": {"))?;
    let inner = line.get(open + 2..)?;
    let unquoted = |at: &usize| {
        let before = inner.get(..*at).unwrap_or_default();
        before.matches('"').count() % 2 == 0 && before.matches('\'').count() % 2 == 0
    };
    let found = ["/{", "${", "{{"].iter().filter_map(|mark| inner.find(mark)).filter(unquoted).min()?;
    let from = open + 2 + found;
    let to = line.get(from..)?.find('}').map_or(line.len(), |end| from + end + 1);
    let message = "inside braces, a text that holds braces of its own must be in quotes".to_owned();
    Some((from, to, message, "write it as \"GET /orders/{id}\", or each key on a line of its own"))
}

/// A line of which only a key's colon is missing.
fn without_colon(text: &str, at: usize) -> Option<Slip> {
    let start = text.get(..at)?.rfind('\n').map_or(0, |line| line + 1);
    let line = text.get(start..)?.lines().next()?;
    let column = column_of(line);
    let rest = line.get(column..)?;
    let key = rest.get(..rest.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(rest.len()))?;
    let behind = rest.get(key.len()..)?;
    let alone = !key.is_empty() && !line.contains(':') && (behind.is_empty() || behind.starts_with(' '));
    alone.then(|| {
        let span = Span { start: start + column, end: start + column + key.len() };
        (span, format!("a colon is missing after `{key}`"), "a key is written with a colon and a space")
    })
}

/// A brace or bracket on an earlier line that nothing has closed.
fn unclosed(text: &str, at: usize) -> Option<Slip> {
    let line = text.get(..at)?.rfind('\n')?;
    let mut open: Vec<(usize, char)> = Vec::new();
    let mut quote: Option<char> = None;
    let mut before = '\n';
    let mut comment = false;
    for (place, c) in text.get(..line)?.char_indices() {
        let begins = before.is_whitespace() || "{[,:".contains(before);
        match (quote, c) {
            (_, '\n') => comment = false,
            _ if comment => {}
            (Some(end), _) if c == end => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'') if begins => quote = Some(c),
            (None, '#') if before.is_whitespace() => comment = true,
            (None, '{' | '[') if begins || !open.is_empty() => open.push((place, c)),
            (None, '}' | ']') => drop(open.pop()),
            _ => {}
        }
        before = c;
    }
    let (place, sign) = *open.last()?;
    let (close, help) = match sign {
        '{' => ('}', "close it, or put a comma between its keys"),
        _ => (']', "close it, or put a comma between its values"),
    };
    Some((Span { start: place, end: place + 1 }, format!("this `{sign}` has no `{close}` on its line"), help))
}
