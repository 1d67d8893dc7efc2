//! Certificates for tests.

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use std::path::{Path, PathBuf};
use time::{Duration, OffsetDateTime};

/// A certificate authority for one test: P-256 keys, valid for a day.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
}

/// When a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// From an hour ago until tomorrow.
    Now,
    /// Until yesterday.
    Expired,
    /// From tomorrow on.
    NotYet,
}

impl Validity {
    fn bounds(self) -> (OffsetDateTime, OffsetDateTime) {
        let now = OffsetDateTime::now_utc();
        match self {
            Validity::Now => (now - Duration::hours(1), now + Duration::days(1)),
            Validity::Expired => (now - Duration::days(2), now - Duration::days(1)),
            Validity::NotYet => (now + Duration::days(1), now + Duration::days(2)),
        }
    }
}

impl Authority {
    /// One that signs itself; `name` is its common name.
    pub fn new(name: &str) -> Result<Authority> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages =
            vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        (params.not_before, params.not_after) = Validity::Now.bounds();
        Ok(Authority { issuer: CertifiedIssuer::self_signed(params, KeyPair::generate()?)? })
    }

    /// Its certificate, for a file of roots.
    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// The same in binary.
    pub fn der(&self) -> CertificateDer<'static> {
        self.issuer.der().clone()
    }

    /// Writes the authority's certificate as PEM and returns its path.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        write(path.as_ref(), &self.pem())
    }

    /// A server's certificate for DNS names and IP addresses.
    pub fn server(&self, names: &[&str]) -> Result<Identity> {
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, Validity::Now)
    }

    /// A client's certificate; a name with `://` becomes a URI, one with `@` an e-mail address.
    pub fn client(&self, names: &[&str], validity: Validity) -> Result<Identity> {
        self.issue(names, ExtendedKeyUsagePurpose::ClientAuth, validity)
    }

    fn issue(&self, names: &[&str], usage: ExtendedKeyUsagePurpose, validity: Validity) -> Result<Identity> {
        let mut params = CertificateParams::default();
        for name in names {
            params.subject_alt_names.push(match name.parse() {
                Ok(address) => SanType::IpAddress(address),
                Err(_) if name.contains("://") => SanType::URI((*name).try_into()?),
                Err(_) if name.contains('@') => SanType::Rfc822Name((*name).try_into()?),
                Err(_) => SanType::DnsName((*name).try_into()?),
            });
        }
        params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("nameless"));
        params.use_authority_key_identifier_extension = true;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        (params.not_before, params.not_after) = validity.bounds();
        let key = KeyPair::generate()?;
        let certificate = params.signed_by(&key, &self.issuer)?;
        Ok(Identity {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem(),
            certificate: certificate.der().clone(),
            key: key.serialize_der(),
        })
    }
}

/// A certificate and its private key.
pub struct Identity {
    /// The certificate alone, without its authority's.
    pub certificate_pem: String,
    /// PKCS#8.
    pub key_pem: String,
    /// The same as [`Identity::certificate_pem`], in binary.
    pub certificate: CertificateDer<'static>,
    key: Vec<u8>,
}

impl Identity {
    /// The private key in binary.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()))
    }

    /// Writes `NAME.crt`, `NAME.key` and, with both in it, `NAME.pem`; returns the first two paths.
    pub fn write(&self, directory: impl AsRef<Path>, name: &str) -> Result<(PathBuf, PathBuf)> {
        let directory = directory.as_ref();
        write(&directory.join(format!("{name}.pem")), &format!("{}{}", self.certificate_pem, self.key_pem))?;
        Ok((
            write(&directory.join(format!("{name}.crt")), &self.certificate_pem)?,
            write(&directory.join(format!("{name}.key")), &self.key_pem)?,
        ))
    }
}

/// Keys among them, so nobody else may read the file.
fn write(path: &Path, text: &str) -> Result<PathBuf> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(path.to_path_buf())
}
