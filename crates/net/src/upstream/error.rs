use super::BodyFault;

/// Why a request got no response. `detail`s are for the operator.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    #[error("name resolution failed: {0}")]
    Resolve(String),
    /// Every address the name resolved to is forbidden by the address policy.
    #[error("address refused: {0}")]
    AddressRefused(String),
    #[error("no connection: {0}")]
    Unreachable(String),
    #[error("TLS: {0}")]
    Tls(String),
    #[error("no connection in time")]
    Timeout,
    #[error("all connections are taken")]
    Busy,
    /// The request's own body failed (the caller's fault, not the target's).
    #[error("request body: {0}")]
    Body(BodyFault),
    #[error("the target broke off: {detail}")]
    BrokeOff {
        /// Whether the target may have received (part of) the request and acted on it.
        maybe_sent: bool,
        detail: String,
    },
}
