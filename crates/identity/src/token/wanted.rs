//! What a refused token said and what the manifest wants, for the operator's log. Most of it is not proven yet, so all of
//! it is escaped and short.

use super::issuer::Issuer;
use ironbridge_core::Timestamp;
use serde_json::{Map, Value};
use std::fmt::Write;

/// Of one text of a token. Ours: the identifiers of issuers and audiences have less.
const MOST_CHARS: usize = 100;
/// Of a list.
const MOST_ITEMS: usize = 8;
/// Where issuers name the client, if not in `client_id`.
const CLIENT_CLAIMS: [&str; 5] = ["azp", "appid", "cid", "client_id", "clientId"];

pub(super) fn issuer(came: &str, declared: &[Issuer]) -> String {
    // A slash too many or too few is what it mostly is.
    let alike = |url: &str| url.trim_end_matches('/').eq_ignore_ascii_case(came.trim_end_matches('/'));
    match declared.iter().find(|issuer| alike(&issuer.url)) {
        Some(near) => format!(
            "iss is {}, and bridge.issuers.{}.issuer is {}; they are compared character by character",
            quoted(came),
            near.name,
            quoted(&near.url)
        ),
        None => format!(
            "iss is {}, and the issuers trusted here are {}",
            quoted(came),
            list(declared.iter().map(|issuer| &*issuer.url))
        ),
    }
}

pub(super) fn kind(typ: Option<&str>, issuer: &Issuer) -> String {
    let came = typ.map_or_else(|| "the token has no typ".to_owned(), |typ| format!("typ is {}", quoted(typ)));
    let help = match typ.map(str::to_ascii_lowercase).as_deref() {
        None | Some("jwt" | "application/jwt") => {
            "; have the issuer set it, or accept it with danger_accept_untyped_tokens there"
        }
        Some(_) => "",
    };
    format!("{came}, and bridge.issuers.{} wants at+jwt{help}", issuer.name)
}

pub(super) fn audience<'c>(came: impl Iterator<Item = &'c str>, issuer: &Issuer) -> String {
    let wanted = list(issuer.audiences.iter().map(AsRef::as_ref));
    format!("aud is {}, and bridge.issuers.{}.audience is {wanted}", list(came), issuer.name)
}

/// `refused`: what is said to the caller of the claim.
pub(super) fn claims(came: &Map<String, Value>, refused: Option<&str>, issuer: &Issuer) -> String {
    let mut text = format!("issuer `{}`", issuer.name);
    if let Some(refused) = refused {
        let _ = write!(text, ": {refused}");
    }
    let named = |claim: &&&str| came.get(**claim).is_some_and(Value::is_string);
    let other = CLIENT_CLAIMS.iter().filter(named).find(|claim| **claim != &*issuer.client_id_claim);
    let missing = !came.contains_key(&*issuer.client_id_claim);
    match other {
        Some(other) if missing => {
            let _ = write!(
                text,
                "; its tokens name the client in {other}: client_id_claim: {other} at bridge.issuers.{}",
                issuer.name
            );
        }
        _ => {
            let _ = write!(text, "; the token has {}", list(came.keys().map(String::as_str)));
        }
    }
    text
}

pub(super) fn algorithm(came: &str, issuer: &Issuer) -> String {
    let wanted = list(issuer.algorithms.iter().map(|algorithm| algorithm.name()));
    format!("alg is {came}, and bridge.issuers.{}.algorithms are {wanted}", issuer.name)
}

pub(super) fn key(kid: Option<&str>, issuer: &Issuer) -> String {
    let kid = kid
        .map_or_else(|| "the token names no key (kid)".to_owned(), |kid| format!("kid is {}", quoted(kid)));
    format!("issuer `{}`: {kid}, and none that it publishes fits", issuer.name)
}

pub(super) fn expired(exp: Timestamp, now: Timestamp, issuer: &Issuer) -> String {
    format!("issuer `{}`: exp was {} s ago", issuer.name, now.since(exp).as_secs())
}

pub(super) fn revoked(secret: &str, issuer: &Issuer) -> String {
    format!(
        "issuer `{}`: the client secret {} that it was taken with is revoked",
        issuer.name,
        quoted(secret)
    )
}

pub(super) fn early(starts: Timestamp, now: Timestamp, issuer: &Issuer) -> String {
    format!(
        "issuer `{}`: nbf or iat is {} s ahead of this machine's clock",
        issuer.name,
        starts.since(now).as_secs()
    )
}

fn quoted(text: &str) -> String {
    let mut told: String = text.chars().take(MOST_CHARS).flat_map(char::escape_debug).collect();
    if text.chars().nth(MOST_CHARS).is_some() {
        told.push('…');
    }
    format!("`{told}`")
}

fn list<'t>(texts: impl Iterator<Item = &'t str>) -> String {
    let mut texts = texts.peekable();
    let told: Vec<String> = texts.by_ref().take(MOST_ITEMS).map(quoted).collect();
    match (told.is_empty(), texts.count()) {
        (true, _) => "empty".to_owned(),
        (false, 0) => told.join(", "),
        (false, more) => format!("{} and {more} more", told.join(", ")),
    }
}
