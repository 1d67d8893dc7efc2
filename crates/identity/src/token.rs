//! JWT access tokens (RFC 9068), verified as strictly as RFC 8725 asks, and remembered until they expire.

use crate::accounts::{Directory, Registration};
use crate::issuer_keys::NextAttempt;
use crate::remembered::{Entry, Remembered};
use ahash::AHashMap;
use claims::Claims;
use ironbridge_core::{
    BoxFuture, Credential, CredentialKind, Denial, PermissionSet, Principal, Timestamp, code,
};
use ironbridge_seal::hash;
use ironbridge_seal::jose::{JoseError, JwkSet, Unverified, Verified};
use std::sync::Arc;
use std::time::Duration;

mod claims;
mod issuer;
mod wanted;

pub(crate) use claims::SECRET_ID;
pub use claims::SKEW;
pub use issuer::{Issuer, TypePolicy};

/// Longer tokens are verified each time: memory stays bounded by the number of remembered ones.
const MAX_REMEMBERED: usize = 4096;
/// Keys tried for a token that names none. Ours: issuers with several keys name them.
const MAX_KEYS_TRIED: usize = 4;
/// Within this the issuer may be back.
const UNAVAILABLE_RETRY: Duration = Duration::from_secs(5);

/// Verifies access tokens of all issuers of one loaded manifest.
pub struct TokenVerifier {
    issuers: Vec<Issuer>,
    by_url: AHashMap<Box<str>, usize>,
    remembered: Option<Remembered>,
}

/// Two issuers have the same identifier, so a token would not tell which it is from.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{first}` and `{second}` are the same issuer, {url}")]
pub struct SameIssuer {
    /// The issuer.
    pub url: Box<str>,
    /// One of the names under which it is declared.
    pub first: Box<str>,
    /// The other.
    pub second: Box<str>,
}

/// Most tokens are judged at once; only one whose issuer's keys are being fetched pays for a future.
pub enum Outcome {
    /// It could be said at once.
    Now(Result<Principal, Box<Denial>>),
    /// Keys have to be fetched first.
    Later(BoxFuture<'static, Result<Principal, Box<Denial>>>),
}

/// Why a token is not accepted, or not yet.
enum Halt {
    Deny(Box<Denial>),
    /// Other keys are on their way; the denial stands if they do not help.
    Keys(NextAttempt, Box<Denial>),
}

impl TokenVerifier {
    /// `remember`: how many verified tokens to keep; 0 verifies every token every time.
    pub fn new(issuers: Vec<Issuer>, remember: usize) -> Result<TokenVerifier, SameIssuer> {
        let mut by_url: AHashMap<Box<str>, usize> = AHashMap::new();
        for (index, issuer) in issuers.iter().enumerate() {
            let same = by_url.insert(issuer.url.clone(), index).and_then(|first| issuers.get(first));
            if let Some(first) = same {
                return Err(SameIssuer {
                    url: issuer.url.clone(),
                    first: first.name.clone(),
                    second: issuer.name.clone(),
                });
            }
        }
        let remembered = (remember > 0).then(|| Remembered::new(remember));
        Ok(TokenVerifier { issuers, by_url, remembered })
    }

    /// Whose tokens are taken.
    pub fn issuers(&self) -> &[Issuer] {
        &self.issuers
    }

    /// Who presents this token.
    pub fn verify(self: &Arc<Self>, token: &[u8], directory: &Arc<Directory>, now: Timestamp) -> Outcome {
        if let Some(principal) = self.recall(token, directory, now) {
            return Outcome::Now(Ok(principal));
        }
        match self.judge(token, directory, now) {
            Ok(principal) => Outcome::Now(Ok(principal)),
            Err(Halt::Deny(denial)) => Outcome::Now(Err(denial)),
            Err(Halt::Keys(next, _)) => {
                let (verifier, token, directory) =
                    (Arc::clone(self), Box::from(token), Arc::clone(directory));
                Outcome::Later(Box::pin(verifier.wait(next, token, directory, now)))
            }
        }
    }

    fn recall(&self, token: &[u8], directory: &Directory, now: Timestamp) -> Option<Principal> {
        let current = |entry: &Entry| {
            self.issuers.get(entry.issuer).is_some_and(|issuer| {
                issuer.keys.generation() == entry.keys && issuer.stands(entry.secret.as_deref())
            })
        };
        self.remembered.as_ref()?.recall(token, now, directory.generation(), current)
    }

    /// Twice at most: the attempt under way may have begun before the issuer published the key; a second one,
    /// asked for by this token, has not.
    async fn wait(
        self: Arc<Self>,
        mut next: NextAttempt,
        token: Box<[u8]>,
        directory: Arc<Directory>,
        now: Timestamp,
    ) -> Result<Principal, Box<Denial>> {
        let mut waited = 0;
        loop {
            next.ended().await;
            waited += 1;
            match self.judge(&token, &directory, now) {
                Ok(principal) => return Ok(principal),
                Err(Halt::Keys(again, _)) if waited < 2 => next = again,
                Err(Halt::Deny(denial) | Halt::Keys(_, denial)) => return Err(denial),
            }
        }
    }

    fn judge(&self, token: &[u8], directory: &Directory, now: Timestamp) -> Result<Principal, Halt> {
        let unverified = Unverified::parse(token).map_err(refused)?;
        let unproven = unverified.unproven_claims().map_err(refused)?;
        let url = claims::text(&unproven, "iss").map_err(Halt::deny)?;
        let Some((index, issuer)) =
            self.by_url.get(url).and_then(|index| Some((*index, self.issuers.get(*index)?)))
        else {
            let why = wanted::issuer(url, &self.issuers);
            return deny(Denial::new(&code::TOKEN_ISSUER_UNKNOWN).internal(why));
        };
        if !issuer.algorithms.contains(&unverified.alg) {
            let why = wanted::algorithm(unverified.alg.name(), issuer);
            return deny(Denial::new(&code::TOKEN_ALGORITHM_REFUSED).internal(why));
        }
        if !issuer.types.allows(unverified.typ.as_deref()) {
            let why = wanted::kind(unverified.typ.as_deref(), issuer);
            return deny(Denial::new(&code::TOKEN_TYPE_REFUSED).internal(why));
        }
        // Read before the keys: if they change in between, what is remembered is out of date at once.
        let generation = issuer.keys.generation();
        let verified = issuer.check_signature(unverified)?;
        let claims = verified.claims().map_err(refused)?;
        let claims = Claims::read(&claims, &issuer.client_id_claim).map_err(|denial| {
            let why = wanted::claims(&claims, denial.detail.as_deref(), issuer);
            Halt::deny(denial.internal(why))
        })?;
        let principal = issuer.admit(&claims, token, directory, now).map_err(Halt::Deny)?;
        if let Some(remembered) = self.remembered.as_ref().filter(|_| token.len() <= MAX_REMEMBERED) {
            let entry = Entry {
                principal: principal.clone(),
                not_before: claims.not_before(),
                not_after: claims.not_after(issuer.leeway()),
                directory: directory.generation(),
                issuer: index,
                keys: generation,
                secret: claims.secret.filter(|_| issuer.secrets.is_some()).map(Box::from),
            };
            remembered.remember(token, entry);
        }
        Ok(principal)
    }
}

impl Issuer {
    fn check_signature(&self, token: Unverified<'_>) -> Result<Verified, Halt> {
        let Some(keys) = self.keys.current() else {
            let problem = self.keys.problem().unwrap_or_else(|| "no attempt has ended yet".to_owned());
            return Err(self.unless_fetched(self.unavailable(&problem), token.kid.as_deref()));
        };
        match check_with(&keys, &token) {
            Some(result) => result.map_err(refused),
            None if token.kid.as_deref().is_some_and(|kid| keys.has(kid)) => deny(
                Denial::new(&code::TOKEN_ALGORITHM_REFUSED)
                    .internal("the key named by kid is for another alg"),
            ),
            None => {
                let why = wanted::key(token.kid.as_deref(), self);
                // It may be published by now: that is nobody's fault who only has such a token.
                let denial = match self.keys.problem() {
                    Some(problem) => {
                        self.unavailable(&format!("{why}; they cannot be fetched anew: {problem}"))
                    }
                    None => Denial::new(&code::TOKEN_KEY_UNKNOWN).internal(why),
                };
                Err(self.unless_fetched(denial, token.kid.as_deref()))
            }
        }
    }

    fn unavailable(&self, problem: &str) -> Denial {
        let why = format!("issuer `{}`: {problem}", self.name);
        Denial::new(&code::ISSUER_UNAVAILABLE).internal(why).retry_after(UNAVAILABLE_RETRY)
    }

    fn unless_fetched(&self, denial: Denial, kid: Option<&str>) -> Halt {
        match self.keys.more(kid.unwrap_or_default()) {
            Some(next) => Halt::Keys(next, Box::new(denial)),
            None => Halt::deny(denial),
        }
    }

    /// What the signed claims say, held against this issuer's terms and the manifest's accounts.
    fn admit(
        &self,
        claims: &Claims<'_>,
        token: &[u8],
        directory: &Directory,
        now: Timestamp,
    ) -> Result<Principal, Box<Denial>> {
        if claims.issuer != &*self.url {
            return Err((&code::TOKEN_ISSUER_UNKNOWN).into());
        }
        if claims.sender_constrained {
            // RFC 9449 §7.2, RFC 8705 §3: proof of possession is required, and a bearer gives none.
            let denial = Denial::new(&code::TOKEN_TYPE_REFUSED);
            return Err(Box::new(
                denial.detail("a sender-constrained token may not be sent as a bearer token"),
            ));
        }
        if !claims.audiences().any(|audience| self.audiences.iter().any(|ours| **ours == *audience)) {
            let why = wanted::audience(claims.audiences(), self);
            return Err(Box::new(Denial::new(&code::TOKEN_AUDIENCE_WRONG).internal(why)));
        }
        if claims.not_after(self.leeway()) <= now {
            let why = wanted::expired(claims.expires, now, self);
            return Err(Box::new(Denial::new(&code::TOKEN_EXPIRED).internal(why)));
        }
        if now < claims.not_before() {
            let why = wanted::early(claims.starts, now, self);
            return Err(Box::new(Denial::new(&code::TOKEN_NOT_YET_VALID).internal(why)));
        }
        if !self.stands(claims.secret) {
            let why = wanted::revoked(claims.secret.unwrap_or_default(), self);
            return Err(Box::new(Denial::new(&code::TOKEN_REVOKED).internal(why)));
        }
        let Some(registration) = self.client(claims.client_id, directory) else {
            let internal = format!("issuer `{}`, client `{}`", self.name, claims.client_id.escape_debug());
            return Err(Box::new(Denial::new(&code::ACCOUNT_UNKNOWN).internal(internal)));
        };
        let credential = Credential {
            kind: self.kind,
            id: claims.token_id.map_or_else(|| hash::hex(&hash::sha256(token)).into(), Arc::from),
            expires: Some(claims.expires),
        };
        let limited_to: Option<Arc<PermissionSet>> = claims.scope(directory.permissions()).map(Arc::new);
        Ok(Principal::verified(Arc::clone(&registration.account), Arc::new(credential), limited_to))
    }

    /// Whether the secret that a token says it was taken with still holds; asked of what is remembered, too.
    fn stands(&self, secret: Option<&str>) -> bool {
        match (&self.secrets, secret) {
            (Some(secrets), Some(id)) => secrets.stands(id),
            _ => true,
        }
    }

    /// How long after `exp` a token is taken: the bridge's own are not, because there is one clock.
    fn leeway(&self) -> Duration {
        match self.kind {
            CredentialKind::OauthClient => Duration::ZERO,
            _ => SKEW,
        }
    }

    fn client<'d>(&self, client_id: &str, directory: &'d Directory) -> Option<&'d Arc<Registration>> {
        match self.kind {
            CredentialKind::OauthClient => {
                directory.account(client_id).filter(|account| account.oauth_client.is_some())
            }
            _ => directory.client(&self.name, client_id),
        }
    }
}

/// `None` when no key is for the token.
fn check_with(keys: &JwkSet, token: &Unverified<'_>) -> Option<Result<Verified, JoseError>> {
    let mut outcome = None;
    for key in keys.find(token.kid.as_deref(), token.alg).take(MAX_KEYS_TRIED) {
        let result = token.clone().verify(key);
        if result.is_ok() {
            return Some(result);
        }
        outcome = Some(result);
    }
    outcome
}

impl TypePolicy {
    /// Case does not count, nor does the prefix that the header may leave out (RFC 7515 §4.1.9).
    fn allows(self, typ: Option<&str>) -> bool {
        let Some(typ) = typ else { return self == TypePolicy::DangerUntyped };
        let typ = typ.to_ascii_lowercase();
        match typ.strip_prefix("application/").unwrap_or(&typ) {
            "at+jwt" => true,
            "jwt" => self == TypePolicy::DangerUntyped,
            _ => false,
        }
    }
}

impl Halt {
    fn deny(denial: impl Into<Box<Denial>>) -> Halt {
        Halt::Deny(denial.into())
    }
}

fn deny<T>(denial: Denial) -> Result<T, Halt> {
    Err(Halt::deny(denial))
}

fn refused(error: JoseError) -> Halt {
    let denial = Denial::new(error.code());
    Halt::deny(match error {
        // The member is one of a few; nothing of the token is repeated.
        JoseError::HeaderMemberRefused(_) => denial.detail(error.to_string()),
        _ => denial.internal(error),
    })
}
