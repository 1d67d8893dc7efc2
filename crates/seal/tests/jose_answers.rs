//! Known answers of the standards, and tokens of our own making.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{self, EcdsaKeyPair, KeyPair as _, RsaEncoding};
use ironbridge_seal::hash;
use ironbridge_seal::jose::{
    Algorithm, JoseError, Jwk, JwkSet, SigningKey, Unverified, VerifyingKey, thumbprint,
};
use proptest::prelude::*;
use serde_json::{Value, json};

const CLAIMS_PART: &str =
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ";
const HOBBIT_PART: &str = "SXTigJlzIGEgZGFuZ2Vyb3VzIGJ1c2luZXNzLCBGcm9kbywgZ29pbmcgb3V0IHlvdXIgZG9vci4gWW91IHN0ZXAgb250byB0aGUgcm9hZCwgYW5kIGlmIHlvdSBkb24ndCBrZWVwIHlvdXIgZmVldCwgdGhlcmXigJlzIG5vIGtub3dpbmcgd2hlcmUgeW91IG1pZ2h0IGJlIHN3ZXB0IG9mZiB0by4";

fn verified(jwk: Value, token: &str) -> Vec<u8> {
    let key = Jwk::parse(&jwk).unwrap().key;
    Unverified::parse(token.as_bytes()).unwrap().verify(&key).unwrap().payload().to_vec()
}

#[test]
fn rfc_7515_a1_hs256() {
    let secret = hash::unbase64url(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow",
    )
    .unwrap();
    let token = format!(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.{CLAIMS_PART}.dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
    );
    let token = Unverified::parse(token.as_bytes()).unwrap();
    assert_eq!((token.alg, token.typ.as_deref()), (Algorithm::HS256, Some("JWT")));
    assert_eq!(token.unproven_claims().unwrap()["iss"], "joe");
    let token = token.verify(&VerifyingKey::hs256(&secret).unwrap()).unwrap();
    assert_eq!(token.claims().unwrap()["http://example.com/is_root"], true);
    assert_eq!(VerifyingKey::hs256(&secret[..31]).unwrap_err(), JoseError::SecretTooShort);
}

#[test]
fn rfc_7515_a2_rs256() {
    let jwk = json!({ "kty": "RSA", "e": "AQAB", "n": "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPMEzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9kG4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ" });
    let token = format!(
        "eyJhbGciOiJSUzI1NiJ9.{CLAIMS_PART}.cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIARNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPqvhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw"
    );
    assert_eq!(verified(jwk, &token), hash::unbase64url(CLAIMS_PART).unwrap());
}

#[test]
fn rfc_7515_a3_es256() {
    let jwk = json!({
        "kty": "EC", "crv": "P-256",
        "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU",
        "y": "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0",
    });
    let token = format!(
        "eyJhbGciOiJFUzI1NiJ9.{CLAIMS_PART}.DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
    );
    assert_eq!(verified(jwk, &token), hash::unbase64url(CLAIMS_PART).unwrap());
}

#[test]
fn rfc_7520_4_1_rs256_and_4_2_ps384() {
    let jwk = json!({ "kty": "RSA", "kid": "bilbo.baggins@hobbiton.example", "use": "sig", "e": "AQAB", "n": "n4EPtAOCc9AlkeQHPzHStgAbgs7bTZLwUBZdR8_KuKPEHLd4rHVTeT-O-XV2jRojdNhxJWTDvNd7nqQ0VEiZQHz_AJmSCpMaJMRBSFKrKb2wqVwGU_NsYOYL-QtiWN2lbzcEe6XC0dApr5ydQLrHqkHHig3RBordaZ6Aj-oBHqFEHYpPe7Tpe-OfVfHd1E6cS6M1FZcD1NNLYD5lFHpPI9bTwJlsde3uhGqC0ZCuEHg8lhzwOHrtIQbS0FVbb9k3-tVTU4fg_3L_vniUFAKwuCLqKnS2BYwdq_mzSnbLY7h_qixoR7jig3__kRhuaxwUkRz5iaiQkqgc5gHdrNP5zw" });
    let rs256 = format!(
        "eyJhbGciOiJSUzI1NiIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{HOBBIT_PART}.MRjdkly7_-oTPTS3AXP41iQIGKa80A0ZmTuV5MEaHoxnW2e5CZ5NlKtainoFmKZopdHM1O2U4mwzJdQx996ivp83xuglII7PNDi84wnB-BDkoBwA78185hX-Es4JIwmDLJK3lfWRa-XtL0RnltuYv746iYTh_qHRD68BNt1uSNCrUCTJDt5aAE6x8wW1Kt9eRo4QPocSadnHXFxnt8Is9UzpERV0ePPQdLuW3IS_de3xyIrDaLGdjluPxUAhb6L2aXic1U12podGU0KLUQSE_oI-ZnmKJ3F4uOZDnd6QZWJushZ41Axf_fcIe8u9ipH84ogoree7vjbU5y18kDquDg"
    );
    let ps384 = format!(
        "eyJhbGciOiJQUzM4NCIsImtpZCI6ImJpbGJvLmJhZ2dpbnNAaG9iYml0b24uZXhhbXBsZSJ9.{HOBBIT_PART}.cu22eBqkYDKgIlTpzDXGvaFfz6WGoz7fUDcfT0kkOy42miAh2qyBzk1xEsnk2IpN6-tPid6VrklHkqsGqDqHCdP6O8TTB5dDDItllVo6_1OLPpcbUrhiUSMxbbXUvdvWXzg-UD8biiReQFlfz28zGWVsdiNAUf8ZnyPEgVFn442ZdNqiVJRmBqrYRXe8P_ijQ7p8Vdz0TTrxUeT3lm8d9shnr2lfJT8ImUjvAA2Xez2Mlp8cBE5awDzT0qI0n6uiP1aCN_2_jLAeQTlqRHtfa64QQSUmFAAjVKPbByi7xho0uTOcbH510a6GYmJUAfmWjwZ6oD4ifKo8DYM-X72Eaw"
    );
    for token in [rs256, ps384] {
        assert!(
            verified(jwk.clone(), &token).starts_with("It\u{2019}s a dangerous business, Frodo".as_bytes())
        );
    }
}

#[test]
fn rfc_8037_a4_ed25519() {
    let jwk = json!({ "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" });
    let token = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc.hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg";
    assert_eq!(verified(jwk.clone(), token), b"Example of Ed25519 signing");
    assert_eq!(thumbprint(&jwk).unwrap(), "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k");
    let token = Unverified::parse(token.as_bytes()).unwrap();
    assert_eq!(token.unproven_claims().unwrap_err(), JoseError::ClaimsNotObject);
}

#[test]
fn rfc_7638_thumbprint() {
    let jwk = json!({ "kty": "RSA", "kid": "2011-04-29", "alg": "RS256", "e": "AQAB", "n": "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw" });
    assert_eq!(thumbprint(&jwk).unwrap(), "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs");
    assert_eq!(thumbprint(&json!({ "kty": "RSA", "e": "AQAB" })), Err(JoseError::KeyMember("n")));
    assert_eq!(thumbprint(&json!({ "kty": "AKP" })), Err(JoseError::KeyUnsupported));
}

/// No standard has a compact example of these, so the library that signs checks the one that verifies.
#[test]
fn every_other_algorithm_verifies() {
    let rng = SystemRandom::new();
    let pair = EcdsaKeyPair::generate(&signature::ECDSA_P384_SHA384_FIXED_SIGNING).unwrap();
    let made = pair.sign(&rng, b"message").unwrap();
    let point = pair.public_key().as_ref();
    let jwk = json!({
        "kty": "EC", "crv": "P-384",
        "x": hash::base64url(&point[1..49]), "y": hash::base64url(&point[49..]),
    });
    let key = Jwk::parse(&jwk).unwrap().key;
    assert_eq!(key.verify(Algorithm::ES384, b"message", made.as_ref()), Ok(()));
    assert_eq!(key.verify(Algorithm::ES384, b"massage", made.as_ref()), Err(JoseError::SignatureInvalid));

    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let public = pair.public_key();
    let (n, e) = (public.modulus(), public.exponent());
    let (n, e) = (n.big_endian_without_leading_zero(), e.big_endian_without_leading_zero());
    let encodings: [(Algorithm, &'static dyn RsaEncoding); 4] = [
        (Algorithm::RS256, &signature::RSA_PKCS1_SHA256),
        (Algorithm::PS256, &signature::RSA_PSS_SHA256),
        (Algorithm::PS384, &signature::RSA_PSS_SHA384),
        (Algorithm::PS512, &signature::RSA_PSS_SHA512),
    ];
    for (alg, encoding) in encodings {
        let mut made = vec![0; pair.public_modulus_len()];
        pair.sign(encoding, &rng, b"message", &mut made).unwrap();
        let key = VerifyingKey::rsa(&Algorithm::ASYMMETRIC[2..6], n, e).unwrap();
        for tried in Algorithm::ASYMMETRIC {
            let expected = match tried {
                tried if tried == alg => Ok(()),
                tried if key.allows(tried) => Err(JoseError::SignatureInvalid),
                _ => Err(JoseError::AlgorithmMismatch),
            };
            assert_eq!(key.verify(tried, b"message", &made), expected, "{alg} as {tried}");
        }
    }
    assert_eq!(VerifyingKey::rsa(&[Algorithm::ES256], n, e).unwrap_err(), JoseError::KeyUnsupported);
}

#[test]
fn our_tokens_verify_under_our_published_keys() {
    let (old, new) = (SigningKey::generate().unwrap(), SigningKey::generate().unwrap());
    let set = json!({ "keys": [old.public_jwk(), new.public_jwk()] }).to_string();
    let set = JwkSet::parse(set.as_bytes()).unwrap();
    let token = new.sign("at+jwt", &json!({ "iss": "https://bridge.example", "n": 1 })).unwrap();
    let token = Unverified::parse(token.as_bytes()).unwrap();
    assert_eq!(token.typ.as_deref(), Some("at+jwt"));
    assert_eq!(token.kid.as_deref(), Some(new.kid()));
    let key = set.find(token.kid.as_deref(), token.alg).next().unwrap();
    assert_eq!(token.verify(key).unwrap().claims().unwrap()["n"], 1);

    assert_eq!(set.find(None, Algorithm::ES256).count(), 2);
    assert_eq!(set.find(None, Algorithm::RS256).count(), 0);
    assert_eq!(set.find(Some("../../etc/passwd"), Algorithm::ES256).count(), 0);
    assert!(set.has(old.kid()) && !set.has(""));
    assert_eq!(thumbprint(&old.public_jwk()).unwrap(), old.kid());
}

#[test]
fn a_stored_signing_key_signs_on() {
    let key = SigningKey::generate().unwrap();
    let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
    assert_eq!(again.public_jwk(), key.public_jwk());
    let token = again.sign("JWT", &json!({})).unwrap();
    assert!(Unverified::parse(token.as_bytes()).unwrap().verify(&key.verifying_key().unwrap()).is_ok());
    assert_eq!(SigningKey::from_pkcs8(b"").err(), Some(JoseError::KeyRefused));
}

proptest! {
    #[test]
    fn the_token_reader_never_panics(bytes: Vec<u8>, text in "[A-Za-z0-9_.=-]{0,64}") {
        let _ = Unverified::parse(&bytes);
        let _ = Unverified::parse(text.as_bytes());
    }

    #[test]
    fn the_header_reader_never_panics(header in "\\PC{0,64}", member in "alg|kid|typ|crit", value in "\\PC{0,16}") {
        for header in [header, json!({ "alg": "ES256", member: value }).to_string()] {
            let token = format!("{}.e30.AAAA", hash::base64url(header.as_bytes()));
            let _ = Unverified::parse(token.as_bytes());
        }
    }

    #[test]
    fn the_key_set_reader_never_panics(
        bytes: Vec<u8>, kty in "EC|RSA|OKP|oct", crv in "P-256|P-384|Ed25519",
        x: Vec<u8>, y: Vec<u8>, n in proptest::collection::vec(any::<u8>(), 255..260), e: Vec<u8>,
    ) {
        let _ = JwkSet::parse(&bytes);
        let [x, y, n, e] = [x, y, n, e].map(|bytes| hash::base64url(&bytes));
        let with_curve = json!({ "kty": kty, "crv": crv, "x": x, "y": y, "n": n, "e": e });
        let without = json!({ "kty": kty, "x": x, "y": y, "n": n, "e": "AQAB" });
        let set = json!({ "keys": [with_curve, without] }).to_string();
        prop_assert_eq!(JwkSet::parse(set.as_bytes()).unwrap().keys().len()
            + JwkSet::parse(set.as_bytes()).unwrap().skipped().len(), 2);
    }

    #[test]
    fn a_token_with_any_bit_changed_is_refused(at: prop::sample::Index, bit in 0_u8..8) {
        let key = SigningKey::generate().unwrap();
        let mut token = key.sign("at+jwt", &json!({ "sub": "a" })).unwrap().into_bytes();
        let at = at.index(token.len());
        token[at] ^= 1 << bit;
        let verifying = key.verifying_key().unwrap();
        prop_assert!(Unverified::parse(&token).and_then(|token| token.verify(&verifying)).is_err());
    }
}
