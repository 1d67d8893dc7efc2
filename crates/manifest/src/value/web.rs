//! What the web names things by: URLs, paths, hosts, fields.

use super::{FromText, Wrong, meant};
use crate::schema;
use ironbridge_core::uri::{CanonicalPath, is_plain_segment};
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// A URL without user information, query or fragment. It is `https`, except a target's under
/// `danger_plaintext`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Url {
    /// As written: issuers are compared with this, character by character (RFC 8414 §3.3).
    pub text: Arc<str>,
    /// Whether the scheme is `https`.
    pub secure: bool,
    /// Lower-case host name or address; an IPv6 address without its brackets.
    pub host: Arc<str>,
    /// The one written, else that of the scheme.
    pub port: u16,
    /// Path with its leading slash and without a trailing one; empty for the root.
    pub path: Arc<str>,
}

/// A fixed absolute path: no trailing slash, no empty or dot segment, no semicolon, no encoding. Empty for the root.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(pub Arc<str>);

/// A path with parameters: `/orders/{id}/shipments`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Template {
    /// As written.
    pub text: Arc<str>,
    /// None for the root.
    pub segments: Vec<Segment>,
}

/// A part of a path, between two slashes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Segment {
    /// This text alone.
    Literal(Arc<str>),
    /// Takes exactly one segment of any text that every system reads alike; the name without its braces.
    Parameter(Arc<str>),
}

/// What an operation answers to: `GET /orders/{id}`, relative to its integration's path.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Route {
    /// GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS.
    pub method: Arc<str>,
    /// Below the path of its flow.
    pub path: Template,
}

/// A host that a listener is for: a name in lower case, perhaps beginning with `*.`, or an address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Host(pub Arc<str>);

/// ISO 3166-1 alpha-2 code of a country.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(pub [u8; 2]);

/// The name of an HTTP header field, lower case. Fields that HTTP itself uses are refused.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FieldName(pub Arc<str>);

impl FromText for Url {
    const EXPECTED: &'static str = "a URL, such as https://erp.internal:8443";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let (secure, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err(Wrong::hidden("this URL does not begin with `https://`").help(https(text))),
        };
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Wrong::secret("the URL holds a user name or password")
                .help("remove it and use `auth`, which takes references to secrets"));
        }
        if path.contains(['?', '#']) {
            return Err(Wrong::hidden("the URL holds a query or a fragment"));
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| Wrong::malformed("has no valid host or port"))?;
        let path = path.strip_suffix('/').unwrap_or(path);
        if text.len() > 2048 || !is_path(path) {
            return Err(Wrong::malformed("has a path with empty, dot or unencoded segments"));
        }
        let port = port.unwrap_or(if secure { 443 } else { 80 });
        Ok(Url { text: text.into(), secure, host: host.into(), port, path: path.into() })
    }

    fn schema() -> Value {
        schema::text(
            "A URL without user information, query or fragment.",
            "^https?://[^@?#\\s]+$",
            "https://erp.internal:8443",
        )
    }
}

/// How to begin a URL that begins otherwise; nothing of it is repeated, because it may hold a secret.
fn https(text: &str) -> &'static str {
    match text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).as_deref() {
        Some("ws" | "wss") => {
            "a WebSocket begins as HTTP: write `https://` here, and `upgrade: websocket` at its operation"
        }
        Some("https" | "http") => "write `https://` in small letters",
        Some(_) => "only HTTP is spoken: write `https://`",
        None => "write `https://` before the host",
    }
}

/// Whether every system reads the path alike; it may be encoded.
fn is_path(path: &str) -> bool {
    path.is_empty() || (!path.ends_with('/') && CanonicalPath::parse(path).is_ok())
}

/// Host and port of an authority (RFC 3986 §3.2), the host in lower case.
pub fn split_port(authority: &str) -> Option<(String, Option<u16>)> {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']')?;
            host.parse::<Ipv6Addr>().ok()?;
            (host, if port.is_empty() { None } else { Some(port.strip_prefix(':')?) })
        }
        None => match authority.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        },
    };
    let named = authority.starts_with('[') || is_host_name(host) || host.parse::<Ipv4Addr>().is_ok();
    let port = match port {
        Some(digits) if digits.bytes().all(|byte| byte.is_ascii_digit()) => {
            Some(digits.parse().ok().filter(|port| *port > 0)?)
        }
        Some(_) => return None,
        None => None,
    };
    named.then(|| (host.to_ascii_lowercase(), port))
}

/// Whether it is a host name (RFC 1123 §2.1; underscores occur inside organisations). A name whose last label is
/// all digits would be read as an address by some.
pub fn is_host_name(text: &str) -> bool {
    let label = |label: &str| {
        let inner = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        (1..=63).contains(&label.len())
            && label.bytes().all(inner)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = text.rsplit('.').next().unwrap_or_default();
    text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

/// The segments of an absolute path, or what is wrong with it.
fn segments(text: &str) -> Result<Vec<&str>, Wrong> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(Wrong::malformed("does not begin with a slash").instead(meant::path(text)));
    };
    if rest.is_empty() {
        return Ok(Vec::new());
    }
    if text.ends_with('/') {
        return Err(Wrong::malformed("ends with a slash").instead(meant::path(text)));
    }
    if text.len() > 1024 {
        return Err(Wrong::out_of_range("is longer than 1024 characters"));
    }
    if text.contains('?') {
        return Err(Wrong::malformed("holds a query; its members are declared in `request.query`"));
    }
    Ok(rest.split('/').collect())
}

fn bad_segment(part: &str) -> Wrong {
    match part {
        "" => Wrong::malformed("has an empty segment"),
        part if part.bytes().all(|byte| byte == b'.') => {
            Wrong::malformed("has a dot segment, which systems read differently")
        }
        part if part.contains(';') => {
            Wrong::malformed("has a semicolon, where some systems cut a segment off and others do not")
        }
        part if part.contains('%') => {
            Wrong::malformed("is percent-encoded").help("write the path in its plain form")
        }
        part => Wrong::malformed(format!(
            "has characters that may not stand in a path, in {}",
            crate::reader::quoted(part)
        )),
    }
}

impl FromText for Path {
    const EXPECTED: &'static str = "an absolute path, such as /erp/v1";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        for part in segments(text)? {
            if part.contains(['{', '}']) {
                return Err(Wrong::malformed("has a parameter; only an operation's path may have some"));
            }
            if !is_plain_segment(part) {
                return Err(bad_segment(part));
            }
        }
        Ok(Path(if text == "/" { "" } else { text }.into()))
    }

    fn schema() -> Value {
        schema::text(
            "An absolute path without a trailing slash.",
            "^/([^/?#%{}\\s]+(/[^/?#%{}\\s]+)*)?$",
            "/erp/v1",
        )
    }
}

impl FromText for Template {
    const EXPECTED: &'static str = "a path, such as /orders/{id}";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let mut names = HashSet::new();
        let segments = segments(text)?.into_iter().map(|part| {
            let Some(name) = part.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) else {
                return match part {
                    part if foreign_parameter(part).is_some() => {
                        Err(Wrong::malformed(format!("has `{part}`, which would be read letter by letter"))
                            .help(foreign_parameter(part).unwrap_or_default()))
                    }
                    part if part.contains(['{', '}']) => {
                        Err(Wrong::malformed("has a parameter that is not a whole segment"))
                    }
                    part if is_plain_segment(part) => Ok(Segment::Literal(part.into())),
                    part => Err(bad_segment(part)),
                };
            };
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
            if name.is_empty() || !name.bytes().all(plain) {
                return Err(Wrong::malformed("has a parameter whose name is not of letters, digits and `_`"));
            }
            if !names.insert(name) {
                return Err(Wrong::malformed(format!("has the parameter `{name}` twice")));
            }
            Ok(Segment::Parameter(name.into()))
        });
        Ok(Template { segments: segments.collect::<Result<_, _>>()?, text: text.into() })
    }

    fn schema() -> Value {
        schema::text("A path with parameters.", "^/[^?#%\\s]*$", "/orders/{id}/shipments")
    }
}

/// How a segment is written here that other programs read as a parameter.
fn foreign_parameter(part: &str) -> Option<String> {
    let name = match part {
        "*" | "**" => {
            return Some(
                "a `{name}` takes exactly one segment, and nothing takes several: declare each path"
                    .to_owned(),
            );
        }
        _ if part.starts_with(':') => part.trim_start_matches(':'),
        _ if part.starts_with('<') && part.ends_with('>') => {
            part.trim_matches(['<', '>']).rsplit(':').next().unwrap_or_default()
        }
        _ if part.starts_with("${") && part.ends_with('}') => {
            part.trim_start_matches("${").trim_end_matches('}')
        }
        _ => return None,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let name = if !name.is_empty() && name.chars().all(plain) { name } else { "id" };
    Some(format!("a parameter is written `{{{name}}}`"))
}

impl Template {
    /// Its parameters' names, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(&**name),
            Segment::Literal(_) => None,
        })
    }

    /// The same for all templates that match the same paths, whatever their parameters are called.
    pub fn shape(&self) -> String {
        self.segments.iter().fold(String::new(), |mut shape, segment| {
            shape.push('/');
            shape.push_str(match segment {
                Segment::Literal(text) => text,
                Segment::Parameter(_) => "{}",
            });
            shape
        })
    }
}

const METHODS: [&str; 7] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"];

impl FromText for Route {
    const EXPECTED: &'static str = "a method and a path, such as GET /orders/{id}";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let Some((method, path)) = text.split_once(' ') else {
            return Err(Wrong::malformed("is not a method and a path")
                .help(format!("the methods are {}", crate::reader::listed(&METHODS))));
        };
        if METHODS.contains(&method) {
            let path = Template::from_text(path.trim_start())
                .map_err(|wrong| wrong.instead_within(|path| format!("{method} {path}")))?;
            return Ok(Route { method: method.into(), path });
        }
        let upper = method.trim_end_matches(':').to_ascii_uppercase();
        let wrong = Wrong::malformed("does not begin with a known method");
        Err(match METHODS.contains(&upper.as_str()) {
            true => {
                let path = path.trim_start();
                let path =
                    if Template::from_text(path).is_ok() { Some(path.to_owned()) } else { meant::path(path) };
                wrong
                    .help("methods are written in capitals")
                    .instead(path.map(|path| format!("{upper} {path}")))
            }
            false => wrong.help(format!("the methods are {}", crate::reader::listed(&METHODS))),
        })
    }

    fn schema() -> Value {
        schema::text(
            "Method and path; a parameter in braces takes one segment.",
            "^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) +/[^?#%\\s]*$",
            "POST /orders/{id}/shipments",
        )
    }
}

impl FromText for Host {
    const EXPECTED: &'static str = "a host without a port, such as bridge.acme.example or 192.0.2.7";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Host(address.to_string().into()));
        }
        let name = text.strip_prefix("*.").unwrap_or(text);
        if is_host_name(name) {
            return Ok(Host(text.to_ascii_lowercase().into()));
        }
        let wrong = Wrong::malformed("is neither a host name nor an address");
        Err(match split_port(text) {
            Some((host, Some(_))) => wrong.help(format!("any port is meant: write `{host}`")),
            Some((host, None)) => wrong.help(format!("write `{host}`")),
            None => wrong,
        })
    }

    fn schema() -> Value {
        schema::text(
            "A host name, with `*.` for any one label, or an address.",
            "^[A-Za-z0-9*._:-]+$",
            "bridge.acme.example",
        )
    }
}

impl FromText for Country {
    const EXPECTED: &'static str = "a country's two-letter code, such as DE";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let upper = text.to_ascii_uppercase();
        let known = COUNTRIES.split(' ').any(|code| code == upper);
        match upper.as_bytes() {
            [a, b] if known && upper == text => Ok(Country([*a, *b])),
            _ if known => Err(Wrong::malformed("is not in capitals").help(format!("write `{upper}`"))),
            _ if upper == "UK" => Err(Wrong::malformed("is no code of ISO 3166-1").help("write `GB`")),
            _ if upper == "EU" => {
                Err(Wrong::malformed("is no code of ISO 3166-1").help("write the country, such as `DE`"))
            }
            _ => Err(Wrong::malformed("is no code of ISO 3166-1")),
        }
    }

    fn schema() -> Value {
        schema::text("ISO 3166-1 alpha-2 code of a country.", "^[A-Z]{2}$", "DE")
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{}", char::from(*byte)))
    }
}

/// ISO 3166-1 alpha-2, the officially assigned codes.
const COUNTRIES: &str = "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ \
    BR BS BT BV BW BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER \
    ES ET FI FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM \
    IN IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF \
    MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK \
    PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD \
    TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW";

impl FromText for FieldName {
    const EXPECTED: &'static str = "a header field's name, such as X-Api-Key";

    fn from_text(text: &str) -> Result<Self, Wrong> {
        let lower = text.to_ascii_lowercase();
        let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        if !(1..=128).contains(&text.len()) || !text.bytes().all(token) {
            // A credential put into the wrong key is a likely cause.
            return Err(Wrong::hidden("this is no header field's name"));
        }
        if TAKEN.contains(&lower.as_str()) || lower.starts_with("proxy-") || lower.starts_with("x-forwarded-")
        {
            return Err(Wrong::malformed("is a field that HTTP or the bridge itself uses"));
        }
        Ok(FieldName(lower.into()))
    }

    fn schema() -> Value {
        schema::text("The name of a header field.", "^[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}$", "X-Api-Key")
    }
}

/// Fields that frame a message, belong to one connection, or are the bridge's own (RFC 9110 §7, RFC 9112).
const TAKEN: [&str; 17] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "cookie",
    "expect",
    "forwarded",
    "host",
    "idempotency-key",
    "keep-alive",
    "te",
    "traceparent",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "via",
    "x-request-id",
];

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_taken_apart() {
        let url = Url::from_text("https://Login.acme.example/realms/a/").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path), ("login.acme.example", 443, "/realms/a"));
        let url = Url::from_text("https://[::1]:8443").unwrap();
        assert_eq!((&*url.host, url.port, &*url.path), ("::1", 8443, ""));
        for wrong in [
            "https://",
            "https://:443",
            "https://a:0",
            "https://a:99999",
            "https://a:+1",
            "https://a b",
            "https://-a",
            "https://a//b",
            "https://a/../b",
            "https://1.2.3",
            "https://[::1",
            "https://[::1]x",
            "ftp://a",
            "//a",
            "https://a/%zz\n",
        ] {
            assert!(Url::from_text(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn countries_are_249() {
        assert_eq!(COUNTRIES.split(' ').filter(|code| code.len() == 2).count(), 249);
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "\\PC*") {
            let _ = (Url::from_text(&text), Url::from_text(&format!("https://{text}")), Path::from_text(&text));
            let _ = (Template::from_text(&text), Route::from_text(&format!("GET /{text}")));
            let _ = (Country::from_text(&text), FieldName::from_text(&text));
        }
    }
}
