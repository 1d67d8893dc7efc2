use super::{FromText, Name, Wrong};
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// Names a secret: `secret://store/name`, or `secret://store/name#field` for one field of it. A manifest can
/// name a secret, never contain it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SecretRef {
    /// `sealed`, the only store of this version.
    pub store: Name,
    /// 1 to 64 of `a-z 0-9 . _ -`, a letter or digit first.
    pub name: Arc<str>,
    /// Likewise, upper-case letters too, and `_` may come first.
    pub field: Option<Arc<str>>,
}

const SCHEME: &str = "secret://";

impl FromText for SecretRef {
    const EXPECTED: &'static str = "a reference, such as secret://sealed/erp";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let Some(rest) = text.strip_prefix(SCHEME) else {
            return Err(Wrong::secret("a secret is written in clear where only a reference may stand").help(
                "put it into the store with `ironbridge secret set NAME`, write `secret://sealed/NAME` here, and \
                 replace it where it came from: it has been written down",
            ));
        };
        // What is wrong behind `secret://` may be a pasted secret, so it is not repeated either.
        let malformed = || {
            Wrong::hidden("this is no well-formed reference to a secret")
                .help("write `secret://sealed/NAME`, or `secret://sealed/NAME#FIELD` for one field of it")
        };
        let (path, field) = match rest.split_once('#') {
            Some((path, field)) => (path, Some(field)),
            None => (rest, None),
        };
        let (store, name) = path.split_once('/').ok_or_else(malformed)?;
        let store = Name::from_text(store).map_err(|_| malformed())?;
        if !is_name(name) || !field.is_none_or(is_field) {
            return Err(malformed());
        }
        if &*store != "sealed" {
            return Err(Wrong {
                finding: &crate::findings::finding::NOT_YET,
                ..Wrong::malformed(format!("names the store `{store}`, and this version has only `sealed`"))
            });
        }
        Ok(SecretRef { store, name: name.into(), field: field.map(Arc::from) })
    }

    fn schema() -> Value {
        crate::schema::text(
            "A reference to a secret; never the secret itself.",
            "^secret://[a-z0-9][a-z0-9._-]*/[a-z0-9][a-z0-9._-]{0,63}(#[A-Za-z0-9_][A-Za-z0-9._-]{0,63})?$",
            "secret://sealed/erp#client_secret",
        )
    }
}

/// As the secret store allows it: a name that it could never hold would only be missed when it is needed.
fn is_name(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    is_part(text, first, |byte| first(byte) || b"._-".contains(&byte))
}

fn is_field(text: &str) -> bool {
    let first = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    is_part(text, first, |byte| first(byte) || b".-".contains(&byte))
}

fn is_part(text: &str, first: impl Fn(u8) -> bool, rest: impl Fn(u8) -> bool) -> bool {
    text.len() <= 64 && text.bytes().next().is_some_and(first) && text.bytes().all(rest)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.store, self.name)?;
        self.field.iter().try_for_each(|field| write!(f, "#{field}"))
    }
}
