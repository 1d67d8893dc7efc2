//! Scalar values of the manifest: each is parsed once, with its own message when it is wrong.

mod audit;
mod crossing;
mod file;
mod meant;
mod secret;
mod text;
mod unit;
mod web;

pub use audit::{
    AccessKeyId, BridgeName, BucketName, KeyPrefix, LogOrigin, RegionName, ServiceAddress, VerifierKey,
};
pub use crossing::{Crossing, HeaderField, QueryMember, TrailerField};
pub use file::{Directory, FilePath};
pub use text::{Date, Name, PermissionName, Pointer, San, SubjectPlace, Thumbprint};
pub use unit::{Duration, Number, OneOrMore, Rate, Size};
pub(crate) use unit::{units_in_words, written};
pub use web::{Country, FieldName, Host, Path, Route, Segment, Template, Url};

use crate::findings::{Finding, finding};
use crate::keys::Read;
use crate::reader::{Reader, quoted};
use crate::schema::Definitions;
use crate::yaml::{Kind, Node};
use serde_json::Value;

/// A type that is written as one scalar.
pub trait FromText: Sized {
    /// What is expected, in words that follow "expected": a noun, and mostly ", such as" an example.
    const EXPECTED: &'static str;

    /// The checked value.
    ///
    /// # Errors
    /// What is wrong with it, in words for whoever wrote it.
    fn from_text(text: &str) -> Result<Self, Wrong>;

    /// What may be written, as JSON Schema.
    fn schema() -> Value;
}

/// Why a scalar is not what its key needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wrong {
    finding: &'static Finding,
    /// Follows the value in the message: "`30` has no unit".
    why: String,
    help: Option<String>,
    /// The same value as it is written here; shown if it is accepted.
    instead: Option<String>,
    /// The value must not be shown.
    secret: bool,
}

impl Wrong {
    /// It has another form.
    pub fn malformed(why: impl Into<String>) -> Wrong {
        Wrong { finding: &finding::MALFORMED, why: why.into(), help: None, instead: None, secret: false }
    }

    /// It is more or less than may be.
    pub fn out_of_range(why: impl Into<String>) -> Wrong {
        Wrong { finding: &finding::OUT_OF_RANGE, ..Wrong::malformed(why) }
    }

    /// The value is a secret: it is neither repeated nor shown. `why` must make sense without it.
    pub fn secret(why: impl Into<String>) -> Wrong {
        Wrong { finding: &finding::SECRET_LITERAL, ..Wrong::hidden(why) }
    }

    /// The value may hold a secret: likewise.
    pub fn hidden(why: impl Into<String>) -> Wrong {
        Wrong { secret: true, ..Wrong::malformed(why) }
    }

    /// With what to write instead.
    pub fn help(self, help: impl Into<String>) -> Wrong {
        Wrong { help: Some(help.into()), ..self }
    }

    /// What was meant, as it is written here, where that is known.
    pub fn instead(self, instead: Option<String>) -> Wrong {
        Wrong { instead, ..self }
    }

    /// What was meant by the value that this is a part of.
    pub fn instead_within(self, whole: impl FnOnce(String) -> String) -> Wrong {
        Wrong { instead: self.instead.map(whole), ..self }
    }
}

impl<T: FromText> Read for T {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        let text = scalar(node, reader, T::EXPECTED)?;
        T::from_text(text).map_err(|wrong| report(accepted::<T>(wrong), node, text, T::EXPECTED, reader)).ok()
    }

    fn schema(_: &mut Definitions) -> Value {
        let mut schema = T::schema();
        if let Value::Object(fields) = &mut schema {
            let noun = T::EXPECTED.split([',', ':']).next().unwrap_or_default();
            let noun = noun.strip_prefix("a ").or_else(|| noun.strip_prefix("an ")).unwrap_or(noun);
            fields.insert("title".to_owned(), noun.into());
        }
        schema
    }
}

/// The node's text, or a report that a scalar is expected.
pub fn scalar<'n>(node: &'n Node, reader: &mut Reader<'_>, expected: &str) -> Option<&'n str> {
    match &node.kind {
        Kind::Text(text) => Some(text),
        _ => {
            reader.wrong_shape(node, expected);
            None
        }
    }
}

/// A suggestion that would be refused is none.
fn accepted<T: FromText>(wrong: Wrong) -> Wrong {
    match &wrong.instead {
        Some(instead) if T::from_text(instead).is_ok() => {
            let help = format!("write `{instead}`");
            Wrong { help: Some(wrong.help.map_or(help.clone(), |more| format!("{help}: {more}"))), ..wrong }
        }
        _ => wrong,
    }
}

pub(crate) fn report(wrong: Wrong, node: &Node, text: &str, expected: &str, reader: &mut Reader<'_>) {
    let site = reader.site_of(node);
    let message = if wrong.secret {
        reader.hide(node);
        wrong.why
    } else if text.trim().is_empty() {
        format!("the value {}", wrong.why)
    } else {
        format!("{} {}", quoted(text), wrong.why)
    };
    let label = match wrong.finding.id {
        "IB101" => "written in clear".to_owned(),
        "IB106" => "not in this version".to_owned(),
        _ => format!("expected {expected}"),
    };
    let report = reader.report(wrong.finding, site, message).label(label);
    if let Some(help) = wrong.help {
        report.help(help);
    }
}

/// Text for people: one line or several, 1 to 4096 bytes.
impl FromText for String {
    const EXPECTED: &'static str = "text";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        const MOST: usize = 4096;
        if text.trim().is_empty() {
            Err(Wrong::malformed("is empty"))
        } else if text.len() > MOST {
            Err(Wrong::out_of_range(format!("has {} bytes; at most {MOST} are allowed", text.len())))
        } else if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
            Err(Wrong::malformed("holds a control character"))
        } else {
            Ok(text.to_owned())
        }
    }

    fn schema() -> Value {
        serde_json::json!({ "type": "string", "minLength": 1, "maxLength": 4096 })
    }
}

impl FromText for bool {
    const EXPECTED: &'static str = "true or false";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| Wrong::malformed("is neither `true` nor `false`"))
    }

    fn schema() -> Value {
        serde_json::json!({ "type": "boolean" })
    }
}

impl FromText for std::net::SocketAddr {
    const EXPECTED: &'static str = "an address with a port, such as 0.0.0.0:8443";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        text.parse().map_err(|_| Wrong::malformed("is not an IP address with a port"))
    }

    fn schema() -> Value {
        crate::schema::text(
            "IP address and port.",
            r"^(\[[0-9a-fA-F:.]+\]|[0-9.]+):[0-9]{1,5}$",
            "0.0.0.0:8443",
        )
    }
}

impl FromText for ipnet::IpNet {
    const EXPECTED: &'static str = "a network, such as 10.0.0.0/8";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Ok(address) = text.parse::<std::net::IpAddr>() {
            return Ok(address.into());
        }
        let network: ipnet::IpNet =
            text.parse().map_err(|_| Wrong::malformed("is not a network in CIDR notation"))?;
        if network.trunc() != network {
            let (whole, one) = (network.trunc(), network.addr());
            return Err(Wrong::malformed("has bits set behind its prefix")
                .help(format!("write `{one}` for this address alone, or `{whole}` for all of the network")));
        }
        Ok(network)
    }

    fn schema() -> Value {
        crate::schema::text(
            "IP network in CIDR notation, or one address.",
            "^[0-9a-fA-F:.]+(/[0-9]{1,3})?$",
            "10.0.0.0/8",
        )
    }
}
