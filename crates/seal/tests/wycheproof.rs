//! Project Wycheproof's vectors, through the keys that verify tokens.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use ironbridge_seal::jose::{Algorithm, VerifyingKey};
use wycheproof::{TestResult, ecdsa, eddsa, mac, rsa_pkcs1_verify, rsa_pss_verify};

/// Vectors, and those that came out otherwise.
#[derive(Default)]
struct Tally {
    count: usize,
    wrong: Vec<String>,
}

impl Tally {
    fn judge(
        &mut self,
        name: &str,
        key: &VerifyingKey,
        alg: Algorithm,
        message: &[u8],
        signature: &[u8],
        expected: TestResult,
    ) {
        let verified = key.verify(alg, message, signature).is_ok();
        self.count += 1;
        // What Wycheproof leaves open may be either.
        let right = match expected {
            TestResult::Valid => verified,
            TestResult::Invalid => !verified,
            TestResult::Acceptable => true,
        };
        if !right {
            self.wrong.push(format!("{name}: verified is {verified}"));
        }
    }

    fn assert(self, at_least: usize) {
        assert!(self.wrong.is_empty(), "{}", self.wrong.join("\n"));
        assert!(self.count >= at_least, "only {} vectors", self.count);
    }
}

#[test]
fn ecdsa_signatures_are_judged_as_wycheproof_says() {
    let mut tally = Tally::default();
    for (name, alg) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256P1363, Algorithm::ES256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384P1363, Algorithm::ES384),
    ] {
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            let point = &group.key.key;
            let key = match alg {
                Algorithm::ES256 => VerifyingKey::es256(point),
                _ => VerifyingKey::es384(point),
            };
            let key = key.unwrap();
            for test in group.tests {
                tally.judge(
                    &format!("{name:?} {}", test.tc_id),
                    &key,
                    alg,
                    &test.msg,
                    &test.sig,
                    test.result,
                );
            }
        }
    }
    tally.assert(400);
}

#[test]
fn ed25519_signatures_are_judged_as_wycheproof_says() {
    let mut tally = Tally::default();
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        let key = VerifyingKey::ed25519(&group.key.pk).unwrap();
        for test in group.tests {
            let name = format!("Ed25519 {}", test.tc_id);
            tally.judge(&name, &key, Algorithm::Ed25519, &test.msg, &test.sig, test.result);
        }
    }
    tally.assert(100);
}

#[test]
fn rsa_signatures_are_judged_as_wycheproof_says() {
    let mut tally = Tally::default();
    let set = rsa_pkcs1_verify::TestSet::load(rsa_pkcs1_verify::TestName::Rsa2048Sha256).unwrap();
    for group in set.test_groups {
        // A key that we refuse verifies nothing.
        let Ok(key) = rsa(Algorithm::RS256, &group.key.n, &group.key.e) else { continue };
        for test in group.tests {
            let name = format!("RS256 {}", test.tc_id);
            tally.judge(&name, &key, Algorithm::RS256, &test.msg, &test.sig, test.result);
        }
    }
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen32).unwrap();
    for group in set.test_groups {
        let Ok(key) = rsa(Algorithm::PS256, &group.key.n, &group.key.e) else { continue };
        for test in group.tests {
            let name = format!("PS256 {}", test.tc_id);
            tally.judge(&name, &key, Algorithm::PS256, &test.msg, &test.sig, test.result);
        }
    }
    tally.assert(300);
}

/// RFC 7518 §3.5: a salt as long as the hash, and no other.
#[test]
fn salts_of_other_lengths_are_refused() {
    let set = rsa_pss_verify::TestSet::load(rsa_pss_verify::TestName::RsaPss2048Sha256Mgf1SaltLen0).unwrap();
    let mut refused = 0;
    for group in set.test_groups {
        let key = rsa(Algorithm::PS256, &group.key.n, &group.key.e).unwrap();
        // What the set calls invalid may have a salt of the right length.
        for test in group.tests.into_iter().filter(|test| test.result == TestResult::Valid) {
            assert!(key.verify(Algorithm::PS256, &test.msg, &test.sig).is_err(), "{}", test.tc_id);
            refused += 1;
        }
    }
    assert!(refused >= 20, "only {refused} vectors");
}

#[test]
fn hmac_tags_are_judged_as_wycheproof_says() {
    let mut tally = Tally::default();
    for group in mac::TestSet::load(mac::TestName::HmacSha256).unwrap().test_groups {
        // JWS has no truncated tags (RFC 7518 §3.2).
        let truncated = group.tag_size != 256;
        for test in group.tests {
            let Ok(key) = VerifyingKey::hs256(&test.key) else { continue };
            let expected = if truncated { TestResult::Invalid } else { test.result };
            let name = format!("HS256 {}", test.tc_id);
            tally.judge(&name, &key, Algorithm::HS256, &test.msg, &test.tag, expected);
        }
    }
    tally.assert(100);
}

fn rsa(alg: Algorithm, modulus: &[u8], exponent: &[u8]) -> Result<VerifyingKey, impl std::fmt::Debug> {
    let unsigned = |bytes: &[u8]| bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<_>>();
    VerifyingKey::rsa(&[alg], &unsigned(modulus), &unsigned(exponent))
}
