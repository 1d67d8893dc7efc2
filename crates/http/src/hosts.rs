//! Which hosts a listener is for (RFC 9110 §7.4).

use std::net::IpAddr;

/// The names of one listener: its bridge's public one, its certificate's, and those that are declared. Besides these it
/// answers to the address that a connection was made to.
#[derive(Debug, Default)]
pub struct Hosts {
    /// Lower case. A leading `*.` stands for one label (RFC 9525 §6.3).
    names: Vec<Box<str>>,
    addresses: Vec<IpAddr>,
}

impl Hosts {
    /// Names and addresses, these without brackets.
    pub fn new<N: AsRef<str>>(names: impl IntoIterator<Item = N>) -> Hosts {
        let mut hosts = Hosts::default();
        for name in names {
            match name.as_ref().parse::<IpAddr>() {
                Ok(address) => hosts.addresses.push(address.to_canonical()),
                Err(_) => hosts.names.push(name.as_ref().to_ascii_lowercase().into()),
            }
        }
        hosts
    }

    /// Whether a request for this authority, whatever its port, is for the listener: ports are mapped on the way.
    /// `local` is the address that the connection was made to.
    pub fn serve(&self, authority: &str, local: Option<IpAddr>) -> bool {
        let host = match authority.strip_prefix('[') {
            Some(rest) => rest.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        if let Ok(address) = host.parse::<IpAddr>() {
            let address = address.to_canonical();
            return local == Some(address) || self.addresses.contains(&address);
        }
        let host = host.strip_suffix('.').unwrap_or(host);
        self.names.iter().any(|name| is_called(host, name))
            || (host.eq_ignore_ascii_case("localhost") && local.is_some_and(|local| local.is_loopback()))
    }
}

fn is_called(host: &str, name: &str) -> bool {
    match name.strip_prefix("*.") {
        Some(parent) => host
            .split_once('.')
            .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(parent)),
        None => host.eq_ignore_ascii_case(name),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_listeners_own_names_are_served() {
        let hosts = Hosts::new(["Bridge.acme.example", "*.partners.example", "2001:db8::7", "192.0.2.9"]);
        let local = Some("10.0.0.5".parse().unwrap());
        for authority in [
            "bridge.acme.example",
            "BRIDGE.acme.example:8443",
            "bridge.acme.example.",
            "one.partners.example:443",
            "10.0.0.5",
            "10.0.0.5:8443",
            "192.0.2.9",
            "[2001:db8::7]:8443",
            "[::ffff:10.0.0.5]",
        ] {
            assert!(hosts.serve(authority, local), "{authority}");
        }
        for authority in [
            "",
            "acme.example",
            "bridge.acme.example.evil.example",
            "xbridge.acme.example",
            "partners.example",
            "a.b.partners.example",
            ".partners.example",
            "localhost",
            "127.0.0.1",
            "10.0.0.6",
            "[::1]",
            "evil.example:8443",
            "10.0.0.5.nip.io",
        ] {
            assert!(!hosts.serve(authority, local), "{authority}");
        }
        let loopback = Some("127.0.0.1".parse().unwrap());
        assert!(hosts.serve("localhost:8443", loopback) && hosts.serve("127.0.0.1", loopback));
        assert!(!hosts.serve("localhost", None) && !hosts.serve("127.0.0.2", loopback));
    }
}
