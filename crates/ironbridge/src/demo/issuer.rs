//! A token issuer outside the bridge. It publishes its key as issuers do (RFC 8414, RFC 7517), and, unlike them,
//! also makes the tokens that an attacker would.

use crate::demo::server::{Program, Reply, Server, json};
use crate::failure::Failure;
use bytes::Bytes;
use http::{Request, StatusCode};
use ironbridge_core::{Clock, SystemClock};
use ironbridge_net::tls::Identity;
use ironbridge_seal::hash;
use ironbridge_seal::jose::SigningKey;
use serde_json::{Value, json as value};
use std::sync::Arc;

pub struct Issuer {
    url: String,
    /// The bridge, as its tokens name it.
    audience: String,
    key: SigningKey,
    _server: Server,
}

impl Issuer {
    pub fn start(port: u16, identity: Identity, audience: &str) -> Result<Issuer, Failure> {
        let (url, key) = (format!("https://localhost:{port}"), SigningKey::generate()?);
        let documents = Documents {
            metadata: value!({
                "issuer": url, "jwks_uri": format!("{url}/jwks"), "token_endpoint": format!("{url}/token"),
                "response_types_supported": [],
            }),
            keys: value!({ "keys": [key.public_jwk()] }),
        };
        let server = Server::start(port, identity, Arc::new(documents))?;
        Ok(Issuer { url, audience: audience.to_owned(), key, _server: server })
    }

    /// A good token for the portal: an hour of `orders.read`.
    pub fn token(&self) -> Result<String, Failure> {
        self.token_but(value!({}))
    }

    /// The same with other claims, properly signed.
    pub fn token_but(&self, changes: Value) -> Result<String, Failure> {
        Ok(self.key.sign("at+jwt", &self.claims(changes))?)
    }

    /// Signed with HS256, the secret being the issuer's public key: verifiers that let the token choose its
    /// algorithm fall for it (RFC 8725 §2.1).
    pub fn forged_with_public_key(&self) -> String {
        let header = value!({ "alg": "HS256", "kid": self.key.kid(), "typ": "at+jwt" });
        let signed = self.unsigned(&header);
        let secret = self.key.public_jwk().to_string();
        let signature = hash::hmac_sha256(secret.as_bytes(), &[signed.as_bytes()]);
        format!("{signed}.{}", hash::base64url(&signature))
    }

    /// Not signed at all, and saying so.
    pub fn forged_without_signature(&self) -> String {
        format!("{}.", self.unsigned(&value!({ "alg": "none", "typ": "at+jwt" })))
    }

    /// A good token whose claims were changed on the way.
    pub fn tampered(&self) -> Result<String, Failure> {
        let token = self.token()?;
        let mut parts = token.splitn(3, '.');
        let (header, signature) = (parts.next().unwrap_or_default(), parts.nth(1).unwrap_or_default());
        let claims = self.claims(value!({ "scope": "orders.read orders.write" }));
        Ok(format!("{header}.{}.{signature}", hash::base64url(claims.to_string().as_bytes())))
    }

    fn unsigned(&self, header: &Value) -> String {
        let encoded = |part: &Value| hash::base64url(part.to_string().as_bytes());
        format!("{}.{}", encoded(header), encoded(&self.claims(value!({}))))
    }

    /// What RFC 9068 §2.2 asks for.
    fn claims(&self, changes: Value) -> Value {
        let now = SystemClock::default().now().seconds();
        let mut claims = value!({
            "iss": self.url, "aud": self.audience, "sub": "portal", "client_id": "portal",
            "scope": "orders.read", "iat": now, "exp": now + 3600, "jti": hash::hex(&hash::sha256(b"portal")),
        });
        if let (Some(claims), Value::Object(changes)) = (claims.as_object_mut(), changes) {
            claims.extend(changes);
        }
        claims
    }
}

struct Documents {
    metadata: Value,
    keys: Value,
}

impl Program for Documents {
    fn answer(&self, request: &Request<Bytes>) -> Reply {
        match request.uri().path() {
            "/.well-known/oauth-authorization-server" => json(StatusCode::OK, &self.metadata),
            "/jwks" => json(StatusCode::OK, &self.keys),
            _ => json(StatusCode::NOT_FOUND, &value!({})),
        }
    }
}
