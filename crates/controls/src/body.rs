//! Is the request's body JSON that every reader reads alike? (E5, E8)

use ironbridge_core::json::{JsonFault, MAX_DEPTH};
use ironbridge_core::{Control, Denial, Exchange, FieldError, Phase, Reads, code};

/// Demands a body of strict JSON from operations whose other controls read it.
///
/// - A compressed body is refused (`content-encoding-refused`): nothing here decompresses, so nothing can be
///   bombed, and what was not read does not cross.
/// - `Content-Type` must be `application/json` or end in `+json` (RFC 6839 §3.1), else `content-type-refused`.
/// - The body is parsed under the rules of [`ironbridge_core::json`] and shared with all later controls.
///
/// A request without a body passes; a schema or a rule decides whether one is needed. The size bound is the
/// pipeline's (`max_body`), enforced while the body is read.
#[derive(Debug, Clone, Copy, Default)]
pub struct JsonBody;

impl Control for JsonBody {
    fn name(&self) -> &'static str {
        "JSON body"
    }

    fn phase(&self) -> Phase {
        Phase::Inspect
    }

    fn reads(&self) -> Reads {
        Reads::Request
    }

    fn inspect(&self, exchange: &mut Exchange) -> Result<(), Box<Denial>> {
        let facts = &exchange.facts;
        let Some(document) = exchange.request.document() else { return Ok(()) };
        if document.bytes().is_empty() {
            return Ok(());
        }
        if facts.content_encoding.as_deref().is_some_and(|encoding| encoding != "identity") {
            return Err((&code::CONTENT_ENCODING_REFUSED).into());
        }
        if !facts.content_type.as_deref().is_some_and(is_json) {
            return Err((&code::CONTENT_TYPE_REFUSED).into());
        }
        document.json().map(drop).map_err(|fault| Box::new(refusal(fault)))
    }
}

fn is_json(content_type: &str) -> bool {
    content_type == "application/json"
        || content_type
            .split_once('/')
            .is_some_and(|(_, subtype)| subtype.len() > 5 && subtype.ends_with("+json"))
}

/// The caller's refusal of a number that cannot be judged as it is written, by its place.
pub(crate) fn inexact(pointer: String) -> Denial {
    let rule = "has more digits than can be judged exactly".to_owned();
    Denial::new(&code::NUMBER_INEXACT).fields(vec![FieldError { pointer, rule }])
}

/// The caller's refusal for a body that is not strict JSON. It says where, never what stood there.
pub(crate) fn refusal(fault: JsonFault) -> Denial {
    match fault {
        JsonFault::Malformed { line, column } => {
            Denial::new(&code::JSON_MALFORMED).detail(format!("line {line}, column {column}"))
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
