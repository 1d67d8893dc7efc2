//! Who calls: the connection's address, or what a trusted proxy says of it (RFC 7239, and X-Forwarded-For).
//!
//! A proxy's word is read or refused, never guessed at: were an element that cannot be read left out, the caller
//! would pass for the proxy, whose address is often on every list.

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use ipnet::IpNet;
use ironbridge_core::{Denial, code, fields};
use std::borrow::Cow;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The proxies of one listener that are believed.
#[derive(Debug, Clone, Default)]
pub struct Proxies {
    networks: Box<[IpNet]>,
    field: Option<ForwardingField>,
}

/// A field in which proxies write down whom they forward for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForwardingField {
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Trusted proxies passed through on the way to the caller. More is a loop, or somebody who makes us read.
const MAX_HOPS: usize = 32;

impl Proxies {
    /// With a `field`, only that one is believed; without, both are, and must agree where both are there.
    pub fn new(networks: impl IntoIterator<Item = IpNet>, field: Option<ForwardingField>) -> Proxies {
        Proxies { networks: networks.into_iter().map(unmapped).collect(), field }
    }

    pub fn trust(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.networks.iter().any(|network| network.contains(&address))
    }

    /// The caller's address: the connection's, or, behind trusted proxies, the first from the right that is none of
    /// theirs.
    pub fn caller(&self, headers: &HeaderMap, connection: IpAddr) -> Result<IpAddr, Unreadable> {
        let connection = connection.to_canonical();
        if !self.trust(connection) {
            return Ok(connection);
        }
        let (x_forwarded_for, forwarded) =
            (headers.contains_key(X_FORWARDED_FOR), headers.contains_key(FORWARDED));
        match self.field {
            None => match (x_forwarded_for, forwarded) {
                (true, true) => {
                    let (one, other) = (self.x_forwarded_for(headers)?, self.forwarded(headers)?);
                    if one == other { Ok(one) } else { Err(Unreadable::Disagree) }
                }
                (true, false) => self.x_forwarded_for(headers),
                (false, true) => self.forwarded(headers),
                (false, false) => direct(headers, connection),
            },
            Some(ForwardingField::XForwardedFor) if x_forwarded_for => self.x_forwarded_for(headers),
            Some(ForwardingField::Forwarded) if forwarded => self.forwarded(headers),
            // The proxy forwards, and does not write the field that it is trusted to write.
            Some(_) if x_forwarded_for || forwarded => Err(Unreadable::Missing),
            Some(_) => direct(headers, connection),
        }
    }

    /// The caller's address where the header section itself could not be read: that of a trusted proxy is not it.
    pub fn caller_unread(&self, connection: IpAddr) -> Option<IpAddr> {
        (!self.trust(connection)).then(|| connection.to_canonical())
    }

    fn x_forwarded_for(&self, headers: &HeaderMap) -> Result<IpAddr, Unreadable> {
        let elements = headers
            .get_all(X_FORWARDED_FOR)
            .iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','))
            .map(|element| std::str::from_utf8(element).ok().and_then(|text| node(unquoted(text))));
        self.walk(elements, Unreadable::Element("X-Forwarded-For"))
    }

    fn forwarded(&self, headers: &HeaderMap) -> Result<IpAddr, Unreadable> {
        let lines = headers.get_all(FORWARDED).iter().rev();
        // A line that is not well-formed is one element that cannot be read: whose quotes are whose is unknown.
        let elements =
            lines.flat_map(|line| forwarded_for(line).unwrap_or_else(|| vec![None]).into_iter().rev());
        self.walk(elements, Unreadable::Element("Forwarded"))
    }

    /// From the right, through addresses of trusted proxies, to the first that is none. What stands left of it was
    /// vouched for by nobody, and is not looked at.
    fn walk(
        &self,
        elements: impl Iterator<Item = Option<IpAddr>>,
        unreadable: Unreadable,
    ) -> Result<IpAddr, Unreadable> {
        let mut last = Err(unreadable);
        for (hop, element) in elements.enumerate() {
            let Some(address) = element else { return Err(unreadable) };
            if hop == MAX_HOPS {
                return Err(Unreadable::TooMany);
            }
            if !self.trust(address) {
                return Ok(address);
            }
            last = Ok(address);
        }
        // Only proxies: the call began at the outermost.
        last
    }
}

/// Why nobody knows who calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    Element(&'static str),
    Disagree,
    Missing,
    Other(&'static str),
    TooMany,
}

impl Unreadable {
    pub fn denial(self, proxy: IpAddr) -> Denial {
        Denial::new(&code::FORWARDED_UNREADABLE).internal(format!("the proxy {proxy}: {self}"))
    }
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unreadable::Element(field) => {
                write!(
                    f,
                    "{field} holds an element that is no address, before any that is not a trusted proxy's"
                )
            }
            Unreadable::Disagree => f.write_str(
                "X-Forwarded-For and Forwarded name different callers; declare which one it writes",
            ),
            Unreadable::Missing => f.write_str("the request lacks the field that `forwarded` declares"),
            Unreadable::Other(field) => {
                write!(f, "it sends {field} and neither X-Forwarded-For nor Forwarded")
            }
            Unreadable::TooMany => write!(f, "more than {MAX_HOPS} trusted proxies in a row"),
        }
    }
}

/// No forwarding field: the proxy itself calls, for instance to see whether the bridge is up.
fn direct(headers: &HeaderMap, connection: IpAddr) -> Result<IpAddr, Unreadable> {
    // What proxies write besides is not read here, but who sends it forwards for somebody.
    match headers.keys().find_map(|name| fields::of_a_proxy(name.as_str())) {
        None => Ok(connection),
        Some(name) => Err(Unreadable::Other(name)),
    }
}

/// An address as proxies write it: alone, with a port, an IPv6 address also in brackets. Not `unknown`, not an
/// obfuscated identifier (RFC 7239 §6.3), no zone (RFC 4007 §11: it means nothing on another host), and none that no
/// host has.
fn node(text: &str) -> Option<IpAddr> {
    let text = text.trim_matches([' ', '\t']);
    let address = if let Some(rest) = text.strip_prefix('[') {
        let (address, port) = rest.split_once(']')?;
        (port.is_empty() || is_port(port.strip_prefix(':')?)).then_some(())?;
        IpAddr::V6(address.parse::<Ipv6Addr>().ok()?)
    } else if let Ok(address) = text.parse::<IpAddr>() {
        address
    } else {
        let (address, port) = text.split_once(':')?;
        is_port(port).then_some(())?;
        IpAddr::V4(address.parse::<Ipv4Addr>().ok()?)
    };
    let address = address.to_canonical();
    (!address.is_unspecified() && !address.is_multicast()).then_some(address)
}

/// RFC 7239 §6: up to five digits, or an obfuscated port.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte))
        }
        None => text.bytes().all(|byte| byte.is_ascii_digit()) && text.parse::<u16>().is_ok(),
    }
}

fn unquoted(text: &str) -> &str {
    let text = text.trim_matches([' ', '\t']);
    text.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(text)
}

/// The `for` of every element of one Forwarded line, `None` where it is missing or no address. `None` as a whole when
/// the line does not have the form of RFC 7239 §4.
fn forwarded_for(line: &HeaderValue) -> Option<Vec<Option<IpAddr>>> {
    let mut rest = std::str::from_utf8(line.as_bytes()).ok()?;
    let mut elements = Vec::new();
    loop {
        let (element, after) = forwarded_element(rest)?;
        elements.push(element);
        match after {
            Some(after) => rest = after,
            None => return Some(elements),
        }
    }
}

/// One element up to its comma, and what follows that.
fn forwarded_element(mut text: &str) -> Option<(Option<IpAddr>, Option<&str>)> {
    let (mut found, mut named) = (None, false);
    loop {
        text = text.trim_start_matches([' ', '\t']);
        let name = text.split(|c: char| !is_token(c)).next().unwrap_or_default();
        text = text.get(name.len()..)?;
        if !name.is_empty() {
            let (value, after) = forwarded_value(text.strip_prefix('=')?)?;
            text = after.trim_start_matches([' ', '\t']);
            if name.eq_ignore_ascii_case("for") {
                if named {
                    return None; // Each parameter at most once in an element.
                }
                (found, named) = (node(&value), true);
            }
        }
        match text.strip_prefix(';') {
            Some(after) => text = after,
            None if text.is_empty() => return Some((found, None)),
            None => return Some((found, Some(text.strip_prefix(',')?))),
        }
    }
}

/// A token or a quoted string (RFC 9110 §5.6.4). Addresses with colons and brackets are read without quotes too, as
/// many proxies write them.
fn forwarded_value(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let value = text.split(|c: char| !is_token(c) && !":[]".contains(c)).next()?;
        return Some((Cow::Borrowed(value), text.get(value.len()..)?));
    };
    let mut value = String::new();
    let mut characters = quoted.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((Cow::Owned(value), quoted.get(at + 1..)?)),
            '\\' => value.push(characters.next()?.1),
            other => value.push(other),
        }
    }
    None
}

fn is_token(character: char) -> bool {
    character.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(character)
}

/// A network of mapped addresses, as the IPv4 network it stands for.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return network };
    let Some(prefix) = v6.prefix_len().checked_sub(96) else { return network };
    ipnet::Ipv4Net::new(v4, prefix).map_or(network, IpNet::V4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECTION: &str = "10.0.0.1";

    /// Field lines, each `name: value`, and the caller, or why there is none.
    fn check(field: Option<ForwardingField>, table: &[(&[&str], Result<&str, Unreadable>)]) {
        let trusted = ["10.0.0.0/8", "2001:db8:99::/48", "::ffff:192.168.0.0/112"];
        let proxies = Proxies::new(trusted.map(|network| network.parse().unwrap()), field);
        for (lines, expected) in table {
            let mut headers = HeaderMap::new();
            for line in *lines {
                let (name, value) = line.split_once(": ").unwrap();
                let value = HeaderValue::from_bytes(value.as_bytes()).unwrap();
                headers.append(name.parse::<HeaderName>().unwrap(), value);
            }
            let found = proxies.caller(&headers, CONNECTION.parse().unwrap());
            assert_eq!(found, expected.map(|text| text.parse::<IpAddr>().unwrap()), "{lines:?}");
        }
    }

    const X: Unreadable = Unreadable::Element("X-Forwarded-For");
    const F: Unreadable = Unreadable::Element("Forwarded");

    #[test]
    fn the_caller_is_the_first_untrusted_address_from_the_right() {
        let caller = |headers: &[&str], expected: Result<&str, Unreadable>| {
            let lines: Vec<String> =
                headers.iter().map(|value| format!("x-forwarded-for: {value}")).collect();
            let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
            check(None, &[(&lines, expected)]);
        };
        for (value, expected) in [
            ("198.51.100.1", Ok("198.51.100.1")),
            ("1.1.1.1, 198.51.100.1, 10.0.0.2", Ok("198.51.100.1")),
            ("garbage, 198.51.100.1", Ok("198.51.100.1")),
            (",,, 198.51.100.1", Ok("198.51.100.1")),
            ("\"1.1.1.1, 198.51.100.1", Ok("198.51.100.1")),
            ("203.0.113.9:51234", Ok("203.0.113.9")),
            ("203.0.113.9:0", Ok("203.0.113.9")),
            ("\"203.0.113.9:51234\"", Ok("203.0.113.9")),
            ("\"203.0.113.9\"", Ok("203.0.113.9")),
            ("\t203.0.113.9 ", Ok("203.0.113.9")),
            ("[2001:db8::1]:443", Ok("2001:db8::1")),
            ("[2001:db8::1]", Ok("2001:db8::1")),
            ("\"[2001:DB8::1]:443\"", Ok("2001:db8::1")),
            ("2001:db8::1", Ok("2001:db8::1")),
            ("::ffff:203.0.113.9", Ok("203.0.113.9")),
            ("[::ffff:203.0.113.9]:1", Ok("203.0.113.9")),
            ("198.51.100.1, ::ffff:10.0.0.7", Ok("198.51.100.1")),
            ("198.51.100.1, [2001:db8:99::7]:80, 192.168.0.3:4", Ok("198.51.100.1")),
            ("10.0.0.3, 10.0.0.2", Ok("10.0.0.3")),
            ("", Err(X)),
            (" ", Err(X)),
            ("198.51.100.1,", Err(X)),
            ("198.51.100.1, ,10.0.0.2", Err(X)),
            ("198.51.100.1, garbage, 10.0.0.2", Err(X)),
            ("unknown", Err(X)),
            ("_hidden", Err(X)),
            ("198.51.100.1 10.0.0.2", Err(X)),
            ("198.51.100.1;10.0.0.2", Err(X)),
            ("203.0.113.9:", Err(X)),
            ("203.0.113.9:65536", Err(X)),
            ("203.0.113.9:+80", Err(X)),
            ("203.0.113.9:80:80", Err(X)),
            ("203.0.113.09", Err(X)),
            ("203.0.113", Err(X)),
            ("3405803785", Err(X)),
            ("0xcb007109", Err(X)),
            ("[203.0.113.9]", Err(X)),
            ("[2001:db8::1", Err(X)),
            ("2001:db8::1]", Err(X)),
            ("[2001:db8::1]443", Err(X)),
            ("[[2001:db8::1]]", Err(X)),
            ("fe80::1%eth0", Err(X)),
            ("[fe80::1%25eth0]", Err(X)),
            ("\"203.0.113.9", Err(X)),
            ("'203.0.113.9'", Err(X)),
            ("for=203.0.113.9", Err(X)),
            ("https://203.0.113.9", Err(X)),
            ("0.0.0.0", Err(X)),
            ("::", Err(X)),
            ("224.0.0.1", Err(X)),
            ("203.0.113.9\u{a0}", Err(X)),
            ("203.0.113.\u{663}", Err(X)),
            ("localhost", Err(X)),
        ] {
            caller(&[value], expected);
        }
        caller(&["garbage", "198.51.100.1", "10.0.0.2"], Ok("198.51.100.1"));
        caller(&["198.51.100.1", ""], Err(X));
        let long = vec!["10.0.0.2"; MAX_HOPS].join(",");
        caller(&[&long], Ok("10.0.0.2"));
        caller(&["198.51.100.1", &long], Err(Unreadable::TooMany));
    }

    #[test]
    fn forwarded_is_read_as_its_standard_says() {
        for (value, expected) in [
            ("for=203.0.113.9", Ok("203.0.113.9")),
            ("For=203.0.113.9", Ok("203.0.113.9")),
            ("for=\"203.0.113.9:47011\"", Ok("203.0.113.9")),
            ("for=203.0.113.9:47011", Ok("203.0.113.9")),
            ("for=\"203.0.113.9:_gazonk\"", Ok("203.0.113.9")),
            ("for=\"[2001:db8:cafe::17]:4711\"", Ok("2001:db8:cafe::17")),
            ("for=\"[2001:db8:cafe::17]\"", Ok("2001:db8:cafe::17")),
            ("for=[2001:db8:cafe::17]", Ok("2001:db8:cafe::17")),
            ("for=2001:db8:cafe::17", Ok("2001:db8:cafe::17")),
            ("for=\"203.0.113.\\9\"", Ok("203.0.113.9")),
            ("for=203.0.113.9;proto=http;by=203.0.113.43", Ok("203.0.113.9")),
            ("by=\"a, for=1.1.1.1\"; for=203.0.113.9 ;", Ok("203.0.113.9")),
            ("proto=https;host=\"a;b,c\";for=203.0.113.9, for=10.0.0.2", Ok("203.0.113.9")),
            ("for=1.1.1.1, for=203.0.113.9", Ok("203.0.113.9")),
            ("for=unknown, for=203.0.113.9", Ok("203.0.113.9")),
            ("proto=https", Err(F)),
            ("", Err(F)),
            ("for=203.0.113.9,", Err(F)),
            ("for=unknown", Err(F)),
            ("for=\"unknown\"", Err(F)),
            ("for=_mdn", Err(F)),
            ("for=_SEVKISEK, for=10.0.0.2", Err(F)),
            ("for=", Err(F)),
            ("for", Err(F)),
            ("203.0.113.9", Err(F)),
            ("for=203.0.113.9;for=1.1.1.1", Err(F)),
            ("for=\"203.0.113.9", Err(F)),
            ("for=\"203.0.113.9\"x", Err(F)),
            ("for =203.0.113.9", Err(F)),
            ("for=\"1.1.1.1, for=203.0.113.9", Err(F)),
            ("for=1.1.1.1;x=\", for=\"[2001:db8::5]\"", Err(F)),
            ("for=\"[fe80::1%25eth0]\"", Err(F)),
            ("for=203.0.113.9 for=1.1.1.1", Err(F)),
        ] {
            check(None, &[(&[&format!("forwarded: {value}")], expected)]);
        }
        // Each line stands for itself: what one leaves open cannot swallow the next.
        check(None, &[(&["forwarded: for=\"1.1.1.1", "forwarded: for=203.0.113.9"], Ok("203.0.113.9"))]);
        check(None, &[(&["forwarded: for=203.0.113.9", "forwarded: for=\"10.0.0.2"], Err(F))]);
    }

    #[test]
    fn which_field_is_believed_is_clear_or_nobody_is() {
        const XFF: &str = "x-forwarded-for: 203.0.113.9";
        const BOTH: &[&str] = &[XFF, "forwarded: for=\"203.0.113.9:4711\""];
        const APART: &[&str] = &[XFF, "forwarded: for=198.51.100.1"];
        const HALF: &[&str] = &[XFF, "forwarded: for=unknown"];
        check(
            None,
            &[
                (&[], Ok(CONNECTION)),
                (BOTH, Ok("203.0.113.9")),
                (APART, Err(Unreadable::Disagree)),
                (HALF, Err(F)),
                (&["x-real-ip: 203.0.113.9"], Err(Unreadable::Other("x-real-ip"))),
                (&["x-forwarded-proto: https"], Err(Unreadable::Other("x-forwarded*"))),
                (&["via: 1.1 varnish"], Err(Unreadable::Other("via"))),
                (&["fly-client-ip: 203.0.113.9"], Err(Unreadable::Other("fly-client-ip"))),
                (&["x_forwarded_for: 203.0.113.9"], Err(Unreadable::Other("x-forwarded*"))),
                (&[XFF, "x-real-ip: 198.51.100.1"], Ok("203.0.113.9")),
            ],
        );
        check(
            Some(ForwardingField::XForwardedFor),
            &[
                (&[], Ok(CONNECTION)),
                (APART, Ok("203.0.113.9")),
                (HALF, Ok("203.0.113.9")),
                (&["forwarded: for=203.0.113.9"], Err(Unreadable::Missing)),
                (&["x-client-ip: 203.0.113.9"], Err(Unreadable::Other("x-client-ip"))),
            ],
        );
        check(
            Some(ForwardingField::Forwarded),
            &[(APART, Ok("198.51.100.1")), (HALF, Err(F)), (&[XFF], Err(Unreadable::Missing))],
        );
    }

    #[test]
    fn only_trusted_proxies_are_asked() {
        let proxies = Proxies::new(["10.0.0.0/8".parse().unwrap()], None);
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("garbage"));
        for (connection, expected) in [
            ("203.0.113.9", Ok("203.0.113.9")),
            ("::ffff:203.0.113.9", Ok("203.0.113.9")),
            ("::ffff:10.0.0.1", Err(X)),
        ] {
            let connection: IpAddr = connection.parse().unwrap();
            let expected = expected.map(|text: &str| text.parse::<IpAddr>().unwrap());
            assert_eq!(proxies.caller(&headers, connection), expected);
            assert_eq!(proxies.caller_unread(connection), expected.ok());
        }
    }

    proptest::proptest! {
        /// Whatever stands left of what the proxy wrote, the caller is the one it wrote, or nobody.
        #[test]
        fn what_a_caller_writes_never_counts(forged in "[ -~]{0,60}") {
            for (name, appended, only) in
                [(X_FORWARDED_FOR, "203.0.113.9:51234", true), (FORWARDED, "for=\"[2001:db8::9]:1\"", false)]
            {
                let mut headers = HeaderMap::new();
                headers.insert(name, HeaderValue::try_from(format!("{forged}, {appended}")).unwrap());
                let found = Proxies::new(["10.0.0.0/8".parse().unwrap()], None)
                    .caller(&headers, CONNECTION.parse().unwrap());
                let expected: IpAddr = if only { "203.0.113.9" } else { "2001:db8::9" }.parse().unwrap();
                proptest::prop_assert!(found == Ok(expected) || (!only && found == Err(F)), "{forged}: {found:?}");
            }
        }
    }
}
