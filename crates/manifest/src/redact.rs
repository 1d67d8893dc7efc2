//! Blotting out what must not be shown.

use crate::span::Span;
use crate::value::{Date, Duration, FromText, Rate, Route, Size};
use ironbridge_core::SecretName;

const BLOT: char = '•';

/// The text with these byte ranges blotted out. Line breaks stay, and so does the number of characters, so that
/// lines and columns remain right. Text that stands behind a key that sounds like a secret goes as well: where a
/// file is not well-formed, nothing better is known.
pub fn spans(text: &str, spans: impl Iterator<Item = Span>) -> String {
    let mut hidden: Vec<Span> = spans.chain(behind_telling_keys(text)).collect();
    hidden.sort_by_key(|span| span.start);
    let mut out = String::with_capacity(text.len());
    let mut pending = hidden.into_iter().peekable();
    let mut until = 0;
    for (at, c) in text.char_indices() {
        while let Some(span) = pending.next_if(|span| span.start <= at) {
            until = until.max(span.end);
        }
        out.push(if at < until && c != '\n' && c != '\r' { BLOT } else { c });
    }
    out
}

/// Whether a value in the wrong place can be shown: it is of a kind that no secret has. Numbers alone are not: some
/// secrets are.
pub fn is_harmless(text: &str) -> bool {
    let words = |text: &str| text.bytes().all(|byte| byte.is_ascii_lowercase() || b"/_*".contains(&byte));
    let with_unit = !text.bytes().all(|byte| byte.is_ascii_digit())
        && (Duration::from_text(text).is_ok()
            || Size::from_text(text).is_ok()
            || Rate::from_text(text).is_ok());
    with_unit
        || matches!(text, "true" | "false")
        || Date::from_text(text).is_ok()
        || SecretName::from_text(text).is_ok()
        || Route::from_text(text).is_ok()
        || (text.starts_with('/') && words(text))
}

/// Values that follow `password:`, `client_secret:` and their like on the same line and are no reference.
fn behind_telling_keys(text: &str) -> impl Iterator<Item = Span> {
    const TELLING: [&str; 9] = [
        "password",
        "passwd",
        "passphrase",
        "secret",
        "token",
        "api_key",
        "private_key",
        "secret_access_key",
        "authorization",
    ];
    let mut at = 0;
    text.split_inclusive('\n').flat_map(move |line| {
        let start = at;
        at += line.len();
        let lower = line.to_ascii_lowercase();
        let mut found = Vec::new();
        for (colon, _) in lower.match_indices(':') {
            let before = lower.get(..colon).unwrap_or_default().trim_end().trim_end_matches(['"', '\'']);
            let rest = lower.get(colon + 1..).unwrap_or_default();
            let lead = rest.len() - rest.trim_start().len();
            let value = rest.trim_start();
            let is_key = rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']);
            let telling = is_key && TELLING.iter().any(|key| before.ends_with(key));
            if telling
                && !value.trim_start_matches(['"', '\'']).starts_with("secret://")
                && !value.starts_with('{')
            {
                found.push(Span { start: start + colon + 1 + lead, end: start + line.trim_end().len() });
            }
        }
        found
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_a_hidden_range_remains_and_columns_stay() {
        let text = "a: geheim\nb: ä\n";
        let shown = spans(text, [Span { start: 3, end: 9 }].into_iter());
        assert_eq!(shown, "a: ••••••\nb: ä\n");
    }

    #[test]
    fn what_can_be_no_secret_is_shown() {
        for shown in [
            "90d",
            "256KiB",
            "1000/min",
            "2027-03-31",
            "true",
            "/items/*/id",
            "GET /orders/{id}",
            "secret://sealed/erp",
        ] {
            assert!(is_harmless(shown), "{shown}");
        }
        for hidden in ["hunter2", "1234", "/8sdfKJHs9", "Bearer abc", "GET", "", "90dx", "shop"] {
            assert!(!is_harmless(hidden), "{hidden}");
        }
    }

    #[test]
    fn values_behind_telling_keys_go_and_references_stay() {
        let text = "x: { password: hunter2, b: 1 }\n\"client_secret\": \"abc\"\ntoken: secret://sealed/t\ntoken: { issuer: a }\n";
        let shown = spans(text, std::iter::empty());
        assert!(!shown.contains("hunter2") && !shown.contains("abc"), "{shown}");
        assert!(shown.contains("secret://sealed/t") && shown.contains("{ issuer: a }"), "{shown}");
    }
}
