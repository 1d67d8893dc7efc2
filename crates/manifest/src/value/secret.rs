//! How a manifest names a secret. It can name one, never contain it.

use super::{FromText, Wrong};
use crate::findings::finding;
use ironbridge_core::{SecretName, SecretNameError};
use serde_json::Value;

/// The only store of this version.
const STORE: &str = SecretName::SEALED;

impl FromText for SecretName {
    const EXPECTED: &'static str = "a reference, such as secret://sealed/erp";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let name = SecretName::parse(text).map_err(wrong)?;
        if name.store() != STORE {
            let why = format!("names the store `{}`, and this version has only `{STORE}`", name.store());
            return Err(Wrong { finding: &finding::NOT_YET, ..Wrong::malformed(why) });
        }
        Ok(name)
    }

    fn schema() -> Value {
        let description = "A reference to a secret; never the secret itself.";
        crate::schema::text(description, SecretName::PATTERN, "secret://sealed/erp#client_secret")
    }
}

fn wrong(error: SecretNameError) -> Wrong {
    match error {
        SecretNameError::Scheme => Wrong::secret(
            "a secret is written in clear where only a reference may stand",
        )
        .help(
            "put it into the store with `ironbridge secret set NAME`, write `secret://sealed/NAME` here, and \
                 replace it where it came from: it has been written down",
        ),
        // What is wrong behind `secret://` may be a pasted secret, so it is not repeated either.
        _ => Wrong::hidden("this is no well-formed reference to a secret")
            .help("write `secret://sealed/NAME`, or `secret://sealed/NAME#FIELD` for one field of it"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// What looks like a reference, or nearly.
    const NEAR: &str = "(secret://)?(sealed|[a-zA-Z._]{0,4})/?[a-zA-Z0-9._/ -]{0,8}(#[a-zA-Z0-9._-]{0,4})?";

    proptest! {
        #[test]
        fn a_manifest_names_every_secret_that_can_be_and_no_other(text in NEAR) {
            let can_be = SecretName::parse(&text).is_ok_and(|name| name.store() == STORE);
            prop_assert_eq!(SecretName::from_text(&text).is_ok(), can_be, "{}", text);
        }

        #[test]
        fn the_schema_takes_what_is_a_name(text in NEAR) {
            let schema = <SecretName as FromText>::schema();
            let valid = jsonschema::is_valid(&schema, &Value::String(text.clone()));
            prop_assert_eq!(valid, SecretName::parse(&text).is_ok(), "{}", text);
        }
    }
}
