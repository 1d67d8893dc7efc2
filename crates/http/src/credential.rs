//! The bridge's credential toward a target, put in place of the caller's.

pub use crate::injected::Injected;
use crate::injected::Known;
use arc_swap::ArcSwapOption;
use bytes::Bytes;
use http::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use ironbridge_core::{Denial, Flow, Sensitive, code, fields};
use ironbridge_identity::target_token::{Bearer, TargetToken, TargetTokens};
use ironbridge_secrets::{InUse, SecretForm, SecretValue};
use std::pin::Pin;
use std::sync::Arc;
use zeroize::Zeroizing;

pub enum TargetCredential {
    /// None any more, or none yet: what was presented before a reload still does not come back.
    None(Arc<Injected>),
    /// A header field whose value is made from a secret.
    Field(Arc<SecretField>),
    /// A bearer token from the target's authorization server (RFC 6749 §4.4).
    OAuth2(Arc<TargetTokens>, Arc<Injected>),
}

impl TargetCredential {
    /// What was presented to the target lately and must not come back from it.
    pub(crate) fn injected(&self) -> &Arc<Injected> {
        match self {
            TargetCredential::Field(field) => &field.injected,
            TargetCredential::None(injected) | TargetCredential::OAuth2(_, injected) => injected,
        }
    }

    pub(crate) fn presented(&self) -> Option<Known> {
        self.injected().known()
    }

    /// The field that carries it.
    pub fn field(&self) -> Option<HeaderName> {
        match self {
            TargetCredential::None(_) => None,
            TargetCredential::Field(field) => Some(field.name.clone()),
            TargetCredential::OAuth2(..) => Some(AUTHORIZATION),
        }
    }

    /// The credential to show now. A token may have to be fetched first, and a secret to be read.
    pub fn show(&self) -> Show<'_> {
        match self {
            TargetCredential::None(_) => Show::Now(Ok(None)),
            TargetCredential::Field(field) => match field.fresh() {
                Some(value) => Show::Now(Ok(Some(field.shown(value)))),
                None => Show::Later(Box::pin(async { Ok(Some(field.shown(field.value().await?))) })),
            },
            TargetCredential::OAuth2(tokens, injected) => match tokens.bearer() {
                Bearer::Now(token) => Show::Now(token.and_then(|token| shown(token, injected)).map(Some)),
                later => Show::Later(Box::pin(async { fetched(later, injected).await.map(Some) })),
            },
        }
    }

    /// The target answered 401 to what was shown: another credential, where one may help. It is on its way also if
    /// nobody waits for it.
    pub fn instead_of<'s>(
        &'s self,
        shown: Option<&Shown>,
        flow: &Flow,
    ) -> Option<impl Future<Output = Result<Shown, Box<Denial>>> + use<'s>> {
        let TargetCredential::OAuth2(tokens, injected) = self else { return None };
        Some(fetched(tokens.refused(shown?.token.as_ref()?, flow)?, injected))
    }

    /// The target took what was shown instead.
    pub fn helped(&self, flow: &Flow) {
        if let TargetCredential::OAuth2(tokens, _) = self {
            tokens.helped(flow);
        }
    }
}

/// A credential that is at hand, or has to be waited for.
pub enum Show<'c> {
    Now(MayShow),
    Later(Pin<Box<dyn Future<Output = MayShow> + 'c>>),
}

/// What there is to show, if anything.
type MayShow = Result<Option<Shown>, Box<Denial>>;

/// A credential as it goes to the target, in a header field of its own.
pub struct Shown {
    name: HeaderName,
    value: HeaderValue,
    token: Option<Arc<TargetToken>>,
}

impl Shown {
    pub fn put(&self, headers: &mut HeaderMap) {
        remove_twins(headers, &self.name);
        headers.insert(self.name.clone(), self.value.clone());
    }
}

async fn fetched(bearer: Bearer, injected: &Injected) -> Result<Shown, Box<Denial>> {
    let token = match bearer {
        Bearer::Now(token) => token?,
        Bearer::Later(token) => token.await?,
    };
    shown(token, injected)
}

fn shown(token: Arc<TargetToken>, injected: &Injected) -> Result<Shown, Box<Denial>> {
    let value = sensitive(token.authorization().clone())?;
    // The scheme before it is no secret.
    injected.note(&value, || token.authorization().strip_prefix(b"Bearer ").into_iter().collect());
    Ok(Shown { name: AUTHORIZATION, value, token: Some(token) })
}

/// Targets that speak CGI read `x_api_key` as `x-api-key`: a caller's field must not stand beside the bridge's.
fn remove_twins(headers: &mut HeaderMap, name: &HeaderName) {
    let twins = headers.keys().filter(|other| fields::twins(other.as_str(), name.as_str()));
    for twin in twins.cloned().collect::<Vec<HeaderName>>() {
        headers.remove(twin);
    }
}

/// How a secret becomes a header field.
#[derive(Debug, Clone)]
pub enum FieldFormat {
    /// `Bearer SECRET` (RFC 6750 §2.1).
    Bearer,
    /// `Basic base64(username:SECRET)` (RFC 7617 §2).
    Basic { username: String },
    /// The secret itself.
    Plain,
}

impl FieldFormat {
    fn form(&self) -> SecretForm {
        match self {
            FieldFormat::Bearer => SecretForm::Token,
            FieldFormat::Basic { .. } => SecretForm::Password,
            FieldFormat::Plain => SecretForm::FieldValue,
        }
    }
}

/// A header field that is made from a secret, and made anew when the secret is another.
pub struct SecretField {
    name: HeaderName,
    format: FieldFormat,
    secret: InUse,
    formatted: ArcSwapOption<Formatted>,
    injected: Arc<Injected>,
}

struct Formatted {
    value: HeaderValue,
    made_of: SecretValue,
}

impl SecretField {
    /// `injected` remembers what was presented to the target.
    pub fn new(name: HeaderName, format: FieldFormat, secret: InUse, injected: Arc<Injected>) -> SecretField {
        SecretField { name, format, secret, formatted: ArcSwapOption::empty(), injected }
    }

    fn shown(&self, value: HeaderValue) -> Shown {
        Shown { name: self.name.clone(), value, token: None }
    }

    fn fresh(&self) -> Option<HeaderValue> {
        let formatted = self.formatted.load();
        let formatted = formatted.as_ref().filter(|formatted| self.secret.is_current(&formatted.made_of))?;
        Some(formatted.value.clone())
    }

    async fn value(&self) -> Result<HeaderValue, Box<Denial>> {
        let secret = self.secret.value().await.map_err(|error| Box::new(Denial::from(error)))?;
        let value = self.format(&secret)?;
        self.formatted.store(Some(Arc::new(Formatted { value: value.clone(), made_of: secret })));
        Ok(value)
    }

    fn format(&self, secret: &SecretValue) -> Result<HeaderValue, Box<Denial>> {
        let secret = secret.expose();
        // Judged when the manifest was loaded, but it may have been set anew since.
        if let Err(why) = self.format.form().judge(secret) {
            return Err(Box::new(
                Denial::new(&code::SECRET_UNAVAILABLE)
                    .internal(format_args!("{}: the secret {why}", self.secret.name())),
            ));
        }
        let pair = Zeroizing::new(match &self.format {
            FieldFormat::Basic { username } => {
                let pair = Sensitive::joined(&[username.as_bytes(), b":", secret]);
                ironbridge_seal::hash::base64(pair.expose())
            }
            FieldFormat::Bearer | FieldFormat::Plain => String::new(),
        });
        let whole = match &self.format {
            FieldFormat::Bearer => Sensitive::joined(&[b"Bearer ", secret]),
            FieldFormat::Basic { .. } => Sensitive::joined(&[b"Basic ", pair.as_bytes()]),
            FieldFormat::Plain => Sensitive::new(secret),
        };
        let value = sensitive(whole.into_bytes())?;
        let secrets = [secret, pair.as_bytes()];
        self.injected.note(&value, || secrets.into_iter().filter(|part| !part.is_empty()).collect());
        Ok(value)
    }
}

/// Shares the bytes, so that they are wiped with the last request that carries them.
fn sensitive(bytes: Bytes) -> Result<HeaderValue, Box<Denial>> {
    let mut value = HeaderValue::from_maybe_shared(bytes).map_err(|_| {
        Denial::new(&code::SECRET_UNAVAILABLE)
            .internal("the secret holds bytes that no header field can carry")
    })?;
    // Keeps it out of debug output and out of HTTP/2's header compression table.
    value.set_sensitive(true);
    Ok(value)
}
