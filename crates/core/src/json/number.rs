//! Numbers as they are written, and what they are exactly.

use super::tape::Node;

/// A number of a body. What a double cannot hold as it is written has no reading here: judged rounded and delivered
/// as written it would be two numbers.
#[derive(Debug, Clone, Copy)]
pub struct Number<'t> {
    text: &'t str,
    node: Node<'t>,
}

impl<'t> Number<'t> {
    pub(super) fn new(text: &'t str, node: Node<'t>) -> Number<'t> {
        Number { text, node }
    }

    /// The digits as they stand in the text.
    pub fn written(self) -> &'t str {
        self.text
    }

    /// The value of a number that is written without fraction and exponent, where 64 bits hold it.
    pub fn signed(self) -> Option<i64> {
        self.text.parse().ok()
    }

    /// As [`Number::signed`], without a sign.
    pub fn unsigned(self) -> Option<u64> {
        self.text.parse().ok()
    }

    /// The integer that it is, however it is written: 5, 5.0 and 0.5e1 are the same.
    pub fn integer(self) -> Option<i128> {
        if self.is_too_long() {
            return None;
        }
        let decimal = Decimal::read(self.text);
        let zeros = usize::try_from(decimal.exponent).ok().filter(|zeros| *zeros <= 38)?;
        let digits = format!("{}{}", decimal.digits, "0".repeat(zeros));
        let value: i128 = if digits.is_empty() { 0 } else { digits.parse().ok()? };
        Some(if decimal.negative { -value } else { value })
    }

    /// Whether its value is a whole number.
    pub fn is_integer(self) -> bool {
        !self.is_too_long() && (is_plain(self.text) || Decimal::read(self.text).exponent >= 0)
    }

    /// Whether another number, however it is written, has the same value.
    pub fn is_same_as(self, other: &str) -> bool {
        !self.is_too_long() && Decimal::read(self.text) == Decimal::read(other)
    }

    /// Whether it is longer than anybody writes. Then it has no exact reading, as reading it again for every value of an
    /// `enum` would take as long as its sender likes.
    fn is_too_long(self) -> bool {
        let is_too_long = self.text.len() > LONGEST;
        if is_too_long {
            self.node.is_inexact();
        }
        is_too_long
    }

    /// One spelling for all numbers of the same value.
    pub fn canonical(self) -> String {
        if self.is_too_long() {
            return String::new();
        }
        let Decimal { negative, digits, exponent } = Decimal::read(self.text);
        format!("{}{digits}e{exponent}", if negative { "-" } else { "" })
    }

    /// The double that it is. `None` where there is none that is written with the same digits; the body's
    /// [`inexact`](super::Tape::inexact) then tells where it stands.
    pub fn double(self) -> Option<f64> {
        let double = exact_double(self.text);
        if double.is_none() && !self.is_exact() {
            self.node.is_inexact();
        }
        double
    }

    /// Whether 64 bits, or a double, hold it as it is written.
    pub fn is_exact(self) -> bool {
        self.signed().is_some() || self.unsigned().is_some() || exact_double(self.text).is_some()
    }
}

/// The double that a number is, where there is one that reads back as the same digits. Such numbers are ordered as
/// their doubles are, so that comparing these compares those.
pub fn exact_double(text: &str) -> Option<f64> {
    if text.len() > LONGEST {
        return None;
    }
    let double: f64 = text.parse().ok().filter(|double: &f64| double.is_finite())?;
    // Fifteen digits always read back (IEEE 754, DBL_DIG), short of the exponent's ends.
    const DIGITS: usize = 15;
    if text.len() <= DIGITS && !has_exponent(text) {
        return Some(double);
    }
    let decimal = Decimal::read(text);
    let surely = decimal.digits.len() <= DIGITS && (-280..=280).contains(&decimal.exponent);
    (surely || Decimal::read(&format!("{double:e}")) == decimal).then_some(double)
}

fn has_exponent(text: &str) -> bool {
    text.bytes().any(|byte| matches!(byte, b'e' | b'E'))
}

/// Whether it is written without fraction and exponent.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'-')
}

/// Bytes of a number that is judged. The longest double that reads back has 1,079 with all its zeros written out
/// (`5e-324` has 326, and its exact digits another 753).
const LONGEST: usize = 1100;

/// A number as `digits` times ten to `exponent`, without zeros at either end of the digits.
#[derive(Debug, PartialEq, Eq)]
struct Decimal {
    negative: bool,
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// Reads a number of JSON.
    fn read(text: &str) -> Decimal {
        let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
        let (negative, mantissa) = match mantissa.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, mantissa),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        let digits = all.trim_start_matches('0').trim_end_matches('0').to_owned();
        if digits.is_empty() {
            return Decimal { negative: false, digits, exponent: 0 };
        }
        let zeros = length(all.trim_start_matches('0')) - length(&digits);
        let small = exponent.starts_with('-');
        let exponent = exponent.parse().unwrap_or(if small { i64::MIN } else { i64::MAX });
        let exponent = i64::saturating_add(exponent, zeros - length(fraction));
        Decimal { negative, digits, exponent }
    }
}

fn length(text: &str) -> i64 {
    i64::try_from(text.len()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::json::Tape;
    use proptest::prelude::*;

    fn with<T>(text: &str, look: impl FnOnce(Number<'_>) -> T) -> T {
        let tape = Tape::read(text.to_owned().into(), Default::default()).unwrap();
        look(tape.root().number().unwrap())
    }

    #[test]
    fn only_what_a_double_holds_as_written_is_one() {
        for text in [
            "0",
            "-0",
            "0.0",
            "0.1",
            "1e22",
            "1e23",
            "5e-324",
            "1.7976931348623157e308",
            "0.30000000000000004",
            "9007199254740992.0",
            "123456789012345678901234567890e0",
            "1000.000000000000000000",
            "0e999999999999999999999",
        ] {
            if text.starts_with("123") {
                assert_eq!(exact_double(text), None, "{text}");
            } else {
                assert!(exact_double(text).is_some(), "{text}");
            }
        }
        for text in [
            "1000.00000000000000001",
            "100.000000000000001",
            "9007199254740993.0",
            "1e400",
            "-1e309",
            "1e-400",
            "4e-324",
            "0.1000000000000000055511151231257827",
            "1e99999999999999999999",
            "1e-99999999999999999999",
        ] {
            assert_eq!(exact_double(text), None, "{text}");
        }
    }

    #[test]
    fn integers_are_known_however_they_are_written() {
        for (text, integer) in [
            ("5", Some(5)),
            ("5.0", Some(5)),
            ("0.5e1", Some(5)),
            ("50e-1", Some(5)),
            ("-0.0", Some(0)),
            ("5.5", None),
            ("1e3", Some(1000)),
            ("-120.00e1", Some(-1200)),
            ("1e-1", None),
            ("1e300", None),
            ("0e400", Some(0)),
            ("18446744073709551616", Some(1 << 64)),
        ] {
            assert_eq!(with(text, |number| number.integer()), integer, "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_double_reads_as_itself(double in any::<f64>().prop_filter("finite", |d| d.is_finite())) {
            prop_assert_eq!(exact_double(&format!("{double:e}")), Some(double));
            // Another shortest spelling there is only for a double halfway between two; one of them must not pass for
            // the other.
            let spelled = serde_json::to_string(&double).unwrap();
            prop_assert!(exact_double(&spelled).is_none_or(|read| read == double), "{}", spelled);
        }

        #[test]
        fn exact_numbers_are_ordered_as_their_doubles(whole in 0u64..2000, a in "[0-9]{1,22}", b in "[0-9]{1,22}") {
            let (x, y) = (format!("{whole}.{a}"), format!("{whole}.{b}"));
            if let (Some(of_x), Some(of_y)) = (exact_double(&x), exact_double(&y)) {
                let width = a.len().max(b.len());
                let (a, b) = (format!("{a:0<width$}"), format!("{b:0<width$}"));
                prop_assert_eq!(a.cmp(&b), of_x.partial_cmp(&of_y).unwrap(), "{} {}", x, y);
            }
        }
    }
}
