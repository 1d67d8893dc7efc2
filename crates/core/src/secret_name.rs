//! How a secret is named. Whoever reads a manifest, keeps secrets or sets one asks here, so that what one of them
//! accepts is accepted by all. It must not know what a secret is worth, nor where it is kept.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Where a secret is: `secret://STORE/NAME`, or `secret://STORE/NAME#FIELD` for one member of a secret that is a
/// JSON object.
///
/// Store and name are 1 to 64 of `a-z 0-9 . _ -` and begin with a letter or digit; a field may have upper-case
/// letters too and may begin with `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SecretName {
    store: Arc<str>,
    name: Arc<str>,
    field: Option<Arc<str>>,
}

const SCHEME: &str = "secret://";

/// Longest part of a name, in bytes.
const LONGEST: usize = 64;

impl SecretName {
    /// What references call the bridge's own store: the STORE of `secret://STORE/NAME`.
    pub const SEALED: &'static str = "sealed";

    /// The same grammar for JSON Schema.
    pub const PATTERN: &'static str = "^secret://[a-z0-9][a-z0-9._-]{0,63}/[a-z0-9][a-z0-9._-]{0,63}\
        (#[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?$";

    /// Reads a reference.
    ///
    /// # Errors
    /// When the text is none. The error does not repeat the text: it may be the secret itself.
    pub fn parse(text: &str) -> Result<SecretName, SecretNameError> {
        let rest = text.strip_prefix(SCHEME).ok_or(SecretNameError::Scheme)?;
        let (place, field) = match rest.split_once('#') {
            Some((place, field)) => (place, Some(field)),
            None => (rest, None),
        };
        let (store, name) = place.split_once('/').ok_or(SecretNameError::NoName)?;
        let whole = SecretName::new(store, name)?;
        if !field.is_none_or(is_field) {
            return Err(SecretNameError::Field);
        }
        Ok(SecretName { field: field.map(Arc::from), ..whole })
    }

    /// The whole of a secret in a store.
    ///
    /// # Errors
    /// When the store or the secret cannot be called so.
    pub fn new(store: &str, name: &str) -> Result<SecretName, SecretNameError> {
        if !is_name(store) {
            return Err(SecretNameError::Store);
        }
        if !is_name(name) {
            return Err(SecretNameError::Name);
        }
        Ok(SecretName { store: store.into(), name: name.into(), field: None })
    }

    /// The store that keeps it.
    pub fn store(&self) -> &str {
        &self.store
    }

    /// What it is called in its store.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The member of it that is meant; `None` for all of it.
    pub fn field(&self) -> Option<&str> {
        self.field.as_deref()
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
        write!(f, "{SCHEME}{}/{}", self.store, self.name)?;
        self.field.iter().try_for_each(|field| write!(f, "#{field}"))
    }
}

/// What is wrong with a reference or a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretNameError {
    /// It is no reference at all, and so perhaps the secret.
    Scheme,
    /// It names a store and no secret.
    NoName,
    /// No store can be called so.
    Store,
    /// No secret can be called so.
    Name,
    /// No member can be called so.
    Field,
}

impl fmt::Display for SecretNameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            SecretNameError::Scheme => {
                "a secret is named by a reference such as secret://sealed/erp-password, never written out"
            }
            SecretNameError::NoName => "the reference names a store but no secret: write secret://STORE/NAME",
            SecretNameError::Store => {
                "the store's name is not 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit"
            }
            SecretNameError::Name => {
                "the secret's name is not 1 to 64 of a-z 0-9 . _ - beginning with a letter or digit"
            }
            SecretNameError::Field => {
                "the field's name is not 1 to 64 of A-Z a-z 0-9 . _ - beginning with a letter, digit or _"
            }
        })
    }
}

impl std::error::Error for SecretNameError {}

fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_word(text, first, |byte| first(byte) || b"._-".contains(&byte))
}

fn is_field(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    is_word(text, first, |byte| first(byte) || b".-".contains(&byte))
}

fn is_word(text: &str, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    text.len() <= LONGEST && text.bytes().next().is_some_and(first) && text.bytes().all(rest)
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
