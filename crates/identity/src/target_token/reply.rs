//! Reading a token endpoint's reply (RFC 6749 §5.1): strict where a mistake could reach a header field, liberal where
//! large issuers are not of one mind, and then what was odd is told.

use super::token::TargetToken;
use ironbridge_core::{Fetched, Sensitive, json};
use ironbridge_secrets::SecretValue;
use serde_json::Value;
use std::time::Duration;
use zeroize::Zeroize;

const MAX_TOKEN: usize = 16 * 1024;
/// Life of a token whose reply does not say (RFC 6749 §5.1 only recommends it). Ours.
const DEFAULT_LIFE: Duration = Duration::from_secs(300);
/// Life of a token whose reply says that it has none: long enough for those who wait for it. Ours.
const SHORT_LIFE: Duration = Duration::from_secs(10);
const MAX_LIFE: Duration = Duration::from_secs(24 * 3600);

pub(super) struct Read {
    pub token: TargetToken,
    /// What is against the standard and was taken nevertheless. No values.
    pub oddities: Vec<&'static str>,
}

/// Reads a reply to what was asked at `asked`, with this secret.
pub(super) fn read(reply: &Fetched, asked: Duration, bought_with: SecretValue) -> Result<Read, String> {
    let mut oddities = Vec::new();
    let body = reply.body.expose();
    let members = Members(json::parse(body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body)).ok());
    let text = |name: &str| members.get(name)?.as_str();
    match reply.status {
        200 => {}
        201 => oddities.push("the status is 201"),
        status => {
            let error = text("error").filter(|error| error.len() <= 64).unwrap_or("no error code");
            return Err(format!("status {status}, {}", error.escape_debug()));
        }
    }
    match text("token_type").map(kind).as_deref() {
        Some("bearer") => {}
        Some("bearertoken") => oddities.push("token_type is not spelt Bearer"),
        _ => return Err("token_type is not Bearer".to_owned()),
    }
    let token = text("access_token").filter(|token| is_token(token)).ok_or("no well-formed access_token")?;
    if !token.bytes().all(is_b64token) {
        oddities.push("access_token has characters that RFC 6750 section 2.1 does not list");
    }
    let life = life(members.get("expires_in"), &mut oddities)?;
    let token = TargetToken {
        authorization: Sensitive::joined(&[b"Bearer ", token.as_bytes()]).into_bytes(),
        bought_with,
        renew_from: asked.saturating_add(life / 5 * 4),
        // The rest covers the way to the target and its clock.
        unusable_from: asked.saturating_add(life / 20 * 19),
    };
    Ok(Read { token, oddities })
}

/// What the reply says, if it is JSON: tokens of several kinds, which are wiped.
struct Members(Option<Value>);

impl Members {
    fn get(&self, name: &str) -> Option<&Value> {
        self.0.as_ref()?.get(name)
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        self.0.iter_mut().for_each(wipe);
    }
}

fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(elements) => elements.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Case and separators do not count: `Bearer`, `bearer`, `BearerToken`, `bearer_token`.
fn kind(text: &str) -> String {
    text.chars().filter(|c| !matches!(c, ' ' | '-' | '_')).map(|c| c.to_ascii_lowercase()).collect()
}

/// `VSCHAR`s (RFC 6749 A.12), which no header field breaks at; none at the ends that a field's reader would strip.
fn is_token(token: &str) -> bool {
    (1..=MAX_TOKEN).contains(&token.len())
        && token.bytes().all(|byte| matches!(byte, b' '..=b'~'))
        && !token.starts_with(' ')
        && !token.ends_with(' ')
}

fn is_b64token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte)
}

/// Seconds, as a whole number (RFC 6749 A.14); some servers write a fraction, or a text.
fn life(expires_in: Option<&Value>, oddities: &mut Vec<&'static str>) -> Result<Duration, String> {
    let seconds = match expires_in {
        None | Some(Value::Null) => return Ok(DEFAULT_LIFE),
        Some(Value::String(text)) => {
            oddities.push("expires_in is a text");
            text.trim().parse().ok()
        }
        Some(value) => {
            if !value.is_u64() {
                oddities.push("expires_in is no whole number");
            }
            value.as_f64()
        }
    };
    match seconds {
        Some(seconds) if seconds.is_finite() && seconds >= 1.0 => {
            Ok(Duration::try_from_secs_f64(seconds).map_or(MAX_LIFE, |life| life.min(MAX_LIFE)))
        }
        Some(0.0..1.0) => {
            oddities.push("expires_in is 0");
            Ok(SHORT_LIFE)
        }
        _ => Err("expires_in is not a number of seconds".to_owned()),
    }
}
