//! JOSE, as strictly as RFC 8725 asks: signed tokens in compact form (RFC 7515), public keys (RFC 7517), and the
//! algorithms of RFC 7518, 8037 and 9864 that are still worth trusting.
//!
//! A token is read by [`Unverified::parse`], its key is chosen from a [`JwkSet`] by key id and algorithm, and
//! [`Unverified::verify`] gives the [`Verified`] token. No other way leads to one.

mod algorithm;
mod error;
mod jwk;
mod key;
mod signing;
mod token;

pub use algorithm::Algorithm;
pub use error::JoseError;
pub use jwk::{Jwk, JwkSet, MAX_KEY_SET_BYTES, MAX_KEYS, thumbprint};
pub use key::{MIN_SECRET_BYTES, VerifyingKey};
pub use signing::SigningKey;
pub use token::{MAX_HEADER_BYTES, MAX_KEY_ID_CHARS, MAX_TOKEN_BYTES, Unverified, Verified};

use ironbridge_core::json::{self, JsonFault};
use serde_json::{Map, Value};

/// Reads a JSON object, strictly. `malformed` is what anything but an object is reported as.
fn object(bytes: &[u8], malformed: JoseError) -> Result<Map<String, Value>, JoseError> {
    match json::parse(bytes) {
        Ok(Value::Object(object)) => Ok(object),
        Err(JsonFault::DuplicateName { .. }) => Err(JoseError::DuplicateMember),
        Ok(_) | Err(_) => Err(malformed),
    }
}
