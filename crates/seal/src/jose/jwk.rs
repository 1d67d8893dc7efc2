//! Issuers' public keys.

use super::{Algorithm, JoseError, MAX_KEY_ID_CHARS, VerifyingKey, object};
use crate::hash;
use serde_json::{Map, Value};

/// Of a key set. Ours: the largest public sets have some twenty keys with certificates, about 40 KiB.
pub const MAX_KEY_SET_BYTES: usize = 256 * 1024;
/// Of a key set. Ours: bounds the work that a token without a key id can cause.
pub const MAX_KEYS: usize = 100;

/// What an RSA key without `alg` may be used for.
const RSA_ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::PS384, Algorithm::PS512];

/// Members that only a private or secret key has (RFC 7518 §6.2.2, §6.3.2, §6.4.1; RFC 9964).
const PRIVATE_MEMBERS: [&str; 9] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k", "priv"];

/// An issuer's public keys (RFC 7517 §5).
#[derive(Debug, Clone, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    skipped: Vec<JoseError>,
}

impl JwkSet {
    /// Reads a set. Keys that are of no use here (unknown types and algorithms, encryption keys, RSA keys below
    /// 2048 bits) are skipped, as RFC 7517 §5 asks; a set that publishes a private key is refused as a whole,
    /// because its owner has lost control of it.
    pub fn parse(bytes: &[u8]) -> Result<JwkSet, JoseError> {
        if bytes.len() > MAX_KEY_SET_BYTES {
            return Err(JoseError::KeySetTooLarge);
        }
        let mut members = object(bytes, JoseError::KeySetMalformed)?;
        let Some(Value::Array(entries)) = members.remove("keys") else {
            return Err(JoseError::KeySetMalformed);
        };
        if entries.len() > MAX_KEYS {
            return Err(JoseError::KeySetTooLarge);
        }
        let mut set = JwkSet::default();
        for entry in &entries {
            match Jwk::parse(entry) {
                Ok(key) => set.keys.push(key),
                Err(JoseError::PrivateKeyPublished) => return Err(JoseError::PrivateKeyPublished),
                Err(why) => set.skipped.push(why),
            }
        }
        Ok(set)
    }

    /// The keys that may have made a token's signature: with a key id, those of exactly that id; without, all
    /// that are for the algorithm. Usually one.
    pub fn find<'s, 'k>(
        &'s self,
        kid: Option<&'k str>,
        alg: Algorithm,
    ) -> impl Iterator<Item = &'s VerifyingKey> + use<'s, 'k> {
        self.keys
            .iter()
            .filter(move |jwk| kid.is_none_or(|kid| jwk.kid.as_deref() == Some(kid)) && jwk.key.allows(alg))
            .map(|jwk| &jwk.key)
    }

    /// Whether any key has this id, for whatever algorithm: if not, the set may be out of date.
    pub fn has(&self, kid: &str) -> bool {
        self.keys.iter().any(|jwk| jwk.kid.as_deref() == Some(kid))
    }

    /// Those that can be used, in the set's order.
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Why keys of the set were skipped, for the operator's log.
    pub fn skipped(&self) -> &[JoseError] {
        &self.skipped
    }
}

/// A public key as issuers publish it (RFC 7517 §4).
#[derive(Debug, Clone)]
pub struct Jwk {
    /// By which tokens name it.
    pub kid: Option<String>,
    /// The key itself, for the algorithms that it may be used with.
    pub key: VerifyingKey,
}

impl Jwk {
    /// Reads one public key for signatures. The value should come from the strict JSON reader.
    pub fn parse(jwk: &Value) -> Result<Jwk, JoseError> {
        let members = jwk.as_object().ok_or(JoseError::KeySetMalformed)?;
        if PRIVATE_MEMBERS.iter().any(|name| members.contains_key(*name)) {
            return Err(JoseError::PrivateKeyPublished);
        }
        let kid = text(members, "kid")?;
        if kid.is_some_and(|kid| kid.chars().count() > MAX_KEY_ID_CHARS) {
            return Err(JoseError::KeyIdRefused);
        }
        check_use(members)?;
        let named = algorithm(members)?;
        let kty = text(members, "kty")?.ok_or(JoseError::KeyMember("kty"))?;
        let key = match (kty, text(members, "crv")?) {
            ("EC", Some("P-256")) => VerifyingKey::es256(&point(members, 32)?)?,
            ("EC", Some("P-384")) => VerifyingKey::es384(&point(members, 48)?)?,
            ("OKP", Some("Ed25519")) => VerifyingKey::ed25519(&bytes(members, "x")?)?,
            ("RSA", _) => {
                let algorithms = named.as_ref().map_or(&RSA_ALGORITHMS[..], std::slice::from_ref);
                VerifyingKey::rsa(algorithms, &bytes(members, "n")?, &bytes(members, "e")?)?
            }
            _ => return Err(JoseError::KeyUnsupported),
        };
        if named.is_some_and(|alg| !key.allows(alg)) {
            return Err(JoseError::KeyUnsupported);
        }
        Ok(Jwk { kid: kid.map(str::to_owned), key })
    }
}

/// The key's SHA-256 thumbprint in base64url: the digest of its required members alone, in order of their names
/// and without white space (RFC 7638 §3; RFC 8037 §2 for Ed25519).
pub fn thumbprint(jwk: &Value) -> Result<String, JoseError> {
    let members = jwk.as_object().ok_or(JoseError::KeySetMalformed)?;
    let names: &[&'static str] = match text(members, "kty")? {
        Some("EC") => &["crv", "kty", "x", "y"],
        Some("OKP") => &["crv", "kty", "x"],
        Some("RSA") => &["e", "kty", "n"],
        Some("oct") => &["k", "kty"],
        _ => return Err(JoseError::KeyUnsupported),
    };
    let members = names
        .iter()
        .map(|name| {
            let value = text(members, name)?.ok_or(JoseError::KeyMember(name))?;
            Ok(format!("\"{name}\":{}", Value::from(value)))
        })
        .collect::<Result<Vec<_>, JoseError>>()?;
    Ok(hash::base64url(&hash::sha256(format!("{{{}}}", members.join(",")).as_bytes())))
}

/// The uncompressed form of the point whose coordinates have exactly so many bytes (RFC 7518 §6.2.1.2).
fn point(members: &Map<String, Value>, length: usize) -> Result<Vec<u8>, JoseError> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(members, name)?;
        if coordinate.len() != length {
            return Err(JoseError::KeyMember(name));
        }
        point.extend(coordinate);
    }
    Ok(point)
}

fn algorithm(members: &Map<String, Value>) -> Result<Option<Algorithm>, JoseError> {
    text(members, "alg")?.map(|name| Algorithm::parse(name).ok_or(JoseError::KeyUnsupported)).transpose()
}

/// RFC 7517 §4.2 and §4.3: a key that says what it is for must say signatures.
fn check_use(members: &Map<String, Value>) -> Result<(), JoseError> {
    if text(members, "use")?.is_some_and(|purpose| purpose != "sig") {
        return Err(JoseError::KeyUse);
    }
    match members.get("key_ops") {
        None => Ok(()),
        Some(Value::Array(operations)) if operations.iter().any(|operation| operation == "verify") => Ok(()),
        Some(_) => Err(JoseError::KeyUse),
    }
}

fn bytes(members: &Map<String, Value>, name: &'static str) -> Result<Vec<u8>, JoseError> {
    text(members, name)?.and_then(hash::unbase64url).ok_or(JoseError::KeyMember(name))
}

fn text<'m>(members: &'m Map<String, Value>, name: &'static str) -> Result<Option<&'m str>, JoseError> {
    match members.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(JoseError::KeyMember(name)),
    }
}
