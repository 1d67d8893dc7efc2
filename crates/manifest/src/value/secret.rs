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
    /// Letters, digits and `._/-`, at most 128 characters.
    pub name: Arc<str>,
    /// Likewise.
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
        if !is_part(name) || !field.is_none_or(is_part) {
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
            "^secret://[a-z0-9][a-z0-9._-]*/[A-Za-z0-9._/-]+(#[A-Za-z0-9._/-]+)?$",
            "secret://sealed/erp#client_secret",
        )
    }
}

fn is_part(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    (1..=128).contains(&text.len()) && text.bytes().all(allowed)
}

impl fmt::Display for SecretRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.store, self.name)?;
        self.field.iter().try_for_each(|field| write!(f, "#{field}"))
    }
}
