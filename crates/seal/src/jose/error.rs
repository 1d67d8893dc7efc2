use ironbridge_core::{Code, code};

/// Why a token, a key or a set of keys was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    // The token's form
    #[error("the token is longer than 16 KiB")]
    TokenTooLong,
    #[error("the token's header is longer than 4 KiB")]
    HeaderTooLong,
    #[error("the token does not have three parts")]
    PartCount,
    #[error("the token's {0} is empty")]
    PartEmpty(&'static str),
    #[error("the token's {0} is not unpadded, canonical base64url")]
    NotBase64url(&'static str),
    #[error("the token's header is not a JSON object")]
    HeaderNotObject,
    #[error("the token's payload is not a JSON object")]
    ClaimsNotObject,
    #[error("a member name appears twice")]
    DuplicateMember,
    #[error("the token's header member {0} has the wrong type")]
    HeaderMemberType(&'static str),
    #[error("the token's kid is longer than 128 characters or holds control characters")]
    KeyIdRefused,

    // The token's algorithm
    #[error("the token's header has no alg")]
    AlgorithmMissing,
    #[error("the token says it is not signed")]
    AlgorithmNone,
    #[error("the token's alg is none of those spoken here")]
    AlgorithmUnknown,
    #[error("the key is not for the token's alg")]
    AlgorithmMismatch,
    #[error("the token's header holds {0}, which may not be there")]
    HeaderMemberRefused(&'static str),

    #[error("the signature does not verify")]
    SignatureInvalid,

    // Keys
    #[error("the key set is larger than 256 KiB or has more than 100 keys")]
    KeySetTooLarge,
    #[error("this is not a JSON object with an array of keys")]
    KeySetMalformed,
    #[error("a public key set holds a private or secret key: whoever published it must replace that key")]
    PrivateKeyPublished,
    #[error("the key's type, curve or algorithm is none of those spoken here")]
    KeyUnsupported,
    #[error("the key is not for verifying signatures")]
    KeyUse,
    #[error("an RSA key must have 2048 to 8192 bits")]
    KeyLength,
    #[error("an HS256 secret must have at least 32 bytes")]
    SecretTooShort,
    #[error("the key's {0} is missing or has no proper value")]
    KeyMember(&'static str),
    #[error("the key cannot be read")]
    KeyRefused,

    #[error("the cryptographic library failed")]
    Failed,
}

impl JoseError {
    /// The public code of a refusal for this reason, when a caller's token was at fault; faults of keys are the
    /// issuer's.
    pub fn code(self) -> &'static Code {
        use JoseError::*;
        match self {
            TokenTooLong | HeaderTooLong | PartCount | PartEmpty(_) | NotBase64url(_) | HeaderNotObject
            | ClaimsNotObject | DuplicateMember | HeaderMemberType(_) | KeyIdRefused => {
                &code::TOKEN_MALFORMED
            }
            AlgorithmMissing | AlgorithmNone | AlgorithmUnknown | AlgorithmMismatch => {
                &code::TOKEN_ALGORITHM_REFUSED
            }
            HeaderMemberRefused(_) => &code::TOKEN_HEADER_REFUSED,
            SignatureInvalid => &code::TOKEN_SIGNATURE_INVALID,
            KeySetTooLarge | KeySetMalformed | PrivateKeyPublished | KeyUnsupported | KeyUse | KeyLength
            | SecretTooShort | KeyMember(_) | KeyRefused => &code::ISSUER_UNAVAILABLE,
            Failed => &code::INTERNAL,
        }
    }
}
