//! Text forms written without allocating, and times read back.

use ironbridge_core::Timestamp;
use std::io::Write as _;
use std::net::IpAddr;

const MICROS_PER_SECOND: u64 = 1_000_000;
const SECONDS_PER_DAY: u64 = 86_400;

/// A JSON string with its quotes (RFC 8259 §7): escapes what must be escaped and nothing else.
pub(crate) fn push_string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    while let Some(at) = rest.iter().position(|byte| matches!(byte, b'"' | b'\\' | 0..=0x1f)) {
        let (plain, tail) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        out.extend_from_slice(plain);
        let Some((special, tail)) = tail.split_first() else { break };
        match special {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *special]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            // Writing to a Vec does not fail.
            _ => drop(write!(out, "\\u{special:04x}")),
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}

pub(crate) fn push_number(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; 20];
    let mut rest = value;
    let mut count = 0;
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest % 10);
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(digits.len() - count..).unwrap_or_default());
}

/// RFC 3339 in UTC with microseconds, such as `2026-05-28T20:26:40.123456Z`.
pub(crate) fn push_time(out: &mut Vec<u8>, time: Timestamp) {
    let seconds = time.seconds();
    let (year, month, day) = civil(seconds / SECONDS_PER_DAY);
    let of_day = seconds % SECONDS_PER_DAY;
    push_padded::<4>(out, year);
    out.push(b'-');
    push_padded::<2>(out, month);
    out.push(b'-');
    push_padded::<2>(out, day);
    out.push(b'T');
    push_padded::<2>(out, of_day / 3600);
    out.push(b':');
    push_padded::<2>(out, of_day / 60 % 60);
    out.push(b':');
    push_padded::<2>(out, of_day % 60);
    out.push(b'.');
    push_padded::<6>(out, time.micros() % MICROS_PER_SECOND);
    out.push(b'Z');
}

/// As [`push_time`].
pub(crate) fn time_text(time: Timestamp) -> String {
    let mut text = Vec::new();
    push_time(&mut text, time);
    String::from_utf8_lossy(&text).into_owned()
}

pub(crate) fn push_address(out: &mut Vec<u8>, address: IpAddr) {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            for (n, octet) in address.octets().into_iter().enumerate() {
                if n > 0 {
                    out.push(b'.');
                }
                push_number(out, u64::from(octet));
            }
        }
        IpAddr::V6(address) => drop(write!(out, "{address}")),
    }
}

/// Reads what [`push_time`] writes, and nothing else.
pub(crate) fn parse_time(text: &str) -> Option<Timestamp> {
    let field = |from: usize, to: usize| -> Option<u64> {
        let digits = text.get(from..to)?;
        digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second, micros) = (field(11, 13)?, field(14, 16)?, field(17, 19)?, field(20, 26)?);
    let days = days_since_epoch(year, month, day)?;
    let seconds = days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second;
    let time = Timestamp(seconds * MICROS_PER_SECOND + micros);
    let mut again = Vec::with_capacity(27);
    push_time(&mut again, time);
    (again == text.as_bytes()).then_some(time)
}

/// The value's last `WIDTH` digits.
fn push_padded<const WIDTH: usize>(out: &mut Vec<u8>, value: u64) {
    let mut digits = [0u8; WIDTH];
    let mut rest = value;
    for slot in digits.iter_mut().rev() {
        *slot = digit(rest % 10);
        rest /= 10;
    }
    out.extend_from_slice(&digits);
}

fn digit(value: u64) -> u8 {
    b'0' + u8::try_from(value).unwrap_or(0)
}

/// Year, month and day of a day counted from 1970-01-01, in the Gregorian calendar. Years are counted from
/// March within eras of 400 years, so that the leap day comes last.
fn civil(days: u64) -> (u64, u64, u64) {
    const DAYS_BEFORE_1970: u64 = 719_468;
    const DAYS_PER_ERA: u64 = 146_097;
    let days = days + DAYS_BEFORE_1970;
    let (era, of_era) = (days / DAYS_PER_ERA, days % DAYS_PER_ERA);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

fn days_since_epoch(year: u64, month: u64, day: u64) -> Option<u64> {
    let in_range = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !in_range {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, of_era) = (year / 400, year % 400);
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let of_year = (153 * from_march + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
    days.checked_sub(719_468)
}

/// A number in its one form: no sign, no leading zero.
pub(crate) fn decimal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|number: &u64| number.to_string() == text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn time_text(micros: u64) -> String {
        let mut out = Vec::new();
        push_time(&mut out, Timestamp(micros));
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn known_times() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_709_164_799, "2024-02-28T23:59:59.000000Z"),
            (1_709_251_199, "2024-02-29T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
            (253_402_300_799, "9999-12-31T23:59:59.000000Z"),
        ] {
            assert_eq!(time_text(seconds * 1_000_000), text);
            assert_eq!(parse_time(text), Some(Timestamp::from_seconds(seconds)));
        }
    }

    #[test]
    fn other_forms_of_time_are_not_read() {
        for text in [
            "",
            "2026-05-28T20:26:40Z",
            "2026-05-28 20:26:40.123456Z",
            "2026-02-30T20:26:40.123456Z",
            "2026-13-01T20:26:40.123456Z",
            "2026-05-28T24:26:40.123456Z",
            "2026-05-28T20:26:40.123456+00:00",
            "1969-12-31T23:59:59.000000Z",
            "+026-05-28T20:26:40.123456Z",
        ] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn times_are_read_back(micros in 0..253_402_300_800_000_000u64) {
            prop_assert_eq!(parse_time(&time_text(micros)), Some(Timestamp(micros)));
        }

        #[test]
        fn strings_are_valid_json(text: String) {
            let mut out = Vec::new();
            push_string(&mut out, &text);
            prop_assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), text);
        }

        #[test]
        fn numbers_and_addresses_read_back(value: u64, address: IpAddr) {
            let mut out = Vec::new();
            push_number(&mut out, value);
            prop_assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
            let mut out = Vec::new();
            push_address(&mut out, address);
            prop_assert_eq!(String::from_utf8(out).unwrap(), address.to_canonical().to_string());
        }
    }
}
