//! The built-in token endpoint: client credentials (RFC 6749 §4.4) in, a short-lived access token (RFC 9068)
//! out. Plain logic: the transport hands over the form and the Authorization field of a POST whose media type it
//! has checked, and sends back the reply.

use crate::accounts::{Directory, Registration};
use crate::api_key::{Held, KeyRing, NoKey};
use crate::signing_keys::SigningKeys;
use crate::token::{Issuer, SECRET_ID};
use form::Form;
use ironbridge_core::uri::form_text;
use ironbridge_core::{CredentialKind, Sensitive, Timestamp, Word, word};
use ironbridge_seal::{hash, random};
use serde::Serialize;
use serde_json::json;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use zeroize::Zeroizing;

mod failures;
mod form;

use failures::Failures;

/// Below the bridge's public URL.
pub const TOKEN_PATH: &str = "/oauth/token";
/// Where the keys that its tokens are signed with are published (RFC 7517).
pub const JWKS_PATH: &str = "/oauth/jwks";
/// Between host and path of the public URL (RFC 8414 §3).
pub const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// The name under which logs know this endpoint as an issuer.
pub const BUILT_IN: &str = "ironbridge";

/// Characters of a client id that a log line takes; anyone can send one.
const MAX_LOGGED_ID: usize = 128;

/// The bridge's own authorization server: client credentials (RFC 6749 §4.4), and nothing else.
pub struct TokenEndpoint {
    public_url: Box<str>,
    secrets: Arc<KeyRing>,
    signing: Arc<SigningKeys>,
    failures: Failures,
}

/// A POST to the token endpoint.
#[derive(Clone, Copy)]
pub struct TokenRequest<'a> {
    /// The body, `application/x-www-form-urlencoded`.
    pub form: &'a [u8],
    /// The Authorization field.
    pub authorization: Option<&'a [u8]>,
    /// From where it came, as far as that is known.
    pub address: Option<IpAddr>,
}

/// What to answer; `application/json`, never to be cached.
#[derive(Debug)]
pub struct EndpointReply {
    /// As the standard has it.
    pub status: u16,
    /// Beside those of every answer.
    pub headers: Vec<(&'static str, String)>,
    /// JSON; it holds the token.
    pub body: Sensitive,
    /// For the operator's log: the client as it called itself, and why it was refused.
    pub client_id: Option<String>,
    /// Why, for the operator's log.
    pub refused: Option<String>,
    /// For the record.
    pub outcome: TokenOutcome,
}

/// What became of a token request, for the record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenOutcome {
    /// `token_id` is the token's `jti` (RFC 7519 §4.1.7).
    Issued {
        /// The `jti` of the token.
        token_id: String,
    },
    /// `error` is one of RFC 6749 §5.2.
    Refused {
        /// As the record has it.
        error: &'static Word,
    },
}

/// The answer of RFC 6749 §5.1. The token is borrowed, so that no copy of it stays behind.
#[derive(Serialize)]
struct Granted<'a> {
    access_token: &'a str,
    /// In seconds.
    expires_in: u64,
    scope: &'a str,
    token_type: &'a str,
}

/// A refusal in the words of RFC 6749 §5.2.
struct Refusal {
    status: u16,
    error: &'static Word,
    description: &'static str,
    retry_after: Option<Duration>,
    internal: Option<String>,
}

impl TokenEndpoint {
    /// `public_url` is issuer and audience at once: tokens from here are for here.
    pub fn new(public_url: &str, secrets: Arc<KeyRing>, signing: Arc<SigningKeys>) -> TokenEndpoint {
        TokenEndpoint { public_url: public_url.into(), secrets, signing, failures: Failures::default() }
    }

    /// The answer to what is no token request at all.
    pub fn malformed(description: &'static str) -> EndpointReply {
        Refusal::invalid_request(description).reply(None)
    }

    /// The answer to a request whose body could not be read, for which RFC 6749 §5.2 has no word of its own.
    pub fn unread(status: u16, description: &'static str) -> EndpointReply {
        Refusal { status, ..Refusal::invalid_request(description) }.reply(None)
    }

    /// Answers one request. What was refused, the answer says.
    pub fn handle(&self, request: TokenRequest<'_>, directory: &Directory, now: Timestamp) -> EndpointReply {
        let mut client_id = None;
        match self.grant(request, directory, now, &mut client_id) {
            Ok((body, token_id)) => EndpointReply {
                status: 200,
                headers: never_kept(),
                body,
                client_id,
                refused: None,
                outcome: TokenOutcome::Issued { token_id },
            },
            Err(refusal) => refusal.reply(client_id),
        }
    }

    /// This endpoint as an issuer, for the bridge's own [`crate::token::TokenVerifier`]: its clients are the accounts
    /// themselves, and its tokens end with the secret they were taken with.
    pub fn issuer(&self) -> Issuer {
        Issuer {
            kind: CredentialKind::OauthClient,
            secrets: Some(Arc::clone(&self.secrets)),
            ..Issuer::new(
                BUILT_IN,
                &self.public_url,
                [&*self.public_url],
                Arc::clone(self.signing.published()),
            )
        }
    }

    /// The JWKS document.
    pub fn jwks(&self) -> Arc<[u8]> {
        self.signing.jwks()
    }

    /// The authorization server's metadata (RFC 8414 §2).
    pub fn metadata(&self) -> Vec<u8> {
        let base = self.public_url.trim_end_matches('/');
        let metadata = json!({
            "issuer": self.public_url,
            "token_endpoint": format!("{base}{TOKEN_PATH}"),
            "jwks_uri": format!("{base}{JWKS_PATH}"),
            "grant_types_supported": ["client_credentials"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post"],
            "response_types_supported": [],
        });
        metadata.to_string().into_bytes()
    }

    fn grant(
        &self,
        request: TokenRequest<'_>,
        directory: &Directory,
        now: Timestamp,
        named: &mut Option<String>,
    ) -> Result<(Sensitive, String), Refusal> {
        let form = Form::parse(request.form).map_err(Refusal::invalid_request)?;
        let grant_type = form.one("grant_type").ok_or_else(|| Refusal::invalid_request("no grant_type"))?;
        let client = client_of(&form, request.authorization)?;
        *named = Some(client.id.chars().filter(|char| !char.is_control()).take(MAX_LOGGED_ID).collect());
        let (registration, secret) = self.authenticate(&client, request.address, directory, now)?;
        if grant_type != "client_credentials" {
            return Err(Refusal::new(&word::UNSUPPORTED_GRANT_TYPE, "only client_credentials is granted"));
        }
        if form.all("resource").any(|resource| resource != &*self.public_url) {
            return Err(Refusal::new(&word::INVALID_TARGET, "resource is not this bridge's URL"));
        }
        let scope = scope_of(form.one("scope"), registration)?;
        self.issue(registration, &secret, &scope, now)
    }

    /// An unknown client and a wrong secret are refused alike. A right secret is accepted however many wrong ones
    /// came before: with 160 random bits guessing is hopeless, and nobody can lock a client out by trying.
    fn authenticate<'d>(
        &self,
        client: &Client,
        address: Option<IpAddr>,
        directory: &'d Directory,
        now: Timestamp,
    ) -> Result<(&'d Registration, Arc<Held>), Refusal> {
        let known = self.secrets.recognise(client.secret.as_bytes(), now);
        let registration = directory.account(&client.id).filter(|account| account.oauth_client.is_some());
        let why = match (known, registration) {
            (Ok(held), Some(registration)) if *held.account == *client.id => {
                if registration.account.may_call_from(address) {
                    held.note_use(now);
                    return Ok((registration, held));
                }
                match address {
                    Some(address) => format!("the account may not call from {address}"),
                    None => {
                        "the account may call from listed networks, and the address is unknown".to_owned()
                    }
                }
            }
            (Ok(held), _) => format!("the secret is that of `{}`, or may not be used", held.account),
            (Err(NoKey::Malformed), _) => "secret-malformed".to_owned(),
            (Err(NoKey::Unknown), _) => "secret-unknown".to_owned(),
            (Err(NoKey::Revoked), _) => "secret-revoked".to_owned(),
            (Err(NoKey::Expired), _) => "secret-expired".to_owned(),
        };
        let mut refusal = Refusal::invalid_client("client unknown, or its secret is wrong");
        refusal.internal = Some(why);
        if let Some(wait) = self.failures.count(&client.id, address, now) {
            refusal.status = 429;
            refusal.retry_after = Some(wait);
        }
        Err(refusal)
    }

    /// The answer and the token's id.
    fn issue(
        &self,
        registration: &Registration,
        secret: &Held,
        scope: &str,
        now: Timestamp,
    ) -> Result<(Sensitive, String), Refusal> {
        let lifetime = registration.oauth_client.unwrap_or_default().as_secs();
        let name = &*registration.account.name;
        let token_id = hash::base64url(&random::bytes::<16>());
        let claims = json!({
            "iss": self.public_url,
            "aud": self.public_url,
            "sub": name,
            "client_id": name,
            "scope": scope,
            "iat": now.seconds(),
            "exp": now.seconds().saturating_add(lifetime),
            "jti": token_id,
            SECRET_ID: secret.id(),
        });
        let token = Zeroizing::new(self.signing.sign("at+jwt", &claims).map_err(Refusal::server_error)?);
        let answer = Granted { access_token: &token, expires_in: lifetime, scope, token_type: "Bearer" };
        let mut body = Sensitive::default();
        serde_json::to_writer(&mut body, &answer)
            .map_err(|error| Refusal::server_error(error.to_string()))?;
        Ok((body, token_id))
    }
}

/// The client as it presents itself.
struct Client {
    id: Box<str>,
    secret: Zeroizing<String>,
}

/// Exactly one of the two ways to authenticate (RFC 6749 §2.3).
fn client_of(form: &Form, authorization: Option<&[u8]>) -> Result<Client, Refusal> {
    if form.one("client_assertion").is_some() || form.one("client_assertion_type").is_some() {
        return Err(Refusal::invalid_client("client assertions are not accepted"));
    }
    let (id, secret) = (form.one("client_id"), form.one("client_secret"));
    match (authorization, id, secret) {
        (Some(_), _, Some(_)) => Err(Refusal::invalid_request("two ways of client authentication")),
        (Some(field), id, None) => {
            let (user, secret) = basic(field)
                .ok_or_else(|| Refusal::invalid_client("Authorization is not well-formed Basic"))?;
            if id.is_some_and(|id| id != user) {
                return Err(Refusal::invalid_request("client_id differs from the Authorization field"));
            }
            Ok(Client { id: user.into(), secret })
        }
        (None, Some(id), Some(secret)) => {
            Ok(Client { id: id.into(), secret: Zeroizing::new(secret.to_owned()) })
        }
        (None, _, _) => Err(Refusal::invalid_client("no client authentication")),
    }
}

/// Client id and secret, each form-encoded before they were joined (RFC 6749 §2.3.1).
fn basic(field: &[u8]) -> Option<(String, Zeroizing<String>)> {
    let field = std::str::from_utf8(field).ok()?;
    let (scheme, encoded) = field.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = Zeroizing::new(hash::unbase64(encoded.trim_start_matches(' '))?);
    let (id, secret) = std::str::from_utf8(&decoded).ok()?.split_once(':')?;
    Some((form_text(id)?, Zeroizing::new(form_text(secret)?)))
}

/// What is asked for, if the account's roles hold all of it; everything they hold when nothing is asked for.
fn scope_of(asked: Option<&str>, registration: &Registration) -> Result<String, Refusal> {
    let Some(asked) = asked else {
        return Ok(registration.scopes.join(" "));
    };
    let held = |name: &str| registration.scopes.iter().any(|scope| **scope == *name);
    if !asked.split(' ').all(held) {
        return Err(Refusal::new(
            &word::INVALID_SCOPE,
            "scope names a permission that the client's roles do not hold",
        ));
    }
    Ok(asked.to_owned())
}

/// RFC 6749 §5.1.
fn never_kept() -> Vec<(&'static str, String)> {
    vec![("cache-control", "no-store".to_owned()), ("pragma", "no-cache".to_owned())]
}

impl Refusal {
    fn new(error: &'static Word, description: &'static str) -> Refusal {
        Refusal { status: 400, error, description, retry_after: None, internal: None }
    }

    fn invalid_request(description: &'static str) -> Refusal {
        Refusal::new(&word::INVALID_REQUEST, description)
    }

    fn invalid_client(description: &'static str) -> Refusal {
        Refusal { status: 401, ..Refusal::new(&word::INVALID_CLIENT, description) }
    }

    fn server_error(internal: String) -> Refusal {
        let refusal = Refusal::new(&word::SERVER_ERROR, "the token could not be made; try again");
        Refusal { status: 500, internal: Some(internal), ..refusal }
    }

    fn reply(self, client_id: Option<String>) -> EndpointReply {
        let mut headers = never_kept();
        // Owed to every 401 (RFC 9110 §15.5.2).
        if self.status == 401 {
            headers.push(("www-authenticate", "Basic realm=\"ironbridge\", charset=\"UTF-8\"".to_owned()));
        }
        if let Some(wait) = self.retry_after {
            headers.push(("retry-after", wait.as_secs().max(1).to_string()));
        }
        let body = json!({ "error": self.error.id, "error_description": self.description });
        let why = self.internal.unwrap_or_else(|| self.description.to_owned());
        EndpointReply {
            status: self.status,
            headers,
            body: Sensitive::new(body.to_string()),
            client_id,
            refused: Some(format!("{}: {why}", self.error.id)),
            outcome: TokenOutcome::Refused { error: self.error },
        }
    }
}
