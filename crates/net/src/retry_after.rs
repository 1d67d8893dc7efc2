//! When to come again (RFC 9110 §10.2.3).

use http::HeaderMap;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// The longest wait that is told: whoever counts in 32 bits holds it. A longer one is read as this (as RFC 9111 §1.2.2 has
/// it of every other number of seconds).
const LONGEST: u32 = 0x7fff_ffff;

/// How long Retry-After asks to wait (RFC 9110 §10.2.3): a number of seconds, or a date, which counts from the answer's
/// own Date, so that it does not matter whose clock is right.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = field(headers)?.to_str().ok()?.trim();
    if let Some(seconds) = seconds(text) {
        return Some(Duration::from_secs(seconds.into()));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = headers.get(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    let wait = until.duration_since(now).unwrap_or_default();
    Some(wait.min(Duration::from_secs(LONGEST.into())))
}

/// The same field for whoever it is passed on to: as it came, where any reader can hold it. None where it says no time.
pub fn retry_after_field(headers: &HeaderMap) -> Option<HeaderValue> {
    let field = field(headers)?;
    let text = field.to_str().ok()?.trim();
    match seconds(text) {
        Some(LONGEST) => Some(LONGEST.into()),
        Some(_) => Some(field.clone()),
        None => httpdate::parse_http_date(text).is_ok().then(|| field.clone()),
    }
}

/// Of two, nobody knows which counts.
fn field(headers: &HeaderMap) -> Option<&HeaderValue> {
    let mut fields = headers.get_all(RETRY_AFTER).iter();
    fields.next().filter(|_| fields.next().is_none())
}

/// Digits alone, however many.
fn seconds(text: &str) -> Option<u32> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().map_or(LONGEST, |seconds: u32| seconds.min(LONGEST)))
}

fn date(value: &HeaderValue) -> Option<SystemTime> {
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_dates_are_read() {
        let date = "Fri, 27 Nov 2026 12:00:00 GMT";
        for (told, wait) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Fri, 27 Nov 2026 12:01:30 GMT", Some(90)),
            ("Friday, 27-Nov-26 12:01:30 GMT", Some(90)),
            ("Fri Nov 27 12:01:30 2026", Some(90)),
            ("Fri, 27 Nov 2026 11:00:00 GMT", Some(0)),
            ("soon", None),
            ("-1", None),
            ("1.5", None),
            ("", None),
            ("+7", None),
            ("7 8", None),
            ("007", Some(7)),
            ("2147483647", Some(2_147_483_647)),
            ("2147483648", Some(2_147_483_647)),
            ("4294967296", Some(2_147_483_647)),
            ("99999999999999", Some(2_147_483_647)),
            ("99999999999999999999999999", Some(2_147_483_647)),
            ("Fri, 31 Dec 9999 23:59:59 GMT", Some(2_147_483_647)),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(told));
            headers.insert(DATE, HeaderValue::from_static(date));
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{told}");
            let passed = retry_after_field(&headers);
            let is_long = told.len() > 9 && told.bytes().all(|byte| byte.is_ascii_digit());
            let expected = if is_long { "2147483647" } else { told };
            assert_eq!(
                passed.as_ref().and_then(|field| field.to_str().ok()),
                wait.map(|_| expected),
                "{told}"
            );
            headers.append(RETRY_AFTER, HeaderValue::from_static("7"));
            assert_eq!((retry_after(&headers), retry_after_field(&headers)), (None, None), "{told}, and 7");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
