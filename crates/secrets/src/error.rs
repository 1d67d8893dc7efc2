//! Why a secret cannot be had.

use crate::MAX_VALUE;
use ironbridge_core::{Denial, Fault, SecretName, SecretNameError, code};
use ironbridge_seal::envelope::SealError;
use ironbridge_store::StoreError;

/// Why a secret could not be read or set. Names appear in it, values never.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The store has no secret of this name.
    #[error("there is no secret `{0}`; set it with `ironbridge secret set {0}`")]
    Missing(String),
    /// A reference names a member that the value of the secret does not have.
    #[error(
        "secret `{name}` is not a JSON object with a text member `{field}`, once; set it anew with `ironbridge secret set {name}`, or refer to it without #{field}"
    )]
    NoField {
        /// In its store.
        name: String,
        /// Of the reference.
        field: String,
    },
    /// A reference names a store that this bridge does not have.
    #[error("{name}: there is no secret store `{}`; declared are: {}", name.store(), known.join(", "))]
    UnknownStore {
        /// The reference.
        name: SecretName,
        /// What the stores are called that there are.
        known: Vec<String>,
    },
    /// A value was to be set or removed in a store of this name, and this bridge keeps none.
    #[error("this bridge does not keep the secret store `{0}`: set the secret there")]
    KeptElsewhere(String),
    /// The value was sealed under another key file, for another name, or changed since.
    #[error(
        "secret `{name}` cannot be opened: {reason}. With the right key file in place, it may be set anew with `ironbridge secret set {name}`"
    )]
    Sealed {
        /// In its store.
        name: String,
        /// What the seal says.
        reason: SealError,
    },
    /// No secret can be called so.
    #[error(transparent)]
    Name(#[from] SecretNameError),
    /// The value to be set has no bytes.
    #[error("the value of secret `{0}` is empty; is the file or pipe it comes from empty?")]
    Empty(String),
    /// The value to be set has more than [`MAX_VALUE`] bytes.
    #[error("the value of secret `{0}` is longer than {MAX_VALUE} bytes")]
    TooLong(String),
    /// The store itself could not be read or written.
    #[error("the secret store: {0}")]
    Store(#[from] StoreError),
}

impl SecretError {
    /// Who has to mend it.
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
