//! What a manifest says of those who take part: systems, roles and accounts.

use super::{CertificateFiles, CredentialKind, Danger, KeySource, Targets};
use crate::keys::Read;
use crate::reader::Reader;
use crate::schema::Definitions;
use crate::yaml::Node;
use crate::{
    Country, Duration, FieldName, FilePath, Name, Number, OneOrMore, PermissionName, San, Thumbprint, Url,
};
use crate::{one_of, section, words};
use ipnet::IpNet;
use ironbridge_core::SecretName;

section! {
    /// Something data comes from or goes to.
    pub struct System later("database", "sftp", "kafka", "rabbitmq", "nats", "as2", "ssh") {
        /// Who answers for it: an address of a person or team.
        owner: String,
        /// Where it processes data.
        country: Country,
        /// Its part under the GDPR.
        role: SystemRole = "controller",
    }
    and targets: Targets
}

words! {
    /// A system's part under the GDPR (Art. 4(7), 4(8), 26).
    pub enum SystemRole {
        /// Decides on purposes and means.
        Controller = "controller",
        /// Processes on a controller's behalf.
        Processor = "processor",
        /// Decides together with others.
        JointController = "joint_controller",
    }
}

section! {
    /// How the bridge reaches a system over HTTP.
    pub struct HttpTarget {
        /// Where it is. Operations' paths are appended.
        url: Url,
        /// PEM file of the CA that its certificate comes from. Default: the system's. Verification cannot be
        /// switched off.
        ca: Option<FilePath>,
        /// The name its certificate must carry. Default: the URL's host.
        server_name: Option<String>,
        /// Which HTTP it speaks.
        protocol: Protocol = "http1",
        /// Tell it the caller's address, in `Forwarded` (RFC 7239) and `X-Forwarded-For`. `false` where it has no need to
        /// know: an address may be personal data. That the call came over TLS (`X-Forwarded-Proto`) and through the
        /// bridge (`Via`) it learns in any case.
        caller_address: bool = "true",
        /// The bridge's client certificate toward it.
        certificate: Option<ClientCertificate>,
        /// The bridge's credential toward it. A reply that repeats it is refused, or cut where it streams; replies
        /// are asked for uncompressed then, because nothing is seen in a compressed one, and one that comes compressed
        /// all the same is refused, unless the operation lists Accept-Encoding in `request.headers`.
        auth: Option<TargetAuth>,
        /// Connections held to it at once, 1 to 1,000,000. Where several accounts may call it, one holds half of them at
        /// most, and at least one; over HTTP/2, as many streams as half of them carry. WebSockets count for as long
        /// as they are open. Connections at rest make room. What is beyond that waits for a second, WebSockets do not;
        /// then it is refused with `target-busy`.
        max_connections: Number<1, 1_000_000> = "512",
        /// For a connection with its TLS handshake. A name is asked for anew every ten seconds; while nobody answers,
        /// addresses are used that were known up to five minutes ago.
        connect_timeout: Duration = "5s",
        /// Lets the URL be `http`: everything is readable and changeable on the way.
        danger_plaintext: Option<Danger>,
    }
}

words! {
    /// Which HTTP a target speaks.
    pub enum Protocol {
        /// HTTP/1.1.
        Http1 = "http1",
        /// HTTP/2 only; gRPC needs it.
        Http2 = "http2",
        /// HTTP/2 where the target offers it (ALPN), else HTTP/1.1.
        Auto = "auto",
    }
}

/// The bridge's client certificate toward a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClientCertificate {
    /// A chain with its key.
    Files {
        /// The certificate, and those that it comes from but for the root, as PEM.
        chain: FilePath,
        /// Its private key.
        key: KeySource,
    },
    /// Issued and renewed by the internal CA.
    Issued,
}

one_of! {
    /// The bridge's credential toward a target. The caller's own never reaches it.
    pub enum TargetAuth {
        /// A fixed bearer token (RFC 6750).
        Bearer(Bearer) = "bearer",
        /// User name and password (RFC 7617).
        Basic(Basic) = "basic",
        /// A value in a header field.
        Header(Header) = "header",
        /// An access token from the target's authorization server by client credentials (RFC 6749 §4.4).
        Oauth2(Oauth2) = "oauth2",
    }
}

section! {
    /// A fixed bearer token (RFC 6750).
    pub struct Bearer {
        /// The token alone, without `Bearer`: letters, digits and signs of ASCII, no blank.
        token: SecretName,
    }
}

section! {
    /// User name and password (RFC 7617).
    pub struct Basic {
        /// The user name; no colon and no control character.
        username: String,
        /// The password; no control character.
        password: SecretName,
    }
}

section! {
    /// A value in a header field.
    pub struct Header {
        /// The field's name: `X-Api-Key`.
        name: FieldName,
        /// The value; no control character, and no blank at either end.
        value: SecretName,
    }
}

section! {
    /// An access token from the target's authorization server by client credentials (RFC 6749 §4.4), cached and
    /// renewed before it expires.
    pub struct Oauth2 later("private_key_jwt", "assertion") {
        /// The token endpoint.
        token_url: Url,
        /// The bridge's client id there.
        client_id: String,
        /// The client secret.
        client_secret: SecretName,
        /// Scopes to ask for.
        scopes: Vec<String>,
        /// The resource to ask for (RFC 8707).
        resource: Option<String>,
        /// How the secret is sent.
        method: ClientAuthentication = "basic",
        /// PEM file of the CA that the endpoint's certificate comes from. Default: the target's `ca`.
        ca: Option<FilePath>,
    }
}

words! {
    /// How a client secret is sent to a token endpoint (RFC 6749 §2.3.1).
    pub enum ClientAuthentication {
        /// In the Authorization field.
        Basic = "basic",
        /// In the form body.
        Post = "post",
    }
}

section! {
    /// A named set of permissions.
    pub struct Role {
        /// What the role says for people.
        description: Option<String>,
        /// What it allows.
        permissions: Vec<PermissionName>,
    }
}

section! {
    /// A service account: the identity under which a system calls. It has roles, never permissions of its own.
    pub struct Account later("dpop", "ssh_keys") {
        /// The system that calls under this identity.
        system: Name,
        /// Who answers for it: an address of a person or team.
        owner: String,
        /// Its roles.
        roles: Vec<Name>,
        /// How it proves who it is: at least one.
        credentials: Credentials,
        /// Networks it may call from, at least one. Default: all.
        addresses: Option<OneOrMore<IpNet>>,
    }
}

section! {
    /// How an account proves who it is: at least one of these.
    pub struct Credentials later("saml", "ssh", "dpop", "signature", "private_key_jwt") {
        /// API keys, issued with `ironbridge key issue` and shown once.
        api_key: Option<ApiKey>,
        /// Client credentials at the built-in token endpoint.
        oauth_client: Option<OauthClient>,
        /// Access tokens of a declared issuer.
        token: Option<ExternalToken>,
        /// A client certificate.
        certificate: Option<CertificateMatch>,
    }
}

section! {
    /// API keys. Two may live at a time, so that one can follow the other. The store keeps 10,000 issued keys and client
    /// secrets, of all accounts; where there is no room for another, those are forgotten that expired or were revoked
    /// first, from three days on, and the record `key.forget` says how many.
    pub struct ApiKey {
        /// How long a key lives, at most 366d.
        lifetime: Duration = "90d",
    }
}

section! {
    /// Client credentials at the built-in token endpoint. The secret is issued with the CLI and shown once.
    pub struct OauthClient {
        /// How long its tokens live, at most 1h. A token ends earlier when the secret it was taken with is revoked; where
        /// the secret merely expires, what was taken with it lives out this time.
        token_lifetime: Duration = "10m",
        /// How long its secret lives, at most 366d. Two may live at a time, so that one can follow the other: revoke the
        /// first once the tokens taken with it have had their time, and its client notices nothing.
        secret_lifetime: Duration = "366d",
    }
}

section! {
    /// Access tokens of a declared issuer. Their scope, if they have one, limits what the roles allow: see
    /// [Issuer](#issuer).
    pub struct ExternalToken {
        /// The issuer's name under `bridge.issuers`.
        issuer: Name,
        /// The account's client id there.
        client_id: String,
    }
}

section! {
    /// A client certificate, known by exactly one of `san` and `thumbprint`.
    pub struct CertificateMatch {
        /// A subject alternative name: a URI, a DNS name or an e-mail address.
        san: Option<San>,
        /// SHA-256 of the certificate, 64 hexadecimal digits. This is the only certificate then.
        thumbprint: Option<Thumbprint>,
        /// PEM file of the CA that it comes from; of several in it, any will do. Default: the internal CA.
        ca: Option<FilePath>,
    }
}

impl Credentials {
    /// The kinds that are declared.
    pub fn kinds(&self) -> impl Iterator<Item = CredentialKind> {
        [
            self.api_key.is_some().then_some(CredentialKind::ApiKey),
            self.oauth_client.is_some().then_some(CredentialKind::OauthClient),
            self.token.is_some().then_some(CredentialKind::Token),
            self.certificate.is_some().then_some(CredentialKind::Certificate),
        ]
        .into_iter()
        .flatten()
    }
}

section! {
    /// Issued and renewed by the internal CA.
    pub struct Issued {
        /// Only `true` has a meaning.
        issued: True,
    }
}

words! {
    /// A key that is there or not.
    pub enum True {
        /// Yes.
        True = "true",
    }
}

impl Read for ClientCertificate {
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self> {
        if node.entry("issued").is_some() {
            Issued::read(node, reader).map(|_| ClientCertificate::Issued)
        } else {
            CertificateFiles::read(node, reader)
                .map(|CertificateFiles { chain, key }| ClientCertificate::Files { chain, key })
        }
    }

    fn schema(definitions: &mut Definitions) -> serde_json::Value {
        serde_json::json!({
            "oneOf": [Issued::schema(definitions), CertificateFiles::schema(definitions)]
        })
    }
}
