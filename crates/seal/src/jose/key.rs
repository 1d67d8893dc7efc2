//! Keys that verify.

use super::{Algorithm, JoseError};
use aws_lc_rs::hmac;
use aws_lc_rs::rsa::PublicKeyComponents;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters,
    VerificationAlgorithm,
};

/// RFC 7518 §3.2: an HMAC key as long as the digest.
pub const MIN_SECRET_BYTES: usize = 32;
/// FIPS 186-5 §5.4 allows odd exponents above 2^16; AWS-LC reads up to 33 bits, no issuer uses more than 17.
const EXPONENTS: std::ops::RangeInclusive<u32> = 65_537..=u32::MAX;

/// A key that verifies signatures: read once, fit for exactly the algorithms it was made for.
#[derive(Debug, Clone)]
pub struct VerifyingKey {
    /// One entry but for RSA keys that name no algorithm.
    uses: Vec<(Algorithm, Material)>,
}

#[derive(Debug, Clone)]
enum Material {
    Public(ParsedPublicKey),
    Shared(Box<hmac::Key>),
}

impl VerifyingKey {
    /// Verifies the signature of a message. An algorithm that the key is not for is refused before anything is
    /// computed (RFC 8725 §3.1).
    pub fn verify(&self, alg: Algorithm, message: &[u8], signature: &[u8]) -> Result<(), JoseError> {
        match self.material(alg).ok_or(JoseError::AlgorithmMismatch)? {
            Material::Public(key) => key.verify_sig(message, signature),
            Material::Shared(key) => hmac::verify(key, message, signature),
        }
        .map_err(|_| JoseError::SignatureInvalid)
    }

    /// Whether it is for that algorithm.
    pub fn allows(&self, alg: Algorithm) -> bool {
        self.material(alg).is_some()
    }

    /// A secret shared with a partner, of at least [`MIN_SECRET_BYTES`] random bytes.
    pub fn hs256(secret: &[u8]) -> Result<VerifyingKey, JoseError> {
        if secret.len() < MIN_SECRET_BYTES {
            return Err(JoseError::SecretTooShort);
        }
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        Ok(VerifyingKey { uses: vec![(Algorithm::HS256, Material::Shared(Box::new(key)))] })
    }

    /// An uncompressed point, `04 ‖ x ‖ y`, on P-256.
    pub fn es256(point: &[u8]) -> Result<VerifyingKey, JoseError> {
        VerifyingKey::on_curve(Algorithm::ES256, &ECDSA_P256_SHA256_FIXED, point, 65)
    }

    /// An uncompressed point, `04 ‖ x ‖ y`, on P-384.
    pub fn es384(point: &[u8]) -> Result<VerifyingKey, JoseError> {
        VerifyingKey::on_curve(Algorithm::ES384, &ECDSA_P384_SHA384_FIXED, point, 97)
    }

    /// A public key of RFC 8032 §5.1.5, 32 bytes.
    pub fn ed25519(public: &[u8]) -> Result<VerifyingKey, JoseError> {
        VerifyingKey::on_curve(Algorithm::Ed25519, &ED25519, public, 32)
    }

    fn on_curve(
        alg: Algorithm,
        checker: &'static dyn VerificationAlgorithm,
        public: &[u8],
        length: usize,
    ) -> Result<VerifyingKey, JoseError> {
        // AWS-LC reads other encodings of other lengths too.
        if public.len() != length {
            return Err(JoseError::KeyRefused);
        }
        let key = ParsedPublicKey::new(checker, public).map_err(|_| JoseError::KeyRefused)?;
        Ok(VerifyingKey { uses: vec![(alg, Material::Public(key))] })
    }

    /// An RSA key of 2048 to 8192 bits for the algorithms named; modulus and exponent in big-endian bytes
    /// without leading zeros.
    pub fn rsa(algorithms: &[Algorithm], modulus: &[u8], exponent: &[u8]) -> Result<VerifyingKey, JoseError> {
        check_modulus(modulus)?;
        check_exponent(exponent)?;
        let components = PublicKeyComponents { n: modulus, e: exponent };
        let uses = algorithms
            .iter()
            .map(|alg| {
                let parameters = rsa_parameters(*alg).ok_or(JoseError::KeyUnsupported)?;
                let key = components.to_parsed_public_key(parameters).map_err(|_| JoseError::KeyRefused)?;
                Ok((*alg, Material::Public(key)))
            })
            .collect::<Result<_, JoseError>>()?;
        Ok(VerifyingKey { uses })
    }

    fn material(&self, alg: Algorithm) -> Option<&Material> {
        self.uses.iter().find(|(of, _)| *of == alg).map(|(_, material)| material)
    }
}

fn rsa_parameters(alg: Algorithm) -> Option<&'static RsaParameters> {
    Some(match alg {
        Algorithm::RS256 => &RSA_PKCS1_2048_8192_SHA256,
        Algorithm::PS256 => &RSA_PSS_2048_8192_SHA256,
        Algorithm::PS384 => &RSA_PSS_2048_8192_SHA384,
        Algorithm::PS512 => &RSA_PSS_2048_8192_SHA512,
        _ => return None,
    })
}

fn check_modulus(modulus: &[u8]) -> Result<(), JoseError> {
    let (Some(first), Some(last)) = (modulus.first(), modulus.last()) else {
        return Err(JoseError::KeyMember("n"));
    };
    if *first == 0 || last & 1 == 0 {
        return Err(JoseError::KeyMember("n"));
    }
    let full = u64::try_from(modulus.len()).unwrap_or(u64::MAX).saturating_mul(8);
    let bits = full.saturating_sub(u64::from(first.leading_zeros()));
    if !(2048..=8192).contains(&bits) {
        return Err(JoseError::KeyLength);
    }
    Ok(())
}

fn check_exponent(exponent: &[u8]) -> Result<(), JoseError> {
    if exponent.len() > 4 || exponent.first() == Some(&0) {
        return Err(JoseError::KeyMember("e"));
    }
    let value = exponent.iter().fold(0_u32, |value, byte| value << 8 | u32::from(*byte));
    if !EXPONENTS.contains(&value) || value & 1 == 0 {
        return Err(JoseError::KeyMember("e"));
    }
    Ok(())
}
