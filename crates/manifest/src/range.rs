//! From where to where a duration may be, for each key that has a range of its own: `check` and the manual ask it.

use crate::value::written;
use std::time::Duration;

/// The range of one key.
#[derive(Debug, PartialEq, Eq)]
pub struct Range {
    /// The section as the manual calls it, and its key.
    pub section: &'static str,
    pub key: &'static str,
    pub least: Duration,
    pub most: Duration,
}

macro_rules! ranges {
    ($($name:ident = $section:literal $key:literal $least:expr, $most:expr;)*) => {
        $(pub static $name: Range = Range { section: $section, key: $key, least: $least, most: $most };)*

        static ALL: &[&Range] = &[$(&$name),*];
    };
}

const MOMENT: Duration = Duration::from_millis(10);
const SECOND: Duration = Duration::from_secs(1);
const MINUTE: Duration = Duration::from_secs(60);
const HOUR: Duration = Duration::from_secs(3600);
const DAY: Duration = Duration::from_secs(86_400);
/// A leap year, so that "a year" never is too long.
const YEAR: Duration = Duration::from_secs(366 * 86_400);
/// Ten years: nothing that a manifest times lasts longer.
pub const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

ranges! {
    HEADER = "Timeouts" "header" MOMENT, HOUR;
    IDLE = "Timeouts" "idle" MOMENT, HOUR;
    BODY = "Timeouts" "body" MOMENT, DAY;
    DRAIN = "Timeouts" "drain" MOMENT, HOUR;
    CONNECT = "HttpTarget" "connect_timeout" MOMENT, MINUTE;
    FLOW = "HttpFlow" "timeout" MOMENT, HOUR;
    FLOW_IDLE = "HttpFlow" "idle_timeout" MOMENT, HOUR;
    OPERATION = "HttpOperation" "timeout" MOMENT, HOUR;
    OPERATION_IDLE = "HttpOperation" "idle_timeout" MOMENT, HOUR;
    WINDOW = "Replay" "window" SECOND, Duration::from_secs(31 * 86_400);
    KEY_LIFETIME = "ApiKey" "lifetime" MINUTE, YEAR;
    TOKEN_LIFETIME = "OauthClient" "token_lifetime" Duration::from_secs(10), HOUR;
    SECRET_LIFETIME = "OauthClient" "secret_lifetime" MINUTE, YEAR;
    DETAIL = "AuditRetention" "detail" DAY, LONGEST;
    RECORDS = "AuditRetention" "records" DAY, LONGEST;
}

/// The range of this key, if it has one of its own.
pub fn of(section: &str, key: &str) -> Option<&'static Range> {
    ALL.iter().copied().find(|range| (range.section, range.key) == (section, key))
}

impl Range {
    /// What may be written there, in a few words.
    pub fn words(&self) -> String {
        format!("duration from {} to {}", written(self.least), written(self.most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_range_is_of_a_key_and_stands_in_the_manual() {
        let schema = crate::json_schema();
        for range in ALL {
            let at = format!("/$defs/{}/properties/{}/title", range.section, range.key);
            let title = schema.pointer(&at).and_then(|title| title.as_str());
            assert_eq!(title, Some(range.words().as_str()), "{at}");
        }
    }
}
