//! What an exchange is refused with where its target, or the way there, fails.

use crate::request;
use ironbridge_core::{Code, Denial, code};
use ironbridge_net::upstream::{BodyFault, SendError};
use std::time::Duration;

/// Why the body of a reply goes no further.
#[derive(Debug, thiserror::Error)]
pub enum ReplyError {
    #[error(transparent)]
    Target(#[from] SendError),
    #[error("the target paused for too long")]
    Paused,
    #[error("the caller took nothing for too long")]
    Untaken,
    #[error("the target's answer is larger than allowed")]
    TooLarge,
    #[error("the target's answer holds the bridge's credential")]
    HoldsCredential,
    #[error("what was open was ended: its caller would not be let in any more")]
    LetOut(&'static Code),
    /// Of a reply that came over another transport.
    #[error(transparent)]
    Foreign(Box<Denial>),
}

impl ReplyError {
    pub(crate) fn denial(&self) -> Box<Denial> {
        let code = match self {
            ReplyError::Target(error) => return refusal(error),
            ReplyError::Paused => &code::STREAM_IDLE,
            ReplyError::Untaken => &code::ANSWER_UNTAKEN,
            ReplyError::TooLarge => &code::REPLY_TOO_LARGE,
            ReplyError::HoldsCredential => &code::REPLY_HOLDS_CREDENTIAL,
            ReplyError::LetOut(code) => code,
            ReplyError::Foreign(denial) => return denial.clone(),
        };
        Box::new(Denial::new(code).internal(self))
    }
}

pub(crate) fn refusal(error: &SendError) -> Box<Denial> {
    if let SendError::Body(BodyFault::Trailer(name)) = error {
        return request::trailer_refused(name);
    }
    let code = match error {
        SendError::Unreachable(_)
        | SendError::Resolve(_)
        | SendError::AddressRefused(_)
        // No connection within its own time limit, so that nothing was sent.
        | SendError::Timeout => &code::TARGET_UNREACHABLE,
        SendError::Tls(_) | SendError::CertificateRefused(_) => &code::TARGET_TLS_FAILED,
        SendError::Protocol(_) => &code::TARGET_PROTOCOL_UNSPOKEN,
        SendError::Busy | SendError::ShareTaken { .. } => &code::TARGET_BUSY,
        SendError::NoDescriptor => &code::BRIDGE_BUSY,
        SendError::Body(BodyFault::TooLarge) => &code::BODY_TOO_LARGE,
        SendError::Body(BodyFault::TooSlow) => &code::REQUEST_TIMEOUT,
        SendError::Body(BodyFault::Broken(_) | BodyFault::Trailer(_)) => &code::BODY_INCOMPLETE,
        SendError::Malformed(_) => &code::REPLY_MALFORMED,
        // It took no part of the request, on any connection.
        SendError::BrokeOff { maybe_sent: false, .. } => &code::TARGET_UNREACHABLE,
        SendError::BrokeOff { .. } => &code::TARGET_BROKE_OFF,
    };
    let mut denial = Denial::new(code).internal(error);
    if let SendError::ShareTaken { most, .. } = error {
        denial = denial.detail(format!(
            "This account holds its share of the target's connections, {most}; WebSockets count until they are closed."
        ));
    }
    Box::new(if [&code::TARGET_BUSY, &code::BRIDGE_BUSY].contains(&code) {
        denial.retry_after(Duration::from_secs(1))
    } else {
        denial
    })
}
