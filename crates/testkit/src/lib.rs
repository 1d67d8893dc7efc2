//! What the tests and the benchmark put around the bridge: an authority, targets and issuers that misbehave on
//! demand, and guards for real programs (curl, HAProxy, an OpenID provider) that nobody here wrote.
//!
//! Everything listens on a free loopback port and stops when its guard is dropped. A missing program is an error
//! that names the command which installs it, never a silent skip.

#![warn(missing_docs)]

mod certificates;
mod issuer;
mod peers;
mod process;
mod reply;
mod seen;
mod target;
mod wire;

pub use certificates::{Authority, Identity, Validity};
pub use issuer::TokenIssuer;
pub use peers::{
    CurlReply, NodeServer, OidcProvider, OidcSettings, call, curl, oauth_client, peer, repository,
};
pub use process::{Process, free_port};
pub use reply::{Choice, Reply};
pub use seen::Seen;
pub use target::{FakeTarget, FakeTargetBuilder, Protocols};
pub use wire::{Dialer, Wire};
