//! Why a target gave no answer.

use crate::connect::ConnectError;
use crate::gate::Malformed;
use crate::tls::words;
use http::HeaderName;
use std::error::Error;
use std::io;

/// Why a request got no response, or not all of it. The texts are for the operator.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// See [`ConnectError::Resolve`].
    #[error("name resolution failed: {0}")]
    Resolve(String),
    /// Every address the name resolved to is forbidden by the address policy.
    #[error("address refused: {0}")]
    AddressRefused(String),
    /// See [`ConnectError::Unreachable`].
    #[error("no connection: {0}")]
    Unreachable(String),
    /// The handshake failed before anything was sent.
    #[error("TLS: {0}")]
    Tls(String),
    /// It refused the bridge's certificate, which TLS 1.3 tells only after the handshake, when the request is on its way.
    #[error("TLS: {0}")]
    CertificateRefused(String),
    /// It speaks another version of HTTP than the one it was offered.
    #[error("protocol: {0}")]
    Protocol(String),
    /// Within the target's time to connect.
    #[error("no connection in time")]
    Timeout,
    /// None returned and none could be opened within the target's time to queue.
    #[error("all connections are taken")]
    Busy,
    /// The account that it is for holds all that it may of the target.
    #[error("the account `{account}` holds its share of the target, {most} connections")]
    ShareTaken {
        /// Whose share it is.
        account: Box<str>,
        /// Connections that it may hold.
        most: usize,
    },
    /// The bridge has no file descriptor left for another connection.
    #[error("no file descriptor is left for a connection")]
    NoDescriptor,
    /// The request's own body failed: the caller's doing, not the target's.
    #[error("request body: {0}")]
    Body(BodyFault),
    /// The answer breaks HTTP's rules, so that it could be read in more than one way. Its connection is closed.
    #[error("the target's answer is malformed: {0}")]
    Malformed(String),
    /// The connection, or the request's stream on it, ended before its answer did.
    #[error("the target broke off: {detail}")]
    BrokeOff {
        /// Whether the target may have received (part of) the request and acted on it.
        maybe_sent: bool,
        /// How, in our words where it is one of the ways that are known.
        detail: String,
    },
}

/// What was wrong with a request's body, which its caller sent.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BodyFault {
    /// Above what the operation takes of a body that is not read.
    #[error("larger than allowed")]
    TooLarge,
    /// Its caller sent nothing for as long as it may pause.
    #[error("paused for too long")]
    TooSlow,
    /// Its caller went away, or broke HTTP's rules.
    #[error("broke off: {0}")]
    Broken(String),
    /// A field follows it that HTTP lets stand in a header section only (RFC 9110 §6.5.1).
    #[error("followed by {0}, which may not be")]
    Trailer(HeaderName),
}

/// What an HTTP/2 target says it did not process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// REFUSED_STREAM: this one (RFC 9113 §8.7); the connection goes on.
    Stream,
    /// GOAWAY, and this stream is above the last one that it will process (§6.8).
    Connection,
}

impl Refused {
    pub fn of(error: &hyper::Error) -> Option<Refused> {
        let error: &h2::Error = error.source()?.downcast_ref()?;
        if error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::REFUSED_STREAM) {
            return Some(Refused::Stream);
        }
        // h2 gives this error only to streams above the last one, and to those that are not open yet.
        (error.is_go_away() && error.is_remote()).then_some(Refused::Connection)
    }
}

/// Whether the target ended this stream by itself, for another reason than that.
pub(super) fn is_reset(error: &hyper::Error) -> bool {
    let error = error.source().and_then(|cause| cause.downcast_ref::<h2::Error>());
    error.is_some_and(|error| error.is_reset() && error.is_remote())
}

impl SendError {
    /// Whether it came before a connection was there that could have carried anything of the request.
    pub fn is_unsent(&self) -> bool {
        match self {
            SendError::Resolve(_)
            | SendError::AddressRefused(_)
            | SendError::Unreachable(_)
            | SendError::Tls(_)
            | SendError::Protocol(_)
            | SendError::Timeout
            | SendError::Busy
            | SendError::ShareTaken { .. }
            | SendError::NoDescriptor => true,
            SendError::CertificateRefused(_)
            | SendError::Body(_)
            | SendError::Malformed(_)
            | SendError::BrokeOff { .. } => false,
        }
    }

    /// What hyper says of an answer that had begun.
    pub(super) fn of_answer(error: &hyper::Error) -> SendError {
        SendError::of(error, true).on_used()
    }

    /// The same on a connection that has answered: its handshake is long over, and no alert speaks of that.
    pub(super) fn on_used(self) -> SendError {
        match self {
            SendError::CertificateRefused(detail) => SendError::BrokeOff { maybe_sent: true, detail },
            error => error,
        }
    }

    /// What hyper says after the request began to cross.
    pub(super) fn of(error: &hyper::Error, maybe_sent: bool) -> SendError {
        let mut cause: Option<&(dyn Error + 'static)> = error.source();
        let mut detail = error.to_string();
        while let Some(inner) = cause {
            if let Some(fault) = inner.downcast_ref::<BodyFault>() {
                return SendError::Body(fault.clone());
            }
            if let Some(fault) = inner.downcast_ref::<io::Error>().and_then(Malformed::within) {
                return fault.into();
            }
            if inner.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_library) {
                return SendError::Malformed(format!("{detail}: {inner}"));
            }
            // TLS 1.3 tells of a refused client certificate only after the handshake, before any request is read. How
            // else a session breaks says nothing of the request.
            if let Some(refused) = inner.downcast_ref::<io::Error>().filter(|io| words::is_of_certificate(io))
            {
                return SendError::CertificateRefused(words::words(refused));
            }
            detail = format!("{detail}: {inner}");
            cause = inner.source();
        }
        if error.is_parse() {
            SendError::Malformed(detail)
        } else {
            SendError::BrokeOff { maybe_sent, detail: broke_off(error).unwrap_or(detail) }
        }
    }
}

/// In our words where it is one of the ways in which connections end.
fn broke_off(error: &hyper::Error) -> Option<String> {
    let mut cause: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(inner) = cause {
        cause = inner.source();
        if let Some(h2) = inner.downcast_ref::<h2::Error>().filter(|h2| h2.is_remote()) {
            let reason = h2.reason()?;
            let what = if h2.is_go_away() { "it ended the connection" } else { "it reset the stream" };
            return Some(match reason {
                h2::Reason::NO_ERROR => format!("{what} (RFC 9113 §7, NO_ERROR)"),
                reason => format!("{what} (RFC 9113 §7, {reason:?}: {reason})"),
            });
        }
        let of_h2 = inner.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
        if let Some(io) = of_h2.or_else(|| inner.downcast_ref()) {
            return Some(words::of_network(io));
        }
    }
    error
        .is_incomplete_message()
        .then(|| "it closed the connection before its answer was complete".to_owned())
}

impl From<Malformed> for SendError {
    fn from(fault: Malformed) -> SendError {
        SendError::Malformed(fault.to_string())
    }
}

impl From<ConnectError> for SendError {
    fn from(error: ConnectError) -> SendError {
        match error {
            ConnectError::Resolve(detail) => SendError::Resolve(detail),
            ConnectError::AddressRefused(detail) => SendError::AddressRefused(detail),
            ConnectError::Unreachable(detail) => SendError::Unreachable(detail),
            ConnectError::Tls(detail) => SendError::Tls(detail),
            ConnectError::Protocol(detail) => SendError::Protocol(detail),
            ConnectError::Timeout => SendError::Timeout,
            ConnectError::NoDescriptor => SendError::NoDescriptor,
        }
    }
}
