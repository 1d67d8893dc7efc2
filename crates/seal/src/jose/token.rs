//! Signed tokens in compact form: read first, believed only once a key has verified them.

use super::{Algorithm, JoseError, VerifyingKey, object};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

/// Of a whole token. Ours: real access tokens have one or two thousand bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;
/// Ours, of the encoded header.
pub const MAX_HEADER_BYTES: usize = 4 * 1024;
/// Of a key's id, in a token's header and in a key set. Ours.
pub const MAX_KEY_ID_CHARS: usize = 128;

/// Header members that would bring in a key of the token's own, or change how it is to be read (RFC 7515 §4.1,
/// RFC 7797, RFC 7516 §4.1.3). Since no extension is understood here, `crit` is always one too many.
const REFUSED_MEMBERS: [&str; 7] = ["crit", "jwk", "jku", "x5c", "x5u", "b64", "zip"];

/// A token in compact form (RFC 7515 §7.1) whose signature nobody has checked yet.
#[derive(Debug, Clone)]
pub struct Unverified<'t> {
    /// What it says it is signed with; a key must be for exactly that.
    pub alg: Algorithm,
    /// Which of its issuer's keys it names.
    pub kid: Option<String>,
    /// Its media type, such as `at+jwt` (RFC 8725 §3.11).
    pub typ: Option<String>,
    payload: Vec<u8>,
    signing_input: &'t [u8],
    signature: Vec<u8>,
}

impl<'t> Unverified<'t> {
    /// Reads a token of at most [`MAX_TOKEN_BYTES`], in its only canonical form.
    pub fn parse(token: &'t [u8]) -> Result<Unverified<'t>, JoseError> {
        if token.len() > MAX_TOKEN_BYTES {
            return Err(JoseError::TokenTooLong);
        }
        let mut parts = token.split(|byte| *byte == b'.');
        let (Some(header), Some(payload), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JoseError::PartCount);
        };
        if header.len() > MAX_HEADER_BYTES {
            return Err(JoseError::HeaderTooLong);
        }
        let header = object(&decode(header, "header")?, JoseError::HeaderNotObject)?;
        let alg = read_algorithm(&header)?;
        if let Some(name) = REFUSED_MEMBERS.iter().find(|name| header.contains_key(**name)) {
            return Err(JoseError::HeaderMemberRefused(name));
        }
        let kid = read_text(&header, "kid")?;
        if kid
            .as_ref()
            .is_some_and(|kid| kid.chars().count() > MAX_KEY_ID_CHARS || kid.contains(char::is_control))
        {
            return Err(JoseError::KeyIdRefused);
        }
        let signing_input = token.get(..token.len() - signature.len() - 1).ok_or(JoseError::PartCount)?;
        Ok(Unverified {
            alg,
            kid,
            typ: read_text(&header, "typ")?,
            payload: decode(payload, "payload")?,
            signing_input,
            signature: decode(signature, "signature")?,
        })
    }

    /// Checks the signature with a key that is for the token's algorithm.
    pub fn verify(self, key: &VerifyingKey) -> Result<Verified, JoseError> {
        key.verify(self.alg, self.signing_input, &self.signature)?;
        Ok(Verified { alg: self.alg, kid: self.kid, typ: self.typ, payload: self.payload })
    }

    /// What the token claims. Nothing of it is proven: its one use is to choose the issuer whose keys to try.
    pub fn unproven_claims(&self) -> Result<Map<String, Value>, JoseError> {
        object(&self.payload, JoseError::ClaimsNotObject)
    }

    /// The bytes that the signature covers.
    pub fn signing_input(&self) -> &'t [u8] {
        self.signing_input
    }

    /// The signature's bytes, decoded.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// A token whose signature was checked. Whether it is meant for us, and still valid, is for its reader to ask.
#[derive(Debug, Clone)]
pub struct Verified {
    alg: Algorithm,
    kid: Option<String>,
    typ: Option<String>,
    payload: Vec<u8>,
}

impl Verified {
    /// What it was verified with.
    pub fn alg(&self) -> Algorithm {
        self.alg
    }

    /// Which of its issuer's keys it named.
    pub fn kid(&self) -> Option<&str> {
        self.kid.as_deref()
    }

    /// Its media type, as it stands there.
    pub fn typ(&self) -> Option<&str> {
        self.typ.as_deref()
    }

    /// What was signed, whatever it is.
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// The claims, if the payload is a JSON object without repeated members (RFC 7519 §4).
    pub fn claims(&self) -> Result<Map<String, Value>, JoseError> {
        object(&self.payload, JoseError::ClaimsNotObject)
    }
}

fn decode(part: &[u8], name: &'static str) -> Result<Vec<u8>, JoseError> {
    if part.is_empty() {
        return Err(JoseError::PartEmpty(name));
    }
    URL_SAFE_NO_PAD.decode(part).map_err(|_| JoseError::NotBase64url(name))
}

fn read_algorithm(header: &Map<String, Value>) -> Result<Algorithm, JoseError> {
    match header.get("alg") {
        None => Err(JoseError::AlgorithmMissing),
        Some(Value::String(name)) if name.eq_ignore_ascii_case("none") => Err(JoseError::AlgorithmNone),
        Some(Value::String(name)) => Algorithm::parse(name).ok_or(JoseError::AlgorithmUnknown),
        Some(_) => Err(JoseError::HeaderMemberType("alg")),
    }
}

fn read_text(header: &Map<String, Value>, name: &'static str) -> Result<Option<String>, JoseError> {
    match header.get(name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.clone())),
        Some(_) => Err(JoseError::HeaderMemberType(name)),
    }
}
