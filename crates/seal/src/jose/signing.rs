//! Our own tokens' signatures.

use super::{Algorithm, JoseError, VerifyingKey, thumbprint};
use crate::hash;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};
use zeroize::Zeroizing;

/// A P-256 key that signs tokens with ES256.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    jwk: Value,
    kid: String,
}

impl SigningKey {
    /// A fresh key.
    pub fn generate() -> Result<SigningKey, JoseError> {
        SigningKey::new(
            EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map_err(|_| JoseError::Failed)?,
        )
    }

    /// The key that [`SigningKey::to_pkcs8`] wrote.
    pub fn from_pkcs8(pkcs8: &[u8]) -> Result<SigningKey, JoseError> {
        SigningKey::new(
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8)
                .map_err(|_| JoseError::KeyRefused)?,
        )
    }

    fn new(pair: EcdsaKeyPair) -> Result<SigningKey, JoseError> {
        // 04 ‖ x ‖ y, each coordinate 32 bytes.
        let (x, y) = pair
            .public_key()
            .as_ref()
            .split_first()
            .and_then(|(_, point)| point.split_at_checked(32))
            .ok_or(JoseError::Failed)?;
        let mut jwk =
            json!({ "kty": "EC", "crv": "P-256", "x": hash::base64url(x), "y": hash::base64url(y) });
        let kid = thumbprint(&jwk)?;
        if let Some(members) = jwk.as_object_mut() {
            members.extend([
                ("kid".to_owned(), Value::from(kid.as_str())),
                ("alg".to_owned(), Value::from(Algorithm::ES256.name())),
                ("use".to_owned(), Value::from("sig")),
            ]);
        }
        Ok(SigningKey { pair, jwk, kid })
    }

    /// The private key as PKCS#8 (RFC 5958), to be sealed.
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, JoseError> {
        let document = self.pair.to_pkcs8v1().map_err(|_| JoseError::Failed)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key id: the public key's RFC 7638 thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// The public key as published in a key set.
    pub fn public_jwk(&self) -> Value {
        self.jwk.clone()
    }

    /// The public half, to verify what it signed.
    pub fn verifying_key(&self) -> Result<VerifyingKey, JoseError> {
        VerifyingKey::es256(self.pair.public_key().as_ref())
    }

    /// A token in compact form over the claims, with its `typ`, such as `at+jwt` (RFC 9068 §2.1).
    pub fn sign(&self, typ: &str, claims: &Value) -> Result<String, JoseError> {
        let header = json!({ "alg": Algorithm::ES256.name(), "kid": self.kid, "typ": typ });
        let encode = |part: &Value| hash::base64url(part.to_string().as_bytes());
        let input = format!("{}.{}", encode(&header), encode(claims));
        let signature =
            self.pair.sign(&SystemRandom::new(), input.as_bytes()).map_err(|_| JoseError::Failed)?;
        Ok(format!("{input}.{}", hash::base64url(signature.as_ref())))
    }
}
