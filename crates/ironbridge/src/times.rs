//! Times and durations as people write and read them.

use ironbridge_core::Timestamp;
use std::time::Duration;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{Date, OffsetDateTime};

/// RFC 3339, UTC, to the second: `2026-11-21T21:38:01Z`.
pub fn show(at: Timestamp) -> String {
    let seconds = i64::try_from(at.seconds()).unwrap_or(i64::MAX);
    OffsetDateTime::from_unix_timestamp(seconds)
        .ok()
        .and_then(|at| at.format(&Rfc3339).ok())
        .unwrap_or_else(|| "-".to_owned())
}

/// The same, or a dash.
pub fn show_or_dash(at: Option<Timestamp>) -> String {
    at.map_or_else(|| "-".to_owned(), show)
}

/// A moment: RFC 3339, a date (its beginning, UTC), or a duration (so long ago).
pub fn moment(text: &str, now: Timestamp) -> Result<Timestamp, String> {
    if let Some(ago) = parse_duration(text) {
        let micros = u64::try_from(ago.as_micros()).unwrap_or(u64::MAX);
        return Ok(Timestamp(now.micros().saturating_sub(micros)));
    }
    let nanos = match OffsetDateTime::parse(text, &Rfc3339) {
        Ok(at) => Some(at),
        Err(_) => Date::parse(text, format_description!("[year]-[month]-[day]"))
            .ok()
            .map(|date| date.midnight().assume_utc()),
    };
    let micros = nanos.and_then(|at| u64::try_from(at.unix_timestamp_nanos() / 1000).ok());
    micros.map(Timestamp).ok_or_else(|| {
        "expected a time such as 2026-11-21T14:00:00Z, a date such as 2026-11-21, or a duration such as 2h (ago)"
            .to_owned()
    })
}

/// A lifetime, for the command line.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text)
        .filter(|duration| !duration.is_zero())
        .ok_or_else(|| "expected a duration such as 90d, 12h, 30m or 45s".to_owned())
}

/// As [`duration`], where none at all has a meaning too.
pub fn duration_or_none(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "expected a duration such as 90d, 12h, 30m, 45s or 0s".to_owned())
}

fn parse_duration(text: &str) -> Option<Duration> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at_checked(digits)?;
    let seconds: u64 = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    // A century is more than anyone means.
    number
        .parse::<u64>()
        .ok()?
        .checked_mul(seconds)
        .filter(|s| *s <= 36_525 * 86_400)
        .map(Duration::from_secs)
}

/// Whole days, or the largest unit that leaves no rest.
pub fn show_duration(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        s if s % 86_400 == 0 => format!("{}d", s / 86_400),
        s if s % 3600 == 0 => format!("{}h", s / 3600),
        s if s % 60 == 0 => format!("{}m", s / 60),
        s => format!("{s}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_three_forms() {
        let now = Timestamp::from_seconds(1_000_000_000);
        assert_eq!(moment("2h", now), Ok(Timestamp::from_seconds(1_000_000_000 - 7200)));
        assert_eq!(moment("2001-09-09", now).map(show).unwrap(), "2001-09-09T00:00:00Z");
        assert_eq!(moment("2001-09-09T03:46:40+02:00", now).map(show).unwrap(), "2001-09-09T01:46:40Z");
        for wrong in ["", "2", "h", "2w", "-2h", "2001-13-01", "yesterday", "99999999999999999999d", "40000d"]
        {
            assert!(moment(wrong, now).is_err(), "{wrong}");
        }
    }

    #[test]
    fn durations_read_back() {
        for text in ["90d", "12h", "30m", "45s"] {
            assert_eq!(show_duration(duration(text).unwrap()), text);
        }
        assert!(duration("0d").is_err() && duration("\u{661}d").is_err());
    }
}
