//! What is in a PEM file, before anything is built on it: people name the wrong file more often than a damaged one.

use crate::certificate::timestamp;
use ironbridge_core::Timestamp;
use rustls_pki_types::pem::{PemObject, SectionKind};
use rustls_pki_types::{CertificateDer, ServerName};
use webpki::EndEntityCert;
use x509_parser::prelude::{FromDer, ParsedExtension, X509Certificate};

/// The certificates of a PEM file, in their order, and how many private keys stand beside them.
#[derive(Debug)]
pub struct CertificateFile {
    /// In the order of the file.
    pub certificates: Vec<FiledCertificate>,
    /// How many private keys stand beside them.
    pub private_keys: usize,
}

/// What a certificate says of itself.
#[derive(Debug, Clone)]
pub struct FiledCertificate {
    der: CertificateDer<'static>,
    /// Its subject, as people write it: `CN=erp.internal`; its serial number where it has none.
    pub subject: String,
    /// Not valid before.
    pub not_before: Timestamp,
    /// Not valid after.
    pub not_after: Timestamp,
    /// Whether it may issue others, or vouches for itself only.
    pub vouches: bool,
    /// Whether its extended key usage, if it has one, lets it be a server's.
    pub server: bool,
    /// The same for a client's.
    pub client: bool,
}

/// Why nothing can be done with a file. What is in it is never repeated: it may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CertificateFileError {
    /// It holds nothing.
    #[error("is empty")]
    Empty,
    /// It is DER, where PEM is meant.
    #[error("is in DER form; convert it: openssl x509 -inform der -in FILE -out FILE.pem")]
    Der,
    /// It is no text at all.
    #[error("is a PKCS #12 or other binary file, and a PEM file is expected")]
    Binary,
    /// Its key has a passphrase.
    #[error("holds a private key that is encrypted with a passphrase, and nobody could be asked for it")]
    Encrypted,
    /// It begins as a text of Windows.
    #[error("begins with a byte order mark, which PEM has none of; save it as UTF-8 without one")]
    ByteOrderMark,
    /// It is in OpenSSL's form of its own for trust.
    #[error(
        "holds a certificate in a form of OpenSSL's own (TRUSTED CERTIFICATE); convert it: openssl x509 -in FILE -out FILE.pem"
    )]
    Trusted,
    /// It holds a private key alone.
    #[error("holds a private key and no certificate")]
    KeyOnly,
    /// It holds a request for a certificate.
    #[error("holds a request for a certificate, not the certificate that came of it")]
    Request,
    /// It holds a public key alone.
    #[error("holds a public key and no certificate")]
    PublicKey,
    /// It holds a list of revoked certificates.
    #[error("holds a list of revoked certificates and no certificate")]
    Revocations,
    /// It holds no certificate.
    #[error("holds no certificate in PEM form (`-----BEGIN CERTIFICATE-----`)")]
    NoCertificate,
    /// What it holds in PEM is broken.
    #[error("is damaged: a part of it between BEGIN and END cannot be read")]
    Damaged,
    /// The certificate of this number, from 1, is broken.
    #[error("holds a certificate that cannot be read: number {0}")]
    Certificate(usize),
}

impl CertificateFile {
    /// Reads the file's bytes; there is at least one certificate.
    pub fn read(bytes: &[u8]) -> Result<CertificateFile, CertificateFileError> {
        use CertificateFileError as Error;
        let Contents { certificates, private_keys, other } = Contents::of(bytes)?;
        if certificates.is_empty() {
            return Err(if private_keys > 0 {
                Error::KeyOnly
            } else {
                other.unwrap_or(Error::NoCertificate)
            });
        }
        let read = certificates.into_iter().enumerate();
        let read = read.map(|(at, der)| FiledCertificate::read(der).ok_or(Error::Certificate(at + 1)));
        Ok(CertificateFile { certificates: read.collect::<Result<_, _>>()?, private_keys })
    }
}

/// A file that must hold a private key: what is wrong with it, as far as that shows without reading the key.
pub fn private_key(bytes: &[u8]) -> Result<(), PrivateKeyError> {
    match Contents::of(bytes) {
        Ok(contents) if contents.private_keys > 0 => Ok(()),
        Ok(contents) if !contents.certificates.is_empty() => Err(PrivateKeyError::Certificate),
        Ok(_) => Err(PrivateKeyError::NoKey),
        Err(CertificateFileError::Der) => Err(PrivateKeyError::Der),
        Err(error) => Err(PrivateKeyError::Other(error)),
    }
}

/// What is wrong with the file of a private key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PrivateKeyError {
    /// It holds a certificate.
    #[error("holds a certificate and no private key")]
    Certificate,
    /// It holds none.
    #[error("holds no private key in PEM form (`-----BEGIN PRIVATE KEY-----`)")]
    NoKey,
    /// It is DER, where PEM is meant.
    #[error("is in DER form; convert it: openssl pkey -inform der -in FILE -out FILE.pem")]
    Der,
    /// The same that may be wrong with a file of certificates.
    #[error(transparent)]
    Other(CertificateFileError),
}

struct Contents {
    certificates: Vec<CertificateDer<'static>>,
    private_keys: usize,
    other: Option<CertificateFileError>,
}

impl Contents {
    fn of(bytes: &[u8]) -> Result<Contents, CertificateFileError> {
        use CertificateFileError as Error;
        let mut contents = Contents { certificates: Vec::new(), private_keys: 0, other: None };
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Err(Error::Empty);
        }
        // A DER certificate is a SEQUENCE with a long length; PKCS #12 begins alike, then says its version 3.
        if let [0x30, 0x82, _, _, rest @ ..] = bytes {
            return Err(if rest.starts_with(&[2, 1, 3]) { Error::Binary } else { Error::Der });
        }
        if bytes.starts_with(b"\xef\xbb\xbf") {
            return Err(Error::ByteOrderMark);
        }
        let says = |text: &[u8]| bytes.windows(text.len()).any(|part| part == text);
        // Its lines before the key are none of PEM's (RFC 1421), so it could not be read any further.
        if says(b"-----BEGIN ENCRYPTED PRIVATE KEY-----") || says(b"Proc-Type: 4,ENCRYPTED") {
            return Err(Error::Encrypted);
        }
        if says(b"-----BEGIN TRUSTED CERTIFICATE-----") {
            return Err(Error::Trusted);
        }
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            match section.map_err(|_| Error::Damaged)? {
                (SectionKind::Certificate, der) => contents.certificates.push(der.into()),
                (SectionKind::PrivateKey | SectionKind::EcPrivateKey | SectionKind::RsaPrivateKey, _) => {
                    contents.private_keys += 1;
                }
                (SectionKind::Csr, _) => contents.other = Some(Error::Request),
                (SectionKind::PublicKey, _) => contents.other = Some(Error::PublicKey),
                (SectionKind::Crl, _) => contents.other = Some(Error::Revocations),
                _ => {}
            }
        }
        // Labels of other tools that mean the same (RFC 7468 §5.1) are not read by the TLS library either.
        if contents.certificates.is_empty() && bytes.contains(&0) {
            return Err(Error::Binary);
        }
        Ok(contents)
    }
}

impl FiledCertificate {
    fn read(der: CertificateDer<'static>) -> Option<FiledCertificate> {
        let (rest, parsed) = X509Certificate::from_der(&der).ok()?;
        if !rest.is_empty() {
            return None;
        }
        let (mut issues, mut server, mut client) = (false, true, true);
        for extension in parsed.extensions() {
            match extension.parsed_extension() {
                ParsedExtension::BasicConstraints(constraints) => issues = constraints.ca,
                ParsedExtension::ExtendedKeyUsage(usage) => {
                    server = usage.server_auth || usage.any;
                    client = usage.client_auth || usage.any;
                }
                _ => {}
            }
        }
        let subject = match parsed.subject().to_string() {
            subject if subject.is_empty() => format!("serial {}", parsed.raw_serial_as_string()),
            subject => subject.chars().map(|c| if c.is_control() { ' ' } else { c }).collect(),
        };
        let validity = parsed.validity();
        let (not_before, not_after) =
            (timestamp(validity.not_before.timestamp()), timestamp(validity.not_after.timestamp()));
        let vouches = issues || parsed.subject().as_raw() == parsed.issuer().as_raw();
        Some(FiledCertificate { subject, not_before, not_after, vouches, server, client, der })
    }

    /// Whether a caller who asked for this host name or address would accept it for that.
    pub fn is_for(&self, host: &str) -> bool {
        let Ok(name) = ServerName::try_from(host) else { return false };
        EndEntityCert::try_from(&self.der)
            .is_ok_and(|certificate| certificate.verify_is_valid_for_subject_name(&name).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_need_one_more_step_say_which() {
        use CertificateFileError as Error;
        let traditional = "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0A\n\nAAAA\n\
                           -----END EC PRIVATE KEY-----\n";
        assert_eq!(private_key(traditional.as_bytes()), Err(PrivateKeyError::Other(Error::Encrypted)));
        let trusted = "-----BEGIN TRUSTED CERTIFICATE-----\nAAAA\n-----END TRUSTED CERTIFICATE-----\n";
        let marked = "\u{feff}-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (text, error) in
            [(trusted, Error::Trusted), (marked, Error::ByteOrderMark), (traditional, Error::Encrypted)]
        {
            assert_eq!(CertificateFile::read(text.as_bytes()).err(), Some(error), "{text}");
        }
    }
}
