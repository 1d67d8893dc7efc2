//! Amounts: durations, sizes, rates and numbers, and what may be one or several.

pub use std::time::Duration;

use super::{FromText, Wrong, meant};
use crate::keys::Read;
use crate::range::LONGEST;
use crate::reader::Reader;
use crate::schema::{self, Definitions};
use crate::yaml::{Kind, Node};
use serde_json::{Value, json};
use std::fmt;

/// A number of bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Size(pub u64);

/// How many in which time: `1000/min`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Rate {
    /// At least 1, at most 1,000,000,000.
    pub count: u64,
    /// One second, minute, hour or day.
    pub per: Duration,
}

/// A whole number from `MIN` to `MAX`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Number<const MIN: u32, const MAX: u32>(u32);

/// At least one; in a manifest also a single value without brackets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OneOrMore<T>(Vec<T>);

/// Milliseconds of each unit, longest first.
const DURATIONS: [(&str, u64); 5] =
    [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)];

/// Bytes of each unit, largest first.
const SIZES: [(&str, u64); 7] = [
    ("GiB", 1 << 30),
    ("GB", 1_000_000_000),
    ("MiB", 1 << 20),
    ("MB", 1_000_000),
    ("KiB", 1 << 10),
    ("KB", 1000),
    ("B", 1),
];

/// What a duration, a size and a rate are, for the manual.
pub fn units_in_words() -> String {
    fn named<T>(units: &[(&str, T)]) -> String {
        units.iter().rev().map(|(unit, _)| format!("`{unit}`")).collect::<Vec<_>>().join(", ")
    }
    let rates = PERIODS.iter().map(|(unit, _)| format!("`{unit}`")).collect::<Vec<_>>().join(", ");
    format!(
        "Durations, sizes and rates are whole numbers with a unit behind them. Of a duration: {}; from `1ms` to \
         `{}`, where a key has no range of its own. Of a size: {}; a KB has 1000 bytes, a KiB 1024. A rate says how many \
         in which time, `1000/min`: from 1 to 1,000,000,000 in one of {rates}.",
        named(&DURATIONS),
        written(LONGEST),
        named(&SIZES),
    )
}

/// What others call these units. `M` is a month or a minute, so it is not here.
const DURATIONS_SPELT: [(&str, &str); 17] = [
    ("msec", "ms"),
    ("millis", "ms"),
    ("milliseconds", "ms"),
    ("sec", "s"),
    ("secs", "s"),
    ("second", "s"),
    ("seconds", "s"),
    ("min", "m"),
    ("mins", "m"),
    ("minute", "m"),
    ("minutes", "m"),
    ("hr", "h"),
    ("hrs", "h"),
    ("hour", "h"),
    ("hours", "h"),
    ("day", "d"),
    ("days", "d"),
];

/// Kubernetes' spelling; a single `K`, `M` or `G` is 1000 there and 1024 elsewhere.
const SIZES_SPELT: [(&str, &str); 6] =
    [("Ki", "KiB"), ("Mi", "MiB"), ("Gi", "GiB"), ("byte", "B"), ("bytes", "B"), ("Bytes", "B")];

const PERIODS: [(&str, u64); 4] = [("s", 1), ("min", 60), ("h", 3600), ("d", 86_400)];

impl FromText for Duration {
    const EXPECTED: &'static str = "a duration, such as 250ms, 30s, 10m, 24h or 90d";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let duration = quantity(text, "duration", &DURATIONS).map_err(|wrong| {
            let meant = meant::duration(text, &DURATIONS, &DURATIONS_SPELT);
            wrong.instead(meant.map(|millis| written(Duration::from_millis(millis))))
        })?;
        let duration = Duration::from_millis(duration);
        if duration.is_zero() {
            Err(Wrong::out_of_range("is no time at all"))
        } else if duration > LONGEST {
            Err(Wrong::out_of_range("is longer than 3650d"))
        } else {
            Ok(duration)
        }
    }

    fn schema() -> Value {
        schema::text("A whole number of ms, s, m, h or d.", "^[0-9]+(ms|s|m|h|d)$", "30s")
    }
}

impl FromText for Size {
    const EXPECTED: &'static str = "a size, such as 256KiB or 1MB";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let size = quantity(text, "size", &SIZES).map_err(|wrong| {
            let meant = match whole(text) {
                // A number alone is one of bytes wherever sizes have no unit.
                Some(bytes) => Some(Size(bytes).to_string()),
                None => meant::quantity(text, &SIZES, &SIZES_SPELT).map(|(bytes, (unit, scale))| {
                    if bytes.is_multiple_of(scale) {
                        format!("{}{unit}", bytes / scale)
                    } else {
                        Size(bytes).to_string()
                    }
                }),
            };
            wrong.instead(meant)
        })?;
        match size {
            0 => Err(Wrong::out_of_range("is no size at all")),
            bytes => Ok(Size(bytes)),
        }
    }

    fn schema() -> Value {
        schema::text("A whole number of B, KB, KiB, MB, MiB, GB or GiB.", "^[0-9]+([KMG]i?B|B)$", "256KiB")
    }
}

impl FromText for Rate {
    const EXPECTED: &'static str = "a rate, such as 20/s, 1000/min, 5000/h or 100000/d";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const MOST: u64 = 1_000_000_000;
        let times = |wrong: Wrong| match meant::rate(text) {
            Some(rate) => wrong.instead(Some(rate)),
            None => wrong.help("the times are `s`, `min`, `h` and `d`"),
        };
        let Some((count, period)) = text.split_once('/') else {
            return Err(times(Wrong::malformed("does not say in which time, behind a slash")));
        };
        let Some((_, seconds)) = PERIODS.iter().find(|(name, _)| *name == period.trim()) else {
            return Err(times(Wrong::malformed("has no known time after the slash")));
        };
        match whole(count.trim()) {
            Some(count @ 1..=MOST) => Ok(Rate { count, per: Duration::from_secs(*seconds) }),
            Some(_) => Err(Wrong::out_of_range("is not between 1 and 1,000,000,000")
                .help("leave the limit out for none; an operation that nobody may use need not be declared")),
            None => Err(Wrong::malformed("does not begin with a whole number").instead(meant::rate(text))),
        }
    }

    fn schema() -> Value {
        schema::text("How many per s, min, h or d.", "^[0-9]+ ?/ ?(s|min|h|d)$", "1000/min")
    }
}

/// A whole number with a unit, in the smallest one.
fn quantity(text: &str, what: &str, units: &[(&str, u64)]) -> Result<u64, Wrong> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let Some(number) = whole(number) else {
        return Err(Wrong::malformed(format!("is not a {what}")));
    };
    let Some((_, scale)) = units.iter().find(|(name, _)| *name == unit.trim_start()) else {
        let names: Vec<&str> = units.iter().map(|(name, _)| *name).collect();
        let why = if unit.is_empty() { "has no unit" } else { "has no known unit" };
        return Err(Wrong::malformed(why).help(format!("the units are {}", crate::reader::listed(&names))));
    };
    number.checked_mul(*scale).ok_or_else(|| Wrong::out_of_range("is too large"))
}

fn whole(digits: &str) -> Option<u64> {
    let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| digits.parse().unwrap_or(u64::MAX))
}

impl fmt::Display for Size {
    /// In the largest unit that fits without a fraction.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fits = |(_, scale): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(*scale);
        let (unit, scale) = SIZES.iter().filter(fits).max_by_key(|(_, scale)| *scale).unwrap_or(&("B", 1));
        write!(f, "{}{unit}", self.0 / scale)
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit =
            PERIODS.iter().find(|(_, seconds)| *seconds == self.per.as_secs()).map_or("?", |(unit, _)| unit);
        write!(f, "{}/{unit}", self.count)
    }
}

/// A duration as a manifest writes it, in the largest unit that fits without a fraction.
pub fn written(duration: Duration) -> String {
    let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let (unit, scale) =
        DURATIONS.iter().find(|(_, scale)| millis.is_multiple_of(*scale)).unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / scale)
}

impl<const MIN: u32, const MAX: u32> Number<MIN, MAX> {
    /// The number, if it is in the range.
    pub fn new(number: u32) -> Option<Self> {
        (MIN..=MAX).contains(&number).then_some(Number(number))
    }

    /// The number itself.
    pub const fn value(self) -> u32 {
        self.0
    }
}

impl<const MIN: u32, const MAX: u32> FromText for Number<MIN, MAX> {
    const EXPECTED: &'static str = "a whole number";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let Some(number) = whole(text) else {
            return Err(Wrong::malformed("is not a whole number"));
        };
        u32::try_from(number)
            .ok()
            .and_then(Number::new)
            .ok_or_else(|| Wrong::out_of_range(format!("is not between {MIN} and {MAX}")))
    }

    fn schema() -> Value {
        json!({ "type": "integer", "minimum": MIN, "maximum": MAX })
    }
}

impl<T> std::ops::Deref for OneOrMore<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: Read> Read for OneOrMore<T> {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if let Kind::Text(_) = node.kind {
            return T::read(node, reader).map(|only| OneOrMore(vec![only]));
        }
        let items = Vec::<T>::read(node, reader)?;
        if items.is_empty() {
            reader.wrong_shape(node, "at least one value");
            return None;
        }
        Some(OneOrMore(items))
    }

    fn schema(definitions: &mut Definitions) -> Value {
        let one = T::schema(definitions);
        json!({ "anyOf": [one, { "type": "array", "items": one, "minItems": 1 }] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read_back(millis in 1u64..315_360_000_000, bytes in 1u64.., count in 1u64..=1_000_000_000, period in 0usize..4) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(Duration::from_text(&written(duration)), Ok(duration));
            prop_assert_eq!(Size::from_text(&Size(bytes).to_string()), Ok(Size(bytes)));
            let rate = Rate { count, per: Duration::from_secs(PERIODS[period].1) };
            prop_assert_eq!(Rate::from_text(&rate.to_string()), Ok(rate));
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = (Duration::from_text(&text), Size::from_text(&text), Rate::from_text(&text));
            let _ = Number::<1, 9>::from_text(&text);
        }
    }
}
