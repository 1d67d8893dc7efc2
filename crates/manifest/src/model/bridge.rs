//! What a manifest says of the bridge itself.

use super::{Audit, Danger, Map};
use crate::value::FromText;
use crate::{
    BridgeName, Country, Directory, Duration, FilePath, Host, Name, Number, OneOrMore, Rate, Size, Url,
};
use crate::{section, words};
use ipnet::IpNet;
use ironbridge_core::SecretName;
use std::net::SocketAddr;

section! {
    /// The bridge itself.
    pub struct Bridge later("secret_stores", "cluster", "telemetry", "acme", "keys", "admin") {
        /// Its name, which is also the origin of its audit trail. Where the log is served to others it should be the
        /// log's URL without `https://` (C2SP tlog-tiles), such as `bridge.example/log`: lower-case letters, digits,
        /// `.`, `_` and `-` between slashes, a port after the first part, at most 64 characters. In Via, slash and
        /// colon become `-`. It cannot change later: a bridge does not start on a trail of another name.
        name: BridgeName,
        /// The address under which callers reach it. Tokens of the built-in token endpoint name it as their
        /// issuer. Required as soon as an account has `oauth_client` credentials; otherwise
        /// `https://localhost:PORT` of the first listener. Only a restart changes it.
        public_url: Option<Url>,
        /// Who runs it.
        organisation: Option<Organisation>,
        /// Where state, keys and the audit trail are kept; relative to the file that says so. Only a restart changes it: a
        /// manifest that does is refused while the bridge runs.
        data_dir: Directory = "./data",
        /// Threads that carry exchanges, 1 to 1024; only a restart changes it. Default: one per core.
        workers: Option<Number<1, 1024>>,
        /// Where it listens. Default: one listener `api` on 127.0.0.1:8443.
        listeners: Map<Listener>,
        /// Token issuers that it trusts besides itself.
        issuers: Map<Issuer>,
        /// Limits that hold before anything is known of the caller.
        limits: BridgeLimits,
        /// How long it waits for callers.
        timeouts: Timeouts,
        /// The audit trail beyond the data directory.
        audit: Audit,
    }
}

section! {
    /// The organisation that runs the bridge, as the record of processing activities prints it.
    pub struct Organisation {
        /// Its name.
        name: String,
        /// How to reach it about data protection.
        contact: String,
        /// How to reach its data protection officer.
        data_protection_officer: Option<String>,
        /// Where it is established.
        country: Country,
    }
}

section! {
    /// A place where the bridge takes connections. TLS always.
    pub struct Listener {
        /// Address and port: `0.0.0.0:8443`, `[::]:8443`.
        address: SocketAddr,
        /// Further hosts that it is for: names, with `*.` for any one label, and addresses. It is always for
        /// `public_url`'s host, for its certificate's names, and for the address that a connection was made to, whatever
        /// the port. Requests for any other host are refused with `misdirected`. A certificate of the internal CA's
        /// carries these names too.
        hosts: Vec<Host>,
        /// Its server certificate. Default: issued and renewed by the internal CA.
        certificate: Option<CertificateFiles>,
        /// Whether clients are asked for a certificate.
        client_certificates: ClientCertificates = "optional",
        /// Networks that its callers may call from, at least one; behind `trusted_proxies`, the address is judged that
        /// they name, and not their own. Default: all.
        addresses: Option<OneOrMore<IpNet>>,
        /// Proxies that are believed when they say whom they call for, in `X-Forwarded-For` or `Forwarded`
        /// (RFC 7239), with or without a port. The caller is the first address from the right that is not in these
        /// networks. A request of theirs that names no readable address there (an empty element, `unknown`) is
        /// refused with `forwarded-unreadable`; one without any forwarding field is a call of the proxy's own.
        /// Networks that are, together, half of all addresses or more are an error.
        trusted_proxies: Vec<IpNet>,
        /// The one field that the trusted proxies write; the other is then not read. Default: both are read, and
        /// where both are there, they must name the same caller.
        forwarded: Option<ForwardingField>,
        /// Connections held at once, 1 to 1,000,000; what is beyond is closed before its TLS handshake. When all are taken, those make room that have no request under
        /// way: those on which nobody authenticated first, and of these those idle the longest. A quarter is kept
        /// for addresses from which somebody authenticated in the last 15 minutes.
        max_connections: Number<1, 1_000_000> = "10000",
    }
}

section! {
    /// A certificate with its key.
    pub struct CertificateFiles {
        /// PEM file: the certificate first, then its intermediates.
        chain: FilePath,
        /// PEM file (readable by the owner only) or a secret.
        key: KeySource,
    }
}

/// Where a private key is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeySource {
    /// In a file that only its owner can read.
    File(FilePath),
    /// In a secret store.
    Secret(SecretName),
}

words! {
    /// Whether a listener asks clients for a certificate.
    pub enum ClientCertificates {
        /// Never asked for.
        Off = "off",
        /// Asked for; callers without one authenticate otherwise.
        Optional = "optional",
        /// No connection without one that an account declares; those that were open before a reload said so go on.
        Required = "required",
    }
}

words! {
    /// A field in which proxies say whom they call for.
    pub enum ForwardingField {
        /// `X-Forwarded-For: 203.0.113.9, 10.0.0.1`.
        XForwardedFor = "x-forwarded-for",
        /// `Forwarded: for=203.0.113.9` (RFC 7239).
        Forwarded = "forwarded",
    }
}

section! {
    /// An issuer of JWT access tokens (RFC 9068). Where a token has `scope` or `scp`, it may do only what these name,
    /// of what its account's roles allow; a token without either may do all of that. Scopes that an issuer puts in by
    /// itself and that name no permission, as Keycloak's `profile email`, leave a token with nothing
    /// (`scope-missing`), and so does an empty scope. In Keycloak, take those from the client's default scopes and give
    /// it client scopes named like the permissions; in Auth0, name the API's permissions like those of the manifest;
    /// tokens of applications from Entra have `roles` and no scope. `ironbridge explain keycloak`, `auth0`, `entra` and
    /// `okta` show a manifest for each ([topics](topics.md)).
    pub struct Issuer {
        /// Its identifier, exactly as its tokens carry it in `iss`, a slash at the end included:
        /// `https://keycloak.example.org/realms/acme`, `https://acme.eu.auth0.com/`.
        issuer: Url,
        /// What its tokens must carry in `aud`: one of these. An audience that is this bridge's alone keeps tokens for
        /// others out.
        audience: OneOrMore<String>,
        /// Where its keys are. Default: discovered (RFC 8414, then OpenID Connect Discovery), on the host of `issuer`.
        /// Issuers that keep them on another host, as Google does, need it declared. They are fetched anew every five
        /// minutes, sooner where the issuer says so (max-age, a minute at least), and when a token names another: a key
        /// that it withdraws is not believed for longer. While they cannot be fetched, known ones serve for a day.
        jwks_url: Option<Url>,
        /// PEM file of the CA that its server's certificate comes from. Default: the system's.
        ca: Option<FilePath>,
        /// Signature algorithms accepted from it.
        algorithms: OneOrMore<Algorithm> = "[ES256, ES384, PS256, PS384, PS512, RS256, Ed25519]",
        /// The claim that names the client: `azp` in tokens of Keycloak, Auth0 and Entra, `appid` in those of version
        /// 1.0 from Entra, `cid` in Okta's.
        client_id_claim: String = "client_id",
        /// Accepts tokens whose `typ` is `JWT` or missing instead of `at+jwt`. Such an issuer's other tokens
        /// could pass for access tokens: only `aud` tells them apart then.
        danger_accept_untyped_tokens: Option<Danger>,
    }
}

words! {
    /// A signature algorithm, by its JOSE name (RFC 7518 §3.1, RFC 9864 §2.2).
    pub enum Algorithm {
        /// ECDSA on P-256 with SHA-256.
        Es256 = "ES256",
        /// ECDSA on P-384 with SHA-384.
        Es384 = "ES384",
        /// RSASSA-PSS with SHA-256.
        Ps256 = "PS256",
        /// RSASSA-PSS with SHA-384.
        Ps384 = "PS384",
        /// RSASSA-PSS with SHA-512.
        Ps512 = "PS512",
        /// RSASSA-PKCS1-v1_5 with SHA-256, keys of 2048 bits or more.
        Rs256 = "RS256",
        /// EdDSA on Curve25519; tokens that call it `EdDSA` are accepted too.
        Ed25519 = "Ed25519",
    }
}

section! {
    /// Limits that hold before anything is known of the caller.
    pub struct BridgeLimits {
        /// Requests from one address (one /64 network for IPv6).
        per_address: Rate = "6000/min",
        /// Connections from one address (one /64 network for IPv6), 1 to 1,000,000; more are closed before the TLS
        /// handshake. A listener's `trusted_proxies` are not bound by it, since they carry many callers: raise it
        /// for others behind which many callers share an address.
        connections_per_address: Number<1, 1_000_000> = "256",
        /// Exchanges open at once over all listeners, 1 to 1,000,000; more are refused with `bridge-busy` and told to
        /// come back. An exchange is open until its answer has left.
        max_exchanges: Number<1, 1_000_000> = "20000",
        /// What the bridge holds of bodies that a control reads, at most: as they come, as they are read (up to six
        /// times the text of a body, while it is judged), and until they are sent on. One account may hold as much as is
        /// still free beside it: alone half of it, with two a third each. What finds no room is refused with
        /// `bridge-full`, before more of it is read; what could never find it, with `body-too-large`, whatever `max_body`
        /// says. So that a body of many small values is judged beside a schema, this must be 14 times `max_body`; a rule
        /// takes another 112 bytes for each value that it looks through. Bodies that no control reads stream past and
        /// are not held. Of one of up to 16 KiB a copy is kept until the target answers, so that it can be sent on another
        /// connection where the target did not take it up: 4 MiB at most for each core, beside this.
        memory: Size = "256MiB",
        /// What is kept on disk of requests with an Idempotency-Key, at most: keys and answers, each for its operation's
        /// `replay.window`. One account may fill as much as is still free beside it: alone half of it. What finds no room
        /// is refused with `idempotency-full`, before anything is sent to the target. A thousand requests with answers
        /// of 1 KiB take about 1.5 MiB.
        replay: Size = "4GiB",
    }
}

section! {
    /// How long the bridge waits for callers.
    pub struct Timeouts {
        /// For the whole header section of a request, the TLS handshake included.
        header: Duration = "10s",
        /// For the next request on an open connection, from the end of the last answer.
        idle: Duration = "75s",
        /// For the whole body of a request; for each pause in it, where it streams to the target. And for as long a caller
        /// may take nothing of an answer that is whole, or of all that its connection carries; of an answer that
        /// streams, `idle_timeout` says how long.
        body: Duration = "60s",
        /// For open exchanges, WebSockets and streams to end when the bridge stops, or when a reload moves or removes a
        /// listener; what is still open then is cut, and recorded.
        drain: Duration = "30s",
    }
}

impl Bridge {
    /// The address under which callers reach it, without a trailing slash.
    pub fn origin(&self) -> String {
        match &self.public_url {
            Some(url) => url.text.trim_end_matches('/').to_owned(),
            None => {
                let port = self.listeners.values().next().map_or(8443, |listener| listener.address.port());
                format!("https://localhost:{port}")
            }
        }
    }

    /// The listener that serves a flow: the one it names, else `api`, else the only one.
    pub fn listener_of(&self, flow: &super::HttpFlow) -> Option<(&Name, &Listener)> {
        self.listener_called(flow.listener.as_ref())
    }

    /// The listener of this name; without one, as for a flow that names none.
    pub fn listener_called(&self, name: Option<&Name>) -> Option<(&Name, &Listener)> {
        match name {
            Some(name) => self.listeners.get_key_value(name),
            None => self
                .listeners
                .get_key_value("api")
                .or_else(|| self.listeners.first_key_value().filter(|_| self.listeners.len() == 1)),
        }
    }
}

impl Listener {
    /// What a bridge has that declares no listener.
    pub(crate) fn standard() -> Option<(Name, Listener)> {
        let name = Name::from_text("api").ok()?;
        let listener = Listener {
            address: SocketAddr::from(([127, 0, 0, 1], 8443)),
            hosts: Vec::new(),
            certificate: None,
            client_certificates: ClientCertificates::Optional,
            addresses: None,
            trusted_proxies: Vec::new(),
            forwarded: None,
            max_connections: Number::new(10_000)?,
        };
        Some((name, listener))
    }
}
