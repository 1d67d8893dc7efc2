//! The key in the field `Idempotency-Key` (draft-ietf-httpapi-idempotency-key-header-06). What a key does, a control knows.

use ironbridge_core::{DeduplicationKey, KeyUnreadable};
use std::borrow::Cow;

/// From the field's text.
///
/// # Errors
/// Where it is in neither of the two forms, or the key is empty or too long.
pub fn read(field: &str) -> Result<DeduplicationKey, KeyUnreadable> {
    DeduplicationKey::new(&key(field).ok_or(KeyUnreadable)?)
}

/// A structured-field String without parameters (RFC 9651 §4.2.5), as the draft has it, or the key itself, as most clients
/// send it; `"k1"` and `k1` are one key.
fn key(field: &str) -> Option<Cow<'_, str>> {
    let field = field.trim_matches(' ');
    if !field.starts_with('"') {
        // What would be a list, parameters, or half a string is refused rather than guessed at.
        let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"\\,;".contains(&byte);
        return field.bytes().all(plain).then_some(Cow::Borrowed(field));
    }
    let quoted = field.strip_prefix('"')?.strip_suffix('"')?;
    let mut key = String::with_capacity(quoted.len());
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        key.push(match character {
            '\\' => characters.next().filter(|escaped| matches!(escaped, '"' | '\\'))?,
            '"' => return None,
            ' '..='~' => character,
            _ => return None,
        });
    }
    Some(Cow::Owned(key))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn keys_are_quoted_strings() {
        let longest = "k".repeat(255);
        for (field, key) in [
            (r#""8e03978e-40d5-43e8-bc93-6894a57f9324""#, Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            (r#"  "a b"  "#, Some("a b")),
            (r#""a\"b\\c""#, Some(r#"a"b\c"#)),
            (&format!("\"{longest}\""), Some(longest.as_str())),
            (&format!("\"{longest}k\""), None),
            (r#""""#, None),
            (r#"""#, None),
            ("", None),
            ("unquoted", Some("unquoted")),
            (" k1 ", Some("k1")),
            ("8e03978e-40d5-43e8-bc93-6894a57f9324", Some("8e03978e-40d5-43e8-bc93-6894a57f9324")),
            ("a:b/c+d=_~.@{}", Some("a:b/c+d=_~.@{}")),
            ("two words", None),
            ("k1, k2", None),
            ("k1,k2", None),
            ("k1;p=1", None),
            ("k1\"", None),
            ("k\\1", None),
            (&"k".repeat(256), None),
            ("schlüssel", None),
            (r#""a"b""#, None),
            (r#""a\""#, None),
            (r#""a\n""#, None),
            (r#""a";p=1"#, None),
            (r#""a", "b""#, None),
            ("\"a\tb\"", None),
            ("\"schlüssel\"", None),
        ] {
            assert_eq!(read(field).as_ref().map(DeduplicationKey::as_str).ok(), key, "{field}");
        }
    }

    proptest! {
        #[test]
        fn every_printable_key_can_be_written(key in "[ -~]{1,255}") {
            let escaped = key.replace('\\', "\\\\").replace('"', "\\\"");
            let field = format!("\"{escaped}\"");
            prop_assert_eq!(read(&field), DeduplicationKey::new(&key));
        }
    }
}
