//! Points in time as other systems write them.

use ironbridge_core::Timestamp;
use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

const MICROSECONDS: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const BASIC: &[BorrowedFormatItem<'_>] = format_description!("[year][month][day]T[hour][minute][second]Z");

/// RFC 3339 in UTC with six digits of microseconds, as RFC 5424 §6.2.3 wants it too.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    written(time, MICROSECONDS)
}

/// ISO 8601's basic form, as AWS Signature Version 4 wants it.
pub(crate) fn basic(time: Timestamp) -> String {
    written(time, BASIC)
}

fn written(time: Timestamp, form: &[BorrowedFormatItem<'_>]) -> String {
    let nanos = i128::from(time.micros()) * 1000;
    let time = OffsetDateTime::from_unix_timestamp_nanos(nanos).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    PrimitiveDateTime::new(time.date(), time.time()).format(form).unwrap_or_default()
}

/// For serde: times as RFC 3339.
pub(crate) mod text {
    use super::{OffsetDateTime, Rfc3339, Timestamp, rfc3339};
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(time: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&rfc3339(*time))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Timestamp, D::Error> {
        let text = String::deserialize(deserializer)?;
        let time = OffsetDateTime::parse(&text, &Rfc3339).map_err(serde::de::Error::custom)?;
        let micros = u64::try_from(time.unix_timestamp_nanos() / 1000).map_err(serde::de::Error::custom)?;
        Ok(Timestamp(micros))
    }

    /// The same where there may be none.
    pub mod option {
        use super::{Deserialize, Deserializer, Serializer, Timestamp};
        use serde::Serialize;

        #[derive(Serialize, Deserialize)]
        struct Text(#[serde(with = "super")] Timestamp);

        pub fn serialize<S: Serializer>(time: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
            time.map(Text).serialize(serializer)
        }

        pub fn deserialize<'de, D: Deserializer<'de>>(
            deserializer: D,
        ) -> Result<Option<Timestamp>, D::Error> {
            Ok(Option::<Text>::deserialize(deserializer)?.map(|text| text.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_times() {
        let time = Timestamp(1_369_353_600_000_042);
        assert_eq!(rfc3339(time), "2013-05-24T00:00:00.000042Z");
        assert_eq!(basic(time), "20130524T000000Z");
    }
}
