use std::fmt;
use std::str::FromStr;

/// Where a secret is: `secret://STORE/NAME`, or `secret://STORE/NAME#FIELD` for one member of a secret that is a
/// JSON object.
///
/// Store and name are 1 to 64 of `a-z 0-9 . _ -` and begin with a letter or digit; a field may have upper-case
/// letters too and may begin with `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    pub store: String,
    pub name: String,
    pub field: Option<String>,
}

impl SecretName {
    /// # Errors
    /// When the text is no such reference. The error does not repeat the text: it may be the secret itself.
    pub fn parse(text: &str) -> Result<SecretName, SecretNameError> {
        let rest = text.strip_prefix("secret://").ok_or(SecretNameError::Scheme)?;
        let (place, field) = match rest.split_once('#') {
            Some((place, field)) => (place, Some(field)),
            None => (rest, None),
        };
        let (store, name) = place.split_once('/').ok_or(SecretNameError::NoName)?;
        if !is_name(store) {
            return Err(SecretNameError::Store);
        }
        if !is_name(name) {
            return Err(SecretNameError::Name);
        }
        if !field.is_none_or(is_field) {
            return Err(SecretNameError::Field);
        }
        Ok(SecretName { store: store.into(), name: name.into(), field: field.map(str::to_owned) })
    }
}

impl FromStr for SecretName {
    type Err = SecretNameError;

    fn from_str(text: &str) -> Result<SecretName, SecretNameError> {
        SecretName::parse(text)
    }
}

impl fmt::Display for SecretName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "secret://{}/{}", self.store, self.name)?;
        match &self.field {
            Some(field) => write!(f, "#{field}"),
            None => Ok(()),
        }
    }
}

/// What is wrong with a reference or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretNameError {
    #[error("a secret is named by a reference such as secret://sealed/erp-password, never written out")]
    Scheme,
    #[error("the reference names a store but no secret: write secret://STORE/NAME")]
    NoName,
    #[error("the store's name is not 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit")]
    Store,
    #[error("the secret's name is not 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit")]
    Name,
    #[error("the field's name is not 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter, digit or _")]
    Field,
}

pub(crate) fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_word(text, first, |byte| first(byte) || b"._-".contains(&byte))
}

fn is_field(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    is_word(text, first, |byte| first(byte) || b".-".contains(&byte))
}

fn is_word(text: &str, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    text.len() <= 64 && text.bytes().next().is_some_and(first) && text.bytes().all(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_name_reads_back(
            text in "secret://[a-z0-9][a-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,63}(#[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?"
        ) {
            prop_assert_eq!(SecretName::parse(&text).unwrap().to_string(), text);
        }

        #[test]
        fn any_text_is_read_or_refused_without_repeating_it(text in "(secret://)?[ -~]{0,80}|.*") {
            match SecretName::parse(&text) {
                Ok(name) => prop_assert_eq!(name.to_string(), text),
                Err(error) => prop_assert!(text.len() < 12 || !error.to_string().contains(&text)),
            }
        }
    }

    #[test]
    fn what_is_no_reference_is_refused_with_the_reason() {
        let long = format!("secret://sealed/{}", "a".repeat(65));
        for (text, reason) in [
            ("", SecretNameError::Scheme),
            ("hunter2", SecretNameError::Scheme),
            ("SECRET://sealed/a", SecretNameError::Scheme),
            ("secret:/sealed/a", SecretNameError::Scheme),
            ("secret://sealed", SecretNameError::NoName),
            ("secret:///a", SecretNameError::Store),
            ("secret://Sealed/a", SecretNameError::Store),
            ("secret://sealed/", SecretNameError::Name),
            ("secret://sealed/a/b", SecretNameError::Name),
            ("secret://sealed/../a", SecretNameError::Name),
            ("secret://sealed/.a", SecretNameError::Name),
            ("secret://sealed/a b", SecretNameError::Name),
            ("secret://sealed/é", SecretNameError::Name),
            ("secret://sealed/a\n", SecretNameError::Name),
            (&long, SecretNameError::Name),
            ("secret://sealed/a#", SecretNameError::Field),
            ("secret://sealed/a#b#c", SecretNameError::Field),
            ("secret://sealed/a#b/c", SecretNameError::Field),
        ] {
            assert_eq!(SecretName::parse(text), Err(reason), "{text}");
        }
    }
}
