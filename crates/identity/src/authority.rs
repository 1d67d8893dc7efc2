//! The internal certificate authority: gives listeners and accounts their certificates, so that nobody needs to
//! run openssl to try mutual TLS.
//!
//! One self-signed root (P-256, ten years, no further CA below it) whose key lies sealed in the store. Leaves
//! live at most as long as the root. Serial numbers are 128 random bits (RFC 5280 §4.1.2.2 allows 20 octets).

use crate::certificate::timestamp;
use crate::sealed::{KeptKeyError, SealedKey};
use ironbridge_core::{Clock, Timestamp};
use ironbridge_seal::envelope::Keys;
use ironbridge_seal::{hash, random};
use ironbridge_store::SealedItems;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SanType, SerialNumber,
};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject;
use std::sync::Arc;
use std::time::Duration;
use time::OffsetDateTime;
use x509_parser::prelude::{FromDer, X509Certificate};
use zeroize::Zeroizing;

const DAY: Duration = Duration::from_secs(24 * 3600);
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 3600);
/// How long the certificates of listeners live unless the manifest says otherwise.
pub const SERVER_LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
/// Leaves start so long before they are made, for peers whose clocks are behind.
const BACKDATED: Duration = Duration::from_secs(5 * 60);

/// The internal CA of one bridge.
pub struct CertificateAuthority {
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
    root_pem: String,
    validity: Validity,
    clock: Arc<dyn Clock>,
}

/// A certificate with its key, in PEM.
pub struct IssuedCertificate {
    /// The leaf alone: the root is the receiver's trust anchor and is not sent.
    pub chain_pem: String,
    /// PKCS #8.
    pub key_pem: Zeroizing<String>,
    /// When it counts.
    pub validity: Validity,
    /// Lower-case hex SHA-256 of the leaf's DER.
    pub thumbprint: String,
}

/// From when until when a certificate counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Validity {
    /// Not before this moment.
    pub not_before: Timestamp,
    /// Not after this moment.
    pub not_after: Timestamp,
}

impl Validity {
    /// Of the first certificate in the PEM text.
    pub fn of_pem(pem: &str) -> Option<Validity> {
        Validity::of_der(&CertificateDer::from_pem_slice(pem.as_bytes()).ok()?)
    }

    /// What the certificate says; `None` where it cannot be read.
    pub fn of_der(der: &[u8]) -> Option<Validity> {
        let (_, certificate) = X509Certificate::from_der(der).ok()?;
        let validity = certificate.validity();
        Some(Validity {
            not_before: timestamp(validity.not_before.timestamp()),
            not_after: timestamp(validity.not_after.timestamp()),
        })
    }

    /// When two thirds of its life are over: from then on it should be renewed. Ours; it leaves a 90-day
    /// certificate thirty days of failed attempts.
    pub fn renew_from(self) -> Timestamp {
        self.not_before.plus(self.not_after.since(self.not_before) / 3 * 2)
    }

    /// One that begins later was made while the clock was ahead; callers refuse it.
    pub fn due(self, now: Timestamp) -> bool {
        now < self.not_before || self.renew_from() <= now
    }
}

/// A certificate that cannot be issued as asked.
#[derive(Debug, thiserror::Error)]
pub enum IssueError {
    /// This cannot be a name in a certificate.
    #[error("`{name}` cannot stand in a certificate: {reason}")]
    Name {
        /// What was to be its name.
        name: String,
        /// What the library says.
        reason: String,
    },
    /// A server needs a name at least.
    #[error("a certificate needs at least one name")]
    NoName,
    /// The CA itself ends before the certificate would.
    #[error("the internal CA ends at the same time or before; replace it first")]
    RootEnds,
    /// The library says no.
    #[error("the certificate could not be made: {0}")]
    Making(String),
}

impl CertificateAuthority {
    /// The CA kept in the store, or a new one that is then kept there.
    pub async fn load_or_create(
        items: Arc<dyn SealedItems>,
        keys: Arc<Keys>,
        bridge: &str,
        clock: Arc<dyn Clock>,
    ) -> Result<CertificateAuthority, KeptKeyError> {
        let kept = SealedKey::new(items, keys, "ca", "root");
        if let Some(pem) = kept.read().await? {
            return CertificateAuthority::open(&pem, clock).map_err(|reason| kept.unreadable(reason));
        }
        let pem = new_root(bridge, clock.now()).map_err(KeptKeyError::Making)?;
        let pem = kept.write_first(pem.as_bytes(), clock.now()).await?;
        CertificateAuthority::open(&pem, clock).map_err(|reason| kept.unreadable(reason))
    }

    /// `pem` holds the certificate and its key.
    fn open(pem: &[u8], clock: Arc<dyn Clock>) -> Result<CertificateAuthority, String> {
        let text = std::str::from_utf8(pem).map_err(|error| error.to_string())?;
        let root_pem = text.split("-----BEGIN PRIVATE").next().unwrap_or_default().to_owned();
        let root = CertificateDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let key = PrivatePkcs8KeyDer::from_pem_slice(pem).map_err(|error| error.to_string())?;
        let key = KeyPair::try_from(&*Zeroizing::new(key)).map_err(|error| error.to_string())?;
        let validity = Validity::of_der(&root).ok_or("its validity cannot be read")?;
        let issuer = Issuer::from_ca_cert_der(&root, key).map_err(|error| error.to_string())?;
        Ok(CertificateAuthority { issuer, root, root_pem, validity, clock })
    }

    /// What others must trust to accept this bridge's certificates.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The same, in DER.
    pub fn root_der(&self) -> &[u8] {
        &self.root
    }

    /// When the CA itself counts.
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// A server certificate for DNS names and IP addresses.
    pub fn issue_server(&self, names: &[&str], lifetime: Duration) -> Result<IssuedCertificate, IssueError> {
        let names = names.iter().map(|name| server_name(name)).collect::<Result<_, _>>()?;
        self.issue(names, ExtendedKeyUsagePurpose::ServerAuth, lifetime)
    }

    /// A client certificate for an account. `name` is a subject alternative name as the manifest writes it: a
    /// URI such as `spiffe://acme.example/erp`, a DNS name or an email address.
    pub fn issue_client(&self, name: &str, lifetime: Duration) -> Result<IssuedCertificate, IssueError> {
        self.issue(vec![client_name(name)?], ExtendedKeyUsagePurpose::ClientAuth, lifetime)
    }

    fn issue(
        &self,
        names: Vec<SanType>,
        usage: ExtendedKeyUsagePurpose,
        lifetime: Duration,
    ) -> Result<IssuedCertificate, IssueError> {
        let making = |error: rcgen::Error| IssueError::Making(error.to_string());
        if names.is_empty() {
            return Err(IssueError::NoName);
        }
        let now = self.clock.now();
        // Whole seconds, as the certificate itself will say.
        let validity = Validity {
            not_before: Timestamp::from_seconds(before(now, BACKDATED).seconds()),
            not_after: Timestamp::from_seconds(now.plus(lifetime).min(self.validity.not_after).seconds()),
        };
        if validity.not_after <= now {
            return Err(IssueError::RootEnds);
        }
        let mut params = params(validity).map_err(IssueError::Making)?;
        params.subject_alt_names = names;
        // Nobody may match it (RFC 9525 §2); but an empty subject would have to make the alternative names
        // critical (RFC 5280 §4.2.1.6), which old peers refuse.
        params.distinguished_name.push(DnType::CommonName, "issued by ironbridge");
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = Zeroizing::new(KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(making)?);
        let certificate = params.signed_by(&*key, &self.issuer).map_err(making)?;
        Ok(IssuedCertificate {
            chain_pem: certificate.pem(),
            key_pem: Zeroizing::new(key.serialize_pem()),
            validity,
            thumbprint: hash::hex(&hash::sha256(certificate.der())),
        })
    }
}

fn new_root(bridge: &str, now: Timestamp) -> Result<Zeroizing<String>, String> {
    let validity = Validity { not_before: before(now, DAY), not_after: now.plus(ROOT_LIFETIME) };
    let mut params = params(validity)?;
    params.distinguished_name.push(DnType::OrganizationName, bridge);
    params.distinguished_name.push(DnType::CommonName, format!("{bridge} internal CA"));
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|error| error.to_string())?;
    let key = Zeroizing::new(key);
    let root = params.self_signed(&*key).map_err(|error| error.to_string())?;
    let key = Zeroizing::new(key.serialize_pem());
    Ok(Zeroizing::new(format!("{}{}", root.pem(), *key)))
}

fn params(validity: Validity) -> Result<CertificateParams, String> {
    let time = |at: Timestamp| {
        let seconds = i64::try_from(at.seconds()).map_err(|error| error.to_string())?;
        OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| error.to_string())
    };
    let mut params = CertificateParams::default();
    params.not_before = time(validity.not_before)?;
    params.not_after = time(validity.not_after)?;
    params.serial_number = Some(serial());
    params.distinguished_name = DistinguishedName::new();
    Ok(params)
}

/// 128 random bits. The first is cleared so that the DER integer stays positive without another octet, the
/// second set so that it never begins with a zero octet.
fn serial() -> SerialNumber {
    let bits = u128::from_be_bytes(random::bytes::<16>()) & (u128::MAX >> 1) | 1 << 126;
    SerialNumber::from_slice(&bits.to_be_bytes())
}

fn before(at: Timestamp, by: Duration) -> Timestamp {
    Timestamp(at.micros().saturating_sub(u64::try_from(by.as_micros()).unwrap_or(u64::MAX)))
}

fn server_name(name: &str) -> Result<SanType, IssueError> {
    match name.parse() {
        Ok(address) => Ok(SanType::IpAddress(address)),
        Err(_) => dns_name(name),
    }
}

fn client_name(name: &str) -> Result<SanType, IssueError> {
    let canonical = crate::accounts::certificate_name(name);
    let ia5 = |value: &str| value.to_owned().try_into().map_err(|error| unfit(name, error));
    match canonical.split_once(':') {
        Some(("uri", value)) => Ok(SanType::URI(ia5(value)?)),
        Some(("email", value)) => Ok(SanType::Rfc822Name(ia5(value)?)),
        Some(("ip", value)) => value.parse().map(SanType::IpAddress).map_err(|error| unfit(name, error)),
        Some((_, value)) => dns_name(value),
        None => Err(unfit(name, "no kind")),
    }
}

/// Letters, digits and hyphens, with a wildcard allowed as the whole first label only (RFC 9525 §6.3).
fn dns_name(name: &str) -> Result<SanType, IssueError> {
    let labels = name.strip_prefix("*.").unwrap_or(name);
    let fits = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !labels.split('.').all(fits) {
        return Err(unfit(name, "not a DNS name"));
    }
    name.to_owned().try_into().map(SanType::DnsName).map_err(|error| unfit(name, error))
}

fn unfit(name: &str, reason: impl ToString) -> IssueError {
    IssueError::Name { name: name.to_owned(), reason: reason.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewal_is_due_at_two_thirds_and_before_it_is_valid() {
        let at = Timestamp::from_seconds;
        let validity = Validity { not_before: at(1000), not_after: at(1900) };
        for (now, due) in [(0, true), (999, true), (1000, false), (1599, false), (1600, true), (5000, true)] {
            assert_eq!(validity.due(at(now)), due, "{now}");
        }
    }

    #[test]
    fn names_that_no_certificate_may_hold_are_refused() {
        for name in
            ["", "a..b", "-a.example", "a-.example", "*.*.example", "a*.example", "a b", "ex\u{e4}mple"]
        {
            assert!(dns_name(name).is_err(), "{name:?}");
        }
        for name in ["*.acme.example", "localhost", "a-b.acme.example"] {
            assert!(dns_name(name).is_ok(), "{name:?}");
        }
    }
}
