//! What HTTP's statuses say in the bridge's own words, and those words as statuses (RFC 9110 §15). No other room knows
//! a status.

use http::StatusCode;
use ironbridge_core::{Answered, Code, Kind, Said, TransportFacts, code};

/// What records know of this transport.
pub static TRANSPORT: TransportFacts = TransportFacts {
    name: "http",
    marks: "HTTP status",
    mark: |code| Some(of(code).as_u16()),
    mark_of_kind: |kind| Some(of_kind(kind).as_u16()),
};

/// The status of a refusal (docs/reference/kinds.md).
pub fn of(code: &Code) -> StatusCode {
    let special = SPECIAL.iter().find(|(codes, _)| codes.contains(&code));
    special.map_or_else(|| of_kind(code.kind), |(_, status)| *status)
}

/// The status of a kind, where its code has none of its own.
pub fn of_kind(kind: Kind) -> StatusCode {
    match kind {
        Kind::Malformed => StatusCode::BAD_REQUEST,
        Kind::Unproven => StatusCode::UNAUTHORIZED,
        Kind::Forbidden => StatusCode::FORBIDDEN,
        Kind::Unknown => StatusCode::NOT_FOUND,
        Kind::Conflict => StatusCode::CONFLICT,
        Kind::Unfit => StatusCode::UNPROCESSABLE_ENTITY,
        Kind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        Kind::TooMany => StatusCode::TOO_MANY_REQUESTS,
        Kind::Target => StatusCode::BAD_GATEWAY,
        Kind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        Kind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// Where HTTP has a status that says more than the kind.
const SPECIAL: &[(&[&Code], StatusCode)] = &[
    (&[&code::METHOD_REFUSED], StatusCode::METHOD_NOT_ALLOWED),
    (&[&code::MISDIRECTED], StatusCode::MISDIRECTED_REQUEST),
    (&[&code::REQUEST_TIMEOUT, &code::ANSWER_UNTAKEN], StatusCode::REQUEST_TIMEOUT),
    (&[&code::URI_TOO_LONG], StatusCode::URI_TOO_LONG),
    (&[&code::HEADER_TOO_LARGE], StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE),
    (&[&code::CONTENT_TYPE_REFUSED, &code::CONTENT_ENCODING_REFUSED], StatusCode::UNSUPPORTED_MEDIA_TYPE),
    // The target's own status takes its place.
    (&[&code::TARGET_DECLINED], StatusCode::BAD_REQUEST),
    (&[&code::TARGET_TIMEOUT, &code::STREAM_IDLE], StatusCode::GATEWAY_TIMEOUT),
    (&[&code::LOOP_DETECTED], StatusCode::LOOP_DETECTED),
];

/// What a target says with this status. One by which it says that it failed is none of these: it never gets here.
pub(crate) fn answered(status: StatusCode) -> Answered {
    let said = match status {
        // By these it says that it has not taken the request up, and that the same may be sent again: 408 (RFC 9110
        // §15.5.9), 425 (RFC 8470 §5.2) and 429 (RFC 6585 §4).
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => Said::Untaken,
        status if status.is_client_error() => Said::Declined,
        _ => Said::Done,
    };
    Answered { mark: Some(status.as_u16()), said }
}

/// The status to give an answer with.
pub(crate) fn given(answered: Answered) -> StatusCode {
    answered.mark.and_then(|mark| StatusCode::from_u16(mark).ok()).unwrap_or_else(|| of_foreign(answered))
}

/// The same for what was answered over another transport, whose marks say nothing in HTTP.
pub(crate) fn of_foreign(answered: Answered) -> StatusCode {
    match answered.said {
        Said::Done => StatusCode::OK,
        Said::Declined => StatusCode::BAD_REQUEST,
        Said::Untaken => StatusCode::TOO_MANY_REQUESTS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::all_codes;

    /// What callers were told since the first release; a status never changes.
    #[test]
    fn every_code_has_the_status_that_it_always_had() {
        let known = [
            (
                400,
                &[
                    &code::FRAMING_REFUSED,
                    &code::HTTP2_REFUSED,
                    &code::HEADER_REFUSED,
                    &code::PATH_AMBIGUOUS,
                    &code::QUERY_AMBIGUOUS,
                    &code::QUERY_UNDECLARED,
                    &code::QUERY_REPEATED,
                    &code::WEBSOCKET_REFUSED,
                    &code::HOST_REFUSED,
                    &code::FORWARDED_UNREADABLE,
                    &code::CREDENTIALS_AMBIGUOUS,
                    &code::BODY_INCOMPLETE,
                    &code::JSON_MALFORMED,
                    &code::JSON_DUPLICATE_NAME,
                    &code::JSON_TOO_DEEP,
                    &code::JSON_NAME_REFUSED,
                    &code::IDEMPOTENCY_KEY_MISSING,
                    &code::IDEMPOTENCY_KEY_MALFORMED,
                    &code::TARGET_DECLINED,
                ][..],
            ),
            (
                401,
                &[
                    &code::CREDENTIALS_MISSING,
                    &code::CREDENTIALS_UNSPOKEN,
                    &code::TOKEN_MALFORMED,
                    &code::TOKEN_ALGORITHM_REFUSED,
                    &code::TOKEN_HEADER_REFUSED,
                    &code::TOKEN_TYPE_REFUSED,
                    &code::TOKEN_ISSUER_UNKNOWN,
                    &code::TOKEN_KEY_UNKNOWN,
                    &code::TOKEN_SIGNATURE_INVALID,
                    &code::TOKEN_EXPIRED,
                    &code::TOKEN_REVOKED,
                    &code::TOKEN_NOT_YET_VALID,
                    &code::TOKEN_AUDIENCE_WRONG,
                    &code::TOKEN_CLAIMS_MISSING,
                    &code::API_KEY_MALFORMED,
                    &code::API_KEY_UNKNOWN,
                    &code::API_KEY_EXPIRED,
                    &code::API_KEY_REVOKED,
                    &code::CERTIFICATE_INVALID,
                    &code::CERTIFICATE_UNMATCHED,
                    &code::ACCOUNT_UNKNOWN,
                ][..],
            ),
            (
                403,
                &[
                    &code::ADDRESS_REFUSED,
                    &code::ADDRESS_UNKNOWN,
                    &code::SOURCE_MISMATCH,
                    &code::ACCOUNT_ADDRESS_REFUSED,
                    &code::PERMISSION_MISSING,
                    &code::SCOPE_MISSING,
                ][..],
            ),
            (404, &[&code::OPERATION_UNKNOWN][..]),
            (405, &[&code::METHOD_REFUSED][..]),
            (408, &[&code::REQUEST_TIMEOUT, &code::ANSWER_UNTAKEN][..]),
            (409, &[&code::IDEMPOTENCY_IN_PROGRESS, &code::IDEMPOTENCY_UNKNOWN_OUTCOME][..]),
            (413, &[&code::BODY_TOO_LARGE][..]),
            (414, &[&code::URI_TOO_LONG][..]),
            (415, &[&code::CONTENT_TYPE_REFUSED, &code::CONTENT_ENCODING_REFUSED][..]),
            (421, &[&code::MISDIRECTED][..]),
            (
                422,
                &[
                    &code::NUMBER_INEXACT,
                    &code::SCHEMA_VIOLATED,
                    &code::RULE_VIOLATED,
                    &code::RULE_UNDECIDED,
                    &code::BODY_TOO_COSTLY,
                    &code::SUBJECT_ID_REFUSED,
                    &code::SUBJECTS_TOO_MANY,
                    &code::IDEMPOTENCY_MISMATCH,
                ][..],
            ),
            (429, &[&code::RATE_LIMITED][..]),
            (431, &[&code::HEADER_TOO_LARGE][..]),
            (500, &[&code::RULE_UNFIT, &code::ANSWER_WITHHELD, &code::INTERNAL][..]),
            (
                502,
                &[
                    &code::TARGET_UNREACHABLE,
                    &code::TARGET_TLS_FAILED,
                    &code::TARGET_PROTOCOL_UNSPOKEN,
                    &code::TARGET_MISDIRECTED,
                    &code::TARGET_BROKE_OFF,
                    &code::REPLY_MALFORMED,
                    &code::TARGET_REFUSED_US,
                    &code::TARGET_FAILED,
                    &code::REPLY_TOO_LARGE,
                    &code::REPLY_NOT_HELD,
                    &code::REPLY_HOLDS_CREDENTIAL,
                    &code::REPLY_REFUSED,
                ][..],
            ),
            (
                503,
                &[
                    &code::BRIDGE_BUSY,
                    &code::BRIDGE_FULL,
                    &code::BRIDGE_DRAINING,
                    &code::ISSUER_UNAVAILABLE,
                    &code::IDEMPOTENCY_FULL,
                    &code::SECRET_UNAVAILABLE,
                    &code::TARGET_SUSPENDED,
                    &code::DRAIN_OVER,
                    &code::TARGET_BUSY,
                    &code::TARGET_UNAVAILABLE,
                    &code::AUDIT_UNAVAILABLE,
                    &code::STORE_UNAVAILABLE,
                ][..],
            ),
            (504, &[&code::TARGET_TIMEOUT, &code::STREAM_IDLE][..]),
            (508, &[&code::LOOP_DETECTED][..]),
        ];
        for (status, codes) in known {
            for code in codes {
                assert_eq!(of(code).as_u16(), status, "{}", code.id);
            }
        }
        let listed = |code: &Code| known.iter().any(|(_, codes)| codes.contains(&code));
        let new: Vec<_> = all_codes().iter().filter(|code| !listed(code)).map(|code| code.id).collect();
        assert!(new.is_empty(), "write down the status of {new:?}");
    }

    #[test]
    fn what_is_said_to_be_special_is() {
        for (codes, status) in SPECIAL {
            for code in *codes {
                assert_ne!(of_kind(code.kind), *status, "{} needs no line of its own", code.id);
            }
        }
    }

    #[test]
    fn a_status_says_whether_the_target_declined() {
        for (status, said) in [
            (101, Said::Done),
            (200, Said::Done),
            (206, Said::Done),
            (304, Said::Done),
            (399, Said::Done),
            (400, Said::Declined),
            (404, Said::Declined),
            (408, Said::Untaken),
            (409, Said::Declined),
            (425, Said::Untaken),
            (429, Said::Untaken),
            (499, Said::Declined),
        ] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(answered(status), Answered { mark: Some(status.as_u16()), said }, "{status}");
            assert_eq!(given(answered(status)), status);
        }
    }
}
