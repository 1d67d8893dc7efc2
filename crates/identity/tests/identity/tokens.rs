use crate::stage::{BRIDGE, ISSUER, NOW, cases, directory, fill};
use ironbridge_core::{Denial, Principal, Timestamp};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::issuer_keys::IssuerKeys;
use ironbridge_identity::token::{Issuer, Outcome, TokenVerifier, TypePolicy};
use ironbridge_seal::hash::{base64url, unbase64url};
use ironbridge_seal::jose::{Algorithm, JwkSet, SigningKey};
use serde::Deserialize;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use std::time::Duration;

/// One token and what becomes of it.
#[derive(Deserialize)]
struct Case {
    name: String,
    #[serde(default = "access_token")]
    typ: String,
    /// Over the good claims, before signing; null removes one.
    #[serde(default)]
    claims: Map<String, Value>,
    /// Over the good header, after signing; null removes a member.
    #[serde(default)]
    header: Map<String, Value>,
    /// Raw parts in place of the good ones, after signing.
    raw_header: Option<String>,
    raw_payload: Option<String>,
    /// How the parts are put together.
    #[serde(default = "compact")]
    token: String,
    /// Seconds after the start.
    #[serde(default)]
    after: u64,
    /// `untyped` accepts `JWT`, `es384` that algorithm alone; anything else is the claim that names the client.
    #[serde(default)]
    issuer: String,
    expect: String,
    /// What the operator reads of a refusal, and the caller does not.
    #[serde(default)]
    told: String,
}

fn access_token() -> String {
    "at+jwt".to_owned()
}

fn compact() -> String {
    "{header}.{payload}.{signature}".to_owned()
}

fn good_claims() -> Value {
    json!({
        "iss": ISSUER, "aud": BRIDGE, "sub": "order-client", "client_id": "order-client",
        "exp": NOW.seconds() + 300, "iat": NOW.seconds(), "jti": "token-1", "scope": "orders.read",
    })
}

fn overlay(base: &mut Value, over: &Map<String, Value>) {
    let base = base.as_object_mut().unwrap();
    for (name, value) in over {
        match value {
            Value::Null => drop(base.remove(name)),
            value => drop(base.insert(name.clone(), value.clone())),
        }
    }
}

pub fn published(keys: &[&SigningKey]) -> Vec<u8> {
    let keys: Vec<_> = keys.iter().map(|key| key.public_jwk()).collect();
    json!({ "keys": keys }).to_string().into_bytes()
}

pub fn token(key: &SigningKey, over: Value) -> String {
    let mut claims = good_claims();
    overlay(&mut claims, over.as_object().unwrap());
    key.sign("at+jwt", &claims).unwrap()
}

pub fn verifier(keys: Arc<IssuerKeys>, remember: usize) -> Arc<TokenVerifier> {
    Arc::new(TokenVerifier::new(vec![Issuer::new("idp", ISSUER, [BRIDGE], keys)], remember).unwrap())
}

fn at_once(
    verifier: &Arc<TokenVerifier>,
    token: &str,
    directory: &Arc<Directory>,
    now: Timestamp,
) -> Result<Principal, Box<Denial>> {
    match verifier.verify(token.as_bytes(), directory, now) {
        Outcome::Now(result) => result,
        Outcome::Later(_) => panic!("local keys need no fetch"),
    }
}

impl Case {
    fn token(&self, key: &SigningKey, other: &SigningKey) -> String {
        let mut claims = good_claims();
        overlay(&mut claims, &self.claims);
        let signed = key.sign(&self.typ, &claims).unwrap();
        let [header, payload, signature] = signed.split('.').collect::<Vec<_>>()[..] else { panic!() };
        let mut members: Value = serde_json::from_slice(&unbase64url(header).unwrap()).unwrap();
        overlay(&mut members, &self.header);
        let header = if self.header.is_empty() {
            header.to_owned()
        } else {
            base64url(members.to_string().as_bytes())
        };
        let header = self
            .raw_header
            .as_ref()
            .map_or(header, |raw| base64url(fill(raw, &[("kid", key.kid())]).as_bytes()));
        let payload = self.raw_payload.as_ref().map_or(payload.to_owned(), |raw| base64url(raw.as_bytes()));
        let foreign = other.sign(&self.typ, &claims).unwrap();
        let foreign = foreign.rsplit('.').next().unwrap();
        let parts =
            [("header", &*header), ("payload", &payload), ("signature", signature), ("foreign", foreign)];
        fill(&self.token, &parts)
    }

    fn verifier(&self, key: &SigningKey, remember: usize) -> Arc<TokenVerifier> {
        let keys = IssuerKeys::local(ISSUER, JwkSet::parse(&published(&[key])).unwrap());
        let mut issuer = Issuer::new("idp", ISSUER, [BRIDGE, "urn:second"], keys);
        for term in self.issuer.split_whitespace() {
            match term {
                "untyped" => issuer.types = TypePolicy::DangerUntyped,
                "es384" => issuer.algorithms = vec![Algorithm::ES384],
                claim => issuer.client_id_claim = claim.into(),
            }
        }
        Arc::new(TokenVerifier::new(vec![issuer], remember).unwrap())
    }
}

#[test]
fn every_token_meets_its_answer() {
    let (key, other) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let directory = directory([]);
    for case in cases::<Case>("tokens.yaml") {
        let token = case.token(&key, &other);
        for remember in [0, 100] {
            let verifier = case.verifier(&key, remember);
            for _ in 0..2 {
                let now = NOW.plus(Duration::from_secs(case.after));
                let answer = match at_once(&verifier, &token, &directory, now) {
                    Ok(principal) => principal.account().name.to_string(),
                    Err(denial) => {
                        let internal = denial.internal.unwrap_or_default();
                        assert!(internal.contains(&case.told), "{}: {internal}", case.name);
                        assert!(internal.len() < 1000, "{}: {}", case.name, internal.len());
                        let short = |detail: &str| detail.len() < 100 && !detail.contains(BRIDGE);
                        assert!(denial.detail.is_none_or(|detail| short(&detail)), "{}", case.name);
                        denial.code.id.to_owned()
                    }
                };
                assert_eq!(answer, case.expect, "{}", case.name);
            }
        }
    }
}

#[test]
fn a_remembered_token_still_expires() {
    let key = SigningKey::generate().unwrap();
    let keys = IssuerKeys::local(ISSUER, JwkSet::parse(&published(&[&key])).unwrap());
    let (verifier, directory) = (verifier(keys, 100), directory([]));
    let token = token(&key, json!({}));
    let at = |seconds| at_once(&verifier, &token, &directory, NOW.plus(Duration::from_secs(seconds)));
    assert!(at(0).is_ok() && at(329).is_ok());
    assert_eq!(at(330).unwrap_err().code.id, "token-expired");
}

#[test]
fn a_remembered_token_does_not_outlive_its_account() {
    let key = SigningKey::generate().unwrap();
    let keys = IssuerKeys::local(ISSUER, JwkSet::parse(&published(&[&key])).unwrap());
    let verifier = verifier(keys, 100);
    let token = token(&key, json!({}));
    assert!(at_once(&verifier, &token, &directory([]), NOW).is_ok());
    let without = Arc::new(Directory::new([], Default::default()).unwrap());
    assert_eq!(at_once(&verifier, &token, &without, NOW).unwrap_err().code.id, "account-unknown");
}

#[test]
fn scope_limits_the_account_and_its_absence_does_not() {
    let key = SigningKey::generate().unwrap();
    let keys = IssuerKeys::local(ISSUER, JwkSet::parse(&published(&[&key])).unwrap());
    let (verifier, directory) = (verifier(keys, 100), directory([]));
    let [read, write] =
        ["orders.read", "orders.write"].map(|name| directory.permissions().find(name).unwrap());
    for (over, may_read, may_write) in [
        (json!({}), true, false),
        (json!({ "scope": "orders.write openid" }), false, true),
        (json!({ "scope": "" }), false, false),
        (json!({ "scope": null }), true, true),
        (json!({ "scope": null, "scp": ["orders.read", "orders.write"] }), true, true),
        (json!({ "scope": null, "scp": "orders.read" }), true, false),
    ] {
        let principal = at_once(&verifier, &token(&key, over.clone()), &directory, NOW).unwrap();
        let allows = (principal.credential_allows(read), principal.credential_allows(write));
        assert_eq!(allows, (may_read, may_write), "{over}");
        assert_eq!(&*principal.credential().id, "token-1");
    }
}

#[test]
fn one_issuer_is_not_declared_twice() {
    let keys = IssuerKeys::local(ISSUER, JwkSet::default());
    let issuer = |name| Issuer::new(name, ISSUER, [BRIDGE], Arc::clone(&keys));
    assert!(TokenVerifier::new(vec![issuer("a"), issuer("b")], 0).is_err());
}
