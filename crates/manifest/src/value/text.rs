//! Names, dates, pointers and what certificates are known by.

use super::{FromText, Wrong, meant};
use crate::schema;
use serde_json::Value;
use std::borrow::Borrow;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// The name of something declared: lower-case letters, digits, `.`, `_` and `-`, at most 64 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Arc<str>);

/// The name of a permission, which is also the OAuth scope of that name: letters, digits and `._:/-`, at most
/// 128 characters.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PermissionName(Arc<str>);

/// A calendar date, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Date {
    /// Days since 1970-01-01.
    pub days: i64,
}

/// A JSON Pointer (RFC 6901) in which the segment `*` stands for every member or element.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Pointer {
    /// As written.
    pub text: Arc<str>,
    /// Unescaped segments; `None` is `*`. Empty for the whole document.
    pub segments: Vec<Option<Arc<str>>>,
}

/// Where the id of a data subject stands.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectPlace {
    /// In a body.
    Body(Pointer),
    /// In the path: a parameter's name, without its braces.
    Parameter(Arc<str>),
}

/// SHA-256 of a certificate's DER encoding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Thumbprint(pub [u8; 32]);

/// A subject alternative name of a certificate (RFC 5280 §4.2.1.6).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum San {
    /// `spiffe://acme.example/erp`, `urn:acme:erp`; compared character by character.
    Uri(Arc<str>),
    /// Lower case.
    Dns(Arc<str>),
    /// Compared character by character.
    Email(Arc<str>),
}

impl FromText for Name {
    const EXPECTED: &'static str = "a name, such as order-service";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        if text.len() > 64 {
            Err(Wrong::malformed("is longer than 64 characters"))
        } else if !text.chars().all(allowed) {
            Err(Wrong::malformed("is no name: only lower-case letters, digits, `.`, `_` and `-` are allowed"))
        } else if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            Err(Wrong::malformed("is no name: it must begin with a letter or digit"))
        } else {
            Ok(Name(text.into()))
        }
    }

    fn schema() -> Value {
        schema::text("A name.", "^[a-z0-9][a-z0-9._-]{0,63}$", "order-service")
    }
}

impl Name {
    /// The shared text, for those who keep it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromText for PermissionName {
    const EXPECTED: &'static str = "a permission, such as orders.read";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:/-".contains(&byte);
        if !(1..=128).contains(&text.len()) || !text.bytes().all(allowed) {
            return Err(Wrong::malformed(
                "is no permission: 1 to 128 letters, digits and `.`, `_`, `:`, `/`, `-` are allowed",
            ));
        }
        Ok(PermissionName(text.into()))
    }

    fn schema() -> Value {
        schema::text("The name of a permission.", "^[A-Za-z0-9._:/-]{1,128}$", "orders.read")
    }
}

impl PermissionName {
    /// The shared text, for those who keep it.
    pub fn shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromText for Date {
    const EXPECTED: &'static str = "a date, such as 2027-03-31";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let part = |range: std::ops::Range<usize>| -> Option<i64> {
            let digits = text.get(range)?;
            digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
        };
        let dashed = text.len() == 10 && text.get(4..5) == Some("-") && text.get(7..8) == Some("-");
        let date = dashed.then(|| Date::of(part(0..4)?, part(5..7)?, part(8..10)?)).flatten();
        date.ok_or_else(|| Wrong::malformed("is no date"))
    }

    fn schema() -> Value {
        schema::text("A calendar date, UTC.", "^[0-9]{4}-[0-9]{2}-[0-9]{2}$", "2027-03-31")
    }
}

impl Date {
    /// The date of a day in the Gregorian calendar, if there is one.
    pub fn of(year: i64, month: i64, day: i64) -> Option<Date> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let length = match month {
            2 => 28 + i64::from(leap),
            4 | 6 | 9 | 11 => 30,
            1..=12 => 31,
            _ => return None,
        };
        if !(1..=length).contains(&day) {
            return None;
        }
        // Years begin in March here, so that the leap day is the last; 400 years have 146,097 days.
        let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let day_of_year = (153 * month + 2) / 5 + day - 1;
        let day_of_era = of_era * 365 + of_era / 4 - of_era / 100 + day_of_year;
        Some(Date { days: era * 146_097 + day_of_era - 719_468 })
    }
}

impl fmt::Display for Date {
    /// As a manifest writes it: `2027-03-31`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The inverse of `of`: years begin in March, 400 years have 146,097 days.
        let days = self.days + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * of_era + of_era / 4 - of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (year, month) =
            (era * 400 + of_era + i64::from(month > 9), if month > 9 { month - 9 } else { month + 3 });
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

impl FromText for Pointer {
    const EXPECTED: &'static str = "a JSON Pointer, such as /items/*/id";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const MOST: usize = 64;
        if !text.starts_with('/') && !text.is_empty() {
            return Err(Wrong::malformed("does not begin with a slash").instead(meant::pointer(text)));
        }
        let segments: Vec<&str> = text.split('/').skip(1).collect();
        if segments.len() > MOST || text.len() > 1024 {
            return Err(Wrong::out_of_range(format!("has more than {MOST} segments or 1024 characters")));
        }
        let segments = segments.into_iter().map(segment).collect::<Option<Vec<_>>>();
        let segments = segments.ok_or_else(|| {
            Wrong::malformed("holds a `~` that escapes nothing").help("write `~0` for `~` and `~1` for `/`")
        })?;
        Ok(Pointer { text: text.into(), segments })
    }

    fn schema() -> Value {
        schema::text(
            "A JSON Pointer (RFC 6901); `*` stands for every member or element.",
            "^(/([^~/]|~[01])*)*$",
            "/items/*/id",
        )
    }
}

impl FromText for SubjectPlace {
    const EXPECTED: &'static str = "a JSON Pointer or a parameter, such as /customer/id or {customer_id}";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        match text.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
            Some(name) if !name.is_empty() && name.bytes().all(plain) => {
                Ok(SubjectPlace::Parameter(name.into()))
            }
            Some(_) => Err(Wrong::malformed("is no parameter: a name in braces of letters, digits and `_`")),
            None if text.is_empty() => Err(Wrong::malformed("is empty")),
            None => Pointer::from_text(text).map(SubjectPlace::Body),
        }
    }

    fn schema() -> Value {
        schema::text(
            "A JSON Pointer (RFC 6901; `*` stands for every member or element), or a parameter of the path.",
            r"^((/([^~/]|~[01])*)+|\{[A-Za-z0-9_]+\})$",
            "/customer/id",
        )
    }
}

impl fmt::Display for SubjectPlace {
    /// As a manifest writes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SubjectPlace::Body(pointer) => f.write_str(&pointer.text),
            SubjectPlace::Parameter(name) => write!(f, "{{{name}}}"),
        }
    }
}

/// Unescapes a segment (RFC 6901 §4): `None` for a broken escape, `Some(None)` for `*`.
fn segment(text: &str) -> Option<Option<Arc<str>>> {
    if text == "*" {
        return Some(None);
    }
    let mut escapes = text.split('~');
    let mut plain = escapes.next().unwrap_or_default().to_owned();
    for escape in escapes {
        let (sign, rest) = match escape.as_bytes().first()? {
            b'0' => ('~', escape.get(1..)?),
            b'1' => ('/', escape.get(1..)?),
            _ => return None,
        };
        plain.push(sign);
        plain.push_str(rest);
    }
    Some(Some(plain.into()))
}

impl FromText for Thumbprint {
    const EXPECTED: &'static str = "a thumbprint of 64 hexadecimal digits";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map_while(|c| c.to_digit(16)).collect();
        let count = text.chars().filter(|c| *c != ':').count();
        if digits.len() != 64 || count != 64 {
            return Err(Wrong::malformed("is no thumbprint")
                .help("`openssl x509 -in FILE -noout -fingerprint -sha256` prints it"));
        }
        let mut bytes = [0; 32];
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let value = pair.iter().fold(0, |value, digit| value * 16 + digit);
            *byte = u8::try_from(value).unwrap_or_default();
        }
        Ok(Thumbprint(bytes))
    }

    fn schema() -> Value {
        schema::text(
            "SHA-256 of a certificate.",
            "^([0-9a-fA-F]{2}:?){31}[0-9a-fA-F]{2}$",
            "5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef",
        )
    }
}

impl FromText for San {
    const EXPECTED: &'static str = "a certificate's name: a URI, a DNS name or an e-mail address";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let printable =
            !text.is_empty() && text.len() <= 512 && text.bytes().all(|byte| byte.is_ascii_graphic());
        if text.contains('*') {
            Err(Wrong::malformed("has a wildcard, which would let others in"))
        } else if printable && (text.contains("://") || text.starts_with("urn:")) {
            Ok(San::Uri(text.into()))
        } else if printable
            && text
                .split_once('@')
                .is_some_and(|(user, host)| !user.is_empty() && super::web::is_host_name(host))
        {
            Ok(San::Email(text.into()))
        } else if super::web::is_host_name(text) {
            Ok(San::Dns(text.to_ascii_lowercase().into()))
        } else {
            Err(Wrong::malformed("is no subject alternative name"))
        }
    }

    fn schema() -> Value {
        schema::text(
            "A subject alternative name: a URI, a DNS name or an e-mail address.",
            "^[^*\\s]+$",
            "spiffe://acme.example/order-service",
        )
    }
}

impl Deref for Name {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Deref for PermissionName {
    type Target = str;
    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Name {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for PermissionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ironbridge_core::SecretName;
    use proptest::prelude::*;

    #[test]
    fn dates_are_days() {
        let days = |text| Date::from_text(text).map(|date| date.days);
        assert_eq!(days("1970-01-01"), Ok(0));
        assert_eq!(days("1969-12-31"), Ok(-1));
        assert_eq!(days("2000-02-29"), Ok(11_016));
        assert_eq!(days("2026-11-21"), Ok(20_778));
        for wrong in
            ["2026-02-29", "2026-13-01", "2026-00-10", "2026-1-1", "26-01-01", "2026-01-01 ", "+026-01-01"]
        {
            assert!(days(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn every_day_follows_the_one_before() {
        let mut expected = Date::of(1999, 1, 1).unwrap().days;
        for year in 1999..=2101 {
            for month in 1..=12 {
                for date in (1..=31).filter_map(|day| Date::of(year, month, day)) {
                    assert_eq!(date.days, expected);
                    assert_eq!(Date::from_text(&date.to_string()), Ok(date));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn pointers_unescape() {
        let pointer = Pointer::from_text("/a~1b/*/~0/").unwrap();
        let segments: Vec<Option<&str>> = pointer.segments.iter().map(Option::as_deref).collect();
        assert_eq!(segments, [Some("a/b"), None, Some("~"), Some("")]);
        assert!(Pointer::from_text("").unwrap().segments.is_empty());
        assert!(Pointer::from_text("/a~2").is_err() && Pointer::from_text("/a~").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = (Name::from_text(&text), PermissionName::from_text(&text), Date::from_text(&text));
            let _ = (Pointer::from_text(&text), Thumbprint::from_text(&text), San::from_text(&text));
            let _ = (SecretName::from_text(&text), SubjectPlace::from_text(&format!("{{{text}")));
        }
    }
}
