//! TLS sessions: the only place outside `seal` that touches cryptography.

pub mod client;
pub mod server;

use rustls_pki_types::{CertificateDer, PrivateKeyDer};

/// Makes aws-lc-rs the process's provider. Call first thing in `main`; later calls do nothing.
pub fn install_provider() {
    todo!()
}

/// A certificate chain with its private key.
pub struct Identity {
    pub(crate) chain: Vec<CertificateDer<'static>>,
    pub(crate) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads a chain (leaf first) and a private key (PKCS #8, SEC 1 or PKCS #1), both PEM.
    pub fn from_pem(_chain: &[u8], _key: &[u8]) -> Result<Identity, TlsError> {
        todo!()
    }
}

/// Who is trusted to vouch for the other end.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The machine's own root store.
    System,
    /// These certificates only.
    Private(Vec<CertificateDer<'static>>),
}

impl Roots {
    /// Every certificate in a PEM file; at least one.
    pub fn from_pem(_pem: &[u8]) -> Result<Roots, TlsError> {
        todo!()
    }
}

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);
