//! Secrets: how a manifest names them, where they are kept, how they are read.
//!
//! A manifest holds only a [`SecretName`](ironbridge_core::SecretName); [`Secrets`] reads the [`SecretValue`] behind it from the
//! [`SecretStore`] that the name points to. The embedded store is [`SealedStore`].
//!
//! A value is cleared from memory when the last copy of it is dropped, and shows in no `Debug`, `Display` or
//! error. Only [`SecretValue::expose`] gives it away.

#![warn(missing_docs)]

mod error;
mod field;
mod form;
mod in_use;
mod sealed;
mod secret_store;
mod secrets;
#[cfg(any(test, feature = "suite"))]
pub mod suite;
mod value;

pub use error::SecretError;
pub use form::SecretForm;
pub use in_use::InUse;
pub use sealed::SealedStore;
pub use secret_store::{SecretKeeper, SecretStore};
pub use secrets::Secrets;
pub use value::{MAX_VALUE, SecretValue};
