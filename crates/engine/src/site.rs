//! From a compiled manifest to what each listener serves.

use crate::material::{self, MaterialError, secret_name};
use crate::plan::{OperationPlan, Plan};
use crate::services::{Kept, ServiceError, Services};
use http::Method;
use http::header::{AUTHORIZATION, HeaderName, HeaderValue};
use ironbridge_controls::address::AddressList;
use ironbridge_controls::authenticate::{Authenticate, Authenticator};
use ironbridge_controls::authorise::Authorise;
use ironbridge_controls::body::JsonBody;
use ironbridge_controls::idempotency::IdempotencyKey;
use ironbridge_controls::keep::Keep;
use ironbridge_controls::limit::{FailedAuthentication, Quota, RateLimit};
use ironbridge_controls::rules::Rules;
use ironbridge_controls::schema::Schema;
use ironbridge_core::{
    Account, Control, CredentialKind, Flow, Integration, Operation, PermissionSet, Pipeline, SystemFacts,
};
use ironbridge_http::credential::{FieldFormat, SecretField, TargetCredential};
use ironbridge_http::rewrite::{Piece, Rewrite};
use ironbridge_http::target::Target;
use ironbridge_http::{Problems, Route, Routes, Site, TokenService, Undeclared};
use ironbridge_identity::accounts::{
    CertificateMatch, CertificateRule, Directory, Registration, TokenSubject, certificate_name,
};
use ironbridge_identity::token::{Issuer, TokenVerifier, TypePolicy};
use ironbridge_identity::token_endpoint::BUILT_IN;
use ironbridge_manifest::{self as manifest, HttpTarget, Listener, Manifest, Rate, Segment};
use ironbridge_seal::{hash, jose};
use ironbridge_store::Idempotency;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

#[derive(Debug, thiserror::Error)]
pub enum SiteError {
    #[error(transparent)]
    Service(#[from] ServiceError),
    #[error(transparent)]
    Material(#[from] MaterialError),
    #[error("{place}: {reason}")]
    Declared { place: String, reason: String },
}

/// Verified tokens remembered across all issuers; see `reference/performance` in the docs.
const REMEMBERED_TOKENS: usize = 100_000;
/// Refused credentials per address.
const FAILURES_PER_MINUTE: u64 = 60;

/// Builds every listener's site. Nothing of the running bridge is changed.
pub async fn build(
    plan: &Plan,
    services: &Services,
    generation: u64,
    next: &mut Kept,
) -> Result<BTreeMap<Arc<str>, Arc<Site>>, SiteError> {
    let builder = Builder::new(plan, services, generation, next)?;
    let targets = builder.targets(next).await?;
    let manifest = &plan.manifest;
    let mut sites = BTreeMap::new();
    for (name, listener) in &manifest.bridge.listeners {
        sites.insert(name.shared(), Arc::new(builder.site(name, listener, &targets)?));
    }
    Ok(sites)
}

struct Builder<'a> {
    plan: &'a Plan,
    services: &'a Services,
    generation: u64,
    directory: Arc<Directory>,
    authenticator: Arc<Authenticator>,
    public_url: String,
}

type Targets = BTreeMap<Arc<str>, Arc<Target>>;

impl<'a> Builder<'a> {
    fn new(
        plan: &'a Plan,
        services: &'a Services,
        generation: u64,
        next: &mut Kept,
    ) -> Result<Builder<'a>, SiteError> {
        let manifest = &plan.manifest;
        let directory = Arc::new(directory(plan, services.authority.root_der())?);
        let mut issuers = vec![services.token_endpoint.issuer()];
        for (name, declared) in &manifest.bridge.issuers {
            let keys = services.issuer_keys(name, declared, next)?;
            let audiences = declared.audience.iter().map(String::as_str);
            let mut issuer = Issuer::new(name, &declared.issuer.text, audiences, keys);
            issuer.algorithms = declared.algorithms.iter().copied().map(algorithm).collect();
            issuer.client_id_claim = declared.client_id_claim.as_str().into();
            if declared.danger_accept_untyped_tokens.is_some() {
                issuer.types = TypePolicy::DangerUntyped;
            }
            issuers.push(issuer);
        }
        let verifier = TokenVerifier::new(issuers, REMEMBERED_TOKENS).map_err(|error| {
            SiteError::Declared { place: "bridge.issuers".into(), reason: error.to_string() }
        })?;
        let authenticator = Authenticator {
            keys: Arc::clone(&services.api_keys),
            tokens: Arc::new(verifier),
            certificates: Arc::clone(&services.certificates),
        };
        Ok(Builder {
            plan,
            services,
            generation,
            directory,
            authenticator: Arc::new(authenticator),
            public_url: manifest.bridge.origin(),
        })
    }

    async fn targets(&self, next: &mut Kept) -> Result<Targets, SiteError> {
        let mut targets = Targets::new();
        for (name, system) in &self.plan.manifest.systems {
            let Some(http) = &system.http else { continue };
            let upstream = self.services.upstream(name, http, next).await?;
            let credential = self.credential(name, http, next)?;
            let scheme = if http.url.secure { "https" } else { "http" };
            let origin = format!("{scheme}://{}", upstream.authority()).into();
            let base = upstream.base_path().into();
            targets.insert(name.shared(), Arc::new(Target { upstream, credential, origin, base }));
        }
        Ok(targets)
    }

    fn credential(
        &self,
        system: &str,
        http: &HttpTarget,
        next: &mut Kept,
    ) -> Result<TargetCredential, SiteError> {
        let field = |name: HeaderName, format: FieldFormat, secret: &manifest::SecretRef| {
            let (secrets, clock) = (Arc::clone(&self.services.secrets), Arc::clone(&self.services.clock));
            TargetCredential::Field(Arc::new(SecretField::new(
                name,
                format,
                secret_name(secret),
                secrets,
                clock,
            )))
        };
        Ok(match &http.auth {
            None => TargetCredential::None,
            Some(manifest::TargetAuth::Bearer(bearer)) => {
                field(AUTHORIZATION, FieldFormat::Bearer, &bearer.token)
            }
            Some(manifest::TargetAuth::Basic(basic)) => {
                let format = FieldFormat::Basic { username: basic.username.clone() };
                field(AUTHORIZATION, format, &basic.password)
            }
            Some(manifest::TargetAuth::Header(header)) => {
                let name = HeaderName::try_from(&*header.name.0).map_err(|error| SiteError::Declared {
                    place: format!("systems.{system}.http.auth.header.name"),
                    reason: error.to_string(),
                })?;
                field(name, FieldFormat::Plain, &header.value)
            }
            Some(manifest::TargetAuth::Oauth2(oauth2)) => {
                TargetCredential::OAuth2(self.services.target_tokens(http, oauth2, next)?)
            }
        })
    }

    fn site(&self, name: &str, listener: &Listener, targets: &Targets) -> Result<Site, SiteError> {
        let bridge = &self.plan.manifest.bridge;
        let mut routes = Routes::default();
        for (integration_name, declared) in &self.plan.manifest.integrations {
            let serves = bridge.listener_of(&declared.http);
            if serves.is_some_and(|(serving, _)| &**serving == name) {
                self.integration(&mut routes, listener, integration_name, declared, targets)?;
            }
        }
        let via = |version: &str| {
            HeaderValue::try_from(format!("{version} {}", bridge.name)).map_err(|error| SiteError::Declared {
                place: "bridge.name".to_owned(),
                reason: error.to_string(),
            })
        };
        let cores =
            bridge.workers.map_or_else(cores, |workers| usize::try_from(workers.value()).unwrap_or(1));
        let max_exchanges = usize::try_from(bridge.limits.max_exchanges.value()).unwrap_or(usize::MAX);
        Ok(Site {
            routes,
            undeclared: Undeclared {
                flow: Arc::new(Flow::undeclared("http", self.generation)),
                pipeline: Arc::new(Pipeline::new(self.admission(listener)?, Vec::new(), 0, 0)),
            },
            problems: Problems { public_url: self.public_url.as_str().into(), realm: (*bridge.name).into() },
            name: (*bridge.name).into(),
            via_http1: via("1.1")?,
            via_http2: via("2.0")?,
            trusted_proxies: listener.trusted_proxies.clone(),
            token_service: issues_tokens(&self.plan.manifest).then(|| TokenService {
                endpoint: Arc::clone(&self.services.token_endpoint),
                directory: Arc::clone(&self.directory),
            }),
            body_timeout: bridge.timeouts.body,
            max_exchanges: max_exchanges.div_ceil(cores).max(1),
        })
    }

    /// The controls that everything meets before it is known what it wants.
    fn admission(&self, listener: &Listener) -> Result<Vec<Arc<dyn Control>>, SiteError> {
        let limits = &self.services.limits;
        let mut controls: Vec<Arc<dyn Control>> = Vec::new();
        if !listener.addresses.is_empty() {
            controls.push(Arc::new(AddressList::new(listener.addresses.clone())));
        }
        let per_address = quota("bridge.limits.per_address", self.plan.manifest.bridge.limits.per_address)?;
        controls.push(Arc::new(RateLimit::per_address(Arc::clone(limits), "bridge", per_address)));
        Ok(controls)
    }

    fn integration(
        &self,
        routes: &mut Routes,
        listener: &Listener,
        name: &manifest::Name,
        declared: &manifest::Integration,
        targets: &Targets,
    ) -> Result<(), SiteError> {
        let undeclared = |reason: &str| SiteError::Declared {
            place: format!("integrations.{name}"),
            reason: reason.to_owned(),
        };
        let target =
            targets.get(&declared.target.shared()).ok_or_else(|| undeclared("the target has no http"))?;
        let facts = Arc::new(facts(&self.plan.manifest, name, declared));
        let shared = self.shared_controls(listener, name, declared)?;
        for (operation_name, operation) in &declared.http.operations {
            let plan = self.plan.operations.get(&(name.shared(), operation_name.shared()));
            let plan = plan.ok_or_else(|| undeclared("an operation was not compiled"))?;
            let place = format!("integrations.{name}.http.operations.{operation_name}");
            let pipeline = self.pipeline(&place, &shared, operation, plan)?;
            let permission = self.plan.permissions.find(&operation.permission);
            let flow_operation = Operation {
                name: operation_name.shared(),
                permission: permission.ok_or_else(|| undeclared("a permission was not compiled"))?,
                permission_name: operation.permission.shared(),
            };
            let flow = Flow::new(Arc::clone(&facts), Some(flow_operation), self.generation);
            let route = Arc::new(Route {
                pattern: plan.pattern.as_str().into(),
                flow: Arc::new(flow),
                pipeline: Arc::new(pipeline),
                target: Arc::clone(target),
                mount: declared.http.path.0.trim_end_matches('/').into(),
                rewrite: operation.target_path.as_ref().map(rewrite),
                timeout: operation.timeout.unwrap_or(declared.http.timeout),
                reply_is_read: plan.reads_reply() || operation.replay.is_some(),
                upgrades: operation.upgrade.is_some(),
            });
            let declared_wrongly = |reason: String| SiteError::Declared { place: place.clone(), reason };
            let method = Method::from_bytes(operation.route.method.as_bytes())
                .map_err(|error| declared_wrongly(error.to_string()))?;
            routes
                .insert(method, &plan.pattern, route)
                .map_err(|error| declared_wrongly(error.to_string()))?;
        }
        Ok(())
    }

    /// The controls that all operations of an integration share.
    fn shared_controls(
        &self,
        listener: &Listener,
        name: &str,
        declared: &manifest::Integration,
    ) -> Result<Vec<Arc<dyn Control>>, SiteError> {
        let limits = &self.services.limits;
        let mut controls = self.admission(listener)?;
        controls.push(Arc::new(FailedAuthentication::new(
            Arc::clone(limits),
            quota(
                "failed authentication",
                Rate { count: FAILURES_PER_MINUTE, per: Duration::from_secs(60) },
            )?,
        )));
        controls.push(Arc::new(Authenticate::new(
            Arc::clone(&self.authenticator),
            accepted(&self.plan.manifest, declared),
            Arc::clone(&self.directory),
        )));
        controls.push(Arc::new(Authorise::new(declared.source.shared())));
        let place = format!("integrations.{name}.limits");
        if let Some(rate) = declared.limits.per_address {
            controls.push(Arc::new(RateLimit::per_address(Arc::clone(limits), name, quota(&place, rate)?)));
        }
        if let Some(rate) = declared.limits.per_account {
            controls.push(Arc::new(RateLimit::per_account(Arc::clone(limits), name, quota(&place, rate)?)));
        }
        Ok(controls)
    }

    fn pipeline(
        &self,
        place: &str,
        shared: &[Arc<dyn Control>],
        operation: &manifest::Operation,
        plan: &OperationPlan,
    ) -> Result<Pipeline, SiteError> {
        let limits = &self.services.limits;
        let mut request = shared.to_vec();
        if let Some(rate) = operation.limits.per_address {
            request.push(Arc::new(RateLimit::per_address(Arc::clone(limits), place, quota(place, rate)?)));
        }
        if let Some(rate) = operation.limits.per_account {
            request.push(Arc::new(RateLimit::per_account(Arc::clone(limits), place, quota(place, rate)?)));
        }
        if let Some(rate) = operation.limits.per_operation {
            request.push(Arc::new(RateLimit::per_operation(Arc::clone(limits), place, quota(place, rate)?)));
        }
        if plan.reads_request() {
            request.push(Arc::new(JsonBody));
        }
        if let Some(schema) = &plan.request_schema {
            request.push(Arc::new(Schema::request(schema.clone())));
        }
        if !plan.rules.is_empty() {
            request.push(Arc::new(Rules::new(plan.rules.clone())));
        }
        if let Some(replay) = &operation.replay {
            let store = Arc::clone(&self.services.home.store) as Arc<dyn Idempotency>;
            let required = replay.idempotency_key == manifest::IdempotencyKey::Required;
            request.push(Arc::new(IdempotencyKey::new(store, required, replay.window)));
        }
        if let Some(list) = &plan.request_keep {
            request.push(Arc::new(Keep::request(Arc::clone(list))));
        }
        let mut reply: Vec<Arc<dyn Control>> = Vec::new();
        if let Some(schema) = &plan.response_schema {
            reply.push(Arc::new(Schema::reply(schema.clone())));
        }
        if let Some(list) = &plan.response_keep {
            reply.push(Arc::new(Keep::reply(Arc::clone(list))));
        }
        let (max_request, max_reply) = (operation.request.max_body, operation.response.max_body);
        let bound = |declared: Option<manifest::Size>, read: bool| match declared {
            Some(size) => size.0,
            None if read => manifest::DEFAULT_MAX_BODY.0,
            None => u64::MAX,
        };
        let reads_request = plan.reads_request() || operation.replay.is_some();
        let reads_reply = plan.reads_reply() || operation.replay.is_some();
        Ok(Pipeline::new(request, reply, bound(max_request, reads_request), bound(max_reply, reads_reply)))
    }
}

impl OperationPlan {
    fn reads_request(&self) -> bool {
        self.request_schema.is_some() || !self.rules.is_empty() || self.request_keep.is_some()
    }

    fn reads_reply(&self) -> bool {
        self.response_schema.is_some() || self.response_keep.is_some()
    }
}

/// Who may prove to be whom, and what that allows.
fn directory(plan: &Plan, internal_ca: &[u8]) -> Result<Directory, SiteError> {
    let manifest = &plan.manifest;
    let mut registrations = Vec::with_capacity(manifest.accounts.len());
    for (name, declared) in &manifest.accounts {
        let roles = declared.roles.iter().filter_map(|role| manifest.roles.get(role));
        let mut scopes: Vec<Arc<str>> =
            roles.flat_map(|role| role.permissions.iter().map(|permission| permission.shared())).collect();
        scopes.sort();
        scopes.dedup();
        let permissions: PermissionSet =
            scopes.iter().filter_map(|scope| plan.permissions.find(scope)).collect();
        let mut registration = Registration::new(Arc::new(Account {
            name: name.shared(),
            system: declared.system.shared(),
            permissions,
            addresses: declared.addresses.clone(),
            owner: None,
        }));
        registration.scopes = scopes;
        registration.api_key = declared.credentials.api_key.is_some();
        registration.oauth_client =
            declared.credentials.oauth_client.as_ref().map(|client| client.token_lifetime);
        if declared.credentials.oauth_client.is_some() {
            registration.tokens.push(TokenSubject { issuer: BUILT_IN.into(), client_id: (**name).into() });
        }
        if let Some(token) = &declared.credentials.token {
            let subject =
                TokenSubject { issuer: (*token.issuer).into(), client_id: token.client_id.as_str().into() };
            registration.tokens.push(subject);
        }
        if let Some(certificate) = &declared.credentials.certificate {
            registration.certificates.push(certificate_rule(certificate, internal_ca)?);
        }
        registrations.push(registration);
    }
    Directory::new(registrations, Arc::clone(&plan.permissions))
        .map_err(|error| SiteError::Declared { place: "accounts".into(), reason: error.to_string() })
}

/// A name counts only under the CA that may give it: the account's own, else the internal one. Otherwise the CA of
/// one account could speak for another.
fn certificate_rule(
    declared: &manifest::CertificateMatch,
    internal_ca: &[u8],
) -> Result<CertificateRule, SiteError> {
    let own_ca = declared.ca.as_deref().map(certificate_der).transpose()?;
    match (&declared.san, &declared.thumbprint) {
        (Some(san), None) => Ok(CertificateRule {
            matches: CertificateMatch::Name(certificate_name(san_text(san))),
            ca: Some(own_ca.unwrap_or_else(|| internal_ca.into())),
        }),
        (None, Some(thumbprint)) => Ok(CertificateRule {
            matches: CertificateMatch::Thumbprint(hash::hex(&thumbprint.0).into()),
            ca: own_ca,
        }),
        _ => Err(SiteError::Declared {
            place: "accounts".to_owned(),
            reason: "a certificate is known by exactly one of san and thumbprint".to_owned(),
        }),
    }
}

fn certificate_der(path: &Path) -> Result<Arc<[u8]>, MaterialError> {
    let pem = material::read(path)?;
    let ca = CertificateDer::from_pem_slice(&pem)
        .map_err(|error| MaterialError::Unreadable { path: path.to_path_buf(), reason: error.to_string() })?;
    Ok(ca.as_ref().into())
}

fn facts(manifest: &Manifest, name: &manifest::Name, declared: &manifest::Integration) -> Integration {
    let system = |name: &manifest::Name| SystemFacts {
        name: name.shared(),
        country: manifest
            .systems
            .get(name)
            .map(|system| system.country.to_string().into())
            .unwrap_or_default(),
    };
    let data = declared.data.as_ref();
    let words = |list: Option<&Vec<String>>| -> Vec<Arc<str>> {
        list.into_iter().flatten().map(|word| Arc::from(word.as_str())).collect()
    };
    Integration {
        name: name.shared(),
        transport: "http",
        source: system(&declared.source),
        target: system(&declared.target),
        purpose: declared.purpose.as_str().into(),
        legal_basis: declared.legal_basis.name().into(),
        subjects: words(data.map(|data| &data.subjects)),
        categories: words(data.map(|data| &data.categories)),
        disclosure: "",
        durable: match declared.audit {
            Some(mode) => mode == manifest::AuditMode::Durable,
            None => data.is_some(),
        },
    }
}

fn rewrite(template: &manifest::Template) -> Rewrite {
    let mut pieces = Vec::new();
    for segment in &template.segments {
        match segment {
            Segment::Literal(text) => pieces.push(Piece::Literal(format!("/{text}").into())),
            Segment::Parameter(name) => {
                pieces.push(Piece::Literal("/".into()));
                pieces.push(Piece::Parameter(Arc::clone(name)));
            }
        }
    }
    Rewrite(pieces)
}

fn quota(place: &str, rate: Rate) -> Result<Quota, SiteError> {
    Quota::new(rate.count, rate.per)
        .map_err(|error| SiteError::Declared { place: place.to_owned(), reason: error.to_string() })
}

fn issues_tokens(manifest: &Manifest) -> bool {
    manifest.accounts.values().any(|account| account.credentials.oauth_client.is_some())
}

/// The kinds of credential an integration accepts: those it lists, or all that its source's accounts have.
fn accepted(manifest: &Manifest, declared: &manifest::Integration) -> Vec<CredentialKind> {
    if !declared.http.accept.is_empty() {
        return declared.http.accept.iter().copied().map(credential_kind).collect();
    }
    let has = |wanted: fn(&manifest::Credentials) -> bool| {
        manifest
            .accounts
            .values()
            .any(|account| account.system == declared.source && wanted(&account.credentials))
    };
    let kinds = [
        (has(|credentials| credentials.api_key.is_some()), CredentialKind::ApiKey),
        (has(|credentials| credentials.oauth_client.is_some()), CredentialKind::OauthClient),
        (has(|credentials| credentials.token.is_some()), CredentialKind::Token),
        (has(|credentials| credentials.certificate.is_some()), CredentialKind::Certificate),
    ];
    kinds.into_iter().filter_map(|(there, kind)| there.then_some(kind)).collect()
}

fn san_text(san: &manifest::San) -> &str {
    match san {
        manifest::San::Uri(text) | manifest::San::Dns(text) | manifest::San::Email(text) => text,
    }
}

fn algorithm(declared: manifest::Algorithm) -> jose::Algorithm {
    match declared {
        manifest::Algorithm::Es256 => jose::Algorithm::ES256,
        manifest::Algorithm::Es384 => jose::Algorithm::ES384,
        manifest::Algorithm::Ps256 => jose::Algorithm::PS256,
        manifest::Algorithm::Ps384 => jose::Algorithm::PS384,
        manifest::Algorithm::Ps512 => jose::Algorithm::PS512,
        manifest::Algorithm::Rs256 => jose::Algorithm::RS256,
        manifest::Algorithm::Ed25519 => jose::Algorithm::Ed25519,
    }
}

fn credential_kind(declared: manifest::CredentialKind) -> CredentialKind {
    match declared {
        manifest::CredentialKind::ApiKey => CredentialKind::ApiKey,
        manifest::CredentialKind::OauthClient => CredentialKind::OauthClient,
        manifest::CredentialKind::Token => CredentialKind::Token,
        manifest::CredentialKind::Certificate => CredentialKind::Certificate,
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}
