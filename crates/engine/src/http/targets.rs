//! The target's side of HTTP: connections to the declared systems, and what the bridge shows them of itself.

use super::connect::settings;
use super::ways;
use crate::carried::Carried;
use crate::material::{self, MaterialError, digest};
use crate::plan::Planned;
use crate::transport::{Basis, BuildError, Egress};
use http::header::{AUTHORIZATION, HeaderName};
use ironbridge_core::{Action, BoxFuture, Delivery, SecretName, Timestamp};
use ironbridge_http::credential::{FieldFormat, Injected, SecretField, TargetCredential};
use ironbridge_http::target::Target;
use ironbridge_identity::authority::{IssueError, IssuedCertificate, Validity};
use ironbridge_identity::target_token::{ClientAuthentication, TargetClient, TargetTokens};
use ironbridge_manifest::{self as manifest, HttpTarget, Manifest, Oauth2};
use ironbridge_net::upstream::Upstream;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The systems that are reached over HTTP, as one load of the manifest declares them.
#[derive(Default)]
pub struct Targets {
    by_system: BTreeMap<Arc<str>, Arc<Target>>,
    /// With the life of the bridge's own certificate, where the internal CA issued one for it.
    upstreams: Carried<(Arc<Upstream>, Option<Validity>)>,
    tokens: Carried<Arc<TargetTokens>>,
    /// By system, whatever is declared of it.
    injected: Carried<Arc<Injected>>,
    /// The bridge's own certificates that the internal CA made for them.
    renewed: Vec<Action>,
}

impl Egress for Targets {
    fn next<'a>(&'a self, from: Basis<'a>) -> BoxFuture<'a, Result<Arc<dyn Egress>, BuildError>> {
        Box::pin(async move {
            let next = Building { before: self, from, next: Targets::default() }.targets().await?;
            Ok(Arc::new(next) as Arc<dyn Egress>)
        })
    }

    fn deliveries(
        &self,
        from: Basis<'_>,
        planned: Planned<'_>,
        read: &[bool],
    ) -> Result<Vec<Arc<dyn Delivery>>, BuildError> {
        let system = &planned.declared.target;
        let declared = from.plan.manifest.systems.get(system).and_then(|system| system.http());
        let Some(target) = declared.zip(self.by_system.get(&**system)) else {
            return Err(BuildError::declared(format!("systems.{system}"), "nothing leads there over HTTP"));
        };
        ways::deliveries(from, planned, read, target)
    }

    fn renewed(&self) -> &[Action] {
        &self.renewed
    }

    fn renewal_due(&self, now: Timestamp) -> bool {
        self.upstreams.values().any(|(_, issued)| issued.is_some_and(|validity| validity.due(now)))
    }
}

struct Building<'a> {
    before: &'a Targets,
    from: Basis<'a>,
    next: Targets,
}

impl Building<'_> {
    async fn targets(mut self) -> Result<Targets, BuildError> {
        let manifest = &self.from.plan.manifest;
        for (name, system) in &manifest.systems {
            let Some(http) = system.http() else { continue };
            let upstream = self.upstream(name, http).await?;
            let credential = self.credential(name, http)?;
            let base = upstream.base_path().into();
            let share = share(manifest, name, http);
            let target = Target { upstream, credential, base, share, caller_address: http.caller_address };
            self.next.by_system.insert(name.shared(), Arc::new(target));
        }
        Ok(self.next)
    }

    /// Connections to a target: the ones in use, if nothing about them changed and no certificate of theirs is due.
    async fn upstream(&mut self, system: &str, target: &HttpTarget) -> Result<Arc<Upstream>, BuildError> {
        let key = identity_key(system, target)?;
        let now = self.from.services.clock.now();
        let known = self.before.upstreams.get(&key);
        let known = known.filter(|(_, issued)| !issued.is_some_and(|validity| validity.due(now)));
        let (upstream, issued) = match known {
            Some(known) => known,
            None => self.connect(system, target).await?,
        };
        self.next.upstreams.insert(key, (Arc::clone(&upstream), issued));
        Ok(upstream)
    }

    async fn connect(
        &mut self,
        system: &str,
        target: &HttpTarget,
    ) -> Result<(Arc<Upstream>, Option<Validity>), BuildError> {
        let services = self.from.services;
        let refused = |reason: String| BuildError::declared(format!("system {system}"), reason);
        let mut issued = None;
        let identity = match &target.certificate {
            None => None,
            Some(manifest::ClientCertificate::Files { chain, key }) => {
                Some(material::identity(chain, key, &services.home.secrets()).await?)
            }
            Some(manifest::ClientCertificate::Issued) => {
                let certificate = self.issue(system).map_err(|error| refused(error.to_string()))?;
                let identity = material::issued(&certificate).map_err(|error| refused(error.to_string()))?;
                self.next.renewed.push(services.renewal("system", system, &certificate));
                issued = Some(certificate.validity);
                Some(identity)
            }
        };
        let roots = material::roots_or_system(target.ca.as_deref())?;
        let upstream =
            Upstream::new(settings(target, roots, identity)).map_err(|error| refused(error.to_string()))?;
        Ok((upstream, issued))
    }

    /// The bridge's own client certificate toward a system, from the internal CA.
    fn issue(&self, system: &str) -> Result<IssuedCertificate, IssueError> {
        const LIFETIME: Duration = Duration::from_secs(90 * 24 * 3600);
        self.from.services.authority.issue_client(&format!("urn:ironbridge:toward:{system}"), LIFETIME)
    }

    fn credential(&mut self, system: &str, http: &HttpTarget) -> Result<TargetCredential, BuildError> {
        let injected = self.injected(system);
        let services = self.from.services;
        let field = |name: HeaderName, format: FieldFormat, secret: &SecretName| {
            let secret = services.secrets.in_use(secret).map_err(MaterialError::from)?;
            let field = SecretField::new(name, format, secret, Arc::clone(&injected));
            Ok::<_, BuildError>(TargetCredential::Field(Arc::new(field)))
        };
        Ok(match &http.auth {
            None => TargetCredential::None(injected),
            Some(manifest::TargetAuth::Bearer(bearer)) => {
                field(AUTHORIZATION, FieldFormat::Bearer, &bearer.token)?
            }
            Some(manifest::TargetAuth::Basic(basic)) => {
                let format = FieldFormat::Basic { username: basic.username.clone() };
                field(AUTHORIZATION, format, &basic.password)?
            }
            Some(manifest::TargetAuth::Header(header)) => {
                let place = || format!("systems.{system}.http.auth.header.name");
                let name = HeaderName::try_from(&*header.name.0)
                    .map_err(|error| BuildError::declared(place(), error))?;
                field(name, FieldFormat::Plain, &header.value)?
            }
            Some(manifest::TargetAuth::Oauth2(oauth2)) => {
                TargetCredential::OAuth2(self.tokens(http, oauth2)?, injected)
            }
        })
    }

    /// What was presented to a system, whatever was declared of it.
    fn injected(&mut self, system: &str) -> Arc<Injected> {
        let known = self.before.injected.get(system).unwrap_or_default();
        self.next.injected.insert(system.to_owned(), Arc::clone(&known));
        known
    }

    /// The token client toward a target's authorization server (RFC 6749 §4.4).
    fn tokens(&mut self, target: &HttpTarget, oauth2: &Oauth2) -> Result<Arc<TargetTokens>, BuildError> {
        let services = self.from.services;
        let ca = oauth2.ca.as_deref().or(target.ca.as_deref());
        let key = format!("{oauth2:?} {}", digest(ca)?);
        let tokens = match self.before.tokens.get(&key) {
            Some(tokens) => tokens,
            None => {
                let client = TargetClient {
                    token_url: oauth2.token_url.text.to_string(),
                    client_id: oauth2.client_id.clone(),
                    secret: services.secrets.in_use(&oauth2.client_secret).map_err(MaterialError::from)?,
                    scopes: oauth2.scopes.clone(),
                    resource: oauth2.resource.clone(),
                    authentication: match oauth2.method {
                        manifest::ClientAuthentication::Basic => ClientAuthentication::SecretBasic,
                        manifest::ClientAuthentication::Post => ClientAuthentication::SecretPost,
                    },
                };
                TargetTokens::new(client, material::fetch(ca)?, Arc::clone(&services.clock))
            }
        };
        self.next.tokens.insert(key, Arc::clone(&tokens));
        Ok(tokens)
    }
}

/// Everything that makes a connection to a target what it is.
fn identity_key(system: &str, target: &HttpTarget) -> Result<String, MaterialError> {
    let certificate = match &target.certificate {
        Some(manifest::ClientCertificate::Files { chain, key }) => match key {
            manifest::KeySource::File(file) => digest(Some(chain))? + &digest(Some(file))?,
            manifest::KeySource::Secret(_) => digest(Some(chain))?,
        },
        _ => String::new(),
    };
    Ok(format!("{system} {target:?} {} {certificate}", digest(target.ca.as_deref())?))
}

/// The most connections to a target that one account may hold: half of them, so that there are some for the others;
/// all, where there are no others.
fn share(manifest: &Manifest, system: &manifest::Name, http: &HttpTarget) -> usize {
    let all = usize::try_from(http.max_connections.value()).unwrap_or(usize::MAX);
    let leads_there = |account: &&manifest::Account| {
        let of = manifest.integrations.values().filter(|integration| integration.source == account.system);
        of.clone().any(|integration| integration.target == *system)
    };
    match manifest.accounts.values().filter(leads_there).take(2).count() {
        2 => (all / 2).max(1),
        _ => all,
    }
}
