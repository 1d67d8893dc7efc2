//! What can be wrong with a token or its key, and whose fault that is.

use ironbridge_core::{Code, code};

/// Why a token, a key or a set of keys was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoseError {
    // The token's form
    /// Above [`super::MAX_TOKEN_BYTES`]: not read at all.
    #[error("the token is longer than 16 KiB")]
    TokenTooLong,
    /// Above [`super::MAX_HEADER_BYTES`], encoded.
    #[error("the token's header is longer than 4 KiB")]
    HeaderTooLong,
    /// The compact form has exactly header, payload and signature (RFC 7515 §7.1).
    #[error("the token does not have three parts")]
    PartCount,
    /// Which of the three it is.
    #[error("the token's {0} is empty")]
    PartEmpty(&'static str),
    /// Two spellings of one token would pass for two. Which part it is.
    #[error("the token's {0} is not unpadded, canonical base64url")]
    NotBase64url(&'static str),
    /// RFC 7515 §4.
    #[error("the token's header is not a JSON object")]
    HeaderNotObject,
    /// RFC 7519 §4; told when the claims are asked for.
    #[error("the token's payload is not a JSON object")]
    ClaimsNotObject,
    /// Readers differ in which of two they take (RFC 7515 §4).
    #[error("a member name appears twice")]
    DuplicateMember,
    /// The member's name.
    #[error("the token's header member {0} has the wrong type")]
    HeaderMemberType(&'static str),
    /// Above [`super::MAX_KEY_ID_CHARS`], or not fit for a log.
    #[error("the token's kid is longer than 128 characters or holds control characters")]
    KeyIdRefused,

    // The token's algorithm
    /// RFC 7515 §4.1.1 requires it.
    #[error("the token's header has no alg")]
    AlgorithmMissing,
    /// In any case of its letters (RFC 8725 §3.2).
    #[error("the token says it is not signed")]
    AlgorithmNone,
    /// Not an [`super::Algorithm`].
    #[error("the token's alg is none of those spoken here")]
    AlgorithmUnknown,
    /// A key is for the algorithms it was made for, whatever a token says (RFC 8725 §3.1).
    #[error("the key is not for the token's alg")]
    AlgorithmMismatch,
    /// It would bring in a key of the token's own, or change how the token is to be read: `jwk`, `crit` and the like.
    #[error("the token's header holds {0}, which may not be there")]
    HeaderMemberRefused(&'static str),

    /// Another key made it, or the token was changed.
    #[error("the signature does not verify")]
    SignatureInvalid,

    // Keys
    /// Above [`super::MAX_KEY_SET_BYTES`] or [`super::MAX_KEYS`].
    #[error("the key set is larger than 256 KiB or has more than 100 keys")]
    KeySetTooLarge,
    /// RFC 7517 §5.
    #[error("this is not a JSON object with an array of keys")]
    KeySetMalformed,
    /// The whole set is refused: its owner has lost control of that key.
    #[error("a public key set holds a private or secret key: whoever published it must replace that key")]
    PrivateKeyPublished,
    /// Such a key of a set is skipped.
    #[error("the key's type, curve or algorithm is none of those spoken here")]
    KeyUnsupported,
    /// `use` or `key_ops` says another purpose (RFC 7517 §4.2, §4.3).
    #[error("the key is not for verifying signatures")]
    KeyUse,
    /// Shorter ones can be broken, longer ones cost too much to verify with.
    #[error("an RSA key must have 2048 to 8192 bits")]
    KeyLength,
    /// See [`super::MIN_SECRET_BYTES`].
    #[error("an HS256 secret must have at least 32 bytes")]
    SecretTooShort,
    /// The member's name.
    #[error("the key's {0} is missing or has no proper value")]
    KeyMember(&'static str),
    /// The cryptographic library does not take it, such as a point that is not on its curve.
    #[error("the key cannot be read")]
    KeyRefused,

    /// No fault of a token or a key.
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
