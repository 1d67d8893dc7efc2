//! How a message is framed when it leaves the bridge: by its body, never by a field that somebody sent.

use crate::gate::{Malformed, content_length};
use http::header::{CONTENT_LENGTH, HeaderMap, TRANSFER_ENCODING};

/// Makes the framing fields say what the body is: `length` bytes, or as many as come. hyper would believe the fields
/// before the body, and a field that is wrong leaves the other end waiting, or reading the next message as this one's
/// body. `says_zero`: a body of no bytes is announced as such (RFC 9110 §8.6).
pub fn frame(headers: &mut HeaderMap, length: Option<u64>, says_zero: bool) {
    headers.remove(TRANSFER_ENCODING);
    match length {
        None => drop(headers.remove(CONTENT_LENGTH)),
        Some(0) if !says_zero && !headers.contains_key(CONTENT_LENGTH) => {}
        // Copied fields are right as a rule, and then need no other.
        Some(length) if announced(headers) == Ok(Some(length)) && !is_padded(headers) => {}
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
    }
}

/// For a message without a body that speaks of another one's length: the answer to HEAD, or a 304 (RFC 9110 §8.6).
pub fn frame_bodiless(headers: &mut HeaderMap) {
    headers.remove(TRANSFER_ENCODING);
    if announced(headers).is_err() {
        headers.remove(CONTENT_LENGTH);
    }
}

fn is_padded(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_LENGTH).is_some_and(|value| matches!(value.as_bytes(), [b'0', _, ..]))
}

/// The length that the fields announce, where they announce one.
///
/// # Errors
/// When there is more than one field, or it is not a plain number.
pub fn announced(headers: &HeaderMap) -> Result<Option<u64>, Malformed> {
    let mut all = headers.get_all(CONTENT_LENGTH).iter();
    match (all.next(), all.next()) {
        (None, _) => Ok(None),
        (Some(only), None) => match content_length(only.as_bytes().trim_ascii()) {
            Ok(length) => Ok(Some(length)),
            Err(_) => Err(Malformed("Content-Length is no number")),
        },
        (Some(_), Some(_)) => Err(Malformed("Content-Length is repeated")),
    }
}
