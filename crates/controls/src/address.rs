//! Which networks a listener hears (B4).

use crate::order;
use ipnet::IpNet;
use ironbridge_core::{Control, Denial, Exchange, Judgement, Row, code};

/// Refuses callers outside the listed networks with `address-refused`, and whoever's address nobody knows.
///
/// An IPv4 address that arrives mapped into IPv6 (`::ffff:192.0.2.1`, RFC 4291 §2.5.5.2) counts as the IPv4
/// address it is, on both sides of the comparison. An empty list lets nobody in; a listener that hears everyone
/// has no list.
#[derive(Debug, Clone)]
pub struct AddressList(Box<[IpNet]>);

impl AddressList {
    pub fn new(networks: Vec<IpNet>) -> AddressList {
        AddressList(networks.into_iter().map(unmapped).collect())
    }
}

impl Control for AddressList {
    fn row(&self) -> &'static Row {
        &order::ADDRESS_LIST
    }

    fn is_asked_again(&self) -> bool {
        true
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        let Some(address) = exchange.origin.address().map(|address| address.to_canonical()) else {
            return match exchange.refused {
                // It goes no further, and what the transport found is the better answer.
                Some(_) => Judgement::PASS,
                None => Judgement::deny(Denial::new(&code::ADDRESS_REFUSED).internal("it has no address")),
            };
        };
        if self.0.iter().any(|network| network.contains(&address)) {
            Judgement::PASS
        } else {
            Judgement::deny(Denial::new(&code::ADDRESS_REFUSED).internal(address))
        }
    }
}

/// A network of mapped addresses, as the IPv4 network it stands for.
fn unmapped(network: IpNet) -> IpNet {
    let IpNet::V6(v6) = network else { return network };
    let Some(v4) = v6.addr().to_ipv4_mapped() else { return network };
    let Some(prefix) = v6.prefix_len().checked_sub(96) else { return network };
    ipnet::Ipv4Net::new(v4, prefix).map_or(network, IpNet::V4)
}
