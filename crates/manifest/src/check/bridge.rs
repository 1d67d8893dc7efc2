//! That the bridge and its listeners can be what they are declared to be.

use super::Check;
use crate::Url;
use crate::findings::finding;
use crate::place::Spot;
use crate::range;
use ipnet::IpNet;

/// Listener names that mean another transport; serving HTTP there would surprise.
const RESERVED_LISTENERS: [&str; 2] = ["sftp", "admin"];

impl Check<'_, '_> {
    pub fn bridge(&mut self) {
        let (Some(bridge), Some(spot)) = (&self.parts.bridge, self.outline.bridge()) else { return };
        if let Some(url) = &bridge.public_url {
            self.secure(url, spot.key("public_url"));
            if !url.path.is_empty() {
                let at = spot.key("public_url").at_value();
                let message = "`public_url` has a path; the bridge answers at the root of its address";
                self.report(&finding::MALFORMED, at, message, "no path may stand here");
            }
        }
        for name in bridge.listeners.keys().filter(|name| RESERVED_LISTENERS.contains(&&***name)) {
            let at = spot.key("listeners").key(name).at_key();
            let message = format!("the listener `{name}` is not served by this version");
            self.report(&finding::NOT_YET, at, message, "not in this version");
        }
        let mut addresses = std::collections::HashMap::new();
        for (name, listener) in &bridge.listeners {
            if let Some(other) = addresses.insert(listener.address, name) {
                let at = spot.key("listeners").key(name).key("address").at_value();
                let message = format!("the listener `{other}` has this address already");
                self.report(&finding::CONTRADICTION, at, message, "taken");
            }
        }
        self.trusted_proxies(spot);
        self.issuers(spot);
        let timeouts = spot.key("timeouts");
        for (range, value) in [
            (&range::HEADER, bridge.timeouts.header),
            (&range::IDLE, bridge.timeouts.idle),
            (&range::BODY, bridge.timeouts.body),
            (&range::DRAIN, bridge.timeouts.drain),
        ] {
            self.within(timeouts.key(range.key), value, range);
        }
    }

    fn trusted_proxies(&mut self, bridge_spot: Spot<'_>) {
        let Some(bridge) = &self.parts.bridge else { return };
        for (name, listener) in &bridge.listeners {
            let spot = bridge_spot.key("listeners").key(name).key("trusted_proxies");
            let every = |network: &&IpNet| network.prefix_len() == 0;
            for (index, network) in listener.trusted_proxies.iter().enumerate().filter(|(_, of)| every(of)) {
                let message =
                    format!("`{network}` is every address, so every caller could name any as its own");
                let at = spot.item(index).at_value();
                self.report(&finding::CONTRADICTION, at, message, "list the networks of the proxies");
            }
            if is_most(&listener.trusted_proxies) && !listener.trusted_proxies.iter().any(|of| every(&of)) {
                let message = "these networks together are most addresses, so almost every caller could name any as its own";
                self.report(
                    &finding::CONTRADICTION,
                    spot.at_key(),
                    message,
                    "list the networks of the proxies",
                );
            }
        }
    }

    fn issuers(&mut self, bridge_spot: Spot<'_>) {
        let Some(bridge) = &self.parts.bridge else { return };
        let mut known = std::collections::HashMap::new();
        for (name, issuer) in &bridge.issuers {
            let spot = bridge_spot.key("issuers").key(name);
            self.secure(&issuer.issuer, spot.key("issuer"));
            if let Some(url) = &issuer.jwks_url {
                self.secure(url, spot.key("jwks_url"));
            }
            self.danger(
                issuer.danger_accept_untyped_tokens.as_ref(),
                spot.key("danger_accept_untyped_tokens"),
            );
            if let Some(other) = known.insert(&issuer.issuer.text, name) {
                let message = format!("the issuer `{other}` has this identifier already");
                self.report(&finding::CONTRADICTION, spot.key("issuer").at_value(), message, "taken");
            }
            if let Some(identifier) = of_metadata(&issuer.issuer.text) {
                let message = "this is where the issuer's metadata is, and tokens carry its identifier";
                let label = format!("write `{identifier}`");
                self.report(&finding::CONTRADICTION, spot.key("issuer").at_value(), message, &label);
            }
            if issuer.issuer.text.trim_end_matches('/') == bridge.origin() {
                let message = "this is the bridge's own identifier; its own tokens need no declaration";
                self.report(
                    &finding::CONTRADICTION,
                    spot.key("issuer").at_value(),
                    message,
                    "the bridge itself",
                );
            }
        }
    }

    /// A URL must be `https`.
    pub fn secure(&mut self, url: &Url, spot: Spot<'_>) {
        if !url.secure {
            let message = "this connection would not be encrypted";
            self.report(&finding::PLAINTEXT, spot.at_value(), message, "write `https`");
        }
    }
}

/// The identifier of an issuer whose metadata is at this address: the well-known part stands behind it (OpenID Connect
/// Discovery §4), or between its host and its path (RFC 8414 §3).
fn of_metadata(url: &str) -> Option<String> {
    let (before, well_known) = url.split_once("/.well-known/")?;
    let path = well_known.split_once('/').map_or("", |(_, path)| path);
    Some(if path.is_empty() { before.to_owned() } else { format!("{before}/{path}") })
}

/// Whether networks hold, together, half of all addresses of IPv4, or half of those of IPv6 that are given out
/// (`2000::/3`): no one's proxies do.
pub(super) fn is_most(networks: &[IpNet]) -> bool {
    let together = IpNet::aggregate(&networks.to_vec());
    // As parts of 2^32 addresses of IPv4, and of 2^64 networks of IPv6.
    let parts = |bits: u8, of: fn(&IpNet) -> bool| -> u128 {
        let sizes = together.iter().filter(|network| of(network));
        sizes.map(|network| 1 << bits.saturating_sub(network.prefix_len())).sum()
    };
    parts(32, |network| matches!(network, IpNet::V4(_))) >= 1 << 31
        || parts(64, |network| matches!(network, IpNet::V6(_))) >= 1 << 60
}
