//! Is the request's body JSON that every reader reads alike? (E5, E8)

use crate::order;
use ironbridge_core::json::{JsonFault, MAX_DEPTH, Node};
use ironbridge_core::{Control, Denial, Exchange, FieldError, Reading, Reads, Row, Side, code};
use std::fmt;

/// Demands a body of strict JSON from operations whose other controls read it.
///
/// - A compressed body is refused (`content-encoding-refused`): nothing here decompresses, so nothing can be
///   bombed, and what was not read does not cross.
/// - `Content-Type` must be `application/json` or end in `+json` (RFC 6839 §3.1), and a charset that it names must be
///   UTF-8 (RFC 8259 §8.1), else `content-type-refused`: a reader that believed another would see another body. A body of
///   ASCII alone reads alike in those that begin with it, which some clients announce by default.
/// - The body is parsed under the rules of [`ironbridge_core::json`] and shared with all later controls.
///
/// A request without a body passes; a schema or a rule decides whether one is needed. The size bound is the
/// pipeline's (`max_body`), enforced while the body is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonBody;

impl Control for JsonBody {
    fn row(&self) -> &'static Row {
        &order::JSON_BODY
    }

    fn reads(&self) -> Reads {
        Side::Request.reads(Reading::Json)
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        let asked = &exchange.asked;
        let Some(document) = exchange.request.document() else { return Ok(()) };
        if document.bytes().is_empty() {
            return Ok(());
        }
        if asked.encoding.as_deref().is_some_and(|encoding| !encoding.eq_ignore_ascii_case("identity")) {
            return Err((&code::CONTENT_ENCODING_REFUSED).into());
        }
        let content_type = asked.media_type.as_deref().unwrap_or_default();
        if !is_json(content_type) {
            return Err((&code::CONTENT_TYPE_REFUSED).into());
        }
        if !is_utf8(content_type, document.bytes()) {
            let charset = "The charset of JSON is UTF-8.";
            return Err(Denial::new(&code::CONTENT_TYPE_REFUSED).detail(charset).into());
        }
        document.json().map(drop).map_err(|fault| Box::new(refusal(fault)))
    }
}

/// Refuses a reply's body that names another charset than the one it is read in, where there is a body.
pub(crate) fn check_reply_charset(exchange: &Exchange) -> Result<(), Denial> {
    let body: &[u8] = exchange.reply.bytes().map_or(&[], |body| body);
    match exchange.reply_media_type.as_deref().filter(|_| !body.is_empty()) {
        Some(content_type) if !is_utf8(content_type, body) => Err(Denial::new(&code::REPLY_REFUSED)
            .internal("the target's answer names a charset other than UTF-8")),
        _ => Ok(()),
    }
}

/// `Application/JSON; charset=utf-8` is JSON; a list of types, which several fields make, is nothing.
fn is_json(content_type: &str) -> bool {
    if content_type.contains(',') {
        return false;
    }
    let media_type = content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type == "application/json"
        || media_type
            .split_once('/')
            .is_some_and(|(_, subtype)| subtype.len() > 5 && subtype.ends_with("+json"))
}

/// Charsets whose first 128 characters are those of UTF-8.
const LIKE_ASCII: [&str; 3] = ["us-ascii", "iso-8859-1", "windows-1252"];

/// Whether every charset that is named is UTF-8, or reads this body as UTF-8 does. Text of a parameter that only looks like
/// one counts too.
fn is_utf8(content_type: &str, body: &[u8]) -> bool {
    let same =
        |charset: &str| LIKE_ASCII.iter().any(|like| charset.eq_ignore_ascii_case(like)) && body.is_ascii();
    content_type.split([';', ',']).skip(1).all(|parameter| {
        let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
        let value = value.trim().trim_matches('"');
        !name.trim().eq_ignore_ascii_case("charset")
            || value.eq_ignore_ascii_case("utf-8")
            || value.eq_ignore_ascii_case("utf8")
            || same(value)
    })
}

/// The caller's refusal of a number that cannot be judged as it is written, by its place.
pub(crate) fn inexact(pointer: String) -> Denial {
    let rule = "has more digits than can be judged exactly".to_owned();
    Denial::new(&code::NUMBER_INEXACT).fields(vec![FieldError { pointer, rule }])
}

/// The caller's refusal of a member that some systems read as another one, `which` is judged.
pub(crate) fn mistakable(member: Node<'_>, meant: impl fmt::Display, which: &str) -> Denial {
    /// A name may be as long as the body.
    const MOST: usize = 200;
    let pointer = member.pointer().chars().take(MOST).collect();
    let rule = format!("is read as {meant} by some systems, {which}");
    Denial::new(&code::JSON_NAME_REFUSED).fields(vec![FieldError { pointer, rule }])
}

/// The caller's refusal for a body that is not strict JSON. It says where, never what stood there.
pub(crate) fn refusal(fault: JsonFault) -> Denial {
    match fault {
        JsonFault::Malformed { line, column } => {
            Denial::new(&code::JSON_MALFORMED).detail(format!("line {line}, column {column}"))
        }
        JsonFault::Slip { line, column, why } => {
            Denial::new(&code::JSON_MALFORMED).detail(format!("line {line}, column {column}: {why}"))
        }
        JsonFault::DuplicateName { line, column } => {
            Denial::new(&code::JSON_DUPLICATE_NAME).detail(format!("line {line}, column {column}"))
        }
        JsonFault::TooDeep => {
            Denial::new(&code::JSON_TOO_DEEP).detail(format!("more than {MAX_DEPTH} levels"))
        }
        JsonFault::HostileName => Denial::new(&code::JSON_NAME_REFUSED),
        JsonFault::TooLong => Denial::new(&code::BODY_TOO_LARGE),
        JsonFault::Unheld(full) => *full.denial(&code::BODY_TOO_LARGE),
    }
}
