//! Which addresses the bridge itself may connect to.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Which resolved addresses the bridge may connect to. Checked after resolution, and the connection is then
/// made to the checked address, so a name that resolves differently a moment later changes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// The operator named the host: private networks are fine, places where no target can be are not.
    Declared,
    /// The host came from outside: only addresses of the public internet.
    Public,
}

impl Policy {
    /// Whether a connection to this address may be made. IPv4 in IPv6's clothes is judged as IPv4.
    pub fn allows(self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(v4) => self.allows_v4(v4),
            IpAddr::V6(v6) => self.allows_v6(v6),
        }
    }

    fn allows_v4(self, address: Ipv4Addr) -> bool {
        let [a, b, c, _] = address.octets();
        if a == 0 || address.is_link_local() || a >= 224 || METADATA_V4.contains(&address) {
            return false;
        }
        self == Policy::Declared
            || !(address.is_private()
                || address.is_loopback()
                || (a == 100 && b & 0xc0 == 64) // shared address space of carriers, RFC 6598
                || (a == 192 && b == 0 && (c == 0 || c == 2)) // protocol assignments, documentation
                || (a == 192 && b == 88 && c == 99) // 6to4 relays, RFC 7526
                || (a == 198 && b & 0xfe == 18) // benchmarks, RFC 2544
                || (a == 198 && b == 51 && c == 100) // documentation, RFC 5737
                || (a == 203 && b == 0 && c == 113))
    }

    fn allows_v6(self, address: Ipv6Addr) -> bool {
        if let Some(inner) = embedded_v4(address) {
            return self.allows_v4(inner);
        }
        if address.is_loopback() {
            return self == Policy::Declared;
        }
        let segments = address.segments();
        let [s0, s1, ..] = segments;
        let nowhere = segments.iter().take(6).all(|s| *s == 0); // unspecified and IPv4-compatible
        if nowhere
            || address.is_multicast()
            || address.is_unicast_link_local()
            || METADATA_V6.contains(&address)
        {
            return false;
        }
        self == Policy::Declared
            || (s0 & 0xe000 == 0x2000 // global unicast, RFC 4291 §2.4
                && !(s0 == 0x2001 && s1 < 0x0200) // protocol assignments, Teredo among them
                && !(s0 == 0x2001 && s1 == 0x0db8) // documentation, RFC 3849
                && !(s0 == 0x3fff && s1 < 0x1000)) // documentation, RFC 9637
    }
}

/// Metadata services of clouds outside the link-local range: they hand credentials to whoever can ask.
const METADATA_V4: [Ipv4Addr; 2] = [Ipv4Addr::new(100, 100, 100, 200), Ipv4Addr::new(168, 63, 129, 16)];
const METADATA_V6: [Ipv6Addr; 4] = [
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254),
    Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23),
    Ipv6Addr::new(0xfd00, 0x42, 0, 0, 0, 0, 0, 0x42),
    Ipv6Addr::new(0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254),
];

/// The IPv4 address that a packet to this address ends at: 6to4 (RFC 3056) and NAT64 (RFC 6052, RFC 8215).
fn embedded_v4(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let of = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        Some(Ipv4Addr::new(a, b, c, d))
    };
    match address.segments() {
        [0x2002, high, low, ..] => of(high, low),
        [0x64, 0xff9b, 0, 0, 0, 0, high, low] => of(high, low),
        [0x64, 0xff9b, 1, .., high, low] => of(high, low),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Policy::{Declared, Public};
    use std::net::IpAddr;

    #[test]
    fn every_kind_of_address_is_judged() {
        // address, declared, public
        let table = [
            ("8.8.8.8", true, true),
            ("1.1.1.1", true, true),
            ("100.63.255.255", true, true),
            ("100.128.0.0", true, true),
            ("198.17.255.255", true, true),
            ("2606:4700::1111", true, true),
            ("2a00:1450::1", true, true),
            ("10.1.2.3", true, false),
            ("172.16.0.1", true, false),
            ("172.31.255.255", true, false),
            ("172.32.0.1", true, true),
            ("192.168.1.1", true, false),
            ("127.0.0.1", true, false),
            ("127.255.255.254", true, false),
            ("100.64.0.1", true, false),
            ("100.127.255.255", true, false),
            ("192.0.0.8", true, false),
            ("192.0.2.1", true, false),
            ("192.88.99.1", true, false),
            ("198.18.0.1", true, false),
            ("198.51.100.7", true, false),
            ("203.0.113.9", true, false),
            ("::1", true, false),
            ("fc00::1", true, false),
            ("fd12:3456::1", true, false),
            ("2001:db8::1", true, false),
            ("3fff:0fff::1", true, false),
            ("2001::1", true, false),
            ("2001:1ff::1", true, false),
            ("100::1", true, false),
            ("::ffff:10.0.0.1", true, false),
            ("::ffff:8.8.8.8", true, true),
            ("64:ff9b::10.0.0.1", true, false),
            ("64:ff9b::8.8.8.8", true, true),
            ("64:ff9b:1::127.0.0.1", true, false),
            ("2002:0a00:0001::1", true, false),
            ("2002:0808:0808::1", true, true),
            ("0.0.0.0", false, false),
            ("0.1.2.3", false, false),
            ("169.254.169.254", false, false),
            ("169.254.0.1", false, false),
            ("100.100.100.200", false, false),
            ("168.63.129.16", false, false),
            ("224.0.0.1", false, false),
            ("239.255.255.255", false, false),
            ("240.0.0.1", false, false),
            ("255.255.255.255", false, false),
            ("::", false, false),
            ("::10.0.0.1", false, false),
            ("fe80::1", false, false),
            ("febf::1", false, false),
            ("ff02::1", false, false),
            ("fd00:ec2::254", false, false),
            ("fd00:ec2::23", false, false),
            ("fd00:42::42", false, false),
            ("fd20:ce::254", false, false),
            ("::ffff:169.254.169.254", false, false),
            ("64:ff9b::169.254.169.254", false, false),
            ("2002:a9fe:a9fe::1", false, false),
        ];
        for (text, declared, public) in table {
            let address: IpAddr = text.parse().unwrap();
            assert_eq!(Declared.allows(address), declared, "{text} declared");
            assert_eq!(Public.allows(address), public, "{text} public");
        }
    }
}
