//! The bytes of a kept answer, before they are sealed: version 5, what the target said (0: done, 1: declined, 2: not taken
//! up), number of bytes of the transport's mark (0 or 2), mark, length of the content type plus one (zero: none), content type, number of fields, each as length and name, length and value; number of bytes of the schema's
//! digest (0 or 32), digest; the same of the places where persons were looked for; body. Integers are big-endian, but for
//! those that are said to be a byte, and those of the digests. Version 4 has an HTTP status in place of the first two, and a
//! client error is one that declined. Version 3 does not have the places. Version 2 has no digest and not its number, and
//! where its fields lead is written in the terms of a bridge as it was declared then, so that those are passed over. Version 1 has no fields either, and not their number.

use crate::StoreError;
use bytes::Bytes;
use ironbridge_core::{Answered, Said, StoredAnswer};

pub(super) fn encode(answer: &StoredAnswer) -> Vec<u8> {
    // A content type too long for its length field is not one anybody could use.
    let content_type = answer.content_type.as_deref().filter(|text| text.len() < usize::from(u16::MAX));
    let length = content_type.and_then(|text| u16::try_from(text.len() + 1).ok()).unwrap_or(0);
    let mut bytes = Vec::with_capacity(9 + usize::from(length) + answer.body.len());
    bytes.push(VERSION);
    bytes.push(match answer.answered.said {
        Said::Done => 0,
        Said::Declined => 1,
        Said::Untaken => 2,
    });
    bytes.push(answer.answered.mark.map_or(0, |_| 2));
    bytes.extend(answer.answered.mark.iter().flat_map(|mark| mark.to_be_bytes()));
    bytes.extend(length.to_be_bytes());
    bytes.extend(content_type.unwrap_or_default().as_bytes());
    let short = |part: &[u8]| u16::try_from(part.len()).ok();
    let fields = answer.fields.iter().filter_map(|(name, value)| {
        Some([(short(name.as_bytes())?, name.as_bytes()), (short(value)?, &**value)])
    });
    let fields: Vec<_> = fields.take(usize::from(u16::MAX)).collect();
    bytes.extend(u16::try_from(fields.len()).unwrap_or(0).to_be_bytes());
    for (length, part) in fields.into_iter().flatten() {
        bytes.extend(length.to_be_bytes());
        bytes.extend(part);
    }
    for digest in [answer.schema, answer.subjects] {
        bytes.push(digest.map_or(0, |_| 32));
        bytes.extend(digest.iter().flatten());
    }
    bytes.extend(&answer.body);
    bytes
}

pub(super) fn decode(bytes: &[u8]) -> Result<StoredAnswer, StoreError> {
    parse(bytes).ok_or_else(|| StoreError::Corrupt("a stored answer has an unknown form".into()))
}

fn parse(bytes: &[u8]) -> Option<StoredAnswer> {
    let ([version @ 1..=VERSION], mut rest) = bytes.split_first_chunk()? else { return None };
    let answered = if *version < 5 { of_status(number(&mut rest)?) } else { answered(&mut rest)? };
    let content_type = match number(&mut rest)?.checked_sub(1) {
        None => None,
        Some(length) => Some(std::str::from_utf8(part(&mut rest, length)?).ok()?.into()),
    };
    let count = if *version == 1 { 0 } else { number(&mut rest)? };
    let mut fields = Vec::new();
    for _ in 0..count {
        let length = number(&mut rest)?;
        let name = std::str::from_utf8(part(&mut rest, length)?).ok()?;
        let length = number(&mut rest)?;
        let value = part(&mut rest, length)?;
        if *version > 2 || !LEADING.contains(&name) {
            fields.push((name.into(), value.into()));
        }
    }
    let schema = match version {
        1 | 2 => None,
        _ => digest(&mut rest)?,
    };
    let subjects = match version {
        1..=3 => None,
        _ => digest(&mut rest)?,
    };
    Some(StoredAnswer {
        answered,
        content_type,
        fields,
        body: Bytes::copy_from_slice(rest),
        schema,
        subjects,
    })
}

fn answered(rest: &mut &[u8]) -> Option<Answered> {
    let said = match part(rest, 1)? {
        [0] => Said::Done,
        [1] => Said::Declined,
        [2] => Said::Untaken,
        _ => return None,
    };
    let mark = match part(rest, 1)? {
        [0] => None,
        [2] => Some(number(rest)?),
        _ => return None,
    };
    Some(Answered { mark, said })
}

/// Of an answer that was stored when every transport was HTTP.
fn of_status(status: u16) -> Answered {
    let said = if (400..500).contains(&status) { Said::Declined } else { Said::Done };
    Answered { mark: Some(status), said }
}

fn digest(rest: &mut &[u8]) -> Option<Option<[u8; 32]>> {
    match part(rest, 1)? {
        [0] => Some(None),
        [32] => part(rest, 32)?.try_into().ok().map(Some),
        _ => None,
    }
}

fn number(rest: &mut &[u8]) -> Option<u16> {
    let (number, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u16::from_be_bytes(*number))
}

fn part<'b>(rest: &mut &'b [u8], length: u16) -> Option<&'b [u8]> {
    let (part, after) = rest.split_at_checked(usize::from(length))?;
    *rest = after;
    Some(part)
}

const VERSION: u8 = 5;

/// Fields that say where something is.
const LEADING: [&str; 2] = ["location", "link"];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_answer_reads_back(
            said in proptest::sample::select(vec![Said::Done, Said::Declined, Said::Untaken]),
            mark: Option<u16>,
            content_type in proptest::option::of(".{0,60}"),
            fields in proptest::collection::vec((".{0,20}", any::<Vec<u8>>()), 0..4),
            body: Vec<u8>,
            schema: Option<[u8; 32]>,
            subjects: Option<[u8; 32]>,
        ) {
            let fields = fields.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
            let content_type = content_type.map(Into::into);
            let answered = Answered { mark, said };
            let answer = StoredAnswer { answered, content_type, fields, body: body.into(), schema, subjects };
            prop_assert_eq!(decode(&encode(&answer)), Ok(answer));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes: Vec<u8>) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn the_bytes_are_these() {
        let mut answer = StoredAnswer {
            answered: Answered { mark: Some(201), said: Said::Done },
            content_type: Some("a/b".into()),
            fields: vec![("location".into(), b"/x".as_slice().into())],
            body: Bytes::from_static(b"ok"),
            schema: None,
            subjects: None,
        };
        let unjudged = b"\x05\x00\x02\x00\xc9\x00\x04a/b\x00\x01\x00\x08location\x00\x02/x\x00\x00ok";
        assert_eq!(encode(&answer), unjudged);
        (answer.schema, answer.subjects) = (Some([7; 32]), Some([8; 32]));
        let judged = [&unjudged[..26], &[32], &[7; 32], &[32], &[8; 32], b"ok"].concat();
        assert_eq!(encode(&answer), judged);
        assert_eq!(decode(&judged), Ok(answer.clone()));
        // A number that no transport gave, and a target that declined.
        let declined = Answered { mark: None, said: Said::Declined };
        let told = [b"\x05\x01\x00", &judged[5..]].concat();
        let answer_declined = StoredAnswer { answered: declined, ..answer.clone() };
        assert_eq!((encode(&answer_declined), decode(&told)), (told.clone(), Ok(answer_declined.clone())));
        // As it was written when every transport was HTTP.
        let by_status = |status: u16| [b"\x04", &status.to_be_bytes()[..], &judged[5..]].concat();
        assert_eq!(decode(&by_status(201)), Ok(answer.clone()));
        let not_found = Answered { mark: Some(404), ..declined };
        assert_eq!(decode(&by_status(404)), Ok(StoredAnswer { answered: not_found, ..answer_declined }));
        // As it was written before it was known where persons were looked for.
        answer.subjects = None;
        let without = [b"\x03", &unjudged[3..26], &[32], &[7; 32], b"ok"].concat();
        assert_eq!(decode(&without), Ok(answer.clone()));
        // As it was written before its schema was known, and before there were fields.
        (answer.schema, answer.fields) = (None, vec![("x-n".into(), b"1".as_slice().into())]);
        let with_fields = b"\x02\x00\xc9\x00\x04a/b\x00\x02\x00\x08location\x00\x02/x\x00\x03x-n\x00\x011ok";
        assert_eq!(decode(with_fields), Ok(answer.clone()));
        answer.fields.clear();
        assert_eq!(decode(b"\x01\x00\xc9\x00\x04a/bok"), Ok(answer));
    }
}
