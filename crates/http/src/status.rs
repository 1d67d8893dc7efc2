//! What HTTP's statuses say in the bridge's own words, and those words as statuses (RFC 9110 §15). No other room knows
//! a status.

use http::StatusCode;
use ironbridge_core::{Answered, Said};

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
