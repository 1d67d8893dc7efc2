use crate::sealed::MAX_VALUE;
use ironbridge_core::{Denial, Fault, SecretName, SecretNameError, code};
use ironbridge_seal::envelope::SealError;
use ironbridge_store::StoreError;

/// Why a secret could not be read or set. Names appear in it, values never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    #[error("there is no secret `{0}`; set it with `ironbridge secret set {0}`")]
    Missing(String),
    #[error(
        "secret `{name}` is not a JSON object with a text member `{field}`, once; set it anew with `ironbridge secret set {name}`, or refer to it without #{field}"
    )]
    NoField { name: String, field: String },
    #[error("{name}: there is no secret store `{}`; declared are: {}", name.store(), known.join(", "))]
    UnknownStore { name: SecretName, known: Vec<String> },
    #[error("this bridge does not keep the secret store `{0}`: set the secret there")]
    KeptElsewhere(String),
    #[error(
        "secret `{name}` cannot be opened: {reason}. With the right key file in place, it may be set anew with `ironbridge secret set {name}`"
    )]
    Sealed { name: String, reason: SealError },
    #[error(transparent)]
    Name(#[from] SecretNameError),
    #[error("the value of secret `{0}` is empty; is the file or pipe it comes from empty?")]
    Empty(String),
    #[error("the value of secret `{0}` is longer than {MAX_VALUE} bytes")]
    TooLong(String),
    #[error("the secret store: {0}")]
    Store(#[from] StoreError),
}

impl SecretError {
    pub const fn fault(&self) -> Fault {
        match self {
            SecretError::Store(error) => error.fault(),
            _ => Fault::Operator,
        }
    }

    /// Whether the same call may succeed later without anyone repairing anything by hand.
    pub const fn retry(&self) -> bool {
        match self {
            SecretError::Store(error) => error.retry(),
            _ => false,
        }
    }
}

impl From<SecretError> for Denial {
    fn from(error: SecretError) -> Denial {
        Denial::new(&code::SECRET_UNAVAILABLE).internal(error)
    }
}
