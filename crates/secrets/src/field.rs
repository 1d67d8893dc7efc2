//! One member of a secret that is a JSON object, taken without leaving copies of the others in memory.

use ironbridge_core::Sensitive;
use serde::de::{Deserialize, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, Visitor};
use std::fmt;

/// None when the value is not a JSON object, or the field is missing, repeated or not a string. The parser's own
/// words are dropped, because they quote the value. Of a text with escapes, the parser has a copy for a moment, which it
/// does not wipe.
pub(crate) fn pick(value: &[u8], field: &str) -> Option<Sensitive> {
    let mut reader = serde_json::Deserializer::from_slice(value);
    let picked = Member(field).deserialize(&mut reader).ok()?;
    reader.end().ok()?;
    picked
}

struct Member<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for Member<'_> {
    type Value = Option<Sensitive>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Sensitive>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut picked = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != self.0 {
                map.next_value::<IgnoredAny>()?;
                continue;
            }
            let Text(text) = map.next_value()?;
            if picked.replace(text).is_some() {
                return Err(A::Error::custom("repeated"));
            }
        }
        Ok(picked)
    }
}

/// A text, copied once, into what is wiped.
struct Text(Sensitive);

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text, D::Error> {
        deserializer.deserialize_str(OfText)
    }
}

struct OfText;

impl Visitor<'_> for OfText {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Text, E> {
        Ok(Text(Sensitive::new(text)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn only_a_single_text_member_of_an_object_is_picked() {
        let pick = |value: &str| {
            pick(value.as_bytes(), "f").map(|bytes| String::from_utf8(bytes.expose().to_vec()).unwrap())
        };
        assert_eq!(pick(r#"{"f":"v"}"#).as_deref(), Some("v"));
        assert_eq!(pick(r#" {"a":{"f":"deep"},"f":"\u00e9\n","z":[1]} "#).as_deref(), Some("é\n"));
        assert_eq!(pick(r#"{"f":""}"#).as_deref(), Some(""));
        for no in [
            "",
            "f",
            "\"f\"",
            "[\"f\"]",
            "{}",
            r#"{"F":"v"}"#,
            r#"{"f":1}"#,
            r#"{"f":null}"#,
            r#"{"f":{"f":"v"}}"#,
            r#"{"f":"v","f":"w"}"#,
            r#"{"f":"v"} x"#,
            r#"{"f":"v""#,
        ] {
            assert_eq!(pick(no), None, "{no}");
        }
    }

    proptest! {
        #[test]
        fn every_string_reads_back(text: String) {
            let value = serde_json::json!({ "other": 1, "f": text }).to_string();
            let picked = pick(value.as_bytes(), "f").unwrap();
            prop_assert_eq!(picked.expose(), text.as_bytes());
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = pick(&bytes, "f");
        }
    }
}
