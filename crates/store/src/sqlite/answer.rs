//! The bytes of a kept answer, before they are sealed: version 1, status, length of the content type plus one
//! (zero: none), content type, body; integers big-endian.

use crate::StoreError;
use bytes::Bytes;
use ironbridge_core::StoredAnswer;

pub(super) fn encode(answer: &StoredAnswer) -> Vec<u8> {
    // A content type too long for its length field is not one anybody could use.
    let content_type = answer.content_type.as_deref().filter(|text| text.len() < usize::from(u16::MAX));
    let length = content_type.and_then(|text| u16::try_from(text.len() + 1).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(5 + usize::from(length) + answer.body.len());
    bytes.push(VERSION);
    bytes.extend(answer.status.to_be_bytes());
    bytes.extend(length.to_be_bytes());
    bytes.extend(content_type.unwrap_or_default().as_bytes());
    bytes.extend(&answer.body);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<StoredAnswer, StoreError> {
    parse(bytes).ok_or_else(|| StoreError::Corrupt("a stored answer has an unknown form".into()))
}

fn parse(bytes: &[u8]) -> Option<StoredAnswer> {
    let ([VERSION, status_high, status_low, length_high, length_low], rest) = bytes.split_first_chunk()?
    else {
        return None;
    };
    let status = u16::from_be_bytes([*status_high, *status_low]);
    let (content_type, body) = match u16::from_be_bytes([*length_high, *length_low]).checked_sub(1) {
        None => (None, rest),
        Some(length) => {
            let (text, body) = rest.split_at_checked(usize::from(length))?;
            (Some(std::str::from_utf8(text).ok()?.into()), body)
        }
    };
    Some(StoredAnswer { status, content_type, body: Bytes::copy_from_slice(body) })
}

const VERSION: u8 = 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_answer_reads_back(
            status: u16,
            content_type in proptest::option::of(".{0,60}"),
            body: Vec<u8>,
        ) {
            let answer = StoredAnswer { status, content_type: content_type.map(Into::into), body: body.into() };
            prop_assert_eq!(decode(&encode(&answer)), Ok(answer));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let answer =
            StoredAnswer { status: 201, content_type: Some("a/b".into()), body: Bytes::from_static(b"ok") };
        assert_eq!(encode(&answer), b"\x01\x00\xc9\x00\x04a/bok");
    }
}
