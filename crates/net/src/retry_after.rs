use http::HeaderMap;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use std::time::{Duration, SystemTime};

/// How long Retry-After asks to wait (RFC 9110 §10.2.3): a number of seconds, or a date, which counts from the answer's
/// own Date, so that it does not matter whose clock is right.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    let until = httpdate::parse_http_date(text).ok()?;
    let now = headers.get(DATE).and_then(date).unwrap_or_else(SystemTime::now);
    Some(until.duration_since(now).unwrap_or_default())
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
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(RETRY_AFTER, HeaderValue::from_static(told));
            headers.insert(DATE, HeaderValue::from_static(date));
            assert_eq!(retry_after(&headers), wait.map(Duration::from_secs), "{told}");
        }
        assert_eq!(retry_after(&HeaderMap::new()), None);
    }
}
