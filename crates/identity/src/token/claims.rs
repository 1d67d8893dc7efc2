//! The claims of an access token (RFC 9068 §2.2), each of its proper type.

use ironbridge_core::{Denial, PermissionSet, PermissionTable, Timestamp, code};
use serde_json::{Map, Value};
use std::time::Duration;

/// Difference allowed between the issuer's clock and ours. RFC 7519 §4.1.4 suggests "a few minutes" at most.
pub const SKEW: Duration = Duration::from_secs(30);
/// The claim of the built-in token endpoint's tokens that names the client secret they were taken with, by its id.
pub(crate) const SECRET_ID: &str = "secret_id";

pub(super) struct Claims<'c> {
    pub issuer: &'c str,
    pub client_id: &'c str,
    pub expires: Timestamp,
    /// `jti`, where it is short and plain enough to stand in a record.
    pub token_id: Option<&'c str>,
    /// The id in [`SECRET_ID`]; one of another type names none that exists.
    pub secret: Option<&'c str>,
    /// Whether `cnf` binds the token to a key (RFC 7800).
    pub sender_constrained: bool,
    /// The later of `nbf` and `iat`.
    pub starts: Timestamp,
    audience: &'c Value,
    scope: Option<&'c Value>,
}

impl<'c> Claims<'c> {
    pub fn read(claims: &'c Map<String, Value>, client_id_claim: &str) -> Result<Claims<'c>, Denial> {
        text(claims, "sub")?;
        let expires = time(claims, "exp")?.ok_or_else(|| missing("exp"))?;
        let issued = time(claims, "iat")?.unwrap_or_default();
        let not_before = time(claims, "nbf")?.unwrap_or_default();
        let audience = claims.get("aud").filter(|aud| is_text_or_texts(aud)).ok_or_else(|| missing("aud"))?;
        let scope = claims.get("scope").or_else(|| claims.get("scp"));
        if scope.is_some_and(|scope| !is_text_or_texts(scope)) {
            return Err(missing("scope"));
        }
        Ok(Claims {
            issuer: text(claims, "iss")?,
            client_id: text(claims, client_id_claim)?,
            expires,
            token_id: claims.get("jti").and_then(Value::as_str).filter(|id| is_plain(id)),
            secret: claims.get(SECRET_ID).map(|id| id.as_str().unwrap_or_default()),
            sender_constrained: claims.contains_key("cnf"),
            starts: issued.max(not_before),
            audience,
            scope,
        })
    }

    /// `nbf` and `iat`, less the skew.
    pub fn not_before(&self) -> Timestamp {
        let skew = u64::try_from(SKEW.as_micros()).unwrap_or_default();
        Timestamp(self.starts.micros().saturating_sub(skew))
    }

    /// `exp` and the leeway that its issuer's clock has; exclusive.
    pub fn not_after(&self, leeway: Duration) -> Timestamp {
        self.expires.plus(leeway)
    }

    pub fn audiences(&self) -> impl Iterator<Item = &'c str> {
        texts(self.audience)
    }

    /// `None` when the token has no scope: its account's roles alone then decide.
    pub fn scope(&self, permissions: &PermissionTable) -> Option<PermissionSet> {
        let names = texts(self.scope?).flat_map(|text| text.split(' '));
        Some(names.filter_map(|name| permissions.find(name)).collect())
    }
}

/// A claim that must be a text which is not empty.
pub(super) fn text<'c>(claims: &'c Map<String, Value>, name: &str) -> Result<&'c str, Denial> {
    claims.get(name).and_then(Value::as_str).filter(|text| !text.is_empty()).ok_or_else(|| missing(name))
}

/// A NumericDate (RFC 7519 §2): seconds since the epoch, possibly with a fraction.
fn time(claims: &Map<String, Value>, name: &str) -> Result<Option<Timestamp>, Denial> {
    let Some(value) = claims.get(name) else { return Ok(None) };
    let whole = value.as_u64().map(Timestamp::from_seconds);
    let fraction = || Duration::try_from_secs_f64(value.as_f64()?).ok().map(|since| Timestamp(0).plus(since));
    whole.or_else(fraction).map(Some).ok_or_else(|| missing(name))
}

fn missing(name: &str) -> Denial {
    Denial::new(&code::TOKEN_CLAIMS_MISSING).detail(format!("`{name}` is missing or has the wrong type"))
}

fn is_text_or_texts(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(items) => items.iter().all(Value::is_string),
        _ => false,
    }
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    let one = value.as_str();
    let many = value.as_array().into_iter().flatten().filter_map(Value::as_str);
    one.into_iter().chain(many)
}

fn is_plain(id: &str) -> bool {
    (1..=128).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic())
}
