//! TLS sessions: the only place outside `seal` that touches cryptography (RFC 9325; Mozilla's intermediate
//! profile, version 6).

pub mod client;
mod refused;
pub mod server;
pub(crate) mod words;

use rustls::crypto::aws_lc_rs::{cipher_suite as suite, kx_group as group};
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, SupportedProtocolVersion, version};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use std::sync::{Arc, OnceLock};

/// Makes our choice of aws-lc-rs the process's provider. Call first thing in `main`; later calls do nothing.
pub fn install_provider() {
    // An error only says that one is installed already.
    drop(provider().as_ref().clone().install_default());
}

/// TLS 1.3 preferred, 1.2 allowed.
pub(crate) static VERSIONS: [&SupportedProtocolVersion; 2] = [&version::TLS13, &version::TLS12];

pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    let ours = || {
        Arc::new(CryptoProvider {
            cipher_suites: vec![
                suite::TLS13_AES_128_GCM_SHA256,
                suite::TLS13_AES_256_GCM_SHA384,
                suite::TLS13_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
                suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
                suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
                suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
            ],
            kx_groups: vec![group::X25519MLKEM768, group::X25519, group::SECP256R1, group::SECP384R1],
            ..aws_lc_rs::default_provider()
        })
    };
    PROVIDER.get_or_init(ours).clone()
}

/// What ALPN speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// `http/1.1`, and what says nothing.
    Http1,
    /// `h2`.
    Http2,
}

impl Protocol {
    pub(crate) fn alpn(protocols: &[Protocol]) -> Vec<Vec<u8>> {
        protocols.iter().map(|protocol| protocol.id().to_vec()).collect()
    }

    /// HTTP/1 unless ALPN chose HTTP/2.
    pub(crate) fn chosen(alpn: Option<&[u8]>) -> Protocol {
        if alpn == Some(Protocol::Http2.id()) { Protocol::Http2 } else { Protocol::Http1 }
    }

    fn id(self) -> &'static [u8] {
        match self {
            Protocol::Http1 => b"http/1.1",
            Protocol::Http2 => b"h2",
        }
    }
}

/// A certificate chain with its private key, which fit together.
#[derive(Debug, Clone)]
pub struct Identity(Arc<CertifiedKey>);

impl Identity {
    /// Reads a chain (leaf first) and a private key (PKCS #8, SEC 1 or PKCS #1), both PEM.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Identity, TlsError> {
        let chain = certificates(chain)?;
        // The reason is left out: it could quote the key.
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| TlsError::new("no readable private key"))?;
        let certified = CertifiedKey::from_der(chain, key, &provider()).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => {
                TlsError::new("the certificate and the private key do not belong together")
            }
            // What it says when it knows no kind of key that would fit.
            rustls::Error::General(_) => TlsError::new(
                "the private key is of no kind that is spoken here: RSA from 2,048 bits on, ECDSA on P-256, P-384 or \
                 P-521, or Ed25519",
            ),
            error => TlsError(format!("certificate and key: {error}")),
        })?;
        Ok(Identity(Arc::new(certified)))
    }
}

impl Identity {
    /// The certificate itself, in DER.
    pub fn leaf(&self) -> Option<&[u8]> {
        self.0.cert.first().map(|leaf| leaf.as_ref())
    }
}

/// Who is trusted to vouch for the other end.
#[derive(Debug, Clone)]
pub enum Roots {
    /// The machine's own root store.
    System,
    /// These certificates only.
    Private(Arc<RootCertStore>),
}

impl Roots {
    /// Every certificate in a PEM file; at least one.
    pub fn from_pem(pem: &[u8]) -> Result<Roots, TlsError> {
        let mut store = RootCertStore::empty();
        for certificate in certificates(pem)? {
            store.add(certificate).map_err(|error| TlsError(format!("CA certificate: {error}")))?;
        }
        Ok(Roots::Private(Arc::new(store)))
    }

    pub(crate) fn store(&self) -> Result<Arc<RootCertStore>, TlsError> {
        match self {
            Roots::Private(store) => Ok(store.clone()),
            Roots::System => system_roots(),
        }
    }
}

/// Why certificates, keys or roots cannot be used. For the operator.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{0}")]
pub struct TlsError(pub String);

impl TlsError {
    fn new(text: &str) -> TlsError {
        TlsError(text.to_owned())
    }
}

fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError(format!("certificate: {error}")))?;
    if certificates.is_empty() {
        return Err(TlsError::new("no certificate in the PEM text"));
    }
    Ok(certificates)
}

/// Read once: some hundreds of files on some systems.
fn system_roots() -> Result<Arc<RootCertStore>, TlsError> {
    static SYSTEM: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    let load = || {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        Arc::new(store)
    };
    let store = SYSTEM.get_or_init(load);
    if store.is_empty() {
        return Err(TlsError::new("this machine has no root certificates; name a CA in the manifest"));
    }
    Ok(store.clone())
}
