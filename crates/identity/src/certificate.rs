//! Which account a client certificate belongs to. The TLS handshake has already proved that the caller holds the
//! key and that the chain leads to a CA the listener trusts; here it is matched to an account.

use crate::accounts::{CertificateHolder, Directory, certificate_name};
use crate::remembered::{Entry, Remembered};
use ironbridge_core::{
    CertificateFacts, Credential, CredentialKind, Denial, PeerCertificate, Principal, Timestamp, code,
};
use ironbridge_seal::hash;
use rustls_pki_types::{CertificateDer, UnixTime};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::prelude::{FromDer, GeneralName, ParsedExtension, X509Certificate};

/// What the leaf says of itself; read once per connection. `None` when it cannot be read.
pub fn facts(certificate: &PeerCertificate) -> Option<&CertificateFacts> {
    certificate.facts.get_or_init(|| read(certificate.chain.first()?)).as_ref()
}

/// Matches client certificates to accounts, and remembers what it found by thumbprint.
pub struct CertificateVerifier {
    remembered: Remembered,
}

impl CertificateVerifier {
    /// `capacity`: how many certificates to remember.
    pub fn new(capacity: usize) -> CertificateVerifier {
        CertificateVerifier { remembered: Remembered::new(capacity) }
    }

    /// Who presents this certificate.
    ///
    /// # Errors
    /// Why it makes nobody known: it is nobody's, not valid now, or vouched for by another CA.
    pub fn verify(
        &self,
        certificate: &PeerCertificate,
        directory: &Directory,
        now: Timestamp,
    ) -> Result<Principal, Box<Denial>> {
        let Some(facts) = facts(certificate) else {
            return refuse(Denial::new(&code::CERTIFICATE_INVALID).internal("the leaf cannot be read"));
        };
        let thumbprint = facts.thumbprint.as_bytes();
        if let Some(principal) = self.remembered.recall(thumbprint, now, directory.generation(), |_| true) {
            return Ok(principal);
        }
        let principal = identify(certificate, facts, directory, now)?;
        self.remembered.remember(
            thumbprint,
            Entry {
                principal: principal.clone(),
                not_before: facts.not_before,
                not_after: facts.not_after,
                directory: directory.generation(),
                issuer: 0,
                keys: 0,
                secret: None,
            },
        );
        Ok(principal)
    }
}

fn identify(
    certificate: &PeerCertificate,
    facts: &CertificateFacts,
    directory: &Directory,
    now: Timestamp,
) -> Result<Principal, Box<Denial>> {
    let invalid = |why| refuse(Denial::new(&code::CERTIFICATE_INVALID).internal(why));
    if now < facts.not_before {
        return invalid("not yet valid");
    }
    if facts.not_after <= now {
        return invalid("expired");
    }
    if !facts.client_auth {
        return invalid("its extended key usage leaves client authentication out");
    }
    let named = facts.names.iter().flat_map(|name| directory.certificate_name(name));
    let mut holders = named
        .chain(directory.thumbprint(&facts.thumbprint))
        .filter(|holder| issued_under(holder, certificate, now))
        .map(|holder| &holder.account);
    let unmatched = |why: String| refuse(Denial::new(&code::CERTIFICATE_UNMATCHED).internal(why));
    let Some(account) = holders.next() else {
        return unmatched(format!("no account declares {} or {}", facts.names.join(", "), facts.thumbprint));
    };
    if let Some(other) = holders.find(|other| other.name != account.name) {
        return unmatched(format!(
            "{} belongs to both `{}` and `{}`",
            facts.thumbprint, account.name, other.name
        ));
    }
    let credential = Credential {
        kind: CredentialKind::Certificate,
        id: Arc::clone(&facts.thumbprint),
        expires: Some(facts.not_after),
    };
    Ok(Principal::verified(Arc::clone(account), Arc::new(credential), None))
}

/// Whether the account accepts any trusted CA, or the chain leads to one that it names. A listener trusts the
/// CAs of all its accounts together, so this is what keeps one partner's CA from naming another's systems.
fn issued_under(holder: &CertificateHolder, certificate: &PeerCertificate, now: Timestamp) -> bool {
    let Some(cas) = &holder.cas else { return true };
    let mut chain = certificate.chain.iter().map(|der| CertificateDer::from(der.as_slice()));
    let Some(leaf) = chain.next() else { return false };
    let intermediates: Vec<_> = chain.collect();
    let Ok(leaf) = EndEntityCert::try_from(&leaf) else { return false };
    let anchors: Vec<_> = cas.iter().filter_map(|ca| anchor_from_trusted_cert(ca).ok()).collect();
    let now = UnixTime::since_unix_epoch(Duration::from_micros(now.micros()));
    let algorithms = webpki::ALL_VERIFICATION_ALGS;
    leaf.verify_for_usage(algorithms, &anchors, &intermediates, now, KeyUsage::client_auth(), None, None)
        .is_ok()
}

fn refuse<T>(denial: Denial) -> Result<T, Box<Denial>> {
    Err(Box::new(denial))
}

fn read(der: &[u8]) -> Option<CertificateFacts> {
    let (rest, certificate) = X509Certificate::from_der(der).ok()?;
    if !rest.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut client_auth = true;
    for extension in certificate.extensions() {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(san) => {
                names.extend(san.general_names.iter().filter_map(name));
            }
            ParsedExtension::ExtendedKeyUsage(usage) => client_auth = usage.client_auth || usage.any,
            _ => {}
        }
    }
    let validity = certificate.validity();
    Some(CertificateFacts {
        thumbprint: hash::hex(&hash::sha256(der)).into(),
        names,
        not_before: timestamp(validity.not_before.timestamp()),
        not_after: timestamp(validity.not_after.timestamp()),
        client_auth,
    })
}

/// The name as [`certificate_name`] writes it. Names with control characters are left out: no account can
/// mean them.
fn name(name: &GeneralName<'_>) -> Option<Box<str>> {
    let text = match name {
        GeneralName::DNSName(name) => format!("dns:{name}"),
        GeneralName::URI(uri) => format!("uri:{uri}"),
        GeneralName::RFC822Name(address) => format!("email:{address}"),
        GeneralName::IPAddress(octets) => format!("ip:{}", address(octets)?),
        _ => return None,
    };
    (!text.chars().any(char::is_control)).then(|| certificate_name(&text))
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(octets)
        .map(IpAddr::from)
        .or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Certificates may name times before 1970; none of ours needs them told apart.
pub(crate) fn timestamp(seconds: i64) -> Timestamp {
    Timestamp::from_seconds(u64::try_from(seconds).unwrap_or_default())
}
