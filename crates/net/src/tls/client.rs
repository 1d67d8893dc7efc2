//! TLS toward targets.

use super::{Identity, Protocol, Roots, TlsError, VERSIONS, provider};
use rustls::ClientConfig;
use rustls::client::ResolvesClientCert;
use rustls::sign::CertifiedKey;
use std::sync::Arc;

/// TLS toward one target as one identity. Sessions are resumed only within one configuration, so never across
/// identities. There is no way to leave the target's certificate unverified.
pub fn client_config(
    roots: &Roots,
    identity: Option<Identity>,
    protocols: &[Protocol],
) -> Result<ClientConfig, TlsError> {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&VERSIONS)
        .map_err(|error| TlsError(error.to_string()))?
        .with_root_certificates(roots.store()?);
    let mut config = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(Shown(identity.0))),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = Protocol::alpn(protocols);
    Ok(config)
}

/// The one certificate that is shown to whoever asks.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>);

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _root_hints: &[&[u8]],
        schemes: &[rustls::SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        self.0.key.choose_scheme(schemes).map(|_| self.0.clone())
    }

    fn has_certs(&self) -> bool {
        true
    }
}
