//! An OAuth issuer that makes tokens as they are asked for, good ones and bad ones.

use crate::{Authority, FakeTarget, Reply};
use anyhow::{Context, Result};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

/// An issuer of ours, for tokens that a well-behaved one would not make: it signs whatever header and claims it is
/// given with ES256, and serves its discovery document and key set.
pub struct TokenIssuer {
    key: KeyPair,
    server: FakeTarget,
}

/// The key id in the published set.
const KEY_ID: &str = "test-key";

impl TokenIssuer {
    /// An issuer with a key of its own; `authority` makes its certificate.
    pub fn start(authority: &Authority) -> Result<TokenIssuer> {
        let issuer = TokenIssuer { key: KeyPair::generate()?, server: FakeTarget::start(authority)? };
        let (url, keys) = (issuer.url(), issuer.key_set()?);
        let metadata = json!({ "issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token") });
        issuer
            .server
            .on("GET /.well-known/oauth-authorization-server", Reply::Json(200, metadata.clone()))
            .on("GET /.well-known/openid-configuration", Reply::Json(200, metadata))
            .on("GET /jwks", Reply::Json(200, keys));
        Ok(issuer)
    }

    /// The issuer's identifier.
    pub fn url(&self) -> String {
        self.server.url()
    }

    /// The server, to misbehave with and to count requests.
    pub fn server(&self) -> &FakeTarget {
        &self.server
    }

    /// The key that verifies its tokens, for whoever reads no key set.
    pub fn public_key_pem(&self) -> String {
        self.key.public_key_pem()
    }

    /// A token as RFC 9068 wants it, for a client and an audience, valid for an hour; `changes` replaces claims,
    /// and a null removes one.
    pub fn token(&self, client: &str, audience: &str, scope: &str, changes: Value) -> Result<String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
        let mut claims = json!({
            "iss": self.url(), "aud": audience, "sub": client, "client_id": client, "scope": scope,
            "iat": now, "exp": now + 3600, "jti": format!("{client}-{now}"),
        });
        if let (Some(claims), Value::Object(changes)) = (claims.as_object_mut(), changes) {
            for (name, value) in changes {
                if value.is_null() {
                    claims.remove(&name);
                } else {
                    claims.insert(name, value);
                }
            }
        }
        let header = json!({ "alg": "ES256", "typ": "at+jwt", "kid": KEY_ID });
        self.sign(header.to_string().as_bytes(), claims.to_string().as_bytes())
    }

    /// Signs any bytes as header and claims.
    pub fn sign(&self, header: &[u8], claims: &[u8]) -> Result<String> {
        let signed =
            format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(header), BASE64_URL_SAFE_NO_PAD.encode(claims));
        let signature = fixed_width(&self.key.sign(signed.as_bytes())?).context("not an ECDSA signature")?;
        Ok(format!("{signed}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature)))
    }

    fn key_set(&self) -> Result<Value> {
        let point = self.key.der_bytes();
        let (x, y) = (point.get(1..33).context("no x")?, point.get(33..65).context("no y")?);
        Ok(json!({ "keys": [{
            "kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": KEY_ID,
            "x": BASE64_URL_SAFE_NO_PAD.encode(x), "y": BASE64_URL_SAFE_NO_PAD.encode(y),
        }] }))
    }
}

/// JWS wants r and s side by side (RFC 7518 §3.4); the signer gives an ASN.1 SEQUENCE of two INTEGERs.
fn fixed_width(der: &[u8]) -> Option<[u8; 64]> {
    fn integer<'a>(der: &'a [u8], out: &mut [u8]) -> Option<&'a [u8]> {
        let length = usize::from(*der.get(1)?);
        let (value, rest) = der.get(2..)?.split_at_checked(length)?;
        let value = value.strip_prefix(&[0]).unwrap_or(value);
        let at = out.len().checked_sub(value.len())?;
        out.get_mut(at..)?.copy_from_slice(value);
        Some(rest)
    }
    let mut signature = [0; 64];
    let (r, s) = signature.split_at_mut(32);
    integer(integer(der.get(2..)?, r)?, s)?;
    Some(signature)
}
