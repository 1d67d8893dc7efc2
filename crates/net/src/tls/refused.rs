//! Why a caller's handshake came to nothing, in words for whoever looks after the listener. The caller itself gets no more
//! than TLS's alert, which names next to nothing.

use super::words::{self, Shown};
use rustls::{AlertDescription, Error, InvalidMessage, PeerIncompatible, PeerMisbehaved};
use std::borrow::Cow;
use std::io;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

/// Why a handshake came to nothing.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// It went away, and had asked for nothing yet or gave no reason.
    #[error("gone before the handshake was over")]
    Gone,
    /// It did something that TLS, or this listener, does not take.
    #[error("{kind}: {why}")]
    Refused {
        /// One of a few: what callers do wrong, many do many times.
        kind: &'static str,
        /// In words.
        why: Cow<'static, str>,
    },
}

impl HandshakeError {
    fn of(kind: &'static str, why: impl Into<Cow<'static, str>>) -> HandshakeError {
        HandshakeError::Refused { kind, why: why.into() }
    }

    pub(super) fn too_slow(patience: Duration) -> HandshakeError {
        let why = format!("no handshake within {} ms (bridge.timeouts.header)", patience.as_millis());
        HandshakeError::of("too-slow", why)
    }
}

/// Looks at the first bytes without taking them. What is no TLS is told what it met, where it speaks HTTP.
pub(super) async fn look(stream: &mut TcpStream) -> Result<(), HandshakeError> {
    /// As long as the longest method of HTTP's own with its blank, and longer than what PROXY begins with.
    const LOOKED_AT: usize = 16;
    const HANDSHAKE: u8 = 22;
    let mut first = [0; LOOKED_AT];
    let seen = stream.peek(&mut first).await.map_err(|_| HandshakeError::Gone)?;
    let first = first.get(..seen).unwrap_or_default();
    match first.first() {
        Some(&HANDSHAKE) => return Ok(()),
        None => return Err(HandshakeError::Gone),
        Some(_) => {}
    }
    if first.starts_with(b"PROXY ") || first.starts_with(b"\r\n\r\n\0\r\nQUIT\n") {
        return Err(HandshakeError::of(
            "proxy-protocol",
            "what stands in front speaks the PROXY protocol, which is not spoken here: have it write X-Forwarded-For instead (trusted_proxies)",
        ));
    }
    let method = first.iter().take_while(|byte| byte.is_ascii_uppercase()).count();
    if method > 0 && first.get(method) == Some(&b' ') {
        answer_in_clear(stream).await;
        return Err(HandshakeError::of(
            "plain-http",
            "it speaks HTTP without TLS: its URL has to begin with https. A credential that it sent was readable on the way: replace it",
        ));
    }
    Err(HandshakeError::of("no-tls", "what it sends is not TLS"))
}

/// As others do, because whoever wrote `http:` sees nothing of an alert. Nothing is read of the request but to be rid of
/// it: closed with bytes unread, the answer would be lost.
async fn answer_in_clear(stream: &mut TcpStream) {
    const ANSWER: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: 45\r\n\
        Connection: close\r\n\r\nThis port speaks TLS: https instead of http.\n";
    const MOST_READS: usize = 4;
    let mut rest = [0; 4096];
    for _ in 0..MOST_READS {
        if !matches!(stream.try_read(&mut rest), Ok(1..)) {
            break;
        }
    }
    // Whoever does not take it has gone.
    if stream.write_all(ANSWER).await.is_ok() {
        drop(stream.shutdown().await);
    }
}

pub(super) fn because(error: &io::Error) -> HandshakeError {
    let Some(error) = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) else {
        return HandshakeError::Gone;
    };
    match error {
        Error::InvalidCertificate(fault) => {
            HandshakeError::of("client-certificate", words::certificate(fault, Shown::ByCaller))
        }
        Error::NoCertificatesPresented => HandshakeError::of(
            "client-certificate-missing",
            "it showed no client certificate, and this listener requires one (client_certificates)",
        ),
        Error::PeerIncompatible(how) => incompatible(how),
        Error::NoApplicationProtocol => HandshakeError::of(
            "protocol",
            "it offers no protocol (ALPN) that is spoken here: h2, http/1.1 and http/1.0 are",
        ),
        Error::AlertReceived(alert) => given_up(*alert),
        Error::PeerMisbehaved(PeerMisbehaved::ServerNameMustContainOneHostName)
        | Error::InvalidMessage(InvalidMessage::InvalidServerName) => HandshakeError::of(
            "server-name",
            "the server name that it asks for (SNI) is no DNS name; some clients put host:port there (hey does, unless given -host)",
        ),
        Error::InvalidMessage(_) => HandshakeError::of("no-tls", "what it sends is not TLS"),
        error => HandshakeError::of("handshake", format!("it broke the rules of TLS: {error}")),
    }
}

fn incompatible(how: &PeerIncompatible) -> HandshakeError {
    let (what, spoken) = match how {
        PeerIncompatible::NoCipherSuitesInCommon
        | PeerIncompatible::NoKxGroupsInCommon
        | PeerIncompatible::NamedGroupsExtensionRequired => (
            "cipher suite and group for the key exchange",
            " (ECDHE on X25519MLKEM768, X25519, P-256 or P-384, with AES-GCM or ChaCha20, is spoken here)",
        ),
        PeerIncompatible::NoSignatureSchemesInCommon
        | PeerIncompatible::NoCertificateRequestSignatureSchemesInCommon => ("signature scheme", ""),
        _ => ("version of TLS", " (1.2 and 1.3 are spoken here, with what RFC 9325 asks of them)"),
    };
    HandshakeError::of("incompatible", format!("no {what} is common to both{spoken}"))
}

/// The caller's own word.
fn given_up(alert: AlertDescription) -> HandshakeError {
    use AlertDescription as Alert;
    match alert {
        Alert::CloseNotify | Alert::UserCanceled => HandshakeError::Gone,
        Alert::UnknownCA | Alert::BadCertificate | Alert::CertificateUnknown => HandshakeError::of(
            "distrusted",
            "it does not trust this listener's certificate: it needs that of its CA (data/ca.pem, unless the listener \
             declares a certificate), and to call one of the certificate's names",
        ),
        Alert::CertificateExpired => HandshakeError::of(
            "distrusted",
            "it takes this listener's certificate for expired; are both clocks right?",
        ),
        Alert::ProtocolVersion | Alert::HandshakeFailure | Alert::InsufficientSecurity => HandshakeError::of(
            "incompatible",
            "it finds no version or cipher of TLS common to both (1.2 and 1.3 are spoken here)",
        ),
        other => HandshakeError::of("given-up", format!("it gave the handshake up: {other:?}")),
    }
}
