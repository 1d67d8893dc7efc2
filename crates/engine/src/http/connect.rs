//! How connections to a target are made, which is known without a running bridge.

use ironbridge_manifest::{self as manifest, HttpTarget};
use ironbridge_net::tls::{Identity, Roots};
use ironbridge_net::upstream;

/// As declared, with these roots, and what the bridge shows of itself.
pub fn settings(target: &HttpTarget, roots: Roots, identity: Option<Identity>) -> upstream::Settings {
    let mut settings = upstream::Settings::new(&*target.url.text);
    (settings.roots, settings.identity) = (roots, identity);
    settings.server_name = target.server_name.clone();
    settings.protocol = match target.protocol {
        manifest::Protocol::Http1 => upstream::Protocol::Http1,
        manifest::Protocol::Http2 => upstream::Protocol::Http2,
        manifest::Protocol::Auto => upstream::Protocol::Auto,
    };
    settings.max_connections = usize::try_from(target.max_connections.value()).unwrap_or(usize::MAX);
    settings.connect_timeout = target.connect_timeout;
    settings.danger_plaintext = target.danger_plaintext.is_some();
    settings
}
