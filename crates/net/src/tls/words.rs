//! Why a handshake failed, in words for whoever has to mend it.

use rustls::{AlertDescription, CertificateError, Error};
use std::io;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// What rustls found wrong with the other side, as it was told through a stream; its own words for what needs none of
/// ours.
pub(crate) fn words(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => of(error),
        None => error.to_string(),
    }
}

/// Whether the other side refuses the certificate that it was shown, or that it was shown none, by the alerts of RFC 8446
/// §6.2. Compared as text: HTTP/2 keeps no more of an error.
pub(crate) fn is_of_certificate(error: &io::Error) -> bool {
    use AlertDescription as Alert;
    const OF_CERTIFICATES: [Alert; 10] = [
        Alert::HandshakeFailure,
        Alert::BadCertificate,
        Alert::UnsupportedCertificate,
        Alert::CertificateRevoked,
        Alert::CertificateExpired,
        Alert::CertificateUnknown,
        Alert::UnknownCA,
        Alert::AccessDenied,
        Alert::DecryptError,
        Alert::CertificateRequired,
    ];
    if error.kind() != io::ErrorKind::InvalidData {
        return false;
    }
    let told = error.to_string();
    OF_CERTIFICATES.iter().any(|alert| Error::AlertReceived(*alert).to_string() == told)
}

/// What to say where the other side refuses every version of HTTP that it is offered (ALPN, RFC 7301 §3.2).
pub(crate) fn protocol(error: &io::Error) -> Option<&'static str> {
    let error = error.get_ref()?.downcast_ref::<Error>()?;
    matches!(
        error,
        Error::AlertReceived(AlertDescription::NoApplicationProtocol) | Error::NoApplicationProtocol
    )
    .then_some(
        "it takes none of the versions of HTTP that it is offered; see protocol at its http in the manifest",
    )
}

/// How a connection ended, where the system or TLS says so; their own words else.
pub(crate) fn of_network(error: &io::Error) -> String {
    match error.kind() {
        // Closed without TLS's own end, so that nobody can tell whether more was to come (RFC 8446 §6.1).
        io::ErrorKind::UnexpectedEof => "it closed the connection in the middle",
        io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionAborted => "it reset the connection",
        io::ErrorKind::BrokenPipe => "it closed the connection while it was being written to",
        io::ErrorKind::TimedOut => "it took nothing for too long",
        _ => return words(error),
    }
    .to_owned()
}

fn of(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(fault) => certificate(fault, Shown::ByTarget),
        Error::AlertReceived(AlertDescription::CertificateRequired) => {
            "it wants a client certificate, and was shown none".to_owned()
        }
        Error::AlertReceived(AlertDescription::BadCertificate | AlertDescription::UnknownCA) => {
            format!("it does not accept the client certificate it was shown: {error}")
        }
        Error::AlertReceived(AlertDescription::HandshakeFailure | AlertDescription::ProtocolVersion) => {
            format!(
                "no version or cipher of TLS is common to both (TLS 1.2 and 1.3 are spoken here): {error}"
            )
        }
        Error::InvalidMessage(_) => "it does not speak TLS there; is the port right?".to_owned(),
        error => error.to_string(),
    }
}

/// Whose certificate is judged.
#[derive(Clone, Copy)]
pub(super) enum Shown {
    ByTarget,
    ByCaller,
}

impl Shown {
    fn whose(self) -> &'static str {
        match self {
            Shown::ByTarget => "its certificate",
            Shown::ByCaller => "its client certificate",
        }
    }

    fn of_unknown_ca(self) -> &'static str {
        match self {
            Shown::ByTarget => "name that CA's certificate in `ca`",
            Shown::ByCaller => {
                "name that CA's certificate in ca at the account's certificate, or issue one with `ironbridge certificate issue`"
            }
        }
    }

    /// One that signed itself, as `openssl req -x509` makes it.
    fn of_a_ca(self) -> &'static str {
        match self {
            Shown::ByTarget => {
                "such a one may be no server's; `ironbridge explain ca` says how to make another"
            }
            Shown::ByCaller => {
                "such a one may be no caller's; `ironbridge certificate issue` makes another, and so does what `ironbridge explain ca` shows"
            }
        }
    }
}

pub(super) fn certificate(fault: &CertificateError, shown: Shown) -> String {
    let whose = shown.whose();
    match fault {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "{whose} was valid until {}, and it is {}",
            date(not_after.as_secs()),
            date(time.as_secs())
        ),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "{whose} is valid from {} on, and it is {}; is this machine's clock right?",
            date(not_before.as_secs()),
            date(time.as_secs())
        ),
        CertificateError::UnknownIssuer => {
            format!("{whose} comes from a CA that is not trusted here; {}", shown.of_unknown_ca())
        }
        // The library has no name of its own for it, only its verifier's.
        CertificateError::Other(other) if other.to_string().contains("CaUsedAsEndEntity") => {
            format!("{whose} is that of a CA, as self-signed ones often are, and {}", shown.of_a_ca())
        }
        // Says which names it is for.
        fault @ CertificateError::NotValidForNameContext { .. } => fault.to_string(),
        fault => format!("{whose} is not accepted: {fault}"),
    }
}

/// As RFC 3339 has it.
fn date(seconds: u64) -> String {
    let at =
        i64::try_from(seconds).ok().and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    at.and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{seconds} s after 1970"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::RootCertStore;
    use rustls::client::WebPkiServerVerifier;
    use rustls::client::danger::ServerCertVerifier;
    use rustls_pki_types::{ServerName, UnixTime};
    use std::sync::Arc;
    use std::time::Duration;

    /// What is said of a server whose certificate signed itself, trusted as it is, when asked for this name.
    fn told_of_self_signed(is_ca: rcgen::IsCa, name: &str) -> Option<String> {
        let mut params = rcgen::CertificateParams::new(vec!["erp.internal".to_owned()]).unwrap();
        params.is_ca = is_ca;
        let certificate = params.self_signed(&rcgen::KeyPair::generate().unwrap()).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate.der().clone()).unwrap();
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), crate::tls::provider())
            .build()
            .unwrap();
        let name = ServerName::try_from(name).unwrap().to_owned();
        let judged = verifier.verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now());
        judged.err().map(|error| of(&error))
    }

    #[test]
    fn a_self_signed_certificate_is_trusted_where_it_is_no_cas() {
        assert_eq!(told_of_self_signed(rcgen::IsCa::ExplicitNoCa, "erp.internal"), None);
        assert!(told_of_self_signed(rcgen::IsCa::ExplicitNoCa, "other").unwrap().contains("erp.internal"));
        let ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        assert!(told_of_self_signed(ca, "erp.internal").unwrap().contains("explain ca"));
    }

    #[test]
    fn what_breaks_off_is_told_in_our_words() {
        let library =
            "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest";
        let told = of_network(&io::Error::new(io::ErrorKind::UnexpectedEof, library));
        assert_eq!(told, "it closed the connection in the middle");
        assert_eq!(of_network(&io::ErrorKind::ConnectionReset.into()), "it reset the connection");
    }

    #[test]
    fn times_are_dates() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let fault =
            CertificateError::ExpiredContext { time: at(1_795_770_732), not_after: at(1_795_000_000) };
        let told = words(&io::Error::new(io::ErrorKind::InvalidData, Error::InvalidCertificate(fault)));
        assert_eq!(
            told,
            "its certificate was valid until 2026-11-18T11:06:40Z, and it is 2026-11-27T09:12:12Z"
        );
    }
}
