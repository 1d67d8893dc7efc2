//! `application/x-www-form-urlencoded`, read strictly, and wiped: one of its values is a secret.

use ironbridge_core::uri::form_text;
use zeroize::Zeroizing;

/// Ours; a token request has a few hundred bytes.
const MAX_FORM: usize = 16 * 1024;
const MAX_FIELDS: usize = 32;

/// The fields of a form, each name once; only `resource` may repeat (RFC 6749 §3.2, RFC 8707 §2).
pub(super) struct Form(Vec<(String, Zeroizing<String>)>);

impl Form {
    pub fn parse(bytes: &[u8]) -> Result<Form, &'static str> {
        if bytes.len() > MAX_FORM {
            return Err("the form is too large");
        }
        let text = std::str::from_utf8(bytes).map_err(|_| "the form is not UTF-8")?;
        let mut fields = Vec::<(String, Zeroizing<String>)>::new();
        for field in text.split('&').filter(|field| !field.is_empty()) {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let (Some(name), Some(value)) = (form_text(name), form_text(value)) else {
                return Err("the form's percent-encoding is broken");
            };
            if name != "resource" && fields.iter().any(|(known, _)| *known == name) {
                return Err("a parameter is repeated");
            }
            if fields.len() == MAX_FIELDS {
                return Err("the form has too many fields");
            }
            fields.push((name, Zeroizing::new(value)));
        }
        Ok(Form(fields))
    }

    /// A parameter without a value counts as not sent (RFC 6749 §3.2).
    pub fn one(&self, name: &str) -> Option<&str> {
        self.all(name).next()
    }

    pub fn all(&self, name: &str) -> impl Iterator<Item = &str> {
        self.0
            .iter()
            .filter(move |(known, value)| known == name && !value.is_empty())
            .map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms_are_read_strictly() {
        let form = Form::parse(b"a=1&b=x+y%2Bz&c=&d&resource=r&resource=s&&").unwrap();
        assert_eq!((form.one("a"), form.one("b")), (Some("1"), Some("x y+z")));
        assert_eq!((form.one("c"), form.one("d"), form.one("e")), (None, None, None));
        assert_eq!(form.all("resource").collect::<Vec<_>>(), ["r", "s"]);
        for broken in ["a=1&a=2", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "a=%ff", "%=1"] {
            assert!(Form::parse(broken.as_bytes()).is_err(), "{broken}");
        }
        assert!(Form::parse(b"a=\xff").is_err());
    }

    proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&bytes);
        }
    }
}
