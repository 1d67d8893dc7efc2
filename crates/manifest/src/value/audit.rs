//! What the section on the audit trail is written with.

use super::web::{is_host_name, split_port};
use super::{FromText, Wrong};
use crate::schema;
use serde_json::Value;
use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

/// Declares a text that was checked.
macro_rules! checked {
    ($($(#[doc = $doc:literal])* $name:ident;)*) => {$(
        $(#[doc = $doc])*
        #[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Arc<str>);

        impl Deref for $name {
            type Target = str;
            fn deref(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

checked! {
    /// The public key of a log or witness, in the form of C2SP signed notes: name, `+`, 8 hexadecimal digits, `+`,
    /// base64. Whether the digits belong to the key is for those who can hash.
    VerifierKey;
    /// The origin of a log: the first line of its checkpoints.
    LogOrigin;
    /// The name of a bridge: parts as names have them, between slashes; a port may follow the first. At most 64
    /// characters.
    BridgeName;
    /// The name of a bucket: 3 to 63 lower-case letters, digits, `.` and `-`.
    BucketName;
    /// What the keys of objects in a bucket begin with; no leading slash.
    KeyPrefix;
    /// The name of a region of an object store.
    RegionName;
    /// The id of an access key of an object store; no secret.
    AccessKeyId;
}

/// Host and port of a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceAddress {
    /// Lower-case host name or address; an IPv6 address without its brackets.
    pub host: Arc<str>,
    /// The port, which must be named.
    pub port: u16,
}

/// Syslog over TLS (RFC 5425 §4.1).
const SYSLOG_PORT: u16 = 6514;

impl FromText for VerifierKey {
    const EXPECTED: &'static str = "a verifier key, such as example.org/log+0123abcd+AQ…";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        // Base64 has a plus of its own, so the key is all that follows the second.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(Wrong::malformed("is not of the form NAME+ID+KEY"));
        };
        if !is_key_name(name) {
            return Err(Wrong::malformed("has no name before its first `+`"));
        }
        if id.len() != 8 || !id.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(Wrong::malformed("does not have 8 hexadecimal digits after its first `+`"));
        }
        let digits = key.trim_end_matches('=');
        let base64 = digits.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+/".contains(&byte));
        // A type and 32 bytes at least (Ed25519).
        if !base64 || key.len() % 4 != 0 || key.len() - digits.len() > 2 || !(44..=8192).contains(&key.len())
        {
            return Err(Wrong::malformed("does not end with a key in base64"));
        }
        Ok(VerifierKey(text.into()))
    }

    fn schema() -> Value {
        schema::text(
            "A public key as C2SP signed notes write it.",
            r"^[^+\s]+\+[0-9a-f]{8}\+[A-Za-z0-9+/]{42,}={0,2}$",
            "auditor.example/w+0123abcd+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        )
    }
}

impl FromText for BridgeName {
    const EXPECTED: &'static str = "a name, such as bridge.example/log";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c);
        let part =
            |part: &str| part.starts_with(|c: char| c.is_ascii_alphanumeric()) && part.chars().all(allowed);
        let (first, rest) = text.split_once('/').map_or((text, None), |(first, rest)| (first, Some(rest)));
        let host = match first.split_once(':') {
            None => first,
            Some((host, port)) if !port.starts_with('0') && port.parse::<u16>().is_ok() => host,
            Some(_) => "",
        };
        if text.len() > 64 {
            Err(Wrong::malformed("is longer than 64 characters"))
        } else if part(host) && rest.is_none_or(|rest| rest.split('/').all(part)) {
            Ok(BridgeName(text.into()))
        } else {
            Err(Wrong::malformed(
                "is no name: lower-case letters, digits, `.`, `_` and `-` are allowed, each part between slashes \
                 beginning with a letter or digit, and a port after the first",
            ))
        }
    }

    fn schema() -> Value {
        let part = "[a-z0-9][a-z0-9._-]*";
        let pattern = format!("^{part}(:[1-9][0-9]{{0,4}})?(/{part})*$");
        schema::text("The name of a bridge.", &pattern, "bridge.example/log")
    }
}

impl BridgeName {
    /// As one token, for fields that name who passed something on (RFC 9110 §7.6.3).
    pub fn pseudonym(&self) -> String {
        self.0.replace(['/', ':'], "-")
    }
}

impl FromText for LogOrigin {
    const EXPECTED: &'static str = "a log's origin, such as partner.example/bridge";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if is_key_name(text) {
            Ok(LogOrigin(text.into()))
        } else {
            Err(Wrong::malformed("is no origin: 1 to 255 bytes without white space and `+`"))
        }
    }

    fn schema() -> Value {
        schema::text("The first line of the log's checkpoints.", r"^[^+\s]{1,255}$", "partner.example/bridge")
    }
}

/// Whether it can name a key (C2SP signed-note): no white space and no plus.
fn is_key_name(text: &str) -> bool {
    let allowed = |c: char| !c.is_whitespace() && !c.is_control() && c != '+';
    (1..=255).contains(&text.len()) && text.chars().all(allowed)
}

impl FromText for BucketName {
    const EXPECTED: &'static str = "the name of a bucket, such as audit";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte);
        let ends = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        if (3..=63).contains(&text.len())
            && text.bytes().all(allowed)
            && ends(bytes.first())
            && ends(bytes.last())
            && !text.contains("..")
        {
            Ok(BucketName(text.into()))
        } else {
            Err(Wrong::malformed("is no bucket: 3 to 63 lower-case letters, digits, `.` and `-` are allowed"))
        }
    }

    fn schema() -> Value {
        schema::text("The name of a bucket.", "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$", "audit")
    }
}

impl FromText for KeyPrefix {
    const EXPECTED: &'static str = "a prefix, such as bridge-1/";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.*'()/-".contains(&byte);
        let dots = text.split('/').any(|part| matches!(part, "." | ".."));
        if !(1..=512).contains(&text.len()) || !text.bytes().all(allowed) || dots {
            Err(Wrong::malformed("is no prefix: 1 to 512 letters, digits and `!_.*'()/-` are allowed"))
        } else if text.starts_with('/') || text.contains("//") {
            Err(Wrong::malformed("has an empty part"))
        } else {
            Ok(KeyPrefix(text.into()))
        }
    }

    fn schema() -> Value {
        schema::text("What keys begin with.", "^[A-Za-z0-9!_.*'()-][A-Za-z0-9!_.*'()/-]{0,511}$", "bridge-1/")
    }
}

impl FromText for RegionName {
    const EXPECTED: &'static str = "a region, such as eu-central-1";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        if (1..=64).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(RegionName(text.into()))
        } else {
            Err(Wrong::malformed("is no region: lower-case letters, digits and `-` are allowed"))
        }
    }

    fn schema() -> Value {
        schema::text("A region.", "^[a-z0-9-]{1,64}$", "eu-central-1")
    }
}

impl FromText for AccessKeyId {
    const EXPECTED: &'static str = "the id of an access key";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
        if (3..=128).contains(&text.len()) && text.bytes().all(allowed) {
            Ok(AccessKeyId(text.into()))
        } else {
            // The secret put into the wrong key is a likely cause.
            Err(Wrong::hidden("this is no id of an access key: 3 to 128 letters, digits, `.`, `_` and `-`"))
        }
    }

    fn schema() -> Value {
        schema::text("The id of an access key.", "^[A-Za-z0-9._-]{3,128}$", "AKIAIOSFODNN7EXAMPLE")
    }
}

impl FromText for ServiceAddress {
    const EXPECTED: &'static str = "a host with a port, such as siem.example:6514";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let (host, port) = split_port(text).ok_or_else(|| Wrong::malformed("has no valid host or port"))?;
        Ok(ServiceAddress { host: host.into(), port: port.unwrap_or(SYSLOG_PORT) })
    }

    fn schema() -> Value {
        schema::text(
            "Host and port.",
            r"^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?$",
            "siem.example:6514",
        )
    }
}

impl fmt::Display for ServiceAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if is_host_name(&self.host) || !self.host.contains(':') {
            write!(f, "{}:{}", self.host, self.port)
        } else {
            write!(f, "[{}]:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "auditor.example/w+0123abcd+BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

    #[test]
    fn a_bridge_may_be_named_as_its_log_is_reached() {
        for (name, token) in [
            ("bridge-1", "bridge-1"),
            ("bridge.example/log", "bridge.example-log"),
            ("bridge.example:8443/a/b_2.c", "bridge.example-8443-a-b_2.c"),
        ] {
            assert_eq!(BridgeName::from_text(name).unwrap().pseudonym(), token);
        }
        for wrong in [
            "",
            "/",
            "/log",
            "log/",
            "a//b",
            "a/../b",
            "a/.",
            "a:b",
            "a:0",
            "a:08",
            "a:65536",
            "a:",
            ":1",
            "a/b:1",
            "A",
            "a b",
            "a+b",
            "a/-b",
            "https://a/log",
            "a,b",
            "a\tb",
            "a\u{e9}",
            &"a".repeat(65),
        ] {
            assert!(BridgeName::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn verifier_keys_have_three_parts() {
        assert_eq!(&*VerifierKey::from_text(KEY).unwrap(), KEY);
        assert!(VerifierKey::from_text(&KEY.replace("BAAA", "B+/A")).is_ok());
        for wrong in [
            "",
            "auditor.example",
            "auditor.example+0123abcd",
            &KEY.replace("auditor.example/w", ""),
            &KEY.replace("auditor", "audi tor"),
            &KEY.replace("0123abcd", "0123ABCD"),
            &KEY.replace("0123abcd", "0123abc"),
            &KEY.replace("BAAA", "B-AA"),
            &KEY.replace("BAAA", ""),
            &format!("{KEY}===="),
        ] {
            assert!(VerifierKey::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn services_have_a_host_and_a_port() {
        for (text, host, port, shown) in [
            ("SIEM.example:6514", "siem.example", 6514, "siem.example:6514"),
            ("siem.example", "siem.example", 6514, "siem.example:6514"),
            ("[::1]:99", "::1", 99, "[::1]:99"),
            ("192.0.2.1:1", "192.0.2.1", 1, "192.0.2.1:1"),
        ] {
            let address = ServiceAddress::from_text(text).unwrap();
            assert_eq!((&*address.host, address.port, address.to_string().as_str()), (host, port, shown));
        }
        for wrong in ["", ":1", "a:", "a:0", "a:b", "a b:1", "a@b:1", "a:1/x", "::1"] {
            assert!(ServiceAddress::from_text(wrong).is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = (VerifierKey::from_text(&text), VerifierKey::from_text(&format!("a+0123abcd+{text}")));
            let _ = (LogOrigin::from_text(&text), ServiceAddress::from_text(&text));
            let _ = (BucketName::from_text(&text), KeyPrefix::from_text(&text));
            let _ = (RegionName::from_text(&text), AccessKeyId::from_text(&text));
        }
    }
}
