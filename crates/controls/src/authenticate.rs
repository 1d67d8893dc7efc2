//! Who is it? (A1, A2, A4, A6)

use crate::order;
use ironbridge_core::{
    Claim, Code, Control, CredentialKind, Denial, Exchange, Judgement, Presented, Principal, Row, Sensitive,
    Stop, code,
};
use ironbridge_identity::accounts::Directory;
use ironbridge_identity::api_key::KeyRing;
use ironbridge_identity::certificate::CertificateVerifier;
use ironbridge_identity::token::{Outcome, TokenVerifier};
use std::sync::Arc;

/// The verifiers. They outlive reloads of the manifest, with the keys they hold and the proofs they remember.
pub struct Authenticator {
    /// Of API keys.
    pub keys: Arc<KeyRing>,
    /// Of access tokens, other issuers' and the bridge's own.
    pub tokens: Arc<TokenVerifier>,
    /// Of client certificates.
    pub certificates: Arc<CertificateVerifier>,
}

/// Finds out whose account calls, from exactly one credential.
///
/// A credential in the header (a bearer token or an API key) is what the caller chose to be known by; a client
/// certificate counts only without one. Two credentials in the header are `credentials-ambiguous`, and so is
/// a repeated one; a credential of a kind that is not accepted is as good as none
/// (`credentials-missing`). Other refusals are those of the verifiers.
#[derive(Clone)]
pub struct Authenticate {
    authenticator: Arc<Authenticator>,
    accepted: Arc<[CredentialKind]>,
    directory: Arc<Directory>,
}

impl Authenticate {
    /// `directory` is that of the manifest whose integration `accepted` belongs to.
    pub fn new(
        authenticator: Arc<Authenticator>,
        accepted: impl IntoIterator<Item = CredentialKind>,
        directory: Arc<Directory>,
    ) -> Authenticate {
        Authenticate { authenticator, accepted: accepted.into_iter().collect(), directory }
    }

    fn accepts(&self, kind: CredentialKind) -> bool {
        self.accepted.contains(&kind)
    }

    fn verify(&self, exchange: &Exchange) -> Outcome {
        let Authenticator { keys, tokens, .. } = &*self.authenticator;
        let now = exchange.received;
        let refused = |code, what| Outcome::Now(Err(self.refusal(code, what)));
        let claim = match &exchange.presented {
            Presented::Ambiguous { .. } => return Outcome::Now(Err((&code::CREDENTIALS_AMBIGUOUS).into())),
            Presented::Unspoken => {
                let what = "The scheme of the Authorization field is not spoken here";
                return refused(&code::CREDENTIALS_UNSPOKEN, what);
            }
            Presented::Nothing => return self.verify_connection(exchange),
            Presented::Claim(claim) => claim,
        };
        match claim {
            // Before a verifier calls it a malformed token.
            Claim::Bearer(token) if looks_like_a_key(token) => {
                refused(&code::CREDENTIALS_MISSING, "An API key came in the Authorization field")
            }
            // Which of the two kinds a token is, its issuer tells.
            Claim::Bearer(token)
                if self.accepts(CredentialKind::Token) || self.accepts(CredentialKind::OauthClient) =>
            {
                tokens.verify(token.expose(), &self.directory, now)
            }
            Claim::ApiKey(key) if self.accepts(CredentialKind::ApiKey) => {
                Outcome::Now(keys.verify(key.expose(), &self.directory, now))
            }
            Claim::Bearer(_) => refused(&code::CREDENTIALS_MISSING, "A token came, and none is accepted"),
            Claim::ApiKey(_) => refused(&code::CREDENTIALS_MISSING, "An API key came, and none is accepted"),
        }
    }

    /// Where no credential came with the request, that of its connection counts.
    fn verify_connection(&self, exchange: &Exchange) -> Outcome {
        let certificates = &self.authenticator.certificates;
        let accepted = self.accepts(CredentialKind::Certificate);
        Outcome::Now(match exchange.origin.certificate().filter(|_| accepted) {
            Some(certificate) => certificates.verify(certificate, &self.directory, exchange.received),
            None => Err(self.refusal(&code::CREDENTIALS_MISSING, "No credential came")),
        })
    }

    /// What came, and what this integration accepts in its place.
    fn refusal(&self, code: &'static Code, what: &str) -> Box<Denial> {
        let ways = [
            (&[CredentialKind::ApiKey][..], "an API key in X-API-Key"),
            (
                &[CredentialKind::Token, CredentialKind::OauthClient][..],
                "an access token as Authorization: Bearer",
            ),
            (&[CredentialKind::Certificate][..], "a client certificate"),
        ];
        let ways = ways.iter().filter(|(kinds, _)| kinds.iter().any(|kind| self.accepts(*kind)));
        let ways: Vec<&str> = ways.map(|(_, way)| *way).collect();
        let ways = if ways.is_empty() {
            "nobody can call".to_owned()
        } else {
            format!("send {}", ways.join(", or "))
        };
        Box::new(Denial::new(code).detail(format!("{what}; {ways}.")))
    }

    fn admit(&self, exchange: &mut Exchange, proven: Result<Principal, Box<Denial>>) -> Result<(), Stop> {
        let principal = proven.inspect_err(|_| exchange.would_do = Some(Arc::clone(&self.accepted)))?;
        let kind = principal.credential().kind;
        if !self.accepts(kind) {
            exchange.would_do = Some(Arc::clone(&self.accepted));
            let refusal = self.refusal(&code::CREDENTIALS_MISSING, "This kind of credential is not accepted");
            return Err(refusal.internal(format_args!("a credential of kind {}", kind.name())).into());
        }
        exchange.principal = Some(principal);
        Ok(())
    }
}

/// Keys of this bridge begin like this; tokens, which are base64url with dots, never do.
fn looks_like_a_key(token: &Sensitive) -> bool {
    token.expose().starts_with(b"ibk_")
}

impl Control for Authenticate {
    fn row(&self) -> &'static Row {
        &order::AUTHENTICATE
    }

    fn judge<'a>(&'a self, exchange: &'a mut Exchange) -> Judgement<'a> {
        match self.verify(exchange) {
            Outcome::Now(proven) => self.admit(exchange, proven).into(),
            Outcome::Later(proof) => Judgement::Later(Box::pin(async move {
                let proven = proof.await;
                self.admit(exchange, proven)
            })),
        }
    }
}
