//! Runs the case files: hostile tokens and key sets with the exact error each must give.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
};
use ironbridge_seal::hash;
use ironbridge_seal::jose::{Algorithm, JoseError, JwkSet, Unverified, VerifyingKey};
use serde::Deserialize;
use std::path::Path;

// RFC 7515 A.3, A.2 and A.1.
const EC_X: &str = "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU";
const EC_Y: &str = "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0";
const EC_D: &str = "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI";
const RSA_N: &str = "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ";
const SECRET: &str = "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TokenCase {
    name: String,
    token: Option<String>,
    header: Option<String>,
    header_part: Option<String>,
    payload: Option<String>,
    payload_part: Option<String>,
    signature: Option<String>,
    signature_part: Option<String>,
    #[serde(default)]
    fill: usize,
    key: Option<String>,
    result: String,
}

#[test]
fn tokens_are_refused_for_the_reason_expected() {
    let cases: Vec<TokenCase> = read("tokens.yaml");
    assert!(cases.len() >= 40);
    for case in &cases {
        let token = build(case);
        let result = Unverified::parse(token.as_bytes()).and_then(|token| token.verify(&key(case)));
        let told = result.map_or_else(|error| format!("{error:?}"), |_| "accepted".to_owned());
        assert_eq!(told, case.result, "{}: {token}", case.name);
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeySetCase {
    name: String,
    set: String,
    #[serde(default)]
    fill: usize,
    keys: Option<Vec<Vec<String>>>,
    #[serde(default)]
    skipped: Vec<String>,
    refused: Option<String>,
}

#[test]
fn key_sets_are_read_as_expected() {
    for case in read::<KeySetCase>("key_sets.yaml") {
        let text = case
            .set
            .replace("POINT", &format!("\"x\":\"{EC_X}\",\"y\":\"{EC_Y}\""))
            .replace("MODULUS", RSA_N)
            .replace("FILL", &"a".repeat(case.fill));
        match JwkSet::parse(text.as_bytes()) {
            Err(error) => assert_eq!(Some(format!("{error:?}")), case.refused, "{}", case.name),
            Ok(set) => {
                let keys: Vec<Vec<String>> = set.keys().iter().map(|jwk| algorithms(&jwk.key)).collect();
                assert_eq!(Some(keys), case.keys, "{}: {:?}", case.name, set.skipped());
                let skipped: Vec<String> = set.skipped().iter().map(|why| format!("{why:?}")).collect();
                assert_eq!(skipped, case.skipped, "{}", case.name);
            }
        }
    }
}

#[test]
fn a_hundred_keys_are_read_and_no_more() {
    let set = |count| format!("{{\"keys\":[{}]}}", vec!["{\"kty\":\"x\"}"; count].join(","));
    assert!(JwkSet::parse(set(100).as_bytes()).is_ok());
    assert_eq!(JwkSet::parse(set(101).as_bytes()).unwrap_err(), JoseError::KeySetTooLarge);
}

fn algorithms(key: &VerifyingKey) -> Vec<String> {
    let mut names: Vec<String> = Algorithm::ASYMMETRIC
        .into_iter()
        .chain([Algorithm::HS256])
        .filter(|alg| key.allows(*alg))
        .map(|alg| alg.name().to_owned())
        .collect();
    names.sort();
    names
}

fn key(case: &TokenCase) -> VerifyingKey {
    match case.key.as_deref() {
        None => VerifyingKey::es256(&point()).unwrap(),
        Some("rs256") => VerifyingKey::rsa(&[Algorithm::RS256], &bytes(RSA_N), &[1, 0, 1]).unwrap(),
        Some("hs256") => VerifyingKey::hs256(&bytes(SECRET)).unwrap(),
        Some(other) => panic!("{}: no key {other}", case.name),
    }
}

fn build(case: &TokenCase) -> String {
    if let Some(token) = &case.token {
        return token.clone();
    }
    let encode = |text: &str| hash::base64url(text.replace("FILL", &"a".repeat(case.fill)).as_bytes());
    let part = |encoded: &Option<String>, text: &Option<String>, default: &str| {
        encoded.clone().unwrap_or_else(|| encode(text.as_deref().unwrap_or(default)))
    };
    let header = part(&case.header_part, &case.header, "{}");
    let payload = part(&case.payload_part, &case.payload, r#"{"iss":"joe"}"#);
    let input = format!("{header}.{payload}");
    let signature = case.signature_part.clone().unwrap_or_else(|| sign(case, &input));
    format!("{input}.{signature}")
}

fn sign(case: &TokenCase, input: &str) -> String {
    let mut good = ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, input);
    let hmac = |key: &[u8]| hash::hmac_sha256(key, &[input.as_bytes()]).to_vec();
    let signature = match case.signature.as_deref().unwrap_or("good") {
        "good" => good,
        "der" => ecdsa(&ECDSA_P256_SHA256_ASN1_SIGNING, input),
        "hmac" => hmac(&bytes(SECRET)),
        "half an hmac" => hmac(&bytes(SECRET))[..16].to_vec(),
        "hmac with the public point" => hmac(&point()),
        "hmac with the public jwk" => {
            hmac(format!(r#"{{"kty":"EC","crv":"P-256","x":"{EC_X}","y":"{EC_Y}"}}"#).as_bytes())
        }
        "zero r" => [&[0; 32], &good[32..]].concat(),
        "zero s" => [&good[..32], &[0; 32]].concat(),
        "exchanged" => [&good[32..], &good[..32]].concat(),
        "short" => good[..63].to_vec(),
        "long" => [good.as_slice(), &[0]].concat(),
        "of another header" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &input.replacen('.', "AAAA.", 1)),
        "of another payload" => ecdsa(&ECDSA_P256_SHA256_FIXED_SIGNING, &format!("{input}AAAA")),
        "padded" => return format!("{}==", hash::base64url(&good)),
        "trailing bits" => {
            // 64 bytes leave four bits unused in the last character; here the lowest of them is set.
            good[63] = 0;
            return format!("{}B", hash::base64url(&good).strip_suffix('A').unwrap());
        }
        other => panic!("{}: no signature {other}", case.name),
    };
    hash::base64url(&signature)
}

fn ecdsa(algorithm: &'static EcdsaSigningAlgorithm, input: &str) -> Vec<u8> {
    let pair = EcdsaKeyPair::from_private_key_and_public_key(algorithm, &bytes(EC_D), &point()).unwrap();
    pair.sign(&SystemRandom::new(), input.as_bytes()).unwrap().as_ref().to_vec()
}

fn point() -> Vec<u8> {
    [&[4], bytes(EC_X).as_slice(), &bytes(EC_Y)].concat()
}

fn bytes(encoded: &str) -> Vec<u8> {
    hash::unbase64url(encoded).unwrap()
}

fn read<T: serde::de::DeserializeOwned>(name: &str) -> Vec<T> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("cases").join(name);
    serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}
