//! What a fake target was asked.

use bytes::Bytes;
use rustls_pki_types::CertificateDer;

/// One request as it arrived.
#[derive(Debug, Clone)]
pub struct Seen {
    /// Such as `POST`.
    pub method: String,
    /// With the query.
    pub path: String,
    /// `HTTP/1.1` or `HTTP/2.0`.
    pub version: String,
    /// In the order of arrival, names in lower case.
    pub headers: Vec<(String, String)>,
    /// All of it, without its framing.
    pub body: Bytes,
    /// Fields that came after the body, in order, names in lower case.
    pub trailers: Vec<(String, String)>,
    /// The client's certificate, when the target asks for one.
    pub certificate: Option<CertificateDer<'static>>,
}

impl Seen {
    /// The first value of a header field.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.as_str())
    }
}
