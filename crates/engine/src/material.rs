//! Certificates and keys that the manifest names, read when it is loaded.

use ironbridge_core::Fetch;
use ironbridge_identity::authority::IssuedCertificate;
use ironbridge_manifest::{CertificateFiles, KeySource, open_regular};
use ironbridge_net::address::Policy;
use ironbridge_net::fetch::GuardedClient;
use ironbridge_net::tls::{Identity, Roots, TlsError};
use ironbridge_seal::hash;
use ironbridge_secrets::{SecretError, Secrets};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why a file or secret that the manifest names cannot be used.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "fields that their variant explains")]
pub enum MaterialError {
    /// It is not there, not a plain file, too large, or not PEM.
    #[error("{path}: {reason}")]
    Unreadable { path: PathBuf, reason: String },
    /// Whoever can read a private key can be whom it belongs to.
    #[error("{0} is readable by others; a private key must be its owner's alone: chmod 600 {0}")]
    Exposed(PathBuf),
    /// It can be read, and TLS cannot work with it.
    #[error("{path}: {reason}")]
    Unusable { path: PathBuf, reason: TlsError },
    /// The secret that a key is in cannot be had.
    #[error(transparent)]
    Secret(#[from] SecretError),
}

/// A PEM file has a handful of certificates.
const MAX_PEM: u64 = 1024 * 1024;

/// The CA certificates in a PEM file.
pub fn roots(path: &Path) -> Result<Roots, MaterialError> {
    let pem = read(path)?;
    Roots::from_pem(&pem).map_err(|reason| MaterialError::Unusable { path: path.to_owned(), reason })
}

/// The CA certificates in a PEM file, or the machine's own where none is named.
pub fn roots_or_system(path: Option<&Path>) -> Result<Roots, MaterialError> {
    path.map_or(Ok(Roots::System), roots)
}

/// A chain with its key.
pub async fn identity(chain: &Path, key: &KeySource, secrets: &Secrets) -> Result<Identity, MaterialError> {
    let chain_pem = read(chain)?;
    let key_pem = match key {
        KeySource::File(path) => read_private(path)?,
        KeySource::Secret(reference) => Zeroizing::new(secrets.read(reference).await?.expose().to_vec()),
    };
    Identity::from_pem(&chain_pem, &key_pem)
        .map_err(|reason| MaterialError::Unusable { path: chain.to_owned(), reason })
}

/// One of the bridge's own certificates, from the internal CA.
pub fn issued(certificate: &IssuedCertificate) -> Result<Identity, TlsError> {
    Identity::from_pem(certificate.chain_pem.as_bytes(), certificate.key_pem.as_bytes())
}

pub async fn server_identity(
    certificate: &CertificateFiles,
    secrets: &Secrets,
) -> Result<Identity, MaterialError> {
    identity(&certificate.chain, &certificate.key, secrets).await
}

/// A client for fetches of the bridge's own, which trusts the CAs of this file, or the machine's own where none is named.
pub fn fetch(ca: Option<&Path>) -> Result<Arc<dyn Fetch>, MaterialError> {
    let roots = roots_or_system(ca)?;
    let client = GuardedClient::new(&roots, Policy::Declared);
    let client = client.map_err(|reason| MaterialError::Unusable {
        path: ca.map(Path::to_owned).unwrap_or_default(),
        reason,
    })?;
    Ok(Arc::new(client))
}

/// Changes when what the file holds does; empty where none is named.
pub fn digest(file: Option<&Path>) -> Result<String, MaterialError> {
    file.map_or(Ok(String::new()), |file| Ok(hash::hex(&hash::sha256(&read(file)?))))
}

pub fn read(path: &Path) -> Result<Vec<u8>, MaterialError> {
    let file = open_regular(path).map_err(|reason| unreadable(path, reason))?;
    read_bounded(path, &file)
}

pub fn read_private(path: &Path) -> Result<Zeroizing<Vec<u8>>, MaterialError> {
    // The open file is checked, so that it cannot be exchanged afterwards.
    let file = open_regular(path).map_err(|reason| unreadable(path, reason))?;
    let mode = file.metadata().map_err(|reason| unreadable(path, reason))?.mode();
    if mode & 0o077 != 0 {
        return Err(MaterialError::Exposed(path.to_owned()));
    }
    read_bounded(path, &file).map(Zeroizing::new)
}

fn read_bounded(path: &Path, file: &std::fs::File) -> Result<Vec<u8>, MaterialError> {
    let size = file.metadata().map_err(|reason| unreadable(path, reason))?.len();
    if size > MAX_PEM {
        return Err(unreadable(path, "larger than 1 MiB"));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0) + 1);
    file.take(MAX_PEM).read_to_end(&mut bytes).map_err(|reason| unreadable(path, reason))?;
    Ok(bytes)
}

fn unreadable(path: &Path, reason: impl ToString) -> MaterialError {
    MaterialError::Unreadable { path: path.to_owned(), reason: reason.to_string() }
}
