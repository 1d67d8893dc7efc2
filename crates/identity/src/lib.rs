//! Verifying who calls, and issuing what callers prove it with.
//!
//! Every verifier ends in [`ironbridge_core::Principal::verified`], which no other room calls. None of them
//! knows an HTTP server: a transport hands over bytes, and gets back a principal or a denial.
//!
//! | module | verifies | issues |
//! |---|---|---|
//! | [`accounts`] | what the manifest lets each account prove itself with | |
//! | [`api_key`] | API keys, OAuth client secrets | both |
//! | [`token`] | JWT access tokens (RFC 9068) | |
//! | [`certificate`] | client certificates | |
//! | [`certificate_file`] | what a PEM file holds | |
//! | [`authority`] | | certificates of the internal CA |
//! | [`token_endpoint`] | OAuth clients (RFC 6749 §4.4) | access tokens |
//! | [`target_token`] | | fetches the bridge's own tokens toward targets |

#![warn(missing_docs)]

pub mod accounts;
pub mod api_key;
pub mod authority;
pub mod certificate;
pub mod certificate_file;
pub mod issuer_keys;
mod remembered;
mod sealed;
pub mod signing_keys;
pub mod target_token;
pub mod token;
pub mod token_endpoint;

pub use sealed::KeptKeyError;
