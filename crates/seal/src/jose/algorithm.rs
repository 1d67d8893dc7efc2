//! Which algorithms are spoken.

use std::fmt;

/// A signature algorithm (RFC 7518 §3.1, RFC 9864 §2.2). What is not here is not spoken: `none` least of all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Algorithm {
    /// ECDSA on P-256 with SHA-256.
    ES256,
    /// ECDSA on P-384 with SHA-384.
    ES384,
    /// RSASSA-PSS with SHA-256.
    PS256,
    /// RSASSA-PSS with SHA-384.
    PS384,
    /// RSASSA-PSS with SHA-512.
    PS512,
    /// RSASSA-PKCS1-v1_5 with SHA-256, for older partners; keys of 2048 bits or more.
    RS256,
    /// Written `Ed25519`; its older name `EdDSA` is read as well, and always means Ed25519 here.
    Ed25519,
    /// HMAC with SHA-256: a secret shared by both sides, of 32 bytes or more. Never from a key set.
    HS256,
}

impl Algorithm {
    /// Those whose verifying key is public.
    pub const ASYMMETRIC: [Algorithm; 7] = [
        Algorithm::ES256,
        Algorithm::ES384,
        Algorithm::PS256,
        Algorithm::PS384,
        Algorithm::PS512,
        Algorithm::RS256,
        Algorithm::Ed25519,
    ];

    /// Reads the exact name: `es256` is no algorithm (RFC 8725bis: names are never case-folded).
    pub fn parse(name: &str) -> Option<Algorithm> {
        Some(match name {
            "ES256" => Algorithm::ES256,
            "ES384" => Algorithm::ES384,
            "PS256" => Algorithm::PS256,
            "PS384" => Algorithm::PS384,
            "PS512" => Algorithm::PS512,
            "RS256" => Algorithm::RS256,
            "Ed25519" | "EdDSA" => Algorithm::Ed25519,
            "HS256" => Algorithm::HS256,
            _ => return None,
        })
    }

    /// As `alg` has it.
    pub const fn name(self) -> &'static str {
        match self {
            Algorithm::ES256 => "ES256",
            Algorithm::ES384 => "ES384",
            Algorithm::PS256 => "PS256",
            Algorithm::PS384 => "PS384",
            Algorithm::PS512 => "PS512",
            Algorithm::RS256 => "RS256",
            Algorithm::Ed25519 => "Ed25519",
            Algorithm::HS256 => "HS256",
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::Algorithm;

    #[test]
    fn names_are_exact() {
        for algorithm in Algorithm::ASYMMETRIC.into_iter().chain([Algorithm::HS256]) {
            assert_eq!(Algorithm::parse(algorithm.name()), Some(algorithm));
            assert_eq!(Algorithm::parse(&algorithm.name().to_lowercase()), None);
        }
        for name in ["none", "", "ES256 ", "HS384", "RS384", "RS1", "ES256K", "eddsa", "Ed448"] {
            assert_eq!(Algorithm::parse(name), None, "{name}");
        }
    }
}
